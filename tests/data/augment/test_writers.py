"""Models that write: of this machine, and behind an endpoint; the endpoint is a small server of this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import make_tokenizer
from tests.language_models import make_language_model
from tunewright.desk.writers import EndpointWriter, LocalWriter, MaskedModel
from tunewright.errors import ConfigError, ModelError


class Server:
    """Answers with `replies` in turn ((status, body) or a status), then with the prompt in capitals."""

    def __init__(self) -> None:
        self.replies: list = []
        self.seen: list[tuple[str, dict, dict]] = []
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.seen.append((self.path, dict(self.headers), body))
                    reply = outer.replies.pop(0) if outer.replies else None
                said = {"choices": [{"message": {"content": body["messages"][0]["content"].upper()}}]}
                status, answer = reply or (200, json.dumps(said))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *arguments) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("TUNEWRIGHT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_an_endpoint_is_asked_as_openai_has_it(server):
    writer = EndpointWriter(server.url, "tiny", temperature=0.5, max_new_tokens=7)
    assert writer(["one", "two", "three"], seed=5) == ["ONE", "TWO", "THREE"]
    path, head, body = next(item for item in server.seen if item[2]["messages"][0]["content"] == "two")
    assert path == "/v1/chat/completions"
    assert body == {"model": "tiny", "messages": [{"role": "user", "content": "two"}], "seed": 6,
                    "temperature": 0.5, "max_tokens": 7}  # fmt: skip
    assert "Authorization" not in head


def test_a_busy_server_is_asked_again(server):
    server.replies = [(503, "busy"), (429, "slower")]
    assert EndpointWriter(server.url, "tiny", pause=0)(["one"], 0) == ["ONE"]
    assert len(server.seen) == 3


def test_a_server_that_stays_busy_is_given_up(server):
    server.replies = [(500, "on fire")] * 9
    with pytest.raises(ModelError, match=r"answered 500 .*on fire.*tiny"):
        EndpointWriter(server.url, "tiny", pause=0)(["one"], 0)
    assert len(server.seen) == 4


def test_a_refusal_is_told_at_once(server):
    server.replies = [(404, '{"error": "no model tiny"}')]
    with pytest.raises(ModelError, match=r"404 .*no model tiny"):
        EndpointWriter(server.url, "tiny", pause=0)(["one"], 0)
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", ["<html>", '{"choices": []}', "[1]"])
def test_what_is_no_chat_completion_is_told(server, body):
    server.replies = [(200, body)] * 9
    with pytest.raises(ModelError, match="gave no chat completion"):
        EndpointWriter(server.url, "tiny", pause=0)(["one"], 0)


def test_a_server_that_is_not_there_is_told(server):
    server.server.server_close()
    with pytest.raises(ModelError, match=r"did not answer: .*check the address"):
        EndpointWriter(server.url, "tiny", pause=0)(["one"], 0)


def test_the_key_is_sent_and_told_nowhere(server, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_API_KEY", "sk-secret")
    writer = EndpointWriter(server.url, "tiny", pause=0)
    server.replies = [(401, "bad key sk-secret")]
    with pytest.raises(ModelError) as error:
        writer(["one"], 0)
    assert server.seen[0][1]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(error.value) + repr(writer)


def test_the_key_is_not_carried_to_another_address(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.replies = [(302, "")]
    with pytest.raises(ModelError, match="answered 302"):
        EndpointWriter(server.url, "tiny", pause=0)(["one"], 0)
    assert len(server.seen) == 1


def test_the_key_does_not_go_over_the_net_in_the_clear(monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_API_KEY", "sk-secret")
    with pytest.raises(ConfigError, match=r"in the clear.*https"):
        EndpointWriter("http://models.example/v1", "tiny")
    assert EndpointWriter("https://models.example/v1/", "tiny").address == "https://models.example/v1/chat/completions"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8000", "ftp://models.example"])
def test_only_http_addresses_are_endpoints(url):
    with pytest.raises(ConfigError, match="no http address"):
        EndpointWriter(url, "tiny")


# --- models of this machine -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: str(make_language_model(folder / kind, kind, spread=0.5)) for kind in ("llama", "t5")}


@pytest.mark.parametrize(("kind", "chats"), [("llama", True), ("t5", False)])
def test_a_local_model_answers_every_prompt_and_alike_with_the_same_seed(models, kind, chats):
    writer = LocalWriter(models[kind], temperature=1.0, max_new_tokens=8)
    prompts = ["red box", "parcel late one two three", "app"] * 7  # more than are answered together
    first, other = writer(prompts, 3), writer(prompts, 4)
    assert writer.chats is chats
    assert len(first) == len(prompts)
    assert first == LocalWriter(models[kind], temperature=1.0, max_new_tokens=8)(prompts, 3)
    assert first != other


def test_a_prompt_longer_than_the_model_is_cut(models):
    assert len(LocalWriter(models["llama"], max_new_tokens=4)(["parcel " * 600], 0)) == 1


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A tiny random masked language model."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("masked")
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **size)
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_masked_model_expects_whole_words_in_each_place(masked):
    text = "the red parcel came late"
    found = MaskedModel(masked)(text, [(4, 7), (20, 24)], 3)
    assert [len(words) for words in found] == [3, 3]
    assert all(word.isalpha() and 0 < share < 1 for words in found for word, share in words)


def test_a_place_behind_what_the_model_reads_has_no_words(masked):
    text = "red " * 60
    assert MaskedModel(masked)(text, [(0, 3), (200, 203)], 2)[1] == []


def test_a_model_without_the_right_head_is_refused(tiny, models):
    with pytest.raises(ModelError, match="mask"):
        MaskedModel(tiny)("red box", [(0, 3)], 2)
    with pytest.raises(ModelError, match=r"mask|cannot be loaded"):
        MaskedModel(models["llama"])("red box", [(0, 3)], 2)
