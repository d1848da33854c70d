"""Processes whose wall clock is wrong: a small library, preloaded, answers for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.harness.nursery import Nursery
from cluster.harness.process import environment


@contextmanager
def nursery_with_clock(directory: Path, offset: int) -> Iterator[Nursery]:
    """Yield a nursery whose operators' wall clock is off by some seconds."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "a C compiler is needed to set the clock of a process off"
    library = directory / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    more = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
    made = Nursery(environment(**more), more)
    try:
        yield made
    finally:
        made.close()
