"""What to do with a step whose loss or gradients are not finite: leave it out; after some in a row, go back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Any

#: Steps in a row that are left out before the weights themselves are suspected.
LIMIT_IN_A_ROW = 3
#: Returns to a checkpoint before the run is given up.
LIMIT_RETURNS = 2


class Verdict(Enum):
    """What a step's figures mean."""

    TAKE = auto()
    LEAVE_OUT = auto()
    GO_BACK = auto()
    GIVE_UP = auto()


@dataclass
class Guard:
    """Counts of steps that were not finite; part of a checkpoint."""

    skipped: int = 0
    in_a_row: int = 0
    returns: int = 0

    def judge(self, finite: bool) -> Verdict:
        """Take a step's verdict and say what to do."""
        if finite:
            self.in_a_row = 0
            return Verdict.TAKE
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row < LIMIT_IN_A_ROW:
            return Verdict.LEAVE_OUT
        self.in_a_row = 0
        self.returns += 1
        return Verdict.GO_BACK if self.returns <= LIMIT_RETURNS else Verdict.GIVE_UP

    def dump(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)
