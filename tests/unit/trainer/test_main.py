"""The entry point: run file in, exit code, last log line and termination message out."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kubetune_api.report import FinalLine, parse_line, parse_termination
from kubetune_trainer import __main__ as entry
from kubetune_trainer.errors import as_trainer_error
from kubetune_trainer.recipes import prepare
from kubetune_trainer.reporting import CleanStream
from unit.trainer import tiny


@pytest.fixture
def termination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination.json"
    monkeypatch.setenv("KUBETUNE_TERMINATION_LOG", str(path))
    return path


def document(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    run = tiny.run_file("prepare", tmp_path / "ws", tmp_path / "model", tmp_path / "train.jsonl")
    return tiny.merged(run.dump(), changes)


def ended(run: Path, termination: Path, capsys: pytest.CaptureFixture[str]) -> FinalLine:
    code = entry.main([str(run)])
    last = parse_line(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(last, FinalLine)
    assert parse_termination(termination.read_text()) == last
    assert last.exit_code == code
    return last


def run_json(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "run.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training": {"learningRate": "2e"}},
            "training.learningRate: '2e' is no decimal; write for example 2e-4 or 0.05, as text",
        ),
        (
            {"training": {"learnRate": "1"}},
            "training.learnRate: there is no such field; check its spelling and the version",
        ),
        ({"stage": "cook"}, "stage: Input should be 'prepare', 'train' or 'evaluate'"),
    ],
)
def test_a_run_file_with_a_bad_field_is_refused_with_the_field(
    tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    path = run_json(tmp_path, document(tmp_path, **changes))
    final = ended(path, termination, capsys)
    assert (final.exit_code, final.reason) == (64, "BadSpec")
    assert final.message.startswith(f"run file {path}: {message}")


def test_a_run_file_that_is_not_there(tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str]) -> None:
    final = ended(tmp_path / "run.json", termination, capsys)
    assert final.message == f"cannot read the run file {tmp_path / 'run.json'}: No such file or directory"


def test_a_bug_is_loud_and_exits_70(
    tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "run", lambda *_: {}["missing"])
    assert entry.main([str(run_json(tmp_path, document(tmp_path)))]) == 70
    assert "Traceback" in capsys.readouterr().err
    final = parse_termination(termination.read_text())
    assert final is not None
    assert final.message == "KeyError: 'missing' (the log has the traceback)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_that_is_stopped_before_it_saves_anything_costs_no_retry(
    number: signal.Signals,
    tmp_path: Path,
    termination: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object) -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait(10)

    monkeypatch.setattr(prepare, "run", stopped)
    final = ended(run_json(tmp_path, document(tmp_path)), termination, capsys)
    assert (final.exit_code, final.reason) == (75, "Checkpointed")
    assert final.message.startswith("stopped before it was done")


def test_a_full_disk_exits_77_with_the_remedy(
    tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/workspace/checkpoints/x")

    monkeypatch.setattr(prepare, "run", fill)
    final = ended(run_json(tmp_path, document(tmp_path)), termination, capsys)
    assert (final.exit_code, final.reason) == (77, "DiskFull")
    assert final.message == (
        "the workspace is full while writing /workspace/checkpoints/x; give spec.workspace.size more, or keep fewer "
        "checkpoints"
    )


def test_a_full_disk_is_told_from_the_text_of_a_library_too() -> None:
    from safetensors import SafetensorError

    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert as_trainer_error(error).exit_code == 77


def test_out_of_memory_says_what_to_give() -> None:
    assert as_trainer_error(MemoryError()).message == (
        "out of memory; give spec.resources.memory more, or lower sequenceLength"
    )


def test_a_process_that_hangs_is_ended_with_76(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "from kubetune_trainer.engine.watchdog import Watchdog\n"
        "from kubetune_trainer.reporting import Reporter\n"
        "with Watchdog(Reporter(), first_limit=0.3):\n"
        "    threading.Event().wait()\n"
    )
    environment = tiny.trainer_environment(tmp_path)
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 76
    final = parse_termination((tmp_path / "termination.json").read_text())
    assert final is not None
    assert final.reason == "Stalled"
    assert "the device or the file system hangs" in final.message


def test_prepare_and_train_run_from_the_command_line(tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model")
    data = tiny.write_rows(tmp_path / "train.jsonl", tiny.questions(60))
    for stage, kind in (("prepare", "Dataset"), ("train", "Resolved")):
        run = tiny.run_file(stage, tmp_path / "ws", model, data)
        done = tiny.run_trainer(tiny.write_run(tmp_path / f"{stage}.json", run))
        assert done.returncode == 0, done.stderr
        lines = [line for text in done.stdout.splitlines() if (line := parse_line(text)) is not None]
        assert kind in {line.type for line in lines}
        assert parse_termination((tmp_path / "termination.json").read_text()) == lines[-1]
        assert done.stderr == ""
    final = lines[-1]
    assert isinstance(final, FinalLine)
    assert final.progress is not None
    assert final.progress.step == final.progress.total_steps
    assert (tmp_path / "ws" / "artifacts" / "adapter" / "adapter_model.safetensors").exists()


def test_credentials_are_shown_neither_in_the_log_nor_in_the_termination_message(
    tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        print("downloading", flush=True)
        raise RuntimeError("GET https://me:pass-canary@host/d?token=tok-canary with value-canary failed")

    monkeypatch.setenv("HF_TOKEN", "value-canary")
    monkeypatch.setattr(prepare, "run", fail)
    entry.main([str(run_json(tmp_path, document(tmp_path)))])
    said = capsys.readouterr()
    assert "GET https://***@host/d?token=*** with *** failed" in said.err
    for text in (said.out, said.err, termination.read_text()):
        assert "canary" not in text


def test_what_libraries_print_shows_no_credential_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "value-canary")
    written = io.StringIO()
    stream = CleanStream(written)
    for part in ("warning: value-", "canary is no token\nnext ", "line"):
        stream.write(part)
    assert written.getvalue() == "warning: *** is no token\n"
    stream.flush()
    assert written.getvalue() == "warning: *** is no token\nnext line"
    assert stream.isatty() is False
