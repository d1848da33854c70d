"""A manifest as the API server stores it -> the model of its kind, or a Refusal with the paths of its mistakes."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob

from .plan import BAD_SPEC, Refusal

Subject = FineTuneJob | EvalRun
KINDS: dict[str, type[FineTuneJob] | type[EvalRun]] = {"FineTuneJob": FineTuneJob, "EvalRun": EvalRun}


def parse(manifest: Mapping[str, Any]) -> Subject | Refusal:
    """Return the object of a manifest; status is read leniently, for it is ours and may be of another version."""
    kind = KINDS.get(str(manifest.get("kind")))
    if kind is None:
        message = f"kind: {manifest.get('kind')!r} is none of {', '.join(KINDS)}"
        return Refusal(BAD_SPEC, "kind", message)
    try:
        return kind.model_validate(dict(manifest))
    except ValidationError as error:
        problems = [problem for problem in error.errors() if problem["loc"][:1] != ("status",)]
        if not problems:
            return parse({key: value for key, value in manifest.items() if key != "status"})
        lines = [f"{_path(problem['loc'])}: {problem['msg']}" for problem in problems]
        return Refusal(BAD_SPEC, _path(problems[0]["loc"]), "; ".join(lines)[:2000])


def _path(location: tuple[int | str, ...]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location]
    return "".join(steps).lstrip(".")
