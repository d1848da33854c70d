"""The chart as Helm renders it; `python tests/chart/rendering.py` writes the golden files anew."""

from pathlib import Path
from typing import Any

import yaml

try:
    import helm_python
except ImportError as error:
    raise ImportError("Helm is missing; the extra `dev` brings it: pip install -e '.[dev]'") from error

CHART = Path(__file__).parents[2] / "charts/kubetune"
SNAPSHOT = Path(__file__).parent / "defaults.yaml"
RIGHTS = Path(__file__).parent / "rights.yaml"
RELEASE, NAMESPACE = "kubetune", "kubetune-system"


def render(**values: Any) -> dict[str, str]:
    """Return the text of every template."""
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, name=RELEASE, namespace=NAMESPACE)


def objects(**values: Any) -> list[dict[str, Any]]:
    """Return the objects that a release has."""
    texts = (text for name, text in sorted(render(**values).items()) if not name.endswith("NOTES.txt"))
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def only(kind: str, **values: Any) -> dict[str, Any]:
    """Return the one object of a kind."""
    found = [document for document in objects(**values) if document["kind"] == kind]
    assert len(found) == 1, [document["metadata"]["name"] for document in found]
    return found[0]


def snapshot() -> str:
    """Return everything but the definitions, with the default values."""
    return yaml.safe_dump_all(objects(crds={"enabled": False}), sort_keys=False, width=120)


def rights() -> str:
    """Return every role and binding, with all of the cluster and with two namespaces."""
    modes = {"cluster": {}, "namespaced": {"namespaces": ["team-a", "team-b"]}}
    found = {
        mode: [
            {"kind": item["kind"], "name": item["metadata"]["name"], "namespace": item["metadata"].get("namespace")}
            | {part: item[part] for part in ("rules", "roleRef", "subjects") if part in item}
            for item in objects(**values)
            if item["apiVersion"].startswith("rbac.authorization.k8s.io/")
        ]
        for mode, values in modes.items()
    }
    return yaml.safe_dump(found, sort_keys=False, width=120)


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
    RIGHTS.write_text(rights())
