"""From a row to token ids: system message, solved examples and question, rendered as in training for all candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubetune_api.evalrun import Task

from ..data.encoding import prompt_ids, render_chat, stop_ids
from ..data.formats import Example, Message, RowProblem
from ..errors import BadDataset
from ..generation.answer_loss import ScoredText
from ..models import require_chat_template
from .rows import reference


@dataclass(frozen=True)
class Prompter:
    """Writes the prompts of one candidate on one task."""

    tokenizer: Any
    uri: str
    """uri of the model, for messages."""
    task: Task
    system: str | None = None
    examples: Sequence[Example] = ()

    def prompt(self, row: Example) -> list[int]:
        """Return the token ids before the answer, the start of the assistant's turn included.

        Raises:
            BadSpec: a chat, and the tokenizer has no chat template.
            BadDataset: the template refuses the row.
        """
        if not row.messages:
            return [*self._start(), *self._tokens(self._plain_prompt(row))]
        require_chat_template(self.tokenizer, self.uri)
        try:
            return prompt_ids(self.tokenizer, self._turns(row))
        except RowProblem as problem:
            raise self._refused(row, problem) from problem

    def scored(self, row: Example) -> ScoredText:
        """Return prompt and reference answer, its end-of-turn token included, just as training supervises it.

        Raises:
            BadSpec: as `prompt`.
            BadDataset: as `prompt`.
        """
        prompt, answer = self.prompt(row), self._ended(self._tokens(self._answer_text(row)))
        if not prompt:  # plain text without a beginning-of-text token: nothing predicts the first token
            prompt, answer = answer[:1], answer[1:]
        return ScoredText(prompt, answer)

    def _answer_text(self, row: Example) -> str:
        if not row.messages:
            return row.answer
        try:
            pieces = render_chat(self.tokenizer, [*self._turns(row), _assistant(reference(row, self.task))])
        except RowProblem as problem:
            raise self._refused(row, problem) from problem
        return next(piece.text for piece in reversed(pieces) if piece.learned)

    def _turns(self, row: Example) -> list[Message]:
        turns = list(row.question)
        own = turns[:1] if turns and turns[0]["role"] == "system" else []
        system = [{"role": "system", "content": self.system}] if self.system else own
        shots = [turn for example in self.examples for turn in _shot(example, self.task)]
        return [*system, *shots, *turns[len(own) :]]

    def _plain_prompt(self, row: Example) -> str:
        parts = [self.system] if self.system else []
        parts += [example.prompt + example.answer for example in self.examples]
        parts += [row.prompt] if row.completion else [f"{row.text}\n"] if row.label else []
        return "\n\n".join(parts)

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids

    def _start(self) -> list[int]:
        start = self.tokenizer.bos_token_id
        return [int(start)] if start is not None and getattr(self.tokenizer, "add_bos_token", True) else []

    def _ended(self, ids: list[int]) -> list[int]:
        """Return the tokens up to the last stop token, or with an end of text where there is none."""
        stops = stop_ids(self.tokenizer)
        last = max((i for i, token in enumerate(ids) if token in stops), default=-1)
        if last >= 0:
            return ids[: last + 1]
        end = self.tokenizer.eos_token_id
        return ids if end is None else [*ids, int(end)]

    def _refused(self, row: Example, problem: RowProblem) -> BadDataset:
        return BadDataset(f"tasks[{self.task.name}].dataset: {row.file} row {row.number}: {problem}")


def question(row: Example) -> str:
    """Return what was asked, for people."""
    if row.messages:
        return "\n\n".join(turn["content"] for turn in row.question if turn["role"] != "system")
    return row.prompt or (row.text if row.label else "")


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _shot(example: Example, task: Task) -> list[Message]:
    """Return the turns of a solved example, its own system message left out."""
    asked = [turn for turn in example.question if turn["role"] != "system"]
    return [*asked, _assistant(reference(example, task))]


def stops_of(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of the tokenizer and those of the model's generation config."""
    found = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = found if isinstance(found, list | tuple) else [found]
    return stop_ids(tokenizer) | frozenset(int(token) for token in listed if token is not None)
