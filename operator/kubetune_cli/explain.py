"""`kubetune explain NAME`: what a run does or waits for, since when, what was tried, and what to do."""

import json
from datetime import UTC, datetime
from typing import Any

from kubetune_api.scrub import scrub_document

from .access import KIND_NAMES, Cluster
from .errors import ExitCode
from .evidence import Evidence, Reader, event_time
from .explanation import Explanation, explain

_EVENTS = 8


def run_explain(cluster: Cluster, name: str, *, kind: str | None = None, output: str = "text") -> ExitCode:
    """Print why a run is where it is."""
    run = cluster.get(KIND_NAMES[kind.lower()], name) if kind else cluster.find(name)
    now = datetime.now(UTC)
    evidence = Reader(cluster).read(run)
    found = explain(evidence, now)
    if output == "json":
        print(json.dumps(as_document(evidence, found, now), indent=2, ensure_ascii=False))
        return ExitCode.DONE
    from rich.console import Console

    from .explainview import view

    Console(highlight=False).print(view(evidence, found, now))
    return ExitCode.DONE


def as_document(evidence: Evidence, found: Explanation, now: datetime) -> dict[str, Any]:
    """Return the explanation as a JSON document."""
    run, status = evidence.run, evidence.run.get("status") or {}
    wait = found.wait
    document = {
        "kind": run.get("kind"),
        "name": run["metadata"]["name"],
        "namespace": run["metadata"].get("namespace"),
        "phase": status.get("phase"),
        "state": found.state,
        "reason": found.reason,
        "message": found.message,
        "cause": wait.cause or None if wait else None,
        "hopeless": wait.hopeless if wait else False,
        "since": found.since.isoformat() if found.since else None,
        "seconds": round((now - found.since).total_seconds()) if found.since else None,
        "freeAt": wait.ends.isoformat() if wait and wait.ends else None,
        "hints": found.hints,
        "todo": found.todo,
        "attempts": status.get("attempts") or [],
        "conditions": status.get("conditions") or [],
        "events": [_event(event) for event in evidence.events[-_EVENTS:]],
        "unread": evidence.unread,
    }
    return scrub_document(document)


def _event(event: dict[str, Any]) -> dict[str, Any]:
    about = event.get("involvedObject") or {}
    return {
        "at": event_time(event),
        "about": f"{about.get('kind')}/{about.get('name')}",
        "reason": event.get("reason"),
        "message": event.get("message"),
        "count": event.get("count") or 1,
    }
