"""`spec.dataset`: sources, format, columns and checks."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import ApiModel, DecimalText, cel, nested
from .model import Sources

Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class DataFormat(StrEnum):
    """Shapes of a training row."""

    AUTO = "Auto"
    CHAT = "Chat"
    INSTRUCTION = "Instruction"
    COMPLETION = "Completion"
    TEXT = "Text"
    PREFERENCE = "Preference"
    PROMPT = "Prompt"


class CheckAction(StrEnum):
    """What a data check does with what it finds."""

    FAIL = "Fail"
    DROP = "Drop"
    WARN = "Warn"
    OFF = "Off"


class PiiAction(StrEnum):
    """What the PII check does with what it finds."""

    FAIL = "Fail"
    DROP = "Drop"
    WARN = "Warn"
    REDACT = "Redact"
    OFF = "Off"


class DataChecks(ApiModel):
    """Checks that run before an accelerator is taken."""

    model_config = ConfigDict(title="DataChecks")

    schema_: CheckAction = Field(default=CheckAction.FAIL, alias="schema")
    """schema finds rows that do not have the declared format; they go to a quarantine file with row numbers. Fail
    stops the job when more than maxBadFraction of the rows are bad, Drop never does."""
    duplicates: CheckAction = CheckAction.DROP
    """duplicates finds examples that are equal to the letter."""
    near_duplicates: CheckAction = CheckAction.WARN
    """nearDuplicates finds examples that are almost equal (MinHash)."""
    contradictions: CheckAction = CheckAction.WARN
    """contradictions finds equal prompts with different answers."""
    leakage: CheckAction = CheckAction.FAIL
    """leakage finds held-out examples among the training examples."""
    pii: PiiAction = PiiAction.WARN
    """pii finds personal data and secrets: e-mail addresses, phone and card numbers, IBANs, keys."""
    toxicity: CheckAction = CheckAction.OFF
    """toxicity finds hateful or abusive text by a local word list or classifier."""
    max_bad_fraction: DecimalText = "0.01"
    """maxBadFraction of the rows that may be bad before `schema: Fail` stops the job."""


class ValidationSplit(ApiModel):
    """The validation data: a fraction of the training rows, or sources of its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("!(has(self.fraction) && has(self.sources))", "give validation.fraction or validation.sources")
            ]
        }
    )

    fraction: DecimalText | None = None
    """fraction of the training examples that is held back for validation, such as 0.05 (which it is when neither
    fraction nor sources is given). Groups (columns.group) stay whole."""
    sources: Sources | None = None
    """sources of validation rows, instead of a fraction of the training rows."""


class Columns(ApiModel):
    """Other people's names for our fields: the value is the column in the data."""

    messages: Column | None = None
    """messages: column of Chat rows with a list of {role, content}."""
    instruction: Column | None = None
    """instruction: column of Instruction rows with the task."""
    input: Column | None = None
    """input: column of Instruction rows with further context; may be missing from the data."""
    output: Column | None = None
    """output: column of Instruction rows with the answer that is learnt."""
    prompt: Column | None = None
    """prompt: column of Completion, Preference and Prompt rows with what the model is given."""
    completion: Column | None = None
    """completion: column of Completion rows with the answer that is learnt."""
    text: Column | None = None
    """text: column of Text rows; all of it is learnt."""
    chosen: Column | None = None
    """chosen: column of Preference rows with the better answer."""
    rejected: Column | None = None
    """rejected: column of Preference rows with the worse answer."""
    label: Column | None = None
    """label: column with the right label of a Classification task."""
    group: Column | None = None
    """group: column of what belongs together, such as a customer or a document. Rows of one group never stand on both
    sides of a split, and count as one cluster in statistics."""


class DatasetSpec(ApiModel):
    """What the model learns from."""

    train: Sources
    """train lists the files and folders that the model learns from."""
    validation: ValidationSplit = nested(ValidationSplit)
    """validation data: the loss on it is watched during training, and decides when to stop early."""
    held_out: Sources | None = None
    """heldOut lists data that is never trained on. The leakage check looks for it among the training examples."""
    format: DataFormat = DataFormat.AUTO
    """format of a row: Chat {messages}, Instruction {instruction, input, output}, Completion {prompt, completion},
    Text {text}, Preference {prompt, chosen, rejected}, Prompt {prompt}. Auto tells by the columns."""
    columns: Columns = nested(Columns)
    """columns maps field names of the format to column names of your data, where they differ."""
    stratify_by: Column | None = None
    """stratifyBy names a column whose values have the same shares in the validation data as in the training data."""
    checks: DataChecks = nested(DataChecks)
    """checks run on the data before an accelerator is taken. Fail stops the job, Drop leaves the rows out, Warn reports
    them, Off does not look; Redact (pii only) blacks the places out."""
