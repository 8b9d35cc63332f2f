"""Recordings sent whole: the same verdict as the command's and MLflow's, and every refusal."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.ports import free_port
from tests.serving import stack
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Stack
from toolwear.cli.main import app
from toolwear.client import AsyncClient, Client
from toolwear.common.request_limits import BODY_PAUSE_BYTES, SCORE_PLACES
from toolwear.dataset.contract import default
from toolwear.features.compute import compute
from toolwear.model.pyfunc import PackageModel

SCORE = f"/v1/models/{MODEL}:score"
SETTINGS = {"feedrate": "6", "clamp_pressure": "4"}
CSV = {"content-type": "text/csv"}
MIB = 1  # that a recording may have here


@pytest.fixture(scope="module")
def served(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place.point(0)
    logs = tmp_path_factory.mktemp("logs")
    with stack.running(place, logs, "--score_mib", str(MIB)) as started:
        yield started
    for log in logs.iterdir():
        assert "Traceback" not in log.read_text()


@pytest.fixture
def client(served: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.transformer.url, timeout=60) as opened:
        yield opened


@pytest.fixture
def csv(real_data: Path) -> Path:
    """A recording in the order of time, cut at 6 mm/s and 4 bar."""
    return real_data / "experiment_01.csv"


def command(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["score", "--json", *map(str, words)])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_command_service_and_mlflow_agree_row_by_row(
    client: httpx.Client, served: Stack, place: Place, csv: Path, tmp_path: Path
) -> None:
    asked = {**SETTINGS, "rows": "true"}
    response = client.post(SCORE, params=asked, content=csv.read_bytes(), headers=CSV)
    assert response.status_code == 200, response.text
    found = response.json()
    rows = pd.DataFrame(found.pop("answers"))
    here = (csv, "--settings", "feedrate=6,clamp_pressure=4")
    said = command(*here, "--rows", tmp_path / "rows.parquet", f"--home={place.home}")
    assert found == said | {"recording": None}
    assert said["package"] == place.packages[0].digest
    written = pd.read_parquet(tmp_path / "rows.parquet").drop(columns="recording")
    pd.testing.assert_frame_equal(rows, written, check_exact=True)
    package = place.packages[0]
    frame = pd.read_csv(csv).assign(**{name: float(value) for name, value in SETTINGS.items()})
    features = compute(frame, int(package.description["window"]), default())
    mlflow = PackageModel(package.folder).predict(features)
    assert rows["verdict"].tolist() == mlflow["verdict"].tolist()
    assert rows["probability"].to_numpy() == pytest.approx(
        mlflow["probability"].to_numpy(), nan_ok=True, abs=1e-12
    )


def test_both_clients_bring_the_same_verdict(served: Stack, csv: Path) -> None:
    settings = {name: float(value) for name, value in SETTINGS.items()}

    async def awaited() -> dict[str, Any]:
        async with AsyncClient(served.transformer.url) as opened:
            return await opened.score(csv, settings, recording="line-4")

    with Client(served.transformer.url) as opened:
        said = opened.score(csv, settings, recording="line-4")
    assert asyncio.run(awaited()) == said
    assert said["recording"] == "line-4"


def test_the_command_asks_a_service_with_the_same_output(
    served: Stack, place: Place, csv: Path, tmp_path: Path
) -> None:
    here = (csv, "--settings", "feedrate=6,clamp_pressure=4")
    places = {"here": f"--home={place.home}", "there": f"--url={served.transformer.url}"}
    said = {}
    for name, where in places.items():
        said[name] = command(*here, where, "--rows", tmp_path / f"{name}.csv")
    assert said["here"] == said["there"]
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    faulty = tmp_path / "cut.csv.gz"
    faulty.write_bytes(gzip.compress(csv.read_bytes())[:2000])
    for file, address, told in (
        (faulty, served.transformer.url, f"{faulty}: The recording can't be unpacked"),
        (csv, f"http://127.0.0.1:{free_port()}", "does not answer"),
    ):
        given = ["score", str(file), *here[1:], "--url", address]
        done = CliRunner().invoke(app, list(map(str, given)))
        assert done.exit_code == 1
        assert told in done.stderr


def test_every_form_has_the_same_verdict(client: httpx.Client, csv: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(csv)
    frame.to_parquet(tmp_path / "a.parquet")
    lines = frame.to_json(orient="records", lines=True, double_precision=15).encode()
    forms = [
        (csv.read_bytes(), "text/csv; charset=utf-8"),
        (gzip.compress(csv.read_bytes()), "text/csv"),
        ((tmp_path / "a.parquet").read_bytes(), "application/vnd.apache.parquet"),
        (gzip.compress(lines), "application/x-ndjson"),
    ]
    found = []
    for content, kind in forms:
        headers = {"content-type": kind, "x-recording-id": "line-4", "x-request-id": "night"}
        response = client.post(SCORE, params=SETTINGS, content=content, headers=headers)
        assert response.status_code == 200, response.text
        assert response.headers["x-request-id"] == "night"
        found.append(response.json())
    assert found[0]["recording"] == "line-4"
    assert all(one == found[0] for one in found)


def test_a_faulty_recording_gets_a_sentence(client: httpx.Client, csv: Path) -> None:
    frame = pd.read_csv(csv)
    gap = frame.astype({"S1_OutputPower": object})
    gap.loc[700, "S1_OutputPower"] = None
    lines = frame.head(3).to_json(orient="records", lines=True)
    ok = csv.read_bytes()
    for content, query, kind, status, sentence in (
        (gap.to_csv(index=False).encode(), SETTINGS, "text/csv", 422, "in row 701, column S1_Out"),
        (b"", SETTINGS, "text/csv", 422, "The recording is empty"),
        (gzip.compress(ok)[:2000], SETTINGS, "text/csv", 422, "can't be unpacked"),
        (b"PAR1 and no more", SETTINGS, "text/csv", 422, "damaged"),
        ((lines + '{"a": [1]}\n').encode(), SETTINGS, "application/x-ndjson", 422, "in row 4"),
        ((lines + "[1]\n").encode(), SETTINGS, "application/x-ndjson", 422, "row 4"),
        ((lines + "{\n").encode(), SETTINGS, "application/x-ndjson", 422, "row 4"),
        (b'{"a": ' + b"1" * 70_000, SETTINGS, "application/x-ndjson", 422, "more than 65536"),
        (ok, {"feedrate": "6"}, "text/csv", 400, "lacks clamp_pressure"),
        (ok, {**SETTINGS, "feedrate": "nan"}, "text/csv", 400, "'feedrate=nan'"),
        (ok, {**SETTINGS, "tool": "3"}, "text/csv", 400, "'tool=3'"),
        (ok, {**SETTINGS, "rows": "1"}, "text/csv", 400, "true or false"),
        (ok, SETTINGS, "application/json", 415, "text/csv"),
    ):
        response = client.post(SCORE, params=query, content=content, headers={"content-type": kind})
        assert (response.status_code, list(response.json())) == (status, ["error"]), response.text
        assert sentence in response.json()["error"]
    assert client.post("/v1/models/none:score", params=SETTINGS, content=ok).status_code == 404


@pytest.mark.parametrize("announced", [True, False])
def test_what_is_too_long_is_refused_and_the_refusal_arrives(
    client: httpx.Client, csv: Path, announced: bool
) -> None:
    content = csv.read_bytes() * (8 * MIB)
    parts = (content[at : at + 65536] for at in range(0, len(content), 65536))
    response = client.post(
        SCORE, params=SETTINGS, content=content if announced else parts, headers=CSV
    )
    assert response.status_code == 413
    assert response.json() == {"error": f"The body is longer than {MIB << 20} bytes."}


def test_few_are_under_way_and_predictions_go_on(
    served: Stack, client: httpx.Client, csv: Path
) -> None:
    with _slow_recordings(served.transformer.http_port) as send_another:
        for _ in range(SCORE_PLACES):
            send_another()
        # A recording that still finds a place may have taken it from a slow one.
        while (refused := _score(client, csv)).status_code == 200:
            send_another()
        assert refused.status_code == 429
        assert "Too many recordings" in refused.json()["error"]
        assert int(refused.headers["retry-after"]) > 0
        body = {"instances": [{"run_id": "07"}]}
        assert client.post(f"/v1/models/{MODEL}:predict", json=body).status_code == 200
    stack.wait_for(lambda: _score(client, csv).status_code == 200)


@contextmanager
def _slow_recordings(port: int) -> Iterator[Callable[[], None]]:
    """Return what begins a recording that arrives just fast enough not to be given up."""
    head = (
        f"POST {SCORE}?feedrate=6&clamp_pressure=4 HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"content-type: text/csv\r\ncontent-length: {MIB << 20}\r\n\r\nX"
    ).encode()
    over = threading.Event()
    slow: list[socket.socket] = []

    def send_on() -> None:
        while not over.wait(0.5):
            for connection in tuple(slow):
                with suppress(OSError):  # refused
                    connection.sendall(b"X" * BODY_PAUSE_BYTES)

    with ExitStack() as opened, ThreadPoolExecutor(1) as threads:

        def send_another() -> None:
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(head)
            slow.append(connection)

        sending = threads.submit(send_on)
        try:
            yield send_another
        finally:
            over.set()
            sending.result()


def test_a_model_that_is_swapped_in_scores_the_whole_recording(
    served: Stack, client: httpx.Client, place: Place, csv: Path
) -> None:
    found: list[dict[str, Any]] = []
    with ThreadPoolExecutor(2) as threads:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                response = _score(client, csv)
                assert response.status_code == 200, response.text
                found.append(response.json())

        asking = threads.submit(ask)

        def answered_by(version: str) -> bool:
            return bool(found) and found[-1]["version"] == version

        try:
            for number in (2, 1, 0):  # the first takes other features
                place.point(number)
                wanted = str(number + 1)
                stack.wait_for(partial(answered_by, wanted))
        finally:
            stop.set()
        asking.result()
    packages = {str(number + 1): one.digest for number, one in enumerate(place.packages)}
    assert {one["version"] for one in found} == {"1", "2", "3"}
    by_version: dict[str, set[str]] = {}
    for one in found:
        assert one["package"] == packages[one["version"]]
        by_version.setdefault(one["version"], set()).add(json.dumps(one))
    assert all(len(same) == 1 for same in by_version.values())


def _score(client: httpx.Client, csv: Path) -> httpx.Response:
    return client.post(SCORE, params=SETTINGS, content=csv.read_bytes(), headers=CSV)
