"""Start the operator: `python -m kubetune_operator`, with KUBECONFIG or a service account, and KUBETUNE_* settings."""

import asyncio
import os
import signal
import sys

from pydantic import ValidationError

from .errors import CannotStart
from .settings import Settings

#: Settings, kubeconfig or address of the pages are of no use: a restart without a change mends nothing.
_USAGE = 64
#: Enough to let the last write land and to give the Lease back.
_END_SECONDS = 4.0


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
    task = asyncio.create_task(run(settings, stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await asyncio.wait({task}, timeout=_END_SECONDS)
    if task.done():
        task.result()


if __name__ == "__main__":
    sys.exit(main())
