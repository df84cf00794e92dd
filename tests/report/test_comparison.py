"""The report of a comparison: every number is the record's, every form of it is a whole page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report import comparisons as made_up
from tests.report.test_report_html import EVIL, Page, drawings
from tunewright.errors import RunDirectoryError, UnsafeError
from tunewright.files import read_json
from tunewright.report import comparison, words

Record = dict[str, Any]
SECTIONS = ["contestants", "cost", "curves", "disagreements", "classes", "how"]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small comparison."""
    settings: Record = {"num_rows": 90, "seeds": (0, 1)}
    return lambda *given, **changed: made_up.write_comparison(tmp_path / "duel", *given, **settings | changed)


def page_of(path: Path) -> Page:
    return Page(comparison.render(path))


def section(path: Path, name: str) -> str:
    """The visible text of a section."""
    found = re.search(rf'<section id="{name}".*?</section>', comparison.render(path), re.DOTALL)
    assert found, name
    return Page(found[0]).text


def test_the_page_has_every_section_in_order_and_its_contents_lead_there(make: Callable[..., Path]) -> None:
    page = page_of(make())
    assert page.sections == SECTIONS
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in SECTIONS]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("task", made_up.TASKS)
def test_of_every_task_the_page_is_whole_and_needs_nothing_from_elsewhere(task: str, make: Callable[..., Path]) -> None:
    source = comparison.render(make(task))
    page = Page(source)
    assert not [name for name in ("script", "link", "img") if page.all(name)]
    assert not re.search(r"https?://(?!www\.w3\.org/)", source)
    assert "url(" not in source
    assert "default-src 'none'" in source
    assert {"contestants", "cost", "curves", "disagreements", "how"} <= set(page.sections)
    assert len(drawings(source)) == 4
    assert "nan" not in page.text.lower()


def test_no_difference_is_as_large_a_headline_as_a_win(make: Callable[..., Path]) -> None:
    path = make()
    verdict = read_json(path / "comparison.json")["verdict"]
    source = comparison.render(path)
    assert f'<h1 dir="auto">No detectable difference: {verdict["winner"]} is the cheapest</h1>' in source
    assert verdict["sentence"] in Page(source).text
    clear = [(name, accuracy if name == "full" else 0.3, *more) for name, accuracy, *more in made_up.USUAL]
    assert '<h1 dir="auto">full wins</h1>' in comparison.render(make(contestants=clear))


def test_a_verdict_on_a_part_of_the_runs_says_so(make: Callable[..., Path]) -> None:
    source = comparison.render(make(change=lambda record: record.update(complete=False)))
    assert '<h1 dir="auto">So far: No detectable difference: ' in source
    assert "It is not complete; its command with --resume goes on." in Page(source).text


def test_the_advice_and_how_to_use_the_winner_stand_on_top(make: Callable[..., Path]) -> None:
    text = page_of(make()).text
    assert "About 5,200 test rows would tell them apart. Use " in text
    assert re.search(r'tunewright predict \S*duel --text "\.\.\."', text)
    assert '--context "..."' in page_of(make("question_answering")).text


def test_the_table_has_every_figure_of_every_contestant(make: Callable[..., Path]) -> None:
    path = make()
    text = section(path, "contestants")
    for item in read_json(path / "comparison.json")["contestants"]:
        value, found = item["score"], [item["name"]]
        found += [f"{value['value']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}"]
        found += [f"± {value['seed_deviation']:.3f}"] if value["seed_deviation"] is not None else []
        versus = item["versus_best"]
        found += (
            [
                f"{words.signed('accuracy', versus['low'])} to {words.signed('accuracy', versus['high'])}",
                words.signed("accuracy", versus["difference"]),
                words.chance(versus["p_corrected"]),
            ]
            if versus
            else []
        )
        found += ["5 200 rows", "or 9 seeds"] if versus and not versus["detectable"] else []
        found += [words.duration(item["fit_seconds"]), words.memory(item["peak_memory_mb"]),
                  words.size(item["artefact_bytes"])]  # fmt: skip
        missing = [figure for figure in found if re.sub(r"\s", " ", figure) not in text]
        assert not missing, item["name"]
    assert "9.6 / 2.4" in text
    assert "0.34 %" in text


