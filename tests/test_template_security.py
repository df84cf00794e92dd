"""Chat templates come with models and run directories: whatever they try, nothing runs, is read or is changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import tunewright as tw
from tests.language_models import make_language_model, make_language_tokenizer
from tests.tasks.test_causal_lm import write
from tests.test_security import sign
from tunewright import cli, models
from tunewright.data import templates
from tunewright.data.row import Dialogue
from tunewright.errors import DataError, TunewrightError

SOURCES = Path(tw.__file__).parent
TOUCH = "'touch MARKER'"
TRICKS = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "classes by name": "{{ (''|attr('__class__')).__mro__ }}",
    "classes by format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "globals of cycler": f"{{{{ cycler.__init__.__globals__.os.system({TOUCH}) }}}}",
    "globals of lipsum": f"{{{{ lipsum.__globals__['os'].popen({TOUCH}) }}}}",
    "globals of a given function": "{{ raise_exception.__globals__['__builtins__']['eval'](\"open('MARKER', 'w')\") }}",
    "code of a given function": "{{ strftime_now.__code__.co_consts }}",
    "the template itself": "{{ self._TemplateReference__context.environment.globals.clear() }}",
    "another's message": "{{ messages.append('a') }}",
    "a file": "{% include '/etc/passwd' %}",
    "a module": "{% import 'os' as os %}{{ os.getcwd() }}",
    "a loop of a billion": "{% for place in range(1000000000) %}x{% endfor %}",
    "no end of itself": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "an arithmetic error": "{{ 1 // 0 }}",
}
ASKED = Dialogue(({"role": "user", "content": "red box?"},))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A tiny Llama, rows, and a finished run of both."""
    made = tmp_path_factory.mktemp("home")
    make_language_model(made / "llama")
    task = {"kind": "causal_lm", "template": "plain", "max_new_tokens": 4, "score_answers": 0}
    training = {"max_steps": 1, "batch_size": 8, "precision": "fp32"}
    data = {"train": write(made / "rows.jsonl"), "test_share": 0}
    raw = {"model": str(made / "llama"), "data": data, "task": task, "training": training, "out": str(made / "run")}
    tw.train(raw, progress=False)
    return made


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "marker"


def tricky(name: str, marker: Path) -> str:
    """A template that does its trick and then writes a dialogue as others do."""
    rest = "{% for turn in messages %}{{ turn.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    return TRICKS[name].replace("MARKER", str(marker)) + rest


@pytest.mark.parametrize("name", TRICKS)
def test_a_template_that_reaches_out_is_refused(name, marker):  # S2
    with pytest.raises(DataError, match=r"the template refuses the dialogue: .*; mend"):
        templates.render(make_language_tokenizer(), tricky(name, marker), ASKED)
    assert not marker.exists()
    assert len(ASKED.messages) == 1


@pytest.mark.parametrize("name", ["globals of cycler", "a loop of a billion"])
def test_the_template_of_a_models_folder_is_refused_before_the_weights_are_loaded(
    name, home, tmp_path, marker, capsys, monkeypatch
):  # S2
    folder = Path(shutil.copytree(home / "llama", tmp_path / "llama"))
    (folder / "chat_template.jinja").write_text(tricky(name, marker))
    monkeypatch.setattr(models, "load_model", None)
    cli.add_verbs()
    command = ["train", str(home / "rows.jsonl"), "--task", "causal_lm", "--model", str(folder)]
    assert cli.run([*command, "task.template=tokenizer", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "error: task.template: the template refuses the dialogue" in said
    assert "Traceback" not in said
    assert not marker.exists()


@pytest.mark.parametrize("name", ["globals of lipsum", "a file"])
def test_the_template_of_a_tampered_run_is_refused(name, home, tmp_path, marker):  # S2
    run = Path(shutil.copytree(home / "run", tmp_path / "run"))
    (run / "model" / "chat_template.jinja").write_text(tricky(name, marker))
    sign(run / "model")
    with pytest.raises(TunewrightError, match="the template refuses the dialogue"):
        tw.load(run)(["red box?"])
    assert not marker.exists()


def test_the_run_of_these_tests_answers_before_it_is_tampered_with(home):
    assert len(tw.load(home / "run")(["red box?"])) == 1


def test_a_template_in_the_report_is_text(home, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("<script>alert(1)</script>{% for turn in messages %}{{ turn.content }}\n{% endfor %}")
    changes = [f"task.template={template}", f"out={tmp_path / 'run'}"]
    result = tw.train(home / "run" / "run.yaml", overrides=changes, progress=False)
    assert "<script>alert(1)" not in (result.path / "report.html").read_text(encoding="utf-8")


def test_no_jinja_of_our_own_is_rendered():
    """Templates are rendered by tokenizers alone, whose environment is sandboxed; the tests above would notice."""
    used = re.compile(r"^\s*(?:from|import) jinja2.*", re.MULTILINE)
    found = {line.strip() for file in SOURCES.rglob("*.py") for line in used.findall(file.read_text(encoding="utf-8"))}
    assert found
    assert all(line.startswith("from jinja2.exceptions import ") for line in found)
