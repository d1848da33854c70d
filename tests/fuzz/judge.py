"""Judges many generated objects: in the operator's pure rooms, against a real API server, and with a running operator.

`judged(1000, admit=..., make=...)` is all that a runner needs; `Judgement.figure` says it in one line.
"""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from control_plane import ControlPlane
from kubetune_cli.access import ApiError
from kubetune_operator.cluster.client import PATHS
from kubetune_operator.plan import Refusal

from .oracles import Case, children_or_reason, generated, lives, mended, mutation_shows, stored

JSON = dict[str, Any]
NAMESPACE = "fuzz"
Send = Callable[[JSON], str | None]
"""Sends a manifest to an API server without keeping it; returns why it is not taken, or None."""


@dataclass
class Judgement:
    """What came of many objects."""

    counted: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """What did not hold, with the object that shows it."""
    mutations: int = 0

    @property
    def held(self) -> bool:
        """Whether everything held, and whether enough was looked at for that to mean something."""
        enough = self.counted["objects"] / 10
        return not self.broken and self.counted["rendered"] >= 5 * enough and self.counted["refused"] >= enough

    @property
    def figure(self) -> str:
        """The result in one line."""
        counted = self.counted
        text = (
            f"{counted['objects']} objects: {counted['refused']} refused with a reason, {counted['rendered']} rendered"
            f", {counted['mended']} of them after the refused fields were mended; {self.mutations} fields changed, one "
            f"at a time; {counted['children']} children taken by the API server"
        )
        return f"{text}; {len(self.broken)} broken" + (f", first: {self.broken[0]}" if self.broken else "")


def judged(count: int, first: int = 0, send: Send | None = None) -> Judgement:
    """Judge the objects of `count` seeds; with `send`, objects and children are also sent to an API server."""
    found = Judgement()
    for seed in range(first, first + count):
        case = generated(seed, NAMESPACE)
        try:
            _judge(case, found, send)
        except Exception:  # each one is a finding, and the next object is looked at
            found.broken.append(f"{case}\n{traceback.format_exc(limit=-4)}")
        if (seed - first + 1) % 100 == 0:
            print(f"{seed - first + 1} of {count}: {found.figure}", flush=True)
    return found


def _judge(case: Case, found: Judgement, send: Send | None) -> None:
    found.counted["objects"] += 1
    outcome = _admitted(case, found, send)
    if isinstance(outcome, Refusal):
        found.counted["refused"] += 1
        better = mended(case)
        if better is None:
            found.counted["not mended"] += 1
            return
        found.counted["mended"] += 1
        case = better
        outcome = _admitted(case, found, send)
    assert not isinstance(outcome, Refusal), outcome.message
    found.counted["rendered"] += 1
    for child in outcome if send else []:
        found.counted["children"] += 1
        if problem := send(child) if send else None:
            found.broken.append(f"the API server does not take {child['kind']}: {problem} for {case}")
    manifest, wanted = stored(case), 3
    silent = list(mutation_shows(case, manifest, wanted))
    found.mutations += wanted
    found.broken += silent


def _admitted(case: Case, found: Judgement, send: Send | None) -> list[JSON] | Refusal:
    if send and (problem := send(case.manifest)):
        found.broken.append(f"the API server does not take what its schema allows: {problem} for {case}")
    manifest = stored(case)
    outcome = children_or_reason(case, manifest)
    lives(case, manifest)
    return outcome


def to(plane: ControlPlane) -> Send:
    """Return a function that sends to an API server with dryRun=All, so that admission is all that happens."""
    with contextlib.suppress(ApiError):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        plane.admin.request("POST", "/api/v1/namespaces", namespace)

    def send(manifest: JSON) -> str | None:
        prefix, plural = PATHS[manifest["kind"]]
        path, query = f"{prefix}/namespaces/{NAMESPACE}/{plural}", {"dryRun": "All", "fieldValidation": "Strict"}
        try:
            plane.admin.request("POST", path, manifest, query=query)
        except ApiError as error:
            return str(error)
        return None

    return send
