"""Figures as people read them."""

import pytest

from kubetune_cli import figures


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.21374", "0.214"),
        ("7.4123", "7.41"),
        ("25.113", "25.1"),
        ("1234.5", "1,234"),
        ("-0.5", "−0.500"),
        ("n/a", "n/a"),
    ],
)
def test_numbers_have_three_telling_digits(text: str, shown: str) -> None:
    assert figures.number(text) == shown


def test_intervals_have_the_digits_of_their_value() -> None:
    assert figures.interval(["8.9", "10.34"], "9.4") == "[8.90, 10.34]"


@pytest.mark.parametrize(("seconds", "shown"), [(4.6, "5s"), (250, "4m10s"), (11100, "3h05m"), (-3, "0s")])
def test_durations(seconds: float, shown: str) -> None:
    assert figures.duration(seconds) == shown


def test_p_values_below_a_thousandth_are_not_spelled_out() -> None:
    assert figures.p_value("0.0002") == "p < 0.001"
    assert figures.p_value("0.0211") == "p = 0.021"


def test_a_sparkline_falls_as_its_values_do() -> None:
    assert figures.sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == "█▇▆▅▄▃▂▁"
    assert figures.sparkline(list(range(100)), 4) == "▁▃▆█"
    assert figures.sparkline([2, 2], 8) == "▁▁"
    assert figures.sparkline([], 8) == ""


def test_differences_carry_their_sign() -> None:
    assert (figures.signed("0.11"), figures.signed("-4.1")) == ("+0.110", "−4.10")
