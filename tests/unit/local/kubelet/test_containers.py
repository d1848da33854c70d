"""Containers as processes: start, end, signals, and a kubelet that comes back."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kubetune_local.kubelet.attempt import Attempt, Orders, attempts_in
from kubetune_local.kubelet.logfile import last_lines
from kubetune_local.kubelet.memory import process_tree, used_by_descendants
from unit.local.kubelet.builders import until


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    (tmp_path / "alive").touch()
    made = Attempt(tmp_path / "c" / "0", 0)
    yield made
    made.exit = None
    if made.directory.exists() and made.runs():
        made.kill()


async def start(attempt: Attempt, *command: str, alive_seconds: float = 60, grace_seconds: float = 30) -> None:
    folder = attempt.directory.parents[1]
    orders = Orders(
        list(command),
        {"PATH": os.environ["PATH"], "NAME": "value"},
        str(folder),
        alive_seconds=alive_seconds,
        grace_seconds=grace_seconds,
    )
    await attempt.start(orders, folder / "alive")


def lines(attempt: Attempt) -> list[str]:
    return last_lines(attempt.log, 100)


async def test_output_and_errors_are_logged_in_order_and_the_exit_code_is_known(attempt: Attempt) -> None:
    await start(attempt, "sh", "-c", "echo one; echo two >&2; echo $NAME; exit 3")
    ended = await attempt.wait()
    assert (ended.code, ended.signal, ended.oom_killed, ended.lost) == (3, 0, False, False)
    assert lines(attempt) == ["one", "two", "value"]
    assert ended.started_at <= ended.finished_at


async def test_a_program_that_does_not_exist_says_so(attempt: Attempt) -> None:
    await start(attempt, "/no/such/program")
    ended = await attempt.wait()
    assert (ended.code, ended.error) == (127, "cannot run '/no/such/program': No such file or directory")
    assert attempt.start_error == ended.error


async def test_sigterm_reaches_the_process_and_nobody_else(attempt: Attempt) -> None:
    script = "trap 'wait $!; echo cleaned; exit 75' TERM; sleep 0.4 & wait $!"
    await start(attempt, "sh", "-c", f"echo ready; {script}")
    await until(lambda: lines(attempt) == ["ready"])
    attempt.terminate()
    assert (await attempt.wait()).code == 75
    assert lines(attempt)[-1] == "cleaned"


async def test_a_process_killed_by_a_signal_ends_with_128_and_its_number(attempt: Attempt) -> None:
    await start(attempt, "sleep", "60")
    attempt.terminate()
    ended = await attempt.wait()
    assert (ended.code, ended.signal) == (143, 15)


async def test_killing_takes_everything_even_what_left_the_session(attempt: Attempt) -> None:
    await start(attempt, "sh", "-c", "(setsid setsid sleep 61.25 &); echo ready; sleep 60")
    await until(lambda: lines(attempt) == ["ready"])
    attempt.kill()
    assert (await attempt.wait()).code == 137
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61.25"]]


async def test_what_a_container_leaves_behind_ends_with_it(attempt: Attempt) -> None:
    await start(attempt, "sh", "-c", "(setsid sleep 61.5 &); echo done")
    assert (await attempt.wait()).code == 0
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61.5"]]
    assert lines(attempt) == ["done"]


async def test_a_kubelet_that_comes_back_finds_the_container_and_its_end(attempt: Attempt) -> None:
    await start(attempt, "sleep", "60")
    (found,) = attempts_in(attempt.directory.parent)
    assert found.runs()
    assert found.started_at == attempt.started_at
    found.terminate()
    assert (await found.wait()).code == 143
    (ended,) = attempts_in(attempt.directory.parent)
    assert not ended.runs()
    assert (await ended.wait()).code == 143


async def test_an_end_that_nobody_saw_is_told_as_such(attempt: Attempt) -> None:
    await start(attempt, "sleep", "61.75")
    assert attempt.pid is not None
    os.kill(attempt.pid, 9)
    ended = await attempt.wait()
    assert ended.lost
    assert ended.code == 137
    await until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61.75"]])


async def test_a_container_ends_when_its_kubelet_is_gone_for_good(attempt: Attempt) -> None:
    await start(attempt, "sh", "-c", "trap '' TERM; echo ready; sleep 60", alive_seconds=0.2, grace_seconds=0.2)
    assert (await asyncio.wait_for(attempt.wait(), 10)).code == 137


async def test_an_attempt_that_was_never_begun_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "c" / "3").mkdir(parents=True)
    assert attempts_in(tmp_path / "c") == []


async def test_the_termination_message_falls_back_to_the_log(attempt: Attempt) -> None:
    await start(attempt, "sh", "-c", "echo last words; exit 1")
    await attempt.wait()
    assert attempt.message(from_log=False) == ""
    assert attempt.message(from_log=True) == "last words"
    attempt.termination_log.write_text("written")
    assert attempt.message(from_log=True) == "written"


async def test_memory_of_forks_is_counted_once(attempt: Attempt) -> None:
    program = "import os,signal\nx=os.urandom(1<<20)*64\nos.fork()\nprint('ready',flush=True)\nsignal.pause()"
    await start(attempt, sys.executable, "-c", program)
    await until(lambda: len(lines(attempt)) == 2)
    assert attempt.pid is not None
    assert 64 << 20 < used_by_descendants(attempt.pid, process_tree()) < 100 << 20
    attempt.kill(oom=True)
    ended = await attempt.wait()
    assert (ended.code, ended.oom_killed) == (137, True)
