"""Runs that write answers: loss and perplexity in words, answers worst first, the template, preferences, the card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import made_up_runs as made_up
from tests.report import made_up_writers as writers
from tests.report.test_report_card import data
from tests.report.test_report_entities import part
from tests.report.test_report_html import EVIL, Page
from tunewright.report import card, generation, html, stored

Record = dict[str, Any]
Made = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Made:
    """Writes a run that writes answers, with its template."""
    return lambda files, **more: writers.write_writer(tmp_path / "train-lora", files, **more)


def words(run: Path, section: str) -> str:
    return Page(part(html.render(run), section)).text


def test_the_sections_are_those_of_written_answers(written: Made) -> None:
    page = Page(html.render(written(writers.writer_files())))
    assert page.sections == ["course", "scores", "answers", "template", "data", "cost", "repeat", "use"]
    assert not page.all("script")


def test_the_sections_of_preferences_have_rewards(written: Made) -> None:
    page = Page(html.render(written(writers.preference_files())))
    assert page.sections == ["course", "rewards", "scores", "answers", "template", "data", "cost", "repeat", "use"]


def test_the_headline_says_what_loss_and_perplexity_mean(written: Made) -> None:
    text = Page(html.render(written(writers.writer_files()))).text
    assert "On 4 rows of test.csv its loss is 1.750 nats a token of the answers (lower is better)" in text
    assert "a perplexity of 5.75, as if it had to choose among 5.8 equally likely tokens" in text
    assert "first guess is the right token 57.1 % of the time" in text
    assert "How the model did before tuning was not measured." in text
    assert "Perplexity 5.75" in text


def test_what_was_measured_before_tuning_is_told(written: Made) -> None:
    files = writers.writer_files()
    files["metrics"]["before"] = {"loss": 4.5, "perplexity": math.exp(4.5), "num_rows": 4}
    run = written(files)
    text = Page(html.render(run)).text
    assert "Before tuning its loss was 4.500, its perplexity 90.02." in text
    assert "was not measured" not in text
    assert "score validation test before tuning" in text
    assert "1.800 1.750 4.500" in words(run, "scores")


def test_of_plain_texts_it_speaks_of_texts(written: Made) -> None:
    text = Page(html.render(written(writers.text_files()))).text
    assert "nats a token of the texts" in text
    assert "reference" not in words(written(writers.text_files()), "answers").replace("how little the reference", "")


def test_perplexity_is_no_curve_of_scores(written: Made) -> None:
    text = words(written(writers.writer_files()), "course")
    assert "Token accuracy goes from 0.550" in text
    assert "Perplexity" not in text


def test_every_score_is_explained(written: Made) -> None:
    text = words(written(writers.writer_files()), "scores")
    assert "ROUGE-L longest common sequence of words with the reference (F1) 0.280 0.280" in text
    assert "chrF runs of one to six characters shared with the reference; from 0 to 100 33.4 33.4" in text
    assert "Answers written rows that were answered in writing; the scores of answers are theirs 3 3" in text


def test_every_score_that_a_run_can_have_has_a_name_and_an_explanation() -> None:
    from typing import get_args

    from tunewright.report.words import score_name
    from tunewright.tasks.generative import ScoreName

    assert set(get_args(ScoreName)) <= set(generation.ABOUT)
    assert score_name("bertscore") == "BERTScore"
    assert not [name for name in get_args(ScoreName) if "_" in score_name(name)]


def test_answers_come_worst_first_among_those_in_writing(written: Made) -> None:
    text = words(written(writers.writer_files()), "answers")
    assert text.index("billed twice?") < text.index("depot open?") < text.index("Where is PB-1?")
    assert "never answered in writing" not in text
    assert "3 of 4 rows of test, the highest loss first. 3 were answered in writing" in text


def test_an_answer_that_was_cut_is_right_or_is_empty_says_so(written: Made) -> None:
    text = words(written(writers.writer_files()), "answers")
    assert "sorry cut at 64 tokens" in text
    assert "On its way. as the reference" in text
    assert "Until six. (empty)" in text


def test_markup_and_control_characters_of_answers_are_inert(written: Made) -> None:
    files = writers.writer_files()
    files["predictions"] += [
        {"row": EVIL, "text": EVIL, "label": EVIL, "predicted": EVIL, "finished": True, "loss": 3.0}
    ]
    source = html.render(written(files))
    page = Page(source)
    assert "&lt;b&gt;Why&lt;/b&gt;" in source
    assert "\x1b" not in source
    assert not page.all("script")
    assert not page.all("img")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), said=st.none() | st.text())
def test_any_answer_gives_a_well_formed_page(text: str, said: str | None, tmp_path: Path) -> None:
    files = writers.writer_files()
    files["predictions"] = [{"row": 1, "text": text, "label": text, "predicted": said, "finished": False, "loss": None}]
    source = html.render(made_up.write_run(tmp_path / "run", files))
    source.encode("utf-8")
    Page(source)


@pytest.mark.parametrize("make", [writers.writer_files, writers.preference_files])
def test_secrets_and_paths_are_taken_out_of_prompts_and_answers(
    make: Callable[[], Record], written: Made
) -> None:  # S7
    files, told = make(), "see /home/ada/inbox.csv with hf_abcdefghijklmnop"
    files["predictions"] = [{**files["predictions"][0], "text": told, "label": told, "predicted": told}]
    if "rejected" in files["predictions"][0]:
        files["predictions"][0]["rejected"] = told
    source = html.render(written(files, template=f"{{# {told} #}}"))
    assert "/home/ada" not in source
    assert "hf_abc" not in source
    assert "see inbox.csv with [hidden]" in source


def test_an_answer_that_only_begins_like_a_path_is_kept(written: Made) -> None:
    files = writers.writer_files()
    files["predictions"] = [{**files["predictions"][0], "predicted": "/help me with a b/c"}]
    assert "/help me with a b/c" in words(written(files), "answers")


def test_the_template_is_named_and_shown_folded(written: Made) -> None:
    source = part(html.render(written(writers.writer_files())), "template")
    assert "chatml (the tokenizer has none)" in source
    assert "{% for message in messages %}" in source
    assert Page(source).all("details")
    assert not Page(source).all("script")


def test_the_template_of_a_tokenizers_configuration_is_found(tmp_path: Path) -> None:
    several = [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert stored.chat_template(tmp_path) == "yes"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert stored.chat_template(tmp_path) == "file"
    assert stored.read(tmp_path / "nothing") == stored.Stored()


def test_the_ledger_tells_what_is_learned_and_what_was_lost(written: Made) -> None:
    text = words(written(writers.writer_files()), "data")
    assert "supervised tokens of all answers cut rows without a target" in text
    assert "train 3 850 25.0 % 12 (2.01 %) 2 (0.33 %)" in text
    assert "7 answers that the template does not write as they are" in text


def test_a_target_is_no_part_of_what_an_encoder_reads(written: Made) -> None:
    assert "train 3 850 20.0 %" in words(written(writers.rewriter_files(), template=None), "data")


def test_the_two_answers_of_a_pair_are_no_windows(written: Made) -> None:
    text = words(written(writers.preference_files()), "data")
    assert "windows" not in text
    assert "A pair's prompt counts with both of its answers." in text


def test_preferences_are_told_in_pairs(written: Made) -> None:
    text = Page(html.render(written(writers.preference_files()))).text
    assert "On 40 pairs of test.csv it ranks the chosen answer above the rejected one 75.0 % (95 % interval" in text
    assert "50 % would be chance" in text
    assert "DPO loss what was trained on; lower is better" in text


def test_rewards_margins_and_accuracy_are_drawn(written: Made) -> None:
    page = html.render(written(writers.preference_files()))
    source = part(page, "rewards")
    assert source.count("<svg") == 2
    assert "validation goes from 0.550 at step 38 to 0.750 at step 190." in part(page, "course")
    assert "rejected, validation goes from -0.1 at step 38 to -0.5 at step 190." in source
    assert "Falling likelihood" not in source


def test_falling_likelihood_is_warned_of(written: Made) -> None:
    files = writers.preference_files(chosen=-0.3)
    run = written(files)
    assert "The chosen answers became less likely than they were before tuning" in words(run, "rewards")
    assert "chosen answers themselves less likely" in card.render(run)


def test_without_a_reference_nothing_is_said_to_fall(written: Made) -> None:
    run = written(writers.preference_files("simpo", chosen=-0.3))
    text = Page(html.render(run)).text
    assert "became less likely" not in text
    assert "SimPO compares with no reference" in text
    assert "before tuning" not in words(run, "scores")


def test_pairs_are_shown_with_both_answers_and_without_an_empty_column(written: Made) -> None:
    text = words(written(writers.preference_files()), "answers")
    assert "prompt chosen rejected row" in text
    assert "Where is PB-1? On its way. No. Where is PB-1? 1" in text
    assert "None was answered in writing; task.score_answers says how many are." in text


@pytest.mark.parametrize(
    ("make", "pipeline", "tags"),
    [
        (writers.writer_files, "text-generation", ["tunewright", "text-generation", "full", "sft"]),
        (writers.text_files, "text-generation", ["tunewright", "text-generation", "full"]),
        (writers.rewriter_files, "text2text-generation", ["tunewright", "text2text-generation", "full"]),
        (writers.preference_files, "text-generation",
         ["tunewright", "text-generation", "full", "preference-tuning", "dpo"]),
    ],
)  # fmt: skip
def test_the_card_is_tagged_by_task_and_method(
    make: Callable[[], Record], pipeline: str, tags: list[str], written: Made
) -> None:
    found = data(card.render(written(make())))
    assert (found["pipeline_tag"], found["tags"], found["license"]) == (pipeline, tags, "apache-2.0")


def narrow(content: str) -> str:
    return content.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_the_card_has_prompts_data_and_limits_and_no_row(written: Made) -> None:
    content = narrow(card.render(written(writers.writer_files())))
    assert "Loss on test: **1.750**; perplexity 5.75; token accuracy 0.571." in content
    assert "the chat template is stored with the tokenizer" in content
    assert "Training saw at most 128 tokens of prompt and answer together." in content
    assert "| train | 3 850 | 25.0 % | 12 (2.01 %) | 2 (0.33 %) |" in content
    assert "33.3 % of the answers written for the scores did not end, and were cut." in content
    assert "Scores of written answers are of 3 rows only." in content
    assert "2.0 % of the training answers were cut." in content
    assert "PB-1" not in content


def test_the_card_of_preferences_names_the_loss(written: Made) -> None:
    content = narrow(card.render(written(writers.preference_files("robust"))))
    assert "made into a model for text generation" in content
    assert "tuned to preferences with robust DPO" in content
    assert (
        "Pairs ranked right on test: **0.750** (95 % interval 0.598 to 0.858, 40 pairs); margin of rewards 0.9."
        in content
    )


@pytest.mark.parametrize("missing", ["metrics", "ledger", "history", "predictions"])
def test_a_missing_file_leaves_out_what_it_would_tell_and_no_more(missing: str, written: Made) -> None:
    run = written(writers.preference_files() | {missing: None}, template=None)
    sections = Page(html.render(run)).sections
    gone = {"metrics": {"scores"}, "ledger": {"data"}, "history": {"course", "rewards"}, "predictions": set()}
    assert {"course", "rewards", "scores", "data", "answers"} - set(sections) == gone[missing]
    assert {"cost", "repeat", "use"} <= set(sections)
    assert data(card.render(run))["pipeline_tag"] == "text-generation"
