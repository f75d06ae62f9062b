"""The commands of `python -m groundswell.native`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from groundswell.native import components, demo, doctor, models, scaling, services, stack, tables
from groundswell.native import settings as stack_settings
from groundswell.native.errors import StackError

app = typer.Typer(help="Runs the whole platform on this machine, without containers.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else.")]


@app.command()
def provide(
    model: Annotated[list[str] | None, typer.Option(help="Models instead of those that the stack runs.")] = None,
) -> None:
    """Fetch, build and verify components and models; quick when they are there."""
    settings = stack_settings.load()
    components.provide(settings)
    models.pull(model or models.needed(settings), settings)


@app.command()
def up(
    only_components: Annotated[bool, typer.Option("--components", help="Kafka, Weaviate and PostgreSQL only.")] = False,
) -> None:
    """Start the stack and wait until it is ready."""
    settings = stack_settings.load()
    started = stack.up_components(settings) if only_components else stack.up(settings)
    verb = "runs already" if started.was_running else "is up"
    typer.echo(f"The stack {verb}{f' at {started.http}' if started.http else ' (components only)'}.")


@app.command()
def down() -> None:
    """Stop the stack; its state stays."""
    stopped = stack.down(stack_settings.load().home)
    typer.echo("Stopped." if stopped else "Nothing was running.")


@app.command()
def reset() -> None:
    """Stop the stack and delete its state; shared downloads and builds stay."""
    home = stack_settings.load().home
    stack.reset(home)
    typer.echo(f"Removed {home.path}.")


@app.command("status")
def show_status(as_json: AsJson = False) -> None:
    """Show every process and what it lacks."""
    now = stack.status(stack_settings.load().home)
    if as_json:
        typer.echo(now.model_dump_json(indent=1))
    else:
        Console().print(tables.of_status(now))


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is a number that cannot be, not an option
def scale(service: str, copies: str) -> None:
    """Run that many processes of a service."""
    wanted = services.number_of_copies(copies)
    pids = scaling.scale(stack_settings.load().home, service, wanted, _remark)
    typer.echo(tables.of_scaled(service, pids, wanted))
    if idle := services.idle_copies(service, wanted):
        _remark(f"note: {idle}")


def _remark(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def restart(service: str) -> None:
    """Drain and start again every process of a service or component."""
    pids = stack.restart(stack_settings.load().home, service)
    typer.echo(f"{service}: restarted ({', '.join(map(str, pids))})")


@app.command()
def logs(service: str, lines: Annotated[int, typer.Option("-n", help="Lines from the end.")] = 100) -> None:
    """Show the log of a service, and go on showing it on a terminal."""
    folder = stack_settings.load().home.logs
    path = folder / f"{service}.log"
    if not path.is_file():
        known = (
            ", ".join(sorted(found.stem for found in folder.glob("*.log")))
            or "none yet: start the stack with `make up`"
        )
        raise StackError(f"there is no log of {service!r}; logs: {known}")
    follow = ("-F",) if sys.stdout.isatty() else ()
    tail = shutil.which("tail") or "tail"
    os.execv(tail, [tail, "-n", str(lines), *follow, str(path)])  # noqa: S606 - a log file of ours, no shell


@app.command("components")
def show_components() -> None:
    """Say where the components of this stack answer, without their secrets."""
    settings = stack_settings.load()
    Console().print(tables.of_components(settings))


@app.command("doctor")
def run_doctor() -> None:
    """Say what this machine lacks, before anything heavy starts."""
    raise typer.Exit(doctor.main())


@app.command("demo")
def run_demo() -> None:
    """Ingest documents that every machine has, and ask a question about them. The stack has to be up."""
    demo.run(stack_settings.load().home, Path.cwd())


def main() -> None:
    """Failures are one clear message on standard error and a non-zero exit."""
    try:
        app()
    except StackError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
