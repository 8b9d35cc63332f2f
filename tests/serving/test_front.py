"""The front before real servers: rollouts under load, and parts that are killed meanwhile."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.common.caller import RECORDING_ID
from serving.payload.log import find, read
from tests.champions import point
from tests.ports import free_port
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Server, expected, is_ready, labeller
from tests.serving.stack import wait_for as wait_seconds_for
from toolwear.common.request_limits import BODY_BYTES, SCORE_BYTES
from toolwear.common.thresholds import Rollout as Limits
from toolwear.common.thresholds import thresholds
from toolwear.release import audit_log, registry, rollouts
from toolwear.release import champion as pointer
from toolwear.release import rollout as state
from toolwear.release.moves import moving
from toolwear.release.registry import CANDIDATE, CHAMPION, Registry
from toolwear.release.registry_state import release, roll_back
from toolwear.release.rollout import Mode, Rollout
from toolwear.statistics.bounds import enough
from toolwear.workspace.home import Home

pytestmark = pytest.mark.timeout(900)  # all of it runs beside other work on two cores
V1, EXPLAIN = f"/v1/models/{MODEL}:predict", f"/v1/models/{MODEL}:explain"
RUN = "07"
ASK: dict[str, Any] = {"instances": [{"run_id": RUN}]}
GONE = {"error": "The model does not answer at the moment; try again."}
CAUSE = "schedule: nightly"
PATIENT = ("--store_timeout_seconds", "60")  # what is asked for here are deaths, not slowness
REQUESTS = 20  # of a recording
# As in the reviewed file, but sooner done; two cores at work on all of this are slow at times.
QUICK = thresholds().rollout.model_dump() | {
    "stages": [30, 60],
    "minimum_requests": 40,
    "minimum_recordings": 2,
    "minimum_seconds": 0.5,
    "recording_gap_seconds": 0.5,
    "ready_seconds": 120,
    "candidate_seconds": 60.0,
    "confidence": 0.9,
    "failure_margin": 0.1,
    "latency_ratio": 10,
    "latency_slack_ms": 1000,
    "slow_share": 0.2,
    "abstention_margin": 0.3,
    "disagreement": 0.5,
}


@dataclass
class Tracks:
    """A home with a registry, the champion's servers, and a candidate's.

    `shadow` is a second transformer of the candidate, for copies of requests.
    """

    place: Place
    home: Home
    logs: Path
    transformer: Server
    explainer: Server
    candidate_predictor: Server
    candidate: Server
    shadow: Server

    @property
    def registry(self) -> Registry:
        return Registry(self.home, "", MODEL)

    def enrol(self, number: int) -> str:
        """Register package `number` once more; return its version."""
        package = self.place.packages[number]
        tags = {registry.PACKAGE: package.digest, registry.COMPLETE: "true"}
        made = self.registry.client.create_model_version(
            MODEL, f"file://{package.folder}", tags=tags
        )
        return str(made.version)

    def begin(self, version: str, mode: Mode, **limits: Any) -> Rollout:
        """Begin a rollout as promotion does, with other limits than the file's."""
        ours = self.registry
        with moving(ours) as champion:
            assert champion is not None
            rollouts.begin(
                ours,
                champion,
                ours.version(version),
                mode,
                "it won",
                CAUSE,
                Limits.model_validate(QUICK | limits),
            )
        return self.rollout

    @property
    def rollout(self) -> Rollout:
        found = state.read(self.home.root)
        assert found is not None
        return found

    def champion(self) -> str:
        found, pointed = self.registry.at(CHAMPION), pointer.read(self.home.root)
        assert found is not None
        assert pointed is not None
        assert pointed.version == found.number
        return found.number

    @contextmanager
    def before(self, candidate: str = "") -> Iterator[Server]:
        """Run a front; the candidate's transformer is elsewhere if an address is given."""
        front = Server(
            "serving.front",
            self.logs / "front.log",
            [
                *("--home", str(self.home.root)),
                *("--transformer_url", self.transformer.url, "--explainer_url", self.explainer.url),
                *("--candidate_transformer_url", candidate or self.candidate.url),
            ],
        )
        with ended(front):
            front.start(ready=False)
            wait_for(lambda: is_alive(front.url))
            yield front
            assert front.stop() == 0, front.log.read_text()
        assert "Traceback" not in front.log.read_text()

    def right(self, answer: dict[str, Any]) -> float:
        """Return what the version that an answer names says of the run."""
        version = self.registry.version(answer["receipt"]["version"])
        assert version.package_digest == answer["receipt"]["package_digest"]
        package = next(p for p in self.place.packages if p.digest == version.package_digest)
        return expected(self.home.root, package, RUN)


