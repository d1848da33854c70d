"""Writes the children of every golden object anew: `python tests/golden/regenerate.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

HERE = Path(__file__).parent
_ENDING = ".children.yaml"


def pairs() -> Iterator[tuple[Path, Path]]:
    """Yield each golden object with the file of its children."""
    for path in sorted(HERE.glob("*.yaml")):
        if not path.name.endswith(_ENDING):
            yield path, path.with_name(path.stem + _ENDING)


def children(path: Path) -> str:
    """Return what an operator with default settings and a named image makes of the object in a file."""
    from kubetune_cli.plan import as_yaml
    from kubetune_operator.plan import Refusal
    from kubetune_operator.render import render
    from kubetune_operator.settings import Settings

    settings = Settings(trainer_image="registry.example/kubetune/trainer:golden", image_pull_secrets=["registry"])
    found = render(yaml.safe_load(path.read_text()), settings)
    if isinstance(found, Refusal):
        raise ValueError(f"{path}: {found.message}")
    return as_yaml(found)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1] / folder) for folder in ("crds", "operator")]
    for source, target in pairs():
        target.write_text(children(source))
        print(target)
