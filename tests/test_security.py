"""Nothing that comes with data or a model runs, is fetched, or leaves its folder."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import tunewright as tw
from tests.conftest import make_model, settings, write_rows
from tunewright import artifact, cli, models
from tunewright.errors import DataError, ModelError, TunewrightError, UnsafeError
from tunewright.files import inside, sha256

POOLED = {"kind": "sequence_classification", "pooling": "mean"}


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path) -> Path:
    """Must not be there at the end; it would be, if the bombs of these tests went off."""
    path = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()
    path.unlink()
    return path


@pytest.fixture
def bert(tmp_path) -> Path:
    return make_model(tmp_path / "bert")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`trained("lora")` is a copy of a finished run that may be tampered with."""
    home, known = tmp_path_factory.mktemp("trained"), {}
    tiny, rows = str(make_model(home / "bert")), write_rows(home / "inbox.csv")

    def make(strategy: str, place: Path) -> Path:
        if strategy not in known:
            raw = settings(tiny, rows, home / strategy, max_steps=2) | {"strategy": strategy, "task": POOLED}
            known[strategy] = tw.train(raw, progress=False).path
        return Path(shutil.copytree(known[strategy], place / "copy"))

    return make


def sign(folder: Path) -> None:
    """Makes the checksums of a tampered model right again, as an attacker would."""
    manifest = json.loads((folder / artifact.MANIFEST).read_text())
    manifest["sha256"] = {f.name: sha256(f) for f in folder.iterdir() if f.name != artifact.MANIFEST and f.is_file()}
    (folder / artifact.MANIFEST).write_text(json.dumps(manifest))


def edit(path: Path, **changes) -> None:
    raw = json.loads(path.read_text()) | changes if path.exists() else changes
    path.write_text(json.dumps(raw))


# --- pickles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt", "model.pth"])
def test_a_folder_with_only_a_pickle_is_refused(bert, marker, name):  # S1
    (bert / "model.safetensors").unlink()
    (bert / name).write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(UnsafeError, match=f"no safetensors but {name}, a pickle"):
        models.locate(str(bert))
    assert not marker.exists()


def test_other_safetensors_beside_it_do_not_let_a_pickle_in(bert, marker):  # S1
    os.rename(bert / "model.safetensors", bert / "head.safetensors")
    (bert / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(ModelError):
        models.load_model(models.locate(str(bert)), "AutoModel")
    assert not marker.exists()


def load_all(folder: Path) -> None:
    source = models.locate(str(folder))
    models.load_tokenizer(source)
    models.load_model(source, "AutoModel")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pickle_under_another_name_is_no_pickle(bert, marker, name):  # S1
    (bert / name).write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(ModelError):
        load_all(bert)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("strategy", "weights", "instead"),
    [
        ("full", "model.safetensors", "pytorch_model.bin"),
        ("full", "head.safetensors", "head.bin"),
        ("lora", "adapter_model.safetensors", "adapter_model.bin"),
    ],
)
def test_a_run_whose_weights_became_a_pickle_is_refused(trained, tmp_path, marker, strategy, weights, instead):  # S1
    folder = trained(strategy, tmp_path) / "model"
    (folder / weights).unlink()
    (folder / instead).write_bytes(pickle.dumps(Bomb(marker)))
    sign(folder)
    with pytest.raises(ModelError):
        tw.load(folder.parent)
    assert not marker.exists()


def test_an_adapter_beside_a_base_model_is_not_followed(bert, marker, small):  # S1
    (bert / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(marker)))
    edit(bert / "adapter_config.json", peft_type="LORA", base_model_name_or_path=str(bert), r=2)
    with pytest.raises(ModelError, match="is an adapter"):
        tw.train(small() | {"model": str(bert)}, progress=False)
    assert not marker.exists()


def test_a_pickle_in_the_feature_cache_is_computed_anew(small, marker):  # S1
    raw = small("run", "feature_extraction", POOLED)
    tw.train(raw, progress=False)
    cached = list(Path(os.environ["TUNEWRIGHT_CACHE"]).rglob("*.npz"))
    assert cached
    for file in cached:
        bombs = np.array([Bomb(marker)], dtype=object)
        np.savez(file, keys=bombs, values=bombs, allow_pickle=True)
    tw.train(raw, progress=False, overwrite=True)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["rows.pkl", "rows.pt", "rows.csv", "rows.parquet", "rows.json", "rows.jsonl"])
def test_a_pickle_is_no_data(small, tmp_path, marker, name):  # S1
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(marker)))
    raw = small()
    raw["data"]["train"] = str(tmp_path / name)
    with pytest.raises(DataError, match=name):
        tw.train(raw, progress=False)
    assert not marker.exists()


