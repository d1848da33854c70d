"""Where data and models may come from: schemes, claims and the hub's naming."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..settings import Settings
from .plan import NOT_ALLOWED, Refusal, bad

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(/.*)?")
_CLAIM_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def scheme_of(uri: str) -> str:
    """Return the scheme of a uri."""
    return uri.partition("://")[0]


def claim_of(uri: str) -> str | None:
    """Return the claim that a pvc:// uri names, or None for other schemes."""
    parts = urlsplit(uri)
    return parts.netloc if parts.scheme == "pvc" else None


def refuse(field: str, uri: str, settings: Settings) -> Iterator[Refusal]:
    """Refuse a uri that this operator does not allow, or that names nothing."""
    scheme, _, rest = uri.partition("://")
    if scheme == "file" and not settings.allow_file_uris:
        problem = "file:// would be a file of the node; copy it to a claim and write pvc://<claim>/<path>"
        yield Refusal(NOT_ALLOWED, field, f"{field}: {problem}")
    if scheme == "file" and not rest.startswith("/"):
        yield bad(field, f"{uri} is not absolute; write file:///path")
    if scheme == "pvc" and not _CLAIM_NAME.fullmatch(rest.partition("/")[0]):
        yield bad(field, f"{uri} names no claim; write pvc://<claim>/<path>")
    if scheme == "hf" and not _HUB_NAME.fullmatch(rest):
        yield bad(field, f"{uri} names no repository; write hf://<organisation>/<name>")
    if scheme == "https" and not urlsplit(uri).hostname:
        yield bad(field, f"{uri} names no host; write https://<host>/<path>")
    if ".." in rest.split("/"):
        yield bad(field, f"{uri} climbs out of its root with '..'; write the path itself")
