"""Processes of a local cluster, found again by their pid files."""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kubetune_cli.__main__ import main
from kubetune_cli.errors import CliError, ExitCode
from kubetune_cli.localcluster import refuse_other_settings
from kubetune_cli.localrun import run_manifest
from kubetune_cli.localstate import LocalState, Program

SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A program that is stopped at the end."""
    found = LocalState(tmp_path).program("cluster")
    yield found
    found.stop()


def test_a_started_program_is_found_and_stopped(program: Program) -> None:
    pid = program.start(SLEEPER, os.environ, port=1)
    assert program.pid() == pid
    assert program.record()["port"] == 1
    assert program.stop()
    assert program.pid() is None
    assert not program.pid_file.exists()
    assert not program.stop()


def test_a_pid_that_another_process_took_over_is_not_ours(program: Program) -> None:
    program.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time() - 100}))
    assert program.pid() is None
    assert not program.stop()


def test_a_broken_pid_file_means_not_running(program: Program) -> None:
    program.pid_file.write_text('{"pid": 1')
    assert program.pid() is None


def test_a_program_that_died_is_told_with_the_end_of_its_log(program: Program) -> None:
    program.start([sys.executable, "-c", "raise SystemExit('port is taken')"], os.environ)
    deadline = time.monotonic() + 20
    while program.pid() is not None:
        assert time.monotonic() < deadline
    assert "  | port is taken" in program.died().message


def test_a_running_cluster_does_not_ignore_other_settings(program: Program) -> None:
    program.start(SLEEPER, os.environ, accelerators=[], controlPlane=False)
    refuse_other_settings(program, {"accelerators": [], "controlPlane": False})
    with pytest.raises(CliError, match="accelerators"):
        refuse_other_settings(program, {"accelerators": ["nvidia.com/gpu=1"], "controlPlane": False})


def test_down_where_nothing_runs_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "down", "--directory", str(tmp_path / "none")]) == ExitCode.DONE
    assert capsys.readouterr().out == "nothing ran here\n"


def test_down_deletes_no_folder_that_is_not_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["local", "down", "--delete", "--directory", str(tmp_path)]) == ExitCode.FAILED
    assert (tmp_path / "thesis.txt").exists()
    assert "holds no local cluster; nothing was deleted" in capsys.readouterr().err


def test_chat_without_a_cluster_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "chat", "bot", "--directory", str(tmp_path)]) == ExitCode.FAILED
    assert "start it with `kubetune local up`" in capsys.readouterr().err


def test_run_starts_nothing_for_a_bad_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("apiVersion: kubetune.io/v1alpha1\nkind: FineTuneJob\nmetadata: {name: a}\nspec: {}\n")
    options = Namespace(file=str(path), again=False, plain=True, control_plane=False, accelerator=[])
    with pytest.raises(CliError, match="has 2 mistakes; nothing was applied"):
        run_manifest(LocalState(tmp_path / "cluster"), options)
    assert not (tmp_path / "cluster").exists()
    assert "spec.model: Required value" in capsys.readouterr().err
