"""The one status patch: on change only, onto the version that was read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_operator.cluster.keys import Key
from kubetune_operator.cluster.publish import merge_patch, publish
from kubetune_operator.errors import ApiUnreachable
from unit.operator.builders import job_manifest
from unit.operator.cluster_in_memory import InMemory, merged

KEY = Key("FineTuneJob", "team", "bot")


class Patches:
    """A client that keeps the patches."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def merge(self, *call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {}


leaves = st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
inner = st.dictionaries(st.sampled_from("abc"), leaves | st.dictionaries(st.sampled_from("ab"), leaves))
objects = st.dictionaries(st.sampled_from("abcd"), leaves | inner)


@given(objects, objects)
def test_the_patch_makes_the_new_document_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, merge_patch(old, new)) == new


@given(objects)
def test_nothing_changed_is_an_empty_patch(document: dict[str, Any]) -> None:
    assert merge_patch(document, document) == {}


async def test_an_unchanged_status_is_not_written() -> None:
    client = Patches()
    status = FineTuneJobStatus(phase="Training")
    assert await publish(client, KEY, job_manifest({"phase": "Training", "conditions": []}), status) is None  # type: ignore[arg-type]
    assert client.calls == []


async def test_a_changed_status_is_written_onto_the_version_that_was_read() -> None:
    client = Patches()
    manifest = job_manifest({"phase": "Training", "verdict": "old", "conditions": []})
    await publish(client, KEY, manifest, FineTuneJobStatus(phase="Succeeded"))  # type: ignore[arg-type]
    patch = {"metadata": {"resourceVersion": "7"}, "status": {"phase": "Succeeded", "verdict": None}}
    assert client.calls == [("FineTuneJob", "team", "bot", patch, "status")]


@pytest.mark.parametrize("status", [{}, None])
async def test_a_first_status_is_written_whole(status: dict[str, Any] | None) -> None:
    client = Patches()
    await publish(client, KEY, job_manifest(status), FineTuneJobStatus(phase="Pending"))  # type: ignore[arg-type]
    assert client.calls[0][3]["status"] == {"phase": "Pending", "conditions": []}


@pytest.mark.parametrize("landed", [True, False])
async def test_a_patch_without_an_answer_counts_when_it_is_found_to_have_landed(landed: bool) -> None:
    client: Any = InMemory(job_manifest({"phase": "Training", "conditions": []}))
    manifest = await client.get("FineTuneJob", "team", "bot")

    async def unanswered(*call: Any) -> dict[str, Any]:
        if landed:
            await InMemory.merge(client, *call)
        raise ApiUnreachable("the answer was lost")

    client.merge = unanswered
    if not landed:
        with pytest.raises(ApiUnreachable):
            await publish(client, KEY, manifest, FineTuneJobStatus(phase="Succeeded"))
        return
    stored = await publish(client, KEY, manifest, FineTuneJobStatus(phase="Succeeded"))
    assert stored is not None
    assert stored["status"]["phase"] == "Succeeded"
    assert stored["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]
