"""Tokens with tags become one row a sentence; a line that does not fit is told with file, line and remedy."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.data import conll, sources
from tunewright.errors import DataError

TEXT = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n.\tO\n\n"
ROWS = [
    {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
    {"tokens": ["Peter", "Blackburn", "."], "tags": ["B-PER", "I-PER", "O"]},
]
LINES = TEXT.split("\n")


def made(folder: Path, content: str | bytes, name: str = "train.conll"):
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return str(folder / name)


def read(folder: Path, content: str | bytes, name: str = "train.conll", header: bool | None = None):
    return sources.read(made(folder, content, name), header)


@pytest.mark.parametrize("suffix", [".conll", ".annotated", ".tsv", ".txt", ".CONLL", ".conll.gz", ".txt.gz"])
def test_each_suffix_gives_one_row_a_sentence(tmp_path, suffix):
    table = read(tmp_path, TEXT, f"train{suffix}")
    assert table.columns == ["tokens", "tags"]
    assert table.rows == ROWS
    assert table.numbers == [1, 4]
    assert table.notes == ["read as CoNLL: 2 sentences, 2 columns"]


WRITTEN = {
    "windows": TEXT.replace("\n", "\r\n"),
    "old_mac": TEXT.replace("\n", "\r"),
    "no_last_newline": TEXT.rstrip("\n"),
    "byte_order_mark": "\ufeff" + TEXT,
    "blank_lines_in_a_row": TEXT.replace("\n\n", "\n\n \n\t\n\n"),
    "tab_in_blank_lines": TEXT.replace("\n\n", "\n\t\n"),
    "starts_blank": "\n\n" + TEXT,
    "blanks": TEXT.replace("\t", " "),
    "blank_before_the_tag": TEXT.replace("\t", "\t "),
    "two_blanks": TEXT.replace("\t", "  "),
    "trailing_blanks": re.sub("(?<=[A-Z])\n", " \n", TEXT),
    "trailing_tabs": re.sub("(?<=[A-Z])\n", "\t\n", TEXT),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_line_ends_blanks_and_separators_change_nothing(tmp_path, content):
    assert read(tmp_path, content).rows == read(tmp_path, content, "train.tsv").rows == ROWS


def test_a_row_has_the_number_of_its_sentences_first_line(tmp_path):
    assert read(tmp_path, "\n \nEU\tO\n\n\n-DOCSTART-\tO\n\n# a comment\nof\tO\nit\tO").numbers == [3, 9]


def test_columns_between_token_and_tag_are_kept(tmp_path):
    table = read(tmp_path, "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n")
    assert table.columns == ["tokens", "column_2", "column_3", "tags"]
    first = {"tokens": ["EU", "rejects"], "column_2": ["NNP", "VBZ"], "column_3": ["B-NP", "B-VP"]}
    assert table.rows[0] == first | {"tags": ["B-ORG", "O"]}
    assert table.notes == ["read as CoNLL: 2 sentences, 4 columns"]


@pytest.mark.parametrize(
    "token", ['"', '"so', '"so"', "''", "a,b", "\\", "10\xa0000", "\xa0", "#", "#tag", "\u2028", "\x85"]
)
@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_token_is_taken_as_it_is(tmp_path, token, separator):
    table = read(tmp_path, TEXT.replace("rejects", token).replace("\t", separator))
    assert table.rows == [{"tokens": ["EU", token], "tags": ["B-ORG", "O"]}, ROWS[1]]


def test_an_empty_token_keeps_its_place(tmp_path):
    table = read(tmp_path, TEXT.replace("rejects", ""))
    assert table.rows[0] == {"tokens": ["EU", ""], "tags": ["B-ORG", "O"]}


def test_a_token_of_several_words_stays_one_between_tabs(tmp_path):
    assert read(tmp_path, "New York\tB-LOC\nis\tO\n").rows[0]["tokens"] == ["New York", "is"]


@pytest.mark.parametrize("start", ["-DOCSTART- -X- -X- O\n\n", "-DOCSTART-\n\n", "-DOCSTART- -X- -X- O\n"])
def test_document_starts_are_skipped_and_counted(tmp_path, start):
    body = "EU NNP B-NP B-ORG\n"
    table = read(tmp_path, start + body + start + body)
    assert [row["tokens"] for row in table.rows] == [["EU"], ["EU"]]
    assert "skipped 2 -DOCSTART- lines" in table.notes


@pytest.mark.parametrize(
    "comment", ["# sent_id = 12", "# text", "###MEDLINE:24684850", "# text = Hello", "# id 52\tdomain=en"]
)
@pytest.mark.parametrize("body", [TEXT, TEXT.replace("\t", " _ _ ")], ids=["tabs", "four_cells"])
def test_comments_are_skipped_and_counted(tmp_path, comment, body):
    table = read(tmp_path, f"{comment}\n{body}{comment}\n{body}")
    assert [row["tokens"] for row in table.rows] == [row["tokens"] for row in ROWS * 2]
    assert "skipped 2 comments (#)" in table.notes


def test_a_comment_inside_a_sentence_does_not_end_it(tmp_path):
    assert read(tmp_path, TEXT.replace("rejects", "# checked twice\nrejects")).rows == ROWS


def test_hashtags_are_tokens(tmp_path):
    table = read(tmp_path, TEXT.replace("EU", "#EU").replace("rejects", "#"))
    assert table.rows[0]["tokens"] == ["#EU", "#"]


def test_a_tag_called_tag_is_no_column_name_among_other_tags(tmp_path):
    assert read(tmp_path, "to\ttag\nto\tverb\n").rows == [{"tokens": ["to", "to"], "tags": ["tag", "verb"]}]


@pytest.mark.parametrize(("header", "first"), [(None, "EU"), (True, "EU"), (False, "Token")])
def test_column_names_are_told_from_tokens(tmp_path, header, first):
    content = "Token\tTag\nEU\tB-ORG\nrejects\tO\n" + TEXT * 5
    table = read(tmp_path, content, "train.tsv", header)
    assert table.rows[0]["tokens"][0] == first
    assert len(table.rows) == 10
    assert any("header (Token, Tag" in note for note in table.notes) is (header is not False)


ORDINARY = {  # and its rows
    "texts": ("text\tlabel\nwhere is it?\tlate\n\nit is here\tother\n", 2),
    "few_tags": ("text\tlabel\n\n" + "EU\tB-ORG\nof\tO\nit\tO\nis\tO\nso\tyes\n" * 5, 25),
    "no_blank_line": ("text\tlabel\n" + TEXT.replace("\n\n", "\n") * 5, 25),
    "blank_lines_only_at_the_end": ("text\tlabel\n" + TEXT.replace("\n\n", "\n") * 5 + "\n\n", 25),
    "five_cells": (TEXT.replace("\t", "\ta\tb\tc\t"), 5),
    "sentences": ("text\tlabel\n\n" + "their blood group\tO\n" * 20, 20),
}


@pytest.mark.parametrize(("content", "rows"), ORDINARY.values(), ids=ORDINARY)
def test_a_tsv_of_ordinary_columns_is_read_as_before(tmp_path, content, rows):
    table = read(tmp_path, content, "train.tsv")
    assert "tokens" not in table.columns
    assert len(table.rows) == rows


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_a_txt_without_tags_has_no_known_format(tmp_path, name):
    with pytest.raises(
        DataError, match=r"unknown format .*use one of \.csv.*\.conll.*a \.txt with a token and its tag"
    ):
        read(tmp_path, "Once upon a time.\n\nThe end.\n", name)


def test_what_a_file_is_shows_in_its_beginning(tmp_path):
    broken = TEXT * 4000 + "text\n"
    assert len(broken) > conll.SNIFFED
    with pytest.raises(DataError, match=r"train\.tsv, line 28001: has 1 cells"):
        read(tmp_path, broken, "train.tsv")


MALFORMED = {
    "no_tag": (TEXT + "EU\t\n", r"line 8: has no tag: 'EU'; write its tag \(O where"),
    "no_tag_of_three": ("EU\tNNP\tO\nof\tIN\t \n", r"line 2: has no tag: .*; write its tag \(O where"),
    "hashtag_without_tag_at_the_start": ("EU\tO\n\n#EU\t\n", r"line 3: has no tag: '#EU'; write its tag"),
    "hashtag_without_tag": ("EU\tO\n#EU\t\n", r"line 2: has no tag: '#EU'; write its tag"),
    "hashtag_without_tag_or_tab": ("EU\tO\n#EU\n", r"line 2: has 1 cells between tabs, not 2 as line 1: '#EU'; sep"),
    "token_only": (TEXT + "EU\n", r"line 8: has 1 cells between tabs, not 2 as line 1: 'EU'; separate cells with tabs"),
    "token_only_between_blanks": ("EU O\n\nEU\n", r"line 3: has 1 cells between blanks, not 2 .*cells with blanks"),
    "too_many": (TEXT + "a\tb\tO\n", r"line 8: has 3 cells between tabs, not 2 as line 1: 'a.*; take tabs out of the"),
    "too_many_between_blanks": ("EU O\nNew York O\n", r"line 2: has 3 cells between blanks.*; take blanks out of"),
    "other_separator": (
        TEXT + "EU B-ORG\n",
        r"line 8: has 1 cells between tabs, not 2 as line 1: 'EU B-ORG'; separate",
    ),
    "long_line": (TEXT + "x" * 500, r"line 8: has 1 cells.* 'x{50,60}\.\.\.; separate cells"),
    "first_line_alone": ("EU\nrejects\n", r"line 1: has one cell: 'EU'; write a token and its tag on each line"),
    "counted": (
        "1 EU B-ORG\n2 of O\n\n1 Peter O\n",
        r"conll: the first column holds no tokens.*; take that column out",
    ),
    "blank": ("\n \n\t\n", r"conll: the file has no rows; give a file with at least one row"),
    "documents_only": ("-DOCSTART-\n\n", r"conll: the file has no rows; give a file with at least one row"),
    "nul": ("EU\tO\n\0\tO\n", r"line 2: holds NUL bytes"),
    "latin_1": ("EU\tO\ngrößer\tO\n".encode("latin-1"), r"line 2: byte 0xf6 is not UTF-8; save it as UTF-8"),
}


@pytest.mark.parametrize(("content", "says"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_line_is_told_with_file_line_and_remedy(tmp_path, content, says):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "train.conll"))
    assert re.search(says, str(caught.value)), caught.value


def read_or_refuse(path: Path):
    try:
        return sources.read(str(path))
    except DataError as error:
        return error


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(["EU\tO", "EU O", "\tO", "#a", "# a\tb", "", " ", "\t", "-DOCSTART-", "a b c", '"\tB-X']))
)
def test_whatever_the_lines_tokens_and_tags_are_equally_many(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "fuzz.conll"
    path.write_text("\n".join(lines) + "\n")
    found = read_or_refuse(path)
    if isinstance(found, DataError):
        assert str(path) in found.where
        assert found.fix
    else:
        assert all(row["tokens"] and len(row["tokens"]) == len(row["tags"]) for row in found.rows)


SENTENCES = "i want to fly \nto 10\xa0000 dollars\n"
TAGS = "O O O O\nO B-fare O \n"
PARALLEL = [
    {"tokens": ["i", "want", "to", "fly"], "tags": ["O", "O", "O", "O"]},
    {"tokens": ["to", "10\xa0000", "dollars"], "tags": ["O", "B-fare", "O"]},
]
NAMES = {
    "seq": ("seq.in", "seq.out", "label"),
    "seq_labels": ("seq.in", "seq.out", "labels"),
    "named": ("dev.tokens", "dev.tags", "dev.label"),
    "packed": ("seq.in.gz", "seq.out.gz", "label.gz"),
    "partly_packed": ("dev.tokens", "dev.tags.gz", "dev.labels"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("given_as", ["folder", "tokens", "tags"])
def test_parallel_files_are_one_row_a_line(tmp_path, names, given_as):
    for name, content in zip(names, [SENTENCES, TAGS, "flight\nfare\n"], strict=True):
        made(tmp_path, content, name)
    table = sources.read(str(tmp_path / {"folder": "", "tokens": names[0], "tags": names[1]}[given_as]))
    assert table.columns == ["tokens", "tags", "label"]
    assert table.rows == [PARALLEL[0] | {"label": "flight"}, PARALLEL[1] | {"label": "fare"}]
    assert table.where(1) == f"{tmp_path / names[0]}, row 2"
    assert table.notes == [f"read as parallel files: {', '.join(names)}"]


def pair(folder: Path, tokens: str = SENTENCES, tags: str = TAGS, label: str | None = None) -> str:
    for name, content in {"seq.in": tokens, "seq.out": tags, "label": label}.items():
        if content is not None:
            (folder / name).write_bytes(content.encode())
    return str(folder)


def test_parallel_files_need_no_labels(tmp_path):
    table = sources.read(pair(tmp_path))
    assert table.columns == ["tokens", "tags"]
    assert table.rows == PARALLEL


def test_line_ends_change_nothing_in_parallel_files(tmp_path):
    assert sources.read(pair(tmp_path, SENTENCES.replace("\n", "\r\n"), TAGS.rstrip() + "\n\n")).rows == PARALLEL


def test_lines_blank_in_every_file_are_skipped_and_counted(tmp_path):
    table = sources.read(pair(tmp_path, "a\n\nb\n", "O\n \nO\n", "x\n\ny\n"))
    assert table.numbers == [1, 3]
    assert "skipped 1 blank lines" in table.notes


@pytest.mark.parametrize("changed", ["seq.in", "seq.out", "label"])
def test_the_fingerprint_of_parallel_files_is_over_all_of_them(tmp_path, changed):
    before = sources.read(pair(tmp_path, label="flight\nfare\n")).sha256
    assert sources.read(str(tmp_path)).sha256 == before
    path = tmp_path / changed
    path.write_text(path.read_text() + "\n")
    assert sources.read(str(tmp_path)).sha256 != before


def test_other_files_in_the_folder_of_a_pair_do_not_matter(tmp_path):
    for name in ("dev.tokens", "dev.tags", "dev.tokens.bak", "notes.txt"):
        made(tmp_path, "a\n", name)
    assert sources.read(str(tmp_path)).source == str(tmp_path / "dev.tokens")


def test_a_folder_with_several_pairs_names_one_of_them(tmp_path):
    for name in ("dev.tokens", "dev.tags", "train.tokens", "train.tags"):
        made(tmp_path, "a\n", name)
    with pytest.raises(DataError, match=r"is not a file; name one data file, such as .*dev\.tokens"):
        sources.read(str(tmp_path))


@pytest.mark.parametrize(
    ("present", "says"),
    [
        ("seq.in", r"seq\.in: there is no seq\.out beside it; put tokens in seq\.in and their tags in seq\.out"),
        ("seq.out", r"seq\.out: there is no seq\.in beside it"),
        ("dev.tokens", r"dev\.tokens: there is no dev\.tags beside it; put tokens in dev\.tokens"),
        ("dev.tags.gz", r"dev\.tags\.gz: there is no dev\.tokens beside it"),
    ],
)
def test_a_file_without_its_partner_is_told(tmp_path, present, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path, "a\n", present)


UNEQUAL = {
    "tags_lacking": ({"tags": "O O O O\nO O\n"}, r"seq\.in, line 2: has 3 tokens, but \S+seq\.out 2 tags there; give"),
    "tags_too_many": (
        {"tags": "O O O O O\nO O O"},
        r"seq\.in, line 1: has 4 tokens, but \S+seq\.out 5 tags there; give",
    ),
    "line_lacking": ({"tags": "O O O O\n"}, r"seq\.in: has 2 lines, but \S+seq\.out 1; write the tags"),
    "line_lost": (
        {"tokens": "a\nb c\nd\n", "tags": "O\nO\n"},
        r"has 3 lines, but \S+seq\.out 2 \(line 2 is the first that differs: 2 tokens, but \S+seq\.out 1 tags\); write",
    ),
    "no_tags": ({"tags": ""}, r"seq\.in: has 2 lines, but \S+seq\.out 0; write"),
    "label_lacking": ({"label": "flight\n"}, r"seq\.in: has 2 lines, but \S+label 1; write one label a line"),
    "label_blank": (
        {"label": "\nfare\n"},
        r"label, line 1: has no label, but \S+seq\.in tokens there; write a sentence",
    ),
    "label_of_nothing": (
        {"tokens": "a\n\nb", "tags": "O\n\nO", "label": "x\ny\nz"},
        r"label, line 2: has a label, but \S+seq\.in none there; write a sentence",
    ),
    "empty": ({"tokens": "", "tags": ""}, r"the file has no rows; give a file"),
    "empty_with_labels": ({"tokens": "", "tags": "", "label": ""}, r"the file has no rows; give a file"),
    "nul": ({"tags": "O\0"}, r"seq\.out, line 1: holds NUL bytes"),
}


@pytest.mark.parametrize(("contents", "says"), UNEQUAL.values(), ids=UNEQUAL)
def test_parallel_files_that_differ_are_told_with_both_names_line_and_counts(tmp_path, contents, says):
    with pytest.raises(DataError) as caught:
        sources.read(pair(tmp_path, **contents))
    assert str(tmp_path) in caught.value.where
    assert re.search(says, str(caught.value)), caught.value


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "sentences", "tokens"),
    [
        ("bio_ner/NCBI-disease-IOB/devel.tsv", 923, 23_969),
        ("wnut17/emerging.dev.conll", 1009, 15_733),
        ("wnut17/emerging.test.annotated", 1287, 23_394),
    ],
)
def test_real_conll_files_have_the_known_numbers_of_sentences(real_data, name, sentences, tokens):
    table = sources.read(str(real_data / name))
    assert len(table.rows) == sentences
    assert sum(len(row["tokens"]) for row in table.rows) == tokens
    assert table.notes == [f"read as CoNLL: {sentences:,} sentences, 2 columns"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "rows"),
    [("atis/dev", 500), ("snips/test", 700)],
)
def test_real_parallel_files_have_the_known_numbers_of_sentences(real_data, folder, rows):
    table = sources.read(str(real_data / "atis_snips" / folder))
    assert len(table.rows) == rows
    assert table.columns == ["tokens", "tags", "label"]


@pytest.mark.real_data
def test_real_tab_separated_columns_are_no_conll(real_data):
    table = sources.read(str(real_data / "goemotions/dev.tsv"))
    assert len(table.rows) == 5426
    assert "tokens" not in table.columns
