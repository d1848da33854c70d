"""The trainer's errors: the class says the exit code, the text says what, where and what to do.

TrainerError
├── BadSpec            64  the run file asks for something that cannot be
├── BadDataset         65  the data cannot be trained on
├── ModelUnavailable   66  the model is missing, forbidden, damaged or of an unknown kind
├── Checkpointed       75  stopped on request, state saved; resume me
├── OutOfMemory        71  the memory does not hold it
│   ├── PeerLost           another process of the same training has ended
│   └── Superseded         another process has taken the workspace over; nothing more is written
├── Stalled            76  no step within the time limit
├── DiskFull           77  no space left in the workspace
└── Diverged           78  the loss or the gradients are no longer finite
"""

from __future__ import annotations

import errno

from kubetune_api.exits import REASONS, Exit


class TrainerError(Exception):
    """An end of the run that a person can act on."""

    exit_code = Exit.INTERNAL

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        """message: what is wrong, where, and what to do."""
        self.reason = reason or REASONS[self.exit_code]
        """reason in CamelCase for the condition."""


class BadSpec(TrainerError):
    """The run file asks for something that cannot be."""

    exit_code = Exit.BAD_SPEC


class BadDataset(TrainerError):
    """The data cannot be trained on."""

    exit_code = Exit.BAD_DATASET


class ModelUnavailable(TrainerError):
    """The model is missing, forbidden, damaged or of an unknown kind."""

    exit_code = Exit.MODEL_UNAVAILABLE


class Checkpointed(TrainerError):
    """Stopped on request with the state saved."""

    exit_code = Exit.CHECKPOINTED


class OutOfMemory(TrainerError):
    """The memory of the pod or of its accelerator does not hold it; the next attempt takes less at a time."""

    exit_code = Exit.OUT_OF_MEMORY


class Superseded(Checkpointed):
    """Another process has taken the workspace over; this one writes nothing more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="Superseded")


class PeerLost(Checkpointed):
    """Another process of the same training has ended or fallen silent; this one cannot go on without it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="PeerLost")


class Stalled(TrainerError):
    """No step within the time limit."""

    exit_code = Exit.STALLED


class DiskFull(TrainerError):
    """No space left in the workspace."""

    exit_code = Exit.DISK_FULL


class Diverged(TrainerError):
    """The loss or the gradients are no longer finite."""

    exit_code = Exit.DIVERGED


def as_trainer_error(error: BaseException) -> TrainerError:
    """Return `error` as the TrainerError it amounts to: full disks and unwritable places are told from bugs."""
    if isinstance(error, TrainerError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Checkpointed("stopped before it was done; the next attempt goes on with what is in the workspace")
    if _is_full(error):
        name = getattr(error, "filename", None)
        place = f" while writing {name}" if name else ""
        return DiskFull(f"the workspace is full{place}; give spec.workspace.size more, or keep fewer checkpoints")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return BadSpec(
            f"cannot write {error.filename}: {error.strerror}; give the claim an access mode and an owner "
            "that let the pod's user write",
            reason="OutputNotWritable",
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the second is torch's
        remedy = "give spec.resources.memory more, or lower sequenceLength"
        return OutOfMemory(f"out of memory; {remedy}")
    text = str(error).strip().splitlines()
    return TrainerError(f"{type(error).__name__}: {text[0] if text else 'no message'} (the log has the traceback)")


def _is_full(error: BaseException) -> bool:
    """Tell a full disk, also where a library written in Rust reports it as text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return type(error).__name__ == "SafetensorError" and "No space left on device" in str(error)
