"""Every command, and what it is called."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from groundswell.cli import asking, documents, ingesting, keys, local_stack, models, requests
from groundswell.cli.api import connect
from groundswell.cli.errors import CommandFailedError
from groundswell.cli.folders import local_sources
from groundswell.cli.ingest_report import report
from groundswell.cli.invocation import hint
from groundswell.cli.options import AsJson
from groundswell.cli.terminal import write_json
from groundswell.common.tiers import Tier


class InReadingOrder(TyperGroup):
    """Help lists commands in the order in which a newcomer meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = ("ask", "ingest", "documents", "requests", "keys", "models", "status", "scale", "restart", "logs")
        return sorted(super().list_commands(ctx), key=known.index)


app = typer.Typer(
    cls=InReadingOrder,
    help=(
        "Answers from your own documents. Without settings it uses the stack of this checkout and its admin key; "
        "GROUNDSWELL_URL and GROUNDSWELL_API_KEY name another deployment and your key for it."
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, group in {
    "documents": documents.app,
    "requests": requests.app,
    "models": models.app,
    "keys": keys.app,
}.items():
    app.add_typer(group, name=name)
for command in (local_stack.status, local_stack.restart, local_stack.logs):
    app.command()(command)
# so that -1 is told as a number of processes that cannot be, not as an unknown option
app.command(context_settings={"ignore_unknown_options": True})(local_stack.scale)


@app.command()
def ask(
    words: Annotated[
        list[str],
        typer.Argument(metavar="QUESTION", help="One question; quotes keep the shell from reading ? and * in it."),
    ],
    assistant: Annotated[
        str, typer.Option(help="An assistant (answers from documents) or a language model.")
    ] = "docs-qa",
    tier: Annotated[
        Tier | None, typer.Option(help="How urgent it is; by default what the assistant is set to.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the answer came about, too: passages, model, checks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a question; the answer streams, its sources stand below it."""
    text = " ".join(words)
    if not text.strip():
        raise CommandFailedError(f"the question is empty: {hint('ask QUESTION')}")
    body = asking.request_body(text, assistant, tier.value if tier else None, stream=not as_json)
    with connect() as api:
        if as_json:
            write_json(asking.ask_whole(api, body))
        else:
            asking.ask_streaming(api, body, explain=explain)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Folders, with all below them, or files.")],
    source: Annotated[
        str | None, typer.Option(help="Name of the source that they belong to; by default the folder's path.")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return when all is sent, before it can be asked about.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the team's documents to what folders or files hold.

    Sends what is new or changed and, of a folder, removes what is no longer in it; a second run has nothing to do.
    """
    sources = local_sources(paths, source)
    with connect() as api:
        results = [ingesting.ingest(api, local, wait=not no_wait) for local in sources]
    if as_json:
        write_json({"sources": [result.as_json() for result in results]})
    else:
        report(results)
    if any(result.failed for result in results):
        raise typer.Exit(1)
