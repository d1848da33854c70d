"""`status.phase`: a summary for people; no logic reads it."""

from kubetune_api.run import Stage

from .situation import Situation, Step

_RUNNING = {Stage.PREPARE: "Preparing", Stage.TRAIN: "Training", Stage.EVALUATE: "Evaluating"}
_STEPS = {
    Step.REFUSED: "Failed",
    Step.FAILED: "Failed",
    Step.SUCCEEDED: "Succeeded",
    Step.SUSPENDED: "Suspended",
    Step.SUSPENDING: "Suspended",
    Step.EVALUATING: "Evaluating",
}


def phase(situation: Situation) -> str:
    """Return the phase of a situation."""
    if situation.step in _STEPS:
        return _STEPS[situation.step]
    if situation.stage is None:
        return "Pending"
    if situation.step is Step.RUNNING or (situation.stage is Stage.PREPARE and situation.step is Step.STARTING):
        return _RUNNING[situation.stage]
    if situation.stage is Stage.PREPARE:
        return "Pending"
    return "Queued"
