"""Field types shared by both kinds: bounded strings, decimals, durations, quantities, URIs."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
DURATION_PATTERN = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_KEY_PATTERN = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
LABEL_VALUE_PATTERN = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
URI_PATTERN = r"^(hf|pvc|s3|gs|https|file)://[^\s]+$"


class ApiModel(BaseModel):
    """A camelCase, closed object of the API; unknown fields are errors."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", use_attribute_docstrings=True, frozen=True
    )

    def dump(self) -> dict[str, Any]:
        """Return the JSON form, absent optionals left out, as the API server would store it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, min_length=1, max_length=63)]
"""An RFC 1123 label."""
ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME_PATTERN, min_length=1, max_length=253)]
"""An RFC 1123 subdomain: what the API server takes as the name of an object."""
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE_PATTERN, max_length=63)]
Uri = Annotated[str, StringConstraints(pattern=URI_PATTERN, max_length=1024)]
DecimalText = Annotated[str, StringConstraints(pattern=DECIMAL_PATTERN, min_length=1, max_length=32)]
"""A decimal as text: the Kubernetes API conventions forbid floats in specs."""
Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, min_length=2, max_length=32)]
Quantity = Annotated[
    str,
    BeforeValidator(_text),
    StringConstraints(pattern=QUANTITY_PATTERN, max_length=32),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32}),
]
"""A Kubernetes quantity, text or whole number."""

_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_SCALE |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def quantity_value(text: str) -> Decimal:
    """Return a Kubernetes quantity as a number of its base unit (bytes, cores).

    Raises:
        ValueError: `text` is no quantity.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity; write for example 8, 500m or 64Gi")
    number, unit = Decimal(match[1]), match[2] or ""
    return number / 1000 if unit == "m" else number * _SCALE[unit]


def duration_seconds(text: str) -> int:
    """Return a duration such as `1d12h` in seconds.

    Raises:
        ValueError: `text` is no duration.
    """
    if not text or re.fullmatch(DURATION_PATTERN, text) is None:
        raise ValueError(f"{text!r} is no duration; write for example 90s, 24h or 1d12h")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text))


def nested(model: type[BaseModel], **default: Any) -> Any:
    """Return a field that defaults to `model` built from `default`, with the same default in the schema."""
    return Field(default_factory=lambda: model(**default), json_schema_extra={"default": default})


def cel(rule: str, message: str, field_path: str | None = None) -> Any:
    """Return one `x-kubernetes-validations` entry."""
    return {"rule": rule, "message": message} | ({"fieldPath": field_path} if field_path else {})
