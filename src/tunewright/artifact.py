"""Artifact: one directory that has all that a prediction needs; the only thing predict, serve and export read.

RUN/model/
    config.json, model.safetensors           transformers format; or
    adapter_config.json, adapter_model...    PEFT format, on top of the base model
    head.safetensors                         the linear head of a pooled classifier, or a head that PEFT would lose
    tokenizer files
    tunewright.json                          task with labels and thresholds, columns, lengths, checksums
or, of a floor, floor.safetensors and floor.json in place of a model. Of a comparison the run that its verdict names is
meant.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from . import models
from .component import one_of
from .data.columns import Roles
from .errors import ModelError, TunewrightError
from .files import inside, read_json, replacing_folder, sha256, write_json
from .floors.base import Floor, Learner, Reading
from .strategies.base import Strategy
from .tasks.base import Task
from .vetting import refuse_code, sidecar, vet

if TYPE_CHECKING:
    from torch import nn


FORMAT = 1
MANIFEST, COMPARISON = "tunewright.json", "comparison.json"


@dataclass(frozen=True)
class Columns:
    """What the training data's columns were for, so that files of its form can be read.

    Args:
        label: empty where rows hold their answers themselves (dialogues, plain texts).
        label_names: whether labels were numbers into the task's labels.
        form: how the rows were written, where there are several ways (`Roles.form`).
    """

    text: tuple[str, ...]
    label: tuple[str, ...]
    label_delimiter: str | None
    label_names: bool
    form: str = ""

    @classmethod
    def of(cls, roles: Roles, label_names: bool) -> Columns:
        return cls(roles.text, roles.label, roles.delimiter, label_names, roles.form)

    @property
    def roles(self) -> Roles:
        return Roles(self.text, self.label, self.label_delimiter, form=self.form)


@dataclass(frozen=True)
class Artifact:
    """A model that is ready to predict, or a floor."""

    model: Any  # an nn.Module; of a floor its Learner
    tokenizer: Any
    task: Task
    max_length: int
    columns: Columns
    folder: Path

    @property
    def is_floor(self) -> bool:
        return isinstance(self.model, Learner)


def save(
    folder: Path,
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    strategy: Strategy,
    source: models.Source,
    max_length: int,
    columns: Columns,
) -> None:
    with replacing_folder(folder) as beside:
        form = strategy.save(model, beside)
        tokenizer.save_pretrained(beside)
        if form == "adapter":
            name_base(beside / "adapter_config.json", source)
        made_of = {"form": form, "base": source.name, "base_fingerprint": source.fingerprint,
                   "strategy": strategy.model_dump(mode="json")}  # fmt: skip
        write_manifest(beside, made_of, task, max_length, columns)


def save_floor(folder: Path, floor: Floor, learner: Learner, task: Task, columns: Columns) -> None:
    """The same of a floor: numbers as safetensors, words as JSON."""
    with replacing_folder(folder) as beside:
        learner.save(beside)
        if learner.reading.tokenizer is not None:
            learner.reading.tokenizer.save_pretrained(beside)
        made_of = {"form": "floor", "floor": floor.model_dump(mode="json")}
        write_manifest(beside, made_of, task, learner.reading.max_length, columns)


def write_manifest(folder: Path, made_of: dict[str, Any], task: Task, max_length: int, columns: Columns) -> None:
    """tunewright.json: what the other files are, and their checksums."""
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card; ours stands beside the run
    files = sorted(path for path in folder.iterdir() if path.is_file())
    manifest = {
        "format": FORMAT,
        **made_of,
        "task": task.model_dump(mode="json"),
        "max_length": max_length,
        "columns": asdict(columns),
        "sha256": {path.name: sha256(path) for path in files},
    }
    write_json(folder / MANIFEST, manifest)


def name_base(path: Path, source: models.Source) -> None:
    """Makes an adapter name its base model in a way that plain PEFT can follow."""
    config = read_json(path)
    config["base_model_name_or_path"] = source.hub_id or str(source.folder)
    write_json(path, config)


def meant(path: str | Path) -> Path:
    """The run that a comparison's verdict names; any other directory is meant itself.

    Raises:
        ModelError: the comparison has no verdict, or is unreadable.
        UnsafeError: its verdict leads out of it.
    """
    folder = Path(path)
    if not (folder / COMPARISON).is_file():
        return folder
    try:
        verdict = read_json(folder / COMPARISON)["verdict"]
        name = None if verdict is None else str(verdict["path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what, fix = f"{COMPARISON} is unreadable ({error})", "restore a copy, or name one of its runs"
        raise ModelError(what, where=str(path), fix=fix) from None
    if name is None:
        fix = "finish it with the same compare command and --resume, or name one of its runs"
        raise ModelError("the comparison has no verdict yet", where=str(path), fix=fix)
    return inside(folder, name)


def model_folder(path: str | Path) -> Path:
    """The model's directory of a run, or the directory itself; of a comparison, of the run that its verdict names."""
    folder = meant(path)
    for candidate in (folder / "model", folder):
        if (candidate / MANIFEST).is_file():
            return candidate
    if (folder / "checkpoints").is_dir():
        fix = "finish it with the same train command and --resume"
        raise ModelError("the run has no finished model", where=str(path), fix=fix)
    raise ModelError(
        "there is no trained model here", where=str(path), fix="give the directory of a run, as in runs/inbox"
    )


