"""Why a pod failed, in one reason and one line that says what to do."""

from kubetune_api.exits import Exit, reason_of
from kubetune_api.report import FinalLine
from kubetune_api.scrub import scrub

from .pods import PodView

OUT_OF_MEMORY = "OutOfMemory"

#: What to do about each reason when the trainer left no message of its own.
_REMEDIES = {
    OUT_OF_MEMORY: "raise resources.memory, or lower training.sequenceLength or globalBatchTokens",
    "Evicted": "the node ran out of disk or memory; raise resources.memory or free the node",
    "Killed": "it was killed by a signal; see the log of the pod",
    reason_of(Exit.BAD_SPEC): "correct the spec and create the object again",
    reason_of(Exit.BAD_DATASET): "correct the rows named in the data report and create the object again",
    reason_of(Exit.MODEL_UNAVAILABLE): "check model.uri, its revision, and the token in credentialsSecret",
    reason_of(Exit.STALLED): "no step ended in time; look at the node's accelerators",
    reason_of(Exit.DISK_FULL): "give workspace.size more room, or keep fewer checkpoints",
    reason_of(Exit.DIVERGED): "the loss is no number; lower training.learningRate",
}


def failure_reason(pod: PodView) -> str:
    """Return the CamelCase reason of a pod that ended without a report."""
    if pod.reason == "OOMKilled":
        return OUT_OF_MEMORY
    if pod.exit_code is not None:
        return reason_of(pod.exit_code)
    return pod.reason or "Failed"


def last_line(text: str) -> str:
    """Return the last line of a log tail, which in a traceback names the error."""
    return text.strip().rpartition("\n")[2].strip()


def exhausted(failed: int, allowed: int, last: str) -> str:
    """Return the message of a run that used up its retries."""
    retries = "1 retry is" if allowed == 1 else f"{allowed} retries are"
    return f"{failed} attempts failed, {retries} allowed; the last one: {last}"


def explain(pod: PodView | None, final: FinalLine | None) -> tuple[str, str]:
    """Return reason and message of a failed pod."""
    if final is not None and final.exit_code != 0:
        return final.reason, final.message
    if pod is None:
        return "PodLost", "the pod that failed is gone; its log is lost"
    reason = failure_reason(pod)
    parts = [f"pod {pod.name}"]
    if pod.exit_code is not None:
        parts.append(f"ended with exit code {pod.exit_code}")
    if line := last_line(pod.message):
        parts.append(f"and said: {scrub(line)[:500]}")
    remedy = _REMEDIES.get(reason, f"see `kubectl logs {pod.name}`")
    return reason, f"{' '.join(parts)}; {remedy}"
