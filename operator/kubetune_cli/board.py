"""What `watch` knows of a run: folded from objects of the API and report lines of the trainer's log. Pure."""

from dataclasses import dataclass, field
from typing import Any

from kubetune_api.conditions import EVAL_CONDITIONS, FINETUNE_CONDITIONS
from kubetune_api.report import EvalProgressLine, ProgressLine, ReportLine

from .errors import ExitCode

Object = dict[str, Any]
FINISHED = ("Succeeded", "Failed")


def condition(obj: Object | None, kind: str) -> Object:
    """Return a condition of an object, or an empty one."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def is_true(obj: Object | None, kind: str) -> bool:
    """Tell whether a condition of the object is True."""
    return bool(condition(obj, kind).get("status") == "True")


def finished(obj: Object | None) -> bool:
    """Tell whether a run has come to its end, well or badly."""
    return any(is_true(obj, kind) for kind in FINISHED)


@dataclass
class Board:
    """The run as it is known now."""

    run: Object
    """The FineTuneJob or EvalRun that is watched."""
    evaluation: Object | None = None
    """The EvalRun that a FineTuneJob owns."""
    losses: dict[int, float] = field(default_factory=dict)
    """Training loss by step."""
    eval_losses: dict[int, float] = field(default_factory=dict)
    """Validation loss by step."""
    progress: Object = field(default_factory=dict)
    """The newest of the log's and the status's progress."""
    eval_progress: Object = field(default_factory=dict)
    evaluation_gone: bool = False
    """Whether somebody has deleted the owned EvalRun."""
    notice: str = ""
    """What stands in the way of watching itself, such as a lost connection."""

    def see(self, obj: Object) -> None:
        """Take a newer version of the run or of its evaluation."""
        if obj.get("kind") != self.run.get("kind"):
            self.evaluation = obj
        else:
            self.run = obj
        status = obj.get("status") or {}
        if obj.get("kind") == "EvalRun":
            self.eval_progress = {**self.eval_progress, **(status.get("progress") or {})}
        elif newer := status.get("progress"):
            self._take_progress(newer)

    def hear(self, line: ReportLine) -> None:
        """Take a report line of the trainer's log; it comes sooner and more often than the status."""
        if isinstance(line, ProgressLine):
            self._take_progress(line.progress.dump())
        elif isinstance(line, EvalProgressLine):
            self.eval_progress = line.dump()

    def _take_progress(self, progress: Object) -> None:
        step = int(progress.get("step") or 0)
        if progress.get("loss"):
            self.losses[step] = float(progress["loss"])
        if progress.get("evalLoss"):
            last = self.eval_losses.get(max(self.eval_losses, default=0))
            if float(progress["evalLoss"]) != last:
                self.eval_losses[step] = float(progress["evalLoss"])
        if step >= int(self.progress.get("step") or 0):
            self.progress = {**self.progress, **progress}

    @property
    def kind(self) -> str:
        """Kind of the run."""
        return str(self.run.get("kind", ""))

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.run["metadata"]["name"])

    @property
    def phase(self) -> str:
        """Phase for people."""
        return str((self.run.get("status") or {}).get("phase") or "Pending")

    @property
    def judged(self) -> Object | None:
        """The EvalRun that speaks of the run: itself, or the owned one."""
        return self.run if self.kind == "EvalRun" else self.evaluation

    @property
    def condition_types(self) -> tuple[str, ...]:
        """Condition types of the run's kind, in the order they are shown."""
        return EVAL_CONDITIONS if self.kind == "EvalRun" else FINETUNE_CONDITIONS

    @property
    def done(self) -> bool:
        """Whether the run has ended, and the evaluation that follows it too."""
        told = not self.evaluation_name or self.evaluation_gone or is_true(self.run, "Failed")
        return finished(self.run) and (told or finished(self.evaluation))

    @property
    def evaluation_name(self) -> str:
        """Name of the owned EvalRun, once there is one."""
        return str((self.run.get("status") or {}).get("evaluation") or "") if self.kind == "FineTuneJob" else ""

    @property
    def exit_code(self) -> ExitCode:
        """What a script should learn from the end of the run."""
        if not is_true(self.run, "Succeeded"):
            return ExitCode.FAILED
        judged = self.judged
        if judged is None:
            missed = condition(self.run, "Succeeded").get("reason") == "GatesNotPassed"
            return ExitCode.GATES_FAILED if missed else ExitCode.DONE
        if is_true(judged, "Failed"):
            return ExitCode.FAILED
        gates = condition(judged, "GatesPassed").get("status")
        has_gates = bool((judged.get("spec") or {}).get("gates"))
        return ExitCode.GATES_FAILED if has_gates and gates != "True" else ExitCode.DONE

    @property
    def waiting_for(self) -> str:
        """What the run waits for or what went wrong: the message of the condition that says most, or nothing."""
        for obj in (self.run, self.evaluation):
            for kind in ("Failed", "Accepted", "DataReady", "Admitted", "Running", "Progressing"):
                entry = condition(obj, kind)
                bad = entry.get("status") == ("True" if kind == "Failed" else "False")
                if bad and entry.get("message") and not is_true(obj, "Succeeded"):
                    return f"{entry.get('reason')}: {entry['message']}"
        return ""
