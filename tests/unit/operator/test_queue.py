"""The work queue: each key once, one worker a key, back-off, deadlines."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from kubetune_operator.cluster.keys import Key
from kubetune_operator.errors import ApiUnreachable, Conflict, NotLeader
from kubetune_operator.queue import Work, WorkQueue

A, B = Key("FineTuneJob", "team", "a"), Key("FineTuneJob", "team", "b")


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 - the work sets no event that could be waited for
            await asyncio.sleep(0.005)


class Working:
    """Runs a queue for the length of a test."""

    def __init__(self, work: Work, workers: int = 3) -> None:
        self.queue = WorkQueue(work)
        self._workers = workers

    async def __aenter__(self) -> WorkQueue:
        self._task = asyncio.create_task(self.queue.run(self._workers))
        return self.queue

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


async def test_a_key_added_many_times_is_worked_on_once() -> None:
    seen: Counter[Key] = Counter()

    async def work(key: Key, look: bool) -> None:
        seen[key] += 1

    working = Working(work)
    for _ in range(5):
        working.queue.add(A)
    working.queue.add(B)
    async with working:
        await until(lambda: len(seen) == 2)
    assert seen == {A: 1, B: 1}


async def test_a_key_is_never_worked_on_by_two_workers_and_never_forgotten() -> None:
    at_once, most, passes = 0, 0, 0
    release = asyncio.Event()

    async def work(key: Key, look: bool) -> None:
        nonlocal at_once, most, passes
        at_once, passes = at_once + 1, passes + 1
        most = max(most, at_once)
        await release.wait()
        at_once -= 1

    async with Working(work) as queue:
        queue.add(A)
        await until(lambda: passes == 1)
        queue.add(A)
        queue.add(A)
        release.set()
        await until(lambda: passes == 2)
    assert most == 1


async def test_a_pass_that_fails_is_tried_again_until_it_works() -> None:
    tries = 0

    async def work(key: Key, look: bool) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ApiUnreachable("no answer")

    async with Working(work) as queue:
        queue.add(A)
        await until(lambda: tries == 3)


async def test_a_bug_in_one_key_does_not_stop_the_others() -> None:
    seen: set[Key] = set()

    async def work(key: Key, look: bool) -> None:
        seen.add(key)
        if key == A:
            raise ZeroDivisionError

    async with Working(work, workers=1) as queue:
        queue.add(A)
        queue.add(B)
        await until(lambda: seen == {A, B})


async def test_the_first_conflict_is_tried_again_at_once() -> None:
    tries: list[float] = []

    async def work(key: Key, look: bool) -> None:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            raise Conflict(409, "Conflict", "changed")

    async with Working(work) as queue:
        queue.add(A)
        await until(lambda: len(tries) == 2)
    assert tries[1] - tries[0] < 0.09


async def test_back_off_doubles_with_jitter_and_is_bounded() -> None:
    queue = WorkQueue(lambda key, look: asyncio.sleep(0))
    delays = [queue._delay(A, RuntimeError()) for _ in range(20)]
    assert 0.1 <= delays[0] <= 0.2
    assert 30 <= delays[-1] <= 60
    unreachable = [queue._delay(B, ApiUnreachable()) for _ in range(20)]
    assert max(unreachable) <= 5


async def test_the_earliest_of_several_deadlines_counts() -> None:
    passes = 0

    async def work(key: Key, look: bool) -> None:
        nonlocal passes
        passes += 1

    async with Working(work) as queue:
        queue.add_after(A, 60)
        queue.add_after(A, 0.01)
        queue.add_after(A, 30)
        await until(lambda: passes == 1)


async def test_what_a_pass_returns_is_its_next_deadline() -> None:
    passes = 0

    async def work(key: Key, look: bool) -> float:
        nonlocal passes
        passes += 1
        return 0.01

    async with Working(work) as queue:
        queue.add(A)
        await until(lambda: passes == 3)


async def test_a_pass_that_hangs_is_a_standstill() -> None:
    started = asyncio.Event()

    async def work(key: Key, look: bool) -> None:
        started.set()
        await asyncio.Event().wait()

    async with Working(work) as queue:
        assert queue.stalled_seconds() == 0
        queue.add(A)
        await started.wait()
        await until(lambda: queue.stalled_seconds() > 0.02)


async def test_keys_that_nobody_works_on_are_a_standstill() -> None:
    queue = WorkQueue(lambda key, look: asyncio.sleep(0))
    queue.add(A)
    await until(lambda: queue.stalled_seconds() > 0.02)


async def test_a_long_queue_that_moves_is_no_standstill() -> None:
    passes = 0

    async def work(key: Key, look: bool) -> None:
        nonlocal passes
        passes += 1
        await asyncio.sleep(0.02)
        raise ApiUnreachable("no answer")

    async with Working(work, workers=1) as queue:
        for number in range(30):
            queue.add(Key("FineTuneJob", "team", f"job-{number}"))
        await until(lambda: passes == 12)
        assert queue.oldest_seconds() > 0.2
        assert queue.stalled_seconds() < 0.15


async def test_a_wedged_pass_shows_in_the_age_of_the_oldest_key() -> None:
    started = asyncio.Event()

    async def work(key: Key, look: bool) -> None:
        started.set()
        await asyncio.Event().wait()

    async with Working(work) as queue:
        assert queue.oldest_seconds() == 0
        queue.add(A)
        await started.wait()
        await until(lambda: queue.oldest_seconds() > 0.02)
        assert queue.depth() == 0


async def test_a_queue_that_is_shut_keeps_each_key_once_and_works_on_none() -> None:
    seen: list[Key] = []

    async def work(key: Key, look: bool) -> None:
        seen.append(key)

    async with Working(work) as queue:
        queue.close()
        await asyncio.sleep(0)
        for _ in range(3):
            queue.add(A)
        queue.add(B)
        queue.drop(B)
        await asyncio.sleep(0.02)
        assert (seen, queue.depth(), queue.oldest_seconds()) == ([], 1, 0)
        assert queue.stalled_seconds() == 0
        queue.open()
        await until(lambda: seen != [])
        await asyncio.sleep(0.02)
        assert seen == [A]
        queue.drop(A)
        queue.add(B)
        await until(lambda: seen == [A, B])


async def test_a_key_that_may_not_be_written_is_kept_without_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune_operator.queue._NOT_LEADER_DELAY", 0.01)
    passes, failures = 0, []

    async def work(key: Key, look: bool) -> None:
        nonlocal passes
        passes += 1
        if passes < 3:
            raise NotLeader("no")

    queue = WorkQueue(work, lambda key, error: failures.append(error))
    task = asyncio.create_task(queue.run(1))
    queue.add(A)
    await until(lambda: passes == 3)
    task.cancel()
    assert failures == []
