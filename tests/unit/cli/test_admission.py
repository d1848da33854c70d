"""`kubetune validate`: every mistake, each at its place, with what to do."""

from pathlib import Path

import pytest

from kubetune_cli.admission import findings
from kubetune_cli.manifests import read_documents
from kubetune_cli.validate import check, missing_files, run_validate

HEAD = "apiVersion: kubetune.io/v1alpha1\nkind: FineTuneJob\nmetadata: {name: bot}\n"
MODEL = "  model: {uri: hf://Qwen/Qwen2.5-0.5B-Instruct}\n"
DATA = "  dataset: {train: [{uri: 'pvc://data/x.jsonl'}]}\n"
GOOD = f"{HEAD}spec:\n{MODEL}{DATA}"


def said(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    """Return (line, message, hint) of every mistake of a manifest."""
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return [(entry.span.line + 1, entry.finding.message, entry.hint) for entry in check(read_documents(str(path)))]


def test_is_content_with_the_shortest_job(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("extra", "message", "hint"),
    [
        ("  methd: {}\n", "unknown field spec.methd", "did you mean method?"),
        (
            "  training: {learning_rate: '1'}\n",
            "unknown field spec.training.learning_rate",
            "did you mean learningRate?",
        ),
        (
            "  training: {learningRate: 2e-4}\n",
            'spec.training.learningRate: Invalid value: "number": must be of type string',
            'write it in quotes: "2e-4"',
        ),
        (
            "  training: {learningRate: fast}\n",
            r'spec.training.learningRate: Invalid value: "fast": should match ^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$',
            'write a decimal in quotes, for example "0.05" or "2e-4"',
        ),
        (
            "  method: {tuning: lora}\n",
            'spec.method.tuning: Unsupported value: "lora": supported values: Full, LoRA, QLoRA, DoRA, Spectrum',
            "did you mean LoRA?",
        ),
        (
            "  training: {epochs: 0}\n",
            "spec.training.epochs: Invalid value: 0: should be greater than or equal to 1",
            "",
        ),
        (
            "  training: {epochs: 1, maxSteps: 5}\n",
            "spec.training.maxSteps: Invalid value: give epochs or maxSteps, not both",
            "",
        ),
        (
            "  method: {tuning: LoRA, quantization: {type: nf4}}\n",
            "spec.method.quantization: Invalid value: quantization is allowed with tuning QLoRA only",
            "",
        ),
        ("  suspend: maybe\n", 'spec.suspend: Invalid value: "string": must be of type boolean', ""),
        (
            "  maxRuntime: 24 hours\n",
            'spec.maxRuntime: Invalid value: "24 hours": should match ^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$',
            "write a duration, for example 90s, 24h or 1d12h",
        ),
    ],
)
def test_says_what_the_api_server_would_refuse(tmp_path: Path, extra: str, message: str, hint: str) -> None:
    assert said(tmp_path, GOOD + extra) == [(7, message, hint)]


def test_lists_every_mistake_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = said(tmp_path, f"{HEAD}spec:\n  model: {{}}\n  dataset: {{train: []}}\n  suspend: 3\n")
    assert [line for line, _, _ in found] == [5, 6, 7]
    assert found[0][1] == "spec.model.uri: Required value"
    assert found[1][1] == "spec.dataset.train: Invalid value: should have at least 1 item, has 0"


def test_asks_the_operators_own_rules_once_the_schema_is_content(tmp_path: Path) -> None:
    [(line, message, hint)] = said(tmp_path, f"{GOOD}  training: {{learningRate: '7'}}\n")
    assert (line, message) == (
        7,
        "spec.training.learningRate: 7 is out of range; give more than 0 and at most 1",
    )
    assert hint == "the operator would refuse it: BadSpec"


def test_points_at_each_refusal_of_the_operator_separately(tmp_path: Path) -> None:
    extra = "  training:\n    learningRate: '7'\n    maxGradNorm: '-1'\n"
    assert [line for line, _, _ in said(tmp_path, GOOD + extra)] == [8, 9]


def test_points_at_the_candidate_of_a_jobs_evaluation(tmp_path: Path) -> None:
    candidate = "- {name: other, model: {uri: 'file://nowhere/m'}}"
    task = "- {name: t, type: Perplexity, dataset: {uri: 'pvc://data/t.jsonl'}}"
    extra = f"  evaluation:\n    spec:\n      candidates:\n      {candidate}\n      tasks:\n      {task}\n"
    [(line, message, _)] = said(tmp_path, GOOD + extra)
    assert line == 10
    assert message.startswith("spec.evaluation.spec.candidates[0].model.uri: file://nowhere/m is not absolute")


def test_suggests_the_kind_and_the_version(tmp_path: Path) -> None:
    found = said(tmp_path, "apiVersion: v1\nkind: FinetuneJob\nmetadata: {name: A_b}\nspec: {}\n")
    assert [(line, hint) for line, _, hint in found] == [
        (1, "write apiVersion: kubetune.io/v1alpha1"),
        (2, "did you mean FineTuneJob?"),
        (3, "use lower case letters, digits, - and ., with a letter or digit at both ends"),
    ]


def test_refuses_a_document_that_is_no_mapping(tmp_path: Path) -> None:
    [(_, message, _)] = said(tmp_path, "- a\n- b\n")
    assert message == "a manifest is a mapping with apiVersion, kind, metadata and spec"


def test_refuses_a_field_that_is_given_twice(tmp_path: Path) -> None:
    [(line, message, _)] = said(tmp_path, f"{GOOD}  retries: 1\n  retries: 2\n")
    assert (line, message) == (8, "retries is given twice; the last one would win silently")


def test_tells_which_files_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(GOOD.replace("pvc://data/x.jsonl", "file://./x.jsonl"))
    [found] = missing_files(read_documents(str(path)))
    assert found.finding.message == f"spec.dataset.train[0].uri: there is no {tmp_path}/x.jsonl"
    (tmp_path / "x.jsonl").touch()
    assert missing_files(read_documents(str(path))) == []


def test_prints_place_line_and_caret_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"{GOOD}  retries: -1\n")
    assert run_validate([str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == f"{path}: 1 mistake\n"
    assert err.splitlines()[:3] == [
        f"{path}:7:12: error: spec.retries: Invalid value: -1: should be greater than or equal to 0",
        "  7 |   retries: -1",
        "    |            ^^",
    ]


def test_checks_each_of_several_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"{GOOD}---\n{GOOD.replace('bot', 'bot2')}  nope: 1\n")
    assert run_validate([str(path)]) == 1
    assert "two.yaml:14:3: error: unknown field spec.nope" in capsys.readouterr().err


def test_objects_of_other_apis_are_left_to_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\n---\n{GOOD}")
    assert run_validate([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: PersistentVolumeClaim data is not KubeTune's and was not checked",
        f"{path}: FineTuneJob bot is valid",
    ]


EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    documents = read_documents(str(path))
    assert documents
    assert [finding for document in documents for finding in findings(document)] == []
