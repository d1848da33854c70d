"""Logging: one line an event, as text for people or JSON for machines."""

import json
import logging
import sys
from datetime import UTC, datetime

from kubetune_api.scrub import scrub, scrub_document


class TextFormatter(logging.Formatter):
    """A line for people, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below it."""
        return scrub(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON document a line, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(scrub_document(document), ensure_ascii=False)


def configure_logging(form: str, level: str) -> None:
    """Log to stderr in the given form from the given level on."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
