"""The store's command line: `python -m groundswell.encoders.store pull NAME... | ls [--json]`."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from groundswell.encoders.catalogue import ModelSpec, catalogue, find_model
from groundswell.encoders.errors import ModelStoreError
from groundswell.encoders.folders import is_complete
from groundswell.encoders.progress import shown_progress
from groundswell.encoders.settings import StoreSettings
from groundswell.encoders.store import pull

INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; a failure is one line on standard error."""
    arguments = _parser().parse_args(argv)
    models_dir = StoreSettings().models.expanduser()
    console = Console(stderr=True)
    try:
        if arguments.command == "pull":
            return _pull(arguments.names, models_dir, console)
        return _list(models_dir, as_json=arguments.json)
    except ModelStoreError as error:
        console.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("interrupted; the next pull goes on from here")
        return INTERRUPTED
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m groundswell.encoders.store", description="Pull and list models.")
    commands = parser.add_subparsers(dest="command", required=True)
    pulling = commands.add_parser("pull", help="fetch models, verify and convert them")
    pulling.add_argument("names", nargs="+", metavar="NAME")
    listing = commands.add_parser("ls", help="list the catalogue and what is here")
    listing.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _pull(names: list[str], models_dir: Path, console: Console) -> int:
    for name in names:
        find_model(name)
    with shown_progress(console) as progress:
        folders = [pull(name, models_dir=models_dir, progress=progress) for name in names]
    for folder in folders:
        console.print(f"{folder.name}: {folder}", highlight=False, soft_wrap=True)
    return 0


def _list(models_dir: Path, *, as_json: bool) -> int:
    rows = [_row(spec, models_dir / spec.name) for spec in catalogue().values()]
    if as_json:
        sys.stdout.write(json.dumps({"folder": str(models_dir), "models": rows}, indent=2) + "\n")
    else:
        Console().print(_table(rows))
    return 0


def _row(spec: ModelSpec, folder: Path) -> dict[str, object]:
    shown = {"name", "title", "kind", "licence", "context_tokens", "dimension", "folder_bytes", "hub"}
    prices = {"price_per_input_token", "price_per_output_token"}
    pulled = is_complete(folder, spec)
    return spec.model_dump(mode="json", include=shown | prices) | {
        "download_bytes": spec.download_bytes,
        "pulled": pulled,
        "path": str(folder) if pulled else None,
    }


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table("name", "kind", "licence", "download", "on disk", "pulled", "title", box=None)
    for row in rows:
        sizes = [f"{int(str(row[field])) / 1e6:.0f} MB" for field in ("download_bytes", "folder_bytes")]
        here = "yes" if row["pulled"] else "no"
        table.add_row(str(row["name"]), str(row["kind"]), str(row["licence"]), *sizes, here, str(row["title"]))
    return table
