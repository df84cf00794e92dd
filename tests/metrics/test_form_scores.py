"""Outputs have the form that was asked for: JSON, a schema, the right fields, a regular expression."""

from __future__ import annotations

import socket

import pytest

from tunewright.errors import ConfigError
from tunewright.metrics import form

VALID = ["{}", " [1]\n", "null", '"a"', "```json\n{}\n```", "\n```\n[]\n```  ", "1e5"]
INVALID = [
    "",
    "late",
    "{'a': 1}",
    "NaN",
    '{"a": Infinity}',
    "{} {}",
    "Here:\n```json\n{}\n```",
    "```json\n```",
    "```",
    "[",
]


def test_json_is_valid_bare_or_in_a_fence_of_its_own():
    assert [form.is_json(text) for text in VALID] == [True] * len(VALID)
    assert [form.is_json(text) for text in INVALID] == [False] * len(INVALID)
    assert form.json_valid(["{}", "late", "[]", ""]) == 0.5


def test_endless_brackets_are_no_json_and_no_crash():
    assert form.json_valid(["[" * 100_000, "[" * 100_000 + "]" * 100_000]) == 0


SCHEMA = {
    "type": "object",
    "required": ["topic"],
    "properties": {"topic": {"$ref": "#/$defs/topic"}, "order": {"type": "integer"}},
    "$defs": {"topic": {"enum": ["late", "damage"]}},
}


def test_json_schema_is_the_share_that_matches():
    right = ['{"topic": "late"}', '```json\n{"topic": "damage", "order": 1}\n```']
    wrong = ['{"topic": "app"}', '{"order": 1}', '{"topic": "late", "order": "1"}', "[]", "late", ""]
    assert [form.json_schema([text], SCHEMA) for text in right + wrong] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert form.json_schema(right + wrong, SCHEMA) == 0.25


def test_a_schemas_own_draft_is_obeyed():
    items = {"items": [{"type": "integer"}]}  # one schema for each place until draft 2019-09
    assert form.json_schema(["[1]", '["a"]'], {"$schema": "http://json-schema.org/draft-07/schema#", **items}) == 0.5
    with pytest.raises(ConfigError, match="is no JSON schema"):
        form.json_schema(["[1]"], items)


def test_a_schemas_fault_is_told_by_its_place():
    with pytest.raises(ConfigError, match=r"task\.json_schema, \$\.properties\.a\.type: is no JSON schema: 'text'"):
        form.json_schema(["{}"], {"properties": {"a": {"type": "text"}}})


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/topic.json", "file:///etc/hostname", "#/$defs/none"])
def test_a_schemas_references_are_not_fetched(address, monkeypatch):  # S6, S7
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was tried"))
    with pytest.raises(ConfigError, match=r"which is not in it; put the definition under \$defs"):
        form.json_schema(["{}"], {"$ref": address})


def test_json_fields_are_those_of_the_references_with_equal_values():
    there = '{"topic": "late", "order": 4711, "urgent": true, "items": [{"a": 1, "b": null}]}'
    for said, right in (
        (there, 4),
        ('{"items": [{"b": null, "a": 1.0}], "urgent": true, "order": 4711, "topic": "late", "more": 1}', 4),
        ('{"topic": "Late", "order": "4711", "urgent": 1, "items": [{"a": true, "b": null}]}', 0),
        ('{"order": 4711}', 1),
        ("[]", 0),
        ("late", 0),
    ):
        assert form.json_fields([said], [there]) == right / 4
    assert form.json_fields([there, "{}", "{}"], [there, '{"a": 1}', "no object"]) == 0.8  # of five fields


def test_a_regular_expression_matches_from_end_to_end():
    assert form.pattern_match(["42", "no. 42", "42\n", ""], r"\d+") == 0.25
    with pytest.raises(ConfigError, match=r"task\.pattern: '\(' is no regular expression"):
        form.pattern_match(["42"], "(")
