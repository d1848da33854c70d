"""Quantities and durations as Kubernetes and people write them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from kubetune_api.fields import duration_seconds, quantity_value
from kubetune_api.resources import Resources


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", "8"), ("500m", "0.5"), ("1.5", "1.5"), ("64Gi", str(64 * 2**30)), ("1k", "1000"), ("2T", str(2 * 10**12))],
)
def test_quantity_is_a_number_of_its_unit(text: str, value: str) -> None:
    assert quantity_value(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "8 GB", "Gi", "-1", "1e3", "64gi"])
def test_what_is_no_quantity_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity; write for example 8, 500m or 64Gi"):
        quantity_value(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("24h", 86400), ("1d12h", 129600), ("2m30s", 150), ("1d", 86400)]
)
def test_duration_is_a_number_of_seconds(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "1h1d", "1.5h", "-1h"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write for example 90s, 24h or 1d12h"):
        duration_seconds(text)


def test_cores_may_be_written_as_a_number() -> None:
    assert Resources.model_validate({"cpu": 8}).cpu == "8"
    with pytest.raises(ValidationError):
        Resources.model_validate({"cpu": True})
