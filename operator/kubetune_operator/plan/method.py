"""`spec.method`: objective and tuning."""

from collections.abc import Iterator

from kubetune_api.dataset import DataFormat, DatasetSpec
from kubetune_api.method import MethodSpec, Objective

from .bounds import between
from .plan import Refusal, bad

_SFT_FORMATS = (DataFormat.AUTO, DataFormat.CHAT, DataFormat.INSTRUCTION, DataFormat.COMPLETION, DataFormat.TEXT)


def refuse(method: MethodSpec, dataset: DatasetSpec) -> Iterator[Refusal]:
    """Refuse a dropout that is no probability, and data that the objective cannot use."""
    if method.lora is not None:
        yield from between("spec.method.lora.dropout", method.lora.dropout, "0", "0.9")
    if method.objective is Objective.SFT and dataset.format not in _SFT_FORMATS:
        formats = ", ".join(_SFT_FORMATS)
        yield bad("spec.dataset.format", f"objective SFT learns from {formats}, not from {dataset.format} rows")
