"""The predictor over real sockets: every protocol, every fault, and what it says of itself."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import pytest
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferOutput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from tests.ports import free_port
from tests.serving.conftest import MODEL, Served, command, environment
from tests.serving.stack import wait_for
from toolwear.common.request_limits import BODIES_BYTES, BODY_BYTES, DROPPED_BYTES, ROWS
from toolwear.model.abstention import ANSWERS, NOT_SURE
from toolwear.model.package import Package

V1, V2 = f"/v1/models/{MODEL}:predict", f"/v2/models/{MODEL}/infer"
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30) as opened:
        yield opened


def tensor(rows: np.ndarray, **changes: Any) -> dict[str, Any]:
    described = {
        "name": "features",
        "datatype": "FP64",
        "shape": list(rows.shape),
        "data": rows.tolist(),
    }
    return {"inputs": [{**described, **changes}]}


def expected_answers(package: Package) -> list[str]:
    worn = package.golden().probabilities[:, 1]
    return [NOT_SURE if 0.3 < p < 0.7 else ANSWERS[int(p > 0.5)] for p in worn]


# --- the protocols ----------------------------------------------------------------------------


def test_v1_answers_the_golden_rows(client: httpx.Client, served: Served, rows: np.ndarray) -> None:
    response = client.post(V1, json={"instances": rows.tolist()})
    assert response.status_code == 200
    body = response.json()
    found = np.array([item["probabilities"] for item in body["predictions"]])
    assert np.array_equal(found, served.package.golden().probabilities)
    answers = [item["answer"] for item in body["predictions"]]
    assert answers == expected_answers(served.package)
    assert set(answers) == set(ANSWERS), "the golden rows hold every answer"
    assert body["model_version"] == served.package.version
    assert body["use"] == "known_runs_only"


@pytest.mark.parametrize("flat", [True, False])
def test_v2_json_answers_the_golden_rows(
    client: httpx.Client, served: Served, rows: np.ndarray, flat: bool
) -> None:
    data = rows.ravel().tolist() if flat else rows.tolist()
    response = client.post(V2, json={"id": "mine", **tensor(rows, data=data)})
    assert response.status_code == 200
    body = response.json()
    assert body["id"] == "mine"
    outputs = {item["name"]: item for item in body["outputs"]}
    assert outputs["probabilities"]["shape"] == [16, 2]
    found = np.array(outputs["probabilities"]["data"]).reshape(16, 2)
    assert np.array_equal(found, served.package.golden().probabilities)
    assert outputs["answer"]["data"] == expected_answers(served.package)
    assert body["parameters"]["use"] == "known_runs_only"
    assert body["parameters"]["package_digest"] == served.package.digest


def test_v2_gives_an_id_and_only_the_wanted_outputs(client: httpx.Client, rows: np.ndarray) -> None:
    body = {**tensor(rows[:1]), "outputs": [{"name": "answer"}]}
    response = client.post(V2, json=body).json()
    assert len(response["id"]) == 36
    assert [item["name"] for item in response["outputs"]] == ["answer"]


@pytest.mark.parametrize("binary_out", [True, False])
async def test_v2_binary_with_kserves_own_client(
    served: Served, rows: np.ndarray, binary_out: bool
) -> None:
    wanted = InferInput("features", list(rows.shape), "FP64")
    wanted.set_data_from_numpy(rows, binary_data=True)
    request = InferRequest(MODEL, [wanted], parameters={"binary_data_output": binary_out})
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as rest:
        response = await rest.infer(served.url, request, model_name=MODEL)
    found = response.get_output_by_name("probabilities").as_numpy()
    assert np.array_equal(found, served.package.golden().probabilities)
    assert text_of(response.get_output_by_name("answer")) == expected_answers(served.package)


@pytest.mark.parametrize("raw", [True, False])
async def test_grpc_with_kserves_own_client(served: Served, rows: np.ndarray, raw: bool) -> None:
    wanted = InferInput("features", list(rows.shape), "FP64", data=rows.ravel().tolist())
    if raw:
        wanted = InferInput("features", list(rows.shape), "FP64")
        wanted.set_data_from_numpy(rows)
    async with InferenceGRPCClient(f"127.0.0.1:{served.grpc_port}") as remote:
        response = await remote.infer(InferRequest(MODEL, [wanted]))
        assert await remote.is_model_ready(MODEL)
    found = response.get_output_by_name("probabilities").as_numpy()
    assert np.array_equal(found, served.package.golden().probabilities)
    assert text_of(response.get_output_by_name("answer")) == expected_answers(served.package)


def text_of(output: InferOutput) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in output.as_numpy()]


def test_metadata_names_and_types_the_tensors(client: httpx.Client, served: Served) -> None:
    body = client.get(f"/v2/models/{MODEL}").json()
    assert body["inputs"] == [{"name": "features", "datatype": "FP64", "shape": [-1, 12]}]
    assert [item["name"] for item in body["outputs"]] == ["probabilities", "answer", "reason"]
    assert body["parameters"]["features"] == list(served.package.features)
    assert body["parameters"]["sha256"] == served.package.digest
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        remote = stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL))
    assert [(item.name, item.datatype) for item in remote.inputs] == [("features", "FP64")]


# --- not sure ---------------------------------------------------------------------------------


def test_a_row_that_is_too_close_to_call_is_not_guessed(
    client: httpx.Client, served: Served, rows: np.ndarray
) -> None:
    unsure = [i for i, answer in enumerate(expected_answers(served.package)) if answer == NOT_SURE]
    body = client.post(V1, json={"instances": rows[unsure].tolist()}).json()
    assert {item["answer"] for item in body["predictions"]} == {NOT_SURE}
    assert all("from 0.3 to 0.7" in item["reason"] for item in body["predictions"])


def test_a_value_never_seen_is_not_guessed_and_named(
    client: httpx.Client, served: Served, rows: np.ndarray
) -> None:
    strange = rows[:2].copy()
    strange[1, 3] = 1e6
    first, second = client.post(V1, json={"instances": strange.tolist()}).json()["predictions"]
    assert first["answer"] == expected_answers(served.package)[0]
    assert second["answer"] == NOT_SURE
    name = served.package.features[3]
    assert second["reason"] == f"{name} is 1e+06; the model knows values from -6 to 6."


# --- faulty requests --------------------------------------------------------------------------

ROW = [0.0] * 12


def v1(value: Any) -> bytes:
    return json.dumps({"instances": value}).encode()


def v2(**changes: Any) -> bytes:
    return json.dumps(tensor(np.zeros((1, 12)), **changes)).encode()


def binary(payload: bytes, size: int | str | None = None, **changes: Any) -> tuple[bytes, int]:
    described = {"name": "features", "datatype": "FP64", "shape": [1, 12], **changes}
    described["parameters"] = {"binary_data_size": len(payload) if size is None else size}
    head = json.dumps({"inputs": [described]}).encode()
    return head + payload, len(head)


FAULTS: dict[str, tuple[str, bytes, str]] = {
    "malformed": (V1, b"{", "not valid JSON"),
    "empty body": (V1, b"", "not valid JSON"),
    "bare NaN": (V1, b'{"instances": [[NaN]]}', "not valid JSON"),
    "1e400": (V1, b'{"instances": [[1e400]]}', "not valid JSON"),
    "deep nesting": (V1, b'{"instances":' + b"[" * 100_000, "not valid JSON"),
    "not UTF-8": (V1, b'{"instances": "\xff"}', "not valid JSON"),
    "array": (V1, b"[]", "a JSON object"),
    "null": (V1, b"null", "a JSON object"),
    "string": (V1, b'"x"', "a JSON object"),
    "no instances": (V1, b"{}", '"instances"'),
    "instances null": (V1, v1(None), '"instances"'),
    "instances number": (V1, v1(5), '"instances"'),
    "instances object": (V1, v1({"0": ROW}), '"instances"'),
    "empty instances": (V1, v1([]), "at least one row"),
    "a flat row": (V1, v1(ROW), "a list of 12 numbers"),
    "an object row": (V1, v1([{"a": 1}]), "a list of 12 numbers"),
    "a row too many levels": (V1, v1([[ROW]]), "12 are needed"),
    "an empty row": (V1, v1([[]]), "Instance 0 has 0 values"),
    "too few values": (V1, v1([ROW[1:]]), "Instance 0 has 11 values"),
    "too many values": (V1, v1([ROW, [*ROW, 1]]), "Instance 1 has 13 values"),
    "ragged": (V1, v1([ROW, ROW[1:]]), "Instance 1 has 11 values"),
    "null value": (V1, v1([[*ROW[1:], None]]), "Value 11 of row 0 is not a number"),
    "text value": (V1, v1([ROW, ["1.5", *ROW[1:]]]), "Value 0 of row 1 is not a number"),
    "NaN as text": (V1, v1([["NaN", *ROW[1:]]]), "Value 0 of row 0 is not a number"),
    "boolean value": (V1, v1([[True, *ROW[1:]]]), "Value 0 of row 0 is not a number"),
    "list value": (V1, v1([[[1.0], *ROW[1:]]]), "Value 0 of row 0 is not a number"),
    "no inputs": (V2, b"{}", '"inputs"'),
    "inputs object": (V2, b'{"inputs": {}}', '"inputs"'),
    "empty inputs": (V2, b'{"inputs": []}', 'one input, named "features"'),
    "input null": (V2, b'{"inputs": [null]}', 'an object with a "name"'),
    "two inputs": (
        V2,
        json.dumps({"inputs": tensor(np.zeros((1, 12)))["inputs"] * 2}).encode(),
        "one input",
    ),
    "wrong name": (V2, v2(name="rows"), 'named "features"'),
    "name a number": (V2, v2(name=5), 'an object with a "name"'),
    "INT32": (V2, v2(datatype="INT32"), "has to be FP64, not INT32"),
    "FP32": (V2, v2(datatype="FP32"), "has to be FP64"),
    "BYTES": (V2, v2(datatype="BYTES"), "has to be FP64"),
    "unknown datatype": (V2, v2(datatype="FLOAT"), "has to be FP64"),
    "datatype null": (V2, v2(datatype=None), '"datatype" has to be a string'),
    "shape -1": (V2, v2(shape=[-1, 12]), "[rows, 12]"),
    "shape 0": (V2, v2(shape=[0, 12]), "[rows, 12]"),
    "shape flat": (V2, v2(shape=[12]), "[rows, 12]"),
    "shape empty": (V2, v2(shape=[]), "[rows, 12]"),
    "shape of 11": (V2, v2(shape=[1, 11]), "[rows, 12]"),
    "shape text": (V2, v2(shape=["1", 12]), "whole numbers"),
    "shape true": (V2, v2(shape=[True, 12]), "whole numbers"),
    "shape too long": (V2, v2(shape=[2, 12]), "2 rows of 12"),
    "flat data too short": (V2, v2(data=[1.0] * 11), "1 x 12 numbers"),
    "flat data too long": (V2, v2(data=[1.0] * 13), "1 x 12 numbers"),
    "ragged data": (V2, v2(data=[ROW[:6]], shape=[1, 12]), "1 x 12 numbers"),
    "mixed data": (V2, v2(data=[ROW, 1.0], shape=[2, 12]), "2 rows of 12"),
    "no data": (V2, v2(data=None), '"data"'),
    "empty data": (V2, v2(data=[]), "1 x 12 numbers"),
    "data null value": (V2, v2(data=[None] * 12), "Value 0 of row 0 is not a number"),
    "data text": (V2, v2(data=["1"] * 12), "Value 0 of row 0 is not a number"),
    "id a number": (V2, b'{"id": 5, "inputs": []}', '"id" has to be a string'),
    "parameters a list": (V2, b'{"parameters": [1], "inputs": []}', '"parameters"'),
    "unknown output": (
        V2,
        json.dumps({**tensor(np.zeros((1, 12))), "outputs": [{"name": "nonsense"}]}).encode(),
        'no output "nonsense"',
    ),
}


@pytest.mark.parametrize(("path", "body", "says"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_body_is_400_with_one_sentence_on_a_connection_that_goes_on(
    served: Served, path: str, body: bytes, says: str
) -> None:
    status, answer = on_a_connection_that_goes_on(served, path, body, JSON)
    assert status == 400
    assert says in answer["error"]
    assert_says_nothing_of_our_insides(answer["error"])


BINARY_FAULTS: dict[str, tuple[tuple[bytes, int], str | None, str]] = {
    "truncated": (binary(b"\0" * 40, size=96), None, "shorter than binary_data_size"),
    "surplus": (binary(b"\0" * 104, size=96), None, "more bytes behind the JSON"),
    "no bytes": (binary(b"", size=0), None, "does not take 0 bytes"),
    "wrong size": (binary(b"\0" * 88), None, "does not take 88 bytes"),
    "negative size": (binary(b"\0" * 96, size=-96), None, "shorter than"),
    "size as text": (binary(b"\0" * 96, size="96"), None, "shorter than"),
    "INT64": (binary(b"\0" * 96, datatype="INT64"), None, "have to be FP64"),
    "huge shape": (binary(b"\0" * 96, shape=[1 << 62, 12]), None, "does not take"),
    "NaN": (binary(struct.pack("<12d", *[0.0] * 11, float("nan"))), None, "not finite"),
    "infinity": (binary(struct.pack("<12d", float("inf"), *[0.0] * 11)), None, "Value 0 of row 0"),
    "length not a number": (binary(b"\0" * 96), "abc", "has to be the length of the JSON"),
    "length negative": (binary(b"\0" * 96), "-5", "has to be the length of the JSON"),
    "length too long": (binary(b"\0" * 96), "99999", "has to be the length of the JSON"),
    "length too short": (binary(b"\0" * 96), "7", "not valid JSON"),
}


@pytest.mark.parametrize(("message", "length", "says"), BINARY_FAULTS.values(), ids=BINARY_FAULTS)
def test_a_faulty_binary_body_is_400(
    served: Served, message: tuple[bytes, int], length: str | None, says: str
) -> None:
    body, right_length = message
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": length or str(right_length),
    }
    status, answer = on_a_connection_that_goes_on(served, V2, body, headers)
    assert status == 400
    assert says in answer["error"]


def on_a_connection_that_goes_on(
    served: Served, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=30)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    opened = connection.sock
    connection.request("POST", V1, v1([ROW]), JSON)
    assert connection.getresponse().status == 200
    assert connection.sock is opened, "the server had closed the connection"
    connection.close()
    return response.status, answer


def assert_says_nothing_of_our_insides(sentence: str) -> None:
    for word in ("Error", "Exception", "Traceback", "ONNX", "kserve", "pydantic", "/", "0x"):
        assert word not in sentence, sentence


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("", 415),
        ("application/octet-stream", 415),
        ("application/cloudevents+json", 415),
    ],
)
def test_the_content_type(client: httpx.Client, content_type: str, status: int) -> None:
    for path, body in ((V1, v1([ROW])), (V2, v2())):
        headers = {"content-type": content_type}
        assert client.post(path, content=body, headers=headers).status_code == status


def test_only_v2_whose_clients_send_none_takes_no_content_type(client: httpx.Client) -> None:
    assert client.post(V1, content=v1([ROW])).status_code == 415
    assert client.post(V2, content=v2()).status_code == 200


def test_a_body_above_the_limit_is_413_announced_or_not(client: httpx.Client) -> None:
    body = b" " * (BODY_BYTES + 1)

    def chunks() -> Iterator[bytes]:
        for _ in range(BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    for content in (body, chunks()):
        response = client.post(V1, content=content, headers=JSON)
        assert response.status_code == 413
        assert str(BODY_BYTES) in response.json()["error"]
        assert "connection" not in response.headers
    exact = v1([ROW])
    exact += b" " * (BODY_BYTES - len(exact))
    assert client.post(V1, content=exact, headers=JSON).status_code == 200


def test_the_row_limit(client: httpx.Client) -> None:
    rows = np.zeros((ROWS + 1, 12))
    assert client.post(V1, json={"instances": rows[1:].tolist()}).status_code == 200
    for path, body in ((V1, {"instances": rows.tolist()}), (V2, tensor(rows))):
        response = client.post(path, json=body)
        assert response.status_code == 413
        assert f"at most {ROWS}" in response.json()["error"]


GRPC_FAULTS: dict[str, tuple[Callable[[pb.ModelInferRequest], None], str]] = {
    "no input": (lambda r: r.ClearField("inputs"), "number of inputs"),
    "wrong name": (lambda r: setattr(r.inputs[0], "name", "rows"), 'named "features"'),
    "wrong datatype": (lambda r: setattr(r.inputs[0], "datatype", "INT64"), "has to be FP64"),
    "nonsense datatype": (lambda r: setattr(r.inputs[0], "datatype", "X"), "datatype|content"),
    "wrong shape": (lambda r: r.inputs[0].shape.append(1), r"\[rows, 12\]"),
    "negative shape": (lambda r: r.inputs[0].shape.__setitem__(0, -1), r"\[rows, 12\]"),
    "short raw": (lambda r: r.raw_input_contents.__setitem__(0, b"\0" * 40), "1 x 12 numbers"),
    "odd raw": (lambda r: r.raw_input_contents.__setitem__(0, b"\0" * 41), "1 x 12 numbers"),
    "NaN": (
        lambda r: r.raw_input_contents.__setitem__(0, struct.pack("<12d", *[float("nan")] * 12)),
        "not finite",
    ),
    "surplus raw": (lambda r: r.raw_input_contents.append(b""), "number of inputs"),
}


@pytest.mark.parametrize(("spoil", "says"), GRPC_FAULTS.values(), ids=GRPC_FAULTS)
def test_a_faulty_grpc_request_is_an_invalid_argument(
    served: Served, spoil: Callable[[pb.ModelInferRequest], None], says: str
) -> None:
    request = pb.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="features", datatype="FP64", shape=[1, 12])
    request.raw_input_contents.append(b"\0" * 96)
    spoil(request)
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=says) as error:
            stub.ModelInfer(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_grpc_refuses_long_messages_other_models_and_loading(served: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        long = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[b"\0" * (BODY_BYTES + 1)])
        other = pb.ModelInferRequest(model_name="other")
        unload = pb.RepositoryModelUnloadRequest(model_name=MODEL)
        for call, message, code in (
            (stub.ModelInfer, long, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (stub.ModelInfer, other, grpc.StatusCode.NOT_FOUND),
            (stub.RepositoryModelUnload, unload, grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call(message)
            assert error.value.code() == code
        assert stub.ModelReady(pb.ModelReadyRequest(name=MODEL)).ready


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"/v2/repository/models/{MODEL}/unload", 404),
        ("POST", f"/v2/repository/models/{MODEL}/load", 404),
        ("GET", f"/v2/models/{MODEL}/versions/1", 404),
        ("GET", f"/v2/models/{MODEL}/versions/1/ready", 404),
        ("GET", f"/v2/models/{MODEL}/", 404),
        ("POST", f"/v1/models/{MODEL}:explain", 501),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/redoc", 404),
        ("DELETE", f"/v2/models/{MODEL}", 405),
    ],
)
def test_what_is_not_offered(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path, content=v1([ROW]), headers=JSON)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert client.get(f"/v2/models/{MODEL}/ready").json() == {"name": MODEL, "ready": True}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", V1, "POST"),
        ("HEAD", V1, "POST"),
        ("GET", f"/v1/models/{MODEL}:explain", "POST"),
        ("GET", V2, "POST"),
        ("GET", f"{V2}/../versions/1/infer", "POST"),
        ("POST", f"/v1/models/{MODEL}", "GET, HEAD"),
        ("POST", f"/v2/models/{MODEL}", "GET, HEAD"),
    ],
)
def test_another_method_is_405_with_those_that_are_allowed(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert sorted(response.headers["allow"].split(", ")) == allowed.split(", ")
    if method != "HEAD":
        assert response.json() == {"error": f"{method} is not allowed here, only {allowed}."}
    options = client.request("OPTIONS", path)
    assert (options.status_code, options.content) == (204, b"")
    assert sorted(options.headers["allow"].split(", ")) == allowed.split(", ")


def test_head_is_get_without_a_body(client: httpx.Client) -> None:
    response = client.head(f"/v2/models/{MODEL}/ready")
    assert (response.status_code, response.content) == (200, b"")
    assert client.head("/nothing").status_code == 404


def test_the_served_version_is_answered_for(client: httpx.Client, served: Served) -> None:
    path = f"/v2/models/{MODEL}/versions/{served.package.version}"
    assert client.get(path).json() == client.get(f"/v2/models/{MODEL}").json()
    assert client.get(path).json()["versions"] == [served.package.version]
    assert client.get(f"{path}/ready").json()["ready"] is True
    answer = client.post(f"{path}/infer", content=v2(), headers=JSON)
    assert answer.json()["model_version"] == served.package.version
    other = client.post(f"/v2/models/{MODEL}/versions/1/infer", content=v2(), headers=JSON)
    assert other.status_code == 404
    assert other.json()["error"].startswith("Version 1 is not served here; version ")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (V1, JSON, 413),
        (V1, {"content-type": "text/csv"}, 415),
        (V1, {**JSON, "content-encoding": "gzip"}, 415),
        (f"/v1/models/{MODEL}:explain", JSON, 501),
        ("/v1/models/other:predict", JSON, 404),
        ("/nothing", JSON, 404),
        (f"/v2/models/{MODEL}", JSON, 405),
    ],
)
@pytest.mark.parametrize("size", [BODY_BYTES + 1, 8 * BODY_BYTES])
def test_whoever_sends_on_hears_the_refusal(
    served: Served, path: str, headers: dict[str, str], status: int, size: int
) -> None:
    """Python's own client sends everything before it reads, and then wants the connection ended."""
    for _ in range(4):
        request = urllib.request.Request(served.url + path, b" " * size, headers)  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)  # noqa: S310
        with refused.value as answer:
            assert answer.code == status
            assert set(json.load(answer)) == {"error"}


