"""Who holds the accelerators: the pods of every run that the operator may see, and the estimates of their ends."""

from collections.abc import Iterable
from datetime import datetime

from kubetune_api import names

from ..errors import ApiError
from ..observe.occupancy import Holder, Occupancy, holders
from ..observe.timestamps import parse_time
from ..settings import Settings
from .client import Client
from .shared import SharedRead

_FRESH = 30.0
_ASKED = 20


class OccupancyReader:
    """Reads it when a pod waits for an accelerator; what was read serves every run that waits for a while."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._namespaces: list[str | None] = list(settings.namespaces) or [None]
        self._shared = SharedRead(self._read, _FRESH)

    async def read(self) -> Occupancy | None:
        """Return who holds accelerators, or None when pods may not be listed."""
        return await self._shared.get()

    async def _read(self) -> Occupancy:
        mine = {"labelSelector": f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"}
        found: list[Holder] = []
        for namespace in self._namespaces:
            found += holders(await self._client.list("Pod", namespace, **mine))
        return Occupancy(found).ending(await self._ends(found))

    async def _ends(self, found: Iterable[Holder]) -> dict[str, datetime]:
        """Return when the runs should end, by their own estimates; of the first few, for each takes a call."""
        runs = list(dict.fromkeys(each.owner for each in found if each.kind == "FineTuneJob"))
        ends: dict[str, datetime] = {}
        for owner in runs[:_ASKED]:
            namespace, _, name = owner.partition("/")
            try:
                job = await self._client.get("FineTuneJob", namespace, name)
            except ApiError:
                continue
            progress = (job.get("status") or {}).get("progress") or {}
            if text := progress.get("estimatedCompletionTime"):
                ends[owner] = parse_time(text)
        return ends
