"""The body of a request: its type, its length, and the time that it may take."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from serving.common.limits import BODY_BYTES, BODY_SECONDS
from serving.common.refusal import Refusal


async def read_body(request: Request, v2: bool = False, binary: bool = False) -> bytes:
    """Return the body, no matter whether its length was announced, up to the limit.

    Args:
        request: to read.
        v2: no content type means JSON: Triton's client sends none.
        binary: tensors may stand behind the JSON.
    """
    default = "application/json" if v2 else ""
    _check_content_type(request.headers.get("content-type", default), binary)
    announced = request.headers.get("content-length", "0")
    if int(announced) > BODY_BYTES:  # the HTTP parser takes digits only
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > BODY_BYTES:
                    raise _too_large()
                parts.append(part)
    except TimeoutError:
        raise Refusal("too_slow", "The body did not arrive in time.", 408) from None
    except ClientDisconnect:
        raise Refusal("too_slow", "The body did not arrive.", 400) from None
    return b"".join(parts)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("json", f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Refusal("json", "The body has to be a JSON object.")
    return value


def _check_content_type(header: str, binary: bool) -> None:
    if header == "application/json":
        return
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if binary and kind == "application/octet-stream":
        return
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    if kind != "application/json" or charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal("content_type", "Send application/json in UTF-8.", 415)


def _too_large() -> Refusal:
    return Refusal("too_large", f"The body is longer than {BODY_BYTES} bytes.", 413)
