"""Exact match after a mild normalisation."""

import re
import unicodedata
from collections.abc import Sequence

from .measure import Measure, mean_measure

SIGNATURE = "nfkc+casefold+collapsed-space+no-outer-quotes-or-final-stop"
_OUTER = "\"'`“”‘’«» "


def normalise(text: str) -> str:
    """Return `text` without what people do not mean: case, width forms, runs of space, outer quotes, a final stop.

    Inner punctuation stays: it carries meaning in code, numbers and identifiers.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    collapsed = re.sub(r"\s+", " ", folded).strip(_OUTER)
    return collapsed.rstrip(".!?。").strip(_OUTER)


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> Measure:
    """Return the share of predictions equal to their reference after `normalise`."""
    hits = [float(normalise(p) == normalise(r)) for p, r in zip(predictions, references, strict=True)]
    return mean_measure("exactMatch", hits, binary=True, signature=SIGNATURE)
