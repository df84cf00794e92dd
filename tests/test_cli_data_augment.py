"""The verb `data augment`: what is typed, what is told, and errors that say what to do."""

from __future__ import annotations

import json

import pytest

from tests.conftest import write_rows
from tests.data.augment.test_writers import Server
from tests.desks import HashedWords
from tests.language_models import make_language_model
from tunewright import cli
from tunewright.data import sources
from tunewright.desk import augmenting


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("home")
    write_rows(made / "inbox.csv", 24)
    (made / "pairs.txt").write_text("parcel package\nbox crate\nlate tardy\n")
    make_language_model(made / "writer", "t5", spread=0.5)
    return made


@pytest.fixture
def call(capsys, home, monkeypatch, tmp_path):
    """`call("--ratio", "3")` augments the inbox; gives the exit code, standard output and standard error."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(augmenting, "PooledEncoder", HashedWords)
    cli.add_verbs()
    capsys.readouterr()

    def run(*arguments: str, out: str = str(tmp_path / "more.csv")) -> tuple[int, str, str]:
        code = cli.run(["data", "augment", "inbox.csv", "--out", out, *arguments])
        return code, *capsys.readouterr()

    return run


def test_the_table_tells_what_was_made_kept_and_dropped(call, tmp_path):
    code, out, err = call()
    assert code == 0, err
    assert "technique" in out
    assert all(kind in out for kind in ("typos", "spelling", "deletion", "swap", "dropped"))
    assert "48 rows, 24 originals and 24 new" in out
    assert "data.split.kind=grouped" in out
    assert "label column: topic" in err
    assert len(sources.read(str(tmp_path / "more.csv")).rows) == 48


def test_json_has_the_same_figures(call, tmp_path):
    code, out, _ = call("--json", "--technique", "typos", "--ratio", "1.5", "typos.share=0.9")
    told = json.loads(out)
    assert code == 0
    assert (told["num_rows"], told["num_new"], told["wanted"]) == (36, 12, 12)
    assert told["techniques"]["typos"]["kept"] == 12
    assert told["path"] == str(tmp_path / "more.csv")


def test_settings_reach_their_technique(call, tmp_path):
    for share, least in (("0.01", 0), ("1.0", 2)):
        assert call("--technique", "typos", f"typos.share={share}", "--overwrite", "--no-filter")[0] == 0
        rows = sources.read(str(tmp_path / "more.csv")).rows
        texts = {row["source_row"]: row["text"].split() for row in rows[:24]}
        changed = [
            sum(a != b for a, b in zip(texts[r["source_row"]], r["text"].split(), strict=True)) for r in rows[24:]
        ]
        assert max(changed) > least
        assert share != "0.01" or set(changed) == {1}


def test_a_table_brings_synonyms_along(call):
    code, out, err = call("--table", "pairs.txt", "--no-filter")
    assert code == 0, err
    assert "synonyms" in out


def test_a_local_model_paraphrases(call, tmp_path):
    code, _, err = call("--technique", "paraphrase", "--model", "writer", "--no-filter", "--ratio", "1.25",
                        "paraphrase.max_new_tokens=6")  # fmt: skip
    assert code == 0, err
    assert {row["source"] for row in sources.read(str(tmp_path / "more.csv")).rows} == {"original", "paraphrase"}


def test_an_endpoint_translates_there_and_back(call, tmp_path, monkeypatch):
    monkeypatch.delenv("TUNEWRIGHT_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = Server()
    try:
        code, _, err = call("--technique", "back_translation", "--endpoint", server.url, "--endpoint-model", "tiny",
                            "--no-filter", "--ratio", "1.25", "back_translation.language=Dutch")  # fmt: skip
    finally:
        server.server.shutdown()
        server.server.server_close()
    asked = [body["messages"][0]["content"] for _, _, body in server.seen]
    assert code == 0, err
    assert len(asked) == 12
    assert sum("into Dutch" in text for text in asked) == sum("into English" in text for text in asked) == 6
    rows = sources.read(str(tmp_path / "more.csv")).rows
    assert len(rows) == 30
    assert all(row["text"].isupper() for row in rows[24:])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--technique", "typo"], "there is no technique 'typo'; did you mean 'typos'?"),
        (["--technique", "synonyms"], "needs a table of synonyms; give a file"),
        (["--technique", "paraphrase"], "needs a model that writes; give --model FOLDER_OR_ID, or --endpoint"),
        (["--technique", "masked_lm"], "needs a masked language model; give --model"),
        (["--technique", "back_translation", "--model", "writer"], "writes back; give --model FOLDER_OR_ID (twice"),
        (["--technique", "typos", "--table", "pairs.txt"], "--table: none of the techniques needs it (typos)"),
        (["--technique", "typos", "--model", "writer"], "--model: none of the techniques needs it"),
        (["--technique", "paraphrase", "--endpoint", "http://localhost:1/v1"], "belong together"),
        (["--technique", "typos", "swap.share=0.5"], "swap.share: is no setting of a chosen technique"),
        (["--technique", "typos", "typos.shares=0.5"], "share"),
        (["--technique", "typos", "typos.share=2"], "typos"),
        (["--technique", "synonyms", "--table", "none.txt"], "none.txt: there is no such file"),
        (["--ratio", "0.5"], "leaves no room"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(call, tmp_path, arguments, told):
    code, out, err = call(*arguments)
    assert code == 2
    assert told in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "more.csv").exists()
