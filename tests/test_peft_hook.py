"""`import tunewright` makes PEFT know bottleneck adapters, whenever PEFT is imported, and disturbs nothing else."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum

import pytest

from tunewright.bottleneck.peft_type import with_member


def test_importing_peft_afterwards_leaves_peft_as_it_was():
    code = "import tunewright, sys; assert 'torch' not in sys.modules\nimport peft, importlib.util\n"
    code += "print(type(peft.__loader__).__name__, type(peft.__spec__.loader).__name__)\n"
    code += "print(type(importlib.util.find_spec('peft')).__name__, peft.PeftType.TUNEWRIGHT_BOTTLENECK.value)\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["SourceFileLoader", "SourceFileLoader", "ModuleSpec", "TUNEWRIGHT_BOTTLENECK"]


def test_a_peft_that_does_not_take_us_still_imports(tmp_path):
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "__init__.py").write_text("answer = 42\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport tunewright, peft; print(peft.answer)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "42"
    assert "does not take Tunewright's bottleneck adapters" in result.stderr


def test_importing_our_modules_first_registers_too():
    code = "import tunewright.bottleneck.config as ours, peft\n"
    code += "config = ours.BottleneckConfig(bottleneck_size=3)\n"
    code += "print(type(config) is peft.PEFT_TYPE_TO_CONFIG_MAPPING[config.peft_type], config.peft_type.name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "TUNEWRIGHT_BOTTLENECK"]


def test_an_enumeration_gets_a_whole_member():
    class Types(str, Enum):  # noqa: UP042 (as PEFT's is)
        OLD = "OLD"

    new = with_member(Types, "NEW")
    assert with_member(Types, "NEW") is new is Types.NEW is Types("NEW") is Types["NEW"]
    assert list(Types) == ["OLD", "NEW"]
    assert isinstance(new, Types)
    assert (new.name, new.value, hash(new)) == ("NEW", "NEW", hash("NEW"))
    with pytest.raises(AttributeError, match="reassign member"):
        Types.NEW = "other"
