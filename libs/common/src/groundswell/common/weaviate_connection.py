"""The index for a service: one connection that waits for the server, bounded calls, errors as the bus understands them.

Import it only in a service that depends on weaviate-client.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import weaviate
from grpc import StatusCode  # type: ignore[import-untyped]
from grpc.aio import AioRpcError  # type: ignore[import-untyped]
from pydantic import SecretStr
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.collections import CollectionAsync
from weaviate.config import GrpcConfig
from weaviate.exceptions import (
    InsufficientPermissionsError,
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
)

from groundswell.common.errors import Unavailable

CONNECT_WITHIN_S = 3.0
LONGEST_CALL_S = 60
_SERVER_ERROR = 500
_UNAUTHENTICATED = 401
_AWAY = (
    InsufficientPermissionsError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
    httpx.TransportError,
    OSError,
    TimeoutError,
)
_AWAY_CODES = (
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.CANCELLED,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.UNAUTHENTICATED,
)
# gRPC waits up to two minutes between attempts unless told otherwise.
_RECONNECT_SOON = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]

# The client's own records quote whole objects when an insert fails, and a log never carries a document.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)


class Weaviate:
    """A client that reconnects by itself for as long as it is open."""

    def __init__(self, url: str, grpc_port: int, api_key: SecretStr) -> None:
        self._address = urlsplit(url)
        self._grpc_port = grpc_port
        self._api_key = api_key
        self._client: weaviate.WeaviateAsyncClient | None = None

    async def open(self) -> None:
        """Connect. Raises Unavailable while the server does not answer."""
        client = self._new_client()
        try:
            async with self.calling("connect", CONNECT_WITHIN_S):
                await client.connect()
        except Unavailable:
            await client.close()
            raise
        self._client = client

    async def check(self) -> None:
        """Raises Unavailable unless the server answers."""
        async with self.calling("check", CONNECT_WITHIN_S):
            if not await self.client.is_ready():
                raise Unavailable("Weaviate is not ready")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def client(self) -> weaviate.WeaviateAsyncClient:
        """Raises Unavailable before `open`."""
        if self._client is None:
            raise Unavailable("Weaviate is not connected")
        return self._client

    def tenant(self, collection: str, tenant: str) -> CollectionAsync:
        """What `tenant` has in `collection`, whether or not either exists."""
        return self.client.collections.use(collection).with_tenant(tenant)

    @asynccontextmanager
    async def calling(self, what: str, within_s: float) -> AsyncIterator[None]:
        """Bound a call in time. Raises Unavailable if the server is away or overwhelmed; other errors pass.

        The client's own way to wait for a server that is away takes half a minute, which no question has.
        """
        try:
            async with asyncio.timeout(within_s):
                yield
        except (*_AWAY, WeaviateBaseError) as error:
            if isinstance(error, _AWAY) or _is_away(error):
                raise Unavailable(f"Weaviate: {what}: {type(error).__name__}") from error
            raise

    def _new_client(self) -> weaviate.WeaviateAsyncClient:
        host, secure = self._address.hostname or "127.0.0.1", self._address.scheme == "https"
        return weaviate.use_async_with_custom(
            http_host=host,
            http_port=self._address.port or (443 if secure else 80),
            http_secure=secure,
            grpc_host=host,
            grpc_port=self._grpc_port,
            grpc_secure=secure,
            auth_credentials=Auth.api_key(self._api_key.get_secret_value()),
            # Its checks ask the package registry for a newer client; `open` makes the others itself.
            skip_init_checks=True,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=CONNECT_WITHIN_S, query=LONGEST_CALL_S, insert=LONGEST_CALL_S),
                grpc_config=GrpcConfig(channel_options=_RECONNECT_SOON),
            ),
        )


def _is_away(error: BaseException) -> bool:
    if isinstance(error, UnexpectedStatusCodeError):
        return error.status_code >= _SERVER_ERROR or error.status_code == _UNAUTHENTICATED
    # The client raises its own error while it handles that of gRPC, which alone has the code.
    rpc = error.__cause__ or error.__context__
    return isinstance(rpc, AioRpcError) and rpc.code() in _AWAY_CODES
