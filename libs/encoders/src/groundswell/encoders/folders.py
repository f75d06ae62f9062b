"""Model folders on disk: a manifest that makes a complete folder cheap to recognise, and publishing by rename."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from groundswell.encoders.catalogue import ModelSpec
from groundswell.encoders.registry import sha256_of

MANIFEST = "groundswell-model.json"
STAGING = ".staging"


class FileRecord(BaseModel):
    model_config = ConfigDict(frozen=True)
    size_bytes: int
    sha256: str


class Manifest(BaseModel):
    """Written last into a folder, so that its presence means that all else is there."""

    model_config = ConfigDict(frozen=True)
    model: str
    fingerprint: str
    built_at: datetime
    files: dict[str, FileRecord]


def is_complete(folder: Path, spec: ModelSpec) -> bool:
    """A cheap check: the manifest is this model's and every file has its size. Contents are not read.

    A model without wheels is complete without a folder.
    """
    if not spec.wheels:
        return True
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return False
    return manifest.fingerprint == spec.fingerprint and all(
        _size(folder / name) == record.size_bytes for name, record in manifest.files.items()
    )


def seal(folder: Path, spec: ModelSpec) -> None:
    """Write the manifest of a finished folder."""
    files = {
        str(path.relative_to(folder)): FileRecord(size_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(model=spec.name, fingerprint=spec.fingerprint, built_at=datetime.now(UTC), files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def publish(built: Path, folder: Path) -> None:
    """Put `built` in the place of `folder`. A process that has the old folder's files open keeps them."""
    outdated = built.with_name("outdated")
    shutil.rmtree(outdated, ignore_errors=True)
    if folder.exists():
        folder.rename(outdated)
    built.rename(folder)
    shutil.rmtree(outdated, ignore_errors=True)


@contextmanager
def only_puller(models_dir: Path, name: str) -> Iterator[None]:
    """Hold the right to build this model; a second process waits here. The lock dies with its holder."""
    locks = models_dir / STAGING
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
