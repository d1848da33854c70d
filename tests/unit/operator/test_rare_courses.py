"""Rare courses of events: hand-over in the middle of an end, a deleted Lease, a silent node, a refused deletion."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from kubetune_api import names
from kubetune_operator import runtime
from kubetune_operator.cluster.client import Client
from kubetune_operator.cluster.gate import Gate
from kubetune_operator.cluster.gather import Gatherer
from kubetune_operator.cluster.keys import Key
from kubetune_operator.cluster.lease import Elector
from kubetune_operator.cluster.limits import Limits
from kubetune_operator.cluster.recorder import Recorder
from kubetune_operator.cluster.store import KINDS, Store
from kubetune_operator.errors import ApiError, api_error
from kubetune_operator.handlers import Trigger
from kubetune_operator.observe import observe
from kubetune_operator.observe.nodes import node_view
from kubetune_operator.plan import Refusal, parse, plan
from kubetune_operator.policy_file import PolicyFile
from kubetune_operator.queue import WorkQueue
from kubetune_operator.reconcile import Reconciler
from kubetune_operator.resync import Resync
from kubetune_operator.telemetry.metrics import Metrics
from kubetune_operator.watching import Watcher
from unit.operator.builders import (
    BASELINE,
    NOW,
    SETTINGS,
    TASK,
    UID,
    ago,
    conditions,
    eval_run_manifest,
    fine_tune_job,
    job_manifest,
    launched,
    look,
    message,
    snapshot,
    stage_job,
    training,
)
from unit.operator.cluster_in_memory import InMemory
from unit.operator.test_observe_lost import GPU, OTHER, stopping
from unit.operator.test_observe_lost import TRAIN as TRAIN_JOB

KEY = Key("FineTuneJob", "team", "bot")
TRAIN = names.stage_name("bot", UID, "train", 1)


def child_job():
    job = stage_job("train") | {"kind": "Job"}
    job["metadata"] |= {
        "namespace": "team",
        "uid": "j1",
        "labels": {names.LABEL_OWNER_UID: UID},
        "ownerReferences": [{"kind": "FineTuneJob", "name": "bot", "uid": UID}],
    }
    return job


def over(cl, reason="DeadlineExceeded"):
    t = training()
    t["conditions"].append({"type": "Failed", "status": "True", "reason": reason, "lastTransitionTime": ago(1)})
    t["phase"] = "Failed"
    t["completionTime"] = ago(1)
    m = cl.objects["FineTuneJob", "team", "bot"]
    m["status"] = t
    return cl.put(m)


async def drain(q):
    t = asyncio.create_task(q.run(1))
    await asyncio.sleep(0.3)
    t.cancel()


async def test_the_job_of_a_run_that_a_dead_leader_ended_is_stopped_by_the_next():
    cl: Any = InMemory(job_manifest(training()), child_job())
    store, metrics = Store(), Metrics()
    rec = Reconciler(cl, Gatherer(cl, SETTINGS, store), Recorder(cl), metrics, SETTINGS, clock=lambda: NOW)
    q = WorkQueue(rec.reconcile)
    q.close()
    trg = Trigger(q.add, metrics, q.drop, store)
    trg.begin()
    for m in cl.of("FineTuneJob"):
        trg.see(m)
    trg.see_child(cl.of("Job")[0])
    for k in KINDS:
        store.listed(k, None, [UID] if k == "FineTuneJob" else ["j1"] if k == "Job" else [], store.mark())
    trg.see(over(cl))  # the leader stored the end, and died before it deleted the Job
    q.open()
    rs = Resync(cl, SETTINGS, trg, metrics)
    rs.soon(look=True)
    await rs.once()
    await drain(q)
    await rs.once()
    await drain(q)  # and a later full resync
    ok = ("delete", "Job", TRAIN) in cl.writes
    if not ok:
        await rec.reconcile(KEY)
        assert ("delete", "Job", TRAIN) in cl.writes, "control: a pass would have stopped it"
    assert ok, f"Job runs on: {cl.writes} depth={q.depth()}"


async def test_a_deletion_that_met_a_conflict_is_tried_again():
    class C(Client):
        def __init__(self):
            self.calls = 0

        async def _json(self, method, kind, path, body=None, content=""):
            if method == "GET":
                return {"metadata": {"uid": "uid"}}
            self.calls += 1
            raise api_error(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )

    with pytest.raises(ApiError):
        await C().delete("Job", "team", "x", "uid")


async def test_an_evaluation_that_waited_for_a_job_obeys_the_limit(tmp_path):
    p = tmp_path / "p.yaml"
    p.write_text("limits: [{namespaces: [team], concurrentRuns: 1}]")
    busy = job_manifest(training())
    busy["metadata"] |= {"name": "busy", "uid": "u-busy", "creationTimestamp": ago(900)}

    def ev(status):
        e = eval_run_manifest(status)
        e["metadata"] |= {"name": "ev", "uid": "u-ev", "creationTimestamp": ago(100)}
        return e

    cl: Any = InMemory(busy)
    limits = Limits(cl, PolicyFile(str(p)))
    got = {}
    for label, status in (
        ("new", None),
        (
            "waited",
            {
                "conditions": [
                    {"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": ago(90)},
                    {
                        "type": "Progressing",
                        "status": "False",
                        "reason": "WaitingForFineTuneJob",
                        "lastTransitionTime": ago(90),
                    },
                ]
            },
        ),
    ):
        s = parse(ev(status))
        cl.put(ev(status))
        got[label] = (await limits.applied(s, plan(s, SETTINGS))).waiting
    assert got["new"] is not None  # control: it waits
    assert got["waited"] is not None, "no limit for a run that waited for a FineTuneJob before"


async def test_ready_only_after_the_watches_have_listed():
    cl: Any = InMemory()
    metrics = Metrics()
    store = Store()
    trg = Trigger(lambda *a, **k: None, metrics, store=store)
    trg.begin()
    rs = Resync(cl, SETTINGS, trg, metrics)
    await rs.once()
    rs.problem = None  # as run() does
    assert not store.complete
    parts: Any = type("P", (), dict(resync=rs, store=store))()
    assert runtime.ready(parts) is not None
    for k in KINDS:
        store.listed(k, None, [], store.mark())
    store.list_begins("Job", None)
    assert runtime.ready(parts) is None


def test_watches_that_never_begin_are_no_life(monkeypatch: pytest.MonkeyPatch):
    cl: Any = type("C", (), {"answered_seconds_ago": lambda s: 0.0})()
    w = Watcher(SETTINGS, cl, Trigger(lambda *a, **k: None, Metrics()), Metrics())
    w._steady()  # Kopf waits silently for 60 s (CRD or discovery missing): called up
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    w.signs.beat()
    parts: Any = type("P", (), dict(queue=WorkQueue(None), watcher=w, client=cl, store=Store()))()
    assert runtime.alive(parts) is not None, "an hour without any watch, and alive"


def test_a_node_that_fell_silent_a_second_ago_is_not_given_up():
    node = node_view(
        {
            "metadata": {"name": "node-1"},
            "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": ago(1)}]},
            "status": {
                "allocatable": GPU,
                "conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": ago(1)}],
            },
        }
    )
    seen = look(fine_tune_job(training(), retries=0), jobs=[TRAIN_JOB], pods=[stopping(130, 300)], nodes=[node, OTHER])
    assert launched(seen) is None, (
        f"second run {launched(seen)} while the pod has 170 s of its grace, node silent for 1 s"
    )


class LeaseApi:
    def __init__(self):
        self.lease = None
        self.v = 0

    async def get(self, *a):
        if self.lease is None:
            raise api_error(404, "NotFound", "none")
        return self.lease

    async def create(self, m):
        if self.lease:
            raise api_error(409, "AlreadyExists", "x")
        self.v += 1
        self.lease = {**m, "metadata": {**m["metadata"], "resourceVersion": str(self.v)}}
        return self.lease

    async def merge(self, k, ns, n, patch, subresource=None):
        if self.lease is None:
            raise api_error(404, "NotFound", "none")
        if patch["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict", "x")
        self.v += 1
        self.lease = {
            **self.lease,
            "metadata": {**self.lease["metadata"], "resourceVersion": str(self.v)},
            "spec": patch["spec"],
        }
        return self.lease


async def test_a_deleted_lease_a_slow_leader_and_a_new_replica():
    now = [100.0]

    def clock() -> float:
        return now[0]

    api: Any = LeaseApi()
    ga, gb = Gate(clock), Gate(clock)
    a = Elector(api, ga, "l", "ns", "a", clock=clock)
    b = Elector(api, gb, "l", "ns", "b", clock=clock)
    while ga.remaining() <= 0:
        await a.step()
        now[0] += 1
    await a.step()
    api.lease = None  # deleted; a's renewals are slow for 4 s; b has just started
    for _ in range(5):
        await b.step()
        now[0] += 1
    assert not (ga.remaining() > 0 and gb.remaining() > 0), (
        f"two gates open: {ga.remaining():.0f} s and {gb.remaining():.0f} s"
    )


async def test_a_suspension_that_may_not_stop_its_job_writes_once():
    run = training()
    run["phase"] = "Training"
    run["conditions"].append({"type": "Running", "status": "True", "reason": "Training", "lastTransitionTime": ago(50)})
    cl: Any = InMemory(job_manifest(run, suspend=True), child_job())
    cl.undeletable = api_error(403, "Forbidden", "cannot delete jobs")
    rec = Reconciler(cl, Gatherer(cl, SETTINGS), Recorder(cl), Metrics(), SETTINGS, clock=lambda: NOW)
    for _ in range(3):
        await rec.reconcile(KEY)
    before = len([w for w in cl.writes if w[:2] == ("patch", "FineTuneJob")])
    for _ in range(3):
        await rec.reconcile(KEY)
    after = len([w for w in cl.writes if w[:2] == ("patch", "FineTuneJob")])
    assert after == before, f"{after - before} status writes in 3 passes in which nothing changed"


def test_an_evaluation_that_is_refused_by_now_is_told():
    st = training(evaluation="bot-eval")
    subj = fine_tune_job(st, evaluation={"spec": {"candidates": [BASELINE], "tasks": [TASK]}})
    snap = replace(snapshot(subj), plan=Refusal("Invalid", "spec.x", "the settings no longer allow it"))
    seen = observe(snap, NOW)
    told = conditions(seen)
    assert told["Failed"][0] == "True" or "no longer allow" in message(seen, "Progressing"), (
        told["Progressing"],
        message(seen, "Progressing"),
        seen.requeue_after,
    )
