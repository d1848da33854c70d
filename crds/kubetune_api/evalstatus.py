"""`status` of an EvalRun."""

from typing import Annotated

from pydantic import Field

from .conditions import Attempts, Conditions, Message, RunAdjustments, Text, Timestamp, UriText
from .fields import ApiModel


class CandidateResult(ApiModel):
    """One candidate's value on one metric."""

    name: Text
    """name of the candidate."""
    value: Text
    """value of the metric, a decimal as text."""
    interval: Annotated[list[Text], Field(max_length=2)] | None = None
    """interval: lower and upper end of the confidence interval."""


class MetricResult(ApiModel):
    """One metric of one task over all candidates, the last candidate's difference in front."""

    task: Text
    """task that was measured."""
    metric: Text
    """metric, such as rougeL."""
    higher_is_better: bool = True
    """higherIsBetter: whether more is better."""
    candidates: Annotated[list[CandidateResult], Field(max_length=10)]
    """candidates with their values and intervals."""
    candidate: Text | None = None
    """candidate whose difference this is."""
    versus: Text | None = None
    """versus: the candidate that it is compared with."""
    delta: Text | None = None
    """delta: candidate minus versus."""
    interval: Annotated[list[Text], Field(max_length=2)] | None = None
    """interval: lower and upper end of the confidence interval of the delta."""
    p_value: Text | None = None
    """pValue of the difference (two-sided), adjusted over the comparisons of the run (Holm)."""
    n: int
    """n: how many rows were compared."""


class GateResult(ApiModel):
    """What became of a gate."""

    name: Text
    """name of the gate."""
    passed: bool | None = None
    """passed: true, false, or absent when it could not be decided."""
    message: Message = ""
    """message: the figures that decided it."""


class EvalProgress(ApiModel):
    """How far the evaluation is."""

    percent: int = 0
    """percent of the rows of all tasks and candidates that are done."""
    candidate: Text | None = None
    """candidate being evaluated."""
    task: Text | None = None
    """task being evaluated."""
    estimated_completion_time: Timestamp | None = None
    """estimatedCompletionTime of the whole run."""
    updated_at: Timestamp | None = None
    """updatedAt: when the trainer said so."""


class EvalRunStatus(ApiModel):
    """status of an evaluation."""

    phase: Text | None = None
    """phase for people; programs read the conditions: Pending, Queued, Evaluating, Succeeded, Failed or Suspended."""
    observed_generation: int | None = None
    """observedGeneration of the spec this status speaks of."""
    start_time: Timestamp | None = None
    """startTime of the first pod."""
    completion_time: Timestamp | None = None
    """completionTime of the run."""
    active_seconds: int | None = None
    """activeSeconds that pods ran, over suspend and retries."""
    accelerator_seconds: int | None = None
    """acceleratorSeconds: accelerators times seconds that pods held them."""
    runs: int | None = None
    """runs: how many Jobs have been made for the current stage (one more on each resume)."""
    epoch: int | None = None
    """epoch: how many Jobs have been made for all stages; pods of an earlier one no longer write to the workspace."""
    failures: int | None = None
    """failures of the current stage that cost a retry, over all its Jobs."""
    disruptions: int | None = None
    """disruptions: attempts that were evicted, pre-empted or lost with their node; they cost no retry, and are
    bounded."""
    adjustments: RunAdjustments | None = None
    """adjustments for the next attempts, because of what befell the ones before."""
    conditions: Conditions = []
    """conditions: Accepted, Running, Progressing, Succeeded, GatesPassed, Approved, Failed."""
    progress: EvalProgress | None = None
    """progress of the evaluation."""
    results: Annotated[list[MetricResult], Field(max_length=32)] | None = None
    """results of the main comparisons; all of them are in the report."""
    gates: Annotated[list[GateResult], Field(max_length=16)] | None = None
    """gates, and whether each of them holds."""
    verdict: Message | None = None
    """verdict: the result in one line."""
    report: UriText | None = None
    """report: where the page with all results lies."""
    attempts: Attempts | None = None
    """attempts: the last 10 pods, and why each ended."""
