"""Every query of every panel, asked of a Prometheus that watches the live servers."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.common.endpoints import IDEMPOTENCY_KEY
from serving.monitor.judge import ALL, LARGEST
from serving.trigger.store import Request, Store
from tests.console.stack import Stack, running
from tests.monitoring.dashboards import Asked, metrics_in, queries
from tests.monitoring.test_serving_rules import ask, evaluated, value
from tests.serving.conftest import MODEL
from tools.dashboards.every import boards as made
from tools.operator_rules import groups
from tools.replay.recordings import read
from toolwear.common import ports
from toolwear.common.causes import Cause
from toolwear.common.states import State
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

SCRAPED = ("transformer", "predictor", "explainer", "monitor", "trigger", "front")
RUN = "12"  # cut at the feed rate that most runs have
KEY = "the-run-of-this-home"
PATIENCE = 240.0  # seconds; on a busy machine windows fill slowly
# Nothing sets a schedule below `toolwear serve`; the metric itself is there, at 0.
NOT_PROVOKED = {"Next scheduled run in": "toolwear_schedule_next_timestamp_seconds"}


@pytest.fixture(scope="module")
def stack(
    trained_home: Path, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Servers that have been asked what clients, people and alerts ask, and Prometheus."""
    folder = tmp_path_factory.mktemp("dashboards")
    home = folder / "home"
    shutil.copytree(trained_home, home, symlinks=True)
    write_runs(Home(home))
    with running(home, folder) as stack:
        stack.start_prometheus()
        traffic(stack, real_data)
        yield stack


def write_runs(home: Home) -> None:
    """Let the trigger have known two runs: training two more would take minutes."""
    store = Store(home.trigger)
    now = time.time()
    for key, state in ((f"asked:{KEY}", State.SUCCEEDED), ("asked:another", State.FAILED)):
        accepted = store.accept(Request(Cause.ON_DEMAND, "a test", key, {}), now, 10)
        run = store.begin(accepted.id, f"run-{state}", now)
        store.end(run, state, "", now + 90, None)
    store.close()


def traffic(stack: Stack, data: Path) -> None:
    predict = f"/v1/models/{MODEL}:predict"
    stack.traffic(10)
    tokens = Tokens(Home(stack.home))
    labeller = {"authorization": f"Bearer {tokens.own(Scope.LABEL)}"}
    with httpx.Client(timeout=120) as client:

        def post(server: str, path: str, body: object, status: int = 200) -> httpx.Response:
            answer = client.post(stack.of(server) + path, json=body, headers=labeller)
            assert answer.status_code == status, answer.text
            return answer

        (recording,) = read(data, [RUN])
        for rows in recording.requests():
            receipt = post("front", predict, {"instances": rows}).json()["receipt"]["id"]
            labels = {"receipt": receipt, "worn": [recording.worn] * len(rows)}
            post("transformer", "/v1/labels", labels)
        post("transformer", predict, {}, 400)
        # Told before: counted, and no second run.
        token = tokens.own(Scope.OPERATE)
        headers = {"authorization": f"Bearer {token}", IDEMPOTENCY_KEY: KEY}
        answer = client.post(f"{stack.of('trigger')}/retrain", json={}, headers=headers)
        assert answer.json()["status"] == State.SUCCEEDED, answer.text


def more(stack: Stack) -> None:
    """Ask again: rates need two scrapes with traffic between them."""
    stack.traffic(2)
    question = {"instances": [{"run_id": RUN}], "method": "shap", "seed": 0}
    url = f"{stack.of('explainer')}/v1/models/{MODEL}:explain"
    httpx.post(url, json=question, timeout=120).raise_for_status()


def series(stack: Stack, query: Asked) -> int:
    """How many series answer a query as Grafana asks it; a query that is refused raises."""
    url, expression = stack.prometheus_url, query.filled()
    if query.instant:
        found = ask(url, "query", query=expression)
    else:
        now = time.time()
        span = {"start": str(now - 900), "end": str(now), "step": "15"}
        found = ask(url, "query_range", query=expression, **span)
    return len(found["result"])


def test_every_query_is_answered(stack: Stack) -> None:
    asked = queries()
    assert len(asked) > 60
    deadline = time.monotonic() + PATIENCE
    waiting = [query for query in asked if query.panel not in NOT_PROVOKED]
    while waiting:
        more(stack)
        waiting = [query for query in waiting if not series(stack, query)]
        assert time.monotonic() < deadline, [f"{one.panel}: {one.filled()}" for one in waiting]
    for query in asked:
        if query.panel in NOT_PROVOKED:
            assert series(stack, query) == 0, f"{query.panel} can be proved now: take it off"
            assert value(stack.prometheus_url, f"count({NOT_PROVOKED[query.panel]})") == 1


def test_the_servers_are_told_apart_and_none_is_down(stack: Stack) -> None:
    query = next(query for query in queries() if query.panel == "Servers")
    found = ask(stack.prometheus_url, "query", query=query.filled())["result"]
    assert {one["metric"]["server"]: one["value"][1] for one in found} == dict.fromkeys(
        SCRAPED, "1"
    )
    assert all(hasattr(ports, name.upper()) for name in SCRAPED)


def test_every_metric_is_on_a_live_page_or_recorded_by_a_rule(stack: Stack) -> None:
    shown = set().union(*(query.metrics() for query in queries()))
    rules = [rule for group in groups() for rule in group["rules"]]
    asked = set().union(*(metrics_in(rule["expr"]) for rule in rules))
    recorded = {rule["record"] for rule in rules if "record" in rule}
    pages = "\n".join(httpx.get(f"{stack.of(name)}/metrics").text for name in SCRAPED)
    lacking = {
        name
        for name in (shown | asked) - recorded
        if not re.search(rf"^{name}[ {{]", pages, re.MULTILINE)
    }
    assert len(shown) > 40
    assert len(asked) > 20
    assert lacking == set()


def test_every_variable_has_values_to_choose(stack: Stack) -> None:
    values = {}
    for name, query in (item for board in made() for item in board.variables.items()):
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found is not None
        matching = {"match[]": found[1]}
        values[name] = ask(stack.prometheus_url, f"label/{found[2]}/values", **matching)
    assert values.pop("server") == sorted(SCRAPED)
    features = values.pop("feature")
    assert len(features) > 1  # the load signals
    assert not {ALL, LARGEST} & set(features)
    assert values == {}


def test_every_rule_is_evaluated_on_these_servers(stack: Stack) -> None:
    health = {
        item["name"]: item["health"]
        for group in evaluated(stack.prometheus_url)
        for item in group["rules"]
    }
    assert len(health) > 20
    assert set(health.values()) == {"ok"}, health
