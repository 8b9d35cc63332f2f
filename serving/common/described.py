"""The OpenAPI document of a server without a model, and its page; light, as such servers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.common import docs_page

PATH = "/openapi.json"
_SENTENCE: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}


def operation(
    summary: str,
    answers: Mapping[int, str],
    *,
    kind: str = "application/json",
    body: Mapping[str, Any] | None = None,
    example: Mapping[str, Any] | None = None,
    token: str = "",
) -> dict[str, Any]:
    """Return an operation.

    Args:
        summary: one line.
        answers: what each status means.
        kind: media type of good answers; faults are always told in a JSON sentence.
        body: schema of the request; None if it has none.
        example: a request that is answered.
        token: what a token has to be for, empty if none is needed.
    """
    found: dict[str, Any] = {"summary": summary, "responses": {}}
    for status, told in answers.items():
        content = {"application/json": {"schema": _SENTENCE}} if status >= 400 else {kind: {}}
        found["responses"][str(status)] = {"description": told, "content": content}
    if body is not None:
        content = {"application/json": {"schema": dict(body)}}
        if example is not None:
            content["application/json"]["example"] = dict(example)
        found["requestBody"] = {"required": True, "content": content}
    if token:
        found["security"] = [{"token": []}]
        found["description"] = f"Needs a token that may {token}: 'Authorization: Bearer TOKEN'."
    return found


def document(server: str, paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document of a server, with the paths that all have added."""
    every: dict[str, Any] = {
        **{path: dict(item) for path, item in paths.items()},
        "/metrics": {"get": operation("Metrics for Prometheus", {200: "They."}, kind="text/plain")},
        PATH: {"get": operation("This document", {200: "It."})},
        docs_page.PATH: {
            "get": operation("This document as a page", {200: "It."}, kind="text/html")
        },
    }
    for path, item in every.items():
        if "{id}" in path:
            schema = {"type": "string"}
            item["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": schema}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"toolwear {server}",
            "version": "1",
            "description": "Every fault is answered by one sentence that says what to mend.",
        },
        "paths": every,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def routes(described: Mapping[str, Any]) -> list[Route]:
    """Return the routes to a document and to its page."""

    async def as_json(_request: Request) -> Response:
        return JSONResponse(described)

    async def as_page(_request: Request) -> Response:
        return docs_page.response(described)

    return [
        Route(PATH, as_json, methods=["GET"]),
        Route(docs_page.PATH, as_page, methods=["GET"]),
    ]
