"""Generated objects: what the schema allows is rendered or refused with a reason, and no field is without effect.

`make test` looks at the first 100; `make fuzz`, and `make chaos SCENARIO=R13`, at 1,000, each sent through the
admission of a real API server too, and the first 200 to an operator that runs.
An object is told by its seed: `FUZZ=1 FUZZ_SEED=417 make fuzz` looks at that one alone.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from control_plane import ControlPlane
from fuzz.generate import Generator, at, changed, leaves
from fuzz.judge import judged, to
from fuzz.live import run_live
from fuzz.oracles import SCHEMAS, SETTINGS, Case, generated, mended, mutation_shows, stored
from kubetune_cli.structural import mistakes
from kubetune_operator.plan import Refusal
from kubetune_operator.render import render

FIRST = int(os.environ.get("FUZZ_SEED", "0"))
LIVE = 200


@pytest.mark.slice_only
def test_the_first_100_are_rendered_or_refused_with_a_reason() -> None:
    found = judged(100)
    assert found.held, "\n\n".join([found.figure, *found.broken])


@pytest.mark.through_server
@pytest.mark.timeout(1800)
def test_many_through_the_admission_of_an_api_server(
    plane: ControlPlane, count: int, figure: Callable[[str], None]
) -> None:
    found = judged(count, FIRST, to(plane))
    figure(found.figure)
    assert not found.broken, "\n\n".join([found.figure, *found.broken])


@pytest.mark.through_server
@pytest.mark.timeout(900)
def test_a_running_operator_makes_a_job_or_says_why_not(
    plane: ControlPlane, count: int, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    to(plane)
    live = min(count, LIVE)
    broken = run_live(plane, tmp_path, live, FIRST)
    figure(f"{live} objects met a running operator, the refused ones twice; {len(broken)} broken")
    assert not broken, "\n\n".join(broken)


def test_a_seed_tells_an_object() -> None:
    assert generated(417).manifest == generated(417).manifest
    assert generated(417).manifest != generated(418).manifest


def test_generated_values_keep_the_schema() -> None:
    for seed in range(20):
        case = generated(seed)
        assert mistakes(case.manifest, SCHEMAS[case.kind]) == []


def test_a_text_matches_its_pattern_and_bounds() -> None:
    draw = Generator(1)
    schema = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z])?$", "minLength": 3, "maxLength": 5}
    texts = {draw.value(schema) for _ in range(50)}
    assert len(texts) > 20
    assert all(3 <= len(text) <= 5 for text in texts)


def test_what_is_refused_can_be_mended() -> None:
    refused = [case for case in map(generated, range(30)) if isinstance(render(stored(case), SETTINGS), Refusal)]
    assert len(refused) > 10
    better = [mended(case) for case in refused]
    assert sum(one is not None for one in better) >= 0.9 * len(refused)


def test_a_field_without_effect_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle can fail: an operator that renders nothing of a spec has every field found."""
    case = next(one for one in map(generated, range(60)) if not isinstance(render(stored(one), SETTINGS), Refusal))
    monkeypatch.setattr("fuzz.oracles.render", lambda manifest, settings: [])
    monkeypatch.setattr("fuzz.oracles._acts", lambda manifest: [])
    assert list(mutation_shows(Case(3, case.manifest), stored(case), times=20))


def test_a_place_is_found_and_changed() -> None:
    schema = {"properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "integer"}}}}}}
    value = {"a": [{"b": 1}, {"b": 2}]}
    assert [path for path, _ in leaves(value, schema)] == [("a", 0, "b"), ("a", 1, "b")]
    assert at(changed(value, ("a", 1, "b"), 7), ("a", 1, "b")) == 7
    assert value["a"][1]["b"] == 2
