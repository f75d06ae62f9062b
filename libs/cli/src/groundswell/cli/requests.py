"""`groundswell requests`: what was asked with keys of the team, and how it ended."""

from collections.abc import Sequence
from typing import Annotated

import typer

from groundswell.cli.api import Json, connect, path
from groundswell.cli.asking import costs, show_sources
from groundswell.cli.invocation import hint
from groundswell.cli.options import AsJson
from groundswell.cli.terminal import moment, one_line, say, table, write_json

app = typer.Typer(help="List, show and cancel questions that the team asked.", invoke_without_command=True)

_COLUMNS = ("id", "state", "model", "tier", "created_at", "ended_at")

Identifier = Annotated[str, typer.Argument(metavar="ID", help="The x-request-id of an answer: req_...")]


@app.callback()
def requests(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_requests()


@app.command("ls")
def list_requests(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20, as_json: AsJson = False
) -> None:
    """List requests, newest first."""
    with connect() as api:
        page = api.get("/v1/requests", limit=limit)
    if as_json:
        write_json(page)
    elif not page["data"]:
        say(f"No requests yet: ask with {hint('ask QUESTION')}.")
    else:
        table([name.removesuffix("_at") for name in _COLUMNS], [_cells(row, _COLUMNS) for row in page["data"]])


@app.command("show")
def show_request(identifier: Identifier, as_json: AsJson = False) -> None:
    """Show a request's state, and its answer once it has ended."""
    with connect() as api:
        request = api.get(path("/v1/requests", identifier))
    if as_json:
        write_json(request)
        return
    for name, cell in zip(_COLUMNS, _cells(request, _COLUMNS), strict=True):
        if cell:
            say(f"{name.removesuffix('_at'):8} {cell}")
    if request.get("error"):
        say(f"error    {one_line(str(request['error'].get('message', '')))}")
    if request.get("answer"):
        _show_answer(request["answer"])


def _cells(request: Json, columns: Sequence[str]) -> list[object]:
    return [moment(request.get(name)) if name.endswith("_at") else request.get(name) for name in columns]


def _show_answer(answer: Json) -> None:
    message = answer["choices"][0]["message"]
    about = answer.get("groundswell") or {}
    say()
    say(message.get("content") or message.get("refusal") or "")
    show_sources(about.get("citations") or [])
    say()
    say(costs(answer.get("usage") or {}, about.get("timings_ms") or {}))


@app.command("cancel")
def cancel_request(identifier: Identifier, as_json: AsJson = False) -> None:
    """Cancel a request that is still running."""
    with connect() as api:
        request = api.post(path("/v1/requests", identifier, "cancel"))
    if as_json:
        write_json(request)
    else:
        say(f"{identifier} is {request.get('state', 'cancelled')}")
