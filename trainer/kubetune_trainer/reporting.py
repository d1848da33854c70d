"""What the trainer says: report lines for the operator, plain lines for people, the termination message at the end."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any, TextIO, TypeVar, cast

from kubetune_api.fields import ApiModel
from kubetune_api.ftjstatus import DatasetStatus, Progress, Resolved
from kubetune_api.report import (
    DatasetLine,
    EvalProgressLine,
    FinalLine,
    ProgressLine,
    ReportLine,
    ResolvedLine,
    format_line,
)
from kubetune_api.scrub import credentials, scrub, scrub_document

from .paths import termination_log

Line = TypeVar("Line", bound=ApiModel)


def without_credentials(text: str) -> str:
    """Return a text without the credentials of this process, and without anything that looks like one."""
    return scrub(text, credentials(os.environ))


class CleanStream:
    """A stream of text that takes credentials out of each line, whoever writes it: libraries warn and log too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write the lines that are whole, and keep the rest until it is."""
        with self._lock:
            whole, newline, self._line = f"{self._line}{text}".rpartition("\n")
            if newline:
                self._stream.write(without_credentials(whole) + newline)
        return len(text)

    def flush(self) -> None:
        """Write what is there of a line as well."""
        with self._lock:
            rest, self._line = self._line, ""
            self._stream.write(without_credentials(rest))
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def clean_output() -> None:
    """Let nothing that this process prints show a credential."""
    sys.stdout = cast(TextIO, CleanStream(sys.stdout))
    sys.stderr = cast(TextIO, CleanStream(sys.stderr))


class Reporter:
    """Writes the log, without credentials. One object a process; safe to use from several threads."""

    def __init__(self, stream: TextIO | None = None, *, worker: bool = False) -> None:
        """Write to `stream`; the end of a `worker` is told by the process that started it."""
        self._stream = stream if stream is not None else sys.stdout
        self._worker = worker
        self._quiet = False
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Write a line for people."""
        self._write(without_credentials(text))

    def be_quiet(self) -> None:
        """Leave everything but the end to the first of several processes that train together."""
        self._quiet = True

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        with self._lock:
            print(text, file=self._stream, flush=True)

    def send(self, line: ReportLine) -> None:
        """Write a report line."""
        self._write(format_line(_without_credentials(line)))

    def progress(self, progress: Progress) -> None:
        """Report how far training is."""
        self.send(ProgressLine(progress=progress))

    def eval_progress(self, percent: int, candidate: str, task: str, remaining_seconds: int | None = None) -> None:
        """Report how far evaluation is."""
        self.send(
            EvalProgressLine(percent=percent, candidate=candidate, task=task, remaining_seconds=remaining_seconds)
        )

    def resolved(self, resolved: Resolved) -> None:
        """Report what Auto and absent settings became."""
        self.send(ResolvedLine(resolved=resolved))

    def dataset(self, dataset: DatasetStatus) -> None:
        """Report what the data checks found."""
        self.send(DatasetLine(dataset=dataset))

    def final(self, line: FinalLine) -> None:
        """Report the end: the last line of the log, and the termination message."""
        line = _without_credentials(line)
        self._quiet = self._worker
        self.send(line)
        with contextlib.suppress(OSError):  # not in a pod: nobody reads it
            termination_log().write_text(line.termination_message(), encoding="utf-8")


def _without_credentials(line: Line) -> Line:
    """Scrub the texts of a report rather than its line, which has to stay JSON."""
    return type(line).model_validate(scrub_document(line.dump(), credentials(os.environ)))
