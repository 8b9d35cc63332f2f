"""The OpenAPI document of a server: its routes, what they take, and everything that they answer.

Names of columns, phases, answers and limits are taken from the code that checks them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from serving.common import docs_page, tensor_schemas
from serving.common.caller import MACHINE_ID, RECORDING_ID, REQUEST_ID, VALID_ID, VALID_KEY
from serving.common.endpoints import IDEMPOTENCY_KEY

PATH = "/openapi.json"
ID_PATTERN = f"^{VALID_ID.pattern}$"
STRING: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "number"}
DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
REQUEST_ID_HEADER: dict[str, Any] = {
    "name": REQUEST_ID,
    "in": "header",
    "description": "the caller's own id; kept in the receipt and the payload log, and sent back",
    "schema": {"type": "string", "pattern": ID_PATTERN},
}
RECORDING_ID_HEADER: dict[str, Any] = {
    "name": RECORDING_ID,
    "in": "header",
    "description": "which recording the rows are of",
    "schema": {"type": "string", "pattern": ID_PATTERN},
}
MACHINE_ID_HEADER: dict[str, Any] = {
    "name": MACHINE_ID,
    "in": "header",
    "description": "on which machine they were recorded; each has a tool of its own",
    "schema": {"type": "string", "pattern": ID_PATTERN},
}
IDEMPOTENCY_HEADER: dict[str, Any] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "the same request with the same key gets the same answer, recorded once",
    "schema": {"type": "string", "pattern": f"^{VALID_KEY.pattern}$"},
}
_ERRORS = {
    400: "The request is faulty; the sentence says what to mend.",
    401: "There is no token, or a wrong one.",
    403: "The token is for something else.",
    404: "There is no model of this name, or version, here.",
    408: "The body did not arrive in time.",
    413: "The body is too long, or has too many rows.",
    415: "The body is not application/json in UTF-8, or is compressed.",
    422: "The request is well formed, but cannot be answered from what is known.",
    429: "Too many such requests, or wrong tokens, came; Retry-After says when to try again.",
    500: "A defect of the server, whose log says more.",
    501: "This server does not do that; the sentence says which one does.",
    503: "The model, or a part that it needs, does not answer at the moment.",
    504: "A part behind this server did not answer in time.",
}
BODY_ERRORS = (400, 404, 408, 413, 415, 500, 503)
MODEL_PATH = "/v1/models/{model}"
V2_PATH = "/v2/models/{model}"
_BEARER = "token"  # name of the security scheme
PROOF: dict[str, Any] = {
    "use": STRING,
    "version": STRING,
    "package_digest": DIGEST,
    "model_sha256": DIGEST,
    "data_digest": STRING,
    "commit": STRING,
}


def record(properties: dict[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of an object with these keys and no others."""
    left_out = set(optional)
    return {
        "type": "object",
        "required": [name for name in properties if name not in left_out],
        "properties": properties,
        "additionalProperties": False,
    }


def array(items: dict[str, Any], least: int = 0, most: int | None = None) -> dict[str, Any]:
    """Return the schema of a list."""
    bounds = {"minItems": least} if least else {}
    return {"type": "array", "items": items, **bounds, **({"maxItems": most} if most else {})}


def post(
    summary: str,
    body: dict[str, Any] | None,
    answer: dict[str, Any] | None,
    errors: Iterable[int] = BODY_ERRORS,
    headers: Iterable[dict[str, Any]] = (),
    binary: bool = False,
    example: dict[str, Any] | None = None,
    token: str = "",
) -> dict[str, Any]:
    """Return a POST operation.

    Args:
        summary: one line.
        body: schema of the request; None for an endpoint that is there only to refuse.
        answer: schema of the answer; None for the same.
        errors: its other statuses.
        headers: that it reads.
        binary: whether tensors may stand behind the JSON, in both directions.
        example: a request that is answered.
        token: what a token has to be for, empty if none is needed.
    """
    content: dict[str, Any] = {"application/json": {"schema": body or {"type": "object"}}}
    if example is not None:
        content["application/json"]["example"] = example
    operation = _operation(summary, answer, errors, binary)
    if binary:
        content["application/octet-stream"] = {}
    operation["requestBody"] = {"required": body is not None, "content": content}
    if headers:
        operation["parameters"] = list(headers)
    if token:
        operation["security"] = [{_BEARER: []}]
        operation["description"] = f"Needs a token that may {token}."
    return {"post": operation}


