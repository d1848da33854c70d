"""What a Kubernetes API server serves by itself: resources, schemas and table columns, as a real one tells them."""

import functools
import json
from pathlib import Path
from typing import Any

Obj = dict[str, Any]


@functools.cache
def description() -> Obj:
    """Return `builtin.json`: `version`, `resources` and `schemas`; see `extract`."""
    loaded: Obj = json.loads(Path(__file__).with_name("builtin.json").read_text(encoding="utf-8"))
    return loaded
