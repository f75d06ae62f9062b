"""The demo: documents that every machine has (our own, the readme of each installed package), and a question."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from groundswell.common.settings import PREFIX
from groundswell.native.errors import StackError
from groundswell.native.layout import Home
from groundswell.native.status import COMMAND

QUESTION = "What does the structlog package do?"
LEAST_CHARACTERS = 400
"""A readme shorter than this says nothing that could be asked."""

_SUFFIXES = {"text/markdown": ".md", "text/x-rst": ".rst", "text/plain": ".txt"}
# not README.md and docs/bench: they show answers to the demo's own questions, and those would be cited
_OWN_DOCUMENTS = (
    "ARCHITECTURE.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "docs/runbooks/*.md",
    "docs/specs/*.md",
    "services/*/README.md",
    "libs/*/README.md",
)


NEXT_STEPS = f"""
The stack stays up.
  ask another     {COMMAND} ask "What does the circus package do?"
  see it          {COMMAND} status
  your documents  {COMMAND} ingest PATH
  stop it         make down
"""


def run(home: Home, checkout: Path) -> None:
    """Ingest the corpus, ask, print the answer as it streams. Raises StackError if a step fails."""
    collected = collect(checkout, home.path / "demo-corpus")
    told = f"Ingesting {collected.documents} documents of this machine: our own, and the readmes of installed packages"
    print(f"\n{told}", flush=True)
    _groundswell(home, "ingest", str(collected.folder))
    print(f'\n$ groundswell ask "{QUESTION}"\n', flush=True)
    _groundswell(home, "ask", QUESTION)
    print(NEXT_STEPS)


def _groundswell(home: Home, *arguments: str) -> None:
    """The command as a person would use it, against this stack."""
    others = {f"{PREFIX}URL", f"{PREFIX}API_KEY"}
    env = {name: value for name, value in os.environ.items() if name not in others}
    command = [sys.executable, "-m", "groundswell.cli", *arguments]
    if subprocess.run(command, check=False, env=env | {f"{PREFIX}HOME": str(home.path)}).returncode:
        raise StackError(f"`{COMMAND} {arguments[0]}` failed; the reason is above")


@dataclass(frozen=True)
class Collected:
    folder: Path
    documents: int


def collect(checkout: Path, folder: Path, packages: Iterator[Distribution] | None = None) -> Collected:
    """Writes the corpus. A second run changes only files whose text changed, and removes those whose source is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        **dict(readme_files(packages if packages is not None else iter(distributions()))),
        **dict(own_documents(checkout)),
    }
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="")
    return Collected(folder, len(wanted))


def own_documents(checkout: Path) -> Iterator[tuple[str, str]]:
    """File name and text of each document of the project; the folders become part of the name."""
    for pattern in _OWN_DOCUMENTS:
        for path in sorted(checkout.glob(pattern)):
            relative = path.relative_to(checkout)
            yield "groundswell-" + "-".join(relative.parts), path.read_text(encoding="utf-8")


def readme_files(packages: Iterator[Distribution]) -> Iterator[tuple[str, str]]:
    """File name and text of each package's readme, named by the type its metadata declares; our own have none."""
    for package in packages:
        described = package.metadata.json
        name = re.sub(r"[^a-z0-9]+", "-", str(described.get("name", "")).lower()).strip("-")
        text = str(described.get("description", "")).strip()
        if name and not name.startswith("groundswell") and len(text) >= LEAST_CHARACTERS:
            yield f"{name}{suffix_of(str(described.get('description_content_type', '')))}", text + "\n"


def suffix_of(content_type: str) -> str:
    """The core metadata specification: without a declared type a description is reStructuredText."""
    declared = (content_type or "text/x-rst").split(";")[0].strip().lower()
    return _SUFFIXES.get(declared, ".txt")
