"""Only what the model should say is learned, its end included; prompts are tokenised as in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kubetune_trainer.data.encoding import Encoded, Encoder, check_stop_is_learned, prompt_ids
from kubetune_trainer.data.formats import Example, RowProblem
from kubetune_trainer.errors import BadSpec
from unit.trainer import tiny

CHAT = (
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "red?"},
    {"role": "assistant", "content": "blue"},
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "green one"},
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.tokenizer()


def learned(tokenizer: Any, example: Example, length: int = 128) -> str:
    (encoded,) = Encoder(tokenizer, length).encode([example])
    assert isinstance(encoded, Encoded)
    parts = np.split(encoded.ids, np.flatnonzero(np.diff(encoded.supervised.astype(int))) + 1)
    masks = np.split(encoded.supervised, np.flatnonzero(np.diff(encoded.supervised.astype(int))) + 1)
    return "|".join(tokenizer.decode(part) for part, mask in zip(parts, masks, strict=True) if mask[0])


def test_every_assistant_turn_is_learned_with_its_end_and_nothing_else(tokenizer: Any) -> None:
    assert learned(tokenizer, Example("f", 1, messages=CHAT)) == "blue<|im_end|>|green one<|im_end|>"


def test_the_tokens_are_those_of_the_rendered_chat(tokenizer: Any) -> None:
    (encoded,) = Encoder(tokenizer, 128).encode([Example("f", 1, messages=CHAT)])
    assert isinstance(encoded, Encoded)
    assert tokenizer.decode(encoded.ids) == tokenizer.apply_chat_template(list(CHAT), tokenize=False)


def test_the_prompt_in_training_is_the_prompt_in_use(tokenizer: Any) -> None:
    (encoded,) = Encoder(tokenizer, 128).encode([Example("f", 1, messages=CHAT[:3])])
    assert isinstance(encoded, Encoded)
    prompt = prompt_ids(tokenizer, CHAT[:2])
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert not encoded.supervised[: len(prompt)].any()
    assert encoded.supervised[len(prompt)]


def test_a_completion_is_learned_with_an_end_of_text(tokenizer: Any) -> None:
    assert learned(tokenizer, Example("f", 1, prompt="red and", completion=" blue")) == " blue<|im_end|>"


def test_a_text_is_learned_but_its_first_token(tokenizer: Any) -> None:
    (encoded,) = Encoder(tokenizer, 128).encode([Example("f", 1, text="red blue green")])
    assert isinstance(encoded, Encoded)
    assert not encoded.supervised[0]
    assert encoded.supervised[1:].all()
    assert encoded.ids[-1] == tokenizer.eos_token_id


def test_a_long_example_is_cut_and_counted(tokenizer: Any) -> None:
    (whole,) = Encoder(tokenizer, 500).encode([Example("f", 1, text="red blue " * 40)])
    (cut,) = Encoder(tokenizer, 20).encode([Example("f", 1, text="red blue " * 40)])
    assert isinstance(whole, Encoded)
    assert isinstance(cut, Encoded)
    assert len(cut.ids) == 20
    assert cut.truncated == len(whole.ids) - 20


def test_a_template_that_refuses_makes_a_bad_row_not_a_crash() -> None:
    template = "{{ raise_exception('system turns are not supported') }}"
    (result,) = Encoder(tiny.tokenizer(template), 64).encode([Example("f", 1, messages=CHAT)])
    assert isinstance(result, RowProblem)
    assert str(result) == "the chat template refuses it: system turns are not supported"


def test_a_template_that_changes_an_answer_makes_a_bad_row() -> None:
    template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    (result,) = Encoder(tiny.tokenizer(template), 64).encode([Example("f", 1, messages=CHAT[1:3])])
    assert isinstance(result, RowProblem)
    assert str(result) == "the chat template does not show turn 2 as it stands"


def test_a_tokenizer_without_an_end_is_refused() -> None:
    made = tiny.tokenizer()
    made.eos_token = None
    with pytest.raises(BadSpec) as caught:
        check_stop_is_learned(Encoder(made, 64), Example("f", 1, text="red"), made)
    assert caught.value.reason == "NoStopToken"
    assert "set eos_token in tokenizer_config.json" in caught.value.message
