"""`groundswell models`: the model store of this machine."""

import subprocess
import sys
from typing import Annotated

import typer

from groundswell.cli.options import AsJson

app = typer.Typer(help="List and pull models of this machine.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models()


@app.command("ls")
def list_models(as_json: AsJson = False) -> None:
    """List all models, and which are on this machine."""
    _store("ls", *(["--json"] if as_json else []))


@app.command("pull")
def pull_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="As `models ls` shows them.")],
) -> None:
    """Fetch models and verify them; quick when they are here."""
    _store("pull", "--", *names)


def _store(*arguments: str) -> None:
    """The store has a command line of its own, which says what is wrong."""
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "groundswell.encoders.store", *arguments], check=False)  # noqa: S603
    if done.returncode:
        raise typer.Exit(done.returncode)
