"""The report of a run: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from . import (
    answer_sections,
    calibration,
    check_sections,
    classes,
    course,
    entity_sections,
    mistakes,
    origin,
    outcome,
    preference_sections,
    written_sections,
)
from .files import RunFiles, read
from .markup import Markup, clean, element, join
from .style import CSS

# Nothing is fetched and nothing runs, whatever a text of the data might hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_HEADING = re.compile(r'<section id="([\w-]+)"[^>]*><h2[^>]*>([^<]*)</h2>')

# What is told of the outcome, in this order.
_CLASSIFICATION = (classes.classes, classes.confusion, calibration.calibration, mistakes.mistakes)
_OUTCOME = {
    "token_classification": (classes.classes, entity_sections.errors, entity_sections.mistake_list),
    "question_answering": (answer_sections.results, answer_sections.mistake_list),
    "causal_lm": (written_sections.scores, written_sections.answers, written_sections.template),
    "seq2seq": (written_sections.scores, written_sections.answers),
    "preference": (
        preference_sections.rewards,
        written_sections.scores,
        written_sections.answers,
        written_sections.template,
    ),
}


def render(run: Path) -> str:
    """The page of a run's directory. Raises RunDirectoryError where the directory holds no run."""
    return page(read(run))


def page(files: RunFiles) -> str:
    """The page of what a run left behind."""
    shown = [course.course, *_OUTCOME.get(files.task, _CLASSIFICATION), origin.ledger]
    sections = [section(files) for section in shown] + [check_sections.checks(files.checks)]
    sections += [section(files) for section in (origin.cost, origin.repeat, origin.use)]
    top = [outcome.headline(files), outcome.tiles(files), outcome.warnings(files), contents(sections)]
    title = f"{files.config.get('model') or 'Model'} on {files.source()}: run report"
    return document(title, [*top, *sections, _footer(files)])


def document(title: str, content: Sequence[Markup]) -> str:
    """A whole page."""
    body = element("body", element("main", *content))
    return f'<!DOCTYPE html>\n<html lang="en">\n{_head(title)}\n{body}\n</html>\n'


def _head(title: str) -> Markup:
    return join([
        Markup('<head><meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'),
        element("title", title),
        element("style", Markup(CSS)),
        Markup("</head>"),
    ])  # fmt: skip


def contents(sections: list[Markup]) -> Markup:
    """Links to the sections that are there."""
    found = [match for section in sections if (match := _HEADING.match(section))]
    links = (element("a", Markup(match[2]), href=f"#{match[1]}") for match in found)
    return element("nav", *links, aria_label="Sections")


def _footer(files: RunFiles) -> Markup:
    version = (files.metrics.get("versions") or {}).get("tunewright")
    made = f"Made by Tunewright {clean(version)}" if version else "Made by Tunewright"
    return element("footer", f"{made} from the files of {files.name}. The model card is README.md beside this file.")
