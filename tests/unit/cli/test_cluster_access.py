"""Commands against an API server: finding objects, following them, and what is said when something is missing."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kubetune_api.ftjstatus import Progress
from kubetune_api.report import ProgressLine, format_line
from kubetune_cli.__main__ import main
from kubetune_cli.access import Cluster, Where
from kubetune_cli.errors import CliError, ExitCode


def job(name: str = "bot", *, phase: str = "Training", done: bool = False, **status: Any) -> dict[str, Any]:
    """Return a FineTuneJob, finished well when `done`."""
    conditions = [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": ""}] if done else []
    return {
        "kind": "FineTuneJob",
        "metadata": {"name": name, "uid": "u1", "creationTimestamp": "2026-11-24T12:00:00Z"},
        "spec": {"model": {"uri": "hf://a/b"}},
        "status": {"phase": phase, "conditions": conditions, **status},
    }


def test_suggests_the_nearest_name(api: Any, kubeconfig: Path) -> None:
    api.put(job("support-bot"))
    with pytest.raises(CliError) as raised:
        Cluster(Where(str(kubeconfig))).find("suport-bot")
    assert raised.value.message == "no FineTuneJob named 'suport-bot' in namespace default of double"
    assert raised.value.hint == "did you mean support-bot?"


def test_finds_an_evalrun_by_its_bare_name_and_by_its_kind(api: Any, kubeconfig: Path) -> None:
    api.put({"kind": "EvalRun", "metadata": {"name": "check"}, "spec": {}})
    cluster = Cluster(Where(str(kubeconfig)))
    assert cluster.find("check")["kind"] == "EvalRun"
    assert cluster.find("evr/check")["kind"] == "EvalRun"
    with pytest.raises(CliError, match="no FineTuneJob named 'check'"):
        cluster.find("ftj/check")


def test_says_what_to_do_without_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "bot", "--kubeconfig", str(tmp_path / "absent")]) == ExitCode.FAILED
    err = capsys.readouterr().err
    assert "no cluster to talk to" in err
    assert "hint: start one here with `kubetune local up`" in err
    assert "Traceback" not in err


def test_says_what_to_do_when_the_server_is_down(
    api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.close()
    assert main(["watch", "bot", "--kubeconfig", str(kubeconfig)]) == ExitCode.FAILED
    assert f"the API server at {api.url} does not answer" in capsys.readouterr().err


def test_an_unknown_context_is_named(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "bot", "--kubeconfig", str(kubeconfig), "--context", "nowhere"]) == ExitCode.FAILED
    assert "nowhere" in capsys.readouterr().err


def test_watch_follows_a_run_to_its_end_over_a_cut_connection(
    api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.put(job(phase="Preparing"))

    def happen() -> None:
        with api.changed:
            api.changed.wait_for(lambda: api.watches >= 1, timeout=10)
        api.cut_watches()
        api.put(job(phase="Succeeded", done=True, artifacts=[{"type": "Adapter", "uri": "pvc://ws/artifacts/adapter"}]))

    threading.Thread(target=happen, daemon=True).start()
    code = main(["watch", "bot", "--plain", "--timeout", "20", "--kubeconfig", str(kubeconfig)])
    out = capsys.readouterr().out
    assert code == ExitCode.DONE
    assert "bot: Preparing" in out
    assert "bot: Succeeded" in out
    assert "adapter   pvc://ws/artifacts/adapter" in out


def test_watch_reads_the_log_of_the_pod_at_work(api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = format_line(ProgressLine(progress=Progress(step=7, total_steps=40, loss="2.31")))
    api.pods.append({"metadata": {"name": "bot-train"}, "status": {"phase": "Running"}})
    api.logs["bot-train"] = f"loading\n{line}\n"
    api.put(job())
    code = main(["watch", "bot", "--plain", "--timeout", "1.5", "--kubeconfig", str(kubeconfig)])
    captured = capsys.readouterr()
    assert "training: step 7/40, loss 2.31" in captured.out
    assert code == ExitCode.TIMED_OUT
    assert "bot is still Training" in captured.err


def test_watch_awaits_an_evaluation_that_is_named_before_it_is_made(
    api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.put(job(phase="Evaluating", evaluation="bot-eval"))
    pause = threading.Event()

    def make() -> None:
        deadline = time.monotonic() + 10
        while not any("evalruns" in path for _, path, _ in api.requests) and time.monotonic() < deadline:
            pause.wait(0.02)
        ended = [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": ""}]
        meta = {"name": "bot-eval", "uid": "u2", "creationTimestamp": "2026-11-24T12:00:00Z"}
        api.put({"kind": "EvalRun", "metadata": meta, "spec": {}, "status": {"conditions": ended}})
        api.put(job(phase="Succeeded", done=True, evaluation="bot-eval"))

    threading.Thread(target=make, daemon=True).start()
    assert main(["watch", "bot", "--plain", "--timeout", "20", "--kubeconfig", str(kubeconfig)]) == ExitCode.DONE
    assert "bot: Succeeded" in capsys.readouterr().out


def test_watch_ends_when_the_run_is_deleted(api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.put(job())

    def vanish() -> None:
        with api.changed:
            api.changed.wait_for(lambda: api.watches >= 1, timeout=10)
            api.objects.clear()
        api.cut_watches()

    threading.Thread(target=vanish, daemon=True).start()
    assert main(["watch", "bot", "--plain", "--timeout", "20", "--kubeconfig", str(kubeconfig)]) == ExitCode.FAILED
    assert "bot was deleted while it was watched" in capsys.readouterr().err


def test_results_of_a_failed_run_say_why(api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = job(phase="Failed")
    failed["status"]["conditions"] = [
        {"type": "Failed", "status": "True", "reason": "BadDataset", "message": "train.jsonl row 3: content is null"}
    ]
    api.put(failed)
    assert main(["results", "bot", "--kubeconfig", str(kubeconfig)]) == ExitCode.FAILED
    out = capsys.readouterr().out
    assert "bot failed: BadDataset" in out
    assert "train.jsonl row 3: content is null" in out


@pytest.mark.parametrize("command", ["watch", "results"])
def test_a_finished_job_whose_evaluation_was_deleted_is_told_by_its_own_status(
    command: str, api: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = job(phase="Succeeded", done=True, evaluation="bot-eval", verdict="Tuning is no better than prompting.")
    run["status"]["conditions"][0]["reason"] = "GatesNotPassed"
    api.put(run)
    assert main([command, "bot", "--kubeconfig", str(kubeconfig)]) == ExitCode.GATES_FAILED
    shown = " ".join(capsys.readouterr().out.split())
    assert "EvalRun bot-eval was deleted. Tuning is no better than prompting." in shown


def test_a_kubeconfig_that_is_no_yaml_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("{")
    assert main(["results", "bot", "--kubeconfig", str(path)]) == ExitCode.FAILED
    assert "no cluster to talk to" in capsys.readouterr().err
