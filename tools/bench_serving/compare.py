"""The two measurements: rivals side by side, and our chain beside the direct call."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np

from tests.serving.conftest import MODEL
from tools.bench_serving.figures import Load, chain_ratio, cpu_ratio, summary
from tools.bench_serving.rivals import PLAIN, Rival
from tools.bench_serving.server import HOST, Server
from toolwear.common.errors import ToolwearError
from toolwear.common.request_limits import BODY_BYTES

CASES = ((1, 1), (1, 16), (1000, 1), (1000, 16))  # (rows of a request, clients)
_BODIES = 16  # different ones, sent in turn
_TOLERANCE = 1e-9
_WARM_UP = 64

Tell = Callable[[str], None]
Step = Callable[[], Load]


def interleaved(steps: dict[str, Step], rounds: int) -> dict[str, list[Load]]:
    """Run each step once a round; each round begins with another one, so that none is favoured."""
    loads: dict[str, list[Load]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            loads[name].append(steps[name]())
    return loads


def bodies(rival: Rival, rows: np.ndarray, count: int) -> list[str]:
    """Return requests of `count` rows each, drawn from `rows`; the same for every server."""
    made = [
        rival.body(np.resize(np.roll(rows, -shift, axis=0), (count, rows.shape[1])))
        for shift in range(_BODIES if count == 1 else 1)
    ]
    if max(map(len, made)) > BODY_BYTES:
        raise ToolwearError(f"{count} rows of this model are more than a request may hold.")
    return made


def difference(rival: Rival, rows: np.ndarray, expected: np.ndarray) -> float:
    """Return by how much a server's probabilities differ from the model's at most."""
    url = f"http://{HOST}:{rival.server.port}{rival.path}"
    headers = {"content-type": "application/json"}
    response = httpx.post(url, content=rival.body(rows), headers=headers, timeout=60)
    if response.status_code != httpx.codes.OK:
        raise ToolwearError(f"{rival.name} answered {response.status_code}: {response.text[:200]}")
    found = np.asarray(rival.probabilities(response.json()), dtype=np.float64)
    return float(np.abs(found.reshape(expected.shape) - expected).max())


def check(rival: Rival, rows: np.ndarray, expected: np.ndarray) -> None:
    """Make sure that a server does the same work.

    Raises:
        ToolwearError: it refuses the rows, or its probabilities are not the model's.
    """
    worst = difference(rival, rows, expected)
    if not worst <= _TOLERANCE:
        raise ToolwearError(f"{rival.name}'s probabilities differ from the model's by {worst:g}")


def rivals(
    compared: Sequence[Rival], rows: np.ndarray, requests: int, rounds: int, tell: Tell
) -> list[dict[str, Any]]:
    """Measure each case and return a line for each case and server."""
    lines = []
    for count, clients in CASES:
        number = requests if count == 1 else max(2 * clients, requests // 20)
        steps: dict[str, Step] = {}
        for rival in compared:
            sent = bodies(rival, rows, count)
            rival.server.burst(rival.path, sent, clients, max(clients, _WARM_UP // count))
            steps[rival.name] = _step(rival.server, rival.path, sent, clients, number)
        tell(f"{count} rows, {clients} clients: {rounds} rounds of {number} requests")
        loads = interleaved(steps, rounds)
        lines += [
            {
                "rows": count,
                "clients": clients,
                "server": name,
                **summary(found),
                **cpu_ratio(found, loads[PLAIN]),
            }
            for name, found in loads.items()
        ]
    return lines


def chain(
    direct: Rival,
    front: Server,
    explainer: Server,
    rows: np.ndarray,
    runs: Sequence[str],
    requests: int,
    rounds: int,
) -> dict[str, Any]:
    """Measure one row by its run's id through the whole chain, beside the direct call; and SHAP.

    Explanations take turns in runs and seeds, so that none in a round was given before in it.
    """
    keys = [[{"run_id": run}] for run in runs]
    asked = [json.dumps({"instances": key}) for key in keys]
    few = max(1, requests // 5)
    questions = [
        json.dumps({"instances": keys[n % len(keys)], "method": "shap", "seed": n})
        for n in range(few)
    ]
    steps = {
        "direct": _step(direct.server, direct.path, bodies(direct, rows, 1), 1, requests),
        "chain": _step(front, f"/v1/models/{MODEL}:predict", asked, 1, requests),
        "shap": _step(explainer, f"/v1/models/{MODEL}:explain", questions, 1, few),
    }
    interleaved(steps, 1)  # to warm up
    loads = interleaved(steps, rounds)
    found: dict[str, Any] = {name: summary(measured) for name, measured in loads.items()}
    found |= chain_ratio(loads["chain"], loads["direct"])
    found["shap_p50_ms"] = found["shap"]["p50_ms"]
    return found


def _step(server: Server, path: str, sent: list[str], clients: int, requests: int) -> Step:
    return lambda: server.burst(path, sent, clients, requests)
