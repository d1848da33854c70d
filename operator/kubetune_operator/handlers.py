"""TRIGGER: every watched event puts a key in the queue. Nothing here raises, writes or decides."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from kubetune_api import GROUP, VERSION, names

from .cluster.keys import Key, key_of, owner_key
from .observe.terminal import is_settled
from .telemetry.metrics import Metrics

OURS = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
"""Labels of the Jobs and Pods that are watched."""


class Trigger:
    """Turns what is seen of the cluster into keys of the queue."""

    def __init__(
        self, enqueue: Callable[[Key], None], metrics: Metrics, settled: Callable[[Key], None] = lambda key: None
    ) -> None:
        self._enqueue = enqueue
        self._metrics = metrics
        self._settled = settled

    def see(self, manifest: Mapping[str, Any]) -> None:
        """A FineTuneJob or EvalRun is there: look at it, unless nothing is left to do about it."""
        self._metrics.see_phase(key_of(manifest), (manifest.get("status") or {}).get("phase"))
        if is_settled(manifest):
            self._settled(key_of(manifest))
        else:
            self._enqueue(key_of(manifest))
        self.see_child(manifest)

    def lose(self, manifest: Mapping[str, Any]) -> None:
        """A FineTuneJob or EvalRun is gone."""
        self._metrics.forget(key_of(manifest))
        self._enqueue(key_of(manifest))
        self.see_child(manifest)

    def see_child(self, manifest: Mapping[str, Any]) -> None:
        """A child changed or went: look at its owner."""
        if (owner := owner_key(manifest)) is not None:
            self._enqueue(owner)


Login = Callable[[], Awaitable[kopf.AiohttpSession]]
Post = Callable[[Callable[[Any], None], Any], None]
"""Calls a function with an argument in the thread of the queue."""


def register(registry: kopf.OperatorRegistry, trigger: Trigger, post: Post, login: Login) -> None:
    """Watch both kinds, and the Jobs and Pods made for them."""

    async def on_object(event: Any, body: Any, **_: Any) -> None:
        post(trigger.lose if event["type"] == "DELETED" else trigger.see, body)

    async def on_child(body: Any, **_: Any) -> None:
        post(trigger.see_child, body)

    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return await login()

    for plural in ("finetunejobs", "evalruns"):
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(on_object)
    kopf.on.event("batch", "v1", "jobs", labels=OURS, registry=registry)(on_child)
    kopf.on.event("", "v1", "pods", labels=OURS, registry=registry)(on_child)
    kopf.on.login(registry=registry)(log_in)
