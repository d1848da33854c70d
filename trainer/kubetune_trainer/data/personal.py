"""Personal data and secrets in text: patterns with checksums, so that a long number is not called a card."""

from __future__ import annotations

import re
from collections.abc import Callable


def luhn(digits: str) -> bool:
    """Return whether a card number's check digit is right (ISO/IEC 7812-1)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(text: str) -> bool:
    """Return whether an IBAN's check digits are right (ISO 13616, mod 97)."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _card(match: str) -> bool:
    digits = re.sub(r"[ -]", "", match)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _address(match: str) -> bool:
    return all(int(part) <= 255 for part in match.split(".")) and not match.startswith(
        ("127.", "0.", "10.", "192.168.")
    )


def _always(_: str) -> bool:
    return True


_KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "e-mail": (re.compile(r"\b[\w.+-]+@(?!example\.)[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"), _always),
    "card": (re.compile(r"\b\d(?:[ -]?\d){12,18}\b"), _card),
    "IBAN": (
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        lambda match: iban(match.replace(" ", "")),
    ),
    "phone": (re.compile(r"(?<![\w.])\+\d{1,3}[ -]?(?:\(?\d{1,4}\)?[ -]?){2,5}\d{2,4}\b"), _always),
    "IP address": (re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"), _address),
    "key": (
        re.compile(
            r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|sk-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|xox[bp]-[\w-]{20,})"
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
        ),
        _always,
    ),
    "JWT": (re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"), _always),
}


def kinds_in(text: str) -> list[str]:
    """Return the kinds of personal data or secret in a text."""
    return [
        kind
        for kind, (pattern, holds) in _KINDS.items()
        if any(holds(match.group()) for match in pattern.finditer(text))
    ]
