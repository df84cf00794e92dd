"""The sections of a run that writes answers: the scores and what they are, answers, and the stored template."""

from __future__ import annotations

from collections.abc import Sequence

from . import generation, page
from .files import RunFiles
from .generation import Answer
from .markup import Markup, element, join
from .words import NOTHING, count, finite, plural, score, score_value, shorten

SHOWN = 600  # characters of a text in the table of answers
CAPTION = "Prompts and answers"


def scores(files: RunFiles) -> Markup:
    """Every score with a line that says what it is."""
    names = generation.told_scores(files)
    if not names:
        return Markup("")
    splits = [name for name in ("validation", "test") if files.metrics.get(name)]
    columns = {split: files.metrics[split] for split in splits}
    columns |= {"before tuning": files.before} if files.before else {}
    rows = [
        [join([generation.score_title(files, name), element("span", generation.about(files, name), class_="told")]),
         *(score_value(name, found.get(name)) for found in columns.values())]
        for name in names
    ]  # fmt: skip
    sheet = page.card(None, page.table("Scores", ["score", *columns], rows))
    written = finite(files.scores.get("answers"))
    lead = "Likelihoods are of the references, with everything before a token given."
    if files.task == "preference":
        lead = "Likelihoods are of the given answers, chosen and rejected."
    lead += f" Scores of answers are of {plural(written, 'answer')} that it wrote." if written else ""
    return page.section("scores", "Scores", lead, sheet)


def answers(files: RunFiles) -> Markup:
    """Prompts, references and what was written; without kept predictions it says so."""
    title = "Answers" if files.part("task").get("shape") != "text" else "Texts"
    if files.predictions is None:
        reason = "The run kept no predictions, so its answers cannot be shown."
        return page.section("answers", title, reason) if files.scores else Markup("")
    found = generation.answers(files.predictions)
    shown = generation.worst(found)
    if not shown:
        return Markup("")
    lead = _lead(files, found, shown)
    return page.section("answers", title, lead, element("div", _table(files, shown), class_="card texts"))


def _lead(files: RunFiles, found: Sequence[Answer], shown: Sequence[Answer]) -> str:
    """Which rows are shown, in which order, and what the order does not say."""
    noun, split = files.row_noun, files.predictions_split
    written = sum(answer.written is not None for answer in found)
    ranked = any(answer.loss is not None for answer in shown)
    number = count(len(shown)) if len(shown) < len(found) else "All"
    said = f"{number} of {plural(len(found), noun)} of {split}" + (", the highest loss first." if ranked else ".")
    if not written:
        return f"{said} None was answered in writing{_hint(files)}."
    if written < len(found):
        said += f" {count(written)} were answered in writing (task.score_answers)."
    return f"{said} The loss says how little the reference was expected, not how bad the answer is." if ranked else said


def _hint(files: RunFiles) -> str:
    return "" if files.part("task").get("shape") == "text" else "; task.score_answers says how many are"


def _table(files: RunFiles, shown: Sequence[Answer]) -> Markup:
    """A row each; columns that would be empty are left out."""
    reference = {"preference": "chosen", "seq2seq": "reference"}.get(files.task, "reference")
    limit = files.part("task").get("max_new_tokens")
    texts = {
        "text" if files.task == "seq2seq" or files.part("task").get("shape") == "text" else "prompt": [
            _text(answer.prompt) for answer in shown
        ],
        reference: [_text(answer.reference) for answer in shown],
        "rejected": [_text(answer.rejected) for answer in shown],
        "written": [_written(answer, limit) for answer in shown],
    }
    numbers = {
        "loss": [NOTHING if answer.loss is None else score(answer.loss) for answer in shown],
        "row": [NOTHING if answer.row is None else str(answer.row) for answer in shown],
    }
    told = {name: cells for name, cells in texts.items() if any(cells)}
    kept = {name: cells for name, cells in numbers.items() if any(cell != NOTHING for cell in cells)}
    columns = {**told, **kept}
    rows = [[cell or NOTHING for cell in cells] for cells in zip(*columns.values(), strict=True)]
    return page.table(CAPTION, list(columns), rows, text=len(told))


def _text(text: str | None) -> Markup:
    if text is None:
        return Markup("")
    return element("div", shorten(text.strip(), SHOWN) or "(empty)", dir="auto")


def _written(answer: Answer, limit: object) -> Markup:
    """The answer, and whether it is the reference or was cut."""
    if answer.written is None:
        return Markup("")
    same = answer.reference is not None and answer.written.strip() == answer.reference.strip()
    note = element("span", "as the reference", class_="right small") if same else None
    if not answer.finished:
        at = f" at {count(limit)} tokens" if finite(limit) else ""
        note = element("span", f"cut{at}", class_="wrong small")
    return join([_text(answer.written), note])


def template(files: RunFiles) -> Markup:
    """The template that is stored with the model, folded away."""
    notes = [str(note) for note in files.ledger.get("notes") or [] if str(note).startswith("template: ")]
    text = files.stored.template
    if text is None and not notes:
        return Markup("")
    chosen = notes[-1].removeprefix("template: ") if notes else str(files.part("task").get("template") or "auto")
    lead = f"Dialogues become text by a template: {chosen}. It is stored with the model, so that plain transformers "
    lead += "feeds it what it was trained on."
    if text is None:
        return page.section("template", "Template", lead)
    ends = files.stored.end
    told = element("p", "An answer ends with ", element("code", ends), ".") if ends else None
    return page.section(
        "template", "Template", lead, page.card(None, told, page.details("Its text (Jinja)", page.code(text)))
    )
