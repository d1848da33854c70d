"""One candidate on one task: rows still missing are run, each is kept as soon as it is known."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune_api.evalrun import Task, TaskType

from ..data.formats import Example
from ..generation.answer_loss import answer_nats
from ..generation.decode import Decoding, generate
from .prompts import Prompter, question, stops_of
from .rows import reference
from .store import Prediction, TaskResult, TaskStore

Step = Callable[[], None]


@dataclass(frozen=True)
class Budget:
    """What a batch may take on the device."""

    batch_tokens: int = 2048
    cache_bytes: int = 2**30


@dataclass(frozen=True)
class Work:
    """A candidate's model on a task."""

    model: Any
    prompter: Prompter
    task: Task
    rows: Sequence[Example]
    positions: int | None
    """positions that the model knows; None when it does not say."""
    budget: Budget


def predict(work: Work, store: TaskStore, on_row: Step, pulse: Step) -> TaskResult:
    """Return the predictions of all rows, in order; those that an earlier attempt kept are not made again.

    Args:
        work: what to run.
        store: where rows are kept.
        on_row: called after each finished row.
        pulse: called between forward passes; what it raises ends the run, with all finished rows kept.
    """
    with store:
        known = store.partial()
        missing = [i for i in range(len(work.rows)) if i not in known]
        began = time.monotonic()

        def keep(prediction: Prediction) -> None:
            known[prediction.index] = prediction
            store.append(prediction)
            on_row()

        try:
            if work.task.type is TaskType.PERPLEXITY:
                _score(work, missing, keep, pulse)
            else:
                _generate(work, missing, keep, pulse)
        finally:
            store.spend(time.monotonic() - began)
        predictions = [known[i] for i in range(len(work.rows))]
        return store.finish(predictions, [_shown(row, work.task) for row in work.rows])


def _score(work: Work, missing: Sequence[int], keep: Callable[[Prediction], None], pulse: Step) -> None:
    texts = [work.prompter.scored(work.rows[i]) for i in missing]
    fitting = []
    for i, text in zip(missing, texts, strict=True):
        if _too_long(work, len(text.prompt) + len(text.answer)):
            keep(Prediction(i, prompt_tokens=len(text.prompt), fits=False))
        else:
            fitting.append((i, text))

    def scored(place: int, nats: float) -> None:
        i, text = fitting[place]
        keep(Prediction(i, nats=nats, scored_tokens=len(text.answer), prompt_tokens=len(text.prompt)))

    fit = [text for _, text in fitting]
    answer_nats(work.model, fit, batch_tokens=work.budget.batch_tokens, on_scored=scored, pulse=pulse)


def _generate(work: Work, missing: Sequence[int], keep: Callable[[Prediction], None], pulse: Step) -> None:
    prompts = [work.prompter.prompt(work.rows[i]) for i in missing]
    fitting = []
    for i, prompt in zip(missing, prompts, strict=True):
        if _too_long(work, len(prompt) + work.task.max_new_tokens):
            keep(Prediction(i, prompt_tokens=len(prompt), fits=False))
        else:
            fitting.append((i, prompt))
    tokenizer = work.prompter.tokenizer

    def finished(place: int, tokens: list[int]) -> None:
        i, prompt = fitting[place]
        text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        keep(Prediction(i, text=text, new_tokens=len(tokens), prompt_tokens=len(prompt)))

    decoding = Decoding(
        max_new_tokens=work.task.max_new_tokens,
        stop_ids=stops_of(work.model, tokenizer),
        cache_bytes=work.budget.cache_bytes,
    )
    generate(work.model, [prompt for _, prompt in fitting], decoding, finished, pulse)


def _too_long(work: Work, tokens: int) -> bool:
    return work.positions is not None and tokens > work.positions


def _shown(row: Example, task: Task) -> Mapping[str, Any]:
    shown = {"file": row.file, "row": row.number, "question": question(row), "reference": reference(row, task)}
    return shown | ({"group": row.group} if row.group else {})
