"""DECIDE: API object + settings -> Plan | Refusal. Pure; one rule a file, named after its spec field."""

from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob

from ..policy import Policy
from ..settings import Settings
from . import policy as policy_rule
from .candidates import Jobs
from .evalrun import plan_eval_run
from .finetunejob import plan_fine_tune_job
from .parse import Subject, parse
from .plan import Plan, Refusal

NO_JOBS: Jobs = {}
NO_POLICY = Policy()


def plan(subject: Subject, settings: Settings, jobs: Jobs = NO_JOBS, policy: Policy = NO_POLICY) -> Plan | Refusal:
    """Return what a run consists of, or why it cannot run; `jobs` are those an EvalRun names."""
    refusals = list(policy_rule.refuse(subject, policy))
    decided = _plan(subject, settings, jobs)
    if not refusals:
        return decided
    mistakes = [] if isinstance(decided, Plan) else [*(decided.parts or [decided])]
    return Refusal.combine([*refusals, *mistakes])


def _plan(subject: Subject, settings: Settings, jobs: Jobs) -> Plan | Refusal:
    if isinstance(subject, FineTuneJob):
        return plan_fine_tune_job(subject, settings)
    return plan_eval_run(subject, settings, jobs)


__all__ = ["EvalRun", "FineTuneJob", "Jobs", "Plan", "Refusal", "Subject", "parse", "plan"]
