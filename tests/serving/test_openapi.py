"""The OpenAPI documents against the running servers: all that is there, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import jsonschema
import pytest
import schemathesis
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.requests import Request

from serving.common import docs_page, openapi
from serving.common.rest import application
from serving.common.written import Sent, Written
from serving.explainer.openapi import SCHEMA_PATH
from serving.http.gate import Gate
from serving.transformer.openapi import EXAMPLE_RECEIPT, LABELS_PATH, SCORE_ROUTE
from serving.transformer.scoring import CSV, JSON_LINES, PARQUET
from tests.serving import stack
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Server
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

SERVERS = ("predictor", "transformer", "explainer")
EXAMPLES = 15  # of valid and of faulty requests each, for each operation
PREDICT, EXPLAIN = f"/v1/models/{MODEL}:predict", f"/v1/models/{MODEL}:explain"
INFER = f"/v2/models/{MODEL}/infer"
CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
REFUSED = ["400", "401", "403", "404", "413", "415", "422", "501"]


@pytest.fixture(scope="module")
def urls(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The three servers over one home; none may have had a defect at the end."""
    logs = tmp_path_factory.mktemp("logs")
    place.point(0)
    explainer = Server("serving.explainer", logs / "explainer.log", ["--home", str(place.home)])
    explainer.start(ready=False)
    try:
        with stack.running(place, logs) as running:
            stack.wait_for(lambda: stack.is_ready(explainer.url), 60)
            yield {
                "predictor": running.predictor.url,
                "transformer": running.transformer.url,
                "explainer": explainer.url,
            }
    finally:
        assert explainer.stop() == 0, explainer.log.read_text()
    for log in logs.iterdir():
        assert "Traceback" not in log.read_text()


