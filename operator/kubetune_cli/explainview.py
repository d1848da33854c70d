"""An explanation as people read it: the answer first, then what was tried, what to do, and the evidence. Pure."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kubetune_api.scrub import scrub

from .evidence import Evidence, event_time
from .explanation import Explanation
from .figures import duration, moment, seconds_between

Object = dict[str, Any]
_STYLES = {"Succeeded": "bold green", "Failed": "bold red", "Running": "bold cyan"}
_VERBS = {"Succeeded": "over", "Failed": "over", "Running": "running", "Suspended": "suspended", "Unseen": "made"}
_EVENTS = 6
_DETAIL = 300


def view(evidence: Evidence, found: Explanation, now: datetime) -> RenderableType:
    """Return the whole page."""
    parts: list[RenderableType] = [_headline(found, now), Text(""), _answer(found)]
    if found.todo:
        parts += [_title("What you can do"), *(_command(command) for command in found.todo)]
    if attempts := (evidence.run.get("status") or {}).get("attempts"):
        parts += [_title("What was tried"), _attempts(attempts, now)]
    if rows := _conditions(evidence.run, found.message):
        parts += [_title("Conditions"), _grid(rows)]
    if news := _events(evidence, found.message, now):
        parts += [_title("Events"), _grid(news)]
    if evidence.unread:
        parts += [_title("Could not be read"), *(Padding(_text(what), (0, 0, 0, 2)) for what in evidence.unread)]
    return Group(*parts)


def _text(text: str, style: str = "") -> Text:
    return Text(scrub(" ".join(text.split())), style=style)


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _headline(found: Explanation, now: datetime) -> Text:
    metadata, status = found.run["metadata"], found.run.get("status") or {}
    style = _STYLES.get(found.state, "bold yellow")
    line = Text.assemble((metadata["name"], "bold"), "  ", (str(status.get("phase") or "Pending"), style))
    line.append(f"  {found.run.get('kind')} in namespace {metadata.get('namespace', 'default')}", style="dim")
    if found.since is not None:
        took = duration((now - found.since).total_seconds())
        verb = _VERBS.get(found.state, "waiting")
        line.append(f"\n{verb} since {found.since:%Y-%m-%d %H:%M} UTC ({took})", style="dim")
    return line


def _answer(found: Explanation) -> Group:
    style = _STYLES.get(found.state, "bold yellow")
    lines: list[RenderableType] = [Text(found.reason, style=style), _text(found.message)]
    lines += [_text(hint, "yellow" if found.state != "Succeeded" else "") for hint in found.hints]
    return Group(*(Padding(line, (0, 0, 0, 2)) for line in lines))


def _command(command: str) -> Text:
    """A command stays in one line, whatever the width, so that it can be copied."""
    return Text(f"  {command}", style="cyan", no_wrap=True, overflow="ignore")


def _attempts(attempts: list[Object], now: datetime) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for attempt in attempts:
        ended = attempt.get("ended")
        took = seconds_between(attempt.get("started"), ended, now)
        reason = str(attempt.get("reason") or ("runs" if not ended else "ended"))
        good = attempt.get("exitCode") == 0
        style = "green" if good else "cyan" if not ended else "yellow"
        reached = f"at step {attempt['lastStep']}" if attempt.get("lastStep") else ""
        node = f"on {attempt['node']}" if attempt.get("node") else ""
        details = [reached, node, _cut(str(attempt.get("message") or ""))]
        table.add_row(
            Text(f"  {attempt.get('number')}"),
            str(attempt.get("stage")),
            Text(reason, style=style),
            Text(duration(took) if took is not None else "", style="dim"),
            _text("; ".join(filter(None, details)), "dim"),
        )
    return table


def _conditions(run: Object, answer: str) -> list[tuple[Text, str, Text]]:
    """Return a line for each condition that says something; what was said above is not said again."""
    rows, said = [], {answer}
    for entry in (run.get("status") or {}).get("conditions") or []:
        if entry.get("status") == "Unknown" and not entry.get("message"):
            continue
        text = Text(str(entry.get("reason") or ""))
        whole = str(entry.get("message") or "")
        message = "(as above)" if whole and whole in said else _cut(whole)
        said.add(whole)
        text.append("  ").append_text(_text(message, "dim"))
        rows.append((Text(f"  {entry['type']}"), str(entry.get("status")), text))
    return rows


def _events(evidence: Evidence, answer: str, now: datetime) -> list[tuple[Text, str, Text]]:
    """Return the last event of each kind: the same thing said again is said once, and not what the conditions say."""
    last: dict[tuple[str, str], Object] = {}
    conditions = (evidence.run.get("status") or {}).get("conditions") or []
    said = {answer, *(entry.get("message") for entry in conditions)}
    for event in evidence.events:
        if event.get("message") in said:
            continue
        about = event.get("involvedObject") or {}
        key = (str(about.get("kind")), str(event.get("reason")))
        last.pop(key, None)
        last[key] = event
    rows = []
    for (kind, reason), event in list(last.items())[-_EVENTS:]:
        at = moment(event_time(event))
        ago = f"{duration((now - at).total_seconds())} ago" if at is not None else ""
        text = Text(f"{kind} {reason}  ").append_text(_text(_cut(str(event.get("message") or "")), "dim"))
        rows.append((Text("  " + ago, style="dim"), "!" if event.get("type") == "Warning" else " ", text))
    return rows


def _grid(rows: list[tuple[Text, str, Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cut(text: str) -> str:
    """Shorten a text; a credential is taken out first, for half of one may not look like one."""
    text = scrub(text)
    return text if len(text) <= _DETAIL else text[: _DETAIL - 3] + "..."
