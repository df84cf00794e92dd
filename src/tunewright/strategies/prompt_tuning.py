"""Prompt tuning: trained embeddings before those of the text (Lester et al. 2021), through PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from .base import Defaults, Scale
from .peft import VirtualTokens, wrap_prompt

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task


class PromptTuning(VirtualTokens):
    """Trains virtual tokens in front of the text, and the head; labels and spans keep to the text's own positions."""

    kind: Literal["prompt_tuning"] = "prompt_tuning"
    init_text: str | None = Field(
        None,
        min_length=1,
        description="start from this text's embeddings, repeated to length; else random words'",
    )

    def defaults(self, scale: Scale) -> Defaults:
        """1e-2 for AdamW (Lester et al. 2021, section 3: 0.3 for Adafactor with relative steps)."""
        return Defaults(1e-2, scale.epochs(5, 20), scale.batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        import peft

        from ..heads import encoder_of

        inner: Any = encoder_of(model)
        words = self.starting_words(model)
        shape = {
            "num_virtual_tokens": self.num_virtual_tokens,
            "token_dim": inner.get_input_embeddings().embedding_dim,  # ELECTRA's are narrower than its blocks
            "num_transformer_submodules": 1,  # else PEFT makes as many for the decoder, and never reads them
        }
        changed = wrap_prompt(model, task, peft.PromptTuningConfig, **shape)
        start(changed, words)
        return changed

    def starting_words(self, model: Any) -> list[int]:
        """Ids of the words whose embeddings the prompt starts from (Lester et al. 2021, section 3.2)."""
        import torch

        from ..heads import encoder_of

        inner: Any = encoder_of(model)
        if self.init_text is None:
            common = min(5000, inner.config.vocab_size)  # the paper samples the 5,000 most common words
            return torch.randint(common, (self.num_virtual_tokens,)).tolist()
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(inner.name_or_path, local_files_only=True)
        ids = tokenizer(self.init_text, add_special_tokens=False)["input_ids"] or [tokenizer.unk_token_id or 0]
        return [ids[place % len(ids)] for place in range(self.num_virtual_tokens)]


def start(model: Any, words: list[int]) -> None:
    """Copies the words' embeddings into the virtual tokens."""
    import torch

    from ..heads import encoder_of

    inner: Any = encoder_of(model)
    prompt = inner.prompt_encoder[inner.active_adapter].embedding.weight
    with torch.no_grad():
        prompt.copy_(inner.word_embeddings(torch.tensor(words, device=inner.word_embeddings.weight.device)))
