"""Labels, selectors and containers as one line of text."""

from typing import Any

Obj = dict[str, Any]
NONE = "<none>"
_SYMBOLS = {"In": "in", "NotIn": "notin"}


def labels(values: Obj | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or NONE


def selector(value: Obj | None, empty: str = NONE) -> str:
    """Write a label selector as `kubectl get -l` reads it."""
    if value is None:
        return empty
    terms = [(key, f"{key}={text}") for key, text in (value.get("matchLabels") or {}).items()]
    terms += [(term["key"], _term(term)) for term in value.get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(terms)) or empty


def _term(term: Obj) -> str:
    key, operator = term["key"], term["operator"]
    if operator in _SYMBOLS:
        return f"{key} {_SYMBOLS[operator]} ({','.join(sorted(term.get('values') or ()))})"
    return key if operator == "Exists" else f"!{key}"


def containers(pod_spec: Obj) -> list[str]:
    """Names and images of the containers, the last two wide columns of many kinds."""
    all_of = pod_spec.get("containers") or ()
    return [",".join(str(item.get(key, "")) for item in all_of) for key in ("name", "image")]
