"""Kubernetes quantities (`1500m`, `64Gi`): parse, and the canonical form the API server stores.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

import re
from decimal import ROUND_CEILING, Decimal

_PATTERN = re.compile(r"^([+-]?)(\d+(?:\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
PATTERN_HELP = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def _split(text: str) -> tuple[Decimal, str]:
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(PATTERN_HELP)
    sign, digits, suffix = match.group(1), match.group(2), match.group(3) or ""
    number = Decimal(digits) * (-1 if sign == "-" else 1)
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix]), "binary"
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return number.scaleb(int(suffix[1:])), "exponent"
    return number.scaleb(_DECIMAL[suffix]), "decimal"


def parse_quantity(text: str) -> Decimal:
    """Return the value of a quantity in base units; ValueError when it is not one."""
    return _split(text)[0]


def _integer(value: Decimal) -> str:
    return str(int(value))


def canonical_quantity(text: str) -> str:
    """Return the form the API server stores: the largest suffix without a fraction, at most nano precision."""
    value, style = _split(text)
    value = value.quantize(Decimal("1e-9"), rounding=ROUND_CEILING) if value % Decimal("1e-9") else value
    if value == 0:
        return "0"
    if style == "binary" and abs(value) >= 1024 and value == int(value):
        for suffix, shift in reversed(_BINARY.items()):
            if int(value) % (1 << shift) == 0:
                return f"{int(value) >> shift}{suffix}"
        return _integer(value)
    exponent = 18
    while exponent > -9 and value.scaleb(-exponent) != int(value.scaleb(-exponent)):
        exponent -= 3
    digits = _integer(value.scaleb(-exponent))
    if style == "exponent":
        return f"{digits}e{exponent}" if exponent else digits
    return digits + next(suffix for suffix, power in _DECIMAL.items() if power == exponent)
