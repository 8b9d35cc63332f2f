"""Attacks on the console: its cache, its pages, its uploads, its words."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.console.recordings import MOST_BYTES
from tests.console.stack import Stack
from tests.serving.attacks import HTTP, at_once, rest, stalled
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

MAY_GROW = 100 << 20
SCRIPT = '"><svg onload=alert(1)><script>alert(1)</script>{{7*7}}[bold]'


def test_tables_that_there_are_not_are_neither_made_nor_kept(stack: Stack) -> None:
    before = stack.resident("console")
    for number in range(60):
        answer = HTTP.get(f"{stack.url}/parts/distributions?of={number}")
        assert answer.status_code == 404
    assert stack.resident("console") - before < MAY_GROW // 2


def test_pages_that_compute_are_few_at_once(stack: Stack) -> None:
    def ask() -> httpx.Response:
        return httpx.get(f"{stack.url}/parts/run?run=02", timeout=90, trust_env=False)

    tables = "/parts/distributions?of=features"
    assert [ask().status_code, HTTP.get(stack.url + tables).status_code] == [200, 200]  # warm
    before = stack.resident("console")
    statuses = Counter(answer.status_code for answer in at_once(100, 2, ask))
    assert set(statuses) == {200, 503}, statuses
    assert HTTP.get(f"{stack.url}/operate").status_code == 200
    assert HTTP.get(stack.url + tables).status_code == 200
    assert stack.resident("console") - before < MAY_GROW


@pytest.mark.timeout(300)
def test_uploads_that_stop_hold_up_nobody(stack: Stack) -> None:
    kind = "multipart/form-data; boundary=b"
    begun = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    begun += b"a" * (MOST_BYTES - 1_000_000)

    def attack(_number: int) -> bytes:
        with stalled(stack.url, "/", kind, begun, MOST_BYTES) as client:
            return rest(client)

    before = stack.resident("console")
    token = Tokens(Home.at(stack.home)).own(Scope.OPERATE)
    with (
        httpx.Client(base_url=stack.url, timeout=90, trust_env=False) as operator,
        ThreadPoolExecutor(60) as pool,
    ):
        signed = operator.post("/operator", data={"name": "Ada", "token": token})
        assert signed.status_code == 303
        attackers = [pool.submit(attack, number) for number in range(60)]
        time.sleep(1)
        # Who has signed in has a place of their own.
        answer = operator.post("/", files={"file": ("a.csv", b"no telemetry")})
        assert answer.status_code == 422
        assert HTTP.get(stack.url + "/").status_code == 200
        assert stack.resident("console") - before < MAY_GROW
        assert {attacker.result()[9:12] for attacker in attackers} <= {b"408", b"503", b""}
    assert stack.resident("console") - before < MAY_GROW
    answer = HTTP.post(stack.url + "/", files={"file": ("a.csv", b"no telemetry")})
    assert answer.status_code == 422, "the places are free again"


def test_a_link_puts_no_sentence_on_the_page_of_operate(stack: Stack) -> None:
    sentence = "Call this number at once."
    answer = HTTP.get(stack.url + "/operate", params={"said": sentence})
    assert answer.status_code == 200
    assert sentence not in answer.text


def test_what_users_write_is_text(stack: Stack) -> None:
    token = Tokens(Home.at(stack.home)).own(Scope.OPERATE)
    with httpx.Client(base_url=stack.url, timeout=90, trust_env=False) as operator:
        operator.post("/operator", data={"name": SCRIPT[:60], "token": token})
        file = {"file": (SCRIPT, b"no telemetry")}
        pages = [
            operator.get("/operate"),
            operator.get("/operate", params={"why": SCRIPT}),
            operator.get("/why", params={"run": SCRIPT, "row": SCRIPT}),
            operator.get("/", params={"run": SCRIPT}),
            operator.get("/monitoring", params={"span": SCRIPT}),
            operator.get(f"/asked/{SCRIPT}"),
            operator.get(f"/runs/{SCRIPT}"),
            operator.get("/compare", params={"run": [SCRIPT, "other"]}),
            operator.get("/runs", params={"figure": SCRIPT}),
            operator.get("/sheet", params={"run": SCRIPT}),
            operator.post("/sheet", files=file, data={"feedrate": SCRIPT}),
            operator.post("/", files=file, data={"feedrate": SCRIPT, "clamp_pressure": SCRIPT}),
            operator.post("/operator", data={"name": SCRIPT, "token": SCRIPT, "detail": SCRIPT}),
        ]
    assert any("&lt;script&gt;" in page.text for page in pages)
    for page in pages:
        assert "<script>alert" not in page.text
        assert "<svg onload" not in page.text
