"""Prometheus and Alertmanager are killed while an alert fires: it stays one cause."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from serving.trigger.store import Store
from tests.monitoring.test_loop_rules import RULES, alertmanager, kill_child
from tests.monitoring.test_serving_rules import prometheus
from tests.ports import free_port
from tests.trigger.conftest import service_of
from tests.trigger.service import Service, wait_for

__all__ = ["service_of"]
_TOLD = 'toolwear_triggers_total{{cause="distribution_change",result="{}"}}'


class Mill(ThreadingHTTPServer):
    """What the monitor tells of a mill: `alarm` is 1 or 0."""

    alarm = 1


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Mill)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'toolwear_drift_alarm{{kind="data"}} {self.server.alarm}\n'.encode())

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mill() -> Iterator[Mill]:
    with Mill(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.timeout(300)
def test_an_alert_that_goes_on_is_one_cause_whoever_was_killed_and_one_that_comes_back_another(
    service_of: Callable[..., Service], mill: Mill, tmp_path: Path
) -> None:
    trigger = service_of("--cooldown_seconds=0")
    rules = tmp_path / "rules.yaml"
    # It is to end as soon as the alarm does.
    rules.write_text(RULES.read_text().replace("keep_firing_for: 10m", ""))
    port = free_port()

    def told() -> float:
        return trigger.metric(_TOLD.format("duplicate"))

    def alerts() -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = httpx.get(f"http://127.0.0.1:{port}/api/v2/alerts").json()
        except httpx.TransportError:
            return []
        return found

    def goes_on(before: float) -> None:
        wait_for(lambda: told() >= before + 2, 120)
        assert len(trigger.runs()) == len(trigger.starts()) == 1

    def watch(stack: ExitStack) -> None:
        stack.enter_context(prometheus({"monitor": mill.server_address[1]}, tmp_path, rules, port))

    with ExitStack() as teller, ExitStack() as watcher:
        teller.enter_context(alertmanager(trigger.url, tmp_path, port))
        watch(watcher)
        wait_for(lambda: len(trigger.runs()) == 1, 120)
        trigger.ends(trigger.runs()[0]["id"])
        (alert,) = alerts()

        kill_child(str(tmp_path / "alerts"))
        teller.close()
        teller.enter_context(alertmanager(trigger.url, tmp_path, port))
        goes_on(told())

        kill_child(str(tmp_path / "tsdb"))
        watcher.close()
        watch(watcher)
        goes_on(told())

        # Nobody is left who knows since when it fires.
        kill_child(str(tmp_path / "alerts"))
        teller.close()
        teller.enter_context(alertmanager(trigger.url, tmp_path, port))
        wait_for(lambda: alerts(), 120)
        assert alerts()[0]["startsAt"] > alert["startsAt"]
        assert alerts()[0]["fingerprint"] == alert["fingerprint"]
        goes_on(told())

        # The trigger keeps what it knows of it.
        trigger.kill()
        trigger.start()
        goes_on(told())

        def ended() -> bool:
            store = Store(trigger.home / "trigger")
            known = json.loads(store.fact(f"alert:{alert['fingerprint']}") or "{}")
            store.close()
            return bool(known["ended"])

        mill.alarm = 0
        wait_for(ended, 120)
        mill.alarm = 1
        wait_for(lambda: len(trigger.runs()) == 2, 120)
