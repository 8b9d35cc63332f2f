"""The clients against a served model with windows: cutting, repeating, waiting, DataFrames."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import httpx
import pandas as pd
import pytest
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane

from datasets.cnc_mill import names as mill
from serving.common.grpc_face import start_grpc
from serving.common.outages import SENTENCES, PredictorDownError
from serving.payload.log import of_request
from tests.mill import RAW_ROW
from tests.ports import free_port
from tests.serving.stack import Place, Stack, real_package, running, wait_for
from toolwear.client import AsyncClient, Client, RequestRefusedError, ServiceDownError
from toolwear.common.request_limits import ROWS
from toolwear.dataset import schema
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

NOBODY = "http://127.0.0.1:1"
DROP, BUSY = "drop", "busy"


@pytest.fixture(scope="module")
def stack(
    place: Place, features: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    package = real_package(place.home / "packages", features, 5, schema.RESPONSE)
    windowed = replace(place, packages=[*place.packages, package])
    windowed.point(3)
    with running(windowed, tmp_path_factory.mktemp("logs")) as started:
        yield started
    place.point(0)


@pytest.fixture
def table(raw: pd.DataFrame) -> pd.DataFrame:
    """A recording too long for one request, with an index of its own."""
    rows = pd.concat([raw[list(RAW_ROW)]] * 3)
    return rows.set_axis(range(5000, 5000 + len(rows)))


def records(table: pd.DataFrame) -> list[dict[str, float | str]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


@contextmanager
def faulty(url: str, faults: list[str]) -> Iterator[str]:
    """Pass requests on, and take the answers to the first ones away or refuse these."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            fault = faults.pop(0) if faults else ""
            if fault == BUSY:
                self.answer(429, b'{"error": "Too many."}', {"retry-after": "0.3"})
                return
            headers = {k: v for k, v in self.headers.items() if k != "Host"}
            found = httpx.post(url + self.path, content=body, headers=headers, timeout=30)
            if fault != DROP:
                self.answer(found.status_code, found.content, {})

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_rows_in_parts_get_the_answers_that_they_get_at_once(
    stack: Stack, table: pd.DataFrame
) -> None:
    few = table[:ROWS]
    assert len(table) > ROWS
    with Client(stack.transformer.url) as client:
        whole = client.predict_rows(few)
        everything = client.predict_rows(table)
    with Client(stack.transformer.url, most_rows=230) as client:
        cut = client.predict_rows(records(few), recording="line-4", request_id="cut")
    async with AsyncClient(stack.transformer.url, most_rows=170) as later:
        assert await later.ready()
        awaited = await later.predict_rows(few)
    assert len(whole.parts) == 1
    assert len(cut.parts) > 4
    assert any(one.verdict != "not_sure" for one in whole.predictions)
    assert whole.predictions[0].probability is None
    assert cut.predictions == awaited.predictions == whole.predictions
    assert everything.predictions[:ROWS] == whole.predictions
    assert len({part.receipt.id for part in cut.parts}) == len(cut.parts)
    assert {part.receipt.recording for part in cut.parts} == {"line-4"}

    frame = everything.frame(index=table.index)
    assert list(frame.index) == list(table.index)
    assert frame["verdict"].tolist() == [one.verdict for one in everything.predictions]
    assert frame["probability"].dtype == "float64"
    assert frame["probability"].isna()[5000]
    assert set(frame["version"].dropna()) == {"4"}

    token = Tokens(Home.at(stack.place.home)).own(Scope.LABEL)
    with Client(stack.transformer.url, label_token=token) as client:
        labelled = client.label(cut, [True] * len(few))
        assert labelled == sum(len(part.rows) for part in cut.parts) > len(few)
        with pytest.raises(RequestRefusedError, match=f"1 labels for {ROWS} rows"):
            client.label(cut, [True])


def test_a_faulty_row_is_named_by_its_place_among_all(stack: Stack, table: pd.DataFrame) -> None:
    rows = records(table)
    rows[ROWS + 10][mill.PHASE] = "lunch"
    with (
        Client(stack.transformer.url) as client,
        pytest.raises(RequestRefusedError, match=r"of row \d+ is not a phase.* is row") as refused,
    ):
        client.predict_rows(rows)
    assert refused.value.status == 400


def test_a_lost_answer_is_asked_for_again_and_recorded_once(
    stack: Stack, table: pd.DataFrame
) -> None:
    faults = [DROP, BUSY]
    with faulty(stack.transformer.url, faults) as url, Client(url) as client:
        answer = client.predict_rows(table[:200], request_id="lost")
    assert faults == []
    wait_for(lambda: len(of_request(stack.place.home, "lost")))
    kept = of_request(stack.place.home, "lost")
    assert kept["receipt_id"].tolist() == [answer.receipt.id]
    assert kept["rows"].tolist() == [200]


