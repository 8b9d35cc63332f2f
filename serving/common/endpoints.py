"""Of all HTTP servers: models' names in paths, and the answer to what is not there."""

from __future__ import annotations

import orjson
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

IDEMPOTENCY_KEY = "idempotency-key"  # header: told twice, it is one request


class _ModelName(StringConvertor):
    """A name in a path; the colon before a verb, as in `NAME:predict`, is not a part of it."""

    regex = "[^/:]+"


register_url_convertor("model", _ModelName())


async def not_there(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: unknown paths and methods, and OPTIONS."""
    if not isinstance(error, HTTPException) or error.status_code != 405:
        return _json("No such endpoint.", 404, {})
    headers = dict(error.headers or {})
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    allowed = ", ".join(sorted(headers["Allow"].split(", ")))
    return _json(f"{request.method} is not allowed here, only {allowed}.", 405, headers)


def _json(sentence: str, status: int, headers: dict[str, str]) -> Response:
    content = orjson.dumps({"error": sentence})
    return Response(content, status, headers, media_type="application/json")
