"""Pinned artifacts that come from a package registry one by one: the list, its checks, and its folder in the cache."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

PINS = Path(str(files("groundswell.native"))) / "pins"


@dataclass(frozen=True)
class Jar:
    """One line of a lock file: `group:artifact:version sha256 bytes`."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def parse_jars(text: str) -> tuple[Jar, ...]:
    """Reads a lock file. Raises ValueError naming the first line that is not `group:artifact:version sha256 bytes`."""
    return tuple(_parse_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _parse_line(line: str) -> Jar:
    fields = line.split()
    coordinate = fields[0].split(":") if fields else []
    if len(fields) != 3 or len(coordinate) != 3 or len(fields[1]) != 64 or not fields[2].isdecimal():  # noqa: PLR2004
        raise ValueError(f"not a line of a jar lock: {line!r}")
    group, artifact, version = coordinate
    return Jar(group, artifact, version, sha256=fields[1], size=int(fields[2]))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
