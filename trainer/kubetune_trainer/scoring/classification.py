"""Labels out of answers, and accuracy, precision, recall and F1 (macro) as scikit-learn computes them."""

import re
from collections.abc import Sequence

import numpy as np

from .exact_match import normalise
from .measure import FloatArray, Formula, Measure, mean_measure

UNPARSABLE = ""
"""The class of answers that name no label, or several: always wrong, never dropped."""
SIGNATURE = "macro over the labels that occur; unparsable answers count as wrong"


def parse_label(answer: str, labels: Sequence[str]) -> str:
    """Return the label that `answer` gives: the whole answer, else the only label named in its first line, else ''."""
    given = normalise(answer)
    for label in labels:
        if given == normalise(label):
            return label
    lines = answer.strip().splitlines()
    named = _labels_named(normalise(lines[0]) if lines else "", labels)
    return named[0] if len(named) == 1 else UNPARSABLE


def _labels_named(line: str, labels: Sequence[str]) -> list[str]:
    """Return the labels in `line`, longest first, so that `not spam` is not also read as `spam`."""
    named = []
    for label in sorted(labels, key=len, reverse=True):
        pattern = rf"(?<!\w){re.escape(normalise(label))}(?!\w)"
        if re.search(pattern, line):
            named.append(label)
            line = re.sub(pattern, " ", line)
    return named


def accuracy(predicted: Sequence[str], actual: Sequence[str]) -> Measure:
    """Return the share of right labels."""
    hits = [float(p == a) for p, a in zip(predicted, actual, strict=True)]
    return mean_measure("accuracy", hits, binary=True, signature=SIGNATURE)


def macro_measures(predicted: Sequence[str], actual: Sequence[str], labels: Sequence[str]) -> list[Measure]:
    """Return macro precision, recall and F1."""
    names = np.asarray(labels, dtype=object)[None, :]
    guess = (np.asarray(predicted, dtype=object)[:, None] == names).astype(np.float64)
    truth = (np.asarray(actual, dtype=object)[:, None] == names).astype(np.float64)
    rows = np.concatenate([guess * truth, guess, truth], axis=1)
    right = (guess * truth).sum(axis=1)
    return [
        Measure(name, rows, formula, row_scores=right, signature=SIGNATURE)
        for name, formula in (("precision", precision_formula), ("recall", recall_formula), ("f1", f1_formula))
    ]


def _macro(above: FloatArray, below: FloatArray, occurs: FloatArray) -> FloatArray:
    by_label = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    total: FloatArray = (by_label * occurs).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1.0)
    return total


def _formula(kind: str) -> Formula:
    def formula(sums: FloatArray) -> FloatArray:
        hits, guesses, truths = np.split(sums, 3, axis=-1)
        occurs = ((guesses + truths) > 0).astype(np.float64)
        below = {"precision": guesses, "recall": truths, "f1": (guesses + truths) / 2}[kind]
        return _macro(hits, below, occurs)

    return formula


precision_formula = _formula("precision")
recall_formula = _formula("recall")
f1_formula = _formula("f1")
