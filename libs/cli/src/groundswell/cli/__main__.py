"""The `groundswell` command."""

import sys

import typer

from groundswell.cli.app import app
from groundswell.cli.errors import CommandFailedError
from groundswell.cli.invocation import command as typed
from groundswell.cli.terminal import one_line, remark

INTERRUPTED = 130


def run(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status. A failure is one line on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments or ["--help"], prog_name=typed(), standalone_mode=False)
    except CommandFailedError as error:
        remark(f"error: {one_line(str(error))}")
        return 1
    except typer.TyperException as error:
        return _misused(error)
    if status == INTERRUPTED:
        remark("cancelled")
    return status if isinstance(status, int) else 0


def _misused(error: typer.TyperException) -> int:
    context: typer.Context | None = getattr(error, "ctx", None)
    path = context.command_path if context is not None else typed()
    said = one_line(error.format_message()).replace("Value error, ", "").rstrip(".")
    remark(f"error: {said}; see `{path} --help`")
    return error.exit_code


def main() -> None:
    """The console script."""
    try:
        status = run()
    except KeyboardInterrupt:
        status = INTERRUPTED  # once more, while the first was being answered
    sys.exit(status)


if __name__ == "__main__":
    main()