def test_what_stays_away_is_told_with_the_time_to_wait(stack: Stack) -> None:
    with (
        faulty(stack.transformer.url, [BUSY, BUSY]) as url,
        Client(url, retries=1) as client,
        pytest.raises(ServiceDownError) as down,
    ):
        client.predict_run("07")
    assert (down.value.sentence, down.value.status) == ("Too many.", 429)
    assert down.value.retry_after == 0.3
    with Client(NOBODY, retries=0) as nobody:
        assert not nobody.ready(seconds=0.3)
        with pytest.raises(ServiceDownError, match="does not answer") as away:
            nobody.metadata()
    assert (away.value.status, away.value.retry_after) == (0, None)


async def test_grpc_brings_the_answers_and_refusals_of_http(
    stack: Stack, table: pd.DataFrame
) -> None:
    few = table[:ROWS]
    with Client(stack.transformer.url) as client:
        plain = client.predict_rows(few, recording="line-4")
    with Client(stack.transformer.url, grpc=stack.grpc, most_rows=400) as client:
        cut = client.predict_rows(few, request_id="by-grpc", recording="line-4")
        again = [client.predict_rows(few[:200], idempotency_key="once") for _ in range(2)]
    async with AsyncClient(stack.transformer.url, grpc=stack.grpc) as later:
        awaited = await later.predict_rows(records(few), recording="line-4")
        with pytest.raises(RequestRefusedError) as refused:
            await later.predict_rows(few[:200], recording="no recording")
    assert any(one.verdict != "not_sure" for one in plain.predictions)
    assert cut.predictions == awaited.predictions == plain.predictions
    assert len(cut.parts) > 2
    assert cut.receipt.request_id == "by-grpc"
    assert again[0] == again[1]
    ours, theirs = asdict(awaited.receipt), asdict(plain.receipt)
    for own in ("id", "answered_at"):
        assert ours.pop(own) != theirs.pop(own)
    assert ours == theirs
    assert refused.value.status == 400
    assert "x-recording-id" in refused.value.sentence
    wait_for(lambda: len(of_request(stack.place.home, "by-grpc")) == len(cut.parts))


def test_grpc_and_http_refuse_the_same_rows_in_the_same_words(
    stack: Stack, table: pd.DataFrame
) -> None:
    rows = records(table[:200])
    rows[10] = {**rows[10], mill.PHASE: "lunch"}
    said = []
    for grpc in ("", stack.grpc):
        with (
            Client(stack.transformer.url, grpc=grpc) as client,
            pytest.raises(RequestRefusedError, match="is not a phase") as refused,
        ):
            client.predict_rows(rows)
        said.append((refused.value.status, refused.value.sentence))
    assert said[0] == said[1]
    cases: list[tuple[list[dict[str, float | str]], str]] = [
        ([*rows[:9], {"feedrate": 6.0}], "Row 9 of this request has other columns"),
        ([{**rows[0], "feedrate": True}], '"feedrate" has to be numbers, or texts'),
        ([{**rows[0], "feedrate": 10**400}], '"feedrate" has a number too large'),
    ]
    with Client(stack.transformer.url, grpc=stack.grpc) as client:
        for faulty, sentence in cases:
            with pytest.raises(RequestRefusedError, match=sentence):
                client.predict_rows(faulty)


class Away(DataPlane):
    """A transformer whose predictor is away."""

    async def infer(self, *_: object, **__: object) -> NoReturn:
        raise PredictorDownError("it was killed")


async def test_grpc_tells_who_is_away() -> None:
    async with AsyncClient(NOBODY, grpc=NOBODY.removeprefix("http://"), retries=0) as client:
        with pytest.raises(ServiceDownError, match="does not answer") as nobody:
            await client.predict_rows([{"feedrate": 6.0}])
    assert nobody.value.status == 0
    port = free_port()
    server = await start_grpc(Away(ModelRepository()), "test", "127.0.0.1", port, SENTENCES)
    async with AsyncClient(NOBODY, grpc=f"127.0.0.1:{port}", retries=0) as client:
        with pytest.raises(ServiceDownError) as down:
            await client.predict_rows([{"feedrate": 6.0}])
    await server.stop(None)
    assert (down.value.status, down.value.sentence) == SENTENCES[PredictorDownError]
