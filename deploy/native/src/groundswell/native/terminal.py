"""The commands of `python -m groundswell.native`."""

import sys
from typing import Annotated

import typer

from groundswell.native import settings as settings_of_stack
from groundswell.native import stack
from groundswell.native.errors import StackError

app = typer.Typer(help="Runs the whole platform on this machine, without containers.", no_args_is_help=True)


@app.command()
def up(
    only_components: Annotated[bool, typer.Option("--components", help="Kafka, Weaviate and PostgreSQL only.")] = False,
) -> None:
    """Start the stack and wait until it is ready."""
    settings = settings_of_stack.load()
    started = stack.up_components(settings)
    typer.echo("The components run already." if started.was_running else "Kafka, Weaviate and PostgreSQL are ready.")


@app.command()
def down() -> None:
    """Stop the stack; its state stays."""
    stopped = stack.down(settings_of_stack.load().home)
    typer.echo("Stopped." if stopped else "Nothing was running.")


@app.command()
def reset() -> None:
    """Stop the stack and delete its state; shared downloads and builds stay."""
    home = settings_of_stack.load().home
    stack.reset(home)
    typer.echo(f"Removed {home.path}.")


def main() -> None:
    """Failures are one line on standard error and a non-zero exit."""
    try:
        app()
    except StackError as error:
        typer.echo(f"{error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
