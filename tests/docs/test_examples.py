"""Every example is valid, and says what it shows."""

from pathlib import Path

import pytest

from kubetune_cli.__main__ import main
from kubetune_cli.manifests import read_documents
from kubetune_cli.validate import check

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml"))


def test_there_are_examples() -> None:
    assert {"lora-gpu.yaml", "full-s3.yaml", "evalrun.yaml", "suspended.yaml", "quickstart/finetunejob.yaml"} <= set(
        FILES
    )


@pytest.mark.parametrize("name", FILES)
def test_validate_finds_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(EXAMPLES / name)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
def test_documents_have_no_mistake(name: str) -> None:
    assert check(read_documents(str(EXAMPLES / name))) == []


@pytest.mark.parametrize("name", FILES)
def test_example_starts_with_what_it_shows(name: str) -> None:
    assert (EXAMPLES / name).read_text().startswith("# ")


@pytest.mark.parametrize("name", FILES)
def test_plan_shows_children(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-q", str(EXAMPLES / name)]) == 0
    assert "kind: Job" in capsys.readouterr().out
