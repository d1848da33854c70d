"""Which rows people are shown: the biggest gains and losses, the answers that changed most, and some drawn by lot."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from random import Random
from typing import Any

from ..evaluation.outcome import TaskOutcome
from ..evaluation.prompts import question
from ..evaluation.rows import reference
from ..scoring.measure import FloatArray

EACH = 3
"""Samples of each sort."""
MOST_CHARACTERS = 1200
"""Longer texts are cut in the middle: the report stays small, whatever a model writes."""
_COMPARED_CHARACTERS = 400


@dataclass(frozen=True)
class Pick:
    """A row to show, and why."""

    index: int
    sort: str


def task_samples(outcome: TaskOutcome, challenger: str | None, baseline: str, seed: int) -> list[dict[str, Any]]:
    """Return the samples of a task, each row once, in the order that people read them."""
    scores = _row_scores(outcome)
    return [_sample(outcome, pick, scores) for pick in _picks(outcome, scores, challenger, baseline, seed)]


def _row_scores(outcome: TaskOutcome) -> dict[str, FloatArray]:
    measures = outcome.comparison(outcome.main).measures
    return {name: measure.row_scores for name, measure in measures.items() if measure.row_scores is not None}


def _picks(
    outcome: TaskOutcome, scores: dict[str, FloatArray], challenger: str | None, baseline: str, seed: int
) -> list[Pick]:
    rows = range(len(outcome.rows))
    lot = Random(seed).sample(rows, len(rows))
    rivals = [name for name in scores if name != challenger]
    if challenger not in scores or not rivals:
        return [Pick(index, "drawn") for index in lot[:EACH]]
    sign = outcome.comparison(outcome.main).sign()
    gains = [sign * scores[challenger][i] - max(sign * scores[name][i] for name in rivals) for i in rows]
    orders = {
        "gain": _ranked(rows, lambda i: gains[i], lambda i: gains[i] > 0),
        "loss": _ranked(rows, lambda i: -gains[i], lambda i: gains[i] < 0),
        "changed": _changed(outcome, challenger, baseline),
        "drawn": lot,
    }
    taken: set[int] = set()
    picks = []
    for sort, order in orders.items():
        chosen = [i for i in order if i not in taken][:EACH]
        taken.update(chosen)
        picks += [Pick(i, sort) for i in chosen]
    return picks


def _ranked(rows: Iterable[int], value: Callable[[int], float], fits: Callable[[int], bool]) -> list[int]:
    return sorted((i for i in rows if fits(i)), key=lambda i: -value(i))


def _changed(outcome: TaskOutcome, challenger: str, baseline: str) -> list[int]:
    """Return the rows whose answer differs from the baseline's, most different first."""
    ours, theirs = outcome.predictions[challenger], outcome.predictions[baseline]
    pairs = [(a.text, b.text) for a, b in zip(ours, theirs, strict=True)]
    likeness = {i: _likeness(a, b) for i, (a, b) in enumerate(pairs) if a is not None and b is not None and a != b}
    return sorted(likeness, key=lambda i: likeness[i])


def _likeness(left: str, right: str) -> float:
    return SequenceMatcher(None, left[:_COMPARED_CHARACTERS], right[:_COMPARED_CHARACTERS], autojunk=False).ratio()


def _sample(outcome: TaskOutcome, pick: Pick, scores: dict[str, FloatArray]) -> dict[str, Any]:
    row = outcome.rows[pick.index]
    answers = []
    for name, listed in outcome.predictions.items():
        prediction = listed[pick.index]
        answer: dict[str, Any] = {"candidate": name}
        if prediction.text is not None:
            answer["text"] = shortened(prediction.text)
            answer["cut"] = 0 < outcome.task.max_new_tokens <= prediction.new_tokens
        if name in scores:
            answer["score"] = float(scores[name][pick.index])
        answers.append(answer)
    return {
        "sort": pick.sort,
        "file": row.file,
        "row": row.number,
        "group": row.group,
        "question": shortened(question(row)),
        "reference": shortened(reference(row, outcome.task)),
        "answers": answers,
    }


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the text, its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def sorts_present(samples: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sorts among the samples, in their order."""
    return list(dict.fromkeys(sample["sort"] for sample in samples))
