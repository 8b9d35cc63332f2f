"""Sessions end on the server, and pages that take long are few at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from serving.common.refusal import Refusal
from serving.console.few import RETRY_SECONDS, Few
from serving.console.session import COOKIE, SECONDS, Sessions
from serving.http.gate import Gate
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def request(cookie: str = "") -> Request:
    headers = [(b"cookie", f"{COOKIE}={cookie}".encode())] if cookie else []
    scope = {"type": "http", "scheme": "http", "path": "/", "query_string": b""}
    return Request({**scope, "headers": headers, "client": ("a", 1)})


def signed_in(sessions: Sessions, token: str, name: str = "Ada") -> Request:
    """Return a request of somebody who has just signed in."""
    answer = Response()
    sessions.open(request(), token, name, answer)
    return request(answer.headers["set-cookie"].partition("=")[2].partition(";")[0])


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(Home(tmp_path))


def test_a_session_ends_by_time_by_leaving_and_with_its_token(tokens: Tokens) -> None:
    clock = Clock()
    sessions = Sessions(Gate(tokens), clock)
    token = tokens.make("ada", Scope.OPERATE)
    first, second, third = (signed_in(sessions, token) for _ in range(3))
    known = sessions.of(first)
    assert known is not None
    assert known.name == "Ada"
    other = sessions.of(second)
    assert other is not None
    assert sessions.sent_by(known, known.csrf)
    assert not sessions.sent_by(known, other.csrf)
    sessions.end(first)
    assert sessions.of(first) is None
    assert sessions.of(second) is not None
    clock.now += SECONDS + 1
    assert sessions.of(second) is None
    fourth = signed_in(sessions, token)
    assert sessions.of(fourth) is not None
    tokens.revoke("ada")
    assert sessions.of(fourth) is None
    assert sessions.of(third) is None
    assert sessions.of(request("made-up")) is None
    assert Sessions(Gate(tokens)).of(fourth) is None, "another console knows no session of this one"


def test_what_was_done_is_told_once_to_whom_did_it(tokens: Tokens) -> None:
    sessions = Sessions(Gate(tokens))
    token = tokens.make("ada", Scope.OPERATE)
    ada, other = (signed_in(sessions, token) for _ in range(2))
    sessions.tell(ada, "Done.")
    sessions.tell(request(), "nobody's")
    assert sessions.told(other) == ""
    assert [sessions.told(ada), sessions.told(ada)] == ["Done.", ""]


def test_only_operators_sign_in(tokens: Tokens) -> None:
    sessions = Sessions(Gate(tokens))
    for given in ("", "wrong", tokens.own(Scope.LABEL), tokens.own(Scope.ALERT)):
        with pytest.raises(Refusal):
            signed_in(sessions, given)


async def test_few_are_at_work_at_once_some_wait_and_more_are_told_so() -> None:
    few, go = Few(2, 3), threading.Event()
    at_work: list[int] = []

    def compute(_request: Request) -> Response:
        at_work.append(1)
        assert len(at_work) <= 2
        go.wait(30)
        at_work.pop()
        return Response("done")

    page = few.page(compute, lambda: Response("busy", 503))
    asked = [asyncio.create_task(page(request())) for _ in range(20)]
    await asyncio.sleep(0.1)
    done = [task for task in asked if task.done()]
    assert len(done) == 15
    assert {task.result().headers["retry-after"] for task in done} == {str(RETRY_SECONDS)}
    go.set()
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*asked))
    assert statuses == [200] * 5 + [503] * 15
    assert (await page(request())).status_code == 200
