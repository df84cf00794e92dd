"""Malformed inputs through the real command line: exit 2, file, row, column, remedy; no traceback, no model loaded."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tunewright import cli, models, run

HEAD = "text,label\n"
BODY = "".join(f"this is text {n},{'xy'[n % 2]}\n" for n in range(30))  # rows 2 to 31 behind a header
GOOD = HEAD + BODY


class Case(NamedTuple):
    """One malformed input.

    Args:
        name: of the file that is given.
        content: of it; None: there is no such file.
        place: what follows the file in the message: its row, or "".
        says: patterns that the message has, in this order: the fault (with its column), the remedy.
        flags: of the command; {folder} is the folder of the files.
        beside: other files, by name.
        blames: the file that is named, where it is another.
    """

    name: str
    content: str | bytes | None
    place: str
    says: tuple[str, ...]
    flags: tuple[str, ...] = ()
    beside: Any = MappingProxyType({})
    blames: str = ""


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def pairs(**last: object) -> str:
    """A jsonl of 30 good rows and row 31 as given."""
    rows = [{"text": f"text {n}", "label": "xy"[n % 2]} for n in range(30)]
    return lines(*rows, {"text": "the last", "label": "x", **last})


def parquet(columns: list[str], cells: list[list]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(cell) for cell in cells], names=columns), made)
    return made.getvalue()


NOT_PACKED = gzip.compress(GOOD.encode(), mtime=0)
PARQUET = parquet(["text", "label"], [["a", "b"] * 20, ["x", "y"] * 20])
FILES = {
    "empty": Case("inbox.csv", "", "", ("the file is empty", "give a file with rows")),
    "blank_lines": Case("inbox.csv", "\n \n\n\n", "", ("the file has no rows", "at least one row")),
    "empty_json_list": Case("inbox.json", "[]", "", ("the file has no rows", "at least one row")),
    "too_many_cells": Case(
        "inbox.csv", GOOD + "hello, you,x\n", ", row 32", (r"has 3 cells.*\(text, label\)", "quote cells .* ','")
    ),
    "too_few_cells": Case("inbox.csv", GOOD + "hello\n", ", row 32", ("has 1 cells", "fill in 'label'")),
    "ragged_tsv": Case(
        "inbox.tsv",
        GOOD.replace(",", "\t") + "a\tb\tx\n",
        ", row 32",
        (r"has 3 cells.*\(text, label\)", "take tabs .* out of the cells, or save it as csv"),
    ),
    "unclosed_quote": Case("inbox.csv", GOOD + '"hello,x\n', ", row 32", ("no valid csv", "close each quote")),
    "latin_1": Case(
        "inbox.csv",
        (GOOD + "größer,x\n").encode("latin-1"),
        ", line 32",
        ("0xf6 is not UTF-8", "iconv -f WINDOWS-1252"),
    ),
    "utf_16_without_mark": Case("inbox.csv", GOOD.encode("utf-16-le"), ", line 1", ("NUL bytes", "iconv -f UTF-16LE")),
    "damaged_gz": Case(
        "inbox.csv.gz", NOT_PACKED[:30] + b"\xff\xff\xff\xff" + NOT_PACKED[34:], "", ("damaged", "download it again")
    ),
    "plain_text_named_gz": Case("inbox.csv.gz", GOOD, "", ("is not gzipped", "take .gz off its name")),
    "invalid_json_line": Case(
        "inbox.jsonl",
        pairs() + '{"text": "a", label: 1}\n',
        ", row 32",
        ("no JSON: .* at character 15", "one JSON object"),
    ),
    "json_line_is_a_list": Case(
        "inbox.jsonl", pairs() + '["a", "x"]\n', ", row 32", ("no object, but of type list", "as an object")
    ),
    "json_named_jsonl": Case(
        "inbox.jsonl", json.dumps([{"text": "a"}], indent=1), ", row 1", ("no JSON", "suffix .json")
    ),
    "jsonl_named_json": Case("inbox.json", pairs(), "", ("no JSON: Extra data at line 2", "use the suffix .jsonl")),
    "json_is_one_object": Case("inbox.json", '{"text": "a"}', "", ("no list of rows", r"write \[\{")),
    "json_columns_unequal": Case(
        "inbox.json",
        '{"text": ["a", "b"], "label": ["x"]}',
        "",
        (r"different length \(text: 2, label: 1\)", "make them equal"),
    ),
    "text_named_parquet": Case("inbox.parquet", GOOD, "", ("no whole parquet file", "write it again")),
    "unknown_suffix": Case("inbox.xlsx", b"PK\x03\x04", "", ("unknown format '.xlsx'", r"use one of \.csv, \.tsv")),
    "missing_file": Case("nowhere.csv", None, "", ("there is no such file", "check the path")),
    "missing_file_with_a_near_name": Case(
        "inbux.csv", None, "", ("there is no such file", "did you mean 'inbox.csv'"), beside={"inbox.csv": GOOD}
    ),
    "a_folder": Case(
        "data", None, "", ("is not a file", "name one data file, such as .*data/a.csv"), beside={"data/a.csv": GOOD}
    ),
}
MEANING = {
    "one_column": Case("inbox.csv", "note\na b\nc d\n", "", ("no task fits the columns 'note'", "one of labels")),
    "column_twice": Case(
        "inbox.csv", "text,label,label\na,x,y\n", ", row 1", ("column 'label' is there twice", "rename one of them")
    ),
    "no_such_text_column": Case(
        "inbox.csv", GOOD, "", ("no column 'txt'.*did you mean 'text'", "set data.text to one of"), ("--text", "txt")
    ),
    "no_such_label_column": Case(
        "inbox.csv",
        GOOD,
        "",
        ("no column 'lable'.*did you mean 'label'", "set data.label to one of"),
        ("--label", "lable"),
    ),
    "one_column_for_both": Case(
        "inbox.csv", GOOD, "", ("column 'text' is named twice", "one role"), ("--text", "text", "--label", "text")
    ),
    "label_empty": Case("inbox.csv", GOOD + "hello,\n", ", row 32", ("column 'label' is empty", "on_bad_row=drop")),
    "text_not_a_number": Case(
        "inbox.jsonl", pairs(text=float("nan")), ", row 31", ("column 'text' is empty", "on_bad_row=drop")
    ),
    "text_is_a_list": Case(
        "inbox.jsonl", pairs(text=["a"]), ", row 31", ("column 'text' holds .*list", "write a text")
    ),
    "text_is_bytes": Case(
        "inbox.parquet",
        parquet(["text", "label"], [[b"a"], ["x"]]),
        ", row 1",
        ("column 'text' .*bytes", "write a text"),
    ),
    "label_is_a_list_once": Case(
        "inbox.jsonl", pairs(label=["x"]), ", row 31", ("column 'label' .*list", "multi_label")
    ),
    "null_in_a_list_of_labels": Case(
        "inbox.jsonl",
        lines(*({"text": f"t {n}", "label": ["x"]} for n in range(30)), {"text": "t", "label": ["x", None]}),
        ", row 31",
        ("column 'label' holds null", "write each label as text"),
    ),
    "all_rows_unusable": Case(
        "inbox.csv", HEAD + ",x\na,\n", "", ("no row is usable: 1 x column 'text'", "fill"), ("data.on_bad_row=drop",)
    ),
    "one_class": Case(
        "inbox.csv", GOOD.replace(",y", ",x"), ", column 'label'", ("only one label, 'x'", "at least two classes")
    ),
    "every_row_its_own_label": Case(
        "inbox.csv",
        HEAD + "".join(f"text {n},id-{n}\n" for n in range(30)),
        ", column 'label'",
        ("every row has a label of its own", "name the label column"),
    ),
    "no_possible_label": Case(
        "inbox.csv",
        "message,date,source\n" + "".join(f"text {n},2026-01-{n:02},web\n" for n in range(30)),
        "",
        ("no column can be the label; the columns are 'message', 'date', 'source'", "name it with data.label"),
    ),
    "too_few_rows": Case(
        "inbox.csv", HEAD + "a,x\nb,y\nc,x\n", "", ("too few for a .* split", "give more rows, a file")
    ),
    "unseen_label_in_test": Case(
        "inbox.csv",
        GOOD,
        ", row 3",
        ("label 'z' is not among the training labels", "add rows with it"),
        ("--test", "{folder}/later.csv"),
        {"later.csv": HEAD + "fine,x\nstrange,z\n"},
        "later.csv",
    ),
    "no_text_column_in_test": Case(
        "inbox.csv",
        GOOD,
        "",
        ("there is no column 'text'", "it has 'id', 'label'"),
        ("--test", "{folder}/later.csv"),
        {"later.csv": "id,label\nPD-1,x\nPD-2,y\n"},
        "later.csv",
    ),
    "empty_validation": Case(
        "inbox.csv",
        GOOD,
        "",
        ("the file has no rows", "at least one row"),
        ("--validation", "{folder}/dev.csv"),
        {"dev.csv": HEAD},
        "dev.csv",
    ),
    "label_without_a_name": Case(
        "inbox.csv",
        HEAD + BODY.replace(",x", ",0").replace(",y", ",1") + "hello,2\n",
        ", row 32",
        ("column 'label': there is no label '2'", "has 2 names, numbered from 0"),
        ("--label-names", "{folder}/names.txt"),
        {"names.txt": "no\nyes\n"},
    ),
    "label_names_missing": Case(
        "inbox.csv",
        GOOD,
        "",
        ("no such file", "--label-names"),
        ("--label-names", "{folder}/names.txt"),
        {},
        "names.txt",
    ),
    "label_column_with_a_two": Case(
        "inbox.csv",
        "text,rude,spam\n" + "".join(f"text {n},{n % 2},0\n" for n in range(30)) + "hello,0,2\n",
        ", row 32",
        ("column 'spam' holds '2'", "write 1 or 0"),
        ("--label", "rude", "--label", "spam"),
    ),
    "delimiter_for_label_columns": Case(
        "inbox.csv",
        "text,rude,spam\na b,1,0\nc d,0,1\n",
        "",
        ("label_delimiter is ','.*names 2 columns", "leave out the delimiter"),
        ("--label", "rude", "--label", "spam", "--label-delimiter", ","),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def verbs():
    if not cli.app.registered_commands:
        cli.add_verbs()


@pytest.fixture
def no_model(monkeypatch):
    """Whoever asks for a model before the data are understood gets an error that is a defect."""

    def refuse(*arguments, **options):
        raise AssertionError("a model was asked for")

    for name in ("locate", "load_model", "load_tokenizer"):
        monkeypatch.setattr(models, name, refuse)


def write(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def command(case: Case, folder: Path) -> list[str]:
    for name, content in case.beside.items():
        write(folder, name, content)
    if case.content is not None:
        write(folder, case.name, case.content)
    flags = [flag.format(folder=folder) for flag in case.flags]
    return ["train", str(folder / case.name), *flags, "--out", str(folder / "out")]


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in {**FILES, **MEANING}.items()])
def test_a_malformed_input_is_told_with_place_and_remedy(case, tmp_path, capsys, no_model):  # D10
    """More of them, without the command line: test_hostile_files and tests/data."""
    code = cli.run(command(case, tmp_path))
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    assert f"{tmp_path / (case.blames or case.name)}{case.place}: " in said
    assert re.search(".*; .*".join(case.says), said, re.DOTALL)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_the_same_files_without_the_fault_come_as_far_as_the_model(tmp_path, capsys, no_model):
    """The cases above fail for their fault, not for something that they share."""
    good = {"inbox.csv": GOOD, "inbox.tsv": GOOD.replace(",", "\t"), "inbox.jsonl": pairs(), "inbox.parquet": PARQUET}
    good |= {"inbox.csv.gz": NOT_PACKED, "inbox.json": json.dumps([json.loads(line) for line in pairs().splitlines()])}
    for name, content in good.items():
        assert cli.run(command(Case(name, content, "", ()), tmp_path)) == 1
        assert "a model was asked for" in capsys.readouterr().err


def test_no_data_error_leaves_a_run_that_bars_the_way(tmp_path, capsys, no_model):
    """The same command with the file mended starts, without --overwrite."""
    assert cli.run(command(FILES["too_few_cells"], tmp_path)) == 2
    assert cli.run(command(Case("inbox.csv", GOOD, "", ()), tmp_path)) == 1
    assert "a model was asked for" in capsys.readouterr().err


def test_the_story_asks_for_a_model_through_the_functions_refused_here():
    assert run.models is models
