"""Real kubectl: the same session in each world, compared with what was recorded and with the other worlds."""

import difflib

import pytest

from cluster.harness.worlds import World
from cluster.kubectl.transcript import SESSION, Player, commands
from kubetune_api.crdgen import KINDS, custom_resource_definition

Recordings = dict[tuple[str, str], str]
OURS = [
    "kubectl api-resources --api-group=kubetune.io -o wide",
    "kubectl explain finetunejob",
    "kubectl explain finetunejob.spec.training",
    "kubectl explain finetunejob --recursive",
    "kubectl explain evalrun.spec.gates",
    "kubectl explain ftj.status.progress",
    "kubectl explain job.spec.template.spec",
    "kubectl explain persistentvolumeclaims --recursive",
    "kubectl get ftj,evr -n default",
]


def difference(expected: str, found: str) -> str:
    """Return both as a readable difference."""
    return "\n".join(difflib.unified_diff(expected.splitlines(), found.splitlines(), "recorded", "found", lineterm=""))


def same_elsewhere(what: str, world: World, text: str, recordings: Recordings) -> None:
    """Compare with the worlds that were here before."""
    recordings[what, world.name] = text
    for (other, name), recorded in recordings.items():
        if other == what:
            assert text == recorded, f"{world.name} differs from {name}:\n{difference(recorded, text)}"


def test_a_session_prints_what_was_recorded(world: World, player: Player, recordings: Recordings) -> None:
    recorded = SESSION.read_text()
    assert len(commands(recorded)) > 100
    found = player.play(recorded)
    assert found == recorded, f"{world.name}:\n{difference(recorded, found)}"
    same_elsewhere("session", world, found, recordings)


@pytest.mark.parametrize("command", OURS)
def test_tells_the_same_of_our_kinds_in_all_worlds(
    command: str, world: World, player: Player, recordings: Recordings
) -> None:
    found = player.run(command)
    assert "[exit " not in found, found
    same_elsewhere(command, world, found, recordings)


def test_explains_every_field_of_training_with_its_description(player: Player) -> None:
    (kind,) = [kind for kind in KINDS if kind.__name__ == "FineTuneJob"]
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = schema["properties"]["spec"]["properties"]["training"]["properties"]
    words = " ".join(player.run("kubectl explain finetunejob.spec.training").split())
    for name, field in fields.items():
        assert f" {name} <" in words
        assert " ".join(field["description"].split()) in words
