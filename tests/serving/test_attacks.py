"""Attacks on all servers of `toolwear serve`: what the attacker sees, and what others keep."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from serving.payload.log import read
from serving.transformer.labels import WAITING
from tests.console.stack import Stack, running
from tests.serving.attacks import HTTP, at_once, connect, rest, stalled
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, labeller
from toolwear.common.request_limits import HEAD_BYTES
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

SERVERS = ("predictor", "transformer", "explainer", "trigger", "monitor", "console", "front")
PREDICT, EXPLAIN = f"/v1/models/{MODEL}:predict", f"/v1/models/{MODEL}:explain"
ASK = {"instances": [{"run_id": "07"}]}
MAY_GROW = 100 << 20


@pytest.fixture(scope="module")
def stack(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place.point(0)
    folder = tmp_path_factory.mktemp("attacked")
    shutil.copytree(place.home, folder / "home", symlinks=True)
    with running(folder / "home", folder) as started:
        yield started


def predict(stack: Stack) -> httpx.Response:
    return HTTP.post(stack.of("transformer") + PREDICT, json=ASK)


def quiet(stack: Stack, until: threading.Event) -> Counter[int]:
    """Ask as a quiet client does, for predictions and readiness, and count the statuses."""
    seen: Counter[int] = Counter()
    ready = f"{stack.of('transformer')}/v2/models/{MODEL}/ready"
    while not until.is_set():
        seen[predict(stack).status_code] += 1
        seen[HTTP.get(ready).status_code] += 1
    return seen


def beside(stack: Stack, attack: Callable[[], Any]) -> Any:
    """Return what an attack brings; a quiet client meanwhile gets all of its answers."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(quiet, stack, ended)
        try:
            found = attack()
        finally:
            ended.set()
        seen = others.result()
    assert set(seen) == {200}, seen
    return found


# --- the edge -----------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
def test_heads_without_end_are_cut_off(stack: Stack, server: str) -> None:
    before = stack.resident(server)

    def attack() -> list[bytes]:
        heads = (
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * HEAD_BYTES,
            b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * HEAD_BYTES,
            b"GET /" + b"a" * HEAD_BYTES,
        )
        said = []
        for head in heads * 20:
            with connect(stack.of(server)) as client:
                with contextlib.suppress(ConnectionError):
                    client.sendall(head + head)
                said.append(rest(client))
        return said

    said = beside(stack, attack)
    # The refusal may be lost with the connection, which is reset while we send.
    assert {one[9:12] for one in said} <= {b"431", b"414", b""}
    assert stack.resident(server) - before < MAY_GROW


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "0.0.0.0", ""])
def test_a_name_that_was_made_to_point_here_gets_nothing(
    stack: Stack, server: str, host: str
) -> None:
    paths = {"trigger": "/runs", "front": "/rollout", "monitor": "/v1/state", "console": "/operate"}
    read_by = paths.get(server, "/v2/models")
    assert HTTP.get(stack.of(server) + read_by).status_code == 200
    for method, path in (("GET", read_by), ("POST", PREDICT), ("POST", "/v1/labels")):
        answer = HTTP.request(method, stack.of(server) + path, headers={"host": host}, json=ASK)
        assert answer.status_code == 400
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("server", ["predictor", "transformer", "explainer", "front", "trigger"])
def test_a_page_of_another_site_writes_nothing(stack: Stack, server: str) -> None:
    before = len(read(stack.home))
    token = Tokens(Home.at(stack.home)).own(Scope.OPERATE)
    v2 = {"inputs": [{"name": "run_id", "datatype": "BYTES", "shape": [1], "data": ["07"]}]}
    for headers in (
        {"origin": "https://attacker.example"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": stack.url},  # the console's is another than this server's
        {"origin": "https://attacker.example", "authorization": f"Bearer {token}"},
    ):
        for path, body in (
            (f"/v2/models/{MODEL}/infer", v2),
            (PREDICT, ASK),
            ("/retrain", {}),
            ("/rollback", {"why": "x"}),
            ("/v1/labels", {"receipt": "x", "worn": [True]}),
        ):
            for kind in ({}, {"content-type": "text/plain"}, {"content-type": "application/json"}):
                answer = HTTP.post(
                    stack.of(server) + path, content=json.dumps(body), headers={**headers, **kind}
                )
                assert answer.status_code == 403, (path, headers, kind)
    assert len(read(stack.home)) == before


# --- labels -------------------------------------------------------------------------------------


def test_labels_need_a_token_for_them(stack: Stack) -> None:
    receipt = predict(stack).json()["receipt"]["id"]
    tokens = Tokens(Home.at(stack.home))
    labels = {"receipt": receipt, "worn": [True], "source": "inspector"}
    for server in ("transformer", "front"):
        url = stack.of(server) + "/v1/labels"
        for given, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": f"Bearer {tokens.own(Scope.OPERATE)}"}, 403),
            ({"authorization": f"Bearer {tokens.own(Scope.ALERT)}"}, 403),
        ):
            assert HTTP.post(url, json=labels, headers=given).status_code == status
    url = stack.of("front") + "/v1/labels"
    own = {"authorization": f"Bearer {tokens.make('inspector-3', Scope.LABEL)}"}
    assert HTTP.post(url, json=labels, headers=own).status_code == 200
    rows = read(stack.home)
    (by,) = rows.loc[rows["receipt_id"] == receipt, "labelled_by"]
    assert by == "inspector-3"
    tokens.revoke("inspector-3")
    assert HTTP.post(url, json=labels, headers=own).status_code == 401