def load(path: str | Path, trust_remote_code: bool = False) -> Artifact:
    """Loads a run's model after checking every file against its checksum.

    Raises:
        ModelError: a file is damaged or missing, or the base model of an adapter is not the one it was trained on.
        UnsafeError: loading it would run foreign code.
    """
    folder = model_folder(path)
    manifest = read_manifest(folder)
    task = parse(Task, "task", manifest, folder)
    if manifest["form"] == "floor":
        return load_floor(manifest, folder, task, trust_remote_code)
    source = base_source(manifest, folder, trust_remote_code)
    model = task.build(source, **load_kwargs(manifest, folder))
    if manifest["form"] == "adapter":
        model = with_adapter(model, folder)
    load_head_if_any(model, folder)
    model.eval()
    tokenizer = models.load_tokenizer(replace(source, folder=folder))
    return Artifact(model, tokenizer, task, int(manifest["max_length"]), columns_of(manifest), folder)


def load_floor(manifest: dict[str, Any], folder: Path, task: Task, trust_remote_code: bool) -> Artifact:
    max_length, tokenizer = int(manifest["max_length"]), None
    if max_length:
        source = models.Source(str(folder), folder, None, None, trust_remote_code)
        if not trust_remote_code:
            refuse_code(sidecar(folder / "tokenizer_config.json"), "tokenizer_config.json", source)
        tokenizer = models.load_tokenizer(source)
    learner = parse(Floor, "floor", manifest, folder).load(task, Reading(tokenizer, max_length), folder)
    return Artifact(learner, tokenizer, task, max_length, columns_of(manifest), folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST)
        if manifest["format"] > FORMAT:
            raise ModelError(
                "was written by a newer Tunewright", where=str(folder), fix="upgrade: pip install -U tunewright"
            )
        for name, expected in manifest["sha256"].items():
            path = inside(folder, name)
            if not path.is_file() or sha256(path) != expected:
                raise ModelError(
                    f"{name} is missing or damaged", where=str(folder), fix="train again, or restore a copy"
                )
        texts = ["form", *(["base", "base_fingerprint"] if manifest["form"] == "adapter" else [])]
        if not (all(isinstance(manifest[key], str) for key in texts) and isinstance(manifest["max_length"], int)):
            raise TypeError(f"{', '.join(texts)} are texts, max_length is a number")
        columns_of(manifest)
    except TunewrightError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{MANIFEST} is unreadable ({error})", where=str(folder), fix="restore a copy") from None
    return manifest


def parse(family: Any, name: str, manifest: dict[str, Any], folder: Path) -> Any:
    """The task, strategy or floor that the manifest holds under a name."""
    try:
        return TypeAdapter(one_of(family)).validate_python(manifest[name])
    except (ValidationError, KeyError) as error:
        what = f"{MANIFEST}: the {name} is unreadable ({error})"
        raise ModelError(what, where=str(folder), fix="restore a copy") from None


