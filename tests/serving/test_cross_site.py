"""A real browser on a page of another site, and on a name that was made to point here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response

from serving.payload.log import read
from tests.console.browser import chromium, open_page
from tests.programs import program
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Stack, labeller, running

ATTACKER, REBOUND = "attacker.example", "rebound.example"
PREDICT = f"/v1/models/{MODEL}:predict"
INFER = f"/v2/models/{MODEL}/infer"
V2 = '{"inputs":[{"name":"run_id","datatype":"BYTES","shape":[1],"data":["07"]}]}'
V1 = '{"instances":[{"run_id":"07"}]}'
# A page's request; what it can read of the answer, or the fault.
ASK = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.type, answer.status, await answer.text()];
  } catch (fault) { return ["fault", 0, String(fault)]; }
}"""
FORM = """([url, body]) => {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url, enctype: "text/plain"});
  const field = document.createElement("input");
  const cut = body.indexOf(":");
  Object.assign(field, {name: body.slice(0, cut + 1), value: body.slice(cut + 1)});
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page of another site</title><body>")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def stack(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place.point(0)
    with running(place, tmp_path_factory.mktemp("logs")) as started:
        yield started


@pytest.fixture(scope="module")
def attacker() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{ATTACKER}:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ", ".join(f"MAP {name} 127.0.0.1" for name in (ATTACKER, REBOUND))
    rules = f"--host-resolver-rules={names}"
    # Without the browser's own fence around the local network: the servers' is tried here.
    features = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
    with chromium(program("chromium"), rules, f"--disable-features={features}") as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = open_page(browser)
    yield page
    page.context.close()


@pytest.fixture
def statuses(page: Page) -> list[tuple[str, int]]:
    """What the servers answered, though the page may not see it."""
    seen: list[tuple[str, int]] = []

    def note(answer: Response) -> None:
        seen.append((answer.request.method, answer.status))

    page.on("response", note)
    return seen


def rows(place: Place) -> int:
    return len(read(Path(place.home)))


@pytest.mark.parametrize(("path", "body"), [(INFER, V2), (PREDICT, V1), ("/v1/labels", V1)])
@pytest.mark.parametrize("server", ["transformer", "predictor"])
def test_a_page_of_another_site_neither_writes_nor_reads(
    page: Page,
    statuses: list[tuple[str, int]],
    stack: Stack,
    attacker: str,
    server: str,
    path: str,
    body: str,
) -> None:
    before = rows(stack.place)
    url = (stack.transformer if server == "transformer" else stack.predictor).url + path
    page.goto(attacker)
    statuses.clear()
    post = {"method": "POST", "body": body}
    plain = {"headers": {"content-type": "text/plain"}}
    for options in (
        {**post, **plain, "mode": "no-cors"},
        {**post, "mode": "no-cors", "credentials": "include"},
        {**post, **plain, "mode": "cors"},
        {**post, "headers": {"content-type": "application/json"}, "mode": "cors"},
    ):
        kind, status, text = page.evaluate(ASK, [url, options])
        assert kind in ("opaque", "fault"), "the page reads nothing"
        assert (status, "worn" in text) == (0, False)
    assert page.evaluate("([url, body]) => navigator.sendBeacon(url, body)", [url, body])
    page.wait_for_timeout(500)
    reached = [status for method, status in statuses if method == "POST"]
    assert reached, "the browser did not even ask"
    assert set(reached) == {403}
    with page.expect_navigation():
        page.evaluate(FORM, [url, body])
    assert "A page of another site may not send requests" in page.inner_text("body")
    assert rows(stack.place) == before


def test_what_another_site_may_not_read_it_cannot_embed(
    page: Page, statuses: list[tuple[str, int]], stack: Stack, attacker: str
) -> None:
    page.goto(attacker)
    statuses.clear()
    url = f"{stack.transformer.url}/v2/models/{MODEL}"
    for mode in ("cors", "no-cors"):
        kind, _, text = page.evaluate(ASK, [url, {"mode": mode}])
        assert kind in ("opaque", "fault")
        assert MODEL not in text
    for tag in ("img", "script", "iframe"):
        page.evaluate(
            """([tag, url]) => new Promise(done => {
              const one = document.createElement(tag);
              one.onload = one.onerror = done;
              one.src = url;
              document.body.append(one);
            })""",
            [tag, url],
        )
    answered = [status for method, status in statuses if method == "GET"]
    assert answered.count(403) >= 2, "the fetch and the frame; the browser hides the others"
    assert set(answered) == {403}
    assert page.evaluate("() => frames.length") == 1
    with pytest.raises(Exception, match=r"cross-origin|Blocked a frame"):
        page.evaluate("() => frames[0].document.body.innerText")


def test_a_name_that_was_made_to_point_here_is_answered_nothing(page: Page, stack: Stack) -> None:
    before = rows(stack.place)
    for server in (stack.transformer, stack.predictor):
        # As after rebinding: the page's own origin has the server's address by now.
        origin = f"http://{REBOUND}:{server.http_port}"
        answer = page.goto(f"{origin}/v2/models/{MODEL}")
        assert answer is not None
        assert answer.status == 400
        assert "does not go by the name" in page.inner_text("body")
        json = {"headers": {"content-type": "application/json"}}
        right = {"headers": {**json["headers"], **labeller(stack.place.home)}}
        for path, options in (
            (f"/v2/models/{MODEL}", {}),
            ("/openapi.json", {}),
            (PREDICT, {"method": "POST", "body": V1, **json}),
            (INFER, {"method": "POST", "body": V2}),
            ("/v1/labels", {"method": "POST", "body": "{}", **right}),
        ):
            kind, status, text = page.evaluate(ASK, [origin + path, options])
            assert (kind, status) == ("basic", 400), (path, kind, status)
            assert "does not go by the name" in text
    assert rows(stack.place) == before


def test_our_own_pages_and_links_to_them_work(page: Page, stack: Stack, attacker: str) -> None:
    page.goto(attacker)
    page.evaluate("url => { location.href = url }", stack.transformer.url + "/v2/models")
    page.wait_for_url("**/v2/models")
    assert MODEL in page.inner_text("body")
    json = {"content-type": "application/json"}
    options = {"method": "POST", "body": V1, "headers": json}
    kind, status, text = page.evaluate(ASK, [stack.transformer.url + PREDICT, options])
    assert (kind, status) == ("basic", 200)
    assert "receipt" in text
