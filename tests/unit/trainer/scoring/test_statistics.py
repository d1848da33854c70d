"""The statistics: against known values, against scipy, and by their error rates in simulation."""

import numpy as np
import pytest
from scipy import stats

from kubetune_trainer.scoring import bootstrap, proportions
from kubetune_trainer.scoring.holm import holm
from kubetune_trainer.scoring.measure import mean_measure


def test_wilson_interval_matches_scipy() -> None:
    for hits, n in ((0, 10), (3, 10), (10, 10), (81, 263)):
        expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert proportions.wilson_interval(hits, n, 0.05) == pytest.approx((expected.low, expected.high))


def test_mcnemar_counts_only_discordant_pairs() -> None:
    assert proportions.mcnemar_p(0, 0) == 1.0
    assert proportions.mcnemar_p(5, 0) == pytest.approx(2 / 32)
    assert proportions.mcnemar_p(10, 3) == proportions.mcnemar_p(3, 10)


def test_tango_interval_without_discordant_pairs_still_has_width() -> None:
    low, high = proportions.tango_interval(0, 0, 44, 0.05)
    z = stats.norm.ppf(0.975)
    assert (-low, high) == pytest.approx((z**2 / (44 + z**2),) * 2, abs=1e-6)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 9, 54), (3, 0, 44), (1, 0, 30), (16, 4, 20), (40, 0, 40)])
def test_tango_interval_inverts_its_test(gained: int, lost: int, n: int) -> None:
    low, high = proportions.tango_interval(gained, lost, n, 0.05)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert proportions.tango_p_above(gained, lost, n, low) == pytest.approx(0.05, abs=1e-4)
    assert proportions.tango_interval(lost, gained, n, 0.05) == pytest.approx((-high, -low), abs=1e-6)


def test_holm_matches_the_step_down_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_bootstrap_of_a_mean_agrees_with_the_t_interval() -> None:
    sample = np.random.default_rng(0).normal(3, 2, size=40)
    draws = bootstrap.paired_draws({("a", "m"): mean_measure("m", list(sample))}, [None] * 40, resamples=20_000, seed=1)
    expected = stats.t.interval(0.95, 39, sample.mean(), stats.sem(sample))
    assert bootstrap.interval(draws.values["a", "m"], 40, 0.05) == pytest.approx(expected, abs=0.06)


def test_bootstrap_resamples_groups_not_rows() -> None:
    scores = [1.0] * 50 + [0.0] * 50
    measure = {("a", "m"): mean_measure("m", scores)}
    grouped = bootstrap.paired_draws(measure, ["x"] * 50 + ["y"] * 50, resamples=2000, seed=1)
    alone = bootstrap.paired_draws(measure, [None] * 100, resamples=2000, seed=1)
    assert grouped.clusters == 2
    assert np.std(grouped.values["a", "m"]) > 5 * np.std(alone.values["a", "m"])


def test_bootstrap_is_reproducible_and_independent_of_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = {("a", "m"): mean_measure("m", [0.1, 0.5, 0.9, 0.3])}
    whole = bootstrap.paired_draws(measure, [None] * 4, resamples=500, seed=9).values["a", "m"]
    monkeypatch.setattr(bootstrap, "_CELLS_AT_A_TIME", 40)
    assert np.array_equal(bootstrap.paired_draws(measure, [None] * 4, resamples=500, seed=9).values["a", "m"], whole)


def test_p_value_is_never_below_what_the_resamples_can_show() -> None:
    assert bootstrap.p_differs(np.ones(999), clusters=10_000) == pytest.approx(2 / 1000, rel=0.01)
    assert bootstrap.p_differs(np.zeros(999), clusters=50) == 1.0
    assert bootstrap.p_above(np.ones(999), 0.0, clusters=1) == 1.0


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(3)
    for shift in np.linspace(0, 1, 21):
        draws = rng.normal(shift, 0.3, size=4000)
        low, _ = bootstrap.interval(draws, 25, 0.05)
        p_value = bootstrap.p_above(draws, 0.0, 25)
        assert (low > 0) == (p_value < 0.05) or abs(p_value - 0.05) < 0.005


def _differences(runs: int, n: int, shift: float, seed: int) -> np.ndarray:
    """Row differences of `runs` simulated comparisons, skewed as scores are."""
    rng = np.random.default_rng(seed)
    return rng.beta(0.6, 1.2, (runs, n)) - rng.beta(0.6, 1.2, (runs, n)) + shift


@pytest.mark.parametrize("n", [12, 60])
def test_equal_candidates_differ_falsely_at_most_alpha(n: int) -> None:
    """A/A over 1,000 seeds; the same weights serve all runs, which changes nothing for each one alone."""
    rows = _differences(1000, n, 0.0, seed=n)
    (weights,) = bootstrap._weights(n, 2000, seed=4)
    draws = rows @ weights.T / n
    false_alarms = np.mean([bootstrap.p_differs(draw, n) <= 0.05 for draw in draws])
    assert false_alarms <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)
    passed_gate = np.mean([bootstrap.p_above(draw, 0.0, n) <= 0.05 for draw in draws])
    assert passed_gate <= 0.05


def test_right_or_wrong_answers_differ_falsely_at_most_alpha() -> None:
    rng = np.random.default_rng(8)
    n, false_alarms, inferior_passed = 40, 0, 0
    for _ in range(1000):
        ours, theirs = rng.random(n) < 0.4, rng.random(n) < 0.4
        gained, lost = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
        false_alarms += proportions.mcnemar_p(gained, lost) <= 0.05
        worse = rng.random(n) < 0.3
        gained, lost = int(np.sum(worse & ~theirs)), int(np.sum(theirs & ~worse))
        inferior_passed += proportions.tango_p_above(gained, lost, n, -0.1) <= 0.05
    assert false_alarms <= 50
    assert inferior_passed <= 50


def test_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    n = 40
    (weights,) = bootstrap._weights(n, 2000, seed=4)
    spread = _differences(1, n, 0.0, seed=1)[0] @ weights.T / n
    effect = bootstrap.minimum_detectable(spread, n, 0.05)
    assert effect is not None
    truth = float(np.std(_differences(1, 100_000, 0.0, seed=2)))
    assert effect == pytest.approx(2.89 * truth / np.sqrt(n), rel=0.25)
    draws = _differences(500, n, effect, seed=6) @ weights.T / n
    assert 0.6 <= np.mean([bootstrap.p_differs(draw, n) <= 0.05 for draw in draws]) <= 0.95


def test_no_spread_gives_no_detectable_effect() -> None:
    assert bootstrap.minimum_detectable(np.zeros(100), 20, 0.05) is None
