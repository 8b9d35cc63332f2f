"""The transformer over real sockets: real Feast, a real predictor, every fault, every outage."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pandas as pd
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from datasets.cnc_mill import names as mill
from serving.common.caller import Caller
from serving.common.features import REFUSE, Features, FeatureSource, FeatureSpec, Freshness
from serving.common.outages import StoreSlowError
from serving.common.refusal import Refusal
from serving.common.rows import EntityKeys, FeatureRows, Rows
from serving.common.server import KnownModels, ReadOnlyRepository
from serving.common.staged_model import StagedModel
from serving.payload.log import find, of_request
from serving.transformer.answer import Answer, Query
from serving.transformer.hop import Hop, ModelAnswer
from serving.transformer.repeats import Repeats
from serving.transformer.work import Work
from tests.mill import MILL, RAW_NUMBERS
from tests.ports import free_port
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Stack, expected, is_ready, labeller, running, wait_for
from toolwear.common.request_limits import BODY_BYTES, ROWS
from toolwear.dataset import schema
from toolwear.features import dataset
from toolwear.features.store import StoreDownError
from toolwear.model.onnx_model import OnnxModel

V1, V2 = f"/v1/models/{MODEL}:predict", f"/v2/models/{MODEL}/infer"
JSON = {"content-type": "application/json"}
SPEC = FeatureSpec(schema.PUBLISHED, 50, MILL, "")


@pytest.fixture(scope="module")
def stack(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place.point(0)
    logs = tmp_path_factory.mktemp("logs")
    options = ("--predictor_request_timeout_seconds", "1", "--grpc_port", str(free_port()))
    with running(place, logs, *options) as started:
        yield started
    for log in logs.iterdir():
        assert "Traceback" not in log.read_text()


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    own = labeller(stack.place.home)
    with httpx.Client(base_url=stack.transformer.url, timeout=30, headers=own) as opened:
        yield opened


def instances(raw: pd.DataFrame) -> list[dict[str, Any]]:
    rows = raw[[*RAW_NUMBERS, mill.PHASE]].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


# --- answers ------------------------------------------------------------------------------------


def test_a_run_id_is_answered_from_feast_with_a_receipt(client: httpx.Client, place: Place) -> None:
    response = client.post(V1, json={"instances": [{"run_id": "07"}, {"run_id": "01"}]})
    assert response.status_code == 200
    body, package = response.json(), place.packages[0]
    for run_id, item in zip(("07", "01"), body["predictions"], strict=True):
        assert item["probability"] == expected(place.home, package, run_id)
        assert item["verdict"] in ("worn", "unworn", "not_sure")
        assert (item["label"] is None) == (item["verdict"] == "not_sure") == bool(item["reasons"])
    receipt = body["receipt"]
    assert response.headers["x-receipt-id"] == receipt["id"]
    assert receipt["request_id"] is None
    assert "x-request-id" not in response.headers
    assert {
        "model": MODEL,
        "version": "1",
        "package_digest": package.digest,
        "model_sha256": package.model_sha256,
        "data_digest": package.description["data_digest"],
        "commit": package.description["commit"],
    }.items() <= receipt.items()
    first = receipt["features"][0]
    # The recordings are of 2018: used, but not kept quiet.
    assert first["stale"] is True
    assert first["timestamp"].startswith("2018-01-08T00:")
    age = datetime.fromisoformat(receipt["answered_at"]) - datetime.fromisoformat(
        first["timestamp"]
    )
    assert first["age_seconds"] == pytest.approx(age.total_seconds(), abs=1)


def test_raw_rows_get_the_features_that_training_had(
    client: httpx.Client, place: Place, raw: pd.DataFrame, features: Path
) -> None:
    samples = dataset.load(features, schema.PUBLISHED)
    of_run = samples.frame[samples.frame[schema.RUN_ID] == "07"]
    rows = raw.set_index(schema.ROW).loc[of_run[schema.ROW].iloc[:40]]
    wanted = OnnxModel(place.packages[0].model).worn(samples.X[of_run.index[:40]])
    body = client.post(V1, json={"instances": instances(rows)}).json()
    assert [item["probability"] for item in body["predictions"]] == wanted.tolist()
    assert body["receipt"]["features"][0] == {
        "timestamp": None,
        "age_seconds": None,
        "stale": False,
    }
    # What the monitor needs to compare a row with its like.
    receipt = body["receipt"]["id"]
    client.post("/v1/labels", json={"receipt": receipt, "worn": [True] * len(rows)})
    logged = find(place.home, receipt)
    cutting = of_run[schema.IS_CUTTING].iloc[:40]
    assert logged[schema.IS_CUTTING].tolist() == cutting.tolist()
    assert set(logged[schema.REGIME]) == {20.0}


@pytest.mark.parametrize("binary", [False, True])
async def test_v2_with_kserves_own_client(
    stack: Stack, place: Place, raw: pd.DataFrame, binary: bool
) -> None:
    rows = raw.iloc[:5]
    tensors = []
    for name in RAW_NUMBERS:
        tensor = InferInput(name, [5], "FP64")
        tensor.set_data_from_numpy(rows[name].to_numpy(dtype=np.float64), binary_data=binary)
        tensors.append(tensor)
    phase = InferInput(mill.PHASE, [5], "BYTES")
    phase.set_data_from_numpy(rows[mill.PHASE].to_numpy(dtype=object), binary_data=binary)
    tensors.append(phase)
    run = InferInput("run_id", [1], "BYTES")
    run.set_data_from_numpy(np.array(["07"], dtype=object), binary_data=binary)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as rest:
        of_rows = await rest.infer(
            stack.transformer.url, InferRequest(MODEL, tensors), model_name=MODEL
        )
        of_run = await rest.infer(
            stack.transformer.url, InferRequest(MODEL, [run]), model_name=MODEL
        )
    with httpx.Client(base_url=stack.transformer.url) as client:
        v1 = client.post(V1, json={"instances": instances(rows)}).json()
    found = of_rows.get_output_by_name("probability").as_numpy().tolist()
    assert found == [item["probability"] for item in v1["predictions"]]
    assert of_run.get_output_by_name("probability").as_numpy().tolist() == [
        expected(place.home, place.packages[0], "07")
    ]
    assert of_run.parameters["package_digest"] == place.packages[0].digest
    assert of_run.get_output_by_name("stale").as_numpy().tolist() == [True]


def test_metadata_describes_both_ways_to_ask(client: httpx.Client) -> None:
    body = client.get(f"/v2/models/{MODEL}").json()
    inputs = {item["name"]: item["datatype"] for item in body["inputs"]}
    assert inputs["run_id"] == inputs[mill.PHASE] == "BYTES"
    assert all(inputs[name] == "FP64" for name in RAW_NUMBERS)
    assert [item["name"] for item in body["outputs"]][:3] == ["probability", "label", "verdict"]
    assert body["versions"] == ["1"]
    assert body["parameters"] == {"feature_set": schema.PUBLISHED, "history": SPEC.history}
    assert SPEC.history["rows"] == 0


def test_the_timestamp_asked_for_decides_the_age(client: httpx.Client) -> None:
    def ask(when: datetime) -> httpx.Response:
        key = {"run_id": "07", "timestamp": when.isoformat()}
        return client.post(V1, json={"instances": [key]})

    known = client.post(V1, json={"instances": [{"run_id": "07"}]}).json()["receipt"]["features"]
    at = datetime.fromisoformat(known[0]["timestamp"])
    fresh = ask(at + timedelta(hours=1)).json()["receipt"]["features"][0]
    assert (fresh["age_seconds"], fresh["stale"]) == (3600.0, False)
    assert ask(at + timedelta(hours=1, seconds=1)).json()["receipt"]["features"][0]["stale"]
    early = ask(at - timedelta(seconds=1))
    assert early.status_code == 422
    assert "later than the timestamp asked for" in early.json()["error"]


# --- records ------------------------------------------------------------------------------------

ASK = {"instances": [{"run_id": "07"}]}
BY_RUN = {"inputs": [{"name": "run_id", "datatype": "BYTES", "shape": [1], "data": ["07"]}]}


@pytest.fixture
def remote(stack: Stack) -> Iterator[service.GRPCInferenceServiceStub]:
    port = stack.transformer.arguments[-1]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield service.GRPCInferenceServiceStub(channel)


def by_grpc(run_id: str = "07", version: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=MODEL, model_version=version)
    request.inputs.add(
        name="run_id",
        datatype="BYTES",
        shape=[1],
        contents=pb.InferTensorContents(bytes_contents=[run_id.encode()]),
    )
    return request


def test_two_requests_of_one_id_are_two_records_by_every_protocol(
    client: httpx.Client, remote: service.GRPCInferenceServiceStub, place: Place
) -> None:
    named = {"x-request-id": "line-4.2026_a"}
    receipts = []
    for _ in range(2):
        v1 = client.post(V1, json=ASK, headers=named)
        v2 = client.post(V2, json=BY_RUN, headers=named)
        by_body = client.post(V2, json={"id": "line-4.2026_a", **BY_RUN})
        for response in (v1, v2, by_body):
            assert response.headers["x-request-id"] == "line-4.2026_a"
        answer = remote.ModelInfer(by_grpc(), metadata=tuple(named.items()))
        of_grpc = {key: value.string_param for key, value in answer.parameters.items()}
        assert v1.json()["receipt"]["id"] == v1.headers["x-receipt-id"]
        for told in (
            v1.json()["receipt"],
            *(r.json()["parameters"] for r in (v2, by_body)),
            of_grpc,
        ):
            assert told["request_id"] == "line-4.2026_a"
            receipts.append(told.get("receipt_id") or told["id"])
    assert len(set(receipts)) == len(receipts) == 8
    # A label joins the record that it names, and no other.
    labels = {"receipt": receipts[0], "worn": [True]}
    assert client.post("/v1/labels", json=labels).status_code == 200
    assert find(place.home, receipts[0])["worn"].tolist() == [True]
    assert all(find(place.home, other)["worn"].isna().all() for other in receipts[1:])
    known = of_request(place.home, "line-4.2026_a")
    assert set(known["receipt_id"]) == set(receipts)
    told = client.post("/v1/labels", json={"receipt": "line-4.2026_a", "worn": [True]})
    assert told.status_code == 422
    assert "is the x-request-id of 8 answers" in told.json()["error"]


def test_a_key_gets_the_first_answer_again_and_one_record(
    client: httpx.Client, remote: service.GRPCInferenceServiceStub, place: Place
) -> None:
    key = {"idempotency-key": '"8e03978e-40d5"'}
    first = client.post(V1, json=ASK, headers=key)
    again = client.post(V1, json=ASK, headers=key)
    assert first.json() == again.json()
    receipt = first.json()["receipt"]["id"]
    assert again.headers["x-receipt-id"] == receipt
    # The same question by another protocol is the same request.
    v2 = client.post(V2, json=BY_RUN, headers=key).json()
    answer = remote.ModelInfer(by_grpc(), metadata=tuple(key.items()))
    assert v2["parameters"]["receipt_id"] == receipt
    assert answer.parameters["receipt_id"].string_param == receipt
    assert v2["outputs"][0]["data"] == [first.json()["predictions"][0]["probability"]]
    client.post("/v1/labels", json={"receipt": receipt, "worn": [True]})  # waits for the log
    assert len(find(place.home, receipt)) == 1
    other = {"instances": [{"run_id": "01"}]}
    refused = client.post(V1, json=other, headers=key)
    assert refused.status_code == 422
    assert "came with another request before" in refused.json()["error"]
    for name in ("x-recording-id", "x-machine-id"):
        assert client.post(V1, json=ASK, headers=key | {name: "a"}).status_code == 422
    with pytest.raises(grpc.RpcError, match="came with another request before"):
        remote.ModelInfer(by_grpc("01"), metadata=tuple(key.items()))
    for wrong in (b"", b"a b", b"a" * 129):
        refused = client.post(V1, json=ASK, headers={b"idempotency-key": wrong})
        assert refused.status_code == 400
        assert "Idempotency-Key" in refused.json()["error"]


def test_a_refused_request_does_not_use_up_its_key(client: httpx.Client) -> None:
    key = {"idempotency-key": "mended"}
    unknown = {"instances": [{"run_id": "77"}]}
    assert client.post(V1, json=unknown, headers=key).status_code == 422
    assert client.post(V1, json=ASK, headers=key).status_code == 200


def test_raw_rows_are_the_same_request_only_if_every_value_is(
    client: httpx.Client, raw: pd.DataFrame
) -> None:
    rows, key = instances(raw.iloc[:3]), {"idempotency-key": "rows"}
    first = client.post(V1, json={"instances": rows}, headers=key)
    assert client.post(V1, json={"instances": rows}, headers=key).json() == first.json()
    phase = next(name for name in mill.PHASES if name != rows[2][mill.PHASE])
    for change in ({RAW_NUMBERS[0]: 1e-9}, {mill.PHASE: phase}):
        changed = [*rows[:2], {**rows[2], **change}]
        assert client.post(V1, json={"instances": changed}, headers=key).status_code == 422


def test_twenty_at_once_with_one_key_get_one_answer(client: httpx.Client) -> None:
    key = {"idempotency-key": "at-once"}
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda _: client.post(V1, json=ASK, headers=key).json(), range(20))
        )
    assert all(answer == answers[0] for answer in answers)


def test_keys_outlive_their_server_and_the_oldest_give_way(tmp_path: Path) -> None:
    def answer(number: int) -> Answer:
        return Answer({"id": f"r{number}"}, ["worn"], [0.9], [""])

    size = len(answer(0).dump())
    repeats = Repeats(tmp_path, kept_bytes=3 * size)
    for number in range(5):
        assert repeats.keep(f"k{number}", "q", answer(number)) == answer(number)
    found = [Repeats(tmp_path).find(f"k{number}", "q") for number in range(5)]
    assert found == [None, None, answer(2), answer(3), answer(4)]
    assert repeats.keep("k4", "q", answer(9)) == answer(4)
    with pytest.raises(Refusal, match="another request before") as refused:
        repeats.find("k4", "other")
    assert refused.value.status == 422
    with pytest.raises(Refusal, match="another request before"):
        repeats.keep("k4", "other", answer(9))


def test_a_version_in_the_path_is_the_one_that_answers_or_404(
    client: httpx.Client, remote: service.GRPCInferenceServiceStub
) -> None:
    served, other = (f"/v2/models/{MODEL}/versions/{number}" for number in (1, 2))
    assert client.get(served).json() == client.get(f"/v2/models/{MODEL}").json()
    assert client.get(f"{served}/ready").json() == {"name": MODEL, "ready": True}
    answer = client.post(f"{served}/infer", json=BY_RUN)
    assert answer.json()["model_version"] == "1"
    for response in (
        client.get(other),
        client.get(f"{other}/ready"),
        client.post(f"{other}/infer", json=BY_RUN),
    ):
        assert response.status_code == 404
        assert response.json() == {"error": "Version 2 is not served here; version 1 is."}
    assert client.get("/v2/models/other/versions/1").status_code == 404
    assert remote.ModelInfer(by_grpc(version="1")).model_version == "1"
    with pytest.raises(grpc.RpcError, match="Version 2 is not served here") as refused:
        remote.ModelInfer(by_grpc(version="2"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_faulty_request_id_is_refused(client: httpx.Client) -> None:
    ask = ASK
    for wrong in (b"a b", b"a" * 65, b"", b"\xe4"):
        response = client.post(V1, json=ask, headers={b"x-request-id": wrong})
        assert response.status_code == 400
        assert "x-request-id" in response.json()["error"]
        assert "x-request-id" not in response.headers


def test_the_recording_is_in_the_receipt_and_in_the_log(client: httpx.Client, place: Place) -> None:
    named = {"x-recording-id": "line-4.2026_a", "x-machine-id": "mill-3"}
    by_run = {"inputs": [{"name": "run_id", "datatype": "BYTES", "shape": [1], "data": ["07"]}]}
    v1 = client.post(V1, json={"instances": [{"run_id": "07"}]}, headers=named).json()["receipt"]
    v2 = client.post(V2, json=by_run, headers=named).json()["parameters"]
    assert v1["recording"] == v2["recording"] == "line-4.2026_a"
    unnamed = client.post(V1, json={"instances": [{"run_id": "07"}]}).json()["receipt"]
    assert unnamed["recording"] is None
    client.post("/v1/labels", json={"receipt": unnamed["id"], "worn": [True]})  # waits for the log
    ids = (v1["id"], v2["receipt_id"], unnamed["id"])
    logged = [find(place.home, receipt)["recording"].tolist() for receipt in ids]
    assert logged == [["line-4.2026_a"], ["line-4.2026_a"], [None]]
    logged = [find(place.home, receipt)["machine"].tolist() for receipt in ids]
    assert logged == [["mill-3"], ["mill-3"], [None]]
    for name in named:
        wrong = client.post(V1, json={"instances": [{"run_id": "07"}]}, headers={name: "a b"})
        assert wrong.status_code == 400
        assert name in wrong.json()["error"]


# --- faults -------------------------------------------------------------------------------------

RAW: dict[str, Any] = {**dict.fromkeys(RAW_NUMBERS, 1.0), mill.PHASE: "Prep"}
FIRST = RAW_NUMBERS[0]


def v1(*rows: Any) -> bytes:
    return json.dumps({"instances": rows}).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in RAW.items() if key != name}


def v2(*inputs: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


def run_tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "run_id", "datatype": "BYTES", "shape": [1], "data": ["07"], **changes}


FAULTS: dict[str, tuple[str, bytes, int, str]] = {
    "malformed": (V1, b"{", 400, "not valid JSON"),
    "NaN": (V1, b'{"instances": [{"run_id": NaN}]}', 400, "not valid JSON"),
    "overflow": (V1, v1(RAW).replace(b"1.0", b"1e400", 1), 400, "not valid JSON"),
    "an array": (V1, b"[]", 400, "a JSON object"),
    "no instances": (V1, b"{}", 400, '"instances"'),
    "empty instances": (V1, v1(), 400, "at least one row"),
    "instances null": (V1, b'{"instances": null}', 400, '"instances"'),
    "lists": (V1, v1([1.0] * 12), 400, "has to be an object"),
    "null row": (V1, v1(None), 400, "has to be an object"),
    "empty row": (V1, v1({}), 400, f'Instance 0 lacks the column "{FIRST}"'),
    "missing column": (V1, v1(RAW, without(FIRST)), 400, f'Instance 1 lacks the column "{FIRST}"'),
    "missing setting": (V1, v1(without("feedrate")), 400, 'lacks the column "feedrate"'),
    "unknown column": (V1, v1({**RAW, "colour": 1}), 400, 'unknown column "colour"'),
    "a column of recordings": (V1, v1({**RAW, "Run": 1}), 400, "rows are of one recording"),
    "raw rows with run ids": (V1, v1({**RAW, "run_id": "07"}), 400, "rows are of one recording"),
    "two settings": (
        V1,
        v1(RAW, {**RAW, mill.FEEDRATE: RAW[mill.FEEDRATE] + 1}),
        400,
        '"feedrate" is 1 in row 0 and 2 in row 1, but',
    ),
    "text": (V1, v1({**RAW, FIRST: "1.5"}), 400, f'"{FIRST}" of row 0 is not a number'),
    "null": (V1, v1(RAW, {**RAW, FIRST: None}), 400, f'"{FIRST}" of row 1 is not a number'),
    "true": (V1, v1({**RAW, FIRST: True}), 400, "is not a number"),
    "list value": (V1, v1({**RAW, FIRST: [1.0]}), 400, "is not a number"),
    "phase": (V1, v1({**RAW, mill.PHASE: "Lunch"}), 400, "is not a phase"),
    "phase null": (V1, v1({**RAW, mill.PHASE: None}), 400, "is not a phase"),
    "mixed": (V1, v1(RAW, {"run_id": "07"}), 400, "mixed"),
    "run id number": (V1, v1({"run_id": 7}), 400, "has to be text"),
    "run id empty": (V1, v1({"run_id": ""}), 400, "has to be text"),
    "run id path": (V1, v1({"run_id": "../07"}), 400, "has to be text"),
    "key and column": (V1, v1({"run_id": "07", FIRST: 1}), 400, "tells recordings apart"),
    "unknown run": (V1, v1({"run_id": "07"}, {"run_id": "77"}), 422, "knows no run 77"),
    "time without zone": (V1, v1({"run_id": "07", "timestamp": "2026-01-01"}), 400, "its zone"),
    "time a number": (V1, v1({"run_id": "07", "timestamp": 1}), 400, "its zone"),
    "nonsense time": (V1, v1({"run_id": "07", "timestamp": "x"}), 400, "its zone"),
    "no inputs": (V2, b"{}", 400, '"inputs"'),
    "empty inputs": (V2, v2(), 400, f'lacks the input "{FIRST}"'),
    "wrong input": (V2, v2(run_tensor(name="colour")), 400, 'unknown input "colour"'),
    "input twice": (V2, v2(run_tensor(), run_tensor()), 400, "two inputs"),
    "wrong datatype": (V2, v2(run_tensor(datatype="FP64")), 400, "has to be BYTES"),
    "wrong shape": (V2, v2(run_tensor(shape=[2])), 400, "2 values"),
    "shape -1": (V2, v2(run_tensor(shape=[-1])), 400, "[rows] or [rows, 1]"),
    "shape wide": (V2, v2(run_tensor(shape=[1, 2])), 400, "[rows] or [rows, 1]"),
    "data numbers": (V2, v2(run_tensor(data=[7])), 400, "has to be text"),
    "one column": (
        V2,
        v2({"name": FIRST, "datatype": "FP64", "shape": [1], "data": [1.0]}),
        400,
        "lacks the input",
    ),
}


@pytest.mark.parametrize(("path", "body", "status", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_in_one_sentence_on_a_connection_that_goes_on(
    stack: Stack, path: str, body: bytes, status: int, says: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.transformer.http_port, timeout=30)
    secret = {**JSON, "authorization": "Bearer secret"}
    connection.request("POST", path, body, secret)
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == status, answer
    assert set(answer) == {"error"}
    assert says in answer["error"]
    for word in ("Error", "Exception", "Traceback", "127.0.0.1", "secret", "grpc", "kserve"):
        assert word not in answer["error"]
    assert "secret" not in str(response.headers)
    opened = connection.sock
    connection.request("POST", V1, v1({"run_id": "07"}), JSON)
    assert connection.getresponse().status == 200
    assert connection.sock is opened, "the server had closed the connection"
    connection.close()


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (b"\x02\0\0\x000", [1]),  # cut off
        (b"\xff\xff\xff\xff07", [1]),  # longer than the body
        (b"\x02\0\0\x0007", [2]),
        (b"\x02\0", [1]),
        (b"", [1]),
        (b"\x02\0\0\0\xff\xff", [1]),  # not UTF-8
    ],
)
def test_faulty_binary_texts_are_400(
    client: httpx.Client, content: bytes, shape: list[int]
) -> None:
    tensor: dict[str, Any] = {"name": "run_id", "datatype": "BYTES", "shape": shape}
    tensor["parameters"] = {"binary_data_size": len(content)}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    response = client.post(V2, content=head + content, headers=headers)
    assert response.status_code == 400
    assert set(response.json()) == {"error"}


def test_what_is_promised_fits_and_the_largest_is_answered(
    client: httpx.Client, raw: pd.DataFrame
) -> None:
    rows = instances(pd.concat([raw] * (ROWS // len(raw) + 1)).iloc[:ROWS])
    body = json.dumps({"instances": rows}, indent=1).encode()
    assert 1 << 20 < len(body) < BODY_BYTES
    answer = client.post(V1, content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == ROWS


def test_types_lengths_and_endpoints(client: httpx.Client) -> None:
    ask = v1({"run_id": "07"})
    utf8 = {"content-type": "application/json; charset=utf-8"}
    assert client.post(V1, content=ask, headers=utf8).status_code == 200
    assert client.post(V1, content=ask).status_code == 415
    assert client.post(V1, content=b" " * (BODY_BYTES + 1), headers=JSON).status_code == 413
    many = client.post(V1, json={"instances": [{"run_id": "07"}] * (ROWS + 1)})
    assert many.status_code == 413
    assert f"at most {ROWS}" in many.json()["error"]
    assert client.post(f"/v2/repository/models/{MODEL}/unload", json={}).status_code == 404
    assert client.post(f"/v1/models/{MODEL}:explain", json={}).status_code == 501
    assert client.post("/v1/models/other:predict", json={}).status_code == 404


# --- labels and metrics -------------------------------------------------------------------------


def test_labels_are_joined_to_their_answer(client: httpx.Client, place: Place) -> None:
    asked = {"instances": [{"run_id": "07"}, {"run_id": "01"}]}
    receipt = client.post(V1, json=asked).json()["receipt"]["id"]
    labels = {"receipt": receipt, "worn": [True, False], "source": "inspector"}
    assert client.post("/v1/labels", json=labels).json() == {"receipt": receipt, "rows": 2}
    found = find(place.home, receipt)
    assert found["worn"].tolist() == [True, False]
    assert found["run_id"].tolist() == ["07", "01"]
    assert set(found["source"]) == {"inspector"}
    assert set(found["labelled_by"]) == {"home-label"}
    assert found["Z1_ActualPosition"].notna().all()
    assert found[schema.IS_CUTTING].isna().all(), "the store does not say whether the tool cuts"
    for change, status, says in (
        ({"worn": [True]}, 422, "has 2 rows"),
        ({"worn": ["yes", "no"]}, 400, "true and false"),
        ({"worn": []}, 400, "true and false"),
        ({"receipt": "unknown"}, 422, "no answer unknown"),
        ({"receipt": 5}, 400, '"receipt"'),
        ({"colour": 5}, 400, "colour"),
    ):
        response = client.post("/v1/labels", json={**labels, **change})
        assert response.status_code == status
        assert says in response.json()["error"]


def test_metrics_hold_answers_scores_features_and_the_model(
    client: httpx.Client, place: Place
) -> None:
    def value(sample: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)

    names = (
        'toolwear_requests_total{endpoint="v1_predict",server="transformer",status="200"}',
        'toolwear_refusals_total{reason="unknown_run",server="transformer"}',
        "toolwear_score_count",
        "toolwear_stale_rows_total",
        'toolwear_feature_rows_total{features="published"}',
        'toolwear_stage_seconds_count{server="transformer",stage="predict"}',
    )
    before = [value(name) for name in names]
    feature = 'toolwear_feature_sum{feature="X1_OutputCurrent"}'
    total = value(feature)
    client.post(V1, json={"instances": [{"run_id": "07"}]})
    client.post(V1, json={"instances": [{"run_id": "77"}]})
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1] * 6
    assert value(feature) > total
    digest = place.packages[0].digest
    assert value(f'toolwear_model_info{{sha256="{digest}",use="known_runs_only",version="1"}}') == 1


# --- outages ------------------------------------------------------------------------------------


def test_an_absent_feature_store_is_503_and_comes_back_by_itself(
    client: httpx.Client, place: Place, raw: pd.DataFrame
) -> None:
    folder = place.home / "feast"
    away = folder.rename(place.home / "away")
    try:
        response = client.post(V1, json={"instances": [{"run_id": "07"}]})
        assert response.status_code == 503
        assert response.json()["error"].startswith("The feature store does not answer")
        raw_answer = client.post(V1, json={"instances": instances(raw.iloc[:1])})
        assert raw_answer.status_code == 200, "raw rows do not need it"
    finally:
        away.rename(folder)
    assert client.post(V1, json={"instances": [{"run_id": "07"}]}).status_code == 200


def test_a_predictor_that_hangs_is_504_and_comes_back_by_itself(
    client: httpx.Client, stack: Stack
) -> None:
    assert stack.predictor.process is not None
    os.kill(stack.predictor.process.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        response = client.post(V1, json={"instances": [{"run_id": "07"}]})
        assert response.status_code == 504
        assert response.json() == {"error": "The model did not answer in time; try again."}
        assert time.monotonic() - started < 5
        assert not is_ready(stack.transformer.url)
    finally:
        os.kill(stack.predictor.process.pid, signal.SIGCONT)
    wait_for(lambda: is_ready(stack.transformer.url))
    assert client.post(V1, json={"instances": [{"run_id": "07"}]}).status_code == 200


def under_load(url: str, work: Callable[[], None], clients: int = 3) -> list[httpx.Response]:
    """Ask without pause from several clients while `work` runs; return every answer.

    There are answers from before it began and from after it ended, however busy the machine is.
    """
    answers: list[httpx.Response] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not done.is_set():
                answers.append(client.post(V1, json={"instances": [{"run_id": "07"}]}))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) >= clients)
        work()
        enough = len(answers) + 2 * clients  # as many again as may still have been under way
        wait_for(lambda: len(answers) >= enough)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return answers


def test_a_predictor_killed_under_load_costs_clean_503s_and_comes_back(
    stack: Stack, place: Place
) -> None:
    def kill_and_bring_back() -> None:
        time.sleep(0.5)
        stack.predictor.kill()
        wait_for(lambda: not is_ready(stack.transformer.url))
        stack.predictor.start()
        wait_for(lambda: is_ready(stack.transformer.url))
        time.sleep(0.5)

    answers = under_load(stack.transformer.url, kill_and_bring_back)
    right = expected(place.home, place.packages[0], "07")
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses[0] == statuses[-1] == 200
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["predictions"][0]["probability"] == right
        else:
            assert answer.json() == {"error": "The model does not answer at the moment; try again."}


# --- one hop ------------------------------------------------------------------------------------


async def test_a_request_does_not_first_ask_the_predictor_whether_it_is_ready() -> None:
    class Unasked(StagedModel):
        async def healthy(self) -> bool:
            raise AssertionError("a hop more than the answer needs")

    model = Unasked(MODEL, server="transformer")
    models = ReadOnlyRepository()
    models.update(model)
    assert await KnownModels(model_registry=models).get_model(MODEL) is model


async def test_a_store_that_hangs_is_given_up_and_the_predictor_not_asked(place: Place) -> None:
    """It hangs for longer than it may; rows that need no store are answered meanwhile."""
    goes_on = threading.Event()

    class Hangs(FeatureSource):
        def now(self, rows: Rows, spec: FeatureSpec) -> Features:
            if isinstance(rows, EntityKeys):
                goes_on.wait()
            return super().now(rows, spec)

    class NoPredictor(Hop):
        def __init__(self) -> None:
            self.asked: list[str] = []

        def spec(self) -> FeatureSpec:
            return SPEC

        def answer(self, values: np.ndarray, spec: FeatureSpec, request_id: str) -> ModelAnswer:
            self.asked.append(request_id)
            return ModelAnswer(np.zeros(len(values)), ["unworn"], [""], {})

        def close(self) -> None:
            pass

    hop, columns = NoPredictor(), len(SPEC.columns)
    source = Hangs(place.home, seconds=0.3)
    assert source.open()
    work = Work(hop, source)
    try:
        by_id = Query(None, Caller(), "by-id", 0.0, EntityKeys(("07",), (None,)))
        with pytest.raises(StoreSlowError):
            await work.result(by_id)
        ready = Query(None, Caller(), "ready", 0.0, FeatureRows(np.zeros((1, columns))))
        assert (await work.result(ready)).answers == ["unworn"]
        goes_on.set()
        source.seconds = 30.0  # a first read on a busy machine takes its time
        again = Query(None, Caller(), "again", 0.0, EntityKeys(("07",), (None,)))
        assert (await work.result(again)).answers == ["unworn"]
        assert hop.asked == ["ready", "again"]
    finally:
        goes_on.set()
        work.close()


# --- freshness, without a process ---------------------------------------------------------------


async def test_stale_features_are_refused_where_configured(place: Place) -> None:
    source = FeatureSource(place.home, Freshness(60.0, REFUSE))
    try:
        with pytest.raises(Refusal, match="older than the 60 s that are allowed") as refused:
            await source.features(EntityKeys(("07",), (None,)), SPEC)
        assert (refused.value.status, refused.value.kind) == (422, "stale")
        day = datetime(2018, 1, 8, tzinfo=UTC)
        latest = (
            await FeatureSource(place.home).features(EntityKeys(("07",), (None,)), SPEC)
        ).origins
        assert latest[0].when is not None
        assert latest[0].when - day < timedelta(hours=1)
        fresh = EntityKeys(("07",), (latest[0].when + timedelta(seconds=59),))
        assert not (await source.features(fresh, SPEC)).origins[0].stale
    finally:
        source.close()


async def test_an_empty_home_is_a_store_that_is_down(tmp_path: Path) -> None:
    source = FeatureSource(tmp_path)
    assert source.open() is False
    with pytest.raises(StoreDownError):
        await source.features(EntityKeys(("07",), (None,)), SPEC)
    source.close()
