"""Reading a request's body over ASGI, with a limit on size and time, and gzip undone.

Neither uvicorn nor kserve limits a body over REST: 300 MB held kserve's server for half a minute and 3.9 GB.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fairlead_serving.backlog import Held
from fairlead_serving.errors import BodyTooLateError, EncodingRefusedError, RequestInvalidError, TooLargeError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
DISCARD_AT_MOST = 64 * 2**20
GZIP = 16 + zlib.MAX_WBITS


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete; nobody waits for an answer."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int, timeout_seconds: float, held: Held | None = None
) -> bytes:
    """Reads a whole body.

    Args:
        receive: ASGI's receive.
        headers: The request's headers, names in lower case.
        limit: The largest body in bytes, before and after decompression.
        timeout_seconds: How long the body may take to arrive.
        held: The room that it takes while the request lasts; no limit where None.

    Returns:
        The body, decompressed.

    Raises:
        TooLargeError: It is larger than the limit.
        BodyTooLateError: It does not arrive in time.
        EncodingRefusedError: It has a content encoding other than gzip.
        RequestInvalidError: It is no valid gzip.
        OverloadedError: Other requests' bodies take all the room.
        ClientGoneError: The client went away.
    """
    held = held or Held(None)
    encoding = headers.get(b"content-encoding", b"identity").strip().lower().decode("latin-1")
    if encoding not in ("identity", "gzip", ""):
        raise EncodingRefusedError(f"the content encoding {encoding[:40]!r} is not read here; send identity or gzip")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = bytes(message.get("body", b""))
        held.take(len(body))
    else:
        body = await _read_rest(message, receive, limit, timeout_seconds, held)
    if len(body) > limit:
        raise too_large(limit)
    return _gunzip(body, limit, held) if encoding == "gzip" else body


async def _read_rest(
    first: Mapping[str, Any], receive: Receive, limit: int, timeout_seconds: float, held: Held
) -> bytes:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _gather(first, receive, limit, held)
    except TimeoutError:
        raise BodyTooLateError(f"the body did not arrive within {timeout_seconds:g} seconds") from None


async def _gather(message: Mapping[str, Any], receive: Receive, limit: int, held: Held) -> bytes:
    """Gathers the chunks; what exceeds the limit is read and thrown away, so that the client can read the answer."""
    chunks, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > DISCARD_AT_MOST + limit:
            raise too_large(limit)
        if size <= limit:
            held.take(len(chunk))
            chunks.append(chunk)
        else:
            chunks.clear()
            held.release()
        if not message.get("more_body"):
            break
        message = await receive()
    if size > limit:
        raise too_large(limit)
    return b"".join(chunks)


def too_large(limit: int) -> TooLargeError:
    """The error for a body over the limit."""
    return TooLargeError(f"the body has more than the allowed {limit} bytes; send fewer rows in each request")


def _gunzip(body: bytes, limit: int, held: Held) -> bytes:
    decoder = zlib.decompressobj(GZIP)
    try:
        content = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestInvalidError(f"the body is announced as gzip but is none: {error}") from None
    if len(content) > limit:
        raise too_large(limit)
    if not decoder.eof:
        raise RequestInvalidError("the body is announced as gzip but ends within it; send all of it")
    held.take(len(content))
    return content
