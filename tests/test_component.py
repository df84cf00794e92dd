"""Members of a family are found without registration: in our package, in a plug-in, in a file of the user's own."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from abc import abstractmethod
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

import tunewright as tw
from tests.conftest import weights_of
from tunewright import cli, component
from tunewright.cli import options
from tunewright.component import Component, kind_of, members, one_of
from tunewright.config import RunConfig, dump, load, schema
from tunewright.errors import ConfigError
from tunewright.strategies.base import Strategy
from tunewright.strategies.full import Full
from tunewright.tasks.base import Task

DATA = {"train": "inbox.csv"}
MINE = '''
from typing import Literal

from tunewright.strategies.full import Full


class HeadFirst(Full):
    """Trains the head, and every other parameter at a tenth of its rate."""

    kind: Literal["{kind}"] = "{kind}"
    share: float = 0.1

    def groups(self, model, layers, rates):
        return super().groups(model, layers, rates._replace(learning_rate=rates.learning_rate * self.share))
'''


@pytest.fixture(autouse=True)
def forget_outsiders():
    """Members made by a test are none for the tests that follow in this process."""
    yield
    for member in component.descendants(Strategy):
        if not member.__module__.startswith("tunewright."):
            forget(member)


def forget(member: type) -> None:
    member.__abstractmethods__ = frozenset({"forgotten"})


class Animal(Component):
    """A family of its own, for these tests."""

    home: ClassVar[str] = "strategies"  # its members are made here; the modules there only get imported
    legs: int = 4

    @abstractmethod
    def says(self) -> str: ...


class Dog(Animal):
    kind: Literal["dog"] = "dog"
    loud: bool = False

    def says(self) -> str:
        return "WUFF" if self.loud else "wuff"


class Bird(Animal):
    """Abstract still: it has no kind of its own."""

    legs: int = 2


class Owl(Bird):
    kind: Literal["owl"] = "owl"

    def says(self) -> str:
        return "hu"


Chosen = TypeAdapter(one_of(Animal))


def test_every_member_of_the_package_is_found_by_its_kind():
    assert set(members(Strategy)) >= {"full", "feature_extraction", "lora"}
    assert set(members(Task)) >= {"sequence_classification"}
    assert all(kind_of(member) == kind for kind, member in members(Strategy).items())


def test_abstract_classes_in_between_are_no_members():
    assert members(Animal) == {"dog": Dog, "owl": Owl}


def test_a_member_is_chosen_by_object_mapping_or_bare_kind():
    assert Chosen.validate_python("owl") == Owl(legs=2)
    assert Chosen.validate_python({"kind": "dog", "loud": True}).says() == "WUFF"
    dog = Dog(legs=3)
    assert Chosen.validate_python(dog) is dog
    assert Chosen.dump_python(dog) == {"kind": "dog", "legs": 3, "loud": False}


@pytest.mark.parametrize("wrong", ["cat", {"kind": "cat"}, {"legs": 2}, 3, None, {"kind": "dog", "wings": 2}])
def test_what_is_no_member_is_refused(wrong):
    with pytest.raises(ValidationError):
        Chosen.validate_python(wrong)


def test_components_are_frozen_and_strict():
    with pytest.raises(ValidationError):
        Dog().legs = 3
    for wrong in ({"leg": 3}, {"legs": True}, {"legs": float("nan")}):
        with pytest.raises(ValidationError):
            Dog(**wrong)
    assert Dog(loud=True).loud


def test_the_schema_offers_the_bare_kinds_and_every_members_fields():
    made = Chosen.json_schema()
    assert {"enum": ["dog", "owl"]} in made["anyOf"]
    assert set(made["$defs"]["Dog"]["properties"]) == {"kind", "legs", "loud"}


# --- members from outside ------------------------------------------------------------------------------------------


def write_member(folder, kind: str):
    file = folder / f"{kind}.py"
    file.write_text(MINE.format(kind=kind))
    return file


def test_an_imported_file_brings_a_strategy_that_trains(small, tmp_path, capsys):
    raw = small("run", "full", max_steps=2)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(dump(load(raw)))
    with pytest.raises(ConfigError, match="unknown 'head_first'"):
        load(recipe, ["strategy=head_first"])
    arguments = ["train", str(recipe), "strategy.kind=head_first", "strategy.share=0", "--json", "--import"]
    cli.add_verbs()
    assert cli.run([*arguments, str(write_member(tmp_path, "head_first"))]) == 0
    assert json.loads(capsys.readouterr().out)["strategy"] == "head_first"
    assert "HeadFirst" in schema()["$defs"]
    from safetensors.torch import load_file

    before, after = load_file(f"{raw['model']}/model.safetensors"), weights_of(raw["out"])
    name = "embeddings.word_embeddings.weight"
    assert after[f"model.safetensors/bert.{name}"].equal(before[name])  # a rate of nothing moved nothing


def test_the_schema_verb_knows_imported_members(tmp_path):
    file = write_member(tmp_path, "from_the_command_line")
    command = [sys.executable, "-m", "tunewright", "schema", "--import", str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "HeadFirst" in json.loads(answer.stdout)["$defs"]


def test_a_strategy_defined_in_python_is_a_member_at_once():
    class Later(Full):
        kind: Literal["later"] = "later"

    typed = RunConfig(data=DATA, strategy=Later(head_learning_rate=2))
    with warnings.catch_warnings(action="error"):
        assert "head_learning_rate: 2.0" in dump(typed)
    assert load({"data": DATA, "strategy": "later"}).strategy == Later()
    assert load({"data": DATA, "strategy": {"kind": "later", "head_learning_rate": 2}}) == typed


def test_a_plug_in_of_an_entry_point_is_found(tmp_path, monkeypatch):
    write_member(tmp_path, "plugged")
    monkeypatch.syspath_prepend(tmp_path)
    points = {"tunewright.strategies": [EntryPoint("plugged", "plugged:HeadFirst", "tunewright.strategies")]}
    monkeypatch.setattr(component, "installed", lambda group: points.get(group, []))
    assert load({"data": DATA, "strategy": {"kind": "plugged", "share": 0.5}}).strategy.share == 0.5


def test_a_broken_plug_in_is_named(monkeypatch):
    broken = EntryPoint("broken", "no_such_package_at_all:Nothing", "tunewright.strategies")
    monkeypatch.setattr(component, "installed", lambda group: [broken])
    with pytest.raises(ConfigError, match="no_such_package_at_all:Nothing: the plug-in 'broken' cannot be imported"):
        members(Strategy)


def test_two_members_of_one_kind_are_refused():
    class Hound(Animal):
        kind: Literal["dog"] = "dog"

        def says(self) -> str:
            return "howl"

    try:
        with pytest.raises(ConfigError, match=r"two strategies go by the kind 'dog'.*Dog and .*Hound"):
            members(Animal)
    finally:
        forget(Hound)
    assert members(Animal)["dog"] is Dog


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.py", "x = 1\nraise RuntimeError('oh no')\n", "line 2: cannot be imported: RuntimeError: oh no"),
        ("typo.py", "def f(:\n", "line 1: cannot be imported: SyntaxError"),
        ("mine.txt", "x = 1\n", "is no Python file"),
        ("absent.py", None, "is no Python file"),
    ],
)
def test_a_file_that_cannot_be_imported_is_its_authors_to_mend(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        options.import_files([tmp_path / name])
    assert str(caught.value).startswith(f"--import {tmp_path / name}")
    assert said in str(caught.value)


def test_an_imported_file_stands_in_for_no_module(tmp_path):
    (tmp_path / "json.py").write_text("x = 1\n")
    options.import_files([tmp_path / "json.py"])
    assert sys.modules["json"] is json


def test_members_are_found_without_torch():
    code = (
        "import sys\nfrom tunewright.component import members\nfrom tunewright.strategies.base import Strategy\n"
        "from tunewright.tasks.base import Task\nassert members(Strategy) and members(Task)\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'accelerate', 'datasets') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_public_members_are_the_members():
    ours = {*members(Strategy).values(), *members(Task).values()}
    exported = {getattr(tw, name) for name in dir(tw)}
    assert {member for member in ours if member.__module__.startswith("tunewright.")} <= exported
