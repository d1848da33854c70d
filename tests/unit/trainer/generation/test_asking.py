"""`python -m kubetune_trainer.generate`: one question, a conversation, and errors that say what to do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kubetune_trainer import generate
from unit.trainer import tiny


@pytest.fixture
def model(tmp_path: Path) -> str:
    return tiny.write_model(tmp_path / "model").as_uri()


def test_prints_the_answer_and_nothing_else(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate.Speaker, "answer", lambda self, turns: turns[-1]["content"].upper())
    assert generate.main(["--model", model, "--prompt", "say red"]) == 0
    assert capsys.readouterr().out == "SAY RED\n"


def test_reads_the_prompt_from_standard_input(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--model", model, "--max-new-tokens", "4", "--prompt"]
    assert generate.main([*arguments, "say red"]) == 0
    given = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("say red\n"))
    assert generate.main([*arguments, "-"]) == 0
    assert capsys.readouterr().out == given


def test_a_conversation_remembers_its_turns_and_ends_with_the_input(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[list[str]] = []

    def answer(self: generate.Speaker, turns: list[dict[str, str]]) -> str:
        heard.append([turn["content"] for turn in turns])
        return f"answer {len(heard)}"

    monkeypatch.setattr(generate.Speaker, "answer", answer)
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    assert generate.main(["--model", model]) == 0
    assert heard == [["one"], ["one", "answer 1", "two"]]
    assert "answer 2" in capsys.readouterr().out


def test_a_missing_model_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--model", "file:///nowhere", "--prompt", "hello"]) == 66
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
