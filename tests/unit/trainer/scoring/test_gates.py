"""Gates and the verdict say what the rows show, and no more."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kubetune_api.evalrun import Examples, Gate, Prompt
from kubetune_api.model import DataSource, ModelSource
from kubetune_api.run import RunCandidate
from kubetune_trainer.scoring.compare import MetricComparison, adjust, compare_task
from kubetune_trainer.scoring.gates import gate_problem, judge_gates
from kubetune_trainer.scoring.measure import mean_measure
from kubetune_trainer.scoring.perplexity import perplexity_measures
from kubetune_trainer.scoring.verdict import choose_challenger, write_verdict

BASE = ModelSource(uri="file:///models/base")
SHOTS = Prompt(examples=Examples(count=5, source=DataSource(uri="file:///data/train.jsonl")))
CANDIDATES = [
    RunCandidate(name="base", baseline=True, model=BASE),
    RunCandidate(name="base-5-shot", model=BASE, prompt=SHOTS),
    RunCandidate(name="tuned", model=BASE, adapter="file:///ws/artifacts/adapter"),
]
PAIRS = [("tuned", "base"), ("tuned", "base-5-shot"), ("base-5-shot", "base")]


def compared(
    scores: dict[str, Sequence[float]], groups: Sequence[Any] | None = None, binary: bool = False
) -> MetricComparison:
    measures = {name: [mean_measure("rougeL", list(row), binary=binary)] for name, row in scores.items()}
    pairs = [pair for pair in PAIRS if set(pair) <= set(scores)]
    rows = groups if groups is not None else [None] * len(next(iter(scores.values())))
    return adjust(compare_task("clauses", measures, rows, pairs, alpha=0.05, resamples=2000, seed=1))[0]


def scores(n: int = 60, shift: float = 0.0, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).beta(2, 3, n) * 0.8 + shift)


def judged(gate: dict[str, str], comparison: MetricComparison) -> Any:
    gates = [Gate(name="g", metric="clauses/rougeL", **gate)]
    found = judge_gates(gates, {"clauses/rougeL": comparison}, challenger="tuned", baseline="base", alpha=0.05)
    return found[0]


def test_improves_by_needs_the_interval_beyond_the_margin() -> None:
    comparison = compared({"base": scores(), "tuned": [s + 0.1 for s in scores()]})
    assert judged({"improves_by": "0.05"}, comparison).passed is True
    assert judged({"improves_by": "0.2"}, comparison).passed is False
    noisy = compared({"base": scores(), "tuned": scores(seed=1, shift=0.03)})
    assert noisy.differences[0].delta > 0.0
    assert judged({"improves_by": "0"}, noisy).passed is False


def test_regresses_at_most_is_a_non_inferiority_test() -> None:
    noisy = compared({"base": scores(12), "tuned": scores(12, seed=1)})
    assert noisy.differences[0].p_value > 0.05, "no difference is shown"
    assert judged({"regresses_at_most": "0.02"}, noisy).passed is False, "but that does not prove there is none"
    steady = compared({"base": scores(), "tuned": [s - 0.005 for s in scores()]})
    assert judged({"regresses_at_most": "0.02"}, steady).passed is True


def test_equal_right_or_wrong_answers_do_not_prove_non_inferiority_on_few_rows() -> None:
    rights = [1.0, 0.0] * 10
    comparison = compared({"base": rights, "tuned": rights}, binary=True)
    assert judged({"regresses_at_most": "0.05"}, comparison).passed is False
    assert judged({"regresses_at_most": "0.3"}, comparison).passed is True


def test_thresholds_look_at_the_value_and_say_when_it_may_be_luck() -> None:
    comparison = compared({"base": scores(), "tuned": scores(shift=0.1)})
    value = comparison.estimates["tuned"].value
    assert judged({"at_least": f"{value - 0.001:.6f}"}, comparison).passed is True
    assert "may be luck" in judged({"at_least": f"{value - 0.001:.6f}"}, comparison).message
    assert "may be luck" not in judged({"at_most": "0.9"}, comparison).message
    assert judged({"at_most": "0.1"}, comparison).passed is False


def test_too_few_examples_leave_a_gate_undecided() -> None:
    comparison = compared({"base": scores(9), "tuned": scores(9, shift=0.5)})
    result = judged({"improves_by": "0.1"}, comparison)
    assert result.passed is None
    assert "9 independent examples" in result.message


def test_rows_of_one_document_are_not_independent_examples() -> None:
    groups = [i // 10 for i in range(60)]
    comparison = compared({"base": scores(), "tuned": scores(shift=0.5)}, groups)
    assert comparison.clusters == 6
    assert judged({"improves_by": "0.1"}, comparison).passed is None


def test_lower_perplexity_is_an_improvement() -> None:
    texts, tokens = ["answer"] * 40, [20] * 40
    nats = np.random.default_rng(0).normal(50, 5, 40)
    measures = {"base": perplexity_measures(list(nats), tokens, texts)}
    measures["tuned"] = perplexity_measures(list(nats - 15), tokens, texts)
    found = compare_task("ppl", measures, [None] * 40, [("tuned", "base")], alpha=0.05, resamples=2000, seed=1)
    asked = [{"improves_by": "3"}, {"at_most": "6"}]
    gates = [Gate(name=f"g{i}", metric="ppl/perplexity", **gate) for i, gate in enumerate(asked)]
    results = judge_gates(gates, {f"ppl/{c.metric}": c for c in found}, challenger="tuned", baseline="base", alpha=0.05)
    assert [r.passed for r in results] == [True, True]
    assert found[0].differences[0].high < 0


def test_gates_share_alpha() -> None:
    close = compared({"base": scores(), "tuned": scores(seed=1, shift=0.12)})
    assert 0.0125 < close.gain_p("tuned", "base", 0.05) < 0.05
    one = judged({"improves_by": "0.05"}, close)
    gates = [Gate(name=f"g{i}", metric="clauses/rougeL", improves_by="0.05") for i in range(4)]
    four = judge_gates(gates, {"clauses/rougeL": close}, challenger="tuned", baseline="base", alpha=0.05)
    assert (one.passed, [r.passed for r in four]) == (True, [False] * 4)
    assert "Holm over 4 gates" in four[0].message


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "a/rougel"}, "gates[g].metric: no metric 'a/rougel' in this run; did you mean 'clauses/rougeL'?"),
        ({"candidate": "tunde"}, "gates[g].candidate: no candidate 'tunde'; there are base, tuned"),
        ({"candidate": "base"}, "gates[g]: candidate and versus are both 'base'"),
    ],
)
def test_a_gate_that_cannot_be_is_told(gate: dict[str, str], message: str) -> None:
    asked = Gate(**({"name": "g", "metric": "clauses/rougeL", "improves_by": "0.1"} | gate))
    assert gate_problem(asked, ["clauses/rougeL"], ["base", "tuned"], "tuned", "base") == message


def test_the_challenger_is_the_tuned_one() -> None:
    assert choose_challenger(CANDIDATES) == "tuned"
    renamed = [CANDIDATES[2].model_copy(update={"name": "mine"}), *CANDIDATES[:2]]
    assert choose_challenger(renamed) == "mine"
    assert choose_challenger(CANDIDATES[:1]) is None


def verdict(rows: dict[str, Sequence[float]], **options: Any) -> str:
    candidates = [c for c in CANDIDATES if c.name in rows]
    return write_verdict([compared(rows, **options)], candidates, choose_challenger(candidates), 0.05)


def test_the_verdict_says_better_only_when_better_than_every_rival() -> None:
    base = scores()
    best = verdict({"base": base, "base-5-shot": [s + 0.1 for s in base], "tuned": [s + 0.3 for s in base]})
    assert best.startswith("Tuning is better than prompting here: rougeL ")
    assert "of base-5-shot (+0.200, 95 % interval " in best
    assert "p = 0.00" in best
    even = verdict({"base": base, "base-5-shot": scores(seed=2, shift=0.3), "tuned": scores(seed=3, shift=0.3)})
    assert even.startswith("No difference between tuning and prompting is shown")
    assert "or more would be found with so few" in even


def test_the_verdict_says_worse_when_worse() -> None:
    base = scores()
    text = verdict({"base": base, "base-5-shot": base, "tuned": [s - 0.2 for s in base]})
    assert text.startswith("Tuning is worse than prompting here: ")


def test_the_verdict_admits_too_few_examples() -> None:
    text = verdict({"base": scores(8), "tuned": scores(8, shift=0.6)})
    assert text.startswith("Too few independent examples to tell (8 in clauses; at least 10 are needed): ")


def test_the_verdict_of_metrics_that_disagree_is_mixed() -> None:
    base = scores()
    good = compared({"base": base, "tuned": [s + 0.2 for s in base]})
    bad = compared({"base": base, "tuned": [s - 0.2 for s in base]})
    candidates = [CANDIDATES[0], CANDIDATES[2]]
    text = write_verdict([good, bad], candidates, "tuned", 0.05)
    assert text.startswith("Tuning against the base model is a mixed result: better in rougeL ")
    assert "; worse in rougeL " in text


def test_a_lone_candidate_gets_its_values() -> None:
    text = write_verdict([compared({"base": scores()})], CANDIDATES[:1], None, 0.05)
    assert text.startswith("Only base was evaluated: rougeL 0.")
