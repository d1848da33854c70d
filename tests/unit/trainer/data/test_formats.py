"""What a row means: formats told by columns, other people's names, and rows that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from kubetune_api.dataset import Columns, DataFormat
from kubetune_trainer.data.formats import RowProblem, understand

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def example(row: dict[str, Any], wanted: DataFormat = DataFormat.AUTO, **columns: str) -> Any:
    return understand([row], wanted, Columns(**columns), "rows.jsonl").example("rows.jsonl", 1, row)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, TURNS[1]]},
        {"instruction": "q", "output": "a"},
        {"question": "q", "answer": "a"},
        {"instruction": "q", "input": "", "response": "a"},
    ],
    ids=["Chat", "ShareGPT", "content parts", "Instruction", "question and answer", "empty input"],
)
def test_chats_and_instructions_are_turns(row: dict[str, Any]) -> None:
    assert example(row).messages == tuple(TURNS)


def test_the_input_of_an_instruction_follows_it() -> None:
    made = example({"instruction": "sum up", "input": "a text", "output": "t"})
    assert made.messages[0] == {"role": "user", "content": "sum up\n\na text"}


def test_completion_and_text_are_kept_to_the_letter() -> None:
    made = example({"prompt": "1 + 1 =", "completion": " 2"})
    assert (made.prompt, made.completion) == ("1 + 1 =", " 2")
    assert example({"text": " once\n"}).text == " once\n"


def test_columns_map_other_names() -> None:
    made = example({"frage": "q", "antwort": "a", "thema": "t"}, instruction="frage", output="antwort", group="thema")
    assert made.messages == tuple(TURNS)
    assert made.group == "t"


def test_a_wanted_format_wins_over_what_the_columns_suggest() -> None:
    row = {"messages": TURNS, "text": "plain"}
    assert example(row, DataFormat.TEXT).text == "plain"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": None}, "messages is null"),
        ({"messages": []}, "messages is not a list of turns"),
        ({"messages": "hello"}, "messages is not a list of turns"),
        ({"messages": ["hello"]}, "messages[0] is str, {role, content} is due"),
        (
            {"messages": [{"role": "usr", "content": "x"}]},
            "messages[0].role is 'usr'; user, assistant, system or tool is due",
        ),
        ({"messages": TURNS[:1]}, "messages has no assistant turn to learn from"),
        ({"messages": [TURNS[0], {"role": "assistant"}]}, "messages[1].content is null"),
        ({"messages": [TURNS[0], {"role": "assistant", "content": "  "}]}, "messages[1].content is empty"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}, TURNS[1]]},
            "messages[0].content has parts that are not text",
        ),
        ({"prompt": "p", "completion": 7}, "completion is int, a text is due"),
        ({"prompt": "p", "completion": None}, "completion is null"),
        ({"text": ""}, "text is empty"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        example(row)
    assert str(caught.value) == problem
