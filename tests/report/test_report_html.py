"""The page: complete, self-contained, escaped, and honest about what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import made_up_runs as made_up
from tunewright.errors import RunDirectoryError
from tunewright.report import html

Record = dict[str, Any]
Writer = Callable[[Record], Path]
EVIL = "</td></pre><script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta"}


class Page(HTMLParser):
    """The elements and the visible text of a page; a tag that is closed in the wrong place is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source.replace("<wbr>", ""))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def sections(self) -> list[str | None]:
        return [attributes.get("id") for attributes in self.all("section")]


def drawings(source: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", source, re.DOTALL)]


def test_the_page_has_every_section_in_order(run: Path) -> None:
    page = Page(html.render(run))
    assert page.sections == [
        "course",
        "classes",
        "confusion",
        "calibration",
        "mistakes",
        "data",
        "cost",
        "repeat",
        "use",
    ]


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(run: Path) -> None:  # S7
    source = html.render(run)
    page = Page(source)
    assert not page.all("script")
    assert not page.all("link")
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert "url(" not in source
    assert "@import" not in source
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_every_link_of_the_contents_leads_to_a_section(run: Path) -> None:
    page = Page(html.render(run))
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in page.sections]


def test_ids_are_unique(run: Path) -> None:
    ids = [attributes["id"] for _, attributes in Page(html.render(run)).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_headline_says_what_was_trained_on_what_and_how_it_did(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "minilm, trained on train.csv" in text
    assert "On 150 rows of test.csv it is right 92.0 % of the time (95 % interval 86.5 % to 95.4 %)." in text
    assert "lora (r=8) · 20 November 2026, 20:00 UTC" in text


def test_the_tiles_show_the_key_figures(run: Path) -> None:
    text = Page(html.render(run)).text
    for figure in (
        "Accuracy on test 92.0 %",
        "Training rows 598",
        "Time to train 31 s",
        "Peak memory 1.2 GB",
        "0.66 %",
    ):
        assert figure in text


def test_warnings_and_an_interruption_are_shown(files: Record, write_files: Writer) -> None:
    files["metrics"]["stopped"] = "interrupted"
    text = Page(html.render(write_files(files))).text
    assert "validation loss rises while training loss falls since step 152" in text
    assert "The training was interrupted" in text


def test_the_curves_are_drawn_and_the_best_step_is_marked(run: Path) -> None:
    found = {drawing.attrib["aria-labelledby"].split()[0]: drawing for drawing in drawings(html.render(run))}
    assert {"loss-title", "scores-on-validation-title", "learning-rate-title", "gradient-norm-title"} <= set(found)
    words = ["".join(found[name].itertext()) for name in ("loss-title", "scores-on-validation-title")]
    assert all("kept: step 152" in word for word in words)
    assert all(group in "".join(found["learning-rate-title"].itertext()) for group in ("head", "blocks"))


def test_a_single_learning_rate_is_one_line(files: Record, write_files: Writer) -> None:
    for line in files["history"]:
        if "learning_rate" in line:
            line["learning_rate"] = 1e-4
    assert "Learning rate " in Page(html.render(write_files(files))).text


def test_weak_classes_come_first_and_stand_out(run: Path) -> None:
    source = html.render(run)
    rows = re.findall(r'<tr( class="weak")?><th scope="row" dir="auto">(\w+)</th>', source)
    labels = [label for _, label in rows if label in made_up.TOPICS]
    assert labels[:2] == ["pickup_return", "billing"]
    assert [label for weak, label in rows if weak] == ["pickup_return", "billing"]


def test_confusions_are_told_in_words(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "12 of 150 rows went wrong" in text
    assert re.search(r"billing +taken for +pickup_return 2 8 %", text)


def test_calibration_is_explained_in_a_sentence(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "On average its confidence is 3.1 points away from how often it is right" in text


def test_mistakes_are_shown_with_their_texts_surest_first(run: Path) -> None:
    text = Page(html.render(run)).text
    places = [text.index(words[:40]) for words, *_ in made_up.TEXTS]
    assert places == sorted(places)
    assert "all is well here" not in text


def test_at_most_twenty_mistakes_are_shown(files: Record, write_files: Writer) -> None:
    files["predictions"] = [
        {"row": i, "text": f"text {i}", "label": "billing", "predicted": "damage", "probability": 0.5}
        for i in range(50)
    ]
    assert len(Page(html.render(write_files(files))).all("blockquote")) == 20


def test_the_ledger_says_what_was_kept_and_why_not_all(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "train train.csv 600 598 2 empty text 3 (0.50 %) 15 400 ab12ab12ab" in text
    assert "Half of the texts have at most 18 tokens, 99 of 100 at most 101, the longest 140. The limit is 128." in text
    assert "3 texts in both train and test" in text
    assert "validation made from train: 10 %, stratified, seed 0" in text


def test_it_says_how_to_repeat_and_to_use_it(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "tunewright train examples/parcel_desk/train.csv --strategy lora" in text
    assert "tunewright train runs/train-lora/run.yaml out=runs/train-lora-again" in text
    assert "tunewright predict runs/train-lora --text" in text
    assert "AutoPeftModelForFeatureExtraction.from_pretrained" in text


def test_what_was_not_measured_is_left_out_of_the_costs(files: Record, write_files: Writer) -> None:
    files["metrics"] |= {"peak_memory_mb": None, "device": None, "steps": None}
    (cost,) = re.findall(r'<section id="cost".*?</section>', html.render(write_files(files)), re.DOTALL)
    assert "Training" in cost
    assert not [name for name in ("Peak memory", "Device", "Steps", "–") if name in cost]


def test_several_labels_a_text(write_files: Writer) -> None:
    source = html.render(write_files(made_up.multi_label_files()))
    page = Page(source)
    assert "confusion" not in page.sections
    assert "On 150 rows of test.csv its macro F1 is 0.610." in page.text
    assert re.search(r"answered +urgent +83 %", page.text)
    assert re.search(r"labelled +angry +4 % *, +repeat_contact +40 %", page.text)
    assert "threshold" in page.text


def test_with_one_label_a_text_micro_f1_is_not_drawn_over_accuracy(files: Record, write_files: Writer) -> None:
    for line in files["history"]:
        if "validation" in line:
            line["validation"]["f1_micro"] = line["validation"]["accuracy"]
    source = html.render(write_files(files))
    (scores,) = [found for found in drawings(source) if found.attrib["aria-labelledby"].startswith("scores-")]
    assert "Accuracy" in "".join(scores.itertext())
    assert "Micro F1" not in "".join(scores.itertext())


def test_a_frozen_encoder_shows_regularisation_instead_of_steps(write_files: Writer) -> None:
    source = html.render(write_files(made_up.frozen_files()))
    page = Page(source)
    assert "validation chose 0.01" in page.text
    words = "".join(drawings(source)[0].itertext())
    assert "kept: 0.01" in words
    assert "regularisation" in words
    assert "Learning rate" not in page.text


def test_many_classes_are_folded_and_not_labelled_in_the_heat_map(write_files: Writer) -> None:
    source = html.render(write_files(made_up.many_class_files(150)))
    page = Page(source)
    assert "The other 130 labels" in page.text
    assert len(source) < 600_000


@pytest.mark.parametrize(
    ("missing", "gone"),
    [("history", "course"), ("ledger", "data"), ("metrics", "classes"), ("config", "confusion")],
)
def test_a_missing_file_leaves_out_its_section_and_no_other(
    missing: str, gone: str, files: Record, write_files: Writer
) -> None:
    files[missing] = None
    sections = Page(html.render(write_files(files))).sections
    assert gone not in sections
    assert {"cost", "repeat", "use"} <= set(sections)


def test_missing_predictions_are_named(files: Record, write_files: Writer) -> None:
    files["predictions"] = None
    assert "The run kept no predictions" in Page(html.render(write_files(files))).text


def test_without_a_test_split_validation_speaks_and_says_so(files: Record, write_files: Writer) -> None:
    files["metrics"] |= {"validation": files["metrics"]["test"], "test": None}
    files["split"] = "validation"
    text = Page(html.render(write_files(files))).text
    assert "On the validation rows it is right 92.0 %" in text
    assert "expect a little less on new text" in text
    assert "Rows of validation where it was surest" in text


def test_without_any_scores_it_says_that_it_was_not_evaluated(files: Record, write_files: Writer) -> None:
    files["metrics"] |= {"validation": None, "test": None}
    assert "It was not evaluated" in Page(html.render(write_files(files))).text


def test_undefined_scores_are_dashes(files: Record, write_files: Writer) -> None:
    files["metrics"]["test"] |= {"mcc": None, "f1_macro": float("nan"), "calibration_error": None}
    files["metrics"]["test"]["per_class"]["damage"] = {"precision": None, "recall": None, "f1": None, "support": 0}
    text = Page(html.render(write_files(files))).text
    assert "damage – – – 0" in text
    assert "nan" not in text.lower()


def test_everything_from_data_and_configuration_is_escaped(files: Record, write_files: Writer) -> None:
    labels = [f"{label}{EVIL}" for label in made_up.TOPICS]
    files = made_up.run_files(labels, made_up.MATRIX)
    files["config"]["model"] = files["metrics"]["model"] = EVIL
    files["config"]["data"]["train"] = files["ledger"]["splits"]["train"]["source"] = f"{EVIL}.csv"
    files["config"]["strategy"] = {"kind": EVIL, "r": EVIL}
    files["config"]["out"] = EVIL
    files["metrics"] |= {"warnings": [EVIL], "device": EVIL, "created": EVIL, "command": EVIL, "versions": {EVIL: EVIL}}
    files["ledger"]["notes"] = [EVIL]
    files["ledger"]["splits"]["train"] |= {"dropped": {EVIL: 3}, "sha256": EVIL, "label_counts": {EVIL: 2}}
    files["ledger"]["duplicates_across_splits"] = {EVIL: 3}
    files["predictions"] = [{"row": EVIL, "text": EVIL, "label": EVIL, "predicted": "x", "probability": 0.5}]
    for line in files["history"]:
        if "learning_rate" in line:
            line["learning_rate"] = {EVIL: 1e-3, "b": 1e-4}
    source = html.render(write_files(files))
    page = Page(source)
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count("<script>alert('x')</script>") > 30
    assert len(drawings(source)) >= 6


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1))
def test_any_text_gives_a_well_formed_page_that_can_be_written(text: str, files: Record, tmp_path: Path) -> None:
    files["predictions"] = [{"row": 1, "text": text, "label": text, "predicted": "x", "probability": 0.5}]
    files["metrics"]["warnings"] = [text]
    source = html.render(made_up.write_run(tmp_path / "run", files))
    source.encode("utf-8")
    Page(source)


def test_lone_surrogates_and_control_characters_do_not_break_the_page(files: Record, write_files: Writer) -> None:
    files["predictions"][0]["text"] = "broken \ud800 \x00 \x1b[31m text"
    source = html.render(write_files(files))
    source.encode("utf-8")
    assert "broken \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}" in source


def test_a_line_separator_inside_a_text_does_not_cut_the_row(files: Record, write_files: Writer) -> None:
    run = write_files(files)
    row = {"row": 1, "text": "before\u2028after\x85end", "label": "billing", "predicted": "damage", "probability": 0.9}
    (run / "predictions/test.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert "before\u2028after" in html.render(run)


def test_an_unfinished_last_line_of_the_history_is_no_error(run: Path) -> None:
    with open(run / "history.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 192, "lo')
    assert "course" in Page(html.render(run)).sections


def test_a_broken_line_in_the_middle_is_named(run: Path) -> None:
    path = run / "history.jsonl"
    path.write_text("{broken\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"history\.jsonl, line 1"):
        html.render(run)


def test_a_step_that_a_resume_repeated_counts_once(files: Record, write_files: Writer) -> None:
    files["history"] = [{"step": step, "loss": loss} for step, loss in [(1, 9.0), (2, 8.0), (2, 4.0), (3, 1.0)]]
    loss = drawings(html.render(write_files(files)))[0]
    hints = [element.text for element in loss.iter() if (element.text or "").startswith("step 2:")]
    assert hints == ["step 2: training, smoothed 4"]


def test_no_absolute_path_and_no_token_is_on_the_page(files: Record, write_files: Writer) -> None:  # S7
    files["config"] |= {"model": "/home/ada/models/mine", "out": "/home/ada/runs/train-lora"}
    files["config"]["data"]["train"] = "/home/ada/inbox/train.csv"
    files["metrics"]["command"] = "tunewright train /home/ada/inbox/train.csv --token hf_abcdefghijklmnopqrst"
    files["metrics"]["warnings"] = ["/home/ada/inbox/train.csv, row 3: odd", "used hf_abcdefghijklmnopqrst"]
    files["ledger"]["notes"] = ["read '/home/ada/in box/train.csv'"]
    source = html.render(write_files(files))
    assert "/home" not in source
    assert "hf_abc" not in source
    assert "mine, trained on train.csv" in source


def test_a_label_that_looks_like_a_path_keeps_its_name(write_files: Writer) -> None:
    labels = ["/r/politics", "/r/gardening"]
    page = Page(html.render(write_files(made_up.run_files(labels, [[8, 2], [1, 9]]))))
    assert re.search("/r/politics +taken for +/r/gardening", page.text)
    assert "task: kind: sequence_classification labels: - /r/politics" in page.text


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"neither run\.yaml nor metrics\.json"):
        html.render(tmp_path)


def test_yaml_that_would_build_objects_is_refused(run: Path) -> None:  # S4
    (run / "run.yaml").write_text("model: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="damaged"):
        html.render(run)