def test_the_body_of_who_has_no_token_is_not_waited_for(stack: Stack) -> None:
    clients = [
        stalled(stack.of("transformer"), "/v1/labels", "application/json", b"{", 4 << 20)
        for _ in range(60)
    ]
    assert beside(stack, lambda: predict(stack)).status_code == 200
    for client in clients:
        with client:
            assert rest(client)[9:12] in (b"401", b"408")


def test_labels_of_answers_that_there_are_not_wait_in_a_line_of_their_own(stack: Stack) -> None:
    url, own = stack.of("transformer") + "/v1/labels", labeller(stack.home)

    def ask() -> httpx.Response:
        labels = {"receipt": uuid.uuid4().hex, "worn": [True]}
        return httpx.post(url, json=labels, headers=own, timeout=90, trust_env=False)

    before = stack.resident("transformer")
    answers = beside(stack, lambda: at_once(32, 10, ask))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {422, 429}
    assert statuses[422], statuses
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    assert stack.resident("transformer") - before < MAY_GROW
    assert WAITING < 32, "or nobody was refused"


# --- explanations -------------------------------------------------------------------------------


def explain(stack: Stack, method: str, run: str = "07", seed: int = 0) -> httpx.Response:
    question = {"instances": [{"run_id": run}], "method": method, "seed": seed}
    return httpx.post(stack.of("explainer") + EXPLAIN, json=question, timeout=90, trust_env=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("flood", "others"), [("anchor", ("ice", "shap", "lime")), ("lime", ("shap", "anchor"))]
)
def test_a_flood_of_one_method_starves_no_other(
    stack: Stack, flood: str, others: tuple[str, ...]
) -> None:
    ended = threading.Event()

    def attack(number: int) -> list[httpx.Response]:
        answers = []
        while not ended.is_set():
            answers.append(explain(stack, flood, seed=number))
            if answers[-1].status_code == 429:
                ended.wait(0.2)  # sooner than it was told
        return answers

    with ThreadPoolExecutor(32) as pool:
        attackers = [pool.submit(attack, number) for number in range(32)]
        try:
            answers = [explain(stack, method, seed=seed) for seed in range(3) for method in others]
            predicted = [predict(stack).status_code for _ in range(20)]
        finally:
            ended.set()
    flooded = [answer for attacker in attackers for answer in attacker.result()]
    assert {answer.status_code for answer in answers} == {200}
    assert set(predicted) == {200}
    assert {answer.status_code for answer in flooded} <= {200, 429}
    refused = [answer for answer in flooded if answer.status_code == 429]
    assert refused
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
