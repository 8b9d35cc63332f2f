"""The hop to the predictor: gRPC with a deadline, and what its failures mean.

The calls block: a thread that reads the store and then calls has no event loop to go through
between the two, which took a third of the chain's time.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service
from kserve.protocol.infer_type import deserialize_bytes_tensor

from serving.common.features import METADATA_BYTES, FeatureSpec
from serving.common.grpc_edge import NO_PROBE
from serving.common.grpc_face import (
    FEATURES_PARAMETER,
    PACKAGE_PARAMETER,
    SPEC_PARAMETER,
    USE_PARAMETER,
    VERSION_PARAMETER,
)
from serving.common.outages import PredictorDownError, PredictorSlowError
from serving.common.refusal import Refusal
from toolwear.common.errors import ToolwearError
from toolwear.common.request_limits import BODY_BYTES
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT

ANSWER_OUTPUT, REASON_OUTPUT = "answer", "reason"
_READY_SECONDS = 1.0
_CHANNEL = (
    # gRPC waits up to two minutes between attempts to connect; service shall resume by itself.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", BODY_BYTES),
    # The predictor's metadata hold the contract of the model's data set; gRPC would take 8 kB.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    ("grpc.enable_http_proxy", 0),
    NO_PROBE,
)


class FeaturesChangedError(Exception):
    """A model was swapped in that needs other features."""


@dataclass(frozen=True, eq=False)
class ModelAnswer:
    """What the model said.

    Attributes:
        probability: of "worn", float64 (rows,).
        answers: one of `toolwear.model.abstention.ANSWERS` for each row.
        reasons: why not sure; empty where it is.
        proof: which model it was.
    """

    probability: np.ndarray
    answers: list[str]
    reasons: list[str]
    proof: dict[str, str]


@dataclass(frozen=True)
class Serves:
    """What the predictor serves.

    Attributes:
        version: in the registry.
        spec: the features that the model needs.
        package: SHA-256 of its package.
        use: what it is approved for.
    """

    version: str
    spec: FeatureSpec
    package: str
    use: str


class Hop:
    """A connection to the predictor, for many threads.

    Args:
        address: host and gRPC port.
        model: its name there.
        seconds: how long an answer may take.
    """

    def __init__(self, address: str, model: str, seconds: float) -> None:
        self._model = model
        self._seconds = seconds
        # Connects when it is first asked.
        self._channel = grpc.insecure_channel(address, options=_CHANNEL)
        self._stub = service.GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def ready(self) -> bool:
        """Tell whether the model is ready."""
        try:
            answer = self._stub.ModelReady(
                pb.ModelReadyRequest(name=self._model), timeout=_READY_SECONDS
            )
        except grpc.RpcError:
            return False
        return bool(answer.ready)

    def spec(self) -> FeatureSpec:
        """Return what the model needs; raises as `serves`."""
        return self.serves().spec

    def serves(self) -> Serves:
        """Return which model is in service and what it needs.

        Raises:
            PredictorDownError: it does not answer.
            PredictorSlowError: it does not in time.
        """
        request = pb.ModelMetadataRequest(name=self._model)
        try:
            _, call = self._stub.ModelMetadata.with_call(request, timeout=self._seconds)
        except grpc.RpcError as error:
            raise _meaning(error) from error
        trailing = dict(call.trailing_metadata())
        try:
            spec = FeatureSpec.of_metadata(bytes(trailing[SPEC_PARAMETER]))
        except (KeyError, ValueError, zlib.error, ToolwearError):  # one of another version
            raise PredictorDownError(
                "the predictor does not say which features its model needs"
            ) from None
        return Serves(
            str(trailing[VERSION_PARAMETER]),
            spec,
            str(trailing[PACKAGE_PARAMETER]),
            str(trailing[USE_PARAMETER]),
        )

    def answer(self, values: np.ndarray, spec: FeatureSpec, request_id: str) -> ModelAnswer:
        """Ask the model.

        Raises:
            FeaturesChangedError: the model in service needs other features than `spec`.
            Refusal: it has no answer for these values.
            PredictorDownError: it does not answer.
            PredictorSlowError: it does not in time.
        """
        request = pb.ModelInferRequest(
            model_name=self._model, id=request_id, raw_input_contents=[values.tobytes()]
        )
        request.parameters[FEATURES_PARAMETER].string_param = spec.token
        request.inputs.add(name=INPUT, datatype="FP64", shape=values.shape)
        try:
            response = self._stub.ModelInfer(request, timeout=self._seconds)
        except grpc.RpcError as error:
            raise _meaning(error) from error
        names = [output.name for output in response.outputs]
        raw = dict(zip(names, response.raw_output_contents, strict=True))
        probabilities = np.frombuffer(raw[PROBABILITY_OUTPUT]).reshape(len(values), -1)
        return ModelAnswer(
            probability=probabilities[:, 1],
            answers=_texts(raw[ANSWER_OUTPUT]),
            reasons=_texts(raw[REASON_OUTPUT]),
            proof={name: value.string_param for name, value in response.parameters.items()},
        )


def _meaning(error: Any) -> Exception:
    """Return what a failed call means for the caller."""
    code, details = error.code(), error.details()
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return PredictorSlowError(details)
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        return FeaturesChangedError(details)
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return Refusal("undefined", details)
    return PredictorDownError(f"{code.name}: {details}")


def _texts(raw: bytes) -> list[str]:
    return [item.decode() for item in deserialize_bytes_tensor(raw)]
