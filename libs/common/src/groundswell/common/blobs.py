"""The object store: a folder on one machine, S3-compatible in a cluster, one library for both."""

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlparse

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.errors import Misconfigured, Rejected, Unavailable


class Blobs:
    """Claim checks: bytes under a key, verified by their sha256 when read."""

    def __init__(self, url: str) -> None:
        """Raises Misconfigured if `url` names no store."""
        parts = urlparse(url)
        try:
            if parts.scheme == "file":
                Path(unquote(parts.path)).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store: ObjectStore = from_url(url)
        except (BaseError, OSError, ValueError) as error:
            raise Misconfigured(f"the object store's URL cannot be used: {type(error).__name__}") from None

    async def put(self, key: str, content: bytes) -> BlobRef:
        """Store `content`. Raises Unavailable if the store does not take it."""
        try:
            await self._store.put_async(key, content)
        except BaseError as error:
            raise Unavailable(f"object store: {type(error).__name__}") from error
        return BlobRef(key=key, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes. Raises Rejected if they are gone or are others, Unavailable if the store is away.

        No more than `ref.size` bytes are read.
        """
        try:
            result = await self._store.get_async(ref.key)
            if result.meta["size"] != ref.size:
                raise Rejected("the blob is not of the size that the message names")
            content = bytes(await result.bytes_async())
        except FileNotFoundError:
            raise Rejected("the blob is gone") from None
        except ValueError:
            raise Rejected("the blob's key cannot be one") from None
        except BaseError as error:
            raise Unavailable(f"object store: {type(error).__name__}") from error
        if hashlib.sha256(content).hexdigest() != ref.sha256:
            raise Rejected("the blob is not the one that the message names")
        return content

    async def keys(self, prefix: str) -> list[str]:
        """Every key below the folder `prefix`. Raises Unavailable if the store is away."""
        try:
            return [entry["path"] async for entries in self._store.list(prefix) for entry in entries]
        except BaseError as error:
            raise Unavailable(f"object store: {type(error).__name__}") from error

    async def delete(self, key: str) -> None:
        """Remove a blob; one that is gone already is fine."""
        try:
            await self._store.delete_async(key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise Unavailable(f"object store: {type(error).__name__}") from error
