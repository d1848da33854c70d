"""`spec.model`: a source of weights."""

from collections.abc import Iterator

from kubetune_api.model import ModelSource

from ..settings import Settings
from . import uris
from .plan import Refusal, bad


def refuse(field: str, model: ModelSource, settings: Settings) -> Iterator[Refusal]:
    """Refuse a model that cannot be read, or a revision of something without revisions."""
    yield from uris.refuse(f"{field}.uri", model.uri, settings)
    if model.revision is not None and uris.scheme_of(model.uri) != "hf":
        yield bad(f"{field}.revision", f"only hf:// repositories have revisions, not {model.uri}")


def secrets(model: ModelSource | None) -> Iterator[str]:
    """Yield the names of the Secrets that reading the model needs."""
    if model is not None and model.credentials_secret is not None:
        yield model.credentials_secret.name
