"""The body of a request: its type, its length, and the time that it may take."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, BinaryIO

import orjson
from starlette.requests import ClientDisconnect, Request

from serving.common.refusal import Refusal
from toolwear.common.request_limits import BODIES_BYTES, BODY_BYTES, BODY_SECONDS, DROPPED_BYTES

SMALL = 1 << 16  # bytes of a body that do not count; the server reads as many, asked or not
_SIZE, _HELD = "toolwear.size", "toolwear.held"  # in a request's scope: bytes read and counted
_total = 0  # counted of all requests under way in this process


async def read_body(request: Request, v2: bool = False, binary: bool = False) -> bytes:
    """Return the body, no matter whether its length was announced, up to the limit.

    Args:
        request: to read.
        v2: no content type means JSON: Triton's client sends none.
        binary: tensors may stand behind the JSON.

    Raises:
        Refusal: it is of another type, too long, too slow, or more are under way than fit.
    """
    default = "application/json" if v2 else ""
    _check_content_type(request.headers.get("content-type", default), binary)
    return await read_any(request)


async def read_any(request: Request) -> bytes:
    """Return the body, whatever its type.

    Raises:
        Refusal: it is encoded, too long, too slow, or more are under way than fit.
    """
    _check_announced(request, BODY_BYTES)
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                hold(request.scope, len(part))
                parts.append(part)
    except TimeoutError:
        raise _too_slow() from None
    except ClientDisconnect:
        raise _gone() from None
    return b"".join(parts)


async def spool(request: Request, target: BinaryIO, most: int, seconds: float) -> None:
    """Write the body to a file as it arrives.

    Args:
        request: to read.
        target: open for writing.
        most: bytes; of what is longer the rest is read and dropped, so that the refusal arrives.
        seconds: that it may take.

    Raises:
        Refusal: it is encoded, too long or too slow.
    """
    _check_announced(request, most)
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    await asyncio.to_thread(target.write, part)
                elif size > most + DROPPED_BYTES:
                    break
    except TimeoutError:
        raise _too_slow() from None
    except ClientDisconnect:
        raise _gone() from None
    if size > most:
        raise _too_large(most)


def _check_announced(request: Request, most: int) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refusal(
            "content_type",
            f"The Content-Encoding {encoding[:20]} is not taken; send the body as it is.",
            415,
        )
    announced = request.headers.get("content-length", "0")
    if int(announced) > most:  # the HTTP parser takes digits only
        raise _too_large(most)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("json", f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Refusal("json", "The body has to be a JSON object.")
    return value


def release(scope: MutableMapping[str, Any]) -> None:
    """Let go of a request's body once it is answered."""
    global _total
    _total -= scope.pop(_HELD, 0)


def hold(scope: MutableMapping[str, Any], size: int) -> None:
    """Count what has arrived of a body, until `release`.

    Args:
        scope: of the request; keeps the count.
        size: bytes that are new.

    Raises:
        Refusal: it is too long, or more are under way than fit.
    """
    global _total
    size += scope.get(_SIZE, 0)
    if size > BODY_BYTES:
        raise _too_large(BODY_BYTES)
    scope[_SIZE] = size
    # Small ones do not count, so that a few large and slow ones hold up none of them.
    more = max(0, size - SMALL) - scope.get(_HELD, 0)
    if _total + more > BODIES_BYTES:
        raise Refusal(
            "busy", "Too many large requests are under way; try again.", 503, retry_after=1
        )
    scope[_HELD] = scope.get(_HELD, 0) + more
    _total += more


def _check_content_type(header: str, binary: bool) -> None:
    if header == "application/json":
        return
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if binary and kind == "application/octet-stream":
        return
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    if kind != "application/json" or charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal("content_type", "Send application/json in UTF-8.", 415)


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", f"The body is longer than {most} bytes.", 413)


def _too_slow() -> Refusal:
    return Refusal("too_slow", "The body did not arrive in time.", 408)


def _gone() -> Refusal:
    return Refusal("too_slow", "The body did not arrive.", 400)
