"""Personal data: found by form and, wherever there is one, by checksum; counted, masked, never quoted."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ..edits import Edit
from .base import Check, Page, texts_of

if TYPE_CHECKING:
    from ..desk import Desk

# Every pattern takes linear time: repeats are bounded or possessive, and runs are entered at their start only.
DIGITS = re.compile(r"\d\d")
MARKS = ("://", "sk-", "k_live_", "gh", "AKIA", "AIza", "hf_", "glpat-", "xox", "eyJ", "BEGIN", "pass", "Pass", "PASS")
SEVEN = re.compile(r"\d(?:\D{0,3}\d){6}")  # digits close to each other: what cards and phone numbers need
EMAIL = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}+@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[a-z]{2,24}|xn--[a-z0-9-]{2,40})(?![\w@-])",
    re.IGNORECASE,
)
SECRET = re.compile(
    r"(?<![\w-])(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|sk-(?=[\w-]{0,60}\d)[\w-]{20,}|[sr]k_live_\w{16,}"
    r"|hf_[A-Za-z0-9]{30,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})(?![\w-])"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    r"|(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}+://[^\s/:@]{1,64}+:[^\s/@]{1,128}+@"  # https://name:password@
    r"|(?i:\bpass(?:word|wd|phrase)?\s{0,3}[:=]\s{0,3}(?=[^\s\d]{0,63}\d)[^\s,;]{5,63}[^\s,;.)\]'\"])"
)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
CARD = re.compile(
    r"(?<![\w+.-])(?<!\d )(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -]?)\d{6}\2\d{5})(?![\w]|[-. ]\d)"
)
NATIONAL_ID = re.compile(
    r"(?<![\w.-])(?<!\d )(?:(?P<ssn>(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4})"
    r"|(?P<nino>(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D])"
    r"|(?P<tax>[1-9]\d ?\d{3} ?\d{3} ?\d{3})|(?P<nir>[12] ?\d{2} ?[01]\d ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2})"
    r"|(?P<dni>(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z])|(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})"
    r"|(?P<fiscale>[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]))(?!\w|[-. ]\d)"
)
IP = re.compile(r"(?<![\w.:-])(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f:]{6,39}+)(?![\w:-]|\.\d)")
VERSION = re.compile(r"(?i)(?:\bv|\bversion|\brelease|\bfirmware|\bbuild|\bios|\bandroid|\bsection)[ .:]{0,2}\Z")
NOT_AFTER = r"(?!\w|[-./]\d| \d{3})"
PHONE = re.compile(
    rf"(?<![\w.,#/+-])(?<!\d )(?:"
    rf"\+[1-9]\d{{0,2}}(?:[ .\-/]?\(0?\d{{0,5}}\))?(?:[ .\-/]?\d){{5,14}}{NOT_AFTER}"  # +49 (0)171 1234567
    rf"|00[1-9]\d(?:[ \-/]?\d){{7,13}}{NOT_AFTER}"  # 0049 171 1234567
    rf"|(?:\+?1[-. ])?\([2-9]\d{{2}}\) ?\d{{3}}[-. ]\d{{4}}{NOT_AFTER}"  # (212) 555-0123
    rf"|(?:1-)?[2-9]\d{{2}}-\d{{3}}-\d{{4}}{NOT_AFTER}|[2-9]\d{{2}}([. ])[2-9]\d{{2}}\1\d{{4}}{NOT_AFTER}"
    # 0171 1234567, (020) 7946 0958, 030/123456
    rf"|(?:\(0[1-9]\d{{1,4}}\)|0[1-9]\d{{1,4}})(?: ?[-/] ?| )\d{{3,9}}(?:[ -]\d{{2,5}}){{0,2}}{NOT_AFTER}"
    rf"|0[1-9](?:\d\d(?: \d\d){{3}}|([ .])\d\d(?:\2\d\d){{3}}){NOT_AFTER}"  # 0655 90 21 34, 06 12 34 56 78
    rf")|(?i:(?<!\w)(?:tele?(?:phone|fon)?|phone|mobile|mob|cell|handy|fax|whatsapp|call|ring|text)"
    r"(?: ?(?:number|no|nr|me|us|him|her))?(?: is| on| at)?[.:]? ?)"
    rf"(?P<named>\d{{3}}[- ]\d{{4}}|0\d{{8,11}}|0\d{{2,4}}(?: \d\d){{2,4}}){NOT_AFTER}"
)
IBAN_COUNTRIES = (  # SWIFT's IBAN registry: how long, and where
    "15NO 16BE 18DKFONLFI 19MKSI 20ATBAEELTLUXK 21HRLVLICH 22BGGBIEDEMERSGE 23ILAE 24CZSKESROSASEMDVGTN 25PT 26ISTR "
    "27FRGRITMCSM 28PLHUALCYLBDOBY 29BRUAQA 30MUKW 31MT"
)
IBAN_LENGTHS = {code: int(item[:2]) for item in IBAN_COUNTRIES.split() for code in re.findall("..", item[2:])}
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def digits(text: str) -> list[int]:
    return [int(character) for character in text if character.isdecimal()]


def luhn(number: list[int]) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [value * 2 - 9 * (value > 4) for value in number[-2::-2]]
    return (sum(number[-1::-2]) + sum(doubled)) % 10 == 0


def is_card(text: str) -> bool:
    """Luhn's digit, and the first ones of Visa, Mastercard, American Express, Discover or JCB."""
    number = digits(text)
    start = int("".join(map(str, number[:4])))
    issued = number[0] == 4 or 5100 <= start < 5600 or 2221 <= start < 2721 or start == 6011
    return luhn(number) and (issued or 3528 <= start < 3590 or 6440 <= start < 6600 or len(number) == 15)


