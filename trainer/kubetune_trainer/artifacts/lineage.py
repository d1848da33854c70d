"""What an artifact came from: `lineage.json`, the same for the same run, so that a digest can be compared."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

from kubetune_api import __version__
from kubetune_api.ftjstatus import DatasetStatus, Lineage
from kubetune_api.run import RunFile

from ..models import LocalModel

_LIBRARIES = ("torch", "transformers", "safetensors")


@dataclass(frozen=True)
class Origin:
    """Everything that went into a tuned model."""

    run: RunFile
    model: LocalModel
    dataset: DatasetStatus
    precision: str
    steps: int
    """steps that the exported weights have seen."""
    loss: float | None = None
    """loss on the validation data of the exported weights."""
    first_loss: float | None = None
    """firstLoss: the same before any training."""

    @property
    def lineage(self) -> Lineage:
        """The short form, for the object's status."""
        return Lineage(
            model_revision=self.model.revision[:256],
            dataset_digest=self.dataset.digest,
            config_digest=self.run.config_digest(),
            trainer_image=self.run.image,
            version=__version__,
        )

    def document(self) -> dict[str, Any]:
        """Return the long form, for `lineage.json`."""
        run = self.run
        assert run.dataset is not None, "a train stage has a dataset"
        return {
            "run": {"kind": run.run.kind, "namespace": run.run.namespace, "name": run.run.name},
            "model": {"uri": self.model.uri, "revision": self.model.revision},
            "dataset": {
                "train": [source.dump() for source in run.dataset.train],
                "digest": self.dataset.digest,
                "examples": self.dataset.examples,
                "tokens": self.dataset.tokens,
            },
            "method": run.method.dump(),
            "training": run.training.dump() | {"precision": self.precision},
            "steps": self.steps,
            "validationLoss": self.loss,
            "validationLossBefore": self.first_loss,
            "configDigest": run.config_digest(),
            "trainerImage": run.image,
            "version": __version__,
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        }
