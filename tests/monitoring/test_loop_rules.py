"""The rules of the loop, and the way of an alert from Prometheus to a run of its cause."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil
import pytest
import yaml

from serving.payload.records import Labels, Scored
from tests.monitor.conftest import Mill, mill
from tests.monitor.service import answers, furnished, logged
from tests.monitor.service import monitor as watching
from tests.monitoring.test_serving_rules import CONFIG, MONITORING, alert_states, prometheus, value
from tests.ports import free_port
from tests.programs import program
from tests.serving.stack import Server
from tests.trigger.conftest import service_of
from tests.trigger.service import ALERT_TOKEN, Service, wait_for
from tools.alerting import CLUSTER, local
from toolwear.common.causes import Cause
from toolwear.common.fingerprint import ROOT

__all__ = ["mill", "service_of"]

RULES = MONITORING / "rules" / "loop.yaml"
CASES = Path(__file__).with_name("loop_rules_test.yaml")
SERVING = MONITORING / "rules" / "serving.yaml"


def alerts(path: Path = RULES) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@pytest.mark.parametrize(
    "arguments",
    [
        ["promtool", "check", "config", str(CONFIG)],
        ["promtool", "check", "rules", str(RULES)],
        ["promtool", "test", "rules", str(CASES)],
        ["amtool", "check-config", str(CLUSTER)],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_the_tools_find_nothing(arguments: list[str]) -> None:
    command = [program(arguments[0]), *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


def test_each_alert_has_a_severity_a_runbook_and_a_case_that_fires_it_and_one_that_does_not() -> (
    None
):
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted([*alerts(SERVING), *alerts()])
    told = [
        case
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    for fires in (True, False):
        assert {c["alertname"] for c in told if bool(c["exp_alerts"]) == fires} == set(alerts())
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"


def test_causes_are_those_that_the_trigger_knows_and_a_dead_sensor_has_none() -> None:
    causes = {name: rule["labels"].get("cause") for name, rule in alerts().items()}
    assert {name: cause for name, cause in causes.items() if cause} == {
        "ToolwearDistributionChanged": Cause.DISTRIBUTION_CHANGE.value,
        "ToolwearModelDegraded": Cause.DEGRADATION.value,
    }


def test_the_triggers_metrics_in_the_rules_are_on_its_live_page(
    service_of: Callable[..., Service],
) -> None:
    text = httpx.get(f"{service_of().url}/metrics").text
    named = set(re.findall(r"\btoolwear_[a-z_]+", " ".join(r["expr"] for r in alerts().values())))
    of_trigger = {
        name
        for name in named
        if not re.match(
            r"toolwear_(drift|monitor|tool|labelled|data_quality|champion|rollout)", name
        )
    }
    assert len(of_trigger) >= 6
    for name in of_trigger:
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name


def test_the_fronts_metrics_in_the_rules_are_on_its_live_page(tmp_path: Path) -> None:
    named = set(re.findall(r"\btoolwear_rollout[a-z_]+", RULES.read_text()))
    assert len(named) == 2
    front = Server("serving.front", tmp_path / "front.log", [f"--home={tmp_path}"])
    front.start(ready=False)
    try:
        wait_for(lambda: _page(front.url))
        text = _page(front.url)
        for name in named:
            assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
        assert front.stop() == 0, front.log.read_text()
    finally:
        if front.process is not None and front.process.poll() is None:
            front.kill()


def _page(url: str) -> str:
    try:
        return httpx.get(f"{url}/metrics", timeout=5).text
    except httpx.TransportError:
        return ""


@contextmanager
def alertmanager(
    trigger: str, folder: Path, port: int = 0, floor: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[int]:
    """Run Alertmanager with the project's configuration for one machine, without its waits."""
    token = folder / "token"
    token.write_text(ALERT_TOKEN)
    config = local(token, trigger, floor)
    for route in (config["route"], config["route"]["routes"][0]):
        route |= {"group_wait": "100ms", "group_interval": "1s", "repeat_interval": "2s"}
    path = folder / "alertmanager.yaml"
    path.write_text(yaml.safe_dump(config))
    port = port or free_port()
    with (folder / "alertmanager.log").open("a") as log:
        process = subprocess.Popen(
            [
                program("prometheus-alertmanager"),
                f"--config.file={path}",
                f"--storage.path={folder / 'alerts'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


def test_an_alarm_becomes_one_run_of_its_cause_and_a_dead_sensor_none(
    service_of: Callable[..., Service], mill: Mill, tmp_path: Path
) -> None:
    """With the monitor and then Prometheus killed once the run has been started."""
    trigger = service_of()
    now = datetime.now(UTC).isoformat()
    log = logged(furnished(mill, tmp_path / "mill", since=now), [])
    with watching(tmp_path / "mill") as monitor, alertmanager(trigger.url, tmp_path) as port:
        targets = {"monitor": monitor.port, "trigger": trigger.port}

        def held_back() -> list[str]:
            found = httpx.get(f"http://127.0.0.1:{port}/api/v2/alerts?active=false").json()
            return [item["labels"]["alertname"] for item in found]

        def served(number: int, names: str) -> list[Scored]:
            scored = answers(mill, names, "12", first=10_000 * number)
            for one in scored:
                log.put(one)
            assert log.flush()
            rows = sum(len(one.values) for one in scored)
            wait_for(lambda: monitor.state()["rows"] == rows * number)
            return scored

        with prometheus(targets, tmp_path, RULES, port) as url:
            wait_for(lambda: _scraped(url))
            # Well: windows are judged, and nothing fires.
            known = served(1, "healthy")
            assert monitor.state()["kinds"]["data"]["last"] == ["ok"] * 3
            drifting = 'toolwear_monitor_windows_total{kind="data",result="alarm"}'
            healthy = 'toolwear_monitor_windows_total{kind="data",result="ok"}'
            wait_for(lambda: value(url, healthy) == 3)
            assert firing(url) == set()
            # A dead sensor: no run, whatever else drifts; and Alertmanager would hold it back.
            served(2, "dead_sensor")
            wait_for(lambda: "ToolwearSensorFault" in firing(url))
            wait_for(lambda: "ToolwearSensorFault" in _active(port))
            served(3, "dead_sensor+other_feed")
            wait_for(lambda: (value(url, drifting) or 0) >= 2)
            assert value(url, 'toolwear_drift_alarm{kind="data"}') == 0, "it is the sensor's"
            told_by_hand(port, {"alertname": "ToolwearDistributionChanged", "cause": "by_hand"})
            wait_for(lambda: held_back() == ["ToolwearDistributionChanged"])
            assert "ToolwearDistributionChanged" not in firing(url)
            assert trigger.runs() == []
            # The sensor is mended, the feed rate still new: one run, although it is told again.
            served(4, "other_feed")
            wait_for(lambda: len(trigger.runs()) == 1)
            (run,) = trigger.runs()
            assert run["cause"] == "distribution_change"
            trigger.ends(str(run["id"]))
            wait_for(lambda: trigger.metric(_ACCEPTED.format("duplicate")) >= 1)
            # The monitor is killed: the alert does not end meanwhile.
            assert monitor.process is not None
            monitor.process.kill()
            monitor.process.wait()
            wait_for(lambda: value(url, 'up{server="monitor"}') == 0)
            assert "ToolwearDistributionChanged" in firing(url)
            monitor.start()
            wait_for(lambda: value(url, 'toolwear_drift_alarm{kind="data"}') == 1)
            kill_child(str(tmp_path / "tsdb"))
        # Prometheus fires anew once it is started again: the same alert, and no second run.
        with prometheus(targets, tmp_path, RULES, port) as url:
            wait_for(lambda: _scraped(url))
            wait_for(lambda: "ToolwearDistributionChanged" in firing(url))
            before = trigger.metric(_ACCEPTED.format("duplicate"))
            wait_for(lambda: trigger.metric(_ACCEPTED.format("duplicate")) >= before + 2)
            assert trigger.metric(_ACCEPTED.format("accepted")) == 1
            (started,) = trigger.starts()
            assert started["cause"].startswith("distribution_change: ToolwearDistributionChanged: ")
            # Labels that contradict are another cause.
            for one in known:
                truth = (True,) * len(one.values)
                assert log.put_labels(Labels(one.receipt_id, truth, datetime.now(UTC), "late"))
            wait_for(lambda: {run["cause"] for run in trigger.runs()} >= {"degradation"})
            assert [run["cause"] for run in trigger.runs()].count("distribution_change") == 1
    log.close()


def firing(url: str) -> set[str]:
    return {name for name, state in alert_states(url).items() if state == "firing"}


def kill_child(named: str) -> None:
    """Kill the child whose command line has a word."""
    (child,) = [
        process
        for process in psutil.Process().children()
        if any(named in word for word in process.cmdline())
    ]
    child.kill()


def told_by_hand(port: int, labels: dict[str, str]) -> None:
    """Tell Alertmanager of an alert that is over in some seconds."""
    ends = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    body = [{"labels": labels, "endsAt": ends}]
    httpx.post(f"http://127.0.0.1:{port}/api/v2/alerts", json=body).raise_for_status()


_ACCEPTED = 'toolwear_triggers_total{{cause="distribution_change",result="{}"}}'


def _scraped(url: str) -> bool:
    return value(url, 'count(up{job="toolwear"} == 1)') == 2


def _active(port: int) -> set[str]:
    found = httpx.get(f"http://127.0.0.1:{port}/api/v2/alerts?inhibited=false").json()
    return {item["labels"]["alertname"] for item in found}