def test_who_waits_to_be_asked_for_the_body_is_refused_without_it(served: Served) -> None:
    head = f"POST {V1} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"content-length: {BODY_BYTES + 1}\r\nexpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=30) as raw:
        raw.sendall(head.encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))  # until the server hangs up
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_a_body_without_end_is_read_only_so_far(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=30) as raw:
        head = f"POST /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {1 << 40}\r\n\r\n"
        raw.sendall(head.encode())
        sent, part = 0, b" " * (1 << 20)
        with suppress(ConnectionError):
            while sent < 64 * DROPPED_BYTES:
                sent += raw.send(part)
    assert DROPPED_BYTES < sent < 2 * DROPPED_BYTES


def test_large_bodies_under_way_are_bounded_together(client: httpx.Client, served: Served) -> None:
    head = f"POST {V1} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"content-length: {BODY_BYTES}\r\n\r\n"
    with ExitStack() as opened:
        for _ in range(BODIES_BYTES // BODY_BYTES):
            raw = socket.create_connection(("127.0.0.1", served.http_port), timeout=30)
            opened.enter_context(raw)
            raw.sendall(head.encode() + b" " * (BODY_BYTES - 1))  # and never the last byte
        large = v1([ROW]) + b" " * (BODY_BYTES // 2)
        wait_for(lambda: client.post(V1, content=large, headers=JSON).status_code == 503)
        refused = client.post(V1, content=large, headers=JSON)
        assert refused.headers["retry-after"] == "1"
        assert "under way" in refused.json()["error"]
        assert client.post(V1, content=v1([ROW]), headers=JSON).status_code == 200, (
            "small ones go on"
        )
    wait_for(lambda: client.post(V1, content=large, headers=JSON).status_code == 200)


def test_health_and_lists(client: httpx.Client) -> None:
    assert client.get("/").json() == {"status": "alive"}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v1/models").json() == {"models": [MODEL]}
    assert client.get(f"/v1/models/{MODEL}").json() == {"name": MODEL, "ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]


def test_headers_of_the_request_do_not_come_back(client: httpx.Client) -> None:
    headers = {**JSON, "authorization": "Bearer secret", "x-mine": "secret"}
    for body in (v1([ROW]), b"{"):
        response = client.post(V1, content=body, headers=headers)
        assert set(response.headers) <= {"date", "content-length", "content-type"}


def test_it_listens_on_loopback_only(served: Served) -> None:
    process = psutil.Process(served.pid)
    listening = [c.laddr for c in process.connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == {served.http_port, served.grpc_port}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert process.children() == []


def test_metrics_count_requests_refusals_answers_and_name_the_model(
    client: httpx.Client, served: Served, rows: np.ndarray
) -> None:
    def value(sample: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)

    ok = 'toolwear_requests_total{endpoint="v1_predict",server="predictor",status="200"}'
    bad = 'toolwear_requests_total{endpoint="v1_predict",server="predictor",status="400"}'
    refused = 'toolwear_refusals_total{reason="not_a_number",server="predictor"}'
    unsure = 'toolwear_unsure_total{reason="envelope"}'
    answered = 'toolwear_answers_total{answer="not sure"}'
    timed = 'toolwear_stage_seconds_count{server="predictor",stage="predict"}'
    names = (ok, bad, refused, unsure, answered, timed)
    before = [value(name) for name in names]
    client.post(V1, json={"instances": [[1e6] * 12]})
    client.post(V1, content=v1([["x"] * 12]), headers=JSON)
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1] * 6
    info = (
        f'toolwear_model_info{{sha256="{served.package.digest}",use="known_runs_only",'
        f'version="{served.package.version}"}}'
    )
    assert value(info) == 1.0
    assert value('toolwear_failures_total{server="predictor"}') == 0.0


def test_a_client_that_hangs_up_in_the_middle_harms_nobody(
    client: httpx.Client, served: Served
) -> None:
    with socket.create_connection(("127.0.0.1", served.http_port)) as raw:
        raw.sendall(
            f"POST {V1} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            "content-length: 1000\r\n\r\n{".encode()
        )
    assert client.post(V1, content=v1([ROW]), headers=JSON).status_code == 200


# --- what is served ---------------------------------------------------------------------------


def refused_to_start(folder: Path, package: Package, *more: str) -> str:
    arguments = command(package, free_port(), *more)
    arguments[arguments.index(str(package.folder))] = str(folder)
    ended = subprocess.run(
        arguments, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_it_refuses_another_model_than_the_registered_one(package: Package) -> None:
    said = refused_to_start(package.folder, package, "--model_sha256", "a" * 64)
    assert said.startswith(f"predictor: The package in {package.folder} is {package.version}, not")


def test_it_refuses_a_tampered_model(package: Package, tmp_path: Path) -> None:
    copy = shutil.copytree(package.folder, tmp_path / "models")
    (copy / "model.onnx").chmod(0o644)
    with (copy / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    said = refused_to_start(copy, package, "--model_sha256", package.digest)
    assert "model.onnx in" in said
    assert "was changed after it was registered" in said
    assert "does not say which package" in refused_to_start(copy, package)