def document(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(url + openapi.PATH).json()
    return found


def routes(paths: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, item in paths.items()
        for method in item.keys() - {"parameters"}
    }


async def nothing(_body: dict[str, Any], _by: str) -> None:
    """Stand for the work behind a route."""


async def no_file(_request: Request) -> tuple[dict[str, Any], dict[str, str]]:
    """Stand for the work behind a route that takes a file."""
    return {}, {}


@schemathesis.serializer(CSV, JSON_LINES, PARQUET)
def as_it_is(_context: Any, value: Any) -> bytes:
    """Send text as it is."""
    return str(value).encode()


@pytest.mark.parametrize("server", SERVERS)
def test_the_document_names_exactly_the_routes(
    urls: dict[str, str], server: str, tmp_path: Path
) -> None:
    labels = Written("labels", nothing, Gate(Tokens(Home.at(tmp_path))), Scope.LABEL)
    app = application(
        DataPlane(ModelRepository()),
        server,
        written={LABELS_PATH: labels} if server == "transformer" else {},
        sent={SCORE_ROUTE: Sent("score", no_file)} if server == "transformer" else {},
        published={SCHEMA_PATH: {}} if server == "explainer" else {},
    )
    there = {
        (method, route.path_format)  # type: ignore[attr-defined]
        for route in app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert routes(document(urls[server])["paths"]) == there


@pytest.mark.parametrize("server", SERVERS)
def test_the_running_server_has_what_its_document_names_and_not_what_others_name(
    urls: dict[str, str], server: str
) -> None:
    own = routes(document(urls[server])["paths"])
    every = set().union(*(routes(document(url)["paths"]) for url in urls.values()))
    for method, path in every:
        response = httpx.request(method, urls[server] + path.format(model=MODEL, version="1"))
        known = response.status_code != 404
        assert known == ((method, path) in own), (method, path)
    assert httpx.post(urls[server] + openapi.PATH).status_code == 405
    for page in ("/redoc", "/v2/"):
        assert httpx.get(urls[server] + page).status_code == 404


@pytest.mark.parametrize("server", SERVERS)
def test_the_page_shows_the_document_and_asks_nobody_else(
    urls: dict[str, str], server: str
) -> None:
    found = document(urls[server])
    answer = httpx.get(urls[server] + docs_page.PATH)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for method, path in routes(found["paths"]):
        assert f"<h2>{method} {path}</h2>" in answer.text
    for alien in ("<script", " src=", "://", "url("):
        assert alien not in re.sub(r"<pre.*?</pre>", "", answer.text, flags=re.DOTALL)
    bodies = [
        operation["requestBody"]["content"]
        for item in found["paths"].values()
        for operation in item.values()
        if "requestBody" in operation
    ]
    examples = [body for body in bodies if "example" in body.get("application/json", {})]
    assert examples
    files = [body for body in bodies if "application/json" not in body]
    assert answer.text.count("<p>Body: a file") == len(files) == (server == "transformer")
    assert answer.text.count("<h3>Example</h3>") == len(examples)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("server", SERVERS)
def test_generated_requests_are_answered_as_documented(
    urls: dict[str, str], place: Place, server: str, mode: GenerationMode
) -> None:
    load_all_checks()
    described = schemathesis.openapi.from_dict(document(urls[server]))
    described.config.update(base_url=urls[server])
    described.config.checks.negative_data_rejection.expected_statuses = REFUSED
    for result in described.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        takes = operation.method == "post" or "{model}" in operation.path
        if mode == GenerationMode.POSITIVE or takes:
            _exercise(operation, mode, stack.labeller(place.home))


def _exercise(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    answers = "200" in operation.definition.raw["responses"]
    checks = [*CONFORMANCE, negative_data_rejection, *([not_a_server_error] if answers else [])]
    seen: set[int] = set()

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def exercise(case: Any) -> None:
        seen.add(case.call_and_validate(checks=checks, headers=headers).status_code)

    exercise()
    assert seen
    if operation.method == "get" and mode == GenerationMode.POSITIVE:
        assert seen == ({404} if "{version}" in operation.path else {200})


@pytest.mark.parametrize("path", ["/v1/models/{model}:predict", "/v2/models/{model}/infer"])
def test_generated_rows_of_features_are_answered(urls: dict[str, str], path: str) -> None:
    """Whatever the schema calls one row, in JSON alone, is answered in the documented form."""
    load_all_checks()
    found = document(urls["predictor"])
    operation = found["paths"][path]["post"]
    operation.pop("parameters", None)
    operation["requestBody"]["content"].pop("application/octet-stream", None)
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    if "inputs" in body["properties"]:
        inputs = body["properties"]["inputs"]
        kinds = {kind["title"]: kind for kind in inputs["items"]["anyOf"]}
        inputs["items"] = kinds["One row"]
    described = schemathesis.openapi.from_dict(found)
    described.config.update(base_url=urls["predictor"])
    answered: list[int] = []

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(
        case=described[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    )
    def ask(case: Any) -> None:
        response = case.call_and_validate(checks=CONFORMANCE)
        assert response.status_code == 200, (case.body, response.text)
        answered.append(200)

    ask()
    assert len(answered) >= EXAMPLES // 2


@pytest.mark.parametrize("server", SERVERS)
def test_every_documented_example_is_valid_and_answered(
    urls: dict[str, str], place: Place, server: str
) -> None:
    load_all_checks()
    found = document(urls[server])
    asked = {"instances": [{"run_id": "01"}]}
    answer = httpx.post(urls["transformer"] + PREDICT, json=asked)
    receipt = answer.json()["receipt"]["id"]
    described = schemathesis.openapi.from_dict(found)
    described.config.update(base_url=urls[server])
    answered = 0
    for result in described.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        raw = operation.definition.raw
        if operation.method != "post" or "200" not in raw["responses"]:
            continue
        bodies = raw["requestBody"]["content"].items()
        ((kind, content),) = ((kind, one) for kind, one in bodies if "example" in one)
        schema = {**content["schema"], "components": found["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])
        body = content["example"]
        if kind == "application/json" and body.get("receipt") == EXAMPLE_RECEIPT:
            body = {**body, "receipt": receipt}  # that of an answer that was given
        parameters = raw.get("parameters", [])
        case = operation.Case(
            body=body,
            media_type=kind,
            query={one["name"]: one["example"] for one in parameters if "example" in one},
            path_parameters={
                name: value
                for name, value in (("model", MODEL), ("version", "1"))
                if f"{{{name}}}" in operation.path
            },
        )
        own = stack.labeller(place.home)
        response = case.call_and_validate(checks=CONFORMANCE, headers=own)
        assert response.status_code == 200, (operation.path, response.text)
        answered += 1
    assert answered == {"predictor": 3, "transformer": 5, "explainer": 1}[server]
