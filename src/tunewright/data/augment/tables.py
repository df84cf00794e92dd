"""Tables of synonyms that the user gives: a text file of pairs, or a WordNet of the Open English WordNet's form."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path

from ...errors import DataError
from ..content import decode

LARGEST = 2**27  # bytes of one unpacked file: a zip that swells to more is no dictionary (the real ones have 3 MB)
MEMBERS = 8  # of a synset; larger ones are lists of names
SENSES = 2  # of a word as one part of speech


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """Words in lower case, each with those that can stand for it, in the order of the file.

    Args:
        path: lines of two or more synonyms, separated by tabs, commas, or blanks (PPDB); or a zip of the Open English
            WordNet's YAML files, whose `entries-*.yaml` have the senses of each word, foremost first.

    Raises:
        DataError: it is neither.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=str(path), fix="give pairs as .txt, or a WordNet .zip")
    groups = of_wordnet(path) if zipfile.is_zipfile(path) else of_lines(path)
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for group in groups:
        for one, other in permutations(dict.fromkeys(group), 2):
            found[one][other] = None
    if not found:
        fix = "write two synonyms on each line, or give a zip of the Open English WordNet's YAML files"
        raise DataError("holds no synonyms", where=str(path), fix=fix)
    return {word: list(others) for word, others in found.items()}


def of_lines(path: Path) -> Iterator[list[str]]:
    for line in decode(path).splitlines():
        separator = next((sign for sign in ("\t", ",", ";") if sign in line), None)
        words = [word.strip().lower() for word in line.split(separator)]
        if len(words) > 1 and not line.startswith("#"):
            yield [word for word in words if word]


def of_wordnet(path: Path) -> Iterator[list[str]]:
    """The words of each synset that is one of their foremost senses: rare senses mislead more than they give."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        with zipfile.ZipFile(path) as file:
            for item in sorted(file.infolist(), key=lambda item: item.filename):
                if "entries-" in item.filename and item.file_size <= LARGEST:
                    for word, synset in senses_in(file.read(item).decode().splitlines()):
                        found[synset].append(word)
    except (zipfile.BadZipFile, ValueError, RuntimeError, OSError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="give a zip of YAML files in UTF-8") from None
    yield from (words for words in found.values() if 1 < len(words) <= MEMBERS)


def senses_in(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(word, synset) for the foremost senses of each word of letters in lower case, part of speech by part of speech.

    Line by line: a YAML parser takes minutes for what this reads in seconds.
    """
    word, number = "", 0
    for line in lines:
        if line[:1] not in (" ", ""):
            word = line.rstrip(":").strip("'\"")
        elif line[:4] == "    " and line[:13] == "      synset:":
            number += 1
            if number <= SENSES and word.isalpha() and word.islower() and len(word) > 2:
                yield word, line[13:].strip()
        elif line[:3] != "   ":
            number = 0
