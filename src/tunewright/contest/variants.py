"""Variants of the training rows, as files: augmented, or cleaned. Validation and test are the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import DataConfig, RunConfig
from ..data import sources
from ..data.repairs import FIXES
from ..data.splits.auto import Auto
from ..desk.augmenting import augment
from ..desk.repairing import repair_first
from ..desk.splitting import MANIFEST, has_header, split_file, suffix_of
from ..desk.techniques import aids_of, chosen
from ..errors import ConfigError, suggest
from ..files import read_json
from ..intake import Intake
from ..training.progress import Listener
from .contestants import AS_GIVEN

KINDS = ("augmented", "cleaned")
REPAIRS = tuple(name for name in FIXES if name != "personal")  # which protects people, and cleans nothing


def variants_of(
    config: RunConfig, wanted: Sequence[str], out: Path, intake: Intake, listener: Listener
) -> dict[str, DataConfig]:
    """The `data` section of each variant; files that are there already stay as they are.

    Args:
        out: the folder of the files.

    Raises:
        ConfigError: there is no such variant, or the data are not in files.
    """
    if not wanted:
        return {AS_GIVEN: config.data}
    for name in wanted:
        if name not in KINDS:
            raise ConfigError(f"there is no variant {name!r}", where="--data", fix=suggest(name, KINDS))
    if not Path(config.data.train).is_file():
        raise ConfigError("is no file, of which variants could be made", where="data.train", fix="leave out --data")
    base = config.model_copy(update={"data": split_once(config, out / "split", intake, listener)})
    found = {AS_GIVEN: base.data}
    for name in dict.fromkeys(wanted):
        path = out / f"{name}{suffix_of(base.data.train)}"
        if not path.is_file():
            path.unlink(missing_ok=True)
            make(name, base, path, listener)
        found[name] = base.data.model_copy(update={"train": str(path), "header": header_of(base, path)})
    return found


def make(name: str, config: RunConfig, path: Path, listener: Listener) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "cleaned":
        repair_first(config, None, REPAIRS, path, listener)
        return
    techniques = chosen([], [], with_table=False)
    augment(config, path, techniques, aids_of(techniques, [], None, None, None), seed=config.data.split_seed,
            listener=listener)  # fmt: skip


def header_of(config: RunConfig, path: Path) -> bool | None:
    """Whether a written file starts with the columns' names; None where that is found out as for any file."""
    return None if config.data.header is None else has_header(sources.read(str(path))) or None


def split_once(config: RunConfig, folder: Path, intake: Intake, listener: Listener) -> DataConfig:
    """The data with every split in a file of its own, and the columns as they were understood."""
    data = config.data
    fields: Any = type(data).model_fields
    shares = {"validation": 0.0 if data.validation else data.validation_share}
    shares["test"] = 0.0 if data.validation or data.test else data.test_share
    update: dict[str, Any] = {"text": intake.roles.text or None, "label": intake.roles.label or None}
    update["label_delimiter"] = intake.roles.delimiter
    if any(shares.values()):
        cut = data.model_copy(update={f"{name}_share": share for name, share in shares.items()})
        if not (folder / MANIFEST).is_file():
            split_file(config.model_copy(update={"data": cut}), folder, listener=listener)
        manifest = read_json(folder / MANIFEST)
        update |= {name: str(folder / part["file"]) for name, part in manifest["parts"].items()}
        update |= {"header": manifest["header"], "limit": None, "split": Auto(), "allow": (*data.allow, "leakage")}
        update |= {name: fields[name].default for name in ("validation_share", "test_share")}
    elif data.limit is not None:
        fix = "leave out one of them: the limit would be of the variant's rows"
        raise ConfigError("does not go with --data here", where="data.limit", fix=fix)
    return data.model_copy(update=update)
