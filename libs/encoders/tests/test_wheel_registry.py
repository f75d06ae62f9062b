"""The registry's real client, reading made-up wheels from a folder."""

import hashlib
import socket
import zipfile
from pathlib import Path

import pytest

from groundswell.encoders.catalogue import Taken, Wheel
from groundswell.encoders.errors import ChecksumMismatch, RegistryUnreachable, WheelMissing
from groundswell.encoders.registry import download_wheel, fetch_wheel


def published(folder: Path) -> Wheel:
    """Build version 1.0 of the package made-up in `folder`; installing or importing it would fail the test."""
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up/__init__.py", "raise SystemExit('imported a stranger')")
        archive.writestr("made_up/weights.bin", b"weights")
        archive.writestr("made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
        archive.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("made_up-1.0.dist-info/RECORD", "")
    return Wheel(
        package="made-up",
        version="1.0",
        size_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        take=(Taken(member="made_up/weights.bin", to="model.safetensors"),),
    )


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return published(folder)


def fetched(wheel: Wheel, tmp_path: Path) -> Path:
    return fetch_wheel(wheel, tmp_path / "staging", lambda _: None, download_wheel)


def test_a_pinned_wheel_is_fetched_and_named_by_its_checksum(wheel: Wheel, tmp_path: Path) -> None:
    path = fetched(wheel, tmp_path)
    assert path.name == f"{wheel.sha256}.whl"
    assert zipfile.ZipFile(path).read("made_up/weights.bin") == b"weights"


def test_another_file_under_the_same_name_and_version_is_refused(wheel: Wheel, tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch, match=r"made-up==1\.0 is not the pinned file: sha256 .* expected 0{64}"):
        fetched(wheel.model_copy(update={"sha256": "0" * 64}), tmp_path)
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_version_that_is_not_there_is_named(wheel: Wheel, tmp_path: Path) -> None:
    with pytest.raises(WheelMissing, match=r"made-up==2\.0 .*from versions: 1\.0"):
        fetched(wheel.model_copy(update={"version": "2.0"}), tmp_path)


def test_a_package_that_is_not_there_is_named(wheel: Wheel, tmp_path: Path) -> None:
    with pytest.raises(WheelMissing, match=r"the package registry knows no nobody-made-this==1\.0"):
        fetched(wheel.model_copy(update={"package": "nobody-made-this"}), tmp_path)


def test_a_registry_that_does_not_answer_is_told_from_a_missing_wheel(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(RegistryUnreachable, match=r"cannot be reached for made-up==1\.0; check the network"):
        fetched(wheel, tmp_path)
