"""`toolwear serve` and what is promised of it: every example as it stands, deaths, and the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest

from tests.champions import point
from tests.ports import free_port, free_ports, is_free
from tests.proxies import PROXIES
from tests.serving.conftest import environment
from tests.serving.stack import Place, expected, wait_for
from tests.trigger.service import bare_environment
from toolwear.client import Client, RequestRefusedError, ServiceDownError
from toolwear.common import ports
from toolwear.common.fingerprint import ROOT
from toolwear.common.request_limits import ROWS
from toolwear.common.thresholds import thresholds
from toolwear.release import rollout as state
from toolwear.release.registry import CANDIDATE
from toolwear.release.rollout import Mode, Rollout
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

DOCUMENT = (ROOT / "docs" / "serving.md").read_text()
DEAD_PROXY = f"http://127.0.0.1:{free_port()}"
TAKEN = [own - ports.TRANSFORMER for own in range(ports.TRANSFORMER, ports.TRANSFORMER_GRPC + 1)]
EXAMPLES = re.findall(r"```(bash|python)\n(.*?)```", DOCUMENT, re.DOTALL)


@dataclass
class Served:
    """`toolwear serve` at work."""

    process: subprocess.Popen[bytes]
    output: Path
    port: int
    home: Path

    def said(self) -> str:
        return self.output.read_text()

    def here(self, text: str) -> str:
        """Return an example with the ports and the home of this test."""
        shift = self.port - ports.TRANSFORMER
        moved = re.sub(
            r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{int(found[1]) + shift}", text
        )
        return moved.replace("runs/secrets", str(self.home / "secrets"))


def toolwear(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "toolwear.cli", *arguments]


@pytest.fixture(scope="module")
def served(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place.point(0)
    output, port = tmp_path_factory.mktemp("serve") / "output", free_ports(TAKEN)
    with output.open("w") as stream:
        process = subprocess.Popen(
            toolwear("serve", "--home", str(place.home), "--port", str(port)),
            cwd=ROOT,
            # A proxy that does not answer: nothing of ours may ask it.
            env={**bare_environment(), "COLUMNS": "200", **dict.fromkeys(PROXIES, DEAD_PROXY)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    served = Served(process, output, port, place.home)
    try:
        wait_for(lambda: "Ctrl-C stops all" in served.said() or process.poll() is not None, 150)
        assert process.poll() is None, served.said()
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def test_it_tells_the_progress_and_two_lines_that_work(served: Served, place: Place) -> None:
    said = served.said()
    names = ("predictor", "transformer", "explainer", "trigger", "console", "monitor", "front")
    for name in names:
        assert re.search(rf"s  {name} +ready at http://127\.0\.0\.1:\d+", said)
    assert f"version 1, package {place.packages[0].version}, for known_runs_only" in said
    lines = [line.strip() for line in said.splitlines() if line.strip().startswith("curl")]
    answers = [json.loads(subprocess.check_output(line, shell=True)) for line in lines]  # noqa: S602
    assert answers[0]["predictions"][0]["probability"] == expected(
        place.home, place.packages[0], "01"
    )
    assert {"meta", "data"} <= set(answers[1])


@pytest.mark.parametrize(
    ("language", "code"), EXAMPLES, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(EXAMPLES)]
)
def test_the_examples_of_the_document_work(served: Served, language: str, code: str) -> None:
    command = ["bash", "-ec", served.here(code)]
    if language == "python":
        command = [sys.executable, "-c", served.here(code)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if language == "bash":
        assert "error" not in json.loads(done.stdout), done.stdout
    else:
        assert done.stdout


def test_a_receipt_is_found_again(served: Served, place: Place) -> None:
    token = Tokens(Home.at(place.home)).own(Scope.LABEL)
    with Client(served.here("http://127.0.0.1:8080"), label_token=token) as client:
        answer = client.predict_run("07", request_id="find-me")
        with (
            Client(served.here("http://127.0.0.1:8080")) as stranger,
            pytest.raises(RequestRefusedError, match="Send a token that may label"),
        ):
            stranger.label(answer.receipt.id, [False])
        client.label(answer.receipt.id, [True])
    done = subprocess.run(
        toolwear("receipt", "find-me", "--home", str(place.home)),
        env={**environment(), "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout
    for known in (
        f"receipt {answer.receipt.id}: 1 rows",
        "find-me",
        place.packages[0].digest,
        place.packages[0].description["data_digest"],
        place.packages[0].description["commit"],
        "S1_OutputCurrent",
        answer.predictions[0].verdict,
        "2018-01-08",
    ):
        assert known in said
    assert re.search(r"worn +. True", said)
    assert re.search(r"labelled_by +. home-label", said)
    with Client(served.here("http://127.0.0.1:8080"), label_token=token) as client:
        other = client.predict_run("01", request_id="find-me")
        client.label(other.receipt.id, [False])
    listed = subprocess.run(
        toolwear("receipt", "find-me", "--home", str(place.home)),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "2 answers to requests with the x-request-id find-me" in listed
    assert answer.receipt.id in listed
    assert other.receipt.id in listed
    missing = subprocess.run(
        toolwear("receipt", "never-asked", "--home", str(place.home)),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert "has no receipt never-asked" in missing.stderr


def test_the_client_takes_a_table_and_says_what_it_cannot_send(served: Served) -> None:
    rows = json.loads((ROOT / "docs/examples/raw_rows.json").read_text())["instances"]
    table = pd.DataFrame(rows)
    with Client(served.here("http://127.0.0.1:8080")) as client:
        key = "the-table"
        of_table = client.predict_rows(table, recording="line-4", idempotency_key=key)
        assert client.predict_rows(rows, recording="line-4", idempotency_key=key) == of_table
        assert of_table.receipt.recording == "line-4"
        many = pd.concat([table] * (ROWS // len(table) + 1))
        answer = client.predict_rows(many)
        assert [len(part.rows) for part in answer.parts] == [ROWS, len(many) - ROWS]
        assert len(answer.predictions) == len(many)
        with pytest.raises(RequestRefusedError, match="cannot be sent as JSON"):
            client.predict_rows(table.assign(X1_ActualPosition=float("nan")))


def test_the_client_tells_refusals_from_outages(served: Served, place: Place) -> None:
    token = Tokens(Home.at(place.home)).own(Scope.LABEL)
    with Client(served.here("http://127.0.0.1:8080"), label_token=token) as client:
        assert client.predict_run("07").predictions[0].probability == expected(
            place.home, place.packages[0], "07"
        )
        with pytest.raises(RequestRefusedError, match="knows no run 77") as refused:
            client.predict_run("77")
        assert refused.value.status == 422
    with (
        Client("http://127.0.0.1:1") as nobody,
        pytest.raises(ServiceDownError, match="does not answer"),
    ):
        nobody.metadata()


def test_the_client_asks_why_of_one_prediction_and_of_the_model(served: Served) -> None:
    urls = served.here("http://127.0.0.1:8080"), served.here("http://127.0.0.1:8083")
    with Client(*urls) as client:
        one = client.explain("07", method="shap")
        whole = client.explain(None, method="surrogate")
    assert 0 < one.quality["relative_standard_error"] < 1
    assert 0 < whole.quality["fidelity"] <= 1


def test_a_second_one_says_that_the_port_is_taken(served: Served, place: Place) -> None:
    done = subprocess.run(
        toolwear("serve", "--home", str(place.home), "--port", str(served.port)),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"toolwear: Port {served.port} is taken;")
    assert done.stderr.count("\n") == 1


def test_a_server_that_dies_is_started_again_and_it_is_said(served: Served) -> None:
    children = psutil.Process(served.process.pid).children()
    predictor = next(child for child in children if "serving.predictor" in child.cmdline())
    os.kill(predictor.pid, signal.SIGKILL)
    ask = {"instances": [{"run_id": "07"}]}
    url = served.here("http://127.0.0.1:8080") + "/v1/models/toolwear:predict"
    wait_for(lambda: "predictor is ready again" in served.said(), 60)
    assert "predictor was killed (signal 9) and is started again in 1 s" in served.said()
    wait_for(lambda: httpx.post(url, json=ask).status_code == 200)


def test_a_run_can_be_asked_for_and_the_answer_says_what_it_lacks(
    served: Served, place: Place
) -> None:
    url = served.here(f"http://127.0.0.1:{ports.TRIGGER}")
    assert httpx.post(f"{url}/retrain", json={}).status_code == 401
    token = Tokens(Home.at(place.home)).own(Scope.OPERATE)
    answer = httpx.post(f"{url}/retrain", json={}, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 409
    assert "give the trigger a folder with --data" in answer.json()["error"]


def test_the_candidates_servers_come_with_a_rollout_and_go_with_it(
    served: Served, place: Place
) -> None:
    front = served.here(f"http://127.0.0.1:{ports.FRONT}")
    path, ask = "/v1/models/toolwear:predict", {"instances": [{"run_id": "07"}]}
    before = httpx.post(front + path, json=ask)
    assert before.headers["x-toolwear-track"] == "stable"
    assert before.json()["receipt"]["version"] == "1"
    limits = thresholds().rollout.model_dump() | {"minimum_requests": 1_000_000}
    rollout = Rollout(
        id="2-test",
        model="toolwear",
        mode=Mode.CANARY.value,
        version="2",
        package_digest=place.packages[1].digest,
        champion="1",
        why="",
        cause="",
        started="",
        stage=1,
        since="",
        weights=state.weights(Mode.CANARY, 50),
        thresholds=limits,
    )
    point(place.home, place.champion(1), CANDIDATE)
    state.write(place.home, rollout)
    wait_for(lambda: "canary of version 2 begins" in served.said())

    def from_candidate() -> bool:
        answer = httpx.post(front + path, json=ask)
        candidate = answer.headers["x-toolwear-track"] == "candidate"
        assert answer.json()["receipt"]["version"] == ("2" if candidate else "1")
        return candidate

    wait_for(from_candidate, 180)
    assert httpx.get(f"{front}/rollout").json()["weights"]["candidate"] == 50

    def children() -> int:
        return len(psutil.Process(served.process.pid).children())

    assert children() == 7 + 3
    state.write(place.home, replace(rollout, result="rolled_back", reason="Enough of it."))
    wait_for(lambda: "canary of version 2 rolled back: Enough of it." in served.said())
    wait_for(lambda: children() == 7, 60)
    assert not from_candidate()


def test_ctrl_c_ends_all_and_leaves_nothing(served: Served, place: Place) -> None:
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert len(children) == 7
    started = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(40) == 0
    assert time.monotonic() - started < 20
    assert served.said().rstrip().endswith("stopped")
    assert not any(child.is_running() for child in children)
    assert all(is_free(served.port + n) for n in TAKEN)
    assert all(path.suffix == ".parquet" for path in (place.home / "payloads").iterdir())
    assert "Traceback" not in "".join(
        path.read_text() for path in (place.home / "serving").glob("*.log")
    )


def test_without_a_champion_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        toolwear("serve", "--home", str(tmp_path)),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"toolwear: There is no champion in {tmp_path} yet; train one: toolwear run.\n"
    )
