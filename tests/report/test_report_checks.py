"""What the checks found, as a section of a report: for a person, whatever the data held."""

from __future__ import annotations

import re

from tunewright.report.checks import checks, render

SHIFT = {"auc": 0.5, "low": 0.4, "high": 0.6, "rows": [40, 40]}


def found(rank="warning", message="<b>broken</b>", row=7, **more):
    item = {"message": message, "remedy": "mend it", "split": "test", "row": row, "severity": rank, "details": {}}
    rule = {"rule": "form.html", "count": 12, "severity": rank, "shown": [item]}
    asked = [
        {"kind": "form", "title": "form", "status": "done", "seconds": 1.0, "reason": ""},
        {"kind": "shift", "title": "shift", "status": "skipped", "seconds": 0.0, "reason": "there is no test"},
    ]
    return {"checks": asked, "rules": [rule], "facts": {}, "leaked": {}, **more}


def plain(page) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", str(page)).split())


def test_a_finding_is_told_with_its_place_number_and_remedy_and_as_text():
    page = str(checks(found()))
    assert "<b>broken" not in page
    assert "test, row 7: &lt;b&gt;broken&lt;/b&gt; and 11 more mend it 12" in plain(page)
    assert "test: all of it" in plain(checks(found(message="all of it", row=None)))


def test_what_was_not_asked_says_why():
    assert "shift: skipped: there is no test" in plain(checks(found()))


def test_nobody_looked_is_no_section():
    assert not checks({})


def test_facts_of_every_check_are_drawn_where_they_are_there():
    facts = {
        "labels": {"train": {"counts": {"late": 3, "wet": 1}, "effective": 1.9}},
        "shift": {"test": {"classifier": SHIFT, "vocabulary": {"unseen": 0.2, "within_train": 0.1}},
                  "production": {"too_few_rows": 3}},
    }  # fmt: skip
    page = plain(checks(found(facts=facts)))
    assert "late has 3 rows, wet has 1" in page
    assert "test 0.50 (0.40 to 0.60) 20.0" in page.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "Words that tell" not in page  # nothing told the two apart


def test_the_page_of_data_check_warns_of_leaks():
    page = plain(render(found(leaked={"test": [3, 4], "validation": []}), "inbox.csv", {"train": 30, "test": 5}))
    assert "2 rows of test can be known from train" in page
    assert "of validation can" not in page
