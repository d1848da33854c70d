"""Several processes train one model: the same losses as one, one end for all, nobody left hanging."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubetune_api.report import FinalLine, parse_termination
from kubetune_trainer.engine import rendezvous
from unit.trainer import tiny
from unit.trainer.recipes.pods import Pod
from unit.trainer.recipes.runs import Job, new_job

#: A test takes seconds on a quiet machine; reading torch takes minutes on a crowded one.
pytestmark = pytest.mark.timeout(900)
#: For the end of all pods.
PATIENCE = 300.0

#: Micro-batches of a quarter of a step, so that each of two processes has two.
SETTINGS: dict[str, Any] = {
    "method": {"lora": {"rank": 4}},
    "training": {"epochs": 2, "globalBatchTokens": 512, "checkpoints": {"everySteps": 3}},
    "adjustments": {"microBatchDivisor": 4},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = new_job(tmp_path_factory.mktemp("job"))
    job.prepare()
    return job


@pytest.fixture(scope="module")
def alone(prepared: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = prepared.again(tmp_path_factory.mktemp("alone"))
    job.train(**SETTINGS)
    return job


class Gang:
    """Pods of a job as processes of this machine."""

    def __init__(self, job: Job, nodes: int = 2, patch: str = "", **changes: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = tiny.merged(SETTINGS, {"compute": {"nodes": nodes}, "rendezvous": f"gang-0.gang:{port}"})
        self.folder = job.folder
        self.run = tiny.write_run(job.folder / "train.json", job.run_file("train", **tiny.merged(settings, changes)))
        self.pods = [self._start(index, patch) for index in range(nodes)]

    def _start(self, index: int, patch: str) -> Pod:
        environment = tiny.trainer_environment(self.folder) | {
            "JOB_COMPLETION_INDEX": str(index),
            "KUBETUNE_HOSTS": json.dumps({"*.gang": "127.0.0.1"}),
            "KUBETUNE_TERMINATION_LOG": str(self.folder / f"termination-{index}.json"),
        }
        return Pod(self.run, environment, self.folder / f"log-{index}.txt", patch)

    def codes(self) -> list[int]:
        """Wait for all pods; returns their exit codes."""
        deadline = time.monotonic() + PATIENCE
        try:
            return [pod.wait(max(0.1, deadline - time.monotonic())) for pod in self.pods]
        finally:
            for pod in self.pods:
                pod.kill()

    def log(self, index: int) -> str:
        """Return the log of a pod."""
        return (self.folder / f"log-{index}.txt").read_text()

    def logs(self) -> str:
        """Return the logs of all pods."""
        return "".join(self.log(index) for index in range(len(self.pods)))

    def final(self, index: int) -> FinalLine:
        """Return how a pod said that it ended."""
        line = parse_termination((self.folder / f"termination-{index}.json").read_text())
        assert line is not None
        return line

    def wait_for_step(self, step: int, job: Job) -> None:
        """Wait until a step is done."""
        path, deadline = job.workspace.reports / "metrics.jsonl", time.monotonic() + PATIENCE
        while not (path.exists() and path.read_text().count('"loss"') >= step):
            assert time.monotonic() < deadline
            assert all(pod.poll() is None for pod in self.pods), self.logs()
            time.sleep(0.005)


@pytest.fixture
def job(prepared: Job, tmp_path: Path) -> Job:
    return prepared.again(tmp_path)


def losses(job: Job) -> list[list[float]]:
    """Return the training losses and the validation losses of a job."""
    entries = [json.loads(line) for line in (job.workspace.reports / "metrics.jsonl").read_text().splitlines()]
    return [[entry[name] for entry in entries if name in entry] for name in ("loss", "evalLoss")]


def assert_same_losses(job: Job, other: Job) -> None:
    for found, expected in zip(losses(job), losses(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_two_pods_train_as_one_does(job: Job, alone: Job) -> None:
    gang = Gang(job)
    assert gang.codes() == [0, 0], gang.logs()
    assert_same_losses(job, alone)
    assert "by 2 processes together" in gang.log(0)
    assert "step 1/" not in gang.log(1)
    assert gang.final(0).artifacts
    assert not gang.final(1).artifacts
    assert gang.final(1).message.startswith("process 1 of 2 has trained 18 steps")
    assert gang.final(0).resolved is not None
    assert gang.final(0).resolved.accumulation == 2
    again = Gang(job)
    assert again.codes() == [0, 0], again.logs()
    assert "Training has ended before" in again.log(0)


def test_three_processes_share_what_two_micro_batches_would_hold(job: Job, alone: Job) -> None:
    gang = Gang(job, nodes=3, adjustments={"microBatchDivisor": 2})
    assert gang.codes() == [0, 0, 0], gang.log(0)
    assert_same_losses(job, alone)


@pytest.mark.parametrize("stopped", [0, 1])
def test_sigterm_on_any_pod_stops_all_at_one_step_and_one_process_goes_on(job: Job, alone: Job, stopped: int) -> None:
    gang = Gang(job)
    gang.wait_for_step(4, job)
    gang.pods[stopped].send_signal(signal.SIGTERM)
    assert gang.codes() == [75, 75]
    steps = [gang.final(index).message.split(" of 18;")[0] for index in (0, 1)]
    assert steps[0] == steps[1]
    _, log = job.train(**SETTINGS)
    assert steps[0].replace("stopped on request", "Resuming") in log
    assert_same_losses(job, alone)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_pod_that_is_killed_ends_the_others_soon_and_the_gang_resumes(job: Job, alone: Job, killed: int) -> None:
    gang = Gang(job)
    gang.wait_for_step(5, job)
    gang.pods[killed].kill()
    began = time.monotonic()
    codes = gang.codes()
    assert time.monotonic() - began < 60
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] == 75, gang.log(1 - killed)
    assert gang.final(1 - killed).reason == "PeerLost"
    again = Gang(job)
    assert again.codes() == [0, 0], again.log(0)
    assert "Resuming at step" in again.log(0)
    assert_same_losses(job, alone)


def test_a_pod_that_freezes_ends_the_others_in_bounded_time(job: Job) -> None:
    gang = Gang(job, patch="rendezvous.SILENCE_SECONDS = 3; rendezvous.BEAT_SECONDS = 0.5")
    gang.wait_for_step(2, job)
    gang.pods[1].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert gang.pods[0].wait(PATIENCE) == 75
    assert time.monotonic() - began < 60
    assert gang.final(0).reason == "PeerLost"
    gang.pods[1].send_signal(signal.SIGCONT)
    assert gang.codes() == [75, 75]


def test_a_pod_that_does_not_come_is_named(job: Job) -> None:
    absent = "os.environ['JOB_COMPLETION_INDEX'] == '1' and os._exit(1)"
    gang = Gang(job, nodes=3, patch=f"{absent}; rendezvous.Meeting.meet.__defaults__ = (20.0,)")
    codes = gang.codes()
    assert (codes[0], codes[2]) == (70, 70), gang.log(0)
    assert gang.final(0).reason == "PeerMissing"
    assert "of 3 processes, 1 did not come to gang-0.gang:" in gang.final(0).message


def test_a_pod_that_ends_while_the_group_is_made_is_not_waited_for(job: Job) -> None:
    dies = (
        "import torch.distributed as dist; rendezvous.SILENCE_SECONDS, rendezvous.BEAT_SECONDS = 6.0, 0.5; "
        "dist.init_process_group = (lambda *_, **__: os._exit(1)) "
        "if os.environ['JOB_COMPLETION_INDEX'] == '1' else dist.init_process_group"
    )
    gang = Gang(job, patch=dies)
    assert gang.codes() == [75, 1], gang.logs()
    assert gang.final(0).reason == "PeerLost"


def test_gradients_that_are_not_finite_in_one_process_end_all_with_78(job: Job) -> None:
    poison = (
        "from kubetune_trainer.engine.forward import Forward; real = Forward.loss; "
        "Forward.loss = lambda self, batch: real(self, batch) * "
        "(float('nan') if os.environ['JOB_COMPLETION_INDEX'] == '1' and self.model.training else 1)"
    )
    gang = Gang(job, patch=poison)
    assert gang.codes() == [78, 78], gang.logs()
    assert gang.final(0).reason == gang.final(1).reason == "Diverged"


def test_an_older_epoch_leaves_as_a_whole(job: Job) -> None:
    job.train(epoch=2, **tiny.merged(SETTINGS, {"training": {"maxSteps": 1, "epochs": None}}))
    gang = Gang(job)
    assert gang.codes() == [75, 75]
    assert gang.final(0).reason == gang.final(1).reason == "Superseded"


def test_a_process_that_hangs_ends_all_by_its_watchdog(job: Job) -> None:
    hang = (
        "from kubetune_trainer.engine.forward import Forward; real = Forward.loss; watchdog.SHORTEST_LIMIT_SECONDS = 2;"
        "watchdog.PATIENCE = 1; calls = []; Forward.loss = lambda self, batch: (calls.append(1), "
        "time.sleep(999 if os.environ['JOB_COMPLETION_INDEX'] == '1' and len(calls) == 20 else 0), real(self, batch)"
        ")[2]"
    )
    gang = Gang(job, patch=hang)
    assert gang.codes() == [75, 76], gang.logs()
    assert (gang.final(0).reason, gang.final(1).reason) == ("PeerLost", "Stalled")


def test_a_pod_with_several_accelerators_has_a_process_for_each_and_one_end(job: Job, alone: Job) -> None:
    gang = Gang(job, nodes=1, compute={"accelerators": 2}, rendezvous=None)
    gang.wait_for_step(3, job)
    gang.pods[0].send_signal(signal.SIGTERM)
    assert gang.codes() == [75], gang.log(0)
    assert gang.final(0).message.startswith("stopped on request at step")
    assert gang.log(0).count('"type":"Final"') == 1
    again = Gang(job, nodes=1, compute={"accelerators": 2}, rendezvous=None)
    assert again.codes() == [0], again.log(0)
    assert_same_losses(job, alone)
    assert again.final(0).artifacts


@pytest.mark.parametrize(
    ("environment", "rendezvous_of", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "0"}, None, "rendezvous is None, not host:port"),
        ({}, "gang-0.gang:29500", "JOB_COMPLETION_INDEX is ''"),
        ({"JOB_COMPLETION_INDEX": "2"}, "gang-0.gang:29500", "not one of 0 to 1"),
    ],
)
def test_a_place_that_is_not_told_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rendezvous_of: str | None, message: str
) -> None:
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = job.run_file("train", compute={"nodes": 2}, rendezvous=rendezvous_of)
    with pytest.raises(rendezvous.BadSpec) as caught:
        rendezvous.place_of(run)
    assert message in caught.value.message