def test_the_winner_those_as_good_and_floors_are_marked(make: Callable[..., Path]) -> None:
    path = make(num_rows=400)
    verdict, source = read_json(path / "comparison.json")["verdict"], comparison.render(path)
    tags = re.findall(r'<span dir="auto">([\w.=]+)</span> <span class="tag(?: wins)?">([^<]+)</span>', source)
    expected = dict.fromkeys(verdict["equals"], "as good") | {verdict["winner"]: "wins"}
    assert dict(tags) == expected | {"tfidf": "floor", "majority": "floor"}
    assert len(verdict["equals"]) > 1


def test_stopped_and_failed_ones_stand_last_with_their_reasons(make: Callable[..., Path]) -> None:
    fates = {
        "full": ("stopped", "it lay behind"),
        "lora.r=16": ("failed", "out of memory"),
        "lora.r=4": ("waiting", ""),
    }
    path = make(unfinished=fates, complete=False)
    text = section(path, "contestants")
    assert "full : stopped after 30 of 90 steps: it lay behind (seeds 0 and 1)" in text
    assert "lora.r=16 : failed after 30 of 90 steps: out of memory (seeds 0 and 1)" in text
    assert text.index("majority") < text.index("4 full stopped") < text.index("lora.r=4 waiting")
    whole = page_of(path).text
    assert "Not decided yet Of 10 runs: 4 finished, 2 stopped, 2 failed and 2 waiting." in whole
    assert "It is not complete: 2 runs to go; its command with --resume goes on." in whole


def test_a_comparison_that_has_just_begun_has_a_page(make: Callable[..., Path]) -> None:
    fates = {name: ("waiting", "") for name, *_ in made_up.USUAL}
    path = make(unfinished=fates, complete=False)
    assert page_of(path).sections == ["contestants", "how"]
    shutil.rmtree(path)
    assert "No run has begun" in page_of(make(contestants=[], complete=False)).text


def test_all_failed_is_no_verdict(make: Callable[..., Path]) -> None:
    fates = {name: ("failed", "no memory") for name, *_ in made_up.USUAL}
    assert '<h1 dir="auto">No verdict</h1>' in comparison.render(make(unfinished=fates))


def test_one_contestant_alone_has_no_disagreements(make: Callable[..., Path]) -> None:
    page = page_of(make(contestants=made_up.USUAL[:1]))
    assert page.sections == ["contestants", "curves", "how"]
    assert "full is the only contestant" in page.text


def test_folders_that_are_gone_leave_their_parts_out(make: Callable[..., Path]) -> None:
    path = make()
    for folder in path.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    assert page_of(path).sections == ["contestants", "cost", "how"]


def test_without_times_of_rows_memory_is_drawn(make: Callable[..., Path]) -> None:
    def change(record: Record) -> None:
        for item in record["contestants"]:
            item["milliseconds_per_row"] = None

    path = make(change=change)
    assert "Accuracy against peak memory" in section(path, "cost")
    assert "ms a row" not in section(path, "contestants")


def test_the_classes_with_the_largest_spread_come_first(make: Callable[..., Path]) -> None:
    path = make()
    table = re.findall(r"<section id=\"classes\".*?</section>", comparison.render(path), re.DOTALL)[0]
    spreads = [float(found) for found in re.findall(r'<th scope="row" dir="auto">\w+</th><td>([\d.]+)</td>', table)]
    assert len(spreads) == len(made_up.TOPICS)
    assert spreads == sorted(spreads, reverse=True)
    each = [read_json(path / f"full/seed-{seed}/metrics.json")["test"]["per_class"]["billing"]["f1"] for seed in (0, 1)]
    assert f"{sum(each) / 2:.3f}" in table


