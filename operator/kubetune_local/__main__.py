"""Start a cluster on this machine: `python -m kubetune_local --directory DIR`; SIGTERM ends it."""

import asyncio
import logging
import signal
import sys

from kubetune_local.launch.options import Options, read_options


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    options = read_options()
    logging.basicConfig(
        level=options.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    from kubetune_local.launch.programs import LaunchError

    try:
        asyncio.run(_until_stopped(options))
    except LaunchError as error:
        print(f"kubetune_local: {error}", file=sys.stderr)
        return 1
    return 0


async def _until_stopped(options: Options) -> None:
    from kubetune_local.launch.cluster import Cluster

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Cluster(options).run(stop)


if __name__ == "__main__":
    sys.exit(main())
