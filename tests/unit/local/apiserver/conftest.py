"""A cluster in memory, and builders of what is in it."""

from typing import Any

import pytest

from kubetune_local.apiserver.bootstrap import bootstrap
from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.conversions import share_events
from kubetune_local.apiserver.resources import Registry
from kubetune_local.apiserver.storage.store import Store
from kubetune_local.apiserver.verbs.create import create

Obj = dict[str, Any]


class World:
    """A cluster with requests on it made short."""

    def __init__(self) -> None:
        self.cluster = Cluster(Store(), Registry())
        share_events(self.cluster.registry)
        bootstrap(self.cluster)

    def request(self, path: str, name: str = "", subresource: str = "", manager: str = "test", **query: str) -> Request:
        """A request on `plural.version.group`; in the namespace default where there are any."""
        plural, version, group = (*path.split(".", 2), "", "")[:3]
        resource = self.cluster.registry.find(group, version or "v1", plural)
        assert resource is not None, path
        namespace = "default" if resource.namespaced else ""
        return Request(resource, namespace, name, subresource, query, manager)

    def create(self, path: str, body: Obj, **query: str) -> Obj:
        """Create an object."""
        return create(self.cluster, self.request(path, **query), body)


@pytest.fixture
def world() -> World:
    return World()
