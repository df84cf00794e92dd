"""Documents of a pack don't see each other: the numbers are those of each document alone (N4)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from tests.language_models import DECODERS, make_language_model
from tunewright import chunked, language_model, packing
from tunewright.data.sampler import packs
from tunewright.preferences import Pairs, dpo
from tunewright.tasks.base import Features
from tunewright.tasks.preference import UNKNOWN, pack_pairs

LENGTHS = [7, 12, 1, 5, 20]


def loaded(folder, kind: str = "llama", **config):
    """A model with visible weights, so that what a token sees is felt; gradients on, dropout off."""
    path = make_language_model(folder / kind, kind, spread=0.3)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    if config:
        changed = type(model.config)(**{**model.config.to_dict(), **config})
        torch.manual_seed(2)
        model = AutoModelForCausalLM.from_config(changed)
    return language_model.prepare(model).eval()


@pytest.fixture(params=DECODERS)
def model(request, tmp_path):
    return loaded(tmp_path, request.param)


def documents(vocabulary: int, lengths=LENGTHS, seed: int = 0):
    """Token ids and weights; some tokens are prompts, and weigh nothing or little."""
    generator = np.random.default_rng(seed)
    made = []
    for length in lengths:
        weights = generator.choice([0.0, 0.25, 1.0], length).astype(np.float32)
        weights[0] = 0
        made.append((generator.integers(0, vocabulary, length), weights))
    return made


def alone(model, ids, weights) -> torch.Tensor:
    """The loss of one document by the plain model, without any of our code."""
    logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0, :-1]
    each = cross_entropy(logits.float(), torch.from_numpy(ids[1:]), reduction="none")
    return (each * torch.from_numpy(weights[1:])).sum()


def loss_of_each(model, pack, hidden) -> torch.Tensor:
    """(documents,) losses of places whose hidden states are given."""
    head = language_model.head_of(model)
    logs = chunked.token_log_probabilities(hidden, head.weight, head.bias, pack.targets)
    return torch.zeros(int(pack.owners.max()) + 1).index_add(0, pack.owners, -logs * pack.weights)


# --- packed, padded, alone --------------------------------------------------------------------------------------------


def test_packed_padded_and_alone_give_the_same_loss_of_each_document(model):  # N4
    made = documents(model.config.vocab_size)
    pack = packing.pack(made)
    assert language_model.packs(model)
    with torch.no_grad():
        expected = [float(alone(model, *document)) for document in made]
    for way in (language_model.packed_hidden, language_model.padded_hidden):
        found = loss_of_each(model, pack, way(model, pack)).tolist()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_packed_gradients_are_those_of_the_documents_alone(model):  # N4
    made = documents(model.config.vocab_size)
    expected = gradients(model, lambda: sum(alone(model, *document) for document in made))
    pack = packing.pack(made)
    found = gradients(model, lambda: loss_of_each(model, pack, language_model.scored(model, pack).hidden).sum())
    assert_close(found, expected)


def gradients(model, loss) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_close(found: dict, expected: dict, tolerance: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * scale, err_msg=name)


def test_another_neighbour_leaves_hidden_states_as_they_are(model):  # N4
    first, second = documents(model.config.vocab_size), documents(model.config.vocab_size, seed=5)
    changed = [second[0], *first[1:]]  # another document A, of the same length
    with torch.no_grad():
        before, after = (
            language_model.hidden_states(model, **packing.arguments(packing.pack(made)))[0] for made in (first, changed)
        )
    start = LENGTHS[0]
    assert not torch.allclose(before[:start], after[:start])
    torch.testing.assert_close(before[start:], after[start:], rtol=0, atol=1e-6)


def test_the_order_of_documents_changes_nothing(model):  # N4, D9
    made = documents(model.config.vocab_size)
    with torch.no_grad():
        forth, back = packing.pack(made), packing.pack(made[::-1])
        there = loss_of_each(model, forth, language_model.scored(model, forth).hidden)
        again = loss_of_each(model, back, language_model.scored(model, back).hidden)
    torch.testing.assert_close(there, again.flip(0), rtol=1e-5, atol=1e-5)


def test_positions_start_anew_and_sources_stay_within_their_document():
    pack = packing.pack(documents(50))
    assert pack.positions[0].tolist() == [place for length in LENGTHS for place in range(length)]
    firsts = np.cumsum([0, *LENGTHS])
    for source, target, owner in zip(pack.sources.tolist(), pack.targets.tolist(), pack.owners.tolist(), strict=True):
        assert firsts[owner] <= source < firsts[owner + 1] - 1
        assert pack.ids[0, source + 1] == target


# --- kinds of attention -----------------------------------------------------------------------------------------------


def test_a_sliding_window_reaches_back_within_a_document_only(tmp_path):
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0, "layer_types": None}
    model = loaded(tmp_path, "qwen2", **window)
    assert model.config.layer_types == ["sliding_attention"] * 2
    made = documents(model.config.vocab_size)
    pack = packing.pack(made)
    assert language_model.packs(model)
    with torch.no_grad():
        expected = [float(alone(model, *document)) for document in made]
        found = loss_of_each(model, pack, language_model.packed_hidden(model, pack)).tolist()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        wide = loaded(tmp_path / "wide", "qwen2", **window | {"sliding_window": 64})
        wide.load_state_dict(model.state_dict())
        assert abs(float(alone(wide, *made[-1])) - expected[-1]) > 1e-3  # the window of 4 is felt


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_keys_are_shared_by_groups_of_queries(tmp_path, heads):
    model = loaded(tmp_path, "llama", num_key_value_heads=heads)
    made = documents(model.config.vocab_size)
    pack = packing.pack(made)
    with torch.no_grad():
        found = loss_of_each(model, pack, language_model.packed_hidden(model, pack)).tolist()
        np.testing.assert_allclose(found, [float(alone(model, *one)) for one in made], rtol=1e-5, atol=1e-5)


def test_a_model_that_can_not_pack_is_padded_and_has_the_same_loss(tmp_path):  # N9
    import transformers

    config = transformers.BloomConfig(vocab_size=60, hidden_size=32, n_layer=2, n_head=4)
    torch.manual_seed(1)
    plain = AutoModelForCausalLM.from_config(config).eval()
    before = plain.config._attn_implementation
    model = language_model.prepare(plain).eval()
    assert not model.takes_packs
    assert not language_model.packs(model)
    assert model.config._attn_implementation == before
    made = documents(60)
    pack = packing.pack(made)
    with torch.no_grad():
        found = loss_of_each(model, pack, language_model.scored(model, pack).hidden).tolist()
        np.testing.assert_allclose(found, [float(alone(model, *one)) for one in made], rtol=1e-5, atol=1e-5)


def test_a_state_that_runs_on_from_document_to_document_is_noticed(tmp_path):  # N9
    """A model whose attention sees the whole pack, whatever the segments say, is found out."""
    model = loaded(tmp_path)
    assert language_model.difference(model) <= language_model.TOLERANCE
    real = packing.attention
    leaky = lambda *given, segments=None, **more: real(  # noqa: E731
        *given, segments=segments and [packing.Segment(0, segments[-1].last)], **more
    )
    from transformers import AttentionInterface

    AttentionInterface.register(packing.ATTENTION, leaky)
    try:
        assert language_model.difference(model) > language_model.TOLERANCE
    finally:
        AttentionInterface.register(packing.ATTENTION, real)


def test_virtual_tokens_are_padded_and_cut_off(tmp_path):
    import peft

    model = loaded(tmp_path)
    tuned = peft.get_peft_model(model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)).eval()
    assert not language_model.packs(tuned)
    made = documents(model.config.vocab_size)
    pack = packing.pack(made)
    with torch.no_grad():
        found = loss_of_each(tuned, pack, language_model.scored(tuned, pack).hidden)
        for (ids, weights), value in zip(made, found, strict=True):
            logits = tuned(input_ids=torch.from_numpy(ids)[None]).logits[0, 3:-1]
            each = cross_entropy(logits, torch.from_numpy(ids[1:]), reduction="none")
            assert abs(float((each * torch.from_numpy(weights[1:])).sum() - value)) < 1e-4


# --- shared prompts ---------------------------------------------------------------------------------------------------


def pairs(vocabulary: int) -> list[Features]:
    generator = np.random.default_rng(4)
    made = []
    for place, (prompt, chosen, rejected) in enumerate([(5, 7, 3), (1, 2, 9), (12, 1, 1), (4, 4, 4)]):
        asked, *answers = (generator.integers(0, vocabulary, size).tolist() for size in (prompt, chosen, rejected))
        made.append(Features(place, [asked + answer for answer in answers], None, UNKNOWN, prompt=prompt))
    return made


def sums(model, pack, hidden, count: int) -> torch.Tensor:
    """(count,) log-probabilities of whole answers."""
    head = language_model.head_of(model)
    logs = chunked.token_log_probabilities(hidden, head.weight, head.bias, pack.targets)
    return torch.zeros(count).index_add(0, pack.owners, logs)


def sums_alone(model, features) -> torch.Tensor:
    """The same from two whole sequences for each pair, by the plain model."""
    found = []
    for item in features:
        for window in item.windows:
            ids = torch.tensor(window)
            logs = model(input_ids=ids[None]).logits[0, :-1].float().log_softmax(-1)
            found.append(logs.gather(1, ids[1:, None])[item.prompt - 1 :].sum())
    return torch.stack(found)


def test_answers_that_share_a_prompt_are_as_likely_as_apart(model):  # N4
    features = pairs(model.config.vocab_size)
    pack = pack_pairs(features)
    whole = sum(len(window) for item in features for window in item.windows)
    assert pack.ids.shape[1] == whole - sum(item.prompt for item in features)  # each prompt stands there once
    with torch.no_grad():
        expected = sums_alone(model, features)
        for way in (language_model.packed_hidden, language_model.padded_hidden):
            torch.testing.assert_close(sums(model, pack, way(model, pack), 8), expected, rtol=1e-5, atol=1e-5)


def test_answers_that_share_a_prompt_have_the_gradients_of_answers_apart(model):  # N4
    features = pairs(model.config.vocab_size)
    pack = pack_pairs(features)

    def loss(found):
        ones = torch.ones(4)
        return dpo(Pairs(found[::2], found[1::2], ones, ones, ones * -3, ones * -2))

    expected = gradients(model, lambda: loss(sums_alone(model, features)))
    found = gradients(model, lambda: loss(sums(model, pack, language_model.packed_hidden(model, pack), 8)))
    assert_close(found, expected)


def test_a_sliding_window_reaches_from_an_answer_into_its_prompt(tmp_path):
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0, "layer_types": None}
    model = loaded(tmp_path, "qwen2", **window)
    features = pairs(model.config.vocab_size)
    pack = pack_pairs(features)
    with torch.no_grad():
        found = sums(model, pack, language_model.packed_hidden(model, pack), 8)
        torch.testing.assert_close(found, sums_alone(model, features), rtol=1e-5, atol=1e-5)


# --- with the rest of the world ---------------------------------------------------------------------------------------


def test_checkpointed_gradients_of_a_pack_are_the_same(model):
    from tunewright.models import checkpoint_gradients

    made = documents(model.config.vocab_size)
    pack = packing.pack(made)
    loss = lambda: loss_of_each(model, pack, language_model.packed_hidden(model, pack)).sum()  # noqa: E731
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected = gradients(model, loss)
    calls = []
    real = packing.one
    packing.one = lambda *given: calls.append(1) or real(*given)
    try:
        plain = gradients(model, loss), len(calls)
        calls.clear()
        checkpoint_gradients(model)
        found = gradients(model, loss), len(calls)
    finally:
        packing.one = real
    assert found[1] == 2 * plain[1]  # the blocks were computed again for the backward
    assert_close(found[0], expected, 1e-6)


def test_a_saved_model_does_not_name_our_attention(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    assert packing.ATTENTION not in (tmp_path / "saved" / "config.json").read_text()
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert again.config._attn_implementation != packing.ATTENTION
    ids = torch.arange(6)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=ids).logits, model(input_ids=ids).logits)
    assert json.loads((tmp_path / "saved" / "config.json").read_text()).get("takes_packs") is None


def test_the_plain_way_through_a_prepared_model_masks_what_is_padded(model):
    ids = torch.randint(0, model.config.vocab_size, (1, 6))
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), ids], dim=1)
    mask = torch.tensor([[0] * 4 + [1] * 6])
    places = torch.tensor([[0] * 4 + list(range(6))])
    with torch.no_grad():
        alone = model(input_ids=ids).logits
        beside = model(input_ids=padded, attention_mask=mask, position_ids=places).logits[:, 4:]
    torch.testing.assert_close(alone, beside, rtol=0, atol=1e-5)


# --- which rows share a pack ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_row_is_in_one_pack_of_one_process(processes):
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 120, 200)
    rows = generator.permutation(200)[:97]
    found = [pack for process in range(processes) for pack in packs(rows, lengths, 100, 8, process, processes)]
    assert sorted(np.concatenate(found).tolist()) == sorted(rows.tolist())
    for pack in found:
        assert len(pack) <= 8
        assert len(pack) == 1 or lengths[pack].sum() <= 100


def test_packs_are_full_and_the_same_again():
    lengths = np.random.default_rng(1).integers(5, 60, 300)
    rows = np.arange(300)
    found = packs(rows, lengths, 120, 300)
    assert len(found) <= 1.05 * lengths.sum() / 120 + 1  # best fit decreasing leaves hardly any room
    again = packs(rows, lengths, 120, 300)
    assert [pack.tolist() for pack in found] == [pack.tolist() for pack in again]


def test_a_row_goes_where_it_leaves_the_least_room():
    lengths = np.array([60, 70, 30, 40])
    assert [pack.tolist() for pack in packs(np.arange(4), lengths, 100, 9)] == [[1, 2], [0, 3]]
    assert [pack.tolist() for pack in packs(np.arange(4), lengths, 100, 1)] == [[1], [0], [3], [2]]
    assert [pack.tolist() for pack in packs(np.arange(1), np.array([500]), 100, 9)] == [[0]]  # too long: by itself
    assert packs(np.arange(1), np.array([5]), 100, 9, 1, 2) == []  # a short step leaves this process without rows