def get(summary: str, answer: dict[str, Any], errors: Iterable[int] = (500,)) -> dict[str, Any]:
    """Return a GET operation."""
    return {"get": _operation(summary, answer, errors)}


def refused(summary: str) -> dict[str, Any]:
    """Return a POST operation of the protocol that another server does."""
    return post(summary, None, None, (*BODY_ERRORS, 501))


def document(
    server: str, model: str, paths: dict[str, Any], schemas: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document.

    Args:
        server: "predictor", "transformer" or "explainer".
        model: its name in the URLs.
        paths: the server's own; those that all servers have are added.
        schemas: that the paths refer to.
    """
    every = {**_common(), **paths}
    for path in [path for path in every if path.startswith(V2_PATH)]:
        # Deep: the copy gets a parameter of its own.
        versioned = copy.deepcopy(every[path])
        every[path.replace(V2_PATH, f"{V2_PATH}/versions/{{version}}")] = versioned
    for path, item in every.items():
        named = [name for name in ("model", "version") if f"{{{name}}}" in path]
        if named:
            item["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in named]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"toolwear {server}",
            "version": "1",
            "description": "Every fault is answered by one sentence that says what to mend. "
            "Unknown paths are answered 404, other methods 405, in the same form.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted(every.items())),
        "components": {
            "parameters": {
                "model": {
                    "name": "model",
                    "in": "path",
                    "required": True,
                    "schema": {"enum": [model]},
                },
                "version": {
                    "name": "version",
                    "in": "path",
                    "required": True,
                    "description": "in the registry; any but the one in service is answered 404",
                    "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
                },
            },
            "schemas": {
                "Error": record({"error": {"type": "string", "minLength": 1}}),
                **(schemas or {}),
            },
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer"}},
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
        },
    }


def _error(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _operation(
    summary: str, answer: dict[str, Any] | None, errors: Iterable[int], binary: bool = False
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if answer is not None:
        content: dict[str, Any] = {"application/json": {"schema": answer}}
        if binary:
            content["application/octet-stream"] = {}
        responses["200"] = {"description": "The answer.", "content": content}
    for status in errors:
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return {"summary": summary, "responses": responses}


def _common() -> dict[str, Any]:
    """Return the paths that every server has."""
    live, ready = record({"live": {"const": True}}), record({"ready": {"const": True}})
    model_ready = record({"name": STRING, "ready": {"const": True}})
    models = record({"models": array(STRING)})
    not_ready = (500, 503)
    of_model = (404, 500, 503)
    text = {"schema": STRING}
    return {
        "/": get("Tell that the process answers, in V1's words", record({"status": STRING})),
        "/v1/models": get("List the models", models),
        MODEL_PATH: get("Tell whether the model answers", model_ready, of_model),
        "/v2": get(
            "Name the server",
            record({"name": STRING, "version": STRING, "extensions": array(STRING)}),
        ),
        "/v2/health/live": get("Tell that the process answers", live),
        "/v2/health/ready": get("Tell whether every model answers", ready, not_ready),
        "/v2/models": get("List the models", models),
        V2_PATH: get("Describe the model and its tensors", tensor_schemas.METADATA, of_model),
        f"{V2_PATH}/ready": get("Tell whether the model answers", model_ready, of_model),
        "/metrics": {
            "get": {
                "summary": "Metrics for Prometheus",
                "responses": {
                    "200": {
                        "description": "The metrics, in the format that was asked for.",
                        "content": {"text/plain": text, "application/openmetrics-text": text},
                    }
                },
            }
        },
        PATH: get("This document", {"type": "object", "required": ["openapi", "paths"]}),
        docs_page.PATH: {
            "get": {
                "summary": "This document as a page",
                "responses": {
                    "200": {"description": "The page.", "content": {"text/html": text}},
                    "500": {"$ref": "#/components/responses/500"},
                },
            }
        },
    }


def infer(
    inputs: dict[str, Any],
    outputs: tuple[str, ...],
    example: dict[str, Any],
    errors: Iterable[int],
    headers: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the V2 operation that takes these input tensors and answers by these outputs.

    Args:
        inputs: their schema.
        outputs: names.
        example: an input tensor that is answered.
        errors: other statuses.
        headers: that it reads.
    """
    return post(
        "Ask the model in the Open Inference protocol",
        tensor_schemas.request(inputs, outputs),
        tensor_schemas.ANSWER,
        errors,
        (*headers, tensor_schemas.LENGTH_HEADER),
        binary=True,
        example={"inputs": [example]},
    )
