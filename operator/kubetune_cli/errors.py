"""What the command line says when it cannot go on, and the exit codes that scripts rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `kubetune`."""

    DONE = 0
    FAILED = 1
    """The run failed, the manifest has errors, or the command could not do its work."""
    USAGE = 2
    GATES_FAILED = 3
    """The run ended, but a gate does not hold."""
    TIMED_OUT = 4
    INTERRUPTED = 130


class CliError(Exception):
    """Something a person must mend: what is wrong, and in `hint` what to do."""

    def __init__(self, message: str, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
