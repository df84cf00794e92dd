"""`tunewright data check`: a report for a person, an exit code for a program, and corrections that come back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import tunewright as tw
from tests.desks import HashedWords
from tunewright.data import sources
from tunewright.desk import opening

FRAMES = ["my {} never came", "the {} is broken", "please send the {} again", "who has my {} now"]
THINGS = ["bakery order", "red box", "winter coat", "guitar", "flour sack", "garden chair", "birthday cake", "old book"]


@pytest.fixture
def home(tmp_path) -> Path:
    """inbox.csv; later.csv, which it has nothing to do with; same.csv, which it holds whole."""
    texts = [(frame.format(thing), "ab"[number % 2]) for thing in THINGS for number, frame in enumerate(FRAMES)]
    later = [
        (f"{thing} came on a {day}", "ab"[number % 2])
        for thing in ("letter", "piano", "ladder", "lamp")
        for number, day in enumerate(("monday", "sunday"))
    ]
    for name, rows in {"inbox": texts, "later": later, "same": texts[::4]}.items():
        write(tmp_path / f"{name}.csv", rows)
    return tmp_path


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    """Words instead of minilm."""
    monkeypatch.setattr(opening, "embedded_encoder", HashedWords)


def write(path: Path, rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "label"], *rows])


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clean_files_end_with_0_and_a_report(call, home):
    code, out, _ = call("data", "check", "inbox.csv", "--test", "later.csv")
    assert code == 0
    assert "report:" in out
    assert {path.name for path in (home / "checks/inbox").iterdir()} == {"checks.json", "findings.jsonl", "report.html"}
    page = (home / "checks/inbox/report.html").read_text()
    assert "32 rows of train" in page.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "<script" not in page


def test_leakage_ends_with_2_unless_it_is_allowed(call):
    code, out, _ = call("data", "check", "inbox.csv", "--test", "same.csv", "--json")
    found = json.loads(out)
    assert code == 2
    assert next(rule for rule in found["rules"] if rule["rule"] == "leakage.exact")["count"] == 8
    assert found["leaked"] == {"test": list(range(2, 10))}
    code, _, _ = call("data", "check", "inbox.csv", "--test", "same.csv", "--allow", "leakage")
    assert code == 0


def test_every_check_says_what_became_of_it(call):
    _, out, _ = call("data", "check", "inbox.csv", "--json")
    outcomes = {check["kind"]: check for check in json.loads(out)["checks"]}
    assert outcomes["leakage"]["status"] == "skipped"
    assert all(check["reason"] for check in outcomes.values() if check["status"] != "done")
    _, out, _ = call("data", "check", "inbox.csv", "--json", "--only", "labels")
    assert [check["kind"] for check in json.loads(out)["checks"]] == ["labels"]


def test_production_texts_need_no_labels(call, home):
    write(
        home / "many.csv", [(f"my {thing} number {n} never came", "ab"[n % 2]) for n in range(15) for thing in THINGS]
    )
    (home / "production.csv").write_text(
        "text\n" + "".join(f"где мой заказ {n}\n" for n in range(120)), encoding="utf-8"
    )
    code, out, _ = call("data", "check", "many.csv", "--production", "production.csv", "--only", "shift", "--json")
    assert code == 0
    shown = [item for rule in json.loads(out)["rules"] for item in rule["shown"]]
    assert {item["split"] for item in shown} == {"production"}


def test_repairs_are_written_to_a_new_file_which_is_checked(call, home):
    write(
        home / "torn.csv", [("caf&eacute; closed", "a"), ("it is broken", "b"), ("it is broken", "b"), *[("x y", "a")]]
    )
    code, _, said = call("data", "check", "torn.csv", "--fix", "html", "--fix", "duplicates", "--write", "whole.csv")
    assert code == 0
    assert "3 of 4 rows" in said
    texts = [row["text"] for row in sources.read(str(home / "whole.csv")).rows]
    assert texts == ["café closed", "it is broken", "x y"]
    assert (home / "checks/whole/report.html").is_file()
    code, _, said = call("data", "check", "torn.csv", "--fix", "html", "--write", "whole.csv")
    assert (code, "is there already" in said) == (2, True)
    code, _, said = call("data", "check", "torn.csv", "--fix", "htm", "--write", "other.csv")
    assert (code, "did you mean 'html'" in said) == (2, True)
    assert not (home / "other.csv").exists()


def test_corrections_of_suspects_come_back(call, home):
    rows = [(f"{frame.format(thing)} {word}", label) for thing in THINGS for frame in FRAMES
            for word, label in (("invoice money", "billing"), ("login screen", "app"))]  # fmt: skip
    rows[7], rows[30] = (rows[7][0], "billing"), (rows[30][0], "app")
    write(home / "parcels.csv", rows)
    code, _, _ = call("data", "check", "parcels.csv", "--only", "label_noise")
    path = home / "checks/parcels/suspects.csv"
    suspects = read(path)
    assert code == 0
    assert list(suspects[0]) == ["row", "split", "text", "given", "expected", "probability", "correction"]
    assert all(row["correction"] == "" for row in suspects)
    suspects[0]["correction"], suspects[1]["correction"] = suspects[0]["expected"], "drop"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(suspects[0]))
        writer.writeheader()
        writer.writerows(suspects)
    code, _, said = call("data", "check", "parcels.csv", "--only", "label_noise")
    assert (code, "2 corrections" in said) == (2, True)  # a person's work is not overwritten
    code, _, _ = call("data", "check", "parcels.csv", "--only", "labels", "--apply", str(path), "--write", "mended.csv")
    assert code == 0
    mended = read(home / "mended.csv")
    assert len(mended) == 63
    first = next(row for row in mended if row["text"] == suspects[0]["text"])
    assert first["label"] == suspects[0]["expected"] != suspects[0]["given"]
    assert suspects[1]["text"] not in {row["text"] for row in mended}


def test_from_python_it_is_one_call(home):
    checked = tw.check(
        {"train": str(home / "inbox.csv"), "test": str(home / "same.csv")}, out=home / "seen", progress=False
    )
    assert [rule for rule, _ in checked.severe()] == ["leakage.exact"]
    assert checked.severe(["leakage"]) == []
