"""The frozen bottom is run once, and the run is the one that it would have been without."""

from __future__ import annotations

import errno
import os
from functools import partial

import numpy as np
import pytest
import torch

import tunewright as tw
import tunewright.files as files_of_ours
from tests.conftest import WORDS, make_model, make_tokenizer, weights_of
from tests.matrix.conftest import ARCHITECTURES, data_for
from tests.training.test_resume import Heard
from tunewright import models
from tunewright.config import load
from tunewright.files import cache_folder
from tunewright.run import train
from tunewright.tasks.base import Row
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training import prefix
from tunewright.training.prefix import Bottom, PrefixCache

TEXTS = ["invoice money", "broken red box late parcel", "app", "one two three four door driver login label"]


def forget(monkeypatch) -> None:
    monkeypatch.setattr(PrefixCache, "get", lambda *arguments: None)


def files() -> list:
    return sorted((cache_folder() / "prefix").glob("*"))


def heard(raw: dict) -> list[str]:
    listener = Heard()
    assert train(load(raw), listener=listener).metrics["stopped"] == "completed"
    return [note for note in listener.notes if note.startswith("hidden states")]


def gap(first: dict, second: dict) -> float:
    left, right = weights_of(first["out"]), weights_of(second["out"])
    assert left.keys() == right.keys()
    # a bias below a softmax over positions has no gradient but rounding, of which AdamW makes steps of full length
    names = [name for name in left if not name.endswith("qa_outputs.bias")]
    return max(float((left[name] - right[name]).abs().max()) for name in names)


# --- runs -----------------------------------------------------------------------------------------------------------

CHOSEN = {
    "sequence_classification": {"kind": "freeze"},
    "token_classification": {"kind": "feature_extraction"},
    "question_answering": {"kind": "gradual_unfreezing", "at": [2]},
}


@pytest.mark.parametrize(("task", "architecture"), [*zip([*CHOSEN, "question_answering"], ARCHITECTURES, strict=True)])
def test_a_run_with_the_cache_equals_the_run_without(tmp_path, monkeypatch, task, architecture):  # N7
    """Windows of 14 tokens: some rows have several."""
    train_file, validation = data_for(task, tmp_path)
    model = make_model(tmp_path / "model", architecture)

    def raw(name: str) -> dict:
        training = {"epochs": 3, "batch_size": 8, "micro_batch_size": 3, "precision": "fp32", "learning_rate": 1e-3}
        data = {"train": train_file, "validation": validation, "max_length": 14, "check_seconds": 0}
        chosen = {"kind": task, **({"long_text": "windows", "window_overlap": 4} if task.startswith("seq") else {})}
        return {"model": str(model), "data": data, "task": chosen, "strategy": CHOSEN[task],
                "training": training, "out": str(tmp_path / name)}  # fmt: skip

    blocks = 1 if CHOSEN[task]["kind"] == "freeze" else 2
    assert heard(raw("cached")) == [f"hidden states of the {blocks} frozen blocks: computed once"]
    forget(monkeypatch)
    assert heard(raw("plain")) == []
    assert gap(raw("cached"), raw("plain")) < 1e-6


def test_the_blocks_below_run_only_once(small, monkeypatch):
    from transformers.models.bert.modeling_bert import BertLayer

    rows = []
    forward = BertLayer.forward

    def counted(self, hidden, *arguments, **named):
        if self.training and torch.is_grad_enabled():
            rows.append(len(hidden))
        return forward(self, hidden, *arguments, **named)

    monkeypatch.setattr(BertLayer, "forward", counted)
    tw.train(small("cached", {"kind": "freeze", "blocks": 2}, epochs=4), progress=False)
    assert not rows  # in evaluation mode, and for the cache: never in a step
    tw.train(small("upper", {"kind": "freeze", "blocks": 1}, epochs=4), progress=False)
    assert sum(rows) == 4 * 43


