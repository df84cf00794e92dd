"""Makes plain PEFT know our method: registers it when `peft` is imported, and never imports `peft` itself.

PEFT has no entry points, and its `adapter_config.json` names a method that only `register_peft_method` can add. After
`import tunewright`, `peft.PeftModel.from_pretrained` must read our adapters; yet `import tunewright` must stay light.
So we stand in front of the finders, answer for the one name `peft`, and import `tunewright.bottleneck` (which
registers itself) as soon as PEFT's own code has run.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def install() -> None:
    """Registers now where `peft` is there already, else when it comes."""
    if "peft" in sys.modules:
        register()
    elif not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


def register() -> None:
    """Importing the package registers it. `import peft` must not fail on our account, so a misfit is a warning."""
    try:
        importlib.import_module("tunewright.bottleneck")
    except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"this PEFT does not take Tunewright's bottleneck adapters: {error!r}", stacklevel=2)


class Finder(MetaPathFinder):
    """Finds `peft` as the other finders do. It stays in `sys.meta_path`: removing it would disturb other threads."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "peft":
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = RegisteringLoader(spec.loader)
                return spec
        return None


class RegisteringLoader(Loader):
    """Another loader, followed by our registration; it takes itself away before the module's code runs."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        importlib.import_module("tunewright.kernels").settle_bitsandbytes()  # PEFT would import it by itself
        self.loader.exec_module(module)
        register()

    def __getattr__(self, name: str) -> Any:
        """For those who look at the spec without importing: `get_source`, `get_filename`, ..."""
        return getattr(self.loader, name)
