"""The documents of the trigger and the monitor name what these servers have, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx
import jsonschema
import pytest
import schemathesis
from starlette.applications import Starlette
from starlette.routing import Route

from serving.monitor import openapi as of_monitor
from serving.monitor.app import application as monitor
from serving.trigger import openapi as of_trigger
from serving.trigger.app import application as trigger
from toolwear.common.thresholds import thresholds

NOTHING = cast("Any", None)
SERVERS = [
    (lambda: trigger(NOTHING, NOTHING, NOTHING, NOTHING), of_trigger.described),
    (lambda: monitor(NOTHING, thresholds().monitor), of_monitor.described),
]


@pytest.mark.parametrize(("made", "described"), SERVERS, ids=["trigger", "monitor"])
async def test_the_document_names_exactly_the_routes(
    made: Callable[[], Starlette], described: Callable[[], dict[str, Any]]
) -> None:
    app, document = made(), described()
    there = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    named = {
        (method.upper(), path, operation["summary"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert {(method, path) for method, path, _ in named} == there
    schemathesis.openapi.from_dict(document)
    for item in document["paths"].values():
        for content in item.get("post", {}).get("requestBody", {}).get("content", {}).values():
            jsonschema.validate(content["example"], content["schema"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        assert (await client.get("/openapi.json")).json() == document
        page = await client.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for method, path, _ in named:
        assert f"<h2>{method} {path}</h2>" in page.text
