"""The face of the package: what is exported, and that looking at it costs nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tunewright as tw

HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "sklearn")
PUBLIC = {
    "__version__", "advise", "check", "compare", "cross_validate", "train", "evaluate", "load", "plan", "search",
    "RunConfig", "RunResult", "Predictor", "TunewrightError",
    "CausalLM", "Preference", "QuestionAnswering", "Seq2Seq", "SequenceClassification", "TokenClassification",
    "BitFit", "BottleneckAdapter", "FeatureExtraction", "Freeze", "Full", "GradualUnfreezing", "IA3", "LayerwiseDecay",
    "LoRA", "PrefixTuning", "PromptTuning", "QLoRA",
}  # fmt: skip


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_what_is_visible_is_what_is_exported():
    assert set(dir(tw)) == set(tw.__all__) == PUBLIC
    names = python("import tunewright\nprint([n for n in vars(tunewright) if not n.startswith('_')])")
    assert set(eval(names)) <= PUBLIC | {"annotations", "importlib", "TYPE_CHECKING", "Any"}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_exported_name_loads_and_is_documented(name):
    value = getattr(tw, name)
    assert name == "__version__" or value.__doc__


def test_a_star_import_gives_the_same():
    assert set(eval(python("from tunewright import *\nprint([n for n in dir() if n[0] != '_'])"))) == PUBLIC - {
        "__version__"
    }


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'LoRa'"):
        _ = tw.LoRa


def test_the_version_is_the_packages():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert tw.__version__ == project["version"]


LOOKS = [
    "import tunewright",
    "import tunewright\ntunewright.RunConfig(data={'train': 'inbox.csv'}, strategy=tunewright.LoRA(r=2))",
    "from tunewright import cli\ncli.add_verbs()\n"
    "assert not any(cli.run([*verb, '--help']) for verb in ([], ['schema'], *([name] for name in cli.VERBS)))\n"
    "assert cli.run(['schema']) == 0",
]


@pytest.mark.parametrize("look", LOOKS)
def test_looking_imports_nothing_heavy(look):
    report = f"\nimport sys\nprint('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    assert python(look + report).splitlines()[-1] == "HEAVY []"


def test_a_configuration_is_refused_before_anything_heavy_is_imported():
    code = (
        "import sys, tunewright as tw\nfrom tunewright.cli import add_verbs, run\nadd_verbs()\n"
        "assert run(['train', 'x.csv', '--strategy', 'lorra']) == 2\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(code).strip() == "[]"
