"""One writer in a folder: takeovers by epoch, dead and frozen holders, two owners, late writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubetune_api.run import RunFile
from kubetune_trainer.engine import durable, lock
from kubetune_trainer.engine.lock import Lock, only_writer
from kubetune_trainer.errors import BadSpec, Superseded, TrainerError
from kubetune_trainer.paths import LOCK_FOLDER
from unit.trainer import tiny


def run_of(folder: Path, epoch: int = 1, uid: str = "1", name: str = "tiny") -> RunFile:
    identity = {"kind": "FineTuneJob", "namespace": "team", "name": name, "uid": uid}
    return tiny.run_file("train", folder, folder / "model", folder / "train.jsonl", epoch=epoch, run=identity)


HOLD = """
import sys, time
from pathlib import Path
from kubetune_api.run import RunFile
from kubetune_trainer.engine.lock import only_writer
folder = Path(sys.argv[1])
with only_writer(folder, RunFile.model_validate_json(sys.argv[2])):
    print("held", flush=True)
    time.sleep(120)
"""


@contextmanager
def holder(folder: Path, run: RunFile) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder), run.model_dump_json(by_alias=True)]
    environment = tiny.trainer_environment(folder)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(30)


def test_a_holder_that_left_leaves_no_wait_behind(tmp_path: Path) -> None:
    for _ in range(3):
        with only_writer(tmp_path, run_of(tmp_path), patience=0):
            durable.write_text(tmp_path / "file", "text")


def test_a_second_process_of_the_same_epoch_waits_and_gives_up(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with only_writer(tmp_path, run), pytest.raises(TrainerError) as caught, only_writer(tmp_path, run, patience=0.05):
        pytest.fail("two writers")
    assert (caught.value.exit_code, caught.value.reason) == (70, "WorkspaceBusy")
    assert f"/{os.getpid()}/" in caught.value.message


def test_it_goes_on_as_soon_as_the_other_leaves(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    first = Lock(tmp_path, run)
    first.take(0)
    timer = threading.Timer(0.5, first.release)
    timer.start()
    with only_writer(tmp_path, run, patience=20) as second:
        assert second.term == first.term + 1
    timer.join()


def test_a_killed_holder_on_this_machine_is_known_to_be_dead_at_once(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with holder(tmp_path, run) as process:
        process.kill()
        process.wait(30)
        with only_writer(tmp_path, run, patience=0):
            pass


def test_a_holder_on_another_machine_is_dead_when_its_heartbeat_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path)
    with holder(tmp_path, run) as process:
        process.kill()
        process.wait(30)
        monkeypatch.setattr(lock, "_boot_id", lambda: "another machine")
        with pytest.raises(TrainerError), only_writer(tmp_path, run, patience=0.1):
            pytest.fail("its heartbeat was fresh")
        (heart,) = [path for path in (tmp_path / LOCK_FOLDER).glob("alive-*")]
        old = time.time() - lock.FRESH_SECONDS - 1
        os.utime(heart, (old, old))
        with only_writer(tmp_path, run, patience=0.1):
            pass


def test_the_clock_of_this_machine_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    monkeypatch.setattr(lock, "_boot_id", lambda: "")
    with only_writer(tmp_path, run):
        monkeypatch.setattr(time, "time", lambda: 10.0**10)
        with pytest.raises(TrainerError), only_writer(tmp_path, run, patience=0.1):
            pytest.fail("two writers")


def test_a_heartbeat_is_kept_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with only_writer(tmp_path, run_of(tmp_path)):
        (heart,) = (tmp_path / LOCK_FOLDER).glob("alive-*")
        os.utime(heart, (1, 1))
        deadline = time.monotonic() + 20
        while heart.stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_higher_epoch_takes_over_at_once_and_the_old_holder_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    lost = threading.Event()
    newer = Lock(tmp_path, run_of(tmp_path, epoch=2))

    def work() -> None:
        with only_writer(tmp_path, run_of(tmp_path), lost.set) as older:
            durable.write_text(tmp_path / "report", "old")
            newer.take(0)
            (tmp_path / "report").write_text("new")
            assert lost.wait(20)
            with pytest.raises(Superseded):
                older.check()
            durable.write_text(tmp_path / "report", "old again")

    with pytest.raises(Superseded) as caught:
        work()
    assert (tmp_path / "report").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK_FOLDER, "report"]
    assert (caught.value.exit_code, caught.value.reason) == (75, "Superseded")
    assert "epoch 2 of team/tiny took it over" in caught.value.message
    newer.check()
    newer.release()


def put_text(folder: Path, text: str) -> None:
    durable.write_text(folder / "report", text)


def put_folder(folder: Path, text: str) -> None:
    with durable.appearing(folder / "report") as part:
        (part / "text").write_text(text)


@pytest.mark.parametrize(
    ("put", "look"),
    [(put_text, 1), (put_folder, 1), (put_folder, 2), (put_folder, 3)],
    ids=["a file", "a folder before it is begun", "a folder before the old one goes", "a folder before it appears"],
)
def test_a_holder_that_freezes_after_its_last_look_renames_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, str], None], look: int
) -> None:
    """Whenever it looks and then freezes, what the newer one has written meanwhile stands."""
    looks: list[int] = []
    real = Lock.check

    def check(self: Lock) -> None:
        real(self)
        looks.append(1)
        if len(looks) == look:
            with monkeypatch.context() as patch:
                patch.setattr(Lock, "check", real)
                patch.setattr(durable, "_fences", [])
                with only_writer(tmp_path, run_of(tmp_path, epoch=2)):
                    put(tmp_path, "new")

    put(tmp_path, "before")
    monkeypatch.setattr(Lock, "check", check)
    with pytest.raises(Superseded), only_writer(tmp_path, run_of(tmp_path)):
        put(tmp_path, "old")
    assert len(looks) >= look
    report = tmp_path / "report"
    assert (report if report.is_file() else report / "text").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK_FOLDER, "report"]
    assert [path.name for path in (tmp_path / LOCK_FOLDER).iterdir()] == ["00000002.json"]


def test_an_error_that_a_takeover_caused_is_told_as_the_takeover(tmp_path: Path) -> None:
    def work() -> None:
        with only_writer(tmp_path, run_of(tmp_path)):
            with only_writer(tmp_path, run_of(tmp_path, epoch=2)):
                pass
            raise FileNotFoundError("swept away")

    with pytest.raises(Superseded):
        work()


@pytest.mark.parametrize("uid", ["1", "2"], ids=["the last holder", "a holder before another object's"])
def test_a_lower_epoch_leaves_at_once_even_when_nobody_is_there(tmp_path: Path, uid: str) -> None:
    with only_writer(tmp_path, run_of(tmp_path, epoch=3)):
        pass
    if uid != "1":
        with only_writer(tmp_path, run_of(tmp_path, epoch=1, uid=uid)):
            pass
    with pytest.raises(Superseded) as caught, only_writer(tmp_path, run_of(tmp_path, epoch=2)):
        pytest.fail("an epoch came back")
    assert caught.value.exit_code == 75


def test_another_objects_run_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    other = run_of(tmp_path, epoch=7, uid="2", name="other")
    with only_writer(tmp_path, run_of(tmp_path)):
        with pytest.raises(BadSpec) as caught, only_writer(tmp_path, other, patience=0.05):
            pytest.fail("two writers")
        assert caught.value.reason == "WorkspaceBusy"
        assert "team/tiny works in" in caught.value.message
        assert "claimName" in caught.value.message
    with only_writer(tmp_path, other, patience=0):
        pass


def test_a_frozen_holder_is_passed_over_and_finds_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    with holder(tmp_path, run) as process:
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(lock, "FRESH_SECONDS", 0.5)
        with only_writer(tmp_path, run, patience=20) as taken:
            taken.check()


def test_of_many_that_come_at_once_one_holds_at_a_time(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with only_writer(tmp_path, run, patience=60):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 6


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    run = run_of(tmp_path)
    with only_writer(tmp_path, run) as held, pytest.raises(TrainerError), only_writer(tmp_path, run, patience=0.05):
        pytest.fail("two writers")
    assert held.term == 1


def test_old_claims_are_removed(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        with only_writer(tmp_path, run_of(tmp_path, epoch=epoch)):
            pass
    (name,) = [path.name for path in (tmp_path / LOCK_FOLDER).iterdir()]
    assert name == "00000003.json"
    assert json.loads((tmp_path / LOCK_FOLDER / name).read_text())["epochs"] == {"1": 3}