@contextmanager
def ended(*servers: Server) -> Iterator[None]:
    try:
        yield
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def is_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def tracks(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracks]:
    """All servers that the tests need, started at once: each imports for seconds."""
    root = tmp_path_factory.mktemp("front") / "home"
    shutil.copytree(place.home, root)
    shutil.rmtree(root / "payloads", ignore_errors=True)
    # The first champion is the one that is released below.
    Home(root).records.unlink()
    pointer.path(root).unlink()
    logs = root.with_name("logs")
    logs.mkdir()
    ours, grpc, theirs = ["--home", str(root)], free_port(), free_port()

    def server(name: str, log: str, *options: str) -> Server:
        return Server(f"serving.{name}", logs / f"{log}.log", [*ours, *options])

    def transformer(log: str, port: int, *options: str) -> Server:
        patient = ("--predictor_request_timeout_seconds", "60", *PATIENT)
        host = ("--predictor_host", f"127.0.0.1:{port}")
        return server("transformer", log, *host, *patient, *options)

    predictor = server("predictor", "predictor", "--grpc_port", str(grpc))
    found = Tracks(
        Place(root, place.packages),
        Home.at(root),
        logs,
        transformer("transformer", grpc),
        server("explainer", "explainer", *PATIENT),
        server(
            "predictor", "candidate-predictor", "--follow", CANDIDATE, "--grpc_port", str(theirs)
        ),
        transformer("candidate-transformer", theirs),
        transformer("shadow", theirs, "--shadow"),
    )
    every = (
        predictor,
        found.candidate_predictor,
        found.transformer,
        found.candidate,
        found.shadow,
        found.explainer,
    )
    found.registry.client.create_registered_model(MODEL)
    first = found.registry.version(found.enrol(0))
    release(found.registry, first, Mode.DIRECT, "the first", CAUSE)
    point(root, found.place.champion(1), CANDIDATE)
    with ended(*every):
        for one in every:
            one.start(ready=False)
        for one in every:
            wait_for(lambda one=one: is_ready(one.url))  # type: ignore[misc]
        for one in (found.transformer, found.candidate, found.shadow):
            assert httpx.post(one.url + V1, json=ASK, timeout=120).status_code == 200
        yield found


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a callable gives something true, for as long as a busy machine may need."""
    wait_seconds_for(condition, 300)


def load(
    url: str,
    work: Callable[[], None],
    path: str = V1,
    body: dict[str, Any] = ASK,
    clients: int = 3,
) -> list[httpx.Response]:
    """Ask from several clients while `work` runs; a broken connection is a fault.

    Each asks about one recording after the other. They pause a moment after a 503, so that the
    server that comes back gets a share of the machine.
    """
    answers: list[httpx.Response] = []
    faults: list[str] = []
    done = threading.Event()

    def ask(name: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            for number in count():
                if done.is_set():
                    return
                named = {RECORDING_ID: f"{name}-{number // REQUESTS}"}
                try:
                    answers.append(client.post(path, json=body, headers=named))
                except httpx.TransportError as error:
                    faults.append(repr(error))
                if answers and answers[-1].status_code != 200:
                    time.sleep(0.1)

    names = [secrets.token_hex(4) for _ in range(clients)]
    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) >= clients)
        work()
        enough = len(answers) + 2 * clients
        wait_for(lambda: len(answers) >= enough)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert faults == []
    return answers


def metric(url: str, name: str, **labels: str) -> float:
    told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    wanted = f"{name}{{{told}}} " if told else f"{name} "
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(wanted)]
    return float(line.split()[-1])


# --- servers that are killed ----------------------------------------------------------------------


def check_outage(answers: list[httpx.Response], right: Callable[[httpx.Response], bool]) -> None:
    """See to it that every client got a right answer or a clean 503, and both happened."""
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert answers[0].status_code == answers[-1].status_code == 200
    for answer in answers:
        if answer.status_code == 200:
            assert right(answer)
        else:
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/json"
            assert "try again" in answer.json()["error"]


def test_an_explainer_killed_under_load_costs_right_answers_or_503s_only(tracks: Tracks) -> None:
    question = {**ASK, "method": "shap", "seed": 0}
    explainer = tracks.explainer
    with tracks.before() as front:

        def kill_and_bring_back() -> None:
            explainer.kill()
            wait_for(lambda: ask().status_code == 503)
            explainer.start(ready=False)
            wait_for(lambda: is_ready(explainer.url))

        ask = partial(httpx.post, front.url + EXPLAIN, json=question, timeout=60)
        wait_for(lambda: ask().status_code == 200)  # the first one is slow
        before = ask()
        answers = load(front.url, kill_and_bring_back, EXPLAIN, question, clients=4)
    values = before.json()["data"]

    def right(answer: httpx.Response) -> bool:
        return bool(answer.json()["data"] == values)

    check_outage(answers, right)
    assert [answer.json() for answer in answers if answer.status_code == 503].count(GONE) > 0


def test_a_transformer_killed_under_load_costs_right_answers_or_503s_only(tracks: Tracks) -> None:
    with tracks.before() as front:

        def kill_and_bring_back() -> None:
            tracks.transformer.kill()
            wait_for(lambda: httpx.post(front.url + V1, json=ASK).status_code == 503)
            assert not is_ready(front.url)
            tracks.transformer.start(ready=False)
            wait_for(lambda: is_ready(tracks.transformer.url))

        answers = load(front.url, kill_and_bring_back)

    def right(answer: httpx.Response) -> bool:
        body = answer.json()
        return bool(body["predictions"][0]["probability"] == tracks.right(body))

    check_outage(answers, right)


# --- rollouts -------------------------------------------------------------------------------------


def test_a_canary_takes_over_under_load_though_the_front_is_killed_meanwhile(
    tracks: Tracks,
) -> None:
    before, version = tracks.champion(), tracks.enrol(1)
    begun = tracks.begin(version, Mode.CANARY, minimum_seconds=3)
    client = httpx.Client()
    with tracks.before() as first:
        wait_for(lambda: client.get(f"{first.url}/rollout").json()["ready"]["transformer"])
        assert metric(first.url, "toolwear_rollout_in_progress") == 1
        assert metric(first.url, "toolwear_front_weight", track="candidate") == 0, "it is cold"

        def until_seen() -> None:
            wait_for(lambda: metric(first.url, "toolwear_front_weight", track="candidate") == 30)
            wait_for(lambda: tracks.rollout.stage == 1)

        answers = load(first.url, until_seen)
        assert tracks.champion() == before, "it is not champion before the end"
        first.kill()  # and the rollout goes on where it was
        first.start(ready=False)
        wait_for(lambda: is_alive(first.url))
        told = client.get(f"{first.url}/rollout").json()
        assert (told["rollout"]["id"], told["rollout"]["stage"]) == (begun.id, 1)

        def until_promoted() -> None:
            wait_for(lambda: not tracks.rollout.running)
            wait_for(lambda: metric(first.url, "toolwear_rollout_in_progress") == 0)

        answers += load(first.url, until_promoted)
        assert metric(first.url, "toolwear_rollouts_total", result="promoted") == 1
        assert metric(first.url, "toolwear_front_requests_total", track="candidate", status="200")

        def served() -> str:
            answer = client.post(first.url + V1, json=ASK)
            assert answer.headers["x-toolwear-track"] == "stable"
            return str(answer.json()["receipt"]["version"])

        wait_for(lambda: served() == version)
        ids = {answer.json()["receipt"]["id"] for answer in answers}
        receipt = next(iter(ids))
        labels = {"receipt": receipt, "worn": [True]}
        url, own = f"{first.url}/v1/labels", labeller(tracks.home.root)
        assert client.post(url, json=labels).status_code == 401
        assert client.post(url, json=labels, headers=own).status_code == 200
    client.close()
    assert {answer.status_code for answer in answers} == {200}
    bodies = [answer.json() for answer in answers]
    assert {body["receipt"]["version"] for body in bodies} == {before, version}
    rights = {body["receipt"]["version"]: tracks.right(body) for body in bodies}
    for answer, body in zip(answers, bodies, strict=True):
        assert body["predictions"][0]["probability"] == rights[body["receipt"]["version"]]
        assert answer.headers["x-receipt-id"] == body["receipt"]["id"]
    assert len(ids) == len(answers), "every answer has a receipt of its own"
    wait_for(lambda: ids <= set(read(tracks.home.root)["receipt_id"]))
    assert find(tracks.home.root, receipt)["worn"].tolist() == [True]

    done = tracks.rollout
    assert (done.result, [part["stage"] for part in done.history]) == ("promoted", [0, 1])
    assert "It is as good on live traffic: failed requests 0.0%" in done.reason
    for part in done.history:
        assert part["found"]["tracks"]["candidate"]["requests"] >= 40
        assert part["found"]["recordings"] >= enough(QUICK["abstention_margin"], 0.1)
        assert {one["finding"] for one in part["found"]["compared"]} == {"fine"}
    assert tracks.champion() == version
    log = audit_log.entries(tracks.home)
    assert [entry["action"] for entry in log if entry.get("rollout") == begun.id] == [
        "canary_start",
        "canary_stage",
        "promote",
    ]


def test_a_shadow_is_compared_and_answers_nobody(tracks: Tracks) -> None:
    before, version = tracks.champion(), tracks.enrol(1)
    tracks.begin(version, Mode.SHADOW)
    with tracks.before(tracks.shadow.url) as front:
        answers = load(front.url, lambda: wait_for(lambda: not tracks.rollout.running))
        shadows = metric(front.url, "toolwear_front_requests_total", track="shadow", status="200")
        assert shadows >= 40
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-toolwear-track"] for answer in answers} == {"stable"}
    ids = [answer.json()["receipt"]["id"] for answer in answers]
    # Those after the end may be of the new champion already.
    assert answers[0].json()["receipt"]["version"] == before
    wait_for(lambda: set(ids) <= set(read(tracks.home.root)["receipt_id"]))
    logged = read(tracks.home.root)
    logged = logged[logged["receipt_id"].isin(ids)]
    assert len(logged) == len(ids), "copies are not on the log"
    (chapter,) = tracks.rollout.history
    assert chapter["found"]["tracks"]["candidate"]["requests"] >= 40
    compared = {one["name"]: one for one in chapter["found"]["compared"]}
    assert compared["judged otherwise"]["n"] == chapter["found"]["recordings"]
    assert tracks.rollout.result == "promoted"
    assert tracks.champion() == version


def test_a_candidate_that_hangs_delays_no_answer(tracks: Tracks) -> None:
    """Its servers take requests, say that they are ready, and never answer."""
    version = tracks.enrol(2)
    tracks.begin(version, Mode.SHADOW, candidate_seconds=1.0, failures_in_a_row=1)
    with hanging() as url, tracks.before(url) as front:
        started = time.monotonic()
        answers = load(front.url, lambda: wait_for(lambda: not tracks.rollout.running))
        seconds = time.monotonic() - started
        slow = metric(front.url, "toolwear_front_requests_total", track="shadow", status="504")
        assert slow >= 4
    assert {answer.status_code for answer in answers} == {200}
    # Each of three clients would have waited a second for each answer.
    assert len(answers) > 3 * seconds
    assert tracks.rollout.reason == "It failed 4 times in a row from its start."


def test_many_requests_of_one_recording_decide_nothing(tracks: Tracks) -> None:
    before, version = tracks.champion(), tracks.enrol(1)
    tracks.begin(version, Mode.SHADOW, recording_gap_seconds=0.1)
    with tracks.before(tracks.shadow.url) as front, httpx.Client(base_url=front.url) as client:

        def told() -> dict[str, Any]:
            return dict(client.get("/rollout").json())

        def seen() -> int:
            for _ in range(10):
                assert client.post(V1, json=ASK).status_code == 200
            return int(told()["seen"]["tracks"]["candidate"]["requests"])

        wait_for(lambda: seen() >= 3 * QUICK["minimum_requests"])
        time.sleep(0.2)
        wait_for(lambda: told()["seen"]["recordings"] == 1)
        assert seen() >= 3 * QUICK["minimum_requests"]
        time.sleep(0.2)
        wait_for(lambda: told()["seen"]["recordings_open"] == 0)
        assert told()["seen"]["recordings"] == 1, "it counts once"
        assert told()["undecided"].startswith("1 recording was answered by both, and it takes")
        assert metric(front.url, "toolwear_rollout_undecided") == 1
        assert metric(front.url, "toolwear_rollout_recordings") == 1
        assert (tracks.rollout.running, tracks.champion()) == (True, before)
        roll_back(tracks.home.root, "enough")
        wait_for(lambda: metric(front.url, "toolwear_rollout_undecided") == 0)


def test_a_person_ends_a_rollout_and_the_front_follows(tracks: Tracks) -> None:
    before, version = tracks.champion(), tracks.enrol(1)
    tracks.begin(version, Mode.CANARY)
    with tracks.before("http://127.0.0.1:1") as front:
        wait_for(lambda: metric(front.url, "toolwear_rollout_in_progress") == 1)
        assert metric(front.url, "toolwear_front_weight", track="candidate") == 0, "not ready"
        answer = httpx.post(front.url + V1, json=ASK)
        assert answer.json()["receipt"]["version"] == before
        roll_back(tracks.home.root, "not today")
        wait_for(lambda: metric(front.url, "toolwear_rollout_in_progress") == 0)
    assert (tracks.rollout.result, tracks.rollout.reason) == ("rolled_back", "not today")


def test_a_candidate_without_servers_is_dropped(tracks: Tracks) -> None:
    tracks.begin(tracks.enrol(1), Mode.CANARY, ready_seconds=1)
    with tracks.before("http://127.0.0.1:1"):
        wait_for(lambda: not tracks.rollout.running)
    assert tracks.rollout.reason == "Its servers were not ready for 1 seconds."


@contextmanager
def hanging() -> Iterator[str]:
    """Answer readiness probes, and nothing else; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []
    body = json.dumps({"ready": True}).encode()
    ready = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    def serve(connection: socket.socket) -> None:
        try:
            while request := connection.recv(65536):
                if request.startswith(b"GET"):
                    connection.sendall(ready)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in kept:
            connection.close()
        thread.join()


