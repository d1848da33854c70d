"""Writes the children of every golden object anew: `python tests/golden/regenerate.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
_ENDING = ".children.yaml"


class _Readable(yaml.SafeDumper):
    """Text of several lines as a block, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Readable.add_representer(str, _text)


def pairs() -> Iterator[tuple[Path, Path]]:
    """Yield each golden object with the file of its children."""
    for path in sorted(HERE.glob("*.yaml")):
        if not path.name.endswith(_ENDING):
            yield path, path.with_name(path.stem + _ENDING)


def children(path: Path) -> str:
    """Return what an operator with default settings and a named image makes of the object in a file."""
    from kubetune_operator.plan import Refusal
    from kubetune_operator.render import render
    from kubetune_operator.settings import Settings

    settings = Settings(trainer_image="registry.example/kubetune/trainer:golden", image_pull_secrets=["registry"])
    found = render(yaml.safe_load(path.read_text()), settings)
    if isinstance(found, Refusal):
        raise ValueError(f"{path}: {found.message}")
    return yaml.dump_all(found, Dumper=_Readable, sort_keys=False, width=120, explicit_start=True)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1] / folder) for folder in ("crds", "operator")]
    for source, target in pairs():
        target.write_text(children(source))
        print(target)
