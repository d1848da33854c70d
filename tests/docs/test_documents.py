"""What the documents say exists, does: paths, commands, reference pages, figures of speech of the exit codes."""

import argparse
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kubetune_cli.arguments import parser
from kubetune_cli.errors import ExitCode

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("charts/*/README.md")]
)
PAGES = ("api.md", "settings.md", "metrics.md")


def text(name: str) -> str:
    """Return a document."""
    return (ROOT / name).read_text()


def commands() -> dict[str, set[str]]:
    """Return the options of every command of `kubetune`, by its words."""
    found: dict[str, set[str]] = {}
    queue: list[tuple[str, argparse.ArgumentParser]] = [("kubetune", parser("kubetune"))]
    while queue:
        words, each = queue.pop()
        found[words] = {option for action in each._actions for option in action.option_strings}
        for action in each._actions:
            if isinstance(action, argparse._SubParsersAction):
                queue += [(f"{words} {name}", child) for name, child in action.choices.items()]
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    document = path.read_text()
    anchors = {_anchor(title) for title in re.findall(r"^#+ (.*)$", document, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", document):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (path.parent / target).exists(), target


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_a_code_block_exists(path: Path) -> None:
    blocks = "\n".join(re.findall(r"^```(?:sh)?\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE))
    for found in re.findall(r"(?<![\w./:-])((?:charts|examples|docs|tests|crds|images)/[\w./-]*\w)", blocks):
        assert (ROOT / found).exists(), found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for target in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", path.read_text(), re.MULTILINE):
        assert "".join(target) in targets, target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_ours_exists(path: Path) -> None:
    known = commands()
    for line in re.findall(r"(?:^|`)(?:\.venv/bin/)?(kubetune [a-z][^`\n#]*)", path.read_text(), re.MULTILINE):
        words = line.split()
        command = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in known), "")
        assert command, line
        for option in (word for word in words if word.startswith("-") and word != "-"):
            assert option.partition("=")[0] in known[command], line


def test_readme_names_every_room() -> None:
    rooms = [path.parent.relative_to(ROOT) for path in ROOT.glob("*/kubetune_*/__init__.py")]
    rooms += [
        path.relative_to(ROOT)
        for path in (ROOT / "operator/kubetune_operator").iterdir()
        if (path / "__init__.py").exists()
    ]
    named = re.findall(r"\]\(([^)]+)\)", text("README.md"))
    for room in rooms:
        assert any(target.startswith(str(room)) for target in named), room


def test_readme_says_how_to_test_and_to_try_it() -> None:
    assert "make quickstart" in text("README.md")
    assert "make test" in text("README.md")


def test_exit_codes_of_the_command_line_are_documented() -> None:
    table = re.findall(r"^\| (\d+) \|", text("docs/cli.md"), re.MULTILINE)
    assert sorted(map(int, table)) == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize("page", PAGES)
def test_reference_page_is_the_generated_one(page: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs/docgen.py", tmp_path], check=True)
    assert text(f"docs/{page}") == (tmp_path / page).read_text(), "run `make generate`"


def test_api_page_shows_every_field_with_its_bounds_and_rules() -> None:
    page = text("docs/api.md")
    assert "| `rank` | integer | `16` |" in page
    assert "(at least 1, at most 1024)" in page
    assert "(at least 1 item, at most 16 items)" in page
    assert "- give epochs or maxSteps, not both" in page
    assert "is immutable" not in page
    assert "Its fields are those of [FineTuneJob spec.dataset.train[]](#finetunejob-specdatasettrain)." in page


@pytest.mark.parametrize(
    ("said", "name", "shown"),
    [
        ("uri of the model.", "uri", "URI of the model."),
        ("learningRate at the peak.", "learningRate", "learningRate at the peak."),
        ("epochs: how often the data is gone through.", "epochs", "How often the data is gone through."),
        ("seed of data order.", "seed", "Seed of data order."),
    ],
)
def test_description_becomes_a_sentence_of_the_page(said: str, name: str, shown: str) -> None:
    docgen = runpy.run_path(str(ROOT / "docs/docgen.py"))
    assert docgen["_without_name"](said, name) == shown


def test_settings_page_names_the_variable_of_each_setting() -> None:
    assert "| `trainer_image` | `KUBETUNE_TRAINER_IMAGE` |" in text("docs/settings.md")


def test_changelog_has_the_version_of_the_package() -> None:
    from kubetune_api import __version__

    assert f"## {__version__}" in text("CHANGELOG.md")
