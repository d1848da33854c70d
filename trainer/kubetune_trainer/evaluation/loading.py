"""Candidates in memory, one model at a time; candidates on the same base share its load."""

import gc
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kubetune_api.model import ModelSource
from kubetune_api.run import RunCandidate

from ..models import LocalModel, load_causal_lm, load_tokenizer, resolve_model
from ..sources import fetch_model
from .adapters import fold_adapter


@dataclass(frozen=True)
class Candidate:
    """A candidate with its model found, not yet in memory."""

    spec: RunCandidate
    model: LocalModel
    adapter: Path | None
    identity: str
    """identity of the weights: changes when model or adapter do."""
    tokenizer: Any
    tokenizer_digest: str

    @property
    def name(self) -> str:
        """Name in the report."""
        return self.spec.name


def find_candidates(specs: Sequence[RunCandidate], cache: Path) -> list[Candidate]:
    """Return the candidates with models and adapters fetched and tokenizers loaded.

    Raises:
        ModelUnavailable: a model or an adapter is missing or damaged.
    """
    tokenizers: dict[Path, tuple[Any, str]] = {}
    found = []
    for spec in specs:
        model = resolve_model(spec.model, cache)
        if model.folder not in tokenizers:
            tokenizer = load_tokenizer(model, trust_remote_code=spec.model.trust_remote_code)
            tokenizers[model.folder] = tokenizer, _tokenizer_digest(tokenizer)
        adapter = fetch_model(ModelSource(uri=spec.adapter), cache) if spec.adapter else None
        identity = f"{model.uri}@{model.revision}" + (f"+{spec.adapter}@{adapter.revision}" if adapter else "")
        found.append(Candidate(spec, model, adapter.path if adapter else None, identity, *tokenizers[model.folder]))
    return found


def _tokenizer_digest(tokenizer: Any) -> str:
    vocabulary = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(repr(vocabulary).encode(errors="surrogatepass")).hexdigest()[:16]


def loading_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates so that those of one base stand together, those without adapter first."""
    folders = list(dict.fromkeys(candidate.model.folder for candidate in candidates))
    return sorted(candidates, key=lambda c: (folders.index(c.model.folder), c.adapter is not None))


class Loader:
    """Holds the one model that is in memory."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._model: Any = None
        self._holds: tuple[Path, Path | None] | None = None

    def load(self, candidate: Candidate) -> Any:
        """Return the candidate's model; the one before is given up unless it is the same or its bare base."""
        wanted = (candidate.model.folder, candidate.adapter)
        if self._holds != wanted:
            if self._holds != (candidate.model.folder, None):
                self.release()
                self._model = load_causal_lm(
                    candidate.model, dtype=self.dtype, trust_remote_code=candidate.spec.model.trust_remote_code
                ).to(self.device)
            if candidate.adapter is not None:
                self._holds = None
                self._model = fold_adapter(self._model, candidate.adapter, candidate.spec.adapter or "")
            self._holds = wanted
        return self._model

    def release(self) -> None:
        """Give the model's memory back."""
        self._model, self._holds = None, None
        gc.collect()