# --- foreign code --------------------------------------------------------------------------------------------------

CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
Path({marker!r}).touch()
class EvilConfig(BertConfig):
    model_type = "evil"
class EvilModel(BertModel):
    config_class = EvilConfig
class EvilTokenizer(PreTrainedTokenizerFast):
    pass
"""
MAP = {
    "AutoConfig": "evil.EvilConfig",
    "AutoModel": "evil.EvilModel",
    "AutoModelForSequenceClassification": "evil.EvilModel",
}
ASKS = {
    "auto_map": {"model_type": "evil", "auto_map": MAP},
    "custom_pipelines": {"custom_pipelines": {"text-classification": {"impl": "evil.EvilModel"}}},
    "extra.trust_remote_code": {"extra": {"trust_remote_code": True}},
    "parts[1].trust_remote_code": {"parts": [1, {"trust_remote_code": True}]},
    "attn_implementation": {"attn_implementation": "someone/kernel"},
    "_attn_implementation": {"_attn_implementation": "flash_attention_2"},
    "attn_implementation of a part": {"attn_implementation": {"text_config": "someone/kernel:run"}},
    "text_config._attn_implementation_internal": {"text_config": {"_attn_implementation_internal": "paged|a/kernel"}},
    "use_kernels": {"use_kernels": True},
    "kernel_config": {"kernel_config": {"kernel_mapping": {"RMSNorm": "someone/kernel:RMSNorm"}}},
}  # fmt: skip


def plant(folder: Path, marker: Path) -> None:
    (folder / "evil.py").write_text(CODE.format(marker=str(marker)))


@pytest.mark.parametrize("asked", ASKS)
def test_a_configuration_that_asks_for_code_is_refused(bert, marker, inbox, capsys, asked):  # S2
    plant(bert, marker)
    edit(bert / "config.json", **ASKS[asked])
    cli.add_verbs()
    assert cli.run(["train", inbox, "--model", str(bert), "--out", str(bert.parent / "run")]) == 2
    said = capsys.readouterr().err
    assert f"config.json: {asked.split()[0]} asks for code from outside" in said
    assert "--trust-remote-code" in said
    assert not marker.exists()
    assert models.locate(str(bert), trust_remote_code=True).folder == bert


def test_with_trust_the_code_runs(bert, marker):  # S2: the tests above would notice
    plant(bert, marker)
    edit(bert / "config.json", **ASKS["auto_map"])
    model = models.load_model(models.locate(str(bert), trust_remote_code=True), "AutoModel")
    assert type(model).__name__ == "EvilModel"
    assert marker.exists()


def test_a_tokenizer_that_asks_for_code_is_refused(bert, marker):  # S2
    plant(bert, marker)
    (bert / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.EvilTokenizer", None]}})
    )
    with pytest.raises(UnsafeError, match=r"tokenizer_config\.json: auto_map"):
        models.locate(str(bert))
    assert not marker.exists()


def test_code_beside_an_architecture_that_is_known_is_not_run(bert, marker):  # S2
    plant(bert, marker)
    edit(bert / "config.json", auto_map=MAP)
    edit(bert / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.EvilTokenizer", None]})
    source = models.locate(str(bert))
    models.load_tokenizer(source)
    assert type(models.load_model(source, "AutoModel")).__name__ == "BertModel"
    assert not marker.exists()


@pytest.mark.parametrize("asked", ASKS)
def test_a_tampered_run_that_asks_for_code_is_refused(trained, tmp_path, marker, asked):  # S2
    folder = trained("full", tmp_path) / "model"
    plant(folder, marker)
    edit(folder / "config.json", **ASKS[asked])
    sign(folder)
    with pytest.raises(UnsafeError, match="asks for code from outside"):
        tw.load(folder.parent)
    assert not marker.exists()


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_tampered_runs_tokenizer_runs_nothing(trained, tmp_path, marker, strategy):  # S2
    folder = trained(strategy, tmp_path) / "model"
    plant(folder, marker)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.EvilTokenizer", None]}})
    )
    sign(folder)
    with pytest.raises(TunewrightError):
        tw.load(folder.parent)
    assert not marker.exists()


def test_no_architecture_fetches_kernels_by_itself():  # S2
    looks = ("tunewright.models", "transformers.integrations.hub_kernels as hub")
    code = "\n".join([*(f"import {name}" for name in looks), "print(hub._TRANSFORMERS_USE_HUB_KERNELS)"])
    environment = {name: value for name, value in os.environ.items() if name != "USE_HUB_KERNELS"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.strip() == "0"


# --- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "link", "link/x", "..", "folder/../../x"])
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path, name):  # S3
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    (home / "link").symlink_to(tmp_path)
    with pytest.raises(UnsafeError, match="leads out of the folder"):
        inside(home, name)
    assert inside(home, "folder/x") == home / "folder" / "x"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "link"])
def test_a_manifest_that_names_files_elsewhere_is_refused(trained, tmp_path, name):  # S3
    folder = trained("full", tmp_path) / "model"
    (folder.parent / "x").write_text("elsewhere")
    (folder / "link").symlink_to(folder.parent / "x")
    manifest = json.loads((folder / artifact.MANIFEST).read_text())
    manifest["sha256"][name] = sha256(folder.parent / "x")
    (folder / artifact.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UnsafeError, match="leads out of the folder"):
        tw.load(folder.parent)


@pytest.mark.parametrize("train", ["../../etc/passwd.csv", "/x/..csv", "$(touch x).csv", "-rf.csv", "a\nb.csv", "…"])
def test_the_default_directory_stays_in_runs(train):  # S3
    from tunewright.directory import default_out

    out = default_out(train, "full", False)
    assert out.parent == Path("runs")
    assert not set(out.name) & set("/\n$( ")
    assert not out.name.startswith((".", "-"))


# --- names are only names ------------------------------------------------------------------------------------------

ODD = "a b'c\"d;$(touch hit)`touch hit`|&>hit<é名[red][{x}%s*?~#"


def test_names_with_metacharacters_are_inert(tmp_path, tiny, monkeypatch, capsys):  # S5
    monkeypatch.chdir(tmp_path)
    labels = {"app": "$(touch hit)", "billing": "<script>[/red]", "damage": "`x` | ü, ;"}
    data = Path(write_rows(tmp_path / f"{ODD}.csv"))
    text = data.read_text()
    for plain, odd in labels.items():
        text = text.replace(f",{plain}\n", f',"{odd}"\n')
    data.write_text(text)
    odd_model = shutil.copytree(tiny, tmp_path / f"model {ODD}")
    training = ["training.max_steps=2", "training.batch_size=8", "training.precision=fp32", "data.allow=[leakage]"]
    run = f"x[/red]/run {ODD}"  # a closing tag to whoever takes it for markup
    cli.add_verbs()
    assert cli.run(["train", data.name, "--model", odd_model.name, "--out", run, "--test", data.name, *training]) == 0
    moved = shutil.copy(data, f"x[/red]/{ODD}.csv")
    assert cli.run(["evaluate", run, moved]) == 0
    assert cli.run(["show", run]) == 0
    capsys.readouterr()
    assert cli.run(["predict", run, "--text", ODD, "--text", "[bold]$(touch hit)", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == [ODD, "[bold]$(touch hit)"]
    assert set(lines[0]["probabilities"]) == set(labels.values())
    assert yaml.safe_load((tmp_path / run / "run.yaml").read_text())["data"]["train"] == data.name
    assert "<script>[" not in (tmp_path / run / "report.html").read_text()
    assert cli.run(["train", f"{run}/run.yaml", "--out", "again"]) == 0
    assert not list(tmp_path.rglob("hit"))


# --- offline -------------------------------------------------------------------------------------------------------

OFFLINE = """
import json, os, socket, sys
tried = []
def forbidden(*arguments, **more):
    tried.append(repr(arguments)[:200])
    raise OSError("no network here")
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, forbidden)
for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, forbidden)
import tunewright as tw
from tunewright import models
full, lora, rows, minilm = json.loads(sys.argv[1])
for raw in (full, lora):
    result = tw.train(raw, progress=False)
    assert tw.evaluate(result.path, rows)["num_rows"] == 48
    assert len(tw.load(result.path)(["invoice", "app"])) == 2
if minilm:
    assert models.load_tokenizer(models.locate("minilm"))("hello")["input_ids"]
import huggingface_hub.constants
assert not huggingface_hub.constants.HF_HUB_OFFLINE
print(json.dumps(tried))
"""


def test_a_run_on_local_files_opens_no_connection_and_tells_no_secret(small, tmp_path):  # S7
    from tunewright.embedded import ALIASES, installed

    token = "hf_" + "s3cretT0ken" * 3
    full, lora = small("full", max_steps=2), small("lora", "lora", POOLED, max_steps=2)
    given = json.dumps([full, lora, full["data"]["train"], installed(ALIASES["minilm"]) is not None])
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    environment |= {"HF_TOKEN": token, "HUGGING_FACE_HUB_TOKEN": token, "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "-c", OFFLINE, given]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1]) == []
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert not [path for path in written if token.encode() in path.read_bytes()]
    assert token not in answer.stdout + answer.stderr
