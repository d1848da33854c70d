"""Kubernetes API errors: one exception that renders as a `Status` object, and the field errors inside it.

Messages follow `k8s.io/apimachinery/pkg/api/errors` and `util/validation/field` word for word: people and
clients match on them.
"""

import json
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
NO_VALUE: Any = object()

_ERROR_TYPES = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
}


def quote(text: str) -> str:
    """Quote a string as Go's %q does for printable text."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: `reason` is the machine-readable cause, `detail` is for people."""

    reason: str
    field: str
    value: Any = NO_VALUE
    detail: str = ""

    def body(self) -> str:
        """Render without the field path."""
        head = _ERROR_TYPES[self.reason]
        if self.value is not NO_VALUE:
            head = f"{head}: {self._rendered_value()}"
        return f"{head}: {self.detail}" if self.detail else head

    def _rendered_value(self) -> str:
        if isinstance(self.value, str):
            return quote(self.value)
        if self.value is None:
            return "null"
        return json.dumps(self.value, separators=(",", ":"), ensure_ascii=False)

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"


def required(field: str, detail: str = "") -> FieldError:
    """A field that must be set is not."""
    return FieldError("FieldValueRequired", field, detail=detail)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    """A value breaks a rule."""
    return FieldError("FieldValueInvalid", field, value, detail)


def unsupported(field: str, value: Any, supported: list[str]) -> FieldError:
    """A value outside an enumeration."""
    return FieldError(
        "FieldValueNotSupported", field, value, "supported values: " + ", ".join(quote(item) for item in supported)
    )


def forbidden_value(field: str, detail: str) -> FieldError:
    """A field that may not be set, or not changed, here."""
    return FieldError("FieldValueForbidden", field, detail=detail)


def not_found_value(field: str, value: Any) -> FieldError:
    """A reference to something that is not there."""
    return FieldError("FieldValueNotFound", field, value)


def duplicate_value(field: str, value: Any) -> FieldError:
    """An item that may appear only once appears again."""
    return FieldError("FieldValueDuplicate", field, value)


class StatusError(Exception):
    """A refusal that is sent to the client as a Kubernetes `Status` object."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def to_status(self) -> Obj:
        """Return the Status object of the response body."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if not self.reason:
            del status["reason"]
        if self.details is not None:
            status["details"] = self.details
        return status


def qualified(resource: str, group: str) -> str:
    """`finetunejobs.kubetune.io`, or the bare plural for the core group."""
    return f"{resource}.{group}" if group else resource


def _object_details(resource: str, group: str, name: str) -> Obj:
    details = {"name": name, "group": group, "kind": resource}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> StatusError:
    """400: the request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: no or a wrong token."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, group: str, name: str, why: str, causes: list[Obj] | None = None) -> StatusError:
    """403: understood, and refused."""
    details = _object_details(resource, group, name)
    if causes:
        details["causes"] = causes
    subject = f'{qualified(resource, group)} "{name}"' if name else qualified(resource, group)
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def not_found(resource: str, group: str, name: str) -> StatusError:
    """404: the object does not exist."""
    return StatusError(
        404, "NotFound", f"{qualified(resource, group)} {quote(name)} not found", _object_details(resource, group, name)
    )


def no_such_path() -> StatusError:
    """404: the server has no such resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """405: the resource exists but not this verb on it."""
    return StatusError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def not_acceptable(offered: str) -> StatusError:
    """406: no media type that both sides know."""
    message = f"406: Not Acceptable\n\nAvailable representations: {offered}"
    return StatusError(406, "NotAcceptable", message, {})


def already_exists(resource: str, group: str, name: str) -> StatusError:
    """409: the name is taken."""
    return StatusError(
        409,
        "AlreadyExists",
        f"{qualified(resource, group)} {quote(name)} already exists",
        _object_details(resource, group, name),
    )


def conflict(resource: str, group: str, name: str, why: str) -> StatusError:
    """409: the object is not the one the client saw."""
    return StatusError(
        409,
        "Conflict",
        f"Operation cannot be fulfilled on {qualified(resource, group)} {quote(name)}: {why}",
        _object_details(resource, group, name),
    )


def modified(resource: str, group: str, name: str) -> StatusError:
    """409: a stale resourceVersion was sent."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, group, name, why)


def expired(message: str) -> StatusError:
    """410: the requested resourceVersion is compacted."""
    return StatusError(410, "Expired", message)


def too_large_resource_version(asked: int, current: int) -> StatusError:
    """504: the requested resourceVersion lies in the future."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, details)


def unsupported_media_type(accepted: str) -> StatusError:
    """415: the body is in a format the server does not read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message)


def invalid(kind: str, group: str, name: str, errors: list[FieldError]) -> StatusError:
    """422: the object breaks its schema or rules; every field error is listed as a cause."""
    unique = list(dict.fromkeys(str(error) for error in errors))
    listed = unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
    details: Obj = {"name": name, "group": group, "kind": kind}
    details = {key: value for key, value in details.items() if value}
    details["causes"] = [
        {"reason": error.reason, "message": error.body(), "field": error.field} for error in errors
    ]
    return StatusError(422, "Invalid", f"{qualified(kind, group)} {quote(name)} is invalid: {listed}", details)


def internal(message: str) -> StatusError:
    """500: a bug or a broken peer."""
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)
