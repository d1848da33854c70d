"""Perplexity of the reference answers, weighted by token, and bits per byte for models with other tokenisers."""

from collections.abc import Sequence

import numpy as np

from .measure import FloatArray, Measure


def perplexity_formula(sums: FloatArray) -> FloatArray:
    """Return exp(nats / tokens) of sums [nats, tokens]."""
    return np.exp(np.minimum(sums[..., 0] / np.maximum(sums[..., 1], 1.0), 700.0))


def bits_per_byte_formula(sums: FloatArray) -> FloatArray:
    """Return nats / (ln 2 * bytes) of sums [nats, bytes]."""
    bits: FloatArray = sums[..., 0] / (np.log(2.0) * np.maximum(sums[..., 1], 1.0))
    return bits


def perplexity_measures(nats: Sequence[float], tokens: Sequence[int], texts: Sequence[str]) -> list[Measure]:
    """Return perplexity and bits per byte.

    Args:
        nats: negative log likelihood of each answer, summed over its tokens.
        tokens: scored tokens of each answer, its end-of-turn token included.
        texts: the answers; their UTF-8 bytes do not depend on a tokeniser.
    """
    loss = np.asarray(nats, dtype=np.float64)
    count = np.asarray(tokens, dtype=np.float64)
    size = np.asarray([len(text.encode()) for text in texts], dtype=np.float64)
    by_token, by_byte = np.stack([loss, count], axis=1), np.stack([loss, size], axis=1)
    return [
        Measure(
            "perplexity",
            by_token,
            perplexity_formula,
            higher_is_better=False,
            row_scores=perplexity_formula(by_token),
            signature="token-weighted over answer tokens, end of turn included",
        ),
        Measure(
            "bitsPerByte",
            by_byte,
            bits_per_byte_formula,
            higher_is_better=False,
            row_scores=bits_per_byte_formula(by_byte),
            signature="bits of the answer over its UTF-8 bytes",
        ),
    ]
