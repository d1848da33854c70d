"""`$(NAME)` in commands, arguments, values and subPathExpr.

Source: k8s.io/kubernetes/third_party/forked/golang/expansion: `$$` is a `$`, an unknown name stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with each `$(NAME)` that has a value replaced by it."""

    def value_of(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return values.get(match.group(1), match.group(0))

    return _REFERENCE.sub(value_of, text)
