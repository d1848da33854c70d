"""Rules for names and labels, with the wording of `k8s.io/apimachinery/pkg/util/validation`."""

import re
import secrets
from typing import Any

from kubetune_local.apiserver.errors import FieldError, invalid_value, required

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"

SUBDOMAIN = re.compile(rf"^{_SUBDOMAIN}\Z")
LABEL = re.compile(rf"^{_LABEL}\Z")
DNS1035 = re.compile(rf"^{_DNS1035}\Z")
QUALIFIED = re.compile(rf"^{_QUALIFIED}\Z")
VALUE = re.compile(rf"^{_VALUE}\Z")
CONFIG_KEY = re.compile(rf"^{_CONFIG_KEY}\Z")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    f" an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123',"
    f" regex used for validation is '{_DNS1035}')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    f" character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    f" '{_VALUE}')"
)
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
    f" 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 58


def generated_name(prefix: str) -> str:
    """Append five random characters to a prefix, as the API server does for generateName."""
    return prefix[:_MAX_GENERATED] + "".join(secrets.choice(_SUFFIX) for _ in range(5))


def subdomain_problems(name: str) -> list[str]:
    """Say why a name is no DNS subdomain: the rule of most names."""
    problems = [] if SUBDOMAIN.match(name) else [_SUBDOMAIN_TEXT]
    return problems if len(name) <= 253 else ["must be no more than 253 bytes", *problems]


def label_problems(name: str) -> list[str]:
    """Say why a name is no DNS label: the rule of namespaces, containers and volumes."""
    problems = [] if LABEL.match(name) else [_LABEL_TEXT]
    return problems if len(name) <= 63 else ["must be no more than 63 bytes", *problems]


def service_problems(name: str) -> list[str]:
    """Say why a name is no DNS-1035 label: the rule of services."""
    problems = [] if DNS1035.match(name) else [_DNS1035_TEXT]
    return problems if len(name) <= 63 else ["must be no more than 63 bytes", *problems]


def path_segment_problems(name: str) -> list[str]:
    """Say why a name may not stand in a URL path: the rule of RBAC objects."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def config_key_problems(key: str) -> list[str]:
    """Say why a key may not stand in a ConfigMap or Secret."""
    if len(key) > 253:
        return ["must be no more than 253 characters"]
    return [] if CONFIG_KEY.match(key) else [_CONFIG_KEY_TEXT]


def qualified_name_problems(key: str) -> list[str]:
    """Say why a key is no qualified name, `[prefix/]name`."""
    prefix, slash, name = key.rpartition("/")
    problems = []
    if "/" in prefix:
        return [
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
            " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
            f" '{_QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in subdomain_problems(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not QUALIFIED.match(name):
        problems.append(_QUALIFIED_TEXT)
    return problems


def label_value_problems(value: str) -> list[str]:
    """Say why a value may not stand in a label."""
    problems = [] if len(value) <= 63 else ["must be no more than 63 bytes"]
    return problems if VALUE.match(value) else [*problems, _VALUE_TEXT]


def label_errors(labels: dict[str, Any], path: str) -> list[FieldError]:
    """Check the keys and values of labels."""
    errors = []
    for key, value in labels.items():
        errors += [invalid_value(path, key, problem) for problem in qualified_name_problems(key)]
        errors += [invalid_value(path, value, problem) for problem in label_value_problems(value)]
    return errors


def annotation_errors(annotations: dict[str, Any], path: str) -> list[FieldError]:
    """Check the keys of annotations and their total size."""
    errors = []
    for key in annotations:
        errors += [invalid_value(path, key, problem) for problem in qualified_name_problems(key.lower())]
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > 256 * 1024:
        errors.append(FieldError("FieldValueTooLong", path, "", "may not be more than 262144 bytes"))
    return errors


def owner_errors(owners: list[dict[str, Any]], path: str) -> list[FieldError]:
    """Check owner references: complete, and one controller at most."""
    errors = []
    for index, owner in enumerate(owners):
        here = f"{path}[{index}]"
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                errors.append(required(f"{here}.{name}", f"{name} must not be empty"))
    controllers = [f"{owner.get('name')}" for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        found = f"{controllers[0]} and {controllers[1]}"
        detail = f'Only one reference can have Controller set to true. Found "true" in references for {found}'
        errors.append(invalid_value(path, owners, detail))
    return errors
