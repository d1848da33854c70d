"""Examples to token ids and a supervision mask: only what the model itself should say is learned.

A chat is rendered turn by turn with the tokenizer's own template. Prompt and answer are tokenised apart, just as the
prompt is tokenised alone when the model answers later; so training and use see the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadSpec
from .formats import Example, Message, RowProblem


@dataclass(frozen=True)
class Encoded:
    """Token ids of an example."""

    ids: NDArray[np.int32]
    """ids, shape (tokens,)."""
    supervised: NDArray[np.bool_]
    """supervised, shape (tokens,): True where the token itself is learned (as the label of the one before)."""
    truncated: int = 0
    """truncated: tokens that were cut off."""


@dataclass(frozen=True)
class Piece:
    """A part of a rendered example."""

    text: str
    learned: bool


class Encoder:
    """Encodes examples with one tokenizer."""

    def __init__(self, tokenizer: Any, sequence_length: int) -> None:
        self._tokenizer = tokenizer
        self._length = sequence_length
        self._stops = stop_ids(tokenizer)

    def encode(self, examples: Sequence[Example]) -> Iterator[Encoded | RowProblem]:
        """Yield each example's tokens, or why it has none. Tokenises all pieces in one batch.

        An example longer than the sequence length is cut at the end; one with nothing left to learn is a problem.
        """
        rendered: list[list[Piece] | RowProblem] = []
        for example in examples:
            try:
                rendered.append(self._pieces(example))
            except RowProblem as problem:
                rendered.append(problem)
        texts = [piece.text for pieces in rendered if isinstance(pieces, list) for piece in pieces]
        ids = iter(self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
        for example, pieces in zip(examples, rendered, strict=True):
            if isinstance(pieces, RowProblem):
                yield pieces
            else:
                yield self._joined(example, [(next(ids), piece.learned) for piece in pieces])

    def _pieces(self, example: Example) -> list[Piece]:
        if example.messages:
            return render_chat(self._tokenizer, example.messages)
        if example.prompt:
            return [Piece(example.prompt, False), Piece(example.completion, True)]
        return [Piece(example.text, True)]

    def _joined(self, example: Example, parts: list[tuple[list[int], bool]]) -> Encoded | RowProblem:
        ids, mask = self._with_bounds(example, parts)
        cut = max(0, len(ids) - self._length)
        ids, mask = ids[: self._length], mask[: self._length]
        mask[:1] = [False]  # nothing predicts the first token
        if not any(mask):
            return RowProblem(f"nothing to learn is left within spec.training.sequenceLength {self._length}")
        return Encoded(np.asarray(ids, np.int32), np.asarray(mask, np.bool_), cut)

    def _with_bounds(self, example: Example, parts: list[tuple[list[int], bool]]) -> tuple[list[int], list[bool]]:
        """Join the parts; what the template did not do (a beginning of text, an end of the answer) is added."""
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        ids: list[int] = []
        mask: list[bool] = []
        if not example.messages and start is not None and getattr(self._tokenizer, "add_bos_token", True):
            ids, mask = [start], [False]
        for tokens, learned in parts:
            learned_tokens = self._until_stop(tokens) if learned else 0
            ids += tokens
            mask += [True] * learned_tokens + [False] * (len(tokens) - learned_tokens)
        last_learned = max((i for i, learned in enumerate(mask) if learned), default=-1)
        if end is not None and last_learned >= 0 and ids[last_learned] not in self._stops:
            ids, mask = [*ids[: last_learned + 1], end], [*mask[: last_learned + 1], True]
        return ids, mask

    def _until_stop(self, tokens: list[int]) -> int:
        """Return how many tokens of an answer are learned: up to its last stop token, not the line break behind it."""
        last = max((i for i, token in enumerate(tokens) if token in self._stops), default=-1)
        return last + 1 if last >= 0 else len(tokens)


def stop_ids(tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: eos and the end-of-turn tokens that templates use."""
    names = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|end_of_text|>")
    vocabulary = tokenizer.get_vocab()
    special = set(tokenizer.all_special_ids) | {token.id for token in _added(tokenizer)}
    found = {vocabulary[name] for name in names if name in vocabulary and vocabulary[name] in special}
    return frozenset(found | ({tokenizer.eos_token_id} - {None}))


@dataclass(frozen=True)
class _Added:
    id: int


def _added(tokenizer: Any) -> list[_Added]:
    return [_Added(int(key)) for key in getattr(tokenizer, "added_tokens_decoder", {})]


def render_chat(tokenizer: Any, messages: Sequence[Message]) -> list[Piece]:
    """Return the rendered chat as pieces; assistant turns are learned, what leads to them is not.

    Raises:
        RowProblem: the template refuses the chat, or does not show an assistant turn.
    """
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    try:
        whole = _render(tokenizer, messages)
        bounds = [
            (_prompt_length(tokenizer, messages, turn, whole), _turn_end(tokenizer, messages, turn, whole))
            for turn in turns
        ]
    except TemplateRefusal as error:
        raise RowProblem(f"the chat template refuses it: {error}") from error
    for turn, (start, end) in zip(turns, bounds, strict=True):
        if messages[turn]["content"].strip() not in whole[start:end]:
            raise RowProblem(f"the chat template does not show turn {turn + 1} as it stands")
    edges = [0, *(edge for bound in bounds for edge in bound)]
    if any(left > right for left, right in pairwise(edges)):
        raise RowProblem("the chat template shows the turns in another order")
    pieces = [Piece(whole[left:right], index % 2 == 1) for index, (left, right) in enumerate(pairwise(edges))]
    return [piece for piece in pieces if piece.text]


class TemplateRefusal(Exception):
    """The template raised."""


def _render(tokenizer: Any, messages: Sequence[Message], prompt: bool = False) -> str:
    import jinja2

    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)
    except (jinja2.TemplateError, TypeError, KeyError, ValueError) as error:
        raise TemplateRefusal(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return text


def _prompt_length(tokenizer: Any, messages: Sequence[Message], turn: int, whole: str) -> int:
    """Return how much of the rendered chat leads to an assistant turn, in characters."""
    prompt = _render(tokenizer, messages[:turn], prompt=True)
    return len(prompt) if whole.startswith(prompt) else _shared(prompt, whole)


def _turn_end(tokenizer: Any, messages: Sequence[Message], turn: int, whole: str) -> int:
    if turn == len(messages) - 1:
        return len(whole)
    upto = _render(tokenizer, messages[: turn + 1])
    return len(upto) if whole.startswith(upto) else _shared(upto, whole)


def _shared(left: str, right: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the tokens of a chat up to where the assistant begins to answer.

    Raises:
        RowProblem: the template refuses the chat.
    """
    try:
        text = _render(tokenizer, messages, prompt=True)
    except TemplateRefusal as error:
        raise RowProblem(f"the chat template refuses it: {error}") from error
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def check_stop_is_learned(encoder: Encoder, example: Example, tokenizer: Any) -> None:
    """Check on one example that a stop token is learned and the prompt is not.

    Raises:
        BadSpec: the tokenizer has no end-of-text token, so the model would never stop.
    """
    if tokenizer.eos_token_id is None:
        raise BadSpec(
            "the tokenizer has no eos_token: the model would never learn to stop; set eos_token in "
            "tokenizer_config.json",
            reason="NoStopToken",
        )
    encoded = next(iter(encoder.encode([example])))
    if isinstance(encoded, Encoded) and not encoded.truncated:
        learned = encoded.ids[encoded.supervised]
        assert int(learned[-1]) in stop_ids(tokenizer), "the encoder ends each answer with a stop token"
