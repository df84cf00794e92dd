"""The commands on each task's page run: with a tiny model, and for one step."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import make_model
from tests.language_models import make_language_model
from tunewright.component import members
from tunewright.tasks.base import Task

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "tasks").glob("*.md"))
LESS = {
    "train": ["training.max_steps=1", "data.limit=24", "data.check_seconds=0"],
    "chat": ["--max-new-tokens", "2"],
}
TRAIN = {  # what a page's model does besides; encoders are replaced by a tiny one
    "instructions": ["--task", "causal_lm", "task.score_answers=0"],
    "preferences": [],
    "sequences": ["--model", "t5", "task.score_answers=0", "task.max_truncated=1"],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "examples", made / "examples")
    return made


def commands(page: Path) -> list[list[str]]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    tunewright ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(call, home, page):
    make_model(home / "encoder")
    make_language_model(home / "t5", "t5")
    for verb, *rest in commands(page):
        besides = TRAIN.get(page.stem, ["--model", "encoder"]) if verb == "train" else []
        code, _, error = call(verb, *rest, *LESS.get(verb, []), *besides)
        assert code == 0, error


def test_every_task_has_a_page():
    ours = {kind for kind, member in members(Task).items() if member.__module__.startswith("tunewright.")}
    assert len(PAGES) == len(ours)