def load_kwargs(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """How the base of an adapter must be loaded: in four bits, say."""
    if manifest["form"] == "full" or "strategy" not in manifest:
        return {}
    kwargs: dict[str, Any] = parse(Strategy, "strategy", manifest, folder).load_kwargs()
    return kwargs


def columns_of(manifest: dict[str, Any]) -> Columns:
    known = manifest["columns"]
    text, label, names = tuple(known["text"]), tuple(known["label"]), bool(known.get("label_names"))
    return Columns(text, label, known["label_delimiter"], names, str(known.get("form", "")))


def startable(name: str, trust_remote_code: bool = False) -> str:
    """The model that a new run starts from: as named, or a run's, whose adapter is merged into its base first.

    Raises:
        ModelError: the run's strategy leaves nothing to merge (virtual tokens, bottlenecks), it has no whole model, or
            it is a floor.
    """
    folder = meant(name)
    if not (folder / "model" / MANIFEST).is_file() and not (folder / MANIFEST).is_file():
        if folder.is_dir() and (folder / "checkpoints").is_dir():
            model_folder(folder)  # raises: the run is not finished
        return name
    folder = model_folder(folder)
    manifest = read_manifest(folder)
    refuse_floor(manifest, name)
    if manifest["form"] == "full":
        return str(folder)
    return str(merge(folder, manifest, trust_remote_code))


def refuse_floor(manifest: dict[str, Any], name: str) -> None:
    """Raises ModelError where a run that shall be gone on from is a floor."""
    if manifest["form"] == "floor":
        fix = "start from a model, or from the run of a strategy"
        raise ModelError("a floor has no weights to go on from", where=name, fix=fix)


def merge(folder: Path, manifest: dict[str, Any], trust_remote_code: bool) -> Path:
    """An adapter's base with the adapter in its matrices, beside the adapter; made once."""
    from .heads import encoder_of
    from .strategies.peft import merged

    strategy: Strategy = parse(Strategy, "strategy", manifest, folder)
    if not strategy.merges:
        fix = "start from a run of lora, ia3, or a strategy that trains the model's own weights"
        raise ModelError(f"a run of {strategy.kind} cannot be merged into its base", where=str(folder), fix=fix)
    target = folder.with_name("merged")
    stamp = {"adapter": manifest["sha256"], "base": manifest["base_fingerprint"]}
    if (target / "merged.json").is_file() and read_json(target / "merged.json") == stamp:
        return target
    loaded = load(folder, trust_remote_code)
    whole: Any = encoder_of(merged(loaded.model))  # a pooled classifier's head stays behind: the next run makes its own
    with replacing_folder(target) as beside:
        whole.save_pretrained(beside)
        loaded.tokenizer.save_pretrained(beside)
        write_json(beside / "merged.json", stamp)
    return target


def base_source(manifest: dict[str, Any], folder: Path, trust_remote_code: bool) -> models.Source:
    """The weights to start from: the directory itself, or an adapter's base."""
    if manifest["form"] == "full":
        source = models.Source(str(folder), folder, None, None, trust_remote_code)
        vet(source)
        return source
    source = models.locate(str(manifest["base"]), trust_remote_code)
    if source.fingerprint != manifest["base_fingerprint"]:
        what = f"the base model {source.name!r} is not the one that the adapter was trained on"
        raise ModelError(what, where=str(folder), fix="put the old base model back, or train again")
    return source


def with_adapter(model: Any, folder: Path) -> nn.Module:
    """Puts the saved adapter on the base model; only safetensors are read."""
    import peft

    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError("adapter_model.safetensors is missing", where=str(folder), fix="restore a copy")
    try:
        if hasattr(model, "pooling"):
            model.encoder = peft.PeftModel.from_pretrained(model.encoder, str(folder))
            return model
        return peft.PeftModel.from_pretrained(model, str(folder))
    except Exception as error:  # whatever PEFT makes of a broken file
        what = f"the adapter cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(what, where=str(folder), fix="restore a copy, or train again") from error


def load_head_if_any(model: Any, folder: Path) -> None:
    from safetensors import SafetensorError

    from .heads import HEAD_FILE, PooledClassifier, load_head

    if not (folder / HEAD_FILE).is_file():
        if isinstance(model, PooledClassifier):
            raise ModelError(f"{HEAD_FILE} is missing", where=str(folder), fix="restore a copy")
        return
    try:
        load_head(model, folder)
    except (RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{HEAD_FILE} does not fit: {error}", where=str(folder), fix="restore a copy") from None
