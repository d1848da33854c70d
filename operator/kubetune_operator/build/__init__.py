"""SHAPE: Plan -> manifests. Pure; one kind of child a file."""

from .eval_run import eval_run
from .stage import stage_children

__all__ = ["eval_run", "stage_children"]
