"""A manifest as the API server stores it -> the model of its kind, or a Refusal with the paths of its mistakes."""

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kubetune_api.evalrun import EvalRun
from kubetune_api.evalstatus import EvalRunStatus
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.ftjstatus import FineTuneJobStatus

from .plan import BAD_SPEC, Refusal

Subject = FineTuneJob | EvalRun
KINDS: dict[str, type[FineTuneJob] | type[EvalRun]] = {"FineTuneJob": FineTuneJob, "EvalRun": EvalRun}
_STATUSES: dict[str, type[FineTuneJobStatus] | type[EvalRunStatus]] = {
    "FineTuneJob": FineTuneJobStatus,
    "EvalRun": EvalRunStatus,
}
_StatusModel = TypeVar("_StatusModel", bound=BaseModel)


def parse(manifest: Mapping[str, Any]) -> Subject | Refusal:
    """Return the object of a manifest."""
    name = str(manifest.get("kind"))
    kind = KINDS.get(name)
    if kind is None:
        message = f"kind: {manifest.get('kind')!r} is none of {', '.join(KINDS)}"
        return Refusal(BAD_SPEC, "kind", message)
    document = dict(manifest)
    if (status := document.pop("status", None)) is not None:
        document["status"] = parse_status(_STATUSES[name], status)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        lines = [f"{_path(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        return Refusal(BAD_SPEC, _path(error.errors()[0]["loc"]), "; ".join(lines)[:2000])


def parse_status(model: type[_StatusModel], status: Mapping[str, Any]) -> _StatusModel:
    """Return a stored status; parts that another version wrote and this one cannot read are left out.

    A status is never dropped as a whole: that a run is over must be known after every up- and downgrade.
    """
    document = copy.deepcopy(dict(status))
    while True:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            for problem in reversed(error.errors()):
                _remove(document, problem["loc"])


def _remove(document: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Remove the deepest part of a location that exists."""
    node: Any = document
    parents: list[tuple[Any, int | str]] = []
    for step in location:
        inside = isinstance(node, dict) and step in node
        if not inside and not (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            break
        parents.append((node, step))
        node = node[step]
    if parents:
        container, step = parents[-1]
        del container[step]


def _path(location: tuple[int | str, ...]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location]
    return "".join(steps).lstrip(".")
