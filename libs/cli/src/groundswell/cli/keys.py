"""`groundswell keys`: who may ask. Needs an operator's key."""

from typing import Annotated

import typer

from groundswell.cli.api import connect, path
from groundswell.cli.options import AsJson
from groundswell.cli.terminal import moment, remark, say, table, write_json

app = typer.Typer(help="Make, list and revoke API keys (operators only).", invoke_without_command=True)


@app.callback()
def keys(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_keys()


@app.command("create")
def create_key(
    team: Annotated[str, typer.Option(help="The team it belongs to; made if it is new.")],
    group: Annotated[
        list[str] | None, typer.Option(help="A group whose documents it may read; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="A note on what it is for.")] = "",
    operator: Annotated[
        bool, typer.Option("--operator", help="It may also make and revoke keys, of every team.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once; only its hash is kept."""
    wanted = {"team": team, "groups": group or [], "name": name, "operator": operator}
    with connect() as api:
        made = api.post("/v1/keys", json=wanted)
    if as_json:
        write_json(made)
    else:
        say(made["key"])
        remark(f"{made['id']} of team {made['team']}; keep it now, it is not shown again")


@app.command("ls")
def list_keys(as_json: AsJson = False) -> None:
    """List keys; their secrets are stored hashed and cannot be shown."""
    with connect() as api:
        page = api.get("/v1/keys")
    if as_json:
        write_json(page)
        return
    columns = ("id", "team", "groups", "name", "operator", "created_at", "revoked_at")
    rows = [[_cell(name, row.get(name)) for name in columns] for row in page["data"]]
    table([name.removesuffix("_at") for name in columns], rows)


def _cell(name: str, value: object) -> object:
    if name.endswith("_at"):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


@app.command("revoke")
def revoke_key(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `keys ls` shows it: key_...")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key at once."""
    with connect() as api:
        answer = api.delete(path("/v1/keys", identifier))
    if as_json:
        write_json(answer)
    else:
        say(f"revoked {identifier}")