def iban_end(text: str) -> int | None:
    """Where in a candidate its IBAN ends: its country's length, remainder 1 of 97 (ISO 13616); None: it is none."""
    length = IBAN_LENGTHS.get(text[:2], 0)
    ends = [place for place, character in enumerate(text, 1) if character != " "]
    if not length or len(ends) < length:
        return None
    end = ends[length - 1]
    compact = text[:end].replace(" ", "")
    whole = end == len(text) or text[end] == " "
    moved = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return end if whole and int(moved) % 97 == 1 else None


def is_tax_id(text: str) -> bool:
    """German tax id: one digit is there two or three times among the first ten; the last by ISO 7064 mod 11, 10."""
    number, product = digits(text), 10
    for value in number[:10]:
        total = (value + product) % 10 or 10
        product = total * 2 % 11
    repeated = [count for count in Counter(number[:10]).values() if count > 1]
    return repeated in ([2], [3]) and (11 - product) % 10 == number[10]


def is_nir(text: str) -> bool:
    """French social security number: 97 minus the remainder is its key (departments of Corsica count as 19 and 18)."""
    compact = text.replace(" ", "")
    body = compact[:13].replace("2A", "19").replace("2B", "18")
    return 1 <= int(compact[3:5]) <= 12 and 97 - int(body) % 97 == int(compact[13:])