# --- requests that are not passed on --------------------------------------------------------------


def test_what_the_servers_refuse_is_passed_on_and_what_nobody_should_read_is_not(
    tracks: Tracks, real_data: Path
) -> None:
    with tracks.before() as front, httpx.Client(base_url=front.url) as client:
        refused = client.post(V1, json={"instances": [{"run_id": "no-such-run"}]})
        assert refused.status_code == 422
        assert "no-such-run" in refused.json()["error"]
        wrong = client.post(V1, content=b"{", headers={"content-type": "application/json"})
        assert (wrong.status_code, wrong.json()["error"][:26]) == (
            400,
            "The body is not valid JSON",
        )
        large = client.post(V1, content=b"x" * (BODY_BYTES + 1))
        assert large.status_code == 413
        parts = (b"x" * (1 << 16) for _ in range(BODY_BYTES // (1 << 16) + 1))
        assert client.post(V1, content=parts).status_code == 413
        score = f"/v1/models/{MODEL}:score?feedrate=6&clamp_pressure=4"
        long = (b"x" * (1 << 16) for _ in range(SCORE_BYTES // (1 << 16) + 1))
        refused = client.post(score, content=long, timeout=60)
        assert (refused.status_code, "longer than" in refused.json()["error"]) == (413, True)
        recording = (real_data / "experiment_01.csv").read_bytes()
        scored = client.post(score, content=recording, timeout=60)
        assert scored.headers["x-toolwear-track"] == "stable"
        assert scored.json()["version"] == tracks.champion()
        for method, path, status in (
            ("GET", "/v2/models", 200),
            ("GET", f"/v2/models/{MODEL}/ready", 200),
            ("GET", "/openapi.json", 200),
            ("GET", "/docs", 200),
            ("GET", "/healthz", 200),
            ("GET", "/nothing", 404),
            ("GET", V1, 405),
            ("GET", f"/v2/models/{MODEL}/versions/{tracks.champion()}", 200),
            ("GET", f"/v2/models/{MODEL}/versions/99", 404),
            ("POST", "/v2/models", 405),
            ("GET", "/v1/models/other", 404),
        ):
            assert client.request(method, path).status_code == status, path
        named = client.post(V1, json=ASK, headers={"x-request-id": "line-4"})
        assert named.json()["receipt"]["request_id"] == named.headers["x-request-id"] == "line-4"
        v2 = {"name": "run_id", "datatype": "BYTES", "shape": [1], "data": [RUN]}
        answer = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [v2]})
        assert answer.json()["model_version"] == tracks.champion()


# --- last, because it ends the candidate's predictor for good -------------------------------------


def test_a_candidate_that_dies_is_rolled_back_and_no_client_notices(tracks: Tracks) -> None:
    before, version = tracks.champion(), tracks.enrol(2)
    tracks.begin(version, Mode.CANARY, minimum_requests=100_000, ready_seconds=5)
    with tracks.before() as front:

        def answered_by(track: str) -> bool:
            answer = httpx.post(front.url + V1, json=ASK)
            return answer.headers["x-toolwear-track"] == track

        def kill_it() -> None:
            wait_for(lambda: answered_by("candidate"))
            tracks.candidate_predictor.kill()
            wait_for(lambda: not tracks.rollout.running)

        answers = load(front.url, kill_it)
        wait_for(lambda: metric(front.url, "toolwear_rollouts_total", result="rolled_back") == 1)
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        body = answer.json()
        assert body["predictions"][0]["probability"] == tracks.right(body)
    done = tracks.rollout
    # Whichever is noticed first.
    noticed = r"It failed ([5-9]|\d\d+) times in a row\.|Its servers were not ready for 5 seconds\."
    assert done.result == "rolled_back"
    assert re.fullmatch(noticed, done.reason)
    assert tracks.champion() == before
    last = audit_log.entries(tracks.home)[-1]
    assert (last["action"], last["from"], last["to"]) == ("canary_rolled_back", version, before)
    assert pointer.read(tracks.home.root, CANDIDATE) is None
