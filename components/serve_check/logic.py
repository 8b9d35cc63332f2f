"""What the served model is asked, and how its answers are judged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT
from toolwear.model.package import Golden

TOLERANCE = 1e-9  # of a probability: the same graph on the same rows
_ROUNDS = 50  # single rows for the latency


@dataclass(frozen=True)
class Answer:
    """One question's result.

    Attributes:
        name: of the question.
        passed: whether the answer is right.
        sentence: says it with numbers.
        detail: further figures.
    """

    name: str
    passed: bool
    sentence: str
    detail: dict[str, float]


def golden_v2(client: httpx.Client, model: str, golden: Golden) -> Answer:
    """Ask for the golden rows by the V2 protocol."""
    response = client.post(f"/v2/models/{model}/infer", json=_tensor(golden.rows))
    if response.status_code != httpx.codes.OK:
        return _refused("golden rows, V2", response)
    outputs = {item["name"]: item for item in response.json()["outputs"]}
    found = np.array(outputs[PROBABILITY_OUTPUT]["data"]).reshape(golden.probabilities.shape)
    return _compared("golden rows, V2", found, golden)


def golden_v1(client: httpx.Client, model: str, golden: Golden) -> Answer:
    """Ask for the golden rows by the V1 protocol."""
    response = client.post(f"/v1/models/{model}:predict", json={"instances": golden.rows.tolist()})
    if response.status_code != httpx.codes.OK:
        return _refused("golden rows, V1", response)
    found = np.array([item[PROBABILITY_OUTPUT] for item in response.json()["predictions"]])
    return _compared("golden rows, V1", found, golden)


def faulty_request(client: httpx.Client, model: str, golden: Golden) -> Answer:
    """Send rows without their last feature; only 400 is right."""
    faulty = {"instances": golden.rows[:1, :-1].tolist()}
    response = client.post(f"/v1/models/{model}:predict", json=faulty)
    passed = response.status_code == httpx.codes.BAD_REQUEST
    return Answer(
        "faulty request",
        passed,
        f"A row without its last feature was answered with {response.status_code}; 400 is right.",
        {},
    )


def right_package(client: httpx.Client, model: str, digest: str) -> Answer:
    """Ask which package is served."""
    metadata = client.get(f"/v2/models/{model}").json()
    served = str(metadata["parameters"]["sha256"])
    return Answer(
        "package",
        served == digest,
        f"It serves the package {served[:12]}; the registered one is {digest[:12]}.",
        {},
    )


def latency(client: httpx.Client, model: str, golden: Golden) -> dict[str, float]:
    """Return median and 95th percentile of the time for one row by V2, milliseconds."""
    seconds = []
    for i in range(_ROUNDS):
        row = golden.rows[i % len(golden.rows)][None]
        started = time.perf_counter()
        client.post(f"/v2/models/{model}/infer", json=_tensor(row)).raise_for_status()
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "requests": _ROUNDS}


def _tensor(rows: np.ndarray) -> dict[str, Any]:
    tensor = {
        "name": INPUT,
        "datatype": "FP64",
        "shape": list(rows.shape),
        "data": rows.ravel().tolist(),
    }
    return {"inputs": [tensor]}


def _compared(name: str, found: np.ndarray, golden: Golden) -> Answer:
    if found.shape != golden.probabilities.shape:
        return Answer(name, False, f"{name}: {len(found)} of {len(golden.rows)} answered.", {})
    difference = float(np.abs(found - golden.probabilities).max())
    labels = int((found.argmax(axis=1) == golden.labels).sum())
    n = len(golden.rows)
    return Answer(
        name,
        difference <= TOLERANCE and labels == n,
        f"{name}: {labels} of {n} labels as evaluated, probabilities within {difference:.1e} "
        f"({TOLERANCE:g} allowed).",
        {"rows": n, "labels": labels, "max_abs_diff": difference},
    )


def _refused(name: str, response: httpx.Response) -> Answer:
    return Answer(name, False, f"{name}: {response.status_code} {response.text[:200]}", {})
