"""From a request's body to an object of the kind, and from storage to what a client sees."""

import json
from typing import Any

from kubetune_local.apiserver.cluster import Request
from kubetune_local.apiserver.errors import StatusError, bad_request, invalid, invalid_value
from kubetune_local.apiserver.kinds.strategies import strategy_of
from kubetune_local.apiserver.resources import Resource
from kubetune_local.apiserver.schema.decode import DecodeError, Decoder, object_meta
from kubetune_local.apiserver.schema.structural import default, prune
from kubetune_local.apiserver.storage.store import encode

Obj = dict[str, Any]


def decode(request: Request, body: Any, *, defaults: bool = True, patched: bool = False) -> Obj:
    """Return a body as an object of the requested kind: known fields only, defaults set.

    `patched` tells that the body is what a patch made of an object: unknown fields are then the patch's fault.
    """
    resource = request.resource
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type Object)")
    _check_type(resource, body)
    body.setdefault("metadata", {})
    decoder = Decoder()
    try:
        if resource.custom is None:
            obj = decoder.decode(resource.schema, body)
            obj.setdefault("metadata", {})
        else:
            obj = _decode_custom(resource, body, decoder)
    except DecodeError as error:
        raise bad_request(f"{_cannot(resource)}: {error}") from None
    _report_unknown(request, decoder.unknown, patched)
    if defaults:
        set_defaults(resource, obj)
    return obj


def set_defaults(resource: Resource, obj: Obj) -> None:
    """Set the defaults of the kind in place."""
    if resource.custom is None:
        strategy_of(resource).default(obj)
    else:
        default(resource.schema, obj)


def _check_type(resource: Resource, body: Obj) -> None:
    """Complete the type of an object; it must be the one of the path."""
    version, kind = body.get("apiVersion") or resource.api_version, body.get("kind") or resource.kind
    if version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    if kind != resource.kind:
        group = resource.api_version if resource.group else resource.version
        raise bad_request(
            f'{kind} in version "{group}" cannot be handled as a {resource.kind}: no kind "{kind}" is registered here'
        )
    body["apiVersion"], body["kind"] = version, kind


def _decode_custom(resource: Resource, body: Obj, decoder: Decoder) -> Obj:
    metadata = body["metadata"]
    if not isinstance(metadata, dict):
        raise DecodeError("json: cannot unmarshal metadata into Go struct field .metadata of type v1.ObjectMeta")
    inner = Decoder()
    obj: Obj = {**body, "metadata": inner.decode(object_meta(), metadata)}
    decoder.unknown += [f"metadata.{path}" for path in inner.unknown]
    decoder.unknown += prune(resource.schema, obj)
    return obj


def _cannot(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def _report_unknown(request: Request, unknown: list[str], patched: bool) -> None:
    if not unknown or request.field_validation == "Ignore":
        return
    found = [f'unknown field "{path}"' for path in unknown]
    if request.field_validation == "Warn":
        request.warnings += found
        return
    text = f"strict decoding error: {', '.join(found)}"
    if patched:
        error = invalid_value("patch", "", text)
        raise invalid(request.resource.kind, request.resource.group, request.name, [error])
    raise bad_request(f"{_cannot(request.resource)}: {text}")


def check_place(request: Request, obj: Obj) -> None:
    """Complete namespace and name from the path; what the body says must agree."""
    metadata = obj["metadata"]
    if request.resource.namespaced:
        if metadata.setdefault("namespace", request.namespace) != request.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    if request.name and metadata.setdefault("name", request.name) != request.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({request.name})"
        )


def to_storage(resource: Resource, obj: Obj) -> Obj:
    """Return an object in the version it is stored in."""
    if resource.to_storage is not None:
        return resource.to_storage(obj)
    if resource.custom is not None and resource.storage_version != resource.version:
        return {**obj, "apiVersion": f"{resource.group}/{resource.storage_version}"}
    return obj


def from_storage(resource: Resource, obj: Obj) -> Obj:
    """Return a stored object in the version that is asked for; it may share parts with the stored one."""
    if resource.from_storage is not None:
        return resource.from_storage(obj)
    if obj.get("apiVersion") == resource.api_version:
        return obj
    converted: Obj = {**obj, "apiVersion": resource.api_version}
    if resource.custom is not None:
        converted = json.loads(encode(converted))
        prune(resource.schema, converted)
        default(resource.schema, converted)
    return converted


def status_error(message: str) -> StatusError:
    """500 without a reason, as the server answers where its own code returns a plain error."""
    return StatusError(500, "", message)
