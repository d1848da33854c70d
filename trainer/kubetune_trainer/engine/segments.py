"""The layout of a packed row: which tokens belong to which example, and how attention walks over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

#: Segments are gathered into one batched attention call while padding stays below this share of the longest.
_SPREAD = 1.25
#: Below this many tokens a few more padded rows are cheaper than another call.
_SLACK = 16


@dataclass(frozen=True)
class Group:
    """Segments of similar length, attended to in one call.

    Causal attention never looks ahead, so padding at a segment's end needs no mask: its outputs are dropped.
    """

    count: int
    length: int
    """length of the longest segment; the others are padded to it."""
    rows: Tensor
    """rows of the packed row, [count * length]; padding repeats the segment's last token."""
    kept: Tensor | None
    """kept positions of [count * length] that are no padding; None when there is no padding."""
    start: int | None
    """start of the group when it is one segment, or segments side by side of equal length: a slice will do."""


@dataclass(frozen=True)
class Segments:
    """Segments of one packed row, in order; their lengths sum up to the row's."""

    lengths: tuple[int, ...]
    device: torch.device = field(default=torch.device("cpu"))

    @property
    def total(self) -> int:
        """Tokens in the row."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens in the longest segment."""
        return max(self.lengths)

    @cached_property
    def positions(self) -> Tensor:
        """Position of each token in its own segment, [1, total]."""
        return torch.cat([torch.arange(length) for length in self.lengths]).unsqueeze(0).to(self.device)

    @cached_property
    def boundaries(self) -> Tensor:
        """Cumulative lengths from 0, int32 [segments + 1], as variable-length attention wants them."""
        lengths = torch.tensor((0, *self.lengths), dtype=torch.int32)
        return lengths.cumsum(0, dtype=torch.int32).to(self.device)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups of similar length, longest first."""
        starts = [0]
        for length in self.lengths:
            starts.append(starts[-1] + length)
        order = sorted(range(len(self.lengths)), key=lambda index: (-self.lengths[index], index))
        groups: list[Group] = []
        members: list[int] = []
        for index in order:
            if members and self.lengths[members[0]] > self.lengths[index] * _SPREAD + _SLACK:
                groups.append(self._group(members, starts))
                members = []
            members.append(index)
        return (*groups, self._group(members, starts))

    def _group(self, members: list[int], starts: list[int]) -> Group:
        members = sorted(members)
        longest = max(self.lengths[index] for index in members)
        steps = torch.arange(longest)
        lengths = torch.tensor([self.lengths[index] for index in members])
        first = torch.tensor([starts[index] for index in members])
        rows = first[:, None] + torch.minimum(steps[None, :], lengths[:, None] - 1)
        even = bool((lengths == longest).all())
        kept = None if even else (steps[None, :] < lengths[:, None]).flatten().nonzero().flatten().to(self.device)
        adjacent = even and members == list(range(members[0], members[-1] + 1))
        start = starts[members[0]] if adjacent else None
        return Group(len(members), longest, rows.flatten().to(self.device), kept, start)
