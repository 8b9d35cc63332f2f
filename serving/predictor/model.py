"""The predictor: rows of features in, probabilities of "worn" out, or "not sure" and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from serving.common import matrix, metrics, wire
from serving.common.features import packed
from serving.common.grpc_face import FEATURES_PARAMETER
from serving.common.refusal import Refusal, other_version
from serving.common.staged_model import StagedModel
from serving.predictor import openapi
from toolwear.model.abstention import ANSWERS, NOT_SURE
from toolwear.model.judged import judged
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT
from toolwear.model.served import Served

ANSWER_OUTPUT = "answer"  # one of toolwear.model.abstention.ANSWERS
REASON_OUTPUT = "reason"  # why not sure; empty where the answer is sure
_UNSURE = len(ANSWERS) - 1


@dataclass(frozen=True)
class Query:
    """A checked request: by which model its rows, float64 (rows, features), are answered."""

    served: Served
    rows: np.ndarray
    request: InferRequest | dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """The answers to a query's rows.

    Attributes:
        probabilities: float64 (rows, classes).
        codes: index into ANSWERS, int (rows,).
        reasons: a sentence for each row that is "not sure", by its index.
    """

    query: Query
    probabilities: np.ndarray
    codes: np.ndarray
    reasons: dict[int, str]


class Predictor(StagedModel):
    """Serves a model package with ONNX Runtime.

    Each request keeps to the model that it began with, whatever is swapped in meanwhile.
    """

    def __init__(self, name: str, served: Served) -> None:
        super().__init__(name, server="predictor")
        self._served = served
        self._answers = [metrics.ANSWERS.labels(answer) for answer in ANSWERS]
        self._band = metrics.UNSURE.labels("band")
        self._envelope = metrics.UNSURE.labels("envelope")

    def load(self) -> bool:
        """Call itself ready: the model has answered its golden rows."""
        self.swap(self._served)
        self.ready = True
        return self.ready

    def swap(self, served: Served) -> None:
        """Answer new requests by another model from now on."""
        self._served = served
        package = served.package
        metrics.MODEL_INFO.clear()
        metrics.MODEL_INFO.labels(package.version, package.digest, served.proof["use"]).set(1)

    @property
    def features_token(self) -> str:
        """Which features the rows have to hold."""
        return self._served.token

    @property
    def features_packed(self) -> bytes:
        """What makes these features, for the metadata of gRPC."""
        return packed(self._served.package.description)

    async def served_version(self) -> str:
        """Return the version that answers now."""
        return self._served.proof["version"]

    def preprocess(self, payload: Any, headers: Any = None) -> Query:  # noqa: ARG002
        """Check a decoded request.

        Raises:
            Refusal: it is not rows of finite numbers, one for each feature.
        """
        served = self._served
        if isinstance(payload, InferRequest):
            if payload.model_version and payload.model_version != served.proof["version"]:
                raise other_version(payload.model_version, served.proof["version"])
            _check_features(payload, served)
            return Query(served, matrix.tensor_rows(payload, INPUT, len(served.features)), payload)
        return Query(served, matrix.instance_rows(payload, len(served.features)), payload)

    def predict(self, query: Query, headers: Any = None) -> Answers:  # noqa: ARG002
        """Answer a query's rows."""
        served = query.served
        probabilities = served.onnx.predict_proba(query.rows)
        worn = probabilities[:, 1]
        if not np.isfinite(worn).all():
            row = int(np.argmin(np.isfinite(worn)))
            raise Refusal("undefined", f"The model has no answer for values like row {row}'s.")
        found = judged(served.abstention, served.features, query.rows, probabilities)
        self._count(found.codes, found.strange, found.band)
        return Answers(query, probabilities, found.codes, found.reasons)

    def postprocess(
        self,
        result: Answers,
        headers: Any = None,  # noqa: ARG002
    ) -> dict[str, Any] | InferResponse | pb.ModelInferResponse:
        """Put the answers in the request's protocol."""
        request = result.query.request
        if isinstance(request, InferRequest):
            return self._grpc(request, result) if request.from_grpc else self._v2(request, result)
        return {
            "model_version": result.query.served.proof["version"],
            **result.query.served.proof,
            "predictions": [
                {
                    ANSWER_OUTPUT: ANSWERS[code],
                    PROBABILITY_OUTPUT: probabilities,
                    REASON_OUTPUT: result.reasons.get(row, ""),
                }
                for row, (code, probabilities) in enumerate(
                    zip(result.codes.tolist(), result.probabilities.tolist(), strict=True)
                )
            ],
        }

    def _v2(self, request: InferRequest, result: Answers) -> InferResponse:
        n = len(result.codes)
        answers = np.array(ANSWERS, dtype=object)[result.codes]
        reasons = np.array([result.reasons.get(row, "") for row in range(n)], dtype=object)
        return InferResponse(
            response_id=request.id or wire.new_id(),
            model_name=self.name,
            model_version=result.query.served.proof["version"],
            parameters=result.query.served.proof,
            infer_outputs=[
                InferOutput(
                    PROBABILITY_OUTPUT,
                    list(result.probabilities.shape),
                    "FP64",
                    result.probabilities,
                ),
                InferOutput(ANSWER_OUTPUT, [n], "BYTES", answers),
                InferOutput(REASON_OUTPUT, [n], "BYTES", reasons),
            ],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    def _grpc(self, request: InferRequest, result: Answers) -> pb.ModelInferResponse:
        """Return the same as a message, which KServe takes as it is.

        Its own conversion goes through an object for each tensor, and takes three times as long.
        """
        served, n = result.query.served, len(result.codes)
        response = pb.ModelInferResponse(
            id=request.id or wire.new_id(),
            model_name=self.name,
            model_version=served.proof["version"],
        )
        for key, value in served.proof.items():
            response.parameters[key].string_param = value
        tensors = (
            (
                PROBABILITY_OUTPUT,
                "FP64",
                result.probabilities.shape,
                result.probabilities.tobytes(),
            ),
            (ANSWER_OUTPUT, "BYTES", [n], _texts(ANSWERS[code] for code in result.codes)),
            (REASON_OUTPUT, "BYTES", [n], _texts(result.reasons.get(row, "") for row in range(n))),
        )
        for name, datatype, shape, raw in tensors:
            response.outputs.add(name=name, datatype=datatype, shape=shape)
            response.raw_output_contents.append(raw)
        return response

    def _count(self, codes: np.ndarray, strange: np.ndarray, band: np.ndarray) -> None:
        for code, number in enumerate(np.bincount(codes, minlength=len(ANSWERS)).tolist()):
            if number:
                self._answers[code].inc(number)
        if strange.any():
            self._envelope.inc(int(strange.sum()))
        too_close = band & ~strange
        if too_close.any():
            self._band.inc(int(too_close.sum()))

    def get_input_types(self) -> list[dict[str, Any]]:
        """Name and type the input."""
        return [{"name": INPUT, "datatype": "FP64", "shape": [-1, len(self._served.features)]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Name and type the outputs."""
        return [
            {"name": PROBABILITY_OUTPUT, "datatype": "FP64", "shape": [-1, len(ANSWERS) - 1]},
            {"name": ANSWER_OUTPUT, "datatype": "BYTES", "shape": [-1]},
            {"name": REASON_OUTPUT, "datatype": "BYTES", "shape": [-1]},
        ]

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document for the model of today."""
        served = self._served
        outputs = tuple(output["name"] for output in self.get_output_types())
        example = served.package.golden().rows[0].tolist()
        return openapi.document(self.name, served.features, outputs, example)

    async def metadata(self) -> dict[str, Any]:
        """Say which model this is and what its columns mean."""
        served = self._served
        description = served.package.description
        return {
            "platform": "onnxruntime",
            "versions": [served.proof["version"]],
            "parameters": {
                "sha256": served.package.digest,
                "feature_set": description["feature_set"],
                "window": description["window"],
                "dataset": description["dataset"],
                "features": list(served.features),
                "classes": description["labels"],
                "not_sure": NOT_SURE,
                "use": description["use"],
            },
        }


def _texts(values: Iterable[str]) -> bytes:
    """Return texts as the protocol has them: each behind its length in four bytes."""
    encoded = (value.encode() for value in values)
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def _check_features(request: InferRequest, served: Served) -> None:
    meant = (request.parameters or {}).get(FEATURES_PARAMETER)
    token = getattr(meant, "string_param", meant)  # gRPC wraps it
    if token is not None and token != served.token:
        raise Refusal("feature_set", f"The model of today needs the features {served.token}.")
