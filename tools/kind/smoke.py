"""What a person would ask the model first, through the gateway, and what has to come back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

from tools.kind.programs import CommandFailedError
from toolwear.common.fingerprint import ROOT
from toolwear.common.loopback import by_proxy

_ROWS = ROOT / "docs" / "examples" / "raw_rows.json"
PREDICT = "/v1/models/toolwear:predict"
_EXPLAIN = "/v1/models/toolwear:explain"
_CLOSED = ("/metrics", "/v2/repository/index")
_ROUTE_SECONDS = 120.0


def smoke(address: str) -> Iterator[str]:
    """Ask, and yield a line for each right answer.

    Raises:
        CommandFailedError: an answer is wrong.
    """
    body = json.loads(_ROWS.read_text(encoding="utf-8"))
    with httpx.Client(base_url=address, timeout=90, trust_env=by_proxy(address)) as client:
        answer = _first(client, body)
        receipt = answer["receipt"]
        verdicts = [item["verdict"] for item in answer["predictions"]]
        yield f"rows: {', '.join(verdicts)}, by the package {receipt['package_digest'][:12]}"
        row = dict(body["instances"][0])
        row.pop("X1_ActualPosition")
        _expect(client.post(PREDICT, json={"instances": [row]}), 400)
        yield "a row without a column: 400"
        question = {"method": "shap", "instances": body["instances"][:1]}
        told = _expect(client.post(_EXPLAIN, json=question), 200)["meta"]["model"]
        if told["package_digest"] != receipt["package_digest"]:
            raise CommandFailedError("the explainer explains another model than the one served")
        yield "an explanation of the same package: 200"
        for path in _CLOSED:
            _expect(client.get(path), 404)
        yield f"{' and '.join(_CLOSED)} are closed: 404"


def _first(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Ask until the route is known to the gateway."""
    deadline = time.monotonic() + _ROUTE_SECONDS
    while True:
        try:
            response = client.post(PREDICT, json=body)
            if response.status_code == httpx.codes.OK or time.monotonic() > deadline:
                return _expect(response, 200)
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                raise CommandFailedError(f"the gateway does not answer: {error}") from error
        time.sleep(2)


def _expect(response: httpx.Response, status: int) -> dict[str, Any]:
    if response.status_code != status:
        raise CommandFailedError(
            f"{response.request.url.path} answered {response.status_code}, not {status}: "
            f"{response.text[:300]}"
        )
    return dict(response.json()) if status == httpx.codes.OK else {}