def test_of_many_classes_and_contestants_the_rest_is_told(make: Callable[..., Path]) -> None:
    labels = [f"intent_{place:02d}" for place in range(77)]
    path = make(contestants=made_up.many(38), seeds=(0,), labels=labels, num_rows=154)
    found = read_json(path / "majority/seed-0/metrics.json")["test"]["per_class"]
    labels = [name for name, scores in found.items() if scores["support"]]
    text = section(path, "classes")
    assert "Shown are 8 of 40 contestants" in text
    assert f"On the other {len(labels) - 20} they lie at most" in text
    assert all(label in text for label in labels)
    assert "The grey lines are the 33 others" in section(path, "curves")
    assert comparison.render(path).count('class="tag wins"') == 1


def test_kinds_of_questions_are_told_apart(make: Callable[..., Path]) -> None:
    assert "questions without an answer" in section(make("question_answering"), "classes")


def test_it_says_how_it_was_done(make: Callable[..., Path]) -> None:
    text = section(make(), "how")
    for said in ("train 900, validation 100, test 90", "0 and 1", "20 min 0 s", "10 of 10 finished", "2 000 resamples",
                 "paired bootstrap, against the best, corrected for 5 comparisons", "tunewright 0.1.0, torch 2.13.0",
                 "strategy.r=16", "12 min 12 s"):  # fmt: skip
        assert said in text, said


def test_validation_scores_are_told_to_have_chosen_the_step(make: Callable[..., Path]) -> None:
    path = make(change=lambda record: record.update(split="validation"))
    assert "validation, which also chose the best step" in section(path, "how")


def test_no_path_of_the_machine_and_no_secret_is_on_the_page(make: Callable[..., Path]) -> None:  # S7
    fates = {"full": ("failed", "cannot read /home/ada/base/model.bin with hf_abcdefghijklmnop")}
    texts = dict.fromkeys(range(1, 91), "see /home/ada/x, hf_abcdefghijklmnop")
    source = comparison.render(make(unfinished=fates, texts=texts))
    assert "/home" not in source
    assert "hf_abc" not in source
    assert "cannot read model.bin with [hidden]" in Page(source).text
    assert "see x, [hidden]" in Page(source).text


def test_everything_from_names_and_data_is_escaped(make: Callable[..., Path]) -> None:
    name = "a<b>&\"c'"
    contestants = [(name, *made_up.USUAL[0][1:]), *made_up.USUAL[1:]]

    def change(record: Record) -> None:
        record["data"]["train"] = record["created"] = record["verdict"]["sentence"] = EVIL
        record["versions"] = {EVIL: EVIL}
        for item in record["contestants"]:
            item |= {"notes": [EVIL], "settings": [EVIL], "model": EVIL}

    labels = [f"{label}{EVIL}" for label in made_up.TOPICS]
    path = make(contestants=contestants, labels=labels, change=change, texts=dict.fromkeys(range(1, 91), EVIL))
    source = comparison.render(path)
    page = Page(source)
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count("<script>alert('x')</script>") > 30
    assert name in page.text
    assert len(drawings(source)) == 4


def test_the_report_is_written_into_the_directory(make: Callable[..., Path]) -> None:
    path = make()
    assert comparison.write(path) == path / "report.html"
    assert (path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_what_is_no_comparison_is_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no comparison\.json is here"):
        comparison.write(tmp_path)
    path = make()
    (path / "comparison.json").write_text("{half", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="unreadable"):
        comparison.write(path)


def test_a_run_outside_the_directory_is_not_read(make: Callable[..., Path]) -> None:  # S3
    path = make()
    record = json.loads((path / "comparison.json").read_text(encoding="utf-8"))
    record["contestants"][0]["runs"][0]["path"] = "../elsewhere"
    (path / "comparison.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UnsafeError):
        comparison.render(path)
