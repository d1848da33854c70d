"""ROUGE-1, -2, -L and -Lsum F-measures (Lin 2004), equal to the `rouge-score` package on ASCII text.

Unlike that package, words of any script count: it keeps only a-z and 0-9 and so scores 0 on most of the world's text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .measure import Measure, mean_measure

SIGNATURE = "f-measure+unicode-words+no-stemmer"
NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

# Scripts written without spaces: each character is a word of its own.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """Return the lower-case words of `text`."""
    return _WORD.findall(text.lower())


def f_measure(matches: float, predicted: int, expected: int) -> float:
    """Return the harmonic mean of matches/predicted and matches/expected."""
    return 2 * matches / (predicted + expected) if matches else 0.0


def ngram_score(prediction: Sequence[str], reference: Sequence[str], order: int) -> float:
    """Return ROUGE-n of two lists of words."""
    found, wanted = _ngrams(prediction, order), _ngrams(reference, order)
    return f_measure((found & wanted).total(), found.total(), wanted.total())


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def _lcs_rows(reference: Sequence[str], prediction: Sequence[str]) -> list[int]:
    """Return the table of LCS lengths as one bit vector a reference prefix (Hyyrö 2004, bit-parallel LCS).

    The LCS of reference[:i] and prediction[:j] is the number of zero bits among the low j bits of row i.
    """
    places: dict[str, int] = {}
    for index, token in enumerate(prediction):
        places[token] = places.get(token, 0) | (1 << index)
    full = (1 << len(prediction)) - 1
    rows = [full]
    for token in reference:
        row = rows[-1]
        match = row & places.get(token, 0)
        rows.append(((row + match) | (row - match)) & full)
    return rows


def _length(row: int, columns: int) -> int:
    return columns - (row & ((1 << columns) - 1)).bit_count()


def lcs_length(reference: Sequence[str], prediction: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    return _length(_lcs_rows(reference, prediction)[-1], len(prediction))


def lcs_positions(reference: Sequence[str], prediction: Sequence[str]) -> set[int]:
    """Return the positions in `reference` of one longest common subsequence.

    Among several, the one that the reference implementation walks back to: Lsum depends on the choice.
    """
    rows = _lcs_rows(reference, prediction)
    i, j, found = len(reference), len(prediction), set()
    while i > 0 and j > 0:
        if reference[i - 1] == prediction[j - 1]:
            i, j = i - 1, j - 1
            found.add(i)
        elif _length(rows[i], j - 1) > _length(rows[i - 1], j):
            j -= 1
        else:
            i -= 1
    return found


def summary_score(prediction: Iterable[Sequence[str]], reference: Iterable[Sequence[str]]) -> float:
    """Return ROUGE-Lsum of two lists of sentences: union LCS with clipped counts, as ROUGE-1.5.5 does."""
    found, wanted = [list(s) for s in prediction], [list(s) for s in reference]
    left_found = Counter(token for sentence in found for token in sentence)
    left_wanted = Counter(token for sentence in wanted for token in sentence)
    predicted, expected = left_found.total(), left_wanted.total()
    hits = 0
    for sentence in wanted:
        union = set().union(*(lcs_positions(sentence, other) for other in found)) if found else set()
        for position in sorted(union):
            token = sentence[position]
            if left_found[token] > 0 and left_wanted[token] > 0:
                hits += 1
                left_found[token] -= 1
                left_wanted[token] -= 1
    return f_measure(hits, predicted, expected)


def rouge_scores(prediction: str, reference: str) -> dict[str, float]:
    """Return the four scores of one pair."""
    found, wanted = words(prediction), words(reference)
    return {
        "rouge1": ngram_score(found, wanted, 1),
        "rouge2": ngram_score(found, wanted, 2),
        "rougeL": f_measure(lcs_length(wanted, found), len(found), len(wanted)),
        "rougeLsum": summary_score(
            [words(line) for line in prediction.split("\n")], [words(line) for line in reference.split("\n")]
        ),
    }


def rouge(predictions: Sequence[str], references: Sequence[str]) -> list[Measure]:
    """Return the mean of each ROUGE score over all pairs, in the order of NAMES."""
    scores = [rouge_scores(p, r) for p, r in zip(predictions, references, strict=True)]
    return [mean_measure(name, [row[name] for row in scores], signature=SIGNATURE) for name in NAMES]
