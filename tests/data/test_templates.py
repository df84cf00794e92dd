"""Templates: what a model reads, what of it is learned, and that it is served the same ids.

The renderings in golden_templates/ are for people to read: ⟦ ⟧ stand around what is learned, taken from the weights of
the tokens. After a change that is meant, write them anew and read the difference:

    TUNEWRIGHT_GOLDEN=write pytest tests/data/test_templates.py -k golden
"""

from __future__ import annotations

import copy
import itertools
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_dialogues import CALL, TOOLS, read_one
from tests.language_models import make_language_tokenizer
from tunewright.data import dialogues as rows_of
from tunewright.data import sources, templates, tokens
from tunewright.data.row import Dialogue
from tunewright.data.templates import DialogueEncoder
from tunewright.errors import ConfigError, DataError

GOLDEN = Path(__file__).parent / "golden_templates"
KINDS = ["llama", "qwen2", "gpt2", "sentencepiece"]

# Imitations of what hub models bring along, each with the habit that makes it hard.
ALTERNATING = """{{- bos_token -}}{%- for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Conversation roles must alternate user/assistant') -}}{%- endif -%}
{{- '[INST] ' + message.content + ' [/INST]' if message.role == 'user' else ' ' + message.content + eos_token -}}
{%- endfor -%}"""  # writes its own BOS, refuses system turns
THINKING = """{%- set told = namespace(last=0) -%}
{%- for message in messages if message.role == 'user' -%}{%- set told.last = loop.index0 -%}{%- endfor -%}
{%- set users = namespace(seen=0) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set users.seen = users.seen + 1 -%}{%- endif -%}
{{- '<' + message.role + '>\\n' -}}
{{- '<think>\\n\\n</think>\\n\\n' if message.role == 'assistant' and users.seen > told.last -}}
{{- message.content + eos_token + '\\n' -}}
{%- endfor -%}{{- '<assistant>\\n' if add_generation_prompt -}}"""  # forgets thoughts once a user goes on
FORCED = """{%- for message in messages -%}{{- '<' + message.role + '>' + message.content + eos_token -}}{%- endfor -%}
{{- '<assistant><think>\\n' if add_generation_prompt -}}"""  # its generation prompt is no prefix of the answer
ENDLESS = """{%- for message in messages -%}{{- message.role + ': ' + message.content + '\\n' -}}{%- endfor -%}
{{- 'assistant: ' if add_generation_prompt -}}"""  # writes no end of turn


@cache
def trained(kind: str):
    return sentencepiece_like() if kind == "sentencepiece" else make_language_tokenizer(kind)


def make_tokenizer(kind: str):
    """One of its own for each test, which may change it."""
    return copy.deepcopy(trained(kind))


def sentencepiece_like():
    """Blanks are part of the words behind them, and one is put in front; BOS; what is unknown falls back to bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback()])
    text = ["### Response: Instruction: the answer of the user is a red parcel and no more than that"] * 4
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_tokenizer(**special: str):
    """One token a byte, so that the goldens count what can be counted by hand; BOS where it has one."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in dict.fromkeys(special.values())])
    if "bos_token" in special:
        ids = [(special["bos_token"], tokenizer.token_to_id(special["bos_token"]))]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{special['bos_token']} $A", special_tokens=ids
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def dialogue(*contents: str, system: str | None = None) -> Dialogue:
    """User and assistant in turns."""
    roles = itertools.cycle(["user", "assistant"])
    turns = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return Dialogue((*([{"role": "system", "content": system}] if system else []), *turns))


def asked(whole: Dialogue) -> Dialogue:
    return Dialogue(whole.messages[:-1], whole.tools)


def learned(tokenizer, made) -> list[str]:
    """The texts of the runs of tokens that are learned."""
    runs = itertools.groupby(zip(made.ids, made.weights, strict=True), key=lambda pair: pair[1] == 1)
    return [tokenizer.decode([token for token, _ in run]) for is_learned, run in runs if is_learned]


