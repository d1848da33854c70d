"""Near-duplicates by MinHash and banded locality-sensitive hashing (Broder, 1997; Leskovec et al., ch. 3)."""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

_PERMUTATIONS = 64
_BANDS = 16
_PRIME = (1 << 31) - 1
_WORDS = re.compile(r"\w+")
_SHINGLE = 3
#: Signatures are kept in memory, 256 bytes an example: beyond this many examples only exact duplicates are looked for.
LIMIT = 500_000


class NearDuplicates:
    """Tells whether an example is almost equal to an earlier one; one object a dataset."""

    def __init__(self, threshold: float = 0.8) -> None:
        generator = np.random.Generator(np.random.PCG64(7))
        self._factors = generator.integers(1, _PRIME, _PERMUTATIONS, dtype=np.int64)
        self._offsets = generator.integers(0, _PRIME, _PERMUTATIONS, dtype=np.int64)
        self._threshold = threshold
        self._buckets: dict[tuple[int, bytes], int] = {}
        self._signatures: list[NDArray[np.int32]] = []

    @property
    def full(self) -> bool:
        """Whether so many examples were seen that no more are compared."""
        return len(self._signatures) >= LIMIT

    def seen(self, text: str) -> bool:
        """Return whether an earlier text has an estimated Jaccard similarity of the threshold or more; remember it."""
        signature = self._signature(text)
        if signature is None or self.full:
            return False
        bands = [(band, part.tobytes()) for band, part in enumerate(signature.reshape(_BANDS, -1))]
        candidates = {self._buckets[band] for band in bands if band in self._buckets}
        found = any(float((self._signatures[i] == signature).mean()) >= self._threshold for i in candidates)
        if not found:
            for band in bands:
                self._buckets.setdefault(band, len(self._signatures))
            self._signatures.append(signature)
        return found

    def _signature(self, text: str) -> NDArray[np.int32] | None:
        """Return the MinHash signature, shape (permutations,); None for a text of too few words to compare."""
        words = _WORDS.findall(text.casefold())
        if len(words) < 2 * _SHINGLE:
            return None
        shingles = {" ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1)}
        hashes = np.fromiter((zlib.crc32(shingle.encode()) & 0x7FFFFFFF for shingle in shingles), np.int64)
        mixed = (self._factors[:, None] * hashes[None, :] + self._offsets[:, None]) % _PRIME
        smallest: NDArray[np.int32] = mixed.min(axis=1).astype(np.int32)
        return smallest
