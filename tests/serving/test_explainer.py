"""The explainer over real sockets: six methods, one envelope, every fault, every model named."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pandas as pd
import pytest
from kserve.model import InferenceVerb

from datasets.cnc_mill import names as mill
from serving.common.caller import RECEIPT_ID, REQUEST_ID
from serving.common.refusal import Refusal
from serving.explainer.deadline import Deadline, TooSlowError
from serving.explainer.explained import Explained
from serving.explainer.model import Explainer
from tests.champions import point
from tests.mill import (
    MILL,
    RAW_NUMBERS,
    WINDOW_COLUMNS,
)
from tests.packages import COLUMNS, forest, make_package, parts
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Server, newest_features, wait_for
from toolwear.common.request_limits import BODY_BYTES
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.dataset.limits import limit
from toolwear.explain.registry import METHODS
from toolwear.features.compute import compute
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import (
    GOLDEN_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Package,
    json_bytes,
    write_package,
)
from toolwear.model.reference import reference_bytes, row_keys
from toolwear.release import champion as pointer

CUTTING = default().rows.cutting
EXPLAIN = f"/v1/models/{MODEL}:explain"
SCHEMA = "/v1/explanations/schema"
JSON = {"content-type": "application/json"}
WHOLE = {"pdp", "surrogate"}
RUN = "07"


@dataclass
class Started:
    """A running explainer, and what it said before it was warm."""

    server: Server
    early: dict[str, int]


@pytest.fixture(scope="module")
def started(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    log = tmp_path_factory.mktemp("explainer") / "log"
    with explainer(log, "--model_dir", str(package.folder)) as server:
        yield server
    assert "Traceback" not in log.read_text()


class explainer:  # noqa: N801 - a context manager
    """An explainer process, stopped orderly."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.server = Server("serving.explainer", log, list(arguments))

    def __enter__(self) -> Started:
        server = self.server
        server.start(ready=False)
        wait_for(lambda: self._status("/v2/health/live") == 200, 60)
        early = {path: self._status(path) for path in (f"/v2/models/{MODEL}/ready", SCHEMA)}
        early[EXPLAIN] = httpx.post(server.url + EXPLAIN, json={"method": "pdp"}).status_code
        wait_for(lambda: self._status(f"/v2/models/{MODEL}/ready") == 200, 60)
        return Started(server, early)

    def __exit__(self, *error: object) -> None:
        code = self.server.stop()
        assert code == 0, self.server.log.read_text()

    def _status(self, path: str) -> int:
        try:
            return httpx.get(self.server.url + path).status_code
        except httpx.TransportError:
            return 0


@pytest.fixture
def client(started: Started) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=started.server.url, timeout=60) as opened:
        yield opened


def by_name(row: np.ndarray) -> dict[str, float]:
    return dict(zip(COLUMNS, row.tolist(), strict=True))


def question(method: str, row: np.ndarray, **more: Any) -> dict[str, Any]:
    rows = {} if method in WHOLE else {"instances": [by_name(row)]}
    return {"method": method, **rows, **more}


