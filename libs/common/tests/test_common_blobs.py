"""Claim checks in a folder: what is read is what was written, or it is an error."""

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundswell.common.blobs import Blobs
from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.errors import Rejected, Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made here"


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs(folder.as_uri())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(content=st.binary(max_size=5000))
async def test_what_was_put_is_got(blobs: Blobs, content: bytes) -> None:
    ref = await blobs.put("documents/red/one", content)
    assert ref.size == len(content)
    assert await blobs.get(ref) == content


def test_the_folder_is_its_owners_alone(blobs: Blobs, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_putting_again_replaces(blobs: Blobs) -> None:
    await blobs.put("a", b"1")
    ref = await blobs.put("a", b"2")
    assert await blobs.get(ref) == b"2"


async def test_other_bytes_than_the_message_names_are_rejected(blobs: Blobs) -> None:
    ref = await blobs.put("a", b"1")
    await blobs.put("a", b"2")
    with pytest.raises(Rejected, match="not the one that the message names"):
        await blobs.get(ref)


async def test_a_blob_that_is_gone_is_rejected(blobs: Blobs) -> None:
    ref = await blobs.put("a", b"1")
    await blobs.delete("a")
    await blobs.delete("a")
    with pytest.raises(Rejected, match="gone"):
        await blobs.get(ref)


async def test_a_store_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    blobs = Blobs((tmp_path / "file").as_uri())
    (tmp_path / "file").rmdir()
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(Unavailable, match="object store"):
        await blobs.put("a/b", b"1")


async def test_no_key_leaves_the_folder(blobs: Blobs, folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"1")
    with pytest.raises(Rejected, match="key cannot be"):
        await blobs.get(BlobRef(key="../secret", size=1, sha256="aa"))
