"""Models that write for augmentation: a local folder, a hub id, or an endpoint that the user runs."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import decoding, models
from ..data import templates
from ..data.row import Dialogue, Offsets
from ..errors import ConfigError, ModelError

KEYS = ("TUNEWRIGHT_API_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set
LOCAL = ("localhost", "127.0.0.1", "::1")
TRIES = 4  # of a request that fails for a reason that may pass
PAUSE = 1.0  # seconds before the second try, twice as long before each further
LARGEST = 2**22  # bytes of an answer
AT_ONCE = 4  # requests: servers answer several together
PROMPTS = 16  # answered together by a local model


@dataclass
class LocalWriter:
    """A causal or sequence-to-sequence model of this machine.

    Args:
        name: an embedded alias, a local folder or a hub id.

    Raises ModelError where it is first asked and is no such model.
    """

    name: str
    temperature: float = 0.8
    max_new_tokens: int = 256
    trust_remote_code: bool = False

    @cached_property
    def source(self) -> models.Source:
        return models.locate(self.name, self.trust_remote_code)

    @property
    def chats(self) -> bool:
        return not self.source.config.is_encoder_decoder

    @cached_property
    def tokenizer(self) -> Any:
        return models.load_tokenizer(self.source)

    @cached_property
    def model(self) -> Any:
        kind = "AutoModelForCausalLM" if self.chats else "AutoModelForSeq2SeqLM"
        return on_device(complete(models.load_model(self.source, kind), self.name, "language model"))

    def __call__(self, prompts: Sequence[str], seed: int) -> list[str]:
        found = []
        for place in range(0, len(prompts), PROMPTS):
            ids = [self.ids(prompt) for prompt in prompts[place : place + PROMPTS]]
            found += self.write(ids, seed + place)
        return found

    def ids(self, prompt: str) -> list[int]:
        """As the model's own chat template has it, where there is one; a prompt too long loses its beginning."""
        template = templates.own_template(self.tokenizer)
        if self.chats and template:
            dialogue = Dialogue(({"role": "user", "content": prompt},))
            text = templates.render(self.tokenizer, template, dialogue, generation_prompt=True)
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(prompt)["input_ids"]
        room = (self.source.positions or 4096) - (min(self.max_new_tokens, 64) if self.chats else 0)
        return list(ids[-max(room, 1) :])

    def write(self, prompts: Sequence[Sequence[int]], seed: int) -> list[str]:
        import torch

        model, tokenizer = self.model, self.tokenizer
        writer, inputs, skipped = decoding.inputs_of(model, prompts, decoding.pad_id(tokenizer))
        template = templates.own_template(tokenizer) if self.chats else None
        ends = decoding.stops(tokenizer, templates.end_of_turn(tokenizer, template) if template else None)
        how = decoding.Decoding(self.max_new_tokens, self.temperature, 0.95, 1, 1.0).arguments()
        how = decoding.fitting(how, model, inputs["input_ids"].shape[1])
        torch.manual_seed(seed)
        with torch.no_grad():
            made = writer.generate(**inputs, eos_token_id=ends or None, pad_token_id=decoding.pad_id(tokenizer), **how)
        return [decoding.finished(row[skipped:].tolist(), set(ends), tokenizer)[0] for row in made]


def complete(model: Any, name: str, kind: str) -> Any:
    """The model, where none of its weights would be drawn by chance. Raises ModelError."""
    if model.new_parameters:
        what = f"has no weights of a {kind} (such as {min(model.new_parameters)})"
        raise ModelError(what, where=f"model: {name}", fix=f"name a {kind}")
    return model.eval()


