"""Prometheus and Alertmanager beside `toolwear serve`, by one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.monitoring.test_serving_rules import ask
from tests.ports import free_port
from tests.programs import program
from tests.trigger.service import wait_for
from tools.alerting import CLUSTER, PROMETHEUS, scraping
from tools.dashboards.limits import alerts
from toolwear.common import ports
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

OFFSET = 1000  # of the ports that `toolwear serve --port` was given
PORT = ports.TRANSFORMER + OFFSET


class Watch:
    """The command at work over a home."""

    def __init__(self, home: Path, *options: str) -> None:
        self.prometheus, self.alertmanager = free_port(), free_port()
        self.home = home
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.watch", str(home), f"--port={PORT}"),
                f"--prometheus-port={self.prometheus}",
                f"--alertmanager-port={self.alertmanager}",
                *options,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def answers(self, port: int) -> bool:
        try:
            return httpx.get(f"{self.url(port)}/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def ends(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=90)
        assert "Traceback" not in err
        return self.process.returncode, out, err


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    program("prometheus")
    program("prometheus-alertmanager")
    made = Watch(tmp_path)
    try:
        assert made.process.stdout is not None
        said = [made.process.stdout.readline() for _ in range(3)]
        assert said[-1] == "Ctrl-C stops both\n", made.process.communicate()
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.communicate()


def test_it_watches_the_servers_by_all_rules_and_tells_the_trigger(watch: Watch) -> None:
    url = watch.url(watch.prometheus)
    wait_for(lambda: len(ask(url, "targets")["activeTargets"]) == 6)
    found = {
        item["labels"]["server"]: item["scrapeUrl"] for item in ask(url, "targets")["activeTargets"]
    }
    assert found == {
        name: f"http://127.0.0.1:{getattr(ports, name.upper()) + OFFSET}/metrics"
        for name in ("transformer", "predictor", "explainer", "monitor", "trigger", "front")
    }
    rules = {item["name"] for group in ask(url, "rules")["groups"] for item in group["rules"]}
    assert set(alerts()) < rules
    told = f"{watch.url(watch.alertmanager)}/api/v2"
    wait_for(lambda: ask(url, "alertmanagers")["activeAlertmanagers"])
    config = yaml.safe_load(httpx.get(f"{told}/status").json()["config"]["original"])
    (hook,) = [hook for item in config["receivers"] for hook in item.get("webhook_configs", [])]
    token = Tokens(Home(watch.home)).own_file(Scope.ALERT)
    assert token.stat().st_mode & 0o077 == 0
    # Alertmanager itself shows no secret, so the file that it was given is read.
    written = yaml.safe_load((watch.home / "watching" / "alertmanager.yaml").read_text())
    (own,) = written["receivers"][1]["webhook_configs"]
    assert own["url"] == f"http://127.0.0.1:{ports.TRIGGER + OFFSET}/alerts"
    assert own["http_config"]["authorization"]["credentials_file"] == str(token)
    assert hook["http_config"]["authorization"]["credentials_file"] == str(token)
    assert token.read_text().strip() not in (watch.home / "watching/alertmanager.yaml").read_text()
    assert written["route"] == yaml.safe_load(CLUSTER.read_text())["route"]


def test_it_ends_both_when_told_and_goes_on_with_what_it_knew(watch: Watch) -> None:
    watch.process.send_signal(signal.SIGTERM)
    code, _, err = watch.ends()
    assert (code, err) == (0, "")
    assert not watch.answers(watch.prometheus)
    assert not watch.answers(watch.alertmanager)
    kept = {path.name for path in (watch.home / "watching").iterdir()}
    assert {"prometheus", "alertmanager"} <= kept
    again = Watch(watch.home)
    try:
        wait_for(lambda: again.answers(again.prometheus))
        # A second one at the same ports would take the first one's place in vain.
        other = Watch(
            watch.home,
            f"--prometheus-port={again.prometheus}",
            f"--alertmanager-port={again.alertmanager}",
        )
        code, _, err = other.ends()
        assert code == 2
        assert f"Port {again.alertmanager} is taken" in err
        # Should one of the two end, the other is not left alone.
        children = Path(f"/proc/{again.process.pid}/task/{again.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        code, _, err = again.ends()
        assert code == 1
        assert "Alertmanager ended with -9" in err
        assert not again.answers(again.prometheus)
    finally:
        if again.process.poll() is None:
            again.process.kill()


def test_a_home_that_is_not_there_is_refused(tmp_path: Path) -> None:
    code, _, err = Watch(tmp_path / "nowhere").ends()
    assert code == 2
    assert "There is no home" in err
    assert not (tmp_path / "nowhere").exists()


def test_a_program_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = Watch(tmp_path).ends()
    assert code == 2
    assert "apt-get install prometheus" in err


def test_at_the_usual_ports_the_configuration_is_the_committed_one() -> None:
    made = scraping("127.0.0.1", ports.TRANSFORMER, ports.ALERTMANAGER)
    committed = yaml.safe_load(PROMETHEUS.read_text())
    assert made.pop("rule_files") != committed.pop("rule_files")  # absolute there
    assert made == committed
