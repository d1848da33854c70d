"""Writes report.html and report.json into the folder of an evaluation."""

import json
from datetime import UTC, datetime
from pathlib import Path

from ..engine.durable import write_text
from ..evaluation.outcome import Outcome
from ..evaluation.store import ANSWERS
from ..paths import make_folder
from .context import ReportContext
from .document import report_document
from .page import render_page


def write_report(folder: Path, outcome: Outcome, context: ReportContext) -> Path:
    """Write both files and return the page.

    Raises:
        BadSpec: the folder cannot be written.
    """
    make_folder(folder)
    document = report_document(outcome, context, datetime.now(UTC))
    write_text(folder / "report.json", json.dumps(document, indent=1, allow_nan=False) + "\n", errors=ANSWERS)
    page = folder / "report.html"
    write_text(page, render_page(document), errors=ANSWERS)
    return page
