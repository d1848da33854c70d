"""The policy document on disk, read anew while the operator runs; a document that is not valid changes nothing."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from .policy import Policy, parse_policy

_INTERVAL = 3.0
logger = logging.getLogger(__name__)


class PolicyFile:
    """The policy as it is now; looked at by content, for a mounted ConfigMap changes by swapping links."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the document; an empty path is a policy that allows everything.

        Raises:
            ValueError: the document is not valid.
            OSError: it cannot be read.
        """
        self._path = Path(path) if path else None
        self._clock = clock
        self._looked = clock()
        self._text: str | None = self._path.read_text() if self._path else ""
        self._policy = parse_policy(self._text or "")
        self.problem: str | None = None
        """Why the newest document is not in force."""

    @property
    def current(self) -> Policy:
        """Return the newest valid policy; the file is looked at every few seconds at most."""
        self._look_if_due()
        return self._policy

    @property
    def valid(self) -> bool:
        """Whether the newest document is in force."""
        self._look_if_due()
        return self.problem is None

    def _look_if_due(self) -> None:
        if self._path is not None and self._clock() - self._looked >= _INTERVAL:
            self._looked = self._clock()
            self._look(self._path)

    def _look(self, path: Path) -> None:
        try:
            text = path.read_text()
        except OSError as error:
            self._text = None
            self._say(f"{path} cannot be read: {error.strerror}")
            return
        if text == self._text:
            return
        self._text = text
        try:
            self._policy = parse_policy(text)
        except ValueError as error:
            self._say(f"{path} is not valid: {error}")
        else:
            self.problem = None
            logger.info("the policy in %s has changed and is in force", path)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            logger.error("the policy stays as it was, for %s", problem)
        self.problem = problem
