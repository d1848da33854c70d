"""BLEU and chrF: row statistics by sacrebleu (Post 2018), corpus formulas vectorised over resamples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .measure import FloatArray, Measure

_ORDERS = 4
_BETA_SQUARED = 4.0


def bleu_formula(sums: FloatArray) -> FloatArray:
    """Return corpus BLEU (0-100, exponential smoothing) of sums [hyp length, ref length, correct x4, total x4]."""
    hypothesis, reference = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # The k-th order without a match gets 1 / 2^k matches (NIST smoothing); sacrebleu stops at the first empty order.
    misses = np.cumsum((correct == 0) & (total > 0), axis=-1)
    smoothed = np.where(correct > 0, correct, 0.5**misses)
    log_precision = np.log(smoothed / np.maximum(total, 1.0)).mean(axis=-1)
    brevity = np.where(hypothesis < reference, 1.0 - reference / np.maximum(hypothesis, 1e-9), 0.0)
    defined = (total > 0).all(axis=-1) & (correct > 0).any(axis=-1)
    score: FloatArray = np.where(defined, 100.0 * np.exp(np.minimum(brevity, 0.0) + log_precision), 0.0)
    return score


def chrf_formula(sums: FloatArray) -> FloatArray:
    """Return corpus chrF2 (0-100) of sums [hyp, ref, match] for each character order (Popović 2015)."""
    triples = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, match = triples[..., 0], triples[..., 1], triples[..., 2]
    counted = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    precision = np.where(counted, match / np.maximum(hypothesis, 1.0), 0.0).sum(axis=-1) / orders
    recall = np.where(counted, match / np.maximum(reference, 1.0), 0.0).sum(axis=-1) / orders
    below = _BETA_SQUARED * precision + recall
    above = (1 + _BETA_SQUARED) * precision * recall
    score: FloatArray = 100.0 * np.divide(above, below, out=np.zeros_like(below), where=below > 0)
    return score


def bleu(predictions: Sequence[str], references: Sequence[str]) -> Measure:
    """Return corpus BLEU with sacrebleu's default tokenisation."""
    from sacrebleu.metrics import BLEU

    return _corpus_measure("bleu", BLEU(), bleu_formula, predictions, references)


def chrf(predictions: Sequence[str], references: Sequence[str]) -> Measure:
    """Return corpus chrF2 (character order 6, beta 2)."""
    from sacrebleu.metrics import CHRF

    return _corpus_measure("chrf", CHRF(), chrf_formula, predictions, references)


def _corpus_measure(
    name: str, metric: Any, formula: Any, predictions: Sequence[str], references: Sequence[str]
) -> Measure:
    statistics = metric._extract_corpus_statistics(list(predictions), [list(references)])
    rows = np.asarray(statistics, dtype=np.float64)
    metric.num_refs = 1
    return Measure(name, rows, formula, row_scores=formula(rows), signature=str(metric.get_signature()))
