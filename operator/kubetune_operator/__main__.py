"""Start the operator: `python -m kubetune_operator`, with KUBECONFIG or a service account, and KUBETUNE_* settings."""

import asyncio
import logging
import os
import signal
import sys

from pydantic import ValidationError

from .errors import CannotStart
from .settings import Settings

#: Settings, kubeconfig or address of the pages are of no use: a restart without a change mends nothing.
_USAGE = 64


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    try:
        settings = Settings.load(os.environ)
    except (ValidationError, ValueError, OSError) as error:
        print(f"kubetune-operator: the settings are not valid: {error}", file=sys.stderr)
        return _USAGE
    from .logs import configure_logging

    configure_logging(settings.log_format, settings.log_level)
    try:
        asyncio.run(_until_stopped(settings))
    except CannotStart as error:
        print(f"kubetune-operator: {error}", file=sys.stderr)
        return _USAGE
    return 0


async def _until_stopped(settings: Settings) -> None:
    from .runtime import run

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    task = asyncio.create_task(run(settings))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    logging.getLogger(__name__).info("stopping")
    task.cancel()
    stopped.cancel()
    await asyncio.wait({task}, timeout=3)


if __name__ == "__main__":
    sys.exit(main())
