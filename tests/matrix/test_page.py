"""docs/support_matrix.md says what the code does; which of it is true is test_matrix's business."""

from __future__ import annotations

from tests.test_recipes import ROOT


def test_the_page_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import write_support_matrix

    assert write_support_matrix.PAGE.read_text(encoding="utf-8") == write_support_matrix.page()
