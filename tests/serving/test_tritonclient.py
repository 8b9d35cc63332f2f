"""The Open Inference protocol with a client that shares no code with the servers: Triton's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.serving.conftest import MODEL, Served
from tests.serving.stack import Place, Stack, expected, running
from toolwear.common.fingerprint import ROOT
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT

BOTH = pytest.mark.parametrize("binary", [False, True])


@pytest.fixture(scope="module")
def stack(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place.point(0)
    with running(place, tmp_path_factory.mktemp("logs")) as started:
        yield started


def client(url: str) -> triton_http.InferenceServerClient:
    return triton_http.InferenceServerClient(url.removeprefix("http://"))


def run_id_tensor(runs: list[str], binary: bool) -> triton_http.InferInput:
    tensor = triton_http.InferInput("run_id", [len(runs)], "BYTES")
    tensor.set_data_from_numpy(np.array(runs, dtype=object), binary_data=binary)
    return tensor


def test_health_and_metadata(served: Served, stack: Stack) -> None:
    for url, name in ((served.url, INPUT), (stack.transformer.url, "run_id")):
        with client(url) as asked:
            assert asked.is_server_live()
            assert asked.is_server_ready()
            assert asked.is_model_ready(MODEL)
            assert not asked.is_model_ready("another")
            assert "binary_tensor_data" in asked.get_server_metadata()["extensions"]
            metadata = asked.get_model_metadata(MODEL)
            assert metadata["name"] == MODEL
            assert metadata["inputs"][0]["name"] == name


@BOTH
def test_the_predictor_answers_the_golden_rows(
    served: Served, rows: np.ndarray, binary: bool
) -> None:
    tensor = triton_http.InferInput(INPUT, list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    wanted = [
        triton_http.InferRequestedOutput(name, binary_data=binary)
        for name in (PROBABILITY_OUTPUT, "answer")
    ]
    with client(served.url) as asked:
        found = asked.infer(MODEL, [tensor], outputs=wanted, request_id="mine")
    assert found.get_response()["id"] == "mine"
    assert np.array_equal(found.as_numpy(PROBABILITY_OUTPUT), served.package.golden().probabilities)
    assert found.as_numpy("answer").shape == (len(rows),)


@BOTH
def test_the_transformer_answers_by_run(stack: Stack, place: Place, binary: bool) -> None:
    runs = ["07", "01"]
    wanted = [
        triton_http.InferRequestedOutput(name, binary_data=binary)
        for name in ("probability", "verdict")
    ]
    with client(stack.transformer.url) as asked:
        found = asked.infer(MODEL, [run_id_tensor(runs, binary)], outputs=wanted)
    assert found.as_numpy("probability").tolist() == [
        expected(place.home, place.packages[0], run) for run in runs
    ]
    assert found.as_numpy("verdict").shape == (2,)


@BOTH
def test_a_refusal_reaches_the_client_as_one_sentence(stack: Stack, binary: bool) -> None:
    with (
        client(stack.transformer.url) as asked,
        pytest.raises(InferenceServerException, match="knows no run no-such-run") as refused,
    ):
        asked.infer(MODEL, [run_id_tensor(["no-such-run"], binary)])
    assert refused.value.status() == "422"


def test_models_cannot_be_loaded_or_unloaded(served: Served) -> None:
    with client(served.url) as asked:
        for change in (asked.load_model, asked.unload_model):
            with pytest.raises(InferenceServerException):
                change(MODEL)
        assert asked.is_model_ready(MODEL)


def test_grpc(served: Served, rows: np.ndarray, tmp_path: Path) -> None:
    """In a process of its own: two copies of one protocol's messages cannot live in one."""
    asked, answered = tmp_path / "rows.npy", tmp_path / "answer.json"
    np.save(asked, rows)
    command = [sys.executable, "-m", "tests.serving.triton_grpc", f"127.0.0.1:{served.grpc_port}"]
    done = subprocess.run(
        [*command, str(asked), str(answered)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(answered.read_text())
    assert found["ready"] is True
    assert found["input"] == INPUT
    assert np.array_equal(found["probabilities"], served.package.golden().probabilities)
    assert 'named "features"' in found["refusal"]