def explained(client: httpx.Client, method: str, row: np.ndarray, **more: Any) -> dict[str, Any]:
    response = client.post(EXPLAIN, json=question(method, row, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


# --- answers ------------------------------------------------------------------------------------


def test_it_is_alive_but_not_ready_before_it_is_warm(started: Started) -> None:
    assert started.early == {f"/v2/models/{MODEL}/ready": 503, EXPLAIN: 503, SCHEMA: 200}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_published_schema_and_names_the_model(
    client: httpx.Client, package: Package, rows: np.ndarray, method: str
) -> None:
    published = client.get(SCHEMA).json()
    jsonschema.Draft202012Validator.check_schema(published)
    answer = explained(client, method, rows[0], seed=3)
    jsonschema.validate(answer, published)
    broken = {**answer, "quality": {}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, published)
    meta = answer["meta"]
    assert (meta["method"], meta["seed"]) == (method, 3)
    assert meta["features"] == list(package.features)
    assert meta["model"] == {
        "name": MODEL,
        "version": package.version,
        "use": "known_runs_only",
        "package_digest": package.digest,
        "model_sha256": package.model_sha256,
        "data_digest": "d" * 64,
        "commit": "c" * 40,
    }
    assert meta["receipt"]["kind"] == (None if method in WHOLE else "features")


def test_shap_adds_up_to_the_models_own_prediction(
    client: httpx.Client, package: Package, rows: np.ndarray
) -> None:
    answer = explained(client, "shap", rows[2])
    row = answer["data"]["rows"][0]
    assert row["features"] == rows[2].tolist()
    assert row["prediction"] == package.golden().probabilities[2, 1]
    total = answer["data"]["base_value"] + sum(row["values"])
    assert total == pytest.approx(row["prediction"], abs=1e-12)
    values, base = answer["data"]["rows"][0], answer["data"]["base_value"]
    assert base + sum(values["values"]) == pytest.approx(values["prediction"], abs=1e-12)
    assert np.argmax(np.abs(row["values"])) == 0, "the first column tells the label"


def test_more_samples_make_shap_more_certain(client: httpx.Client, rows: np.ndarray) -> None:
    few = explained(client, "shap", rows[2], samples=4)["quality"]
    many = explained(client, "shap", rows[2], samples=50)["quality"]
    assert many["relative_standard_error"] < few["relative_standard_error"]
    assert many["base_error"] < 1e-12, "these are all background rows"


def test_quality_figures_are_those_of_the_answer(
    client: httpx.Client, package: Package, rows: np.ndarray
) -> None:
    model = OnnxModel(package.model)
    lime = explained(client, "lime", rows[0])
    assert lime["quality"]["r2_min"] == lime["data"]["rows"][0]["r2"]
    assert lime["data"]["rows"][0]["prediction"] == model.worn(rows[:1])[0]
    anchor = explained(client, "anchor", rows[0])
    found = anchor["data"]["rows"][0]
    assert anchor["quality"]["precision_min"] == found["precision"] >= 0.8
    assert found["samples"] == 1000
    assert {term["feature"] for term in found["rule"]} <= set(COLUMNS)
    surrogate = explained(client, "surrogate", rows[0])
    low, high = surrogate["quality"]["interval"]
    assert low <= surrogate["quality"]["fidelity"] <= high
    assert surrogate["quality"]["rows"] == 25
    curve = explained(client, "ice", rows[0])["data"]["curves"][COLUMNS[0]]
    moved = np.tile(rows[0], (len(curve["grid"]), 1))
    moved[:, 0] = curve["grid"]
    np.testing.assert_array_equal(curve["rows"][0], model.worn(moved))
    pdp = explained(client, "pdp", rows[0])
    assert 0 <= pdp["quality"]["halves_gap"] < 1
    swings = {name: value["swing"] for name, value in pdp["data"]["curves"].items()}
    assert max(swings, key=lambda name: swings[name]) == COLUMNS[0]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_question_gets_the_same_bytes(
    client: httpx.Client, rows: np.ndarray, method: str
) -> None:
    def asked(seed: int) -> str:
        answer = explained(client, method, rows[1], seed=seed)
        del answer["meta"]["receipt"]
        return json.dumps(answer)

    first = asked(5)
    assert asked(5) == first
    if method not in ("ice", "pdp"):  # here all background rows are taken, nothing is drawn
        assert json.loads(asked(6))["data"] != json.loads(first)["data"]


def test_a_raw_row_a_list_and_an_object_are_the_same_prediction(
    client: httpx.Client, rows: np.ndarray
) -> None:
    raw: dict[str, Any] = dict.fromkeys(RAW_NUMBERS, 0.0)
    raw |= {mill.PHASE: "Layer 1 Up", **by_name(rows[0])}
    answers = []
    for instance, kind in ((raw, "raw"), (rows[0].tolist(), "features"), (by_name(rows[0]), None)):
        response = client.post(EXPLAIN, json={"method": "shap", "instances": [instance]})
        answer = response.json()
        assert kind in (None, answer["meta"]["receipt"]["kind"])
        answers.append(answer["data"])
    assert answers[0] == answers[1] == answers[2]


def test_the_receipt_has_an_id_of_its_own_beside_the_callers(
    client: httpx.Client, rows: np.ndarray
) -> None:
    body = question("shap", rows[0])
    given = client.post(EXPLAIN, json=body, headers={REQUEST_ID: "mine-1"})
    receipt = given.json()["meta"]["receipt"]
    assert given.headers[REQUEST_ID] == receipt["request_id"] == "mine-1"
    assert given.headers[RECEIPT_ID] == receipt["id"] != "mine-1"
    ids = {client.post(EXPLAIN, json=body).headers[RECEIPT_ID] for _ in range(2)}
    assert len(ids) == 2
    refused = client.post(EXPLAIN, json=body, headers={REQUEST_ID: "a b"})
    assert refused.status_code == 400
    assert REQUEST_ID not in refused.headers


def test_headers_of_the_request_do_not_come_back(client: httpx.Client, rows: np.ndarray) -> None:
    headers = {"authorization": "Bearer secret", "cookie": "a=b", "x-mine": "secret"}
    for body in (question("shap", rows[0]), {"method": "none"}):
        response = client.post(EXPLAIN, json=body, headers=headers)
        assert set(response.headers) <= {"date", "content-length", "content-type", RECEIPT_ID}
        assert "secret" not in response.text + str(response.headers)


# --- refusals -----------------------------------------------------------------------------------

ROW = dict.fromkeys(COLUMNS, 0.0)
ONE = [ROW]
FAULTS: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b"{", 400, "not valid JSON"),
    "a list": ([], 400, "JSON object"),
    "no method": ({"instances": ONE}, 400, "shap, lime, anchor, ice, pdp, surrogate"),
    "unknown method": ({"instances": ONE, "method": "magic"}, 400, '"method" has to be one of'),
    "method no text": ({"instances": ONE, "method": ["shap"]}, 400, '"method" has to be one of'),
    "unknown key": ({"instances": ONE, "method": "shap", "sed": 1}, 400, 'no key "sed"'),
    "no instance": ({"method": "shap"}, 400, '"instances"'),
    "instances null": ({"method": "shap", "instances": None}, 400, '"instances"'),
    "empty": ({"method": "shap", "instances": []}, 400, '"instances"'),
    "two": ({"method": "lime", "instances": ONE * 2}, 400, "exactly one instance"),
    "too many": ({"method": "shap", "instances": [[0]] * 1001}, 413, "at most 1000"),
    "rows for the whole": ({"method": "pdp", "instances": ONE}, 400, "send it no instances"),
    "seed as text": ({"method": "pdp", "seed": "1"}, 400, '"seed"'),
    "seed true": ({"method": "pdp", "seed": True}, 400, '"seed"'),
    "seed negative": ({"method": "pdp", "seed": -1}, 400, '"seed"'),
    "seed too large": ({"method": "pdp", "seed": 2**31}, 400, '"seed"'),
    "samples of lime": ({"method": "lime", "instances": ONE, "samples": 9}, 400, "for shap only"),
    "no sample": ({"method": "shap", "instances": ONE, "samples": 1}, 400, "from 2 to 1000"),
    "missing feature": (
        {"method": "shap", "instances": [dict.fromkeys(COLUMNS[1:], 0)]},
        400,
        f'lacks the feature "{COLUMNS[0]}"',
    ),
    "unknown feature": (
        {"method": "shap", "instances": [{**ROW, "mood": 1}]},
        400,
        'unknown feature "mood"',
    ),
    "missing column": (
        {"method": "shap", "instances": [{**ROW, mill.PHASE: "Prep"}]},
        400,
        "lacks the column",
    ),
    "text": ({"method": "shap", "instances": [{**ROW, COLUMNS[2]: "1"}]}, 400, "not a number"),
    "null": ({"method": "shap", "instances": [{**ROW, COLUMNS[2]: None}]}, 400, "not a number"),
    "true": ({"method": "shap", "instances": [{**ROW, COLUMNS[2]: True}]}, 400, "not a number"),
    "overflow": (b'{"method":"shap","instances":[[1e999,0,0,0,0,0,0,0,0,0,0,0]]}', 400, "JSON"),
    "NaN": (b'{"method":"shap","instances":[[NaN,0,0,0,0,0,0,0,0,0,0,0]]}', 400, "not valid JSON"),
    "list too short": ({"method": "shap", "instances": [[0.0] * 11]}, 400, "12 are needed"),
    "a number": ({"method": "shap", "instances": [1]}, 400, "has to be an object"),
    "too far": ({"method": "lime", "instances": [{**ROW, COLUMNS[1]: 1e300}]}, 422, "too far"),
    "no store": ({"method": "shap", "instances": [{"run_id": RUN}]}, 422, "no feature store here"),
    "another model": (
        {"method": "shap", "instances": ONE, "package_digest": "0" * 64},
        422,
        "not the one asked for",
    ),
}


