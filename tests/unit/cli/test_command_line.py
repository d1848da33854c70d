"""The command line itself: fast, and no traceback for a person."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kubetune_cli.__main__ import main
from kubetune_cli.errors import ExitCode

EXAMPLES = Path(__file__).parents[3] / "examples"
HEAVY = ("pydantic", "yaml", "rich", "kubernetes", "aiohttp", "torch", "kubetune_operator", "kubetune_local")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from kubetune_cli.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ(), check=True)
    assert "COMMAND" in done.stdout
    assert done.stderr.strip() == "[]"


def environ() -> dict[str, str]:
    """Return an environment in which a child finds our packages as this process does."""
    return {"PYTHONPATH": ":".join(sys.path)}


def test_a_missing_file_is_an_error_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "absent.yaml"]) == ExitCode.FAILED
    assert capsys.readouterr().err == (
        "error: absent.yaml: no such file\n  hint: give the path of a manifest, or - for standard input\n"
    )


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match="no such file"):
        main(["--debug", "validate", "absent.yaml"])


def test_plan_prints_the_children_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(EXAMPLES / "lora-gpu.yaml")]) == ExitCode.DONE
    captured = capsys.readouterr()
    children = list(yaml.safe_load_all(captured.out))
    kinds = [child["kind"] for child in children]
    assert kinds.count("Job") == 2
    assert "PersistentVolumeClaim" in kinds
    assert "FineTuneJob support-bot becomes" in captured.err


def test_plan_of_a_bad_manifest_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text((EXAMPLES / "lora-gpu.yaml").read_text() + "  retries: many\n")
    assert main(["plan", str(path)]) == ExitCode.FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "spec.retries: Invalid value" in captured.err
    assert "has 1 mistake; there is no plan for it" in captured.err
