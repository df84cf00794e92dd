"""The model card: metadata that the hub accepts, numbers only, unbreakable by names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.report import made_up_runs as made_up
from tunewright.report import card

Record = dict[str, Any]
Writer = Callable[[Record], Path]


def data(content: str) -> Record:
    """The metadata as the hub's own library reads it."""
    found: Record = ModelCard(content).data.to_dict()
    return found


def sections(content: str) -> list[str]:
    return [line.removeprefix("## ") for line in content.splitlines() if line.startswith("## ")]


def test_the_hubs_own_library_reads_the_metadata(run: Path) -> None:
    found = data(card.render(run))
    assert found["license"] == "apache-2.0"
    assert found["library_name"] == "peft"
    assert found["pipeline_tag"] == "text-classification"
    assert found["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert found["tags"] == ["tunewright", "text-classification", "lora"]
    assert {"accuracy", "f1"} <= set(found["metrics"])


def test_the_results_are_in_the_metadata(run: Path) -> None:
    results = ModelCard(card.render(run)).data.eval_results
    assert results is not None
    accuracy = next(result for result in results if result.metric_name == "Accuracy")
    assert accuracy.metric_value == pytest.approx(0.92)
    assert (accuracy.metric_type, accuracy.task_type) == ("accuracy", "text-classification")
    assert (accuracy.dataset_name, accuracy.dataset_type, accuracy.dataset_split) == ("test.csv", "csv", "test")


def test_the_card_has_every_part(run: Path) -> None:
    content = card.render(run)
    assert sections(content) == ["Intended use", "Labels", "Training data", "Training procedure", "Results", "Limits",
                                 "How to use", "How to repeat it", "Versions"]  # fmt: skip


def test_the_limits_are_those_that_were_measured(run: Path) -> None:
    content = card.render(run)
    assert "Weakest on pickup_return (F1 0.863) and billing (F1 0.894)." in content
    assert "Calibration error 0.031." in content
    assert "3 texts in both train and test" in content


def test_no_row_of_the_data_is_in_the_card(run: Path) -> None:
    content = card.render(run)
    assert not any(text[:25] in content for text, *_ in made_up.TEXTS)


def test_a_local_base_model_is_not_named(files: Record, write_files: Writer, tmp_path: Path) -> None:
    for local in (str(tmp_path), "./models/mine", "../mine", "~/mine", "a/b/c"):
        files["config"]["model"] = local
        content = card.render(write_files(files))
        assert "base_model" not in data(content)
        assert str(tmp_path) not in content


def test_a_folder_that_looks_like_a_hub_name_is_not_named(
    files: Record, write_files: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    files["config"]["model"] = "models/mine"
    assert "base_model" not in data(card.render(write_files(files)))


def test_a_hub_model_is_named(files: Record, write_files: Writer) -> None:
    files["config"]["model"] = "distilbert/distilbert-base-uncased"
    assert data(card.render(write_files(files)))["base_model"] == "distilbert/distilbert-base-uncased"


@pytest.mark.parametrize(
    ("strategy", "library"),
    [
        ({"kind": "lora", "merge": True}, "transformers"),
        ({"kind": "lora", "r": 4}, "peft"),
        ({"kind": "full"}, "transformers"),
    ],
)
def test_the_library_is_peft_only_for_an_adapter(
    strategy: Record, library: str, files: Record, write_files: Writer
) -> None:
    files["config"]["strategy"] = strategy
    assert data(card.render(write_files(files)))["library_name"] == library


def test_licences_unknown_to_the_hub_are_other_and_missing_ones_left_out(files: Record, write_files: Writer) -> None:
    files["metrics"]["model_licence"] = "My Own Licence 2.0"
    found = data(card.render(write_files(files)))
    assert (found["license"], found["license_name"]) == ("other", "my-own-licence-2.0")
    files["metrics"]["model_licence"] = None
    assert "license" not in data(card.render(write_files(files)))


def test_several_labels_a_text_are_in_tags_and_results(write_files: Writer) -> None:
    content = card.render(write_files(made_up.multi_label_files()))
    assert "multi-label" in data(content)["tags"]
    assert "any number of the labels below" in content


def test_missing_files_leave_a_valid_card(files: Record, write_files: Writer) -> None:
    files |= {"ledger": None, "history": None, "predictions": None}
    files["metrics"] |= {"test": None, "validation": None}
    content = card.render(write_files(files))
    assert "model-index" not in data(content)
    assert "Not evaluated." in content
    assert "Training data" not in sections(content)


def test_without_a_test_split_the_card_says_so(files: Record, write_files: Writer) -> None:
    files["metrics"] |= {"validation": files["metrics"]["test"], "test": None}
    content = card.render(write_files(files))
    assert "There was no test split" in content
    assert ModelCard(content).data.eval_results[0].dataset_split == "validation"  # type: ignore[index]


def test_no_absolute_path_and_no_token_is_in_the_card(files: Record, write_files: Writer) -> None:  # S7
    files["config"] |= {"model": "/home/ada/models/mine", "out": "/home/ada/runs/x"}
    files["metrics"]["command"] = "tunewright train /home/ada/train.csv --token hf_abcdefghijklmnopqrst"
    files["metrics"]["warnings"] = ["/home/ada/train.csv is odd"]
    content = card.render(write_files(files))
    assert "/home" not in content
    assert "hf_abc" not in content


HOSTILE = [
    "a|b", "---\nlicense: mit\n---", "# heading", "<script>alert(1)</script>", "[x](http://evil.example)", "`code`",
    "**bold**", "1. item", "key: value", "- dash", "www.evil.example", "!!python/object:os", "_x_", "~~gone~~",
]  # fmt: skip


def hostile_files(names: list[str]) -> Record:
    size = len(names)
    files = made_up.run_files(names, [[3 if i == j else 1 for j in range(size)] for i in range(size)])
    files["metrics"] |= {"warnings": names, "device": names[0], "model_licence": names[0], "command": names[0]}
    files["ledger"]["splits"]["test"]["source"] = names[0]
    files["ledger"]["duplicates_across_splits"] = dict.fromkeys(names, 1)
    return files


def check_intact(content: str, names: list[str]) -> None:
    """Metadata parse, no name became markup, every table row has as many cells as its head."""
    assert data(content)["pipeline_tag"] == "text-classification"
    body = ModelCard(content).text
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    inline = [child for token in tokens for child in token.children or []]
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1
    assert not any(token.type in ("html_block", "hr") for token in tokens)
    kinds = {child.type for child in inline}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}, kinds
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len(rows) >= 4 + len(names)


def test_hostile_names_cannot_break_the_card(write_files: Writer) -> None:
    content = card.render(write_files(hostile_files(HOSTILE)))
    check_intact(content, HOSTILE)
    rendered = MarkdownIt("commonmark").render(card.markdown("<b>a|b</b> & c"))
    assert rendered == "<p>&lt;b&gt;a|b&lt;/b&gt; &amp; c</p>\n"


@settings(max_examples=50, deadline=None)
@given(text=st.text())
def test_any_text_is_inert_in_markdown(text: str) -> None:
    inert = card.markdown(text)
    page = f"x\n\n- {inert}\n\n| a |\n| --- |\n| {inert} |\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special"}
    assert not any(token.type in ("heading_open", "html_block", "hr", "code_block", "fence") for token in tokens)
    assert sum(token.type == "td_open" for token in tokens) == 1