@pytest.mark.parametrize(("body", "status", "says"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_question_gets_one_sentence(
    client: httpx.Client, body: Any, status: int, says: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    response = client.post(EXPLAIN, content=content, headers=JSON)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    sentence = response.json()["error"]
    assert says in sentence
    for word in ("Error", "Exception", "Traceback", "kserve", "numpy", "0x"):
        assert word not in sentence


def test_content_type_length_and_other_endpoints(client: httpx.Client, rows: np.ndarray) -> None:
    body = json.dumps(question("shap", rows[0]))
    utf8 = {"content-type": "application/json; charset=utf-8"}
    assert client.post(EXPLAIN, content=body, headers=utf8).status_code == 200
    assert client.post(EXPLAIN, content=body).status_code == 415
    long = client.post(EXPLAIN, content=b" " * (BODY_BYTES + 1), headers=JSON)
    assert long.status_code == 413
    predicted = client.post(f"/v1/models/{MODEL}:predict", content=body, headers=JSON)
    assert predicted.status_code == 501
    assert "only explains" in predicted.json()["error"]
    assert client.post(f"/v2/repository/models/{MODEL}/unload").status_code == 404
    assert client.post("/v1/models/other:explain", content=body, headers=JSON).status_code == 404


def test_metadata_and_metrics(client: httpx.Client, package: Package, rows: np.ndarray) -> None:
    parameters = client.get(f"/v2/models/{MODEL}").json()["parameters"]
    assert parameters["package_digest"] == package.digest
    assert parameters["methods"] == list(METHODS)
    assert parameters["features"] == list(COLUMNS)

    def value(sample: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)

    names = (
        'toolwear_explanation_seconds_count{method="surrogate"}',
        'toolwear_explanation_quality_count{figure="fidelity",method="surrogate"}',
        'toolwear_refusals_total{reason="method",server="explainer"}',
        'toolwear_requests_total{endpoint="v1_explain",server="explainer",status="200"}',
        'toolwear_stage_seconds_count{server="explainer",stage="explain"}',
    )
    before = [value(name) for name in names]
    explained(client, "surrogate", rows[0])
    client.post(EXPLAIN, json={"method": "magic"})
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1] * 5
    assert value('toolwear_failures_total{server="explainer"}') == 0
    assert value('toolwear_explanations_under_way{lane="quick"}') == 0
    assert f'sha256="{package.digest}"' in client.get("/metrics").text


# --- load ---------------------------------------------------------------------------------------


async def test_a_slow_explanation_is_504_and_stops(package: Package, rows: np.ndarray) -> None:
    model = Explainer(MODEL, Explained.load(package), None, 1)
    asked = await model.preprocess(question("anchor", rows[0]), {})
    object.__setattr__(asked, "deadline", Deadline(0.01))
    with pytest.raises(Refusal, match="longer than 60 s") as refused:
        await model.explain(asked)
    assert refused.value.status == 504
    guarded = Deadline(-1).guard(lambda rows: pytest.fail("asked too late"))
    with pytest.raises(TooSlowError):
        guarded(rows)


def test_swaps_and_bursts_leave_no_question_without_a_right_answer(
    tmp_path: Path, rows: np.ndarray
) -> None:
    packages = [make_package(tmp_path / "packages", seed) for seed in (0, 1)]

    def be_champion(number: int) -> None:
        point(
            tmp_path,
            pointer.Champion(
                MODEL,
                str(number + 1),
                packages[number].digest,
                f"packages/{packages[number].digest}",
                packages[number].model_sha256,
                "2026-01-01T00:00:00+00:00",
            ),
        )

    be_champion(0)
    expected = {package.digest: OnnxModel(package.model).worn(rows[:1])[0] for package in packages}
    assert len(set(expected.values())) == 2
    seen: list[tuple[str, str]] = []
    stop = threading.Event()
    with explainer(tmp_path / "log", "--home", str(tmp_path), "--waiting", "0") as found:
        url = found.server.url

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=30) as own:
                while not stop.is_set():
                    answer = explained(own, "shap", rows[0])
                    told = answer["meta"]["model"]
                    assert (
                        answer["data"]["rows"][0]["prediction"] == expected[told["package_digest"]]
                    )
                    seen.append((told["version"], told["package_digest"]))

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)
            for turn, number in enumerate((1, 0)):
                be_champion(number)
                version = str(number + 1)
                wait_for(lambda v=version: asking.done() or (seen and seen[-1][0] == v), 30)  # type: ignore[misc]
                assert not asking.done(), turn
            stop.set()
            asking.result()
        assert {version for version, _ in seen} == {"1", "2"}
        for version, digest in seen:
            assert digest == packages[int(version) - 1].digest

        with ThreadPoolExecutor(8) as pool:
            burst = list(
                pool.map(
                    # Those by the default seed are kept; this one is computed.
                    lambda _: httpx.post(url + EXPLAIN, json={"method": "pdp", "seed": 5}),
                    range(8),
                )
            )
        statuses = {response.status_code for response in burst}
        assert statuses == {200, 429}
        refused = next(response for response in burst if response.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        unknown = {"method": "shap", "instances": [{"run_id": RUN}]}
        absent = httpx.post(url + EXPLAIN, json=unknown)
        assert absent.status_code == 503
        assert "feature store does not answer" in absent.json()["error"]


def test_the_model_as_a_whole_is_explained_once_for_the_default_seed(
    client: httpx.Client, rows: np.ndarray
) -> None:
    kept, again = (explained(client, "surrogate", rows[0]) for _ in range(2))
    other = client.post(EXPLAIN, json={"method": "surrogate", "seed": 5}).json()
    assert kept["data"] == again["data"]
    assert kept["meta"]["receipt"]["id"] != again["meta"]["receipt"]["id"]
    assert (kept["meta"]["seed"], other["meta"]["seed"]) == (0, 5)


def test_health_is_answered_while_a_slow_method_runs(
    client: httpx.Client, started: Started, rows: np.ndarray
) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = [pool.submit(explained, client, "anchor", row) for row in rows[:4]]
        waits = []
        with httpx.Client(base_url=started.server.url) as probe:
            while not all(job.done() for job in slow):
                begun = time.perf_counter()
                assert probe.get(f"/v2/models/{MODEL}/ready").status_code == 200
                waits.append(time.perf_counter() - begun)
        for job in slow:
            job.result()
    assert np.median(waits) < 0.25


# --- real features ------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_run_id_is_explained_by_its_newest_features(place: Place, tmp_path: Path) -> None:
    package = place.packages[0]
    arguments = ("--model_dir", str(package.folder), "--home", str(place.home))
    with explainer(tmp_path / "log", *arguments) as found:

        def ask(run_id: str) -> httpx.Response:
            body = {"method": "shap", "instances": [{"run_id": run_id}]}
            return httpx.post(found.server.url + EXPLAIN, json=body, timeout=30)

        answer = ask(RUN).json()
        newest = newest_features(place.home, package, RUN)
        assert answer["data"]["rows"][0]["features"] == newest[0].tolist()
        told = answer["meta"]["receipt"]
        assert told["kind"] == "entity"
        assert told["features"]["run_id"] == RUN
        assert told["features"]["stale"] is True, "the recordings are years old"
        assert ask("99").status_code == 422


async def test_a_model_of_windows_is_explained_at_the_last_of_the_rows_sent(
    tmp_path: Path,
) -> None:
    package = package_of_windows(tmp_path)
    model = Explainer(MODEL, Explained.load(package), None, 1)
    rows = cutting_rows(60)

    async def asked(rows: list[dict[str, Any]]) -> dict[str, Any]:
        body = {"method": "shap", "instances": rows}
        answer, _ = await model(body, {}, InferenceVerb.EXPLAIN)
        row: dict[str, Any] = answer["data"]["rows"][0]
        return row

    found = await asked(rows)
    wanted = compute(pd.DataFrame(rows), 50, MILL)[list(WINDOW_COLUMNS)].to_numpy(np.float64)[-1]
    assert found["features"] == wanted.tolist()
    assert found["prediction"] == OnnxModel(package.model).worn(wanted[None])[0]
    assert found == await asked(rows[10:]), "a full window is enough"
    with pytest.raises(Refusal, match="no row here ends one"):
        await asked(rows[11:])
    with pytest.raises(Refusal, match="last row, which is explained"):
        await asked([*rows, {**rows[0], "S1_ActualVelocity": 0.0}])


def package_of_windows(root: Path) -> Package:
    random = np.random.default_rng(0)
    X = random.normal(size=(200, len(WINDOW_COLUMNS)))
    y = (X[:, 0] > 0).astype(np.int64)
    graph = forest(X, y)
    model = OnnxModel(graph)
    golden = {
        "rows": X[:4],
        "probabilities": model.predict_proba(X[:4]),
        "labels": model.labels(X[:4]),
    }
    description, files = parts(
        feature_set=schema.RESPONSE,
        inputs=[{"name": name, "dtype": "float64"} for name in WINDOW_COLUMNS],
        envelope={name: [-9.0, 9.0] for name in WINDOW_COLUMNS},
    )
    files |= {
        MODEL_FILE: graph,
        REFERENCE_FILE: reference_bytes(X, y, row_keys(["01:0"])),
        GOLDEN_FILE: json_bytes(golden),
    }
    return write_package(root, description, files)


def cutting_rows(count: int) -> list[dict[str, Any]]:
    numbers = np.random.default_rng(1).normal(size=(count, len(RAW_NUMBERS)))
    frame = pd.DataFrame(numbers, columns=list(RAW_NUMBERS))
    for one in map(limit, CUTTING):
        frame[one.column] = one.value + (-1.0 if one.below else 1.0)
    frame[mill.PHASE] = "Layer 1 Up"
    frame[[mill.FEEDRATE, mill.CLAMP_PRESSURE]] = 6.0, 4.0  # one recording has one setting
    return frame.to_dict("records")  # type: ignore[return-value]
