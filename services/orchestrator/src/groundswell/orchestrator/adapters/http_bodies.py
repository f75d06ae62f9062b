"""Bodies, read no further than their limit."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from groundswell.orchestrator.adapters.http_errors import ApiError, bad_request

BODY_WITHIN_S = 300.0
DISCARDED_BYTES = 64 * 1024 * 1024
"""A client that is still sending does not read: what is over the limit is thrown away, so that it hears why."""
_LONGEST_LENGTH = 18


async def read_json_body(request: Request, limit_bytes: int) -> bytes:
    """The body as UTF-8. Raises ApiError if it is too large, too slow or not UTF-8."""
    async with in_time():
        body = b"".join([piece async for piece in read_pieces(request, limit_bytes)])
    try:
        body.decode()
    except UnicodeDecodeError:
        raise bad_request("The body is not UTF-8. Encode the JSON as UTF-8.", code="invalid_encoding") from None
    return body


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Raises ApiError if the block, which reads a body, takes too long."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            yield
    except TimeoutError:
        raise ApiError(408, f"The body did not arrive within {BODY_WITHIN_S:.0f} s.", code="body_timeout") from None


async def read_pieces(request: Request, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises ApiError at its end if it is larger than `limit_bytes`."""
    announced = _announced(request)
    size = 0
    if announced <= DISCARDED_BYTES:
        async for piece in request.stream():
            size += len(piece)
            if max(size, announced) <= limit_bytes:
                yield piece
            elif size > DISCARDED_BYTES:
                break
    if max(size, announced) > limit_bytes:
        message = f"The body has {max(size, announced)} bytes or more; at most {limit_bytes} are taken here."
        raise ApiError(413, message, code="body_too_large")


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) <= _LONGEST_LENGTH else 0
