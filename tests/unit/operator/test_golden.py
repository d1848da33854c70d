"""Golden pairs: an object and everything that is made of it, compared exactly."""

from pathlib import Path

import pytest

from golden.regenerate import children, pairs


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=pair[0].stem) for pair in pairs()])
def test_an_object_becomes_exactly_these_children(source: Path, target: Path) -> None:
    assert children(source) == target.read_text(), "meant to be? python tests/golden/regenerate.py"


def test_both_kinds_have_a_golden_pair() -> None:
    assert {source.stem for source, _ in pairs()} >= {"finetunejob", "evalrun"}
