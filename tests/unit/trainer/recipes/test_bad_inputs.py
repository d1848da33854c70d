"""Every bad input ends with the exit code of its kind, and says what is wrong, where, and what to do."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import transformers

from kubetune_api.exits import Exit
from kubetune_trainer.data.prepared import open_prepared
from kubetune_trainer.errors import TrainerError
from unit.trainer import tiny
from unit.trainer.recipes.runs import Job, new_job

MEND = (
    "Mend them (data/quarantine.jsonl in the workspace lists all), or allow more with "
    "spec.dataset.checks.maxBadFraction (now 0.01) or checks.schema: Drop"
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return new_job(tmp_path, rows=20)


def refusal(job: Job, **changes: Any) -> tuple[int, str, str]:
    with pytest.raises(TrainerError) as caught:
        job.prepare(**changes)
    return caught.value.exit_code, caught.value.reason, caught.value.message


def with_data(job: Job, name: str, content: bytes | str | list[Any]) -> Job:
    path = job.folder / name
    if isinstance(content, list):
        tiny.write_rows(path, content)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Job(job.folder, job.model, path)


def test_an_empty_dataset(job: Job) -> None:
    assert refusal(with_data(job, "empty.jsonl", "")) == (
        Exit.BAD_DATASET,
        "EmptyDataset",
        "empty.jsonl: no rows; check that the export finished and spec.dataset names the right file",
    )


def test_wrong_column_names_suggest_the_nearest(job: Job) -> None:
    rows = [{"instrution": "a", "ouput": "b"}]
    assert refusal(with_data(job, "names.jsonl", rows), dataset={"format": "Instruction"}) == (
        Exit.BAD_DATASET,
        "WrongColumns",
        "names.jsonl has no column 'instruction' (did you mean 'instrution'?) and no 'output' (did you mean 'ouput'?), "
        "which format Instruction needs; its columns are instrution, ouput. Set spec.dataset.columns: "
        "{instruction: instrution, output: ouput}",
    )


def test_wrong_column_names_without_a_format(job: Job) -> None:
    rows = [{"instrution": "a", "ouput": "b"}]
    assert refusal(with_data(job, "names.jsonl", rows)) == (
        Exit.BAD_DATASET,
        "WrongColumns",
        "names.jsonl has the columns instrution, ouput, which are no known format (Chat: messages; Instruction: "
        "instruction, output; Completion: prompt, completion; Text: text). Set spec.dataset.columns: "
        "{instruction: instrution, output: ouput}",
    )


def test_a_mapping_to_a_column_that_is_not_there(job: Job) -> None:
    rows = [{"question": "a", "answer": "b"}]
    columns = {"instruction": "question", "output": "anser"}
    assert refusal(with_data(job, "names.jsonl", rows), dataset={"columns": columns}) == (
        Exit.BAD_DATASET,
        "WrongColumns",
        "names.jsonl has no column 'anser', which spec.dataset.columns.output names (did you mean 'answer'?); its "
        "columns are question, answer",
    )


def test_a_row_with_null_content(job: Job) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]
    rows = [{"messages": [*turns[:1], {"role": "assistant", "content": "y"}]}, {"messages": turns}]
    assert refusal(with_data(job, "chats.jsonl", rows)) == (
        Exit.BAD_DATASET,
        "BadRows",
        f"1 of 2 rows is bad: chats.jsonl row 2: messages[1].content is null. {MEND}",
    )


def test_invalid_utf8(job: Job) -> None:
    good = json.dumps({"instruction": "a", "output": "b"}).encode() + b"\n"
    assert refusal(with_data(job, "latin.jsonl", good + b'{"instruction": "caf\xe9", "output": "x"}\n')) == (
        Exit.BAD_DATASET,
        "BadRows",
        f"1 of 2 rows is bad: latin.jsonl row 2: invalid UTF-8 at byte 21 (0xe9); save the file as UTF-8. {MEND}",
    )


def test_invalid_utf8_in_a_table(job: Job) -> None:
    assert refusal(with_data(job, "latin.csv", b"instruction,output\nhello,there\nhi,caf\xe9\n")) == (
        Exit.BAD_DATASET,
        "BadRows",
        "1 of 2 rows is bad: latin.csv row 2: invalid UTF-8 in column 'output', character 4; save the file as UTF-8. "
        f"{MEND}",
    )


def test_a_parquet_file_of_0_bytes(job: Job) -> None:
    assert refusal(with_data(job, "rows.parquet", b"")) == (
        Exit.BAD_DATASET,
        "BadDataset",
        "rows.parquet has 0 bytes: its writer was stopped before it closed the file; write it again",
    )


def test_a_parquet_file_that_is_cut_off(job: Job) -> None:
    code, _, message = refusal(with_data(job, "rows.parquet", b"PAR1abc"))
    assert code == Exit.BAD_DATASET
    assert message.startswith("rows.parquet is no parquet file or is cut off (")
    assert message.endswith("); write it again")


def test_a_dataset_larger_than_the_workspace(job: Job) -> None:
    rows = with_data(job, "large.jsonl", [{"instruction": "x" * 1000, "output": "y"}] * 100)
    assert refusal(rows, workspaceBytes=100_000) == (
        Exit.DISK_FULL,
        "WorkspaceTooSmall",
        "the prepared data takes 161.7 KiB, but the workspace has 97.7 KiB left; set spec.workspace.size to at least "
        "1.0 GiB",
    )


def test_an_unknown_model_architecture(job: Job) -> None:
    config = job.model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "llamma9"}))
    assert refusal(job) == (
        Exit.MODEL_UNAVAILABLE,
        "UnknownArchitecture",
        f"{job.model.as_uri()}: model_type 'llamma9' in config.json is unknown to transformers "
        f"{transformers.__version__}; take a trainer image with a newer transformers, or another model",
    )


def test_a_model_that_is_no_language_model(job: Job) -> None:
    config = job.model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "vit"}))
    assert refusal(job) == (
        Exit.MODEL_UNAVAILABLE,
        "UnknownArchitecture",
        f"{job.model.as_uri()}: vit is not a causal language model; take a decoder model such as Llama, Qwen or Gemma",
    )


def test_a_model_with_pickled_weights_only(job: Job) -> None:
    (job.model / "model.safetensors").rename(job.model / "pytorch_model.bin")
    assert refusal(job) == (
        Exit.MODEL_UNAVAILABLE,
        "PickleRefused",
        f"{job.model.as_uri()} has only pickled weights (pytorch_model.bin), which can run code; convert them with "
        "save_pretrained(safe_serialization=True)",
    )


def test_a_model_whose_weights_are_cut_off(job: Job) -> None:
    weights = job.model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    code, reason, message = refusal(job)
    assert (code, reason) == (Exit.MODEL_UNAVAILABLE, "ModelDamaged")
    assert message.startswith(f"{job.model.as_uri()}: model.safetensors is damaged or cut off (")


def test_a_model_with_code_of_its_own(job: Job) -> None:
    config = job.model / "config.json"
    changes = {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    code, reason, message = refusal(job)
    assert (code, reason) == (Exit.BAD_SPEC, "RemoteCodeRefused")
    assert message.endswith("which is not run; take a model whose architecture transformers has built in")


def test_a_model_that_is_not_there_suggests_the_nearest(job: Job) -> None:
    assert refusal(job, model={"uri": (job.folder / "modle").as_uri()}) == (
        Exit.MODEL_UNAVAILABLE,
        "ModelNotFound",
        f"{(job.folder / 'modle').as_uri()} cannot be read: No such file or directory (did you mean model?); check "
        "spec.model and the volume",
    )


def test_a_missing_chat_template(job: Job) -> None:
    shutil.rmtree(job.model)
    tiny.write_model(job.model, template=None)
    assert refusal(job) == (
        Exit.BAD_SPEC,
        "ChatTemplateMissing",
        f"{job.model.as_uri()}: its tokenizer has no chat template, which Chat and Instruction rows need; take the "
        "-Instruct or -Chat variant of the model, or write the rows as Completion {prompt, completion} or Text {text}",
    )


def test_a_tokenizer_of_another_model(job: Job) -> None:
    shutil.rmtree(job.model)
    tiny.write_model(job.model)
    config = job.model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 100}))
    code, reason, message = refusal(job)
    assert (code, reason) == (Exit.MODEL_UNAVAILABLE, "TokenizerMismatch")
    assert "but the model has embeddings for 100; they do not belong together" in message


def test_a_sequence_length_above_the_models_positions(job: Job) -> None:
    assert refusal(job, training={"sequenceLength": 512}) == (
        Exit.BAD_SPEC,
        "SequenceTooLong",
        f"spec.training.sequenceLength 512 is more than the 256 positions of {job.model.as_uri()}; "
        "set it to at most 256",
    )


@pytest.mark.parametrize(("positions", "length"), [(256, 256), (8192, 4096)])
def test_without_a_sequence_length_it_is_what_the_model_takes(tmp_path: Path, positions: int, length: int) -> None:
    job, absent = new_job(tmp_path, rows=20, max_position_embeddings=positions), {"sequenceLength": None}
    long = [{"instruction": f"red {number}", "output": "blue " * 5000} for number in range(4)]
    with_data(job, job.data.name, [*tiny.questions(20), *long])
    job.prepare(training=absent)
    report = json.loads((job.workspace.reports / "data.json").read_text())
    assert report["sequenceLength"] == length
    assert report["truncated"] >= 1
    prepared = open_prepared(job.workspace.data)
    assert (prepared.sequence_length, int(prepared.train.lengths.max())) == (length, length)


def test_a_sequence_length_that_leaves_nothing_to_learn(job: Job) -> None:
    code, reason, message = refusal(job, training={"sequenceLength": 16})
    assert (code, reason) == (Exit.BAD_DATASET, "BadRows")
    assert "train.jsonl row 1: nothing to learn is left within spec.training.sequenceLength 16" in message


def test_held_out_rows_among_the_training_rows(job: Job) -> None:
    held_out = tiny.write_rows(job.folder / "test.jsonl", tiny.questions(1, start=3))
    assert refusal(job, dataset={"heldOut": [{"uri": held_out.as_uri()}]}) == (
        Exit.BAD_DATASET,
        "LeakageFound",
        "1 training row is also in the held-out data: train.jsonl row 4 (equals test.jsonl row 1). Remove what "
        "is on both sides, or set spec.dataset.checks.leakage: Drop",
    )


def test_a_file_of_another_kind(job: Job) -> None:
    assert refusal(with_data(job, "rows.xlsx", b"PK")) == (
        Exit.BAD_DATASET,
        "BadDataset",
        f"{(job.folder / 'rows.xlsx').as_uri()}: files that end in .xlsx cannot be read; write .jsonl, .json, .csv, "
        ".tsv or .parquet",
    )


def test_a_file_where_a_directory_is_due(job: Job) -> None:
    (job.folder / "ws").mkdir()
    (job.folder / "ws" / "data").write_text("here first")
    assert refusal(job) == (
        Exit.BAD_SPEC,
        "OutputNotWritable",
        f"{job.folder / 'ws' / 'data'} is a file, but a folder is due there; move it away or use another claim",
    )


def test_an_output_that_may_not_be_written(job: Job) -> None:
    place = Path(tempfile.mkdtemp(prefix="kubetune-test-"))
    place.chmod(0o755)
    workspace = place / "ws"
    for folder in (workspace, workspace / "data", workspace / "reports"):
        folder.mkdir(mode=0o555)
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    before = os.geteuid()
    os.seteuid(user)
    try:
        code, reason, message = refusal(Job(place, job.model, job.data))
    finally:
        os.seteuid(before)
        place.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
    assert (code, reason) == (Exit.BAD_SPEC, "OutputNotWritable")
    assert message == (
        f"cannot write to {workspace}: Permission denied; the claim must be writable for user {user} (access mode "
        "ReadWriteOnce or ReadWriteMany, and fsGroup or its owner)"
    )
