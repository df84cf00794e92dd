"""Writing answers: batched, padded on the left, with a cache of keys and values; greedy, sampled or by beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .data.tokens import padded

if TYPE_CHECKING:
    from torch import nn

PADDED_TOKENS = 16_384  # of prompts and answers that are written together
CACHE_BYTES = 2**31  # of their keys and values: 16,384 tokens of a 7B Llama would take 17 GB
NO_HABITS = {  # what checkpoints' own generation_config asks for: summaries of at least 56 tokens, say
    "min_length": 0, "min_new_tokens": None, "length_penalty": 1.0, "early_stopping": False, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "forced_bos_token_id": None, "forced_eos_token_id": None, "bad_words_ids": None,
    "suppress_tokens": None, "begin_suppress_tokens": None, "exponential_decay_length_penalty": None,
}  # fmt: skip


@dataclass(frozen=True)
class Decoding:
    """How answers are written; see the fields of the same names in tasks/generative.py."""

    max_new_tokens: int
    temperature: float
    top_p: float
    num_beams: int
    repetition_penalty: float

    @classmethod
    def of(cls, task: Any) -> Decoding:
        return cls(task.max_new_tokens, task.temperature, task.top_p, task.num_beams, task.repetition_penalty)

    def arguments(self) -> dict[str, Any]:
        """As `generate` takes them; everything said, so that no model's own generation_config has a say."""
        sampled = {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if self.temperature > 0 else {}
        return {
            **NO_HABITS,
            "do_sample": self.temperature > 0,
            "num_beams": self.num_beams,
            "repetition_penalty": self.repetition_penalty,
            "max_new_tokens": self.max_new_tokens,
            **sampled,
        }


def write(
    model: nn.Module, tokenizer: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, end: int | None,
    streamer: Any = None,
) -> list[tuple[str, int, bool]]:  # fmt: skip
    """Answers to prompts of token ids.

    Args:
        end: the token that ends a turn, where it is not the end of sequence.
        streamer: transformers' own kind; hears of tokens as they come (one prompt at a time).

    Returns:
        (text without special tokens, tokens, whether the turn was ended) for each prompt, in their order.
    """
    if not prompts:
        return []
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    size = rows_together(model.config, len(prompts[order[0]]) + decoding.max_new_tokens, decoding.num_beams)
    found: dict[int, tuple[str, int, bool]] = {}
    room = lambda place: fitting(decoding.arguments(), model, len(prompts[place]))["max_new_tokens"]  # noqa: E731
    while order:
        cramped = room(order[0]) < room(order[-1])  # by itself: its neighbours' answers must not end with its own (D9)
        part, order = (order[:1], order[1:]) if cramped else (order[:size], order[size:])
        made = write_batch(model, tokenizer, [prompts[place] for place in part], decoding, end, streamer)
        found.update(zip(part, made, strict=True))
    return [found[place] for place in range(len(prompts))]


def rows_together(config: Any, tokens: int, num_beams: int = 1) -> int:
    """How many answers are written at a time, of so many tokens each, their prompts included."""
    return max(1, min(PADDED_TOKENS, CACHE_BYTES // cache_bytes(config)) // tokens // num_beams)


def cache_bytes(config: Any) -> int:
    """Of a token's keys and values in all blocks, in fp32."""
    from .heads import sizes

    model = sizes(config)
    groups = getattr(config, "num_key_value_heads", None) or model["num_attention_heads"]
    return 4 * 2 * model["num_layers"] * model["token_dim"] * groups // model["num_attention_heads"]


def write_batch(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, end: int | None, streamer: Any
) -> list[tuple[str, int, bool]]:
    import torch

    ends = stops(tokenizer, end)
    writer, inputs, skipped = inputs_of(model, prompts, pad_id(tokenizer))
    arguments = fitting(decoding.arguments(), model, next(iter(inputs.values())).shape[1])
    with torch.no_grad():
        if decoding.temperature > 0:
            torch.manual_seed(0)  # the same prompts are answered alike again
        whole = writer.generate(
            **inputs, eos_token_id=ends or None, pad_token_id=pad_id(tokenizer), streamer=streamer, **arguments
        )
    return [finished(row[skipped:].tolist(), set(ends), tokenizer) for row in whole]


def inputs_of(model: Any, prompts: Sequence[Sequence[int]], pad: int) -> tuple[Any, dict[str, Any], int]:
    """(the model to ask, what `generate` takes, and how many tokens of what it returns are no answer)."""
    device = next(model.parameters()).device
    reads = bool(model.config.is_encoder_decoder)  # the prompt is the encoder's, and stands in no answer
    left = not reads  # so that all of a decoder's answers begin at the same place
    ids = padded(prompts, pad, left).to(device)
    mask = padded([[1] * len(prompt) for prompt in prompts], 0, left).to(device)
    if not reads and "PROMPT_TUNING" in str(getattr(getattr(model, "active_peft_config", None), "peft_type", "")):
        from .heads import with_virtual_tokens

        # PEFT would put virtual tokens before the padding, and answer otherwise than to a prompt alone
        return model.get_base_model(), with_virtual_tokens(model, ids, mask), 0
    return model, {"input_ids": ids, "attention_mask": mask}, 1 if reads else ids.shape[1]


def finished(tokens: list[int], ends: set[int], tokenizer: Any) -> tuple[str, int, bool]:
    """The answer up to its end."""
    place = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tokens if place is None else tokens[:place]
    return tokenizer.decode(kept, skip_special_tokens=True).strip(), len(kept), place is not None


def pad_id(tokenizer: Any) -> int:
    """Some token under the mask; it is never read."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0)


def stops(tokenizer: Any, end: int | None) -> list[int]:
    """Tokens that end an answer: the template's end of turn and the end of sequence."""
    return sorted({token for token in (end, tokenizer.eos_token_id) if token is not None})


def fitting(arguments: dict[str, Any], model: Any, prompt: int) -> dict[str, Any]:
    """No more new tokens than the model has positions for; an encoder-decoder's answer has positions of its own."""
    config = model.config
    positions = getattr(config, "max_position_embeddings", None)
    if config.is_encoder_decoder:
        prompt = 1  # what it starts from
    else:
        positions = positions or getattr(config, "n_positions", None)
    if positions is None:
        return arguments
    return {**arguments, "max_new_tokens": max(1, min(arguments["max_new_tokens"], int(positions) - prompt))}
