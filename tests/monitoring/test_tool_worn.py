"""A worn tool on its way to the floor: served telemetry, Prometheus, Alertmanager, mail, hook."""

from __future__ import annotations

import asyncio
import email.policy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from serving.console.app import application
from serving.console.parts import Addresses
from tests.monitor.conftest import Mill, mill
from tests.monitor.service import furnished
from tests.monitor.service import monitor as watching
from tests.monitoring.test_loop_rules import RULES, alertmanager
from tests.monitoring.test_serving_rules import prometheus, value
from tests.ports import free_port
from tests.serving.stack import Place, Stack, running, wait_for
from tools.alerting import floor_receiver
from toolwear.client import Client
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import Home

__all__ = ["mill"]
MACHINE = "mill-3"
PATIENCE = 120.0  # seconds; only what hangs takes that long
_REQUESTS = 5  # of a recording: at least 150 of their rows cut
FIRING = 'count(ALERTS{alertname="ToolWorn",alertstate="firing"})'


class Mails:
    """What came to an SMTP server."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        body = found.get_body(("plain",))
        assert body is not None
        assert envelope.rcpt_tos == ["shift@example.com"]
        self.told.append((str(found["Subject"]), body.get_content()))
        return "250 OK"


class Hook(ThreadingHTTPServer):
    """What came to a webhook."""

    told: list[dict[str, Any]]


class _Told(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Hook)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told += json.loads(body)["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def floor(folder: Path) -> Iterator[tuple[Mails, Hook, dict[str, Any]]]:
    """Run both servers; yield them with the receivers of the documentation, led to them."""
    page = (ROOT / "docs" / "alerts.md").read_text()
    written = yaml.safe_load(page.partition("```yaml")[2].partition("```")[0])
    mails, hook = Mails(), Hook(("127.0.0.1", 0), _Told)
    hook.told = []
    smtp = Controller(mails, hostname="127.0.0.1", port=free_port())
    mail = written["email_configs"][0]
    mail |= {"smarthost": f"127.0.0.1:{smtp.port}", "require_tls": False}
    del mail["auth_username"], mail["auth_password_file"]  # not without TLS
    written["webhook_configs"][0]["url"] = f"http://127.0.0.1:{hook.server_address[1]}/"
    path = folder / "floor.yaml"
    path.write_text(yaml.safe_dump(written))
    thread = Thread(target=hook.serve_forever)
    thread.start()
    smtp.start()
    try:
        yield mails, hook, floor_receiver(path)
    finally:
        smtp.stop()
        hook.shutdown()
        thread.join()
        hook.server_close()


@pytest.mark.timeout(300)
def test_a_worn_tool_is_told_once_by_mail_and_webhook_until_it_is_changed(
    mill: Mill, tmp_path: Path
) -> None:
    home = furnished(mill, tmp_path / "home", since=datetime.now(UTC).isoformat())
    nobody = f"http://127.0.0.1:{free_port()}"  # no run is wanted of the trigger
    with (
        running(Place(home, [mill.package]), tmp_path) as stack,
        watching(home) as monitor,
        floor(tmp_path) as (mails, hook, receivers),
        alertmanager(nobody, tmp_path, floor=receivers) as port,
        prometheus({"monitor": monitor.port}, tmp_path, RULES, port) as url,
    ):
        serve = replaying(stack, mill)

        def machine() -> dict[str, Any]:
            found: dict[str, Any] = monitor.state()["machines"].get(MACHINE, {})
            return found

        serve("12", "part-1")
        wait_for(lambda: machine().get("last") == ["unworn"] * 3, PATIENCE)
        wait_for(lambda: value(url, f'toolwear_tool_worn{{machine="{MACHINE}"}}') == 0, PATIENCE)
        assert value(url, FIRING) is None

        serve("06", "part-2")
        wait_for(lambda: mails.told and hook.told, PATIENCE)
        (alert,) = hook.told
        assert alert["status"] == "firing"
        assert alert["labels"] == {
            "alertname": "ToolWorn",
            "machine": MACHINE,
            "recording": "part-2",
            "use": "known_runs_only",
            "severity": "page",
        }
        since = datetime.fromisoformat(machine()["worn"]["since"])
        ((subject, text),) = mails.told
        assert subject == "FIRING: ToolWorn on mill-3"
        assert "The tool of machine mill-3 is worn, seen in recording part-2" in text
        assert f"since {since:%Y-%m-%d %H:%M:%S}" in text
        assert "% of its last answers say so." in text
        assert "approved only for recordings that it was trained on" in text

        shown = asyncio.run(first_page(home, monitor.url))
        assert "The tool of machine mill-3 is worn" in shown
        assert "seen in recording part-2" in shown
        assert "approved only for recordings that it was trained on" in shown
        assert "1 of 1 worn" in shown

        serve("10", "part-3")  # with the same tool
        serve("12", "part-4")
        wait_for(lambda: len(mails.told) > 1 and len(hook.told) > 1, PATIENCE)
        assert [one["status"] for one in hook.told] == ["firing", "resolved"]
        assert {one["fingerprint"] for one in hook.told} == {alert["fingerprint"]}
        assert [subject.partition(":")[0] for subject, _ in mails.told] == ["FIRING", "RESOLVED"]
        assert value(url, FIRING) is None


async def first_page(home: Path, monitor: str) -> str:
    """Return what the console's first page tells of the system."""
    nobody = "http://127.0.0.1:1"
    addresses = Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, monitor)
    transport = httpx.ASGITransport(application(Home(home), addresses))
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        return " ".join((await client.get("/parts/strip")).text.split())


def replaying(stack: Stack, mill: Mill) -> Callable[[str, str], None]:
    """Return what sends a recorded run as a machine's telemetry, as fast as it is answered."""

    def serve(run: str, recording: str) -> None:
        headers = {"x-machine-id": MACHINE}
        with Client(stack.transformer.url, headers=headers) as client:
            for rows in islice(mill.recordings[run].requests(), _REQUESTS):
                client.predict_rows(rows, recording=recording)

    return serve


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file"),
        ("email_configs: [", "is no YAML"),
        ("- to: me", "has to hold receivers as Alertmanager names them"),
        ("name: people", "has to hold receivers as Alertmanager names them"),
    ],
)
def test_a_file_that_tells_nobody_is_refused(
    content: str | None, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "floor.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ToolwearError, match=sentence):
        floor_receiver(path)
