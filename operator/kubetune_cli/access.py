"""Access to a cluster: which one, and requests to it.

kubernetes' own configuration loader is used, so that client certificates, exec plugins and in-cluster proxies work;
the requests are plain JSON, since the objects are ours.
"""

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .errors import CliError

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

GROUP_PATH = "/apis/kubetune.io/v1alpha1"
PLURALS = {"FineTuneJob": "finetunejobs", "EvalRun": "evalruns"}
KIND_NAMES = {
    "finetunejob": "FineTuneJob",
    "finetunejobs": "FineTuneJob",
    "ftj": "FineTuneJob",
    "evalrun": "EvalRun",
    "evalruns": "EvalRun",
    "evr": "EvalRun",
}
Object = dict[str, Any]


class ApiError(CliError):
    """A `Status` that the API server answered."""

    def __init__(self, status: int, body: Object) -> None:
        self.status = status
        self.body = body
        self.reason = str(body.get("reason", ""))
        super().__init__(str(body.get("message") or f"the API server answered {status}"), _remedy(status, body))


def _remedy(status: int, body: Object) -> str:
    if status == 404 and "name" not in (body.get("details") or {}):
        return "are KubeTune's CRDs installed in this cluster? helm install kubetune charts/kubetune"
    return {401: "log in to the cluster again", 403: "ask for the rights, or choose another --namespace"}.get(
        status, ""
    )


@dataclass(frozen=True)
class Where:
    """Which cluster and namespace a command means; None asks the kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    local_directory: str = ".kubetune"

    def config_file(self) -> str | None:
        """Return the kubeconfig to use: the one given, $KUBECONFIG, the local cluster's if it runs, or the default."""
        if self.kubeconfig or self.context or os.environ.get("KUBECONFIG"):
            return self.kubeconfig
        from .localstate import LocalState

        state = LocalState(Path(self.local_directory))
        return str(state.kubeconfig) if state.cluster_alive() else None


class Cluster:
    """One API server as one user, in one namespace."""

    def __init__(self, where: Where) -> None:
        """Load the configuration.

        Raises:
            CliError: there is no usable kubeconfig or context.
        """
        from kubernetes import config
        from kubernetes.config.config_exception import ConfigException

        file = where.config_file()
        try:
            self._api = config.new_client_from_config(config_file=file, context=where.context)
            _, active = config.list_kube_config_contexts(config_file=file)
            chosen = where.context or active["name"]
            contexts, _ = config.list_kube_config_contexts(config_file=file)
        except (ConfigException, OSError, KeyError, TypeError, yaml.YAMLError) as error:
            raise CliError(
                f"no cluster to talk to: {error}",
                "start one here with `kubetune local up`, or give --kubeconfig or --context",
            ) from error
        self.context = str(chosen)
        context: Object = next((entry["context"] for entry in contexts if entry["name"] == chosen), {})
        self.namespace = where.namespace or str(context.get("namespace") or "default")
        if not self._api.configuration.verify_ssl:
            import urllib3

            # The kubeconfig says insecure-skip-tls-verify: a warning for each request tells its owner nothing new.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def _open(
        self, method: str, path: str, query: dict[str, str], body: Any, content_type: str, timeout: float | None
    ) -> "BaseHTTPResponse":
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "kubetune"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        host = self._api.configuration.host.rstrip("/")
        try:
            response: BaseHTTPResponse = self._api.rest_client.pool_manager.request(
                method,
                f"{host}{path}",
                fields=query or None,
                headers=headers,
                body=None if body is None else json.dumps(body),
                preload_content=False,
                retries=False,
                timeout=Timeout(connect=5, read=timeout),
            )
        except HTTPError as error:
            raise Unreachable(f"the API server at {host} does not answer", str(error)) from error
        if response.status >= 400:
            raise ApiError(response.status, _status_of(response))
        return response

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Make one call and return the JSON answer.

        Raises:
            ApiError: the server refused.
            Unreachable: it cannot be reached.
        """
        query = query or {}
        if body is not None and query:
            path, query = f"{path}?{'&'.join(f'{key}={value}' for key, value in query.items())}", {}
        answer: Object = json.loads(self._open(method, path, query, body, content_type, 30).read() or b"{}")
        return answer

    def stream(self, path: str, query: dict[str, str], *, idle: float) -> Iterator[bytes]:
        """Yield the lines of a watch or a log as they come; it ends after `idle` silent seconds, or with the server."""
        from urllib3.exceptions import HTTPError

        response = self._open("GET", path, query, None, "application/json", idle)
        rest = b""
        try:
            while chunk := response.read1(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except HTTPError:
            return
        finally:
            response.close()

    def path(self, kind: str, name: str = "") -> str:
        """Return the URL path of one of our kinds in the namespace."""
        return f"{GROUP_PATH}/namespaces/{self.namespace}/{PLURALS[kind]}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> Object:
        """Return an object.

        Raises:
            CliError: it does not exist; the nearest names are in the hint.
        """
        try:
            return self.request("GET", self.path(kind, name))
        except ApiError as error:
            if error.status != 404 or (error.body.get("details") or {}).get("name") != name:
                raise
            raise self._not_found(kind, name) from error

    def _not_found(self, kind: str, name: str) -> CliError:
        names = [item["metadata"]["name"] for item in self.request("GET", self.path(kind)).get("items", [])]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
        hint = f"did you mean {', '.join(near)}?" if near else "there is none in this namespace"
        return CliError(f"no {kind} named {name!r} in namespace {self.namespace} of {self.context}", hint)

    def find(self, reference: str) -> Object:
        """Return the object that `NAME`, `ftj/NAME` or `evr/NAME` means; a bare name prefers the FineTuneJob."""
        prefix, slash, name = reference.rpartition("/")
        if slash:
            if prefix.lower() not in KIND_NAMES:
                raise CliError(f"{prefix!r} is no kind of ours", "write ftj/NAME or evr/NAME")
            return self.get(KIND_NAMES[prefix.lower()], name)
        try:
            return self.get("FineTuneJob", name)
        except ApiError:
            raise
        except CliError:
            return self._evaluation_or_raise(name)

    def _evaluation_or_raise(self, name: str) -> Object:
        try:
            return self.request("GET", self.path("EvalRun", name))
        except ApiError as error:
            if error.status != 404:
                raise
            raise self._not_found("FineTuneJob", name) from error


class Unreachable(CliError):
    """The API server does not answer."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message, "is the cluster up? `kubetune local status`, or check --kubeconfig and --context")
        self.detail = detail


def _status_of(response: "BaseHTTPResponse") -> Object:
    text = response.read().decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        return {"message": text.strip()[:500]}
    return body if isinstance(body, dict) else {"message": text[:500]}