def is_dni(text: str) -> bool:
    compact = text.replace("-", "")
    return DNI_LETTERS[int(compact[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == compact[-1]


def is_cpf(text: str) -> bool:
    number = digits(text)
    check = [sum(v * w for v, w in zip(number, range(n, 1, -1), strict=False)) * 10 % 11 % 10 for n in (10, 11)]
    return check == number[9:] and len(set(number)) > 1


CHECKSUMS: dict[str, Callable[[str], bool]] = {"tax": is_tax_id, "nir": is_nir, "dni": is_dni, "cpf": is_cpf}


def is_public_ip(text: str, before: str) -> bool:
    """An address of somebody: public, and no version number: two parts have several digits, no `version` before it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        several = sum(len(part) > 1 for part in text.split("."))
        return address.is_global and several >= 2 and not VERSION.search(before)
    return address.is_global


def is_phone(text: str) -> bool:
    """As many digits as there are in a number (E.164 allows 15), and no date."""
    if text.startswith("00"):
        return 11 <= len(digits(text)) <= 17 and not text.isdecimal()
    return (8 if text.startswith("+") else 9) <= len(digits(text)) <= (15 if text.startswith("+") else 12)


class Found(NamedTuple):
    """One piece of personal data: its kind and its characters, the first and one past the last."""

    kind: str
    start: int
    end: int


Kind = tuple[str, Literal["note", "warning"], str]
KINDS: tuple[Kind, ...] = (  # the first of two that meet is taken
    ("secret", "warning", "password or key"),
    ("email", "note", "e-mail address"),
    ("iban", "warning", "IBAN"),
    ("card", "warning", "card number"),
    ("national_id", "warning", "national id"),
    ("ip_address", "note", "IP address"),
    ("phone", "note", "phone number"),
)


def candidates(text: str) -> Iterator[Found]:
    """What looks like personal data and passes its checks; KINDS in their order."""
    if any(mark in text for mark in MARKS):
        yield from (Found("secret", *match.span()) for match in SECRET.finditer(text))
    if "@" in text:
        yield from (Found("email", *match.span()) for match in EMAIL.finditer(text))
    if DIGITS.search(text):
        yield from numbers(text)


def numbers(text: str) -> Iterator[Found]:
    """What is made of digits."""
    for match in IBAN.finditer(text):
        end = iban_end(match[0])
        if end:
            yield Found("iban", match.start(), match.start() + end)
    close = text if SEVEN.search(text) else ""
    yield from (Found("card", *match.span()) for match in CARD.finditer(close) if is_card(match[0]))
    for match in NATIONAL_ID.finditer(text):
        if CHECKSUMS.get(str(match.lastgroup), lambda found: True)(match[0]):
            yield Found("national_id", *match.span())
    for match in IP.finditer(text):
        if is_public_ip(match[0], text[max(match.start() - 12, 0) : match.start()]):
            yield Found("ip_address", *match.span())
    for match in PHONE.finditer(close):
        if match["named"] or is_phone(match[0]):
            yield Found("phone", *match.span("named" if match["named"] else 0))


def find(text: str) -> list[Found]:
    """Personal data in a text, in its order; no two overlap."""
    kept, taken = [], bytearray(len(text))
    for item in candidates(text):
        if not any(taken[item.start : item.end]):
            taken[item.start : item.end] = b"x" * (item.end - item.start)
            kept.append(item)
    return sorted(kept, key=lambda item: item.start)


def edits_of(text: str) -> list[Edit]:
    """`<EMAIL>`, `<PHONE>`, ... in place of personal data."""
    return [(item.start, item.end, f"<{item.kind.upper()}>") for item in find(text)]


class Personal(Check):
    """Personal data in the texts and answers that would be trained on."""

    kind: Literal["personal"] = "personal"
    title: ClassVar[str] = "personal data"
    cost: ClassVar[int] = 0

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        rows: Counter[str] = Counter()
        for row in desk.each(page.part, "personal data"):
            rows.update(tell(row.number, texts_of(row), page))
        return rows


def tell(number: int, texts: tuple[str, ...], page: Page) -> list[str]:
    """Writes down what one row holds, masked; returns its kinds."""
    found = [(item.kind, text[item.start], item.end - item.start) for text in texts for item in find(text)]
    for kind, severity, words in KINDS:
        of_kind = [(first, length) for name, first, length in found if name == kind]
        if of_kind:
            first, length = of_kind[0]
            more = f" and {len(of_kind) - 1} more" if len(of_kind) > 1 else ""
            message = f"{words} in the text: {first}*** ({length} characters){more}"
            remedy = "mask it (data check --fix personal --write NEW), or make sure that it may be trained on"
            page.add(kind, severity, message, remedy, number, count=len(of_kind))
    return sorted({kind for kind, _, _ in found})
