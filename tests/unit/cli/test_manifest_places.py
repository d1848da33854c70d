"""Reading manifests: values as the API server reads them, and the place of each."""

from pathlib import Path

import pytest

from kubetune_cli.errors import CliError
from kubetune_cli.manifests import Span, parse_path, read_documents, snippet


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return str(path)


def test_knows_the_place_of_keys_and_values(tmp_path: Path) -> None:
    [document] = read_documents(written(tmp_path, "kind: X\nspec:\n  train:\n  - uri: hf://a/b\n"))
    assert document.span(("spec", "train", 0, "uri")) == Span(3, 9, 17)
    assert document.span(("spec", "train", 0, "uri"), key=True) == Span(3, 4, 7)


def test_points_at_the_nearest_field_around_one_that_is_absent(tmp_path: Path) -> None:
    [document] = read_documents(written(tmp_path, "spec:\n  model: {}\n"))
    assert document.span(("spec", "model", "uri")) == Span(1, 2, 7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("'2e-4'", "2e-4"),
        ("2026-11-24", "2026-11-24"),
        ("1_000", 1000),
        ("0x10", 16),
        ("yes", True),
        ("1:30", "1:30"),
        ("v1.2", "v1.2"),
        ("~", None),
    ],
)
def test_reads_scalars_as_the_api_server_does(tmp_path: Path, text: str, value: object) -> None:
    [document] = read_documents(written(tmp_path, f"spec: {text}\n"))
    assert document.value == {"spec": value}


def test_reads_every_document_and_leaves_empty_ones_out(tmp_path: Path) -> None:
    documents = read_documents(written(tmp_path, "kind: A\n---\n---\nkind: B\n"))
    assert [(document.kind, document.line) for document in documents] == [("A", 0), ("B", 3)]


def test_notes_a_field_that_is_given_twice(tmp_path: Path) -> None:
    [document] = read_documents(written(tmp_path, "spec:\n  a: 1\n  a: 2\n"))
    assert document.repeated == [("spec", "a")]
    assert document.span(("spec", "a"), key=True).line == 2


def test_relative_files_lie_beside_the_manifest(tmp_path: Path) -> None:
    [document] = read_documents(written(tmp_path, "a: file://./data/x.jsonl\nb: file:///y\nc: [file://../z]\n"))
    assert document.value == {
        "a": f"file://{tmp_path}/data/x.jsonl",
        "b": "file:///y",
        "c": [f"file://{tmp_path.parent}/z"],
    }


def test_shows_where_yaml_is_broken(tmp_path: Path) -> None:
    with pytest.raises(CliError) as raised:
        read_documents(written(tmp_path, "spec:\n  a: [1, 2\n  b: 3\n"))
    assert "job.yaml:3:" in raised.value.message
    assert "3 |   b: 3" in raised.value.message


def test_says_what_to_do_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no such file"):
        read_documents(str(tmp_path / "absent.yaml"))
    with pytest.raises(CliError, match="is a folder"):
        read_documents(str(tmp_path))


def test_marks_the_value_in_its_line() -> None:
    assert snippet("a: 1\nbb: wrong\n", Span(1, 4, 9)) == "  2 | bb: wrong\n    |     ^^^^^"


def test_reads_paths_of_the_api_server() -> None:
    assert parse_path("spec.train[0].uri") == ("spec", "train", 0, "uri")
    assert parse_path("spec.nodeSelector[kubernetes.io/arch]") == ("spec", "nodeSelector", "kubernetes.io/arch")
