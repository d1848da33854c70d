"""`spec.dataset`: sources, split and thresholds of the checks."""

from collections.abc import Iterator

from kubetune_api.dataset import DatasetSpec
from kubetune_api.model import DataSource

from ..settings import Settings
from . import uris
from .bounds import between
from .plan import Refusal, bad

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


def sources(dataset: DatasetSpec) -> Iterator[tuple[str, DataSource]]:
    """Yield every source of the dataset with its field path."""
    groups = (
        ("train", dataset.train),
        ("validation.sources", dataset.validation.sources),
        ("heldOut", dataset.held_out),
    )
    for name, group in groups:
        for index, source in enumerate(group or []):
            yield f"spec.dataset.{name}[{index}]", source


def refuse_source(field: str, source: DataSource, settings: Settings) -> Iterator[Refusal]:
    """Refuse a source that cannot be read."""
    yield from uris.refuse(f"{field}.uri", source.uri, settings)
    name = source.uri.partition("?")[0].rpartition("/")[2].removesuffix(".gz")
    ending = name[name.rindex(".") :].lower() if "." in name else ""
    if uris.scheme_of(source.uri) != "hf" and ending in (".xlsx", ".txt", ".zip", ".arrow"):
        yield bad(f"{field}.uri", f"{ending} files are not read; write {', '.join(_ENDINGS)} or a folder of them")
    if uris.scheme_of(source.uri) == "https" and ending not in _ENDINGS:
        yield bad(f"{field}.uri", f"a download is one file, whose name ends in {', '.join(_ENDINGS)}")
    if source.split is not None and uris.scheme_of(source.uri) != "hf":
        yield bad(f"{field}.split", "only hf:// dataset repositories have splits; name the file instead")


def refuse(dataset: DatasetSpec, settings: Settings) -> Iterator[Refusal]:
    """Refuse sources that cannot be read and fractions that are none."""
    for field, source in sources(dataset):
        yield from refuse_source(field, source, settings)
    yield from between("spec.dataset.validation.fraction", dataset.validation.fraction, "0", "0.5")
    yield from between("spec.dataset.checks.maxBadFraction", dataset.checks.max_bad_fraction, "0", "1")
    train = {(source.uri, source.split) for source in dataset.train}
    for index, source in enumerate(dataset.held_out or []):
        if (source.uri, source.split) in train:
            yield bad(f"spec.dataset.heldOut[{index}]", f"{source.uri} is trained on as well; hold out other rows")


def claims(dataset: DatasetSpec) -> Iterator[str]:
    """Yield the claims that the sources lie on."""
    for _, source in sources(dataset):
        if claim := uris.claim_of(source.uri):
            yield claim


def secrets(dataset: DatasetSpec) -> Iterator[str]:
    """Yield the names of the Secrets that reading the sources needs."""
    for _, source in sources(dataset):
        if source.credentials_secret is not None:
            yield source.credentials_secret.name
