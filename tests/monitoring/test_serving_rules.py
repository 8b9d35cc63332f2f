"""The alert rules: valid, tested, explained in a runbook, and about metrics that are there."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.ports import free_port
from tests.programs import program
from tests.serving import stack
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Server
from toolwear.common import ports
from toolwear.common.fingerprint import ROOT

MONITORING = ROOT / "manifests" / "monitoring"
RULES = MONITORING / "rules" / "serving.yaml"
CONFIG = MONITORING / "prometheus.yaml"
CASES = Path(__file__).with_name("serving_rules_test.yaml")
PREDICT = f"/v1/models/{MODEL}:predict"


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metrics_named() -> set[str]:
    names = set(re.findall(r"\btoolwear_[a-z_]+", " ".join(rule["expr"] for rule in rules())))
    assert len(names) >= 7
    return names


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", str(CONFIG)],
        ["check", "rules", str(RULES)],
        ["test", "rules", str(CASES)],
    ],
)
def test_promtool_finds_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


def test_each_alert_has_a_severity_a_runbook_and_a_case_that_fires_it() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert set(alerts()) < set(headings)
    cases = yaml.safe_load(CASES.read_text())["tests"]
    told = [case for test in cases for case in test["alert_rule_test"]]
    for expected in (True, False):
        assert {case["alertname"] for case in told if bool(case["exp_alerts"]) == expected} == set(
            alerts()
        )
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"


def test_the_targets_are_the_ports_of_the_servers() -> None:
    (job,) = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    found = {item["labels"]["server"]: item["targets"] for item in job["static_configs"]}
    expected = {
        "transformer": ports.TRANSFORMER,
        "predictor": ports.PREDICTOR,
        "explainer": ports.EXPLAINER,
        "monitor": ports.MONITOR,
        "trigger": ports.TRIGGER,
        "front": ports.FRONT,
    }
    assert found == {name: [f"127.0.0.1:{port}"] for name, port in expected.items()}


def test_prometheus_evaluates_every_rule_on_metrics_of_the_live_servers(
    place: Place, tmp_path: Path
) -> None:
    place.point(0)
    explainer = Server("serving.explainer", tmp_path / "explainer.log", ["--home", str(place.home)])
    try:
        with stack.running(place, tmp_path) as running:
            explainer.start()
            targets = {
                "transformer": running.transformer.http_port,
                "predictor": running.predictor.http_port,
                "explainer": explainer.http_port,
            }
            for body, status in (({"instances": [{"run_id": "07"}]}, 200), ({}, 400)):
                answer = httpx.post(running.transformer.url + PREDICT, json=body, timeout=30)
                assert answer.status_code == status
            with prometheus(targets, tmp_path) as url:
                check_live(url, running.transformer.url)
                explainer.kill()
                stack.wait_for(lambda: alert_states(url).get("ToolwearServerDown") == "pending")
    finally:
        if explainer.process is not None and explainer.process.poll() is None:
            explainer.kill()


def check_live(url: str, transformer: str) -> None:
    stack.wait_for(lambda: value(url, 'count(up{job="toolwear"} == 1)') == 3.0)
    for name in metrics_named():
        assert value(url, f"count({name})"), f"{name} is on no /metrics"
    # A rate needs two scrapes with traffic between them.
    deadline = time.monotonic() + 30
    while not value(url, "toolwear:predictions:rate5m"):
        assert time.monotonic() < deadline
        httpx.post(transformer + PREDICT, json={"instances": [{"run_id": "07"}]}, timeout=30)
        time.sleep(0.5)
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    assert len(recorded) >= 5
    stack.wait_for(lambda: all(value(url, name) is not None for name in recorded))
    health = {item["name"]: item["health"] for group in evaluated(url) for item in group["rules"]}
    assert set(health.values()) == {"ok"}, health
    assert set(alerts()) <= health.keys()
    # The recordings are years old, and the answers say so.
    stack.wait_for(lambda: alert_states(url) == {"ToolwearFeaturesStale": "pending"})


@contextmanager
def prometheus(
    targets: dict[str, int], folder: Path, rules: Path = RULES, alertmanager: int = 0
) -> Iterator[str]:
    """Run Prometheus with the project's configuration, scraping these ports often."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules)]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = (
        [f"127.0.0.1:{alertmanager}"] if alertmanager else []
    )
    (job,) = config["scrape_configs"]
    job["static_configs"] = [
        item | {"targets": [f"127.0.0.1:{targets[item['labels']['server']]}"]}
        for item in job["static_configs"]
        if item["labels"]["server"] in targets
    ]
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
                # Alertmanager is told again sooner, and holds an alert for over after 20 s.
                "--rules.alert.resend-delay=5s",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def ask(url: str, path: str, **parameters: str) -> Any:
    try:
        response = httpx.get(f"{url}/api/v1/{path}", params=parameters, timeout=10)
    except httpx.TransportError:
        return None
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # it is still starting
        return None
    return response.raise_for_status().json()["data"]


def value(url: str, query: str) -> float | None:
    """Return the value of a query that has at most one, None if it has none yet."""
    found = ask(url, "query", query=query)
    return float(found["result"][0]["value"][1]) if found and found["result"] else None


def evaluated(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(url, "rules")["groups"]
    return found


def alert_states(url: str) -> dict[str, str]:
    return {item["labels"]["alertname"]: item["state"] for item in ask(url, "alerts")["alerts"]}
