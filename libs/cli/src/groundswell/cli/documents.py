"""`groundswell documents`: what the team has, and what became of it."""

from collections.abc import Sequence
from typing import Annotated

import typer

from groundswell.cli.api import Json, connect, path
from groundswell.cli.invocation import hint
from groundswell.cli.options import AsJson
from groundswell.cli.terminal import moment, one_line, remark, say, table, write, write_json

app = typer.Typer(help="List, show and remove the team's documents.", invoke_without_command=True)

Identifier = Annotated[str, typer.Argument(metavar="ID", help="As `documents ls` shows it: doc_...")]


@app.callback()
def documents(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_documents()


@app.command("ls")
def list_documents(
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those that could not be read, with the reason.")
    ] = False,
    source: Annotated[str | None, typer.Option(help="Only those of this source, as `documents ls` shows it.")] = None,
    as_json: AsJson = False,
) -> None:
    """List documents."""
    with connect() as api:
        found = list(api.pages("/v1/documents", source=source, state="failed" if failed else None))
    if as_json:
        write_json({"object": "list", "data": found})
    elif not found:
        say(_none_found(failed, source))
    elif failed:
        table(["id", "name", "source", "reason"], [[d["id"], d["name"], d["source"], d.get("failure")] for d in found])
    else:
        columns = ("id", "name", "version", "chunks", "state", "updated_at", "source")
        table([name.removesuffix("_at") for name in columns], [_cells(d, columns) for d in found])


def _none_found(failed: bool, source: str | None) -> str:
    if failed:
        return "No documents whose newest version cannot be read."
    if source is not None:
        return f"No documents from a source called {source!r}: {hint('documents ls')} shows those that there are."
    return f"No documents yet: send some with {hint('ingest PATH')}."


def _cells(document: Json, columns: Sequence[str]) -> list[object]:
    return [moment(document.get(name)) if name.endswith("_at") else document.get(name) for name in columns]


@app.command("show")
def show_document(identifier: Identifier, as_json: AsJson = False) -> None:
    """Print a document's text; what is known of it goes to standard error."""
    with connect() as api:
        document = api.get(path("/v1/documents", identifier))
        text = api.text(path("/v1/documents", identifier, "text")) if document.get("version") is not None else None
    if as_json:
        write_json({**document, "text": text})
        return
    for name in ("id", "title", "name", "source", "version", "state", "failure", "chunks", "updated_at"):
        if document.get(name) is not None:
            shown = moment(document[name]) if name.endswith("_at") else one_line(str(document[name]))
            remark(f"{name.removesuffix('_at'):8} {shown}")
    if text is not None:
        write(text)


@app.command("rm")
def remove_documents(
    identifiers: Annotated[list[str], typer.Argument(metavar="ID", help="As `documents ls` shows them.")],
    as_json: AsJson = False,
) -> None:
    """Remove documents: answers stop using them at once."""
    with connect() as api:
        for identifier in identifiers:
            api.delete(path("/v1/documents", identifier))
            if not as_json:
                say(f"removed {identifier}")
    if as_json:
        write_json({"removed": identifiers})
