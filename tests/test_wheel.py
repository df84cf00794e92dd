"""The wheel has all that the package reads at run time, and works away from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_file_of_the_package(wheel):
    kept = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    built = {"__pycache__", "tunewright.egg-info", ".mypy_cache", ".ruff_cache"}
    wanted = {str(path) for path in files if not built & set(path.parts)}
    assert wanted - kept == set()


def test_the_wheel_answers_away_from_the_checkout(wheel, tmp_path):
    """Unpacked and first on the path, isolated from the working directory; --help would hide a lazy import."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import tunewright\n"
        "from tunewright.config import schema\n"
        "from tunewright.advice.rules import table\n"
        "print(tunewright.__file__, len(str(schema())) > 1000, len(table()))\n"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert ran.stdout.startswith(str(tmp_path / "site"))