def test_a_code_block_cannot_be_closed_from_inside() -> None:
    content = "first\n```\n# heading\n````\nlast"
    (token,) = MarkdownIt("commonmark").parse(card.code_block("sh", content))
    assert (token.type, token.content) == ("fence", content + "\n")


def test_a_card_of_entities_has_their_metrics_types_and_limits(write_files: Writer) -> None:
    content = card.render(write_files(made_up.entity_files()))
    assert data(content)["pipeline_tag"] == "token-classification"
    results = {result.metric_name: result for result in ModelCard(content).data.eval_results or []}
    assert results["F1"].metric_value == pytest.approx(4 / 17, abs=1e-6)
    assert (results["F1"].metric_type, results["F1"].task_type) == ("f1", "token-classification")
    assert {"Precision", "Recall"} <= set(results)
    assert "F1 on test: **0.235** (95 % interval 0.049 to 0.650, 8 rows); precision 0.286; recall 0.200." in content
    assert "2 entity types:" in content
    assert "It marks stretches of a text that are of one of the types below" in content
    assert "| entity type | F1 | precision | recall | entities |" in content
    assert "2 entity types have fewer than ten entities in the evaluation" in content
    assert "- train: 4 words that the tokenizer drops" in content
    assert not any(text in content for text, *_ in made_up.TAGGED)


def test_a_card_of_tagged_words_speaks_of_words(write_files: Writer) -> None:
    content = card.render(write_files(made_up.tag_files()))
    assert "It gives every word of a text one of the tags below." in content
    assert "| tag | F1 | precision | recall | words |" in content


def test_a_card_of_answers_has_exact_match_the_threshold_and_what_silence_would_score(write_files: Writer) -> None:
    content = card.render(write_files(made_up.answer_files()))
    assert data(content)["pipeline_tag"] == "question-answering"
    assert {"exact_match", "f1"} <= set(data(content)["metrics"])
    assert "Exact match on test: **0.333** (95 % interval 0.097 to 0.700, 6 rows); F1 0.444." in content
    assert "Where the context holds no answer, it says so." in content
    assert "task.null_threshold | -1.25" in content.replace("\\", "")
    assert "Never answering would be right 33.3 % of the time." in plain(content)
    assert "## Labels" not in content
    assert "/home/ada" not in content
    assert not any(question in content for question, *_ in made_up.ASKED)


def test_a_card_says_that_an_answer_always_comes_where_training_had_no_other_case(write_files: Writer) -> None:
    files = made_up.answer_files()
    files["manifest"]["task"]["no_answer"] = False
    assert "It always gives one, also where the context holds no answer" in card.render(write_files(files))


def plain(content: str) -> str:
    return content.replace("\N{NARROW NO-BREAK SPACE}", " ")
