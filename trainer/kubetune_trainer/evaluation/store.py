"""Predictions on disk: appended as they come, renamed into place when a (candidate, task) is complete.

<report>/predictions/<task>.<candidate>.jsonl   one line a row, complete
<report>/state/<task>.<candidate>.done.json     what it was made with
<report>/state/<task>.<candidate>.jsonl         lines so far; the first one says what they are made with
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..engine.durable import write_text
from ..paths import make_folder

#: How files with answers are encoded: a model may write half of a surrogate pair.
ANSWERS = "surrogatepass"


@dataclass(frozen=True)
class Prediction:
    """What a candidate made of one row."""

    index: int
    """index of the row among those of the task."""
    text: str | None = None
    """text that was generated."""
    new_tokens: int = 0
    """new_tokens generated for it."""
    nats: float | None = None
    """nats: negative log likelihood of the reference."""
    scored_tokens: int = 0
    """scored_tokens of the reference."""
    prompt_tokens: int = 0
    fits: bool = True
    """fits: False when prompt and answer are longer than the model's positions."""


@dataclass(frozen=True)
class TaskResult:
    """All predictions of a candidate on a task."""

    predictions: list[Prediction]
    seconds: float
    """seconds it took, over all attempts."""


class TaskStore:
    """The files of one candidate on one task; a context in which rows are appended."""

    def __init__(self, folder: Path, task: str, candidate: str, fingerprint: str) -> None:
        name = f"{task}.{candidate}"
        self.predictions_file = folder / "predictions" / f"{name}.jsonl"
        self._done_file = folder / "state" / f"{name}.done.json"
        self._partial_file = folder / "state" / f"{name}.jsonl"
        self._fingerprint = fingerprint
        self._stream: IO[str] | None = None
        self._seconds = 0.0
        for place in (self.predictions_file.parent, self._done_file.parent):
            make_folder(place)

    def finished(self) -> TaskResult | None:
        """Return the complete result made with the same fingerprint, if there is one."""
        try:
            done = json.loads(self._done_file.read_text(encoding="utf-8"))
            lines = self.predictions_file.read_text(encoding="utf-8", errors=ANSWERS).splitlines()
            if done["fingerprint"] != self._fingerprint or done["rows"] != len(lines):
                return None
            return TaskResult([_prediction(json.loads(line)) for line in lines], done["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def partial(self) -> dict[int, Prediction]:
        """Return the rows of an attempt that was stopped; a line cut off in the middle is left out."""
        found: dict[int, Prediction] = {}
        try:
            lines = self._partial_file.read_text(encoding="utf-8", errors=ANSWERS).splitlines()
            if not lines or json.loads(lines[0]).get("fingerprint") != self._fingerprint:
                return {}
            for line in lines[1:]:
                document = json.loads(line)
                if "spent" in document:
                    self._seconds += document["spent"]
                else:
                    prediction = _prediction(document)
                    found[prediction.index] = prediction
        except (OSError, ValueError, TypeError):
            return found
        return found

    def __enter__(self) -> Self:
        known = self.partial()
        head = [json.dumps({"fingerprint": self._fingerprint})]
        spent = [json.dumps({"spent": self._seconds})] if self._seconds else []
        write_text(
            self._partial_file, "\n".join([*head, *(_line(p) for p in known.values()), *spent]) + "\n", errors=ANSWERS
        )
        self._stream = self._partial_file.open("a", encoding="utf-8", errors=ANSWERS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def append(self, prediction: Prediction) -> None:
        """Keep a row at once."""
        assert self._stream is not None, "append inside the context"
        self._stream.write(_line(prediction) + "\n")
        self._stream.flush()

    def spend(self, seconds: float) -> None:
        """Add to the time that the result took."""
        self._seconds += seconds
        if self._stream is not None:
            self._stream.write(json.dumps({"spent": seconds}) + "\n")
            self._stream.flush()

    def finish(self, predictions: list[Prediction], shown: list[Mapping[str, Any]]) -> TaskResult:
        """Write the complete result, each row with what people want to see beside it (question, reference)."""
        lines = [_line(p, extra) for p, extra in zip(predictions, shown, strict=True)]
        write_text(self.predictions_file, "".join(f"{line}\n" for line in lines), errors=ANSWERS)
        done = {"fingerprint": self._fingerprint, "rows": len(lines), "seconds": round(self._seconds, 3)}
        write_text(self._done_file, json.dumps(done), errors=ANSWERS)
        self._partial_file.unlink(missing_ok=True)
        return TaskResult(predictions, self._seconds)


def _line(prediction: Prediction, extra: Mapping[str, Any] | None = None) -> str:
    document = {name: value for name, value in asdict(prediction).items() if value is not None}
    return json.dumps(document | dict(extra or {}), ensure_ascii=True)


def _prediction(document: dict[str, Any]) -> Prediction:
    fields = {name: document[name] for name in Prediction.__dataclass_fields__ if name in document}
    return Prediction(**fields)
