"""Prompts for rows of other tasks: classification, question answering, summarisation."""

from __future__ import annotations

from collections.abc import Sequence

UNANSWERABLE = "unanswerable"


def classification(texts: Sequence[str], labels: Sequence[str]) -> str:
    """Asks for the label of one text or of a pair; `labels` are the ones to choose from."""
    choice = f"Labels: {', '.join(labels)}\n\n" if labels else ""
    names = ["Text"] if len(texts) == 1 else [f"Text {number}" for number in range(1, len(texts) + 1)]
    shown = "\n\n".join(f"{name}:\n{text}" for name, text in zip(names, texts, strict=True))
    subject = "text" if len(texts) == 1 else "pair of texts"
    return f"Classify the {subject}. Answer with one label and nothing else.\n\n{choice}{shown}"


def question_answering(question: str, context: str) -> str:
    """Asks for words of the context, or for the word that says that it holds no answer."""
    asked = f'Answer the question with words of the context, or with "{UNANSWERABLE}" where it does not tell.'
    return f"{asked}\n\nContext:\n{context}\n\nQuestion:\n{question}"


def summarisation(text: str) -> str:
    return f"Summarise the text.\n\nText:\n{text}"
