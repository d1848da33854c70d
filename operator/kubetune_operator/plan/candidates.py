"""`spec.candidates`: models to compare, and jobs whose results they are."""

from collections.abc import Iterator, Mapping, Sequence

from kubetune_api.evalrun import Candidate
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.model import ModelSource
from kubetune_api.run import RunCandidate

from ..settings import Settings
from . import dataset as dataset_rule
from . import model as model_rule
from . import uris
from .plan import CANDIDATE_FAILED, Refusal, Waiting, bad

Jobs = Mapping[str, FineTuneJob | None]
"""FineTuneJobs by name; None for one that does not exist."""


def refuse(candidates: Sequence[Candidate], settings: Settings) -> Iterator[Refusal]:
    """Refuse models and examples that cannot be read, and a run without one baseline."""
    if sum(candidate.baseline for candidate in candidates) != 1:
        yield bad("spec.candidates", "exactly one candidate must have baseline: true")
    for index, candidate in enumerate(candidates):
        field = f"spec.candidates[{index}]"
        if candidate.model is not None:
            yield from model_rule.refuse(f"{field}.model", candidate.model, settings)
        if candidate.prompt.examples is not None:
            source = candidate.prompt.examples.source
            yield from dataset_rule.refuse_source(f"{field}.prompt.examples.source", source, settings)
        if [other.name for other in candidates].index(candidate.name) != index:
            yield bad(f"{field}.name", f"{candidate.name!r} is the name of another candidate; give each its own")


def awaited(candidates: Sequence[Candidate]) -> list[str]:
    """Return the names of the jobs whose results are candidates."""
    return sorted({candidate.fine_tune_job for candidate in candidates if candidate.fine_tune_job})


def resolve(candidate: Candidate, jobs: Jobs) -> RunCandidate | Waiting | Refusal:
    """Return the candidate with its job replaced by the job's result, or why there is none (yet)."""
    if candidate.fine_tune_job is None:
        return _run_candidate(candidate, candidate.model, None)
    name, job = candidate.fine_tune_job, jobs.get(candidate.fine_tune_job)
    if job is None:
        message = f"candidate {candidate.name} waits for FineTuneJob {name}, which does not exist; create it"
        return Waiting("FineTuneJobNotFound", message)
    artifacts = (job.status.artifacts if job.status else None) or []
    places = {artifact.type: artifact.uri for artifact in artifacts}
    if "Adapter" in places:
        return _run_candidate(candidate, job.spec.model, places["Adapter"])
    if "Merged" in places:
        return _run_candidate(candidate, ModelSource(uri=places["Merged"]), None)
    conditions = {entry.type: entry for entry in (job.status.conditions if job.status else [])}
    failed = conditions.get("Failed")
    if failed is not None and failed.status == "True":
        message = f"candidate {candidate.name}: FineTuneJob {name} failed ({failed.reason}): {failed.message}"
        return Refusal(CANDIDATE_FAILED, "spec.candidates", message)
    succeeded = conditions.get("Succeeded")
    if (succeeded is not None and succeeded.status == "True") or (job.status is not None and job.status.evaluation):
        message = f"candidate {candidate.name}: FineTuneJob {name} is trained, but its status names no artifact"
        return Refusal(CANDIDATE_FAILED, "spec.candidates", f"{message}; evaluate the model by its uri instead")
    return Waiting("WaitingForFineTuneJob", f"candidate {candidate.name} waits for the result of FineTuneJob {name}")


def _run_candidate(candidate: Candidate, model: ModelSource | None, adapter: str | None) -> RunCandidate:
    assert model is not None, "the API server admits no candidate without model or fineTuneJob"
    return RunCandidate(
        name=candidate.name, baseline=candidate.baseline, model=model, adapter=adapter, prompt=candidate.prompt
    )


def claims(candidates: Sequence[RunCandidate]) -> Iterator[str]:
    """Yield the claims that models, adapters and examples lie on."""
    for candidate in candidates:
        examples = candidate.prompt.examples
        for uri in (candidate.model.uri, candidate.adapter, examples.source.uri if examples else None):
            if uri is not None and (claim := uris.claim_of(uri)):
                yield claim


def secrets(candidates: Sequence[RunCandidate]) -> Iterator[str]:
    """Yield the names of the Secrets that reading the candidates needs."""
    for candidate in candidates:
        yield from model_rule.secrets(candidate.model)
        examples = candidate.prompt.examples
        if examples is not None and examples.source.credentials_secret is not None:
            yield examples.source.credentials_secret.name
