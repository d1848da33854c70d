"""A stand-in trainer: obeys the run file's contract in milliseconds, and does what its dataset's uri says.

The path of the first training source is a script of words, separated by `/`, each for one stage:

    prepare-exit-65     the prepare stage ends with exit code 65
    train-exit-70x2     the first two attempts to train end with 70, the third works
    train-exit-70x1@1   the first attempt of the pod with index 1 ends with 70
    train-hog-x1        the first attempt takes memory until it is killed
    train-steps-40      training has 40 steps (default 4) of 50 ms
    evaluate-gate-fails the evaluation reports a gate that does not hold
    evaluate-exit-70    the evaluation ends with 70

Of several pods that train together the first one trains; the others wait until it is done, or they are stopped.
It trains by summing a series: the last loss depends on every step, so that a resumed run proves its checkpoint.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

STOP = threading.Event()
STEP_SECONDS = 0.05
INDEX = os.environ.get("JOB_COMPLETION_INDEX", "0")


def main() -> int:
    """Run one stage; return the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: STOP.set())
    mounts = json.loads(os.environ.get("KUBETUNE_MOUNTS", "{}"))
    run_file = Path(sys.argv[1])
    folder = Path(mounts.get(str(run_file.parent), run_file.parent))
    run = json.loads((folder / run_file.name).read_text())
    workspace = Path(mounts.get(run["workspace"], run["workspace"]))
    stage = run["stage"]
    words = [word.removeprefix(f"{stage}-") for word in _script(run) if word.startswith(f"{stage}-")]
    attempt = _count(workspace / "stand-in" / f"{stage}-attempts-{INDEX}")
    for word in words:
        what, _, index = word.removeprefix("exit-").partition("@")
        code, _, times = what.partition("x")
        if index not in ("", INDEX):
            continue
        if what.startswith("hog") and attempt <= int(times):
            _hog()
        if word.startswith("exit-") and (not times or attempt <= int(times)):
            return _end(
                int(code), _REASONS.get(int(code), "InternalError"), _MESSAGES.get(int(code), "it was asked to")
            )
    return {"prepare": _prepare, "train": _train, "evaluate": _evaluate}[stage](run, workspace, words)


def _real_path(path: str) -> Path:
    """Return where a pod path lies under a kubelet that cannot mount."""
    mounts = json.loads(os.environ.get("KUBETUNE_MOUNTS", "{}"))
    for mount, place in mounts.items():
        if Path(path).is_relative_to(mount):
            return Path(place) / Path(path).relative_to(mount)
    return Path(path)


def _hog() -> None:
    """Take memory until somebody ends it."""
    taken = []
    while not STOP.wait(0.05):
        taken.append(bytearray(os.urandom(2**20)) * 32)


_REASONS = {65: "BadDataset", 66: "ModelUnavailable", 71: "OutOfMemory", 76: "Stalled", 78: "Diverged"}
_MESSAGES = {
    65: "rows 3 and 17 of train.jsonl have no assistant turn; correct them and create the job again",
    66: "hf://nobody/nothing does not exist; check model.uri",
}


def _script(run: dict[str, Any]) -> list[str]:
    if run["stage"] == "evaluate":
        uri = run["evaluation"]["tasks"][0]["dataset"]["uri"]
    else:
        uri = run["dataset"]["train"][0]["uri"]
    return str(uri).partition("://")[2].split("/")


def _count(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def _prepare(run: dict[str, Any], workspace: Path, words: list[str]) -> int:
    dataset = {"examples": 100, "validation": 5, "tokens": 5000, "digest": "sha256:" + "a" * 64}
    return _end(0, "Completed", "100 examples, 5 for validation", dataset=dataset)


def _train(run: dict[str, Any], workspace: Path, words: list[str]) -> int:
    total = next((int(word.removeprefix("steps-")) for word in words if word.startswith("steps-")), 4)
    checkpoint = workspace / "checkpoints" / "state.json"
    if INDEX != "0":
        return _follow(checkpoint, total)
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "loss": 4.0}
    resumed = state["step"]
    while state["step"] < total:
        if STOP.wait(STEP_SECONDS):
            _save(checkpoint, state)
            return _end(
                75, "Checkpointed", f"stopped at step {state['step']}", progress=_progress(state, total, state["step"])
            )
        state = {"step": state["step"] + 1, "loss": state["loss"] * 0.97 + 0.001 * (state["step"] % 3)}
        if state["step"] % 5 == 0:
            _save(checkpoint, state)
        _say({"type": "Progress", "progress": _progress(state, total, state["step"] // 5 * 5)})
    _save(checkpoint, state)
    place = run["workspaceUri"] + "/artifacts/adapter"
    divisor = run["adjustments"]["microBatchDivisor"]
    return _end(
        0,
        "Completed",
        f"epoch {run['epoch']}, divisor {divisor}: trained {total} steps, {total - resumed} of them in this attempt",
        progress=_progress(state, total, total),
        artifacts=[{"type": "Adapter", "uri": place, "digest": "sha256:" + "b" * 64, "sizeBytes": 1234}],
        lineage={"configDigest": "sha256:" + "c" * 64, "datasetDigest": "sha256:" + "a" * 64, "version": "0.1.0"},
    )


def _follow(checkpoint: Path, total: int) -> int:
    """Take part until the first pod has made the last step."""
    while not (checkpoint.exists() and json.loads(checkpoint.read_text())["step"] >= total):
        if STOP.wait(STEP_SECONDS):
            return _end(75, "Checkpointed", "stopped with the others")
    return _end(0, "Completed", "followed to the end")


def _progress(state: dict[str, Any], total: int, saved: int) -> dict[str, Any]:
    return {
        "step": state["step"],
        "totalSteps": total,
        "percent": 100 * state["step"] // total,
        "loss": f"{state['loss']:.6f}",
        "tokensPerSecond": 1000,
        "remaining": f"{(total - state['step']) * STEP_SECONDS:.0f}s",
        "lastCheckpointStep": saved,
    }


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state))
    fresh.rename(path)


def _evaluate(run: dict[str, Any], workspace: Path, words: list[str]) -> int:
    names = [candidate["name"] for candidate in run["evaluation"]["candidates"]]
    _say({"type": "EvalProgress", "percent": 50, "candidate": names[0], "task": "answers", "remainingSeconds": 1})
    values = [{"name": name, "value": f"{0.5 + 0.1 * index:.2f}"} for index, name in enumerate(names)]
    holds = "gate-fails" not in words
    gates = [
        {"name": gate["name"], "passed": holds, "message": "0.10 over the baseline" if holds else "0.10 is below 0.90"}
        for gate in run["evaluation"].get("gates", [])
    ]
    return _end(
        0,
        "Completed",
        f"{len(names)} candidates on {len(run['evaluation']['tasks'])} tasks",
        results=[{"task": "answers", "metric": "rougeL", "candidates": values, "n": 50}],
        gates=gates,
        verdict="tuned is better than base" if holds else "tuned is not good enough",
        report=f"{run['workspaceUri']}/reports/{run['evaluation']['report']}/report.html",
    )


def _say(line: dict[str, Any]) -> None:
    print("KUBETUNE " + json.dumps(line, separators=(",", ":")), flush=True)


def _end(code: int, reason: str, message: str, **more: Any) -> int:
    line = {"type": "Final", "exitCode": code, "reason": reason, "message": message} | more
    _say(line)
    target = os.environ.get("KUBETUNE_TERMINATION_LOG", "/dev/termination-log")
    Path(target).write_text(json.dumps({key: value for key, value in line.items() if key != "results"}))
    return code


if __name__ == "__main__":
    sys.exit(main())
