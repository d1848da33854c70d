"""The errors of the operator; the class decides what the queue does with a key.

OperatorError
|-- ApiError            the API server said no: status code and Kubernetes reason
|   |-- NotFound        404
|   |-- AlreadyExists   409 on create
|   |-- Conflict        409 on write: read again at once
|   `-- Forbidden       403: RBAC, quota, or a namespace that goes away
|-- ApiUnreachable      no answer: retried for ever, with little back-off, for it ends by itself
`-- NotLeader           another replica may lead: the key stays for when this one does

CannotStart             what the operator was told is of no use: the process ends with a message
"""


class OperatorError(Exception):
    """Anything the operator raises on purpose; every one of them is retried."""


class ApiError(OperatorError):
    """An answer of the API server that is an error."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """The object is not there."""


class AlreadyExists(ApiError):
    """An object of the name is there."""


class Conflict(ApiError):
    """The object changed since it was read."""


class Forbidden(ApiError):
    """RBAC, a quota, admission, or a terminating namespace."""

    action = "do this"
    """What was not allowed, for people: `list pods`."""


class ApiUnreachable(OperatorError):
    """No answer from the API server."""


class NotLeader(OperatorError):
    """This replica does not lead, or does not know that it still does: it writes nothing."""


class CannotStart(Exception):
    """What the operator was told is of no use: what is wrong, and what to do."""


def api_error(code: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    """Return the error class of an answer."""
    if code == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(code, reason, message, retry_after)
    return {404: NotFound, 403: Forbidden}.get(code, ApiError)(code, reason, message, retry_after)