def test_switched_off_the_frozen_blocks_run_in_each_pass_to_the_same_end(small):  # N7
    on, off = small("on", "freeze", precision="fp32"), small("off", "freeze", precision="fp32", prefix_cache=False)
    assert heard(off) == []
    assert not files()
    assert len(heard(on)) == 1
    assert gap(on, off) < 1e-6


@pytest.mark.parametrize(
    ("strategy", "training", "below"),
    [({"kind": "freeze", "blocks": 1}, {"prefix_cache": False}, [False, False]), ("lora", {}, [False, True])],
)
def test_nothing_below_the_lowest_trainable_parameter_asks_for_gradients(small, monkeypatch, strategy, training, below):
    from transformers.models.bert.modeling_bert import BertLayer

    asks = []
    forward = BertLayer.forward

    def watched(self, hidden, *arguments, **named):
        if torch.is_grad_enabled():
            asks.append(hidden.requires_grad)  # of what the blocks and embeddings below made
        return forward(self, hidden, *arguments, **named)

    monkeypatch.setattr(BertLayer, "forward", watched)
    tw.train(small("run", strategy, **training), progress=False)
    assert asks == below * (len(asks) // 2)
    assert asks


def test_what_was_used_longest_ago_makes_room(small, monkeypatch):
    heard(small("first", "freeze"))
    (first,) = files()
    os.utime(first, (1, 1))
    used = sum(
        path.stat().st_size for path in cache_folder().rglob("*") if path.is_file() and path.parent != cache_folder()
    )
    free = files_of_ours.shutil.disk_usage(cache_folder()).free
    monkeypatch.setattr(files_of_ours, "SHARE_OF_DISK", (used + first.stat().st_size / 2) / (used + free))
    heard(small("second", {"kind": "freeze", "blocks": 2}))
    assert first not in files()
    assert len(files()) == 1


def test_a_second_run_finds_what_the_first_computed(small):
    assert heard(small("first", "freeze")) == ["hidden states of the 1 frozen blocks: computed once"]
    (file,) = files()
    written = file.stat().st_ino
    assert heard(small("again", {"kind": "freeze", "head_learning_rate": 2})) == [
        "hidden states of the 1 frozen blocks: cached"
    ]
    assert file.stat().st_ino == written


def test_another_model_precision_number_of_blocks_or_data_never_hits(small, tmp_path):  # N7
    heard(small("first", "freeze"))
    others = [
        small("blocks", {"kind": "freeze", "blocks": 2}),
        small("model", "freeze") | {"model": str(make_model(tmp_path / "other", "roberta"))},
        small("precision", "freeze", precision="bf16"),
        small("data", "freeze"),
        small("length", "freeze"),
    ]
    others[3]["data"] = others[3]["data"] | {"limit": 40}
    others[4]["data"] = others[4]["data"] | {"max_length": 6}
    for number, raw in enumerate(others, 2):
        (said,) = heard(raw)
        assert said.endswith("computed once")
        assert len(files()) == number


def test_a_single_pass_is_not_worth_a_cache(small):
    assert heard(small("run", "freeze", epochs=1)) == []
    assert not files()


# --- where it can't be had ------------------------------------------------------------------------------------------


def test_without_room_the_run_goes_on_uncached(small, monkeypatch):
    monkeypatch.setattr(files_of_ours, "SHARE_OF_DISK", 1e-12)
    (said,) = heard(small("run", "freeze"))
    assert "computed in each pass, because they can't be kept (they need 0 MiB of" in said
    assert not files()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(small, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_CACHE", "/proc/nowhere")
    (said,) = heard(small("run", "freeze"))
    assert "computed in each pass" in said


def test_a_disk_that_fills_up_is_noticed_before_it_is_written_to(small, monkeypatch):
    """Writing to a map of blocks that the disk does not have would end the process (SIGBUS)."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(PrefixCache, "compute", lambda *arguments: pytest.fail("written to"))
    forgotten, plain = small("forgotten", "freeze"), small("plain", "freeze")
    (said,) = heard(forgotten)
    assert said.endswith("(No space left on device)")
    assert not files()  # nor half of one
    forget(monkeypatch)
    heard(plain)
    assert gap(forgotten, plain) == 0


@pytest.mark.parametrize("damage", [b"not numpy", None])
def test_a_damaged_file_is_computed_again(small, damage):  # N7
    first, again = small("first", "freeze"), small("again", "freeze")
    heard(first)
    for path in files():
        path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    (said,) = heard(again)
    assert said.endswith("computed once")
    assert gap(first, again) == 0


# --- the parts ------------------------------------------------------------------------------------------------------


def parts(folder, task, rows, max_length=12):
    """A model with its lowest block frozen, its cache, and the features."""
    source = models.locate(str(folder))
    tokenizer = models.load_tokenizer(source)
    encoded = task.encode(rows, tokenizer, max_length)
    model = task.build(source)
    names = [name for name, _ in model.named_parameters() if "embeddings" in name or "layer.0." in name]
    for name in names:
        model.get_parameter(name).requires_grad_(False)
    collate = partial(task.collate, tokenizer=tokenizer)
    origin = {"model": "m", "tokenizer": "t", "arithmetic": "a", "precision": "fp32"}
    autocast = lambda device: torch.autocast("cpu", enabled=False)  # noqa: E731
    return model, PrefixCache(encoded, collate, torch.device("cpu"), origin, autocast, note=lambda text: None), collate


def got(model, cache, passes=2.0):
    return cache.get(model, passes, True, lambda: None)


def labelled(texts=TEXTS) -> list[Row]:
    return [Row(place, (text,), "ab"[place % 2]) for place, text in enumerate(texts)]


def test_going_on_from_cached_states_gives_the_models_logits_in_any_batch(tiny):
    task = SequenceClassification(labels=("a", "b"), pooling="model", long_text="windows", window_overlap=1)
    model, cache, collate = parts(tiny, task, labelled(), max_length=5)
    cached = got(model, cache)
    assert max(len(item.windows) for item in cache.encoded.features) > 1
    model.eval()
    for rows in ([0, 1, 2, 3], [3, 1], [2]):
        batch = collate([cache.encoded.features[row] for row in rows])
        with torch.no_grad():
            plain = model(**batch.inputs).logits
            with cached.serving(batch):
                served = model(**batch.inputs).logits
        assert float((plain - served).abs().max()) < 1e-6


def test_windows_of_a_pair_are_served_each_with_its_own_states(tiny):
    rows = [Row(place, ("box", " ".join(TEXTS[place:])), ((0, TEXTS[place].split()[0]),)) for place in range(3)]
    model, cache, collate = parts(tiny, QuestionAnswering(no_answer=False, window_overlap=1), rows)
    cached = got(model, cache)
    batch = collate(cache.encoded.features[::-1])
    assert len(batch.inputs["input_ids"]) > len(batch.features)
    real = batch.inputs["attention_mask"].bool()
    with torch.no_grad():
        states = cached.bottom.hidden(batch.inputs)
    assert float((cached.padded(batch) - states)[real].abs().max()) < 1e-6
    assert not cached.padded(batch)[~real].any()


def test_serving_leaves_the_model_as_it_was(tiny):
    model, cache, collate = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    before = [set(vars(module)) for module in model.modules()]
    cached = got(model, cache)
    batch = collate(cache.encoded.features)
    with pytest.raises(ZeroDivisionError), cached.serving(batch):
        _ = 1 / 0
    assert [set(vars(module)) for module in model.modules()] == before
    assert all(not module._forward_hooks for module in model.modules())


def test_reading_the_cache_warns_of_nothing(tiny, recwarn):
    model, cache, collate = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    cached = got(model, cache)
    torch.set_warn_always(True)
    try:
        cached.padded(collate(cache.encoded.features))
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


def test_every_part_of_the_origin_is_part_of_the_name(tiny):  # N7
    model, cache, _ = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    got(model, cache)
    for number, part in enumerate(cache.origin, 2):
        cache.origin = cache.origin | {part: "another"}
        got(model, cache)
        assert len(files()) == number
    model.bert.encoder.layer[1].requires_grad_(False)  # now two blocks are frozen
    got(model, cache)
    assert len(files()) == len(cache.origin) + 2


@pytest.mark.parametrize("texts", [["invoice money", "box"], ["app", "invoice money"], ["invoice", "money app"]])
def test_other_tokens_or_another_order_never_hit(tiny, texts):  # N7
    for known in (["invoice money", "app"], texts):
        model, cache, _ = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled(known))
        got(model, cache)
    assert len(files()) == 2


def test_nothing_is_kept_where_the_embeddings_train_or_passes_are_few(tiny):
    model, cache, _ = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    assert got(model, cache, passes=1.9) is None
    model.bert.embeddings.word_embeddings.weight.requires_grad_(True)
    assert got(model, cache) is None
    assert not files()


def test_a_model_whose_blocks_cannot_be_skipped_is_found_out(tmp_path):
    """ALBERT runs its one block three times: going on from what comes out of the first would be another model."""
    from transformers import AlbertConfig, AlbertForSequenceClassification

    sizes = {"hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    config = AlbertConfig(vocab_size=4 + len(WORDS), num_hidden_layers=3, max_position_embeddings=64, **sizes)
    config.initializer_range = 0.3
    AlbertForSequenceClassification(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    model, cache, _ = parts(tmp_path, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    model.albert.requires_grad_(False)
    assert prefix.frozen_blocks(model) == 1
    assert not cache.can_skip(Bottom(model.eval(), 1))
    assert got(model, cache) is None
    assert not files()


def test_half_written_values_are_not_taken_for_whole_ones(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 4), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((5, 4)))
    assert prefix.opened(tmp_path / "a.npy", 5) is not None
    assert prefix.opened(tmp_path / "a.npy", 6) is None
    assert prefix.opened(tmp_path / "b.npy", 5) is None


def test_states_of_more_blocks_go_on_from_those_of_fewer(tiny, monkeypatch):  # N7
    def deeper() -> np.ndarray:
        model, cache, _ = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
        model.bert.encoder.layer[1].requires_grad_(False)
        return np.array(got(model, cache).values)

    plain = deeper()
    (path,) = files()
    path.unlink()
    model, cache, _ = parts(tiny, SequenceClassification(labels=("a", "b"), pooling="model"), labelled())
    got(model, cache)
    ran = []
    served = prefix.Cached.serving
    monkeypatch.setattr(prefix.Cached, "serving", lambda self, batch: ran.append(1) or served(self, batch))
    assert float(np.abs(deeper() - plain).max()) < 1e-6
    assert ran
    assert len(files()) == 2


def evaluated() -> list:
    return sorted((cache_folder() / "evaluated").glob("*"))


@pytest.mark.parametrize("strategy", [{"kind": "freeze", "blocks": 1}, {"kind": "gradual_unfreezing", "at": [2]}])
def test_scores_from_cached_states_are_those_of_the_whole_model(small, strategy):  # N7
    from tunewright.sharing import Shared

    plain = train(load(small("plain", strategy, prefix_cache=False))).metrics
    assert not evaluated()
    for name in ("lone", "shared", "again"):
        shared = Shared() if name != "lone" else None
        run = train(load(small(name, strategy)), shared=shared).metrics
        assert run["validation"]["loss"] == pytest.approx(plain["validation"]["loss"], abs=1e-5)
        assert run["validation"]["accuracy"] == plain["validation"]["accuracy"]
        assert evaluated()


def test_hidden_states_of_evaluation_are_fp32_and_other_tokens_models_or_depths_never_hit(small, tmp_path):  # N7
    runs = [
        small("first", "freeze", precision="bf16"),
        small("same", "freeze", precision="fp32"),
        small("blocks", {"kind": "freeze", "blocks": 2}),
        small("model", "freeze") | {"model": str(make_model(tmp_path / "other", "roberta"))},
        small("length", "freeze"),
    ]
    runs[4]["data"] = runs[4]["data"] | {"max_length": 6}
    counts = []
    for raw in runs:
        heard(raw)
        counts.append(len(evaluated()))
    assert counts == [1, 1, 2, 3, 4]
