"""What a row means: Chat, Instruction, Completion or Text, told by its columns or by the spec."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubetune_api.dataset import Columns, DataFormat

from ..errors import BadDataset

Message = dict[str, str]

#: Other names by which public datasets call our fields, most usual first.
_SYNONYMS = {
    "messages": ("messages", "conversations", "conversation"),
    "instruction": ("instruction", "question", "query"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer"),
    "prompt": ("prompt",),
    "completion": ("completion", "response"),
    "text": ("text", "content"),
}
_NEEDED = {
    DataFormat.CHAT: ("messages",),
    DataFormat.INSTRUCTION: ("instruction", "output"),
    DataFormat.COMPLETION: ("prompt", "completion"),
    DataFormat.TEXT: ("text",),
}
#: ShareGPT says from/value and human/gpt.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True)
class Example:
    """One row, understood: a chat, a prompt with its completion, or plain text."""

    file: str
    number: int
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    completion: str = ""
    text: str = ""
    group: str | None = None
    label: str | None = None

    @property
    def answer(self) -> str:
        """The text that a model should give: the last assistant turn, the completion, or the text itself."""
        if self.messages:
            return next((turn["content"] for turn in reversed(self.messages) if turn["role"] == "assistant"), "")
        return self.completion or self.text

    @property
    def question(self) -> tuple[Message, ...]:
        """The turns before the last assistant turn."""
        last = max((i for i, turn in enumerate(self.messages) if turn["role"] == "assistant"), default=0)
        return self.messages[:last]

    def key(self) -> str:
        """Return a text that two examples share when they are equal to the letter."""
        if self.messages:
            return "\x1e".join(f"{turn['role']}\x1f{turn['content']}" for turn in self.messages)
        return f"{self.prompt}\x1f{self.completion}\x1f{self.text}"


class RowProblem(Exception):
    """Why one row cannot be used."""


@dataclass(frozen=True)
class Reading:
    """How rows of one dataset are read: the format and the column of each field."""

    format: DataFormat
    names: dict[str, str]

    def example(self, file: str, number: int, fields: dict[str, Any]) -> Example:
        """Return the example in a row.

        Raises:
            RowProblem: a field is missing, null, empty or of the wrong type.
        """
        group, label = (self._optional(fields, name) for name in ("group", "label"))
        if self.format is DataFormat.CHAT:
            turns = _chat(fields.get(self.names["messages"]), self.names["messages"])
            return Example(file, number, messages=turns, group=group, label=label)
        if self.format is DataFormat.INSTRUCTION:
            question = self._text(fields, "instruction")
            context = self._optional(fields, "input")
            turns = (
                {"role": "user", "content": f"{question}\n\n{context}" if context else question},
                {"role": "assistant", "content": self._text(fields, "output")},
            )
            return Example(file, number, messages=turns, group=group, label=label)
        if self.format is DataFormat.COMPLETION:
            prompt, completion = self._text(fields, "prompt"), self._text(fields, "completion")
            return Example(file, number, prompt=prompt, completion=completion, group=group, label=label)
        return Example(file, number, text=self._text(fields, "text"), group=group, label=label)

    def _optional(self, fields: dict[str, Any], field: str) -> str | None:
        value = fields.get(self.names.get(field, ""))
        return None if value is None or value == "" else str(value)

    def _text(self, fields: dict[str, Any], field: str) -> str:
        column = self.names[field]
        if column not in fields:
            raise RowProblem(f"{column} is missing")
        return _filled(fields[column], column)


def _filled(value: Any, place: str) -> str:
    if value is None:
        raise RowProblem(f"{place} is null")
    if not isinstance(value, str):
        raise RowProblem(f"{place} is {type(value).__name__}, a text is due")
    if not value.strip():
        raise RowProblem(f"{place} is empty")
    return value


def _chat(turns: Any, column: str) -> tuple[Message, ...]:
    if turns is None:
        raise RowProblem(f"{column} is null")
    if not isinstance(turns, list) or not turns:
        raise RowProblem(f"{column} is not a list of turns")
    chat = tuple(_turn(turn, f"{column}[{index}]") for index, turn in enumerate(turns))
    if not any(turn["role"] == "assistant" for turn in chat):
        raise RowProblem(f"{column} has no assistant turn to learn from")
    return chat


def _turn(turn: Any, place: str) -> Message:
    if not isinstance(turn, dict):
        raise RowProblem(f"{place} is {type(turn).__name__}, {{role, content}} is due")
    role = turn.get("role", turn.get("from"))
    if role not in _ROLES:
        raise RowProblem(f"{place}.role is {role!r}; user, assistant, system or tool is due")
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list):  # content parts, as vision chats write them
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type", "text") == "text"]
        if len(parts) != len(content):
            raise RowProblem(f"{place}.content has parts that are not text")
        content = "".join(str(part) for part in parts)
    return {"role": _ROLES[role], "content": _filled(content, f"{place}.content")}


def understand(
    rows: Iterable[dict[str, Any]], wanted: DataFormat, columns: Columns, where: str, field: str = "dataset"
) -> Reading:
    """Return how to read a dataset, from the columns of its first rows.

    Args:
        rows: Some of the first readable rows.
        wanted: The format of the spec; AUTO tells by the columns.
        columns: The spec's own names of the columns.
        where: The file, for messages.
        field: The spec field that holds `format` and `columns`, for messages.

    Raises:
        BadDataset: needed columns are missing; the message names the nearest ones.
    """
    present = list(dict.fromkeys(name for fields in rows for name in fields))
    given = {name: value for name, value in columns.model_dump().items() if value is not None}
    for name, column in given.items():
        if column not in present:
            raise BadDataset(
                f"{where} has no column {column!r}, which {field}.columns.{name} names{_nearest(column, present)}; "
                f"its columns are {_listed(present)}",
                reason="WrongColumns",
            )
    candidates = list(_NEEDED) if wanted is DataFormat.AUTO else [wanted]
    for candidate in candidates:
        names = _columns_of(candidate, present, given)
        if names is not None:
            return Reading(candidate, names)
    raise BadDataset(_wrong_columns(where, wanted, present, given, field), reason="WrongColumns")


def _columns_of(candidate: DataFormat, present: list[str], given: dict[str, str]) -> dict[str, str] | None:
    """Return the column of each field, or None when a needed one is missing."""
    names = dict(given)
    for name in _NEEDED.get(candidate, ()):
        column = given.get(name) or next((synonym for synonym in _SYNONYMS[name] if synonym in present), None)
        if column is None:
            return None
        names[name] = column
    if candidate is DataFormat.INSTRUCTION and "input" not in names:
        taken = set(names.values())
        names["input"] = next((name for name in _SYNONYMS["input"] if name in present and name not in taken), "")
    if "group" not in names and "group" in present:
        names["group"] = "group"
    if "label" not in names and "label" in present:
        names["label"] = "label"
    return names


def _nearest(name: str, present: list[str]) -> str:
    near = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _listed(present: list[str]) -> str:
    return ", ".join(present[:12]) or "none"


def _wrong_columns(where: str, wanted: DataFormat, present: list[str], given: dict[str, str], field: str) -> str:
    if wanted in _NEEDED:
        needed = [name for name in _NEEDED[wanted] if _columns_of_one(name, present, given) is None]
        hints = [f"{name!r}{_nearest(name, present)}" for name in needed]
        near = {name: difflib.get_close_matches(name, present, n=1, cutoff=0.5) for name in needed}
        fix = ", ".join(f"{name}: {found[0] if found else '<column>'}" for name, found in near.items())
        return (
            f"{where} has no column {' and no '.join(hints)}, which format {wanted} needs; its columns are "
            f"{_listed(present)}. Set {field}.columns: {{{fix}}}"
        )
    near_all = [
        (name, match[0])
        for name in ("messages", "instruction", "output", "prompt", "completion", "text")
        if (match := difflib.get_close_matches(name, present, n=1, cutoff=0.6))
    ]
    fix = ", ".join(f"{name}: {column}" for name, column in near_all) or "<field>: <column>"
    return (
        f"{where} has the columns {_listed(present)}, which are no known format (Chat: messages; Instruction: "
        f"instruction, output; Completion: prompt, completion; Text: text). Set {field}.columns: {{{fix}}}"
    )


def _columns_of_one(name: str, present: list[str], given: dict[str, str]) -> str | None:
    return given.get(name) or next((synonym for synonym in _SYNONYMS[name] if synonym in present), None)
