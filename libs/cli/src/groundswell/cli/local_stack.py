"""`groundswell status`, `scale`, `restart`, `logs`: the stack of this machine."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from groundswell.cli.errors import CommandFailedError
from groundswell.cli.options import AsJson

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="As `status` shows it, such as generator.")]


def status(as_json: AsJson = False) -> None:
    """Show every process of the local stack, and what it waits for."""
    _run("show_status", as_json)


def scale(
    service: Service, copies: Annotated[str, typer.Argument(metavar="N", help="How many processes are to run.")]
) -> None:
    """Run N processes of a service; those that end finish their work."""
    _run("scale", service, copies)


def restart(service: Service) -> None:
    """Let a service finish its work, then start it again."""
    _run("restart", service)


def logs(service: Service, lines: Annotated[int, typer.Option("-n", min=0, help="Lines from the end.")] = 100) -> None:
    """Show a service's log; on a terminal, follow it."""
    _run("logs", service, lines)


def _run(command: str, *arguments: object) -> None:
    """The native stack has these commands; it is loaded only for them."""
    with _explained():
        terminal = importlib.import_module("groundswell.native.terminal")
        run: Callable[..., Any] = getattr(terminal, command)
        run(*arguments)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        from groundswell.native.errors import StackError  # noqa: PLC0415 - a client needs no stack
    except ImportError:
        raise CommandFailedError(
            "this installation has no local stack: run the command in the checkout that has one"
        ) from None
    try:
        yield
    except StackError as error:
        raise CommandFailedError(str(error)) from None
