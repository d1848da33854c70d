"""Entry point of `kubetune` and of the kubectl plugin `kubectl tune`."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from .arguments import parser
from .errors import CliError, ExitCode


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    program = "kubectl tune" if Path(sys.argv[0]).name.startswith("kubectl") else "kubetune"
    options = parser(program).parse_args(arguments)
    try:
        return run(options)
    except CliError as error:
        if options.debug:
            raise
        tell(error)
        return int(error.code)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)


def tell(error: CliError) -> None:
    """Write an error and its remedy to standard error."""
    sys.stderr.write(f"error: {error.message}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))


def run(options: Namespace) -> int:
    """Run the command that was parsed; each is imported only when asked for."""
    if options.command == "local":
        from .local import run_local

        return run_local(options)
    if options.command == "validate":
        from .validate import run_validate

        return run_validate(options.file)
    if options.command == "plan":
        from .plan import run_plan

        return run_plan(options.file, quiet=options.quiet)
    from .access import Cluster, Where

    where = Where(options.kubeconfig, options.context, options.namespace)
    if options.command == "watch":
        from .watch import run_watch

        return int(run_watch(Cluster(where), options.name, plain=options.plain, timeout=options.timeout))
    if options.command == "explain":
        from .explain import run_explain

        return int(run_explain(Cluster(where), options.name, kind=options.kind, output=options.output))
    from .results import run_results

    return int(run_results(Cluster(where), options.name, everything=options.all))


if __name__ == "__main__":
    sys.exit(main())
