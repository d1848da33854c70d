"""The run reports in pods' logs, read no more often than progress is written, and once more at the end."""

import time
from collections.abc import Sequence

from ..errors import ApiError
from ..observe import Reports
from ..observe.pods import PodView
from ..observe.reports import read_reports
from ..plan.plan import CONTAINER
from .client import Client
from .keys import Key

_TAIL = 200


class LogReader:
    """Reads the tail of each pod's log, and keeps the last report of each type."""

    def __init__(self, client: Client, interval: float) -> None:
        self._client = client
        self._interval = interval
        self._reports: dict[Key, dict[str, Reports]] = {}
        self._read_at: dict[Key, dict[str, float]] = {}

    def forget(self, key: Key) -> None:
        """Drop what is known of a run that is over or gone."""
        self._reports.pop(key, None)
        self._read_at.pop(key, None)

    async def read(self, key: Key, pods: Sequence[PodView], look: bool = False) -> dict[str, Reports]:
        """Return the reports of each pod that has run; one that has just started has nothing to say to a mere look."""
        known, read_at = self._reports.get(key, {}), self._read_at.get(key, {})
        fresh: dict[str, Reports] = {}
        for pod in pods:
            report = known.get(pod.name)
            starts = look and not pod.ended and pod.uid not in read_at
            if not starts and self._is_due(pod, report, read_at.get(pod.uid)):
                report = read_reports(await self._tail(key, pod), report)
                read_at[pod.uid] = time.monotonic()
            if report is not None:
                fresh[pod.name] = report
        living = {pod.uid for pod in pods if not pod.ended}
        self._read_at[key] = {uid: moment for uid, moment in read_at.items() if uid in living}
        self._reports[key] = fresh
        return fresh

    def _is_due(self, pod: PodView, report: Reports | None, read_at: float | None) -> bool:
        """A pod that ended is read once more; a log that could not be read then is left at what was known."""
        if pod.started is None:
            return False
        if pod.ended:
            return report is None or (report.final is None and read_at is not None)
        return read_at is None or time.monotonic() - read_at >= self._interval

    async def _tail(self, key: Key, pod: PodView) -> list[str]:
        """Return the last lines; none when the log is gone: the termination message says the most important."""
        try:
            return (await self._client.log(key.namespace, pod.name, CONTAINER, _TAIL)).splitlines()
        except ApiError:
            return []
