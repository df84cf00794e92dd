"""Tiny random language models with byte-level tokenizers: Llama, Qwen, GPT-2, T5, BART."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import WORDS

DECODERS = ["llama", "qwen2", "gpt2"]
ENCODER_DECODERS = ["t5", "bart"]
SPECIAL = {  # GPT-2 has one special token for everything, and none to pad with (FINDINGS 14)
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
    "t5": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "bart": {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "qwen2": {"pad_token": "<pad>", "eos_token": "<|im_end|>"},
    "llama": {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"},
}
CORPUS = [" ".join(WORDS), "Instruction: Input: Response: ### user assistant system", '{"topic": "billing"}'] * 4


def make_language_tokenizer(kind: str = "llama") -> Any:
    """A byte-level BPE of about 400 tokens with the special tokens of its kind; Llama's puts a BOS in front."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = SPECIAL[kind]
    tokens = list(dict.fromkeys([*special.values(), *(["<|im_start|>"] if kind == "qwen2" else [])]))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[AddedToken(token, special=True) for token in tokens],
        initial_alphabet=sorted(alphabet), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    around = {"llama": "<s> $A", "bart": "<s> $A </s>", "t5": "$A </s>"}.get(kind)
    if around:
        ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>") if token in around]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def make_language_model(folder: Path, kind: str = "llama", spread: float = 0.02, seed: int = 1) -> Path:
    """A tiny random language model with its tokenizer, as `from_pretrained` wants it. `spread`: of its weights."""
    import torch
    import transformers

    tokenizer = make_language_tokenizer(kind)
    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
        for name in ("bos", "eos", "pad")
        if getattr(tokenizer, f"{name}_token_id") is not None
    }
    size: dict[str, Any] = {"vocab_size": len(tokenizer), **ids}
    plain = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
             "max_position_embeddings": 256, "num_key_value_heads": 2}  # fmt: skip
    config: Any
    if kind == "llama":
        config = transformers.LlamaConfig(**size, **plain)
    elif kind == "qwen2":
        config = transformers.Qwen2Config(**size, **plain, tie_word_embeddings=True)
    elif kind == "gpt2":
        config = transformers.GPT2Config(**size, n_embd=32, n_layer=2, n_head=4, n_positions=256)
    elif kind == "t5":
        start = {"decoder_start_token_id": tokenizer.pad_token_id}
        config = transformers.T5Config(**size, **start, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    else:
        start = {"decoder_start_token_id": tokenizer.eos_token_id, "forced_eos_token_id": None}
        halves = {f"{half}_{name}": value for half in ("encoder", "decoder")
                  for name, value in {"layers": 2, "attention_heads": 4, "ffn_dim": 64}.items()}  # fmt: skip
        config = transformers.BartConfig(**size, **start, **halves, d_model=32, max_position_embeddings=256)
    config.initializer_range = config.init_std = spread
    torch.manual_seed(seed)
    auto = transformers.AutoModelForSeq2SeqLM if kind in ENCODER_DECODERS else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dressed(task: Any, folder: Path, kind: str) -> tuple[Any, Any]:
    """A task's model with visible weights, and the tokenizer that it dressed."""
    from tunewright.models import locate

    path = make_language_model(folder / kind, kind, spread=0.3)
    tokenizer = make_language_tokenizer(kind)
    task.dress(tokenizer)
    return task.build(locate(str(path))).eval(), tokenizer