def on_device(model: Any) -> Any:
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class MaskedModel:
    """A masked language model of this machine."""

    name: str
    trust_remote_code: bool = False

    @cached_property
    def parts(self) -> tuple[Any, Any, int]:
        """(model, tokenizer, the most tokens that it reads)."""
        source = models.locate(self.name, self.trust_remote_code)
        tokenizer = models.load_tokenizer(source)
        if tokenizer.mask_token_id is None:
            raise ModelError("has no mask token", where=f"model: {self.name}", fix="name a masked language model")
        model = complete(models.load_model(source, "AutoModelForMaskedLM"), self.name, "masked language model")
        return on_device(model), tokenizer, source.max_length

    def __call__(self, text: str, places: Sequence[Offsets], count: int) -> list[list[tuple[str, float]]]:
        """The likeliest whole words for each place, all of them masked; none for a place that is not read."""
        import torch

        model, tokenizer, room = self.parts
        masked, at = "", 0
        for start, end in places:
            masked, at = masked + text[at:start] + tokenizer.mask_token, end
        inputs = tokenizer(masked + text[at:], return_tensors="pt", truncation=True, max_length=room).to(model.device)
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            logits = model(**inputs).logits[0].float()
        spots = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
        found = [self.words(logits[spot].softmax(-1).topk(min(4 * count, logits.shape[-1])), count) for spot in spots]
        return found + [[] for _ in range(len(places) - len(spots))]

    def words(self, top: Any, count: int) -> list[tuple[str, float]]:
        """Those of the likeliest tokens that are words of their own."""
        tokenizer = self.parts[1]
        pairs = zip(tokenizer.convert_ids_to_tokens(top.indices.tolist()), top.values.tolist(), strict=True)
        bare = [(token.lstrip("Ġ▁"), token, share) for token, share in pairs]
        marked = any(
            token != word for word, token, _ in bare
        )  # of byte-level and unigram models: words begin with a mark
        return [(word, share) for word, token, share in bare if word.isalpha() and (token != word or not marked)][
            :count
        ]


@dataclass
class EndpointWriter:
    """An OpenAI-compatible endpoint that the user runs: POST {url}/chat/completions.

    The key comes from the environment (TUNEWRIGHT_API_KEY, else OPENAI_API_KEY), is sent to that address alone, over
    https or within this machine, and is told nowhere. Redirections are not followed.

    Args:
        url: as in http://localhost:8000/v1.
        model: its name there.
        timeout: seconds for one answer.

    Raises:
        ConfigError: the address is no http address, or the key would go over the net in the clear.
    """

    url: str
    model: str
    temperature: float = 0.8
    max_new_tokens: int = 256
    timeout: float = 120.0
    pause: float = PAUSE
    chats: bool = True
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            fix = "write it as http://localhost:8000/v1"
            raise ConfigError(f"{self.url!r} is no http address", where="--endpoint", fix=fix)
        self.key = self.key or next((os.environ[name] for name in KEYS if os.environ.get(name)), "")
        if self.key and parts.scheme == "http" and parts.hostname not in LOCAL:
            fix = f"use https, or unset {' and '.join(KEYS)}"
            raise ConfigError("the API key would be sent in the clear", where="--endpoint", fix=fix)

    @property
    def address(self) -> str:
        return self.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"

    def __call__(self, prompts: Sequence[str], seed: int) -> list[str]:
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            return list(pool.map(lambda item: self.answer(item[1], seed + item[0]), enumerate(prompts)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def answer(self, prompt: str, seed: int) -> str:
        """One answer; tried again where the server is busy or the line broke.

        Raises:
            ModelError: naming the address, and what came from it.
        """
        wrong = ""
        for number in range(TRIES):
            time.sleep(self.pause * 2 ** (number - 1) if number else 0)
            try:
                return self.ask(prompt, seed)
            except urllib.error.HTTPError as error:
                wrong = f"answered {error.code} {error.reason}: {self.quoted(error)}"
                if error.code not in (408, 409, 425, 429) and error.code < 500:
                    break
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                wrong = f"did not answer: {getattr(error, 'reason', None) or error}"
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                wrong = f"gave no chat completion: {type(error).__name__}: {error}"
        fix = f"check the address, the model's name ({self.model}) and that the server runs"
        raise ModelError(self.without_key(wrong), where=self.address, fix=fix)

    def ask(self, prompt: str, seed: int) -> str:
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], "seed": seed,
                "temperature": self.temperature, "max_tokens": self.max_new_tokens}  # fmt: skip
        head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        asked = urllib.request.Request(self.address, json.dumps(body).encode(), head, method="POST")
        with urllib.request.build_opener(Stay).open(asked, timeout=self.timeout) as reply:
            said = json.loads(reply.read(LARGEST))["choices"][0]["message"]["content"]
        return str(said or "")

    def quoted(self, error: urllib.error.HTTPError) -> str:
        try:
            return " ".join(error.read(2000).decode(errors="replace").split())[:200]
        except OSError:
            return ""

    def without_key(self, text: str) -> str:
        return text.replace(self.key, "...") if self.key else text


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: it would carry the texts, and the key, to an address that nobody typed."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None