# --- golden renderings ----------------------------------------------------------------------------------------------

TOOL_TURNS = [
    {"role": "user", "content": "Where is parcel 7?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": '{"state": "at the depot"}', "name": "find_order"},
    {"role": "assistant", "content": "Parcel 7 is at the depot."},
]
SHAREGPT = [
    {"from": "system", "value": "You answer for a parcel service."},
    {"from": "human", "value": "Where is parcel 7?"},
    {"from": "function_call", "value": '{"name": "find_order", "arguments": {"number": 7}}'},
    {"from": "observation", "value": '{"state": "at the depot"}'},
    {"from": "gpt", "value": "At the depot."},
]
MULTI = [
    {"role": "system", "content": "You answer for a parcel service."},
    {"role": "user", "content": "My parcel is late."},
    {"role": "assistant", "content": "I'm sorry. What is its number?"},
    {"role": "user", "content": "7, naïve 📦"},
    {"role": "assistant", "content": "It comes today 🚚"},
]
SAMPLES = {
    "messages, several turns": ("messages", {"messages": MULTI}),
    "messages, tools": ("messages", {"messages": TOOL_TURNS, "tools": TOOLS}),
    "sharegpt, several turns": ("sharegpt", {"conversations": [
        {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"},
        {"from": "human", "value": "My parcel is late."}, {"from": "gpt", "value": "I'm sorry."}]}),
    "sharegpt, tools": ("sharegpt", {"conversations": SHAREGPT}),
    "instruction with input": ("instruction", {"instruction": "Correct it.", "input": "teh box", "output": "the box"}),
    "instruction without input": ("instruction", {"instruction": "Name a colour.", "input": "", "output": "Red."}),
    "question and answer": ("instruction", {"question": "1 + 1?", "answer": "#### 2"}),
    "completion": ("completion", {"prompt": "The parcel was", "completion": " late."}),
    "classification": ("classification", {"text": "The box is broken.", "label": "damage"}),
    "question_answering": ("question_answering", {
        "question": "Where is it?", "context": "It is at the depot.", "answers": {"text": ["at the depot"]}}),
    "question_answering, unanswerable": ("question_answering", {
        "question": "Why?", "context": "It is at the depot.", "answers": {"text": []}}),
    "summarisation": ("summarisation", {"document": "The box came late and was broken.", "summary": "Late, broken."}),
}  # fmt: skip
LLAMA = {"bos_token": "<s>", "eos_token": "</s>"}


def golden_tokenizer(name: str):
    if name == "chatml":
        made = byte_tokenizer(eos_token="<|im_end|>")
        made.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
        return made
    return byte_tokenizer(**LLAMA)


def golden_template(name: str, tokenizer) -> str:
    own = {"own_alternating": ALTERNATING, "own_thinking": THINKING}
    if name in own:
        return own[name]
    return templates.choose("chatml" if name == "chatml_as_text" else name, tokenizer, "messages")[0]


def rendering(name: str) -> str:
    """Every sample in one template, for a person to read."""
    tokenizer = golden_tokenizer(name)
    encoder = DialogueEncoder(tokenizer, golden_template(name, tokenizer), 4096)
    return "\n".join(
        f"===== {title}\n{shown(tokenizer, encoder, shape, row)}\n" for title, (shape, row) in SAMPLES.items()
    )


def shown(tokenizer, encoder: DialogueEncoder, shape: str, row: dict) -> str:
    found = read_one(row, shape, known=("damage", "delay"))
    try:
        made = encoder.encode([found.dialogue])[0]
    except DataError as error:
        return f"----- refused: {error.what}"
    return f"{marked(tokenizer, made.ids, made.weights)}\n----- {counted(made.ids, made.weights, made.faults)}"


def marked(tokenizer, ids, weights) -> str:
    runs = itertools.groupby(zip(ids, weights, strict=True), key=lambda pair: bool(pair[1]))
    texts = [(is_learned, tokenizer.decode([token for token, _ in run])) for is_learned, run in runs]
    return "".join(f"⟦{text}⟧" if is_learned else text for is_learned, text in texts)


def counted(ids, weights, faults=()) -> str:
    return "; ".join([f"{len(ids)} tokens, {int(np.count_nonzero(weights))} learned", *faults])


def golden(name: str, made: str) -> str:
    """What was written down before; how to write it anew: top of this file."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("TUNEWRIGHT_GOLDEN") == "write":
        path.write_text(made, encoding="utf-8")
    return path.read_text(encoding="utf-8")


GOLDENS = ["chatml", "chatml_as_text", "alpaca", "instruction", "plain", "own_alternating", "own_thinking"]


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_renderings(name):  # D4
    made = rendering(name)
    assert made == golden(name, made)


def test_golden_rendering_of_plain_texts():
    tokenizer = byte_tokenizer(**LLAMA)
    ids = next(tokens.documents(["Once upon a time."], tokenizer)).tolist()
    weights = [0, *[1] * (len(ids) - 1)]
    made = f"===== text\n{marked(tokenizer, ids, weights)}\n----- {counted(ids, weights)}\n"
    assert made == golden("text", made)


# --- one beginning, an end that is learned, a masked prompt ---------------------------------------------------------


@pytest.mark.parametrize("name", templates.FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_turn_is_learned_and_the_prompt_is_not(kind, name):  # D3, D4: GPT-2 has one token for all of it
    tokenizer = make_tokenizer(kind)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    template, _ = templates.choose(name, tokenizer, "messages")
    made = DialogueEncoder(tokenizer, template, 512).encode([dialogue("red?", "no", "blue?", "yes")])[0]
    end = templates.closing(tokenizer, template) + tokenizer.eos_token
    assert [run.lstrip() for run in learned(tokenizer, made)] == [f"no{end}", f"yes{end}"]
    assert made.ids[-1] == templates.end_of_turn(tokenizer, template) == tokenizer.eos_token_id
    assert made.weights[-1] == 1


@pytest.mark.parametrize("template", ["chatml", "plain", ALTERNATING])
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_beginning_of_sequence(kind, template):  # D4
    tokenizer = make_tokenizer(kind)
    if template == ALTERNATING and tokenizer.bos_token is None:
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    text = template if template == ALTERNATING else templates.choose(template, tokenizer, "messages")[0]
    encoder = DialogueEncoder(tokenizer, text, 512)
    made = encoder.encode([dialogue("red?", "no")])[0]
    writes = kind in ("llama", "sentencepiece") or template == ALTERNATING
    bos = tokenizer.bos_token_id
    assert (made.ids[0] == bos) == (bos is not None and writes)
    assert bos is None or made.ids[:2] != [bos, bos]
    assert made.weights[0] == 0
    assert encoder.encode_prompts([dialogue("red?")])[0] == made.ids[: made.prompt]


def test_a_template_without_an_end_of_turn_gets_one():
    tokenizer = make_tokenizer("llama")
    assert templates.end_of_turn(tokenizer, ENDLESS) is None
    made = DialogueEncoder(tokenizer, ENDLESS, 512).encode([dialogue("red?", "no")])[0]
    assert made.ids[-1] == tokenizer.eos_token_id
    assert made.weights[-1] == 1
    pair = DialogueEncoder(tokenizer, ENDLESS, 512).pairs([dialogue("red?")], [(turn("no"), turn("yes"))])[0]
    assert pair.chosen[-1] == pair.rejected[-1] == tokenizer.eos_token_id


def test_what_stands_before_the_end_of_turn_as_text_is_known():
    """A tokenizer without the token <|im_end|> writes it letter by letter, and so will the model."""
    for kind, expected in (("llama", "<|im_end|>"), ("qwen2", "")):
        tokenizer = make_tokenizer(kind)
        assert templates.closing(tokenizer, templates.choose("chatml", tokenizer, "messages")[0]) == expected
        assert templates.closing(tokenizer, templates.choose("alpaca", tokenizer, "messages")[0]) == ""


@pytest.mark.parametrize(
    ("loss_on", "weight", "sums"),
    [("answers", 0.0, 2), ("last_answer", 0.0, 1), ("answers", 0.25, 2), ("everything", 0.0, None)],
)
def test_what_the_loss_is_on(loss_on, weight, sums):
    tokenizer = make_tokenizer("llama")
    template, _ = templates.choose("plain", tokenizer, "messages")
    made = DialogueEncoder(tokenizer, template, 512, loss_on, weight).encode([dialogue("red?", "no", "blue?", "yes")])[
        0
    ]
    assert made.weights.dtype == np.float32
    assert made.weights[0] == 0
    if sums is None:
        assert (made.weights[1:] == 1).all()
        return
    assert learned(tokenizer, made) == ["no</s>", "yes</s>"][-sums:]
    assert set(made.weights[1:].tolist()) == {1.0, weight}


# --- train-to-serve parity ------------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("ab pcel\n\t.é中😀́ :#"), min_size=1, max_size=8)


@pytest.mark.parametrize("name", [*templates.FORMATS, "alternating", "thinking", "endless"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_served_is_what_was_trained(kind, name):
    tokenizer = make_tokenizer(kind)
    if tokenizer.bos_token is None:
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    own = {"alternating": ALTERNATING, "thinking": THINKING, "endless": ENDLESS}
    template = own.get(name) or templates.choose(name, tokenizer, "messages")[0]
    encoders = [DialogueEncoder(tokenizer, template, 4096, loss_on) for loss_on in ("answers", "last_answer")]

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.lists(TEXTS, min_size=2, max_size=6).filter(lambda texts: len(texts) % 2 == 0))
    def same_ids(contents):
        whole = dialogue(*contents)
        for encoder in encoders:
            made, prompt = encoder.encode([whole])[0], encoder.encode_prompts([asked(whole)])[0]
            assert prompt == made.ids[: made.prompt]
            assert made.weights[made.prompt :].all()

    same_ids()


@pytest.mark.parametrize("name", templates.FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_makes_the_same_ids(kind, name):
    """Whoever serves the model without this library: the template is stored with the tokenizer."""
    tokenizer = make_tokenizer(kind)
    tokenizer.chat_template, _ = templates.choose(name, tokenizer, "messages")
    encoder = DialogueEncoder(tokenizer, tokenizer.chat_template, 512)
    whole = dialogue("Is the parcel red?", "No.", "Why?", "It is blue.", system="Be kind.")
    theirs = tokenizer.apply_chat_template(list(asked(whole).messages), add_generation_prompt=True)["input_ids"]
    made = encoder.encode([whole])[0]
    assert made.faults == ()
    assert made.ids[: made.prompt] == [*encoder.front, *theirs]


# --- faults that are counted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_merges_with_its_prompt_is_tokenised_apart(kind):  # D5
    tokenizer = make_tokenizer(kind)
    template, _ = templates.choose("plain", tokenizer, "completion")
    word = "parcel"
    apart = next(at for at in range(1, 6) if tokenizer.tokenize(word)[0] not in (word[:at], "▁" + word[:at]))
    encoder = DialogueEncoder(tokenizer, template, 512)
    merged, clean = encoder.encode([dialogue(f"a {word[:apart]}", word[apart:]), dialogue("1", "2")])
    assert merged.faults == (templates.MERGED,)
    assert clean.faults == ()
    prompt = tokenizer(f"a {word[:apart]}", add_special_tokens=False)["input_ids"]
    assert merged.ids[: merged.prompt] == [*encoder.front, *prompt]
    assert tokenizer.decode(merged.ids[merged.prompt :]).strip() == word[apart:] + tokenizer.eos_token


def test_answers_that_a_template_rewrites_later_are_not_learned():
    tokenizer = make_tokenizer("llama")
    made = DialogueEncoder(tokenizer, THINKING, 512).encode([dialogue("red?", "no", "blue?", "yes")])[0]
    assert learned(tokenizer, made) == ["<think>\n\n</think>\n\nyes</s>"]
    assert made.faults == (templates.REWRITTEN,)


def test_a_generation_prompt_that_is_no_prefix_is_counted():
    tokenizer = make_tokenizer("llama")
    made = DialogueEncoder(tokenizer, FORCED, 512).encode([dialogue("red?", "no")])[0]
    assert learned(tokenizer, made) == ["no</s>"]
    assert made.faults == (templates.NO_PREFIX,)


def test_what_a_template_leaves_out_is_counted():
    """Templates of models that know no tools drop them without a word."""
    called = Dialogue(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}))
    tokenizer = make_tokenizer("llama")
    made = DialogueEncoder(tokenizer, THINKING, 512).encode([called, Dialogue(called.messages, tuple(TOOLS))])
    assert [item.faults for item in made] == [
        (templates.ALTERED,), (templates.ALTERED, templates.TOOLS_LEFT_OUT)]  # fmt: skip
    chatml, _ = templates.choose("chatml", tokenizer, "messages")
    assert DialogueEncoder(tokenizer, chatml, 512).encode([Dialogue(called.messages, tuple(TOOLS))])[0].faults == ()


def test_an_answer_to_nothing_is_not_learned():
    tokenizer = make_tokenizer("llama")
    template, _ = templates.choose("chatml", tokenizer, "messages")
    greeted = Dialogue(({"role": "assistant", "content": "hello"}, *dialogue("red?", "no").messages))
    made = DialogueEncoder(tokenizer, template, 512).encode([greeted])[0]
    assert learned(tokenizer, made) == ["no<|im_end|></s>"]
    assert made.faults == (templates.OPENING,)


@pytest.mark.parametrize("names", [(), ("inbox.jsonl, row 118", "inbox.jsonl, row 119")])
def test_a_dialogue_that_the_template_refuses_is_named(names):
    encoder = DialogueEncoder(make_tokenizer("llama"), ALTERNATING, 512)
    given = [dialogue("red?", "no"), dialogue("red?", "no", system="Be kind.")]
    where = names[1] if names else "dialogue 2"
    with pytest.raises(
        DataError, match=f"{where}: the template refuses the dialogue: Conversation roles must alternate"
    ):
        encoder.encode(given, names)
    with pytest.raises(DataError, match=where):
        encoder.encode_prompts([asked(item) for item in given], names)


# --- length ---------------------------------------------------------------------------------------------------------


def test_what_is_cut_is_counted():  # D2
    tokenizer = byte_tokenizer(**LLAMA)
    template, _ = templates.choose("plain", tokenizer, "completion")
    whole = dialogue("12345", "678")  # <s> 12345 678 </s>: 10 tokens
    cuts = {most: DialogueEncoder(tokenizer, template, most).encode([whole])[0] for most in (10, 9, 7, 4)}
    assert [(len(made.ids), made.truncated, made.answer_cut) for made in cuts.values()] == [
        (10, 0, False), (9, 1, True), (7, 3, True), (4, 6, True)]  # fmt: skip
    assert [int(made.weights.sum()) for made in cuts.values()] == [4, 3, 1, 0]
    assert {made.prompt for made in cuts.values()} == {6}


# --- preferences ----------------------------------------------------------------------------------------------------


def turn(content: str) -> tuple[dict, ...]:
    return ({"role": "assistant", "content": content},)


@pytest.mark.parametrize("name", [*templates.FORMATS, "thinking"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_answers_stand_behind_the_ids_that_are_served(kind, name):
    tokenizer = make_tokenizer(kind)
    template = THINKING if name == "thinking" else templates.choose(name, tokenizer, "messages")[0]
    encoder = DialogueEncoder(tokenizer, template, 4096)

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.lists(TEXTS, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2), TEXTS, TEXTS)
    def same_prompt(contents, better, worse):
        prompt, first, second = dialogue(*contents), turn(better), turn(worse)
        pair = encoder.pairs([prompt], [(first, second)])[0]
        assert pair.prompt == encoder.encode_prompts([prompt])[0]
        alone = encoder.encode([Dialogue((*prompt.messages, *first)), Dialogue((*prompt.messages, *second))])
        if templates.MERGED not in pair.faults:
            assert [*pair.prompt, *pair.chosen] == alone[0].ids
            assert [*pair.prompt, *pair.rejected] == alone[1].ids

    same_prompt()


def test_if_one_answer_merges_with_the_prompt_both_are_tokenised_apart():  # D5
    tokenizer = make_tokenizer("gpt2")
    template, _ = templates.choose("plain", tokenizer, "completion")
    pair = DialogueEncoder(tokenizer, template, 512).pairs([dialogue("a par")], [(turn("cel"), turn(" red"))])[0]
    assert pair.faults == (templates.MERGED,)
    assert pair.prompt == tokenizer("a par")["input_ids"]
    assert [tokenizer.decode(ids) for ids in (pair.chosen, pair.rejected)] == ["cel<|endoftext|>", " red<|endoftext|>"]


def test_the_ends_of_answers_are_cut_and_counted():
    tokenizer = byte_tokenizer(**LLAMA)
    template, _ = templates.choose("plain", tokenizer, "completion")
    pair = DialogueEncoder(tokenizer, template, 8).pairs([dialogue("12345")], [(turn("678"), turn("9"))])[0]
    assert [len(ids) for ids in (pair.prompt, pair.chosen, pair.rejected)] == [6, 2, 2]
    assert pair.truncated == 2


# --- which template -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "own", "shape", "note"),
    [
        ("auto", ENDLESS, "messages", "template: the tokenizer's own (it has one)"),
        ("auto", {"default": ENDLESS, "tool_use": "x"}, "instruction", "template: the tokenizer's own (it has one)"),
        ("auto", ENDLESS, "completion", "template: plain (prompts are fed as they stand)"),
        ("auto", None, "instruction", "template: alpaca (the tokenizer has none)"),
        ("auto", None, "classification", "template: chatml (the tokenizer has none)"),
        ("alpaca", ENDLESS, "messages", "template: alpaca"),
    ],
)
def test_the_template_that_suits_is_chosen_and_said(name, own, shape, note):
    tokenizer = make_tokenizer("llama")
    tokenizer.chat_template = own
    text, said = templates.choose(name, tokenizer, shape)
    assert said == note
    if "own" in note:
        assert text == ENDLESS


def test_a_template_of_ones_own(tmp_path):
    (tmp_path / "mine.jinja").write_text(ALTERNATING)
    assert templates.choose(str(tmp_path / "mine.jinja"), make_tokenizer("llama"), "text")[0] == ALTERNATING


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tokenizer", None, "the tokenizer has no template"),
        ("chatlm", None, "did you mean 'chatml'"),
        ("none.jinja", None, "cannot be read"),
        ("bad.jinja", "{{ a }}\n{% for %}\n", "line 2: "),
        ("bad.jinja", "{{ messages[0].content", "line 1: "),
    ],
)
def test_a_template_that_is_none_is_refused(tmp_path, monkeypatch, name, text, said):
    monkeypatch.chdir(tmp_path)
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        templates.choose(name, make_tokenizer("llama"), "messages")


@pytest.mark.real_data
def test_no_answer_of_public_data_goes_unlearned(real_data):
    table = sources.read(str(real_data / "dolly_3k" / "dolly_3k.json"))
    roles = rows_of.roles(table, "instruction", None, None)
    rows = [rows_of.read(table, index, roles, "instruction", True) for index in range(300)]
    tokenizer = make_tokenizer("llama")
    encoder = DialogueEncoder(tokenizer, templates.choose("alpaca", tokenizer, "instruction")[0], 100_000)
    for row, made in zip(rows, encoder.encode([row.dialogue for row in rows]), strict=True):
        assert learned(tokenizer, made) == [f"{row.label}</s>"]
        assert made.faults == ()
