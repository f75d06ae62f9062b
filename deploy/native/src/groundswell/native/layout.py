"""Where the stack keeps what it owns: the state folder of one checkout, and the caches that all checkouts share."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Makes a folder that only its owner can enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, in one step: a reader sees the old text or the new one."""
    private_folder(path.parent)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds a lock file; another process that wants it waits. Freed by the system when the holder dies."""
    private_folder(path.parent)
    with path.open("a") as lock:
        flock(lock, LOCK_EX)
        yield


@dataclass(frozen=True)
class Home:
    """The state folder of one stack, GROUNDSWELL_HOME."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        return cls(path.expanduser().resolve())

    @property
    def key(self) -> str:
        """A short name of this folder, for what has to lie outside it."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def env(self) -> Path:
        return self.path / "env"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def programs_file(self) -> Path:
        """What the supervisor runs, written by `up`."""
        return self.path / "programs.json"

    def create(self) -> None:
        """Makes the folder; it stays passable, so that an unprivileged database server can reach its own part of it."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.secrets, self.env, self.run, self.logs):
            private_folder(folder)
