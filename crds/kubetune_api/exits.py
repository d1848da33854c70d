"""Exit codes of the trainer: its whole vocabulary towards the Job controller and the operator."""

from enum import IntEnum


class Exit(IntEnum):
    """Process exit codes; 64-78 follow BSD sysexits where one fits."""

    DONE = 0
    BAD_SPEC = 64
    BAD_DATASET = 65
    MODEL_UNAVAILABLE = 66
    INTERNAL = 70
    OUT_OF_MEMORY = 71
    CHECKPOINTED = 75
    STALLED = 76
    DISK_FULL = 77
    DIVERGED = 78


#: Codes that another attempt cannot mend: the Job fails at once (podFailurePolicy FailJob).
PERMANENT = (Exit.BAD_SPEC, Exit.BAD_DATASET, Exit.MODEL_UNAVAILABLE, Exit.DISK_FULL, Exit.DIVERGED)

#: Condition reason of each code, in the API's CamelCase.
REASONS = {
    Exit.DONE: "Completed",
    Exit.BAD_SPEC: "BadSpec",
    Exit.BAD_DATASET: "BadDataset",
    Exit.MODEL_UNAVAILABLE: "ModelUnavailable",
    Exit.INTERNAL: "InternalError",
    Exit.OUT_OF_MEMORY: "OutOfMemory",
    Exit.CHECKPOINTED: "Checkpointed",
    Exit.STALLED: "Stalled",
    Exit.DISK_FULL: "DiskFull",
    Exit.DIVERGED: "Diverged",
}


def reason_of(code: int) -> str:
    """Return the reason for exit code `code`; signals read as `Killed`, others as `ExitCode<n>`."""
    if code in REASONS:
        return REASONS[Exit(code)]
    return "Killed" if code > 128 else f"ExitCode{code}"
