"""What stands in the paths that a person wants answered from."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from groundswell.cli.errors import CommandFailedError
from groundswell.cli.readable import is_readable, kind_of

LONGEST_SOURCE = 256
_PASSED_OVER = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True)
class LocalFile:
    """`name` is the path inside the source, with `/`."""

    name: str
    path: Path

    def content(self) -> bytes:
        return self.path.read_bytes()

    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def modified(self) -> str:
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC).isoformat()


@dataclass
class LocalSource:
    """One folder, or files of one. Only a `complete` one tells what is gone."""

    name: str
    complete: bool
    files: dict[str, LocalFile] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why, by name."""


def local_sources(paths: list[Path], name: str | None = None) -> list[LocalSource]:
    """A source for each folder, called by its absolute path unless `name` is given; files join that of their folder.

    Raises CommandFailedError if a path does not exist, or is a file that cannot become a document.
    """
    sources: dict[tuple[str, bool], LocalSource] = {}
    folders = [path for path in paths if path.is_dir()]
    if name is not None and (len(folders) > 1 or (folders and len(paths) > 1)):
        raise CommandFailedError(
            "--source takes one folder, or files: a source called so could not hold several folders"
        )
    for path in paths:
        where = path.resolve() if path.is_dir() else path.resolve().parent
        key = (_source_name(str(where) if name is None else name), path.is_dir())
        source = sources.setdefault(key, LocalSource(*key))
        if path.is_dir():
            _collect(where, source)
        else:
            _add_file(path, source)
    return list(sources.values())


def _source_name(name: str) -> str:
    name = _name_of(name)
    if not name or len(name) > LONGEST_SOURCE or not _is_unicode(name):
        raise CommandFailedError(f"a source needs a name of 1 to {LONGEST_SOURCE} characters: give one with --source")
    return name


def _add_file(path: Path, source: LocalSource) -> None:
    if not path.exists():
        raise CommandFailedError(f"{path} does not exist: name a file or a folder")
    if not path.is_file():
        raise CommandFailedError(f"{path} is neither a file nor a folder: name one of these")
    if not is_readable(path.name):
        raise CommandFailedError(
            f"{path}: {kind_of(path.name)} are not read; send Markdown, reStructuredText, plain text or source code"
        )
    source.files[_name_of(path.name)] = LocalFile(_name_of(path.name), path)


def _collect(root: Path, source: LocalSource) -> None:
    for path in _walk(root):
        name = _name_of(path.relative_to(root).as_posix())
        if not _is_unicode(name):
            source.skipped[name.encode(errors="replace").decode()] = "names that are not UTF-8"
        elif path.is_symlink() and not path.resolve().is_relative_to(root):
            source.skipped[name] = "links that lead out of the folder"
        elif not path.is_file():
            source.skipped[name] = "no plain files"
        elif not is_readable(name):
            source.skipped[name] = kind_of(name)
        else:
            source.files[name] = LocalFile(name, path)


def _name_of(path: str) -> str:
    """In the Unicode form that the server keeps, so that files of two systems are the same document."""
    return unicodedata.normalize("NFC", path.strip())


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(root: Path) -> Iterator[Path]:
    """Every file below, sorted; hidden ones and folders of installed or compiled code are passed over."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER)
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name)
