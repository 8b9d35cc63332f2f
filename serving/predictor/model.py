"""The predictor: rows of features in, probabilities of "worn" out, or "not sure" and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse

from components.core.abstention import ANSWERS, NOT_SURE, Abstention
from components.core.onnx_model import INPUT, PROBABILITY_OUTPUT, OnnxModel
from components.core.package import Package
from serving.common import matrix, metrics, wire
from serving.common.refusal import Refusal
from serving.common.staged_model import StagedModel

ANSWER_OUTPUT = "answer"  # one of components.core.abstention.ANSWERS
REASON_OUTPUT = "reason"  # why not sure; empty where the answer is sure
_UNSURE = len(ANSWERS) - 1


@dataclass(frozen=True)
class Query:
    """A checked request: its rows, float64 (rows, features), and how to answer it."""

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
    """Serves a model package with ONNX Runtime."""

    def __init__(self, name: str, package: Package) -> None:
        super().__init__(name, server="predictor")
        self._package = package
        self._features = package.features
        description = package.description
        self._abstention = Abstention.of(
            self._features, description["abstention"], description["envelope"]
        )
        self._onnx = OnnxModel(package.model)
        self._answers = [metrics.ANSWERS.labels(answer) for answer in ANSWERS]
        self._band = metrics.UNSURE.labels("band")
        self._envelope = metrics.UNSURE.labels("envelope")

    def load(self) -> bool:
        """Answer the golden rows once, and only then call itself ready."""
        self._onnx.predict_proba(self._package.golden().rows)
        metrics.MODEL_INFO.labels(
            self._package.version, self._package.digest, self._package.description["use"]
        ).set(1)
        self.ready = True
        return self.ready

    def preprocess(self, payload: Any, headers: Any = None) -> Query:  # noqa: ARG002
        """Check a decoded request.

        Raises:
            Refusal: it is not rows of finite numbers, one for each feature.
        """
        if isinstance(payload, InferRequest):
            return Query(matrix.tensor_rows(payload, INPUT, len(self._features)), payload)
        return Query(matrix.instance_rows(payload, len(self._features)), payload)

    def predict(self, query: Query, headers: Any = None) -> Answers:  # noqa: ARG002
        """Answer a query's rows."""
        probabilities = self._onnx.predict_proba(query.rows)
        worn = probabilities[:, 1]
        if not np.isfinite(worn).all():
            row = int(np.argmin(np.isfinite(worn)))
            raise Refusal("undefined", f"The model has no answer for values like row {row}'s.")
        outside = self._abstention.outside(query.rows)
        strange: np.ndarray = np.logical_or.reduce(outside, axis=1)
        band = self._abstention.in_band(worn)
        codes = np.where(strange | band, _UNSURE, probabilities.argmax(axis=1))
        reasons = {
            int(row): self._reason(query.rows[row], outside[row], worn[row])
            for row in np.flatnonzero(codes == _UNSURE)
        }
        self._count(codes, strange, band)
        return Answers(query, probabilities, codes, reasons)

    def postprocess(
        self,
        result: Answers,
        headers: Any = None,  # noqa: ARG002
    ) -> dict[str, Any] | InferResponse:
        """Put the answers in the request's protocol."""
        request = result.query.request
        if isinstance(request, InferRequest):
            return self._v2(request, result)
        return {
            "model_version": self._package.version,
            "use": self._package.description["use"],
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
            model_version=self._package.version,
            parameters={"use": self._package.description["use"]},
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
            # KServe's gRPC encoder sends arrays in binary anyway, and trips over this flag.
            use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
            requested_outputs=request.request_outputs,
        )

    def _reason(self, row: np.ndarray, outside: np.ndarray, worn: float) -> str:
        if outside.any():
            column = int(outside.argmax())
            low, high = self._abstention.minimum[column], self._abstention.maximum[column]
            return (
                f"{self._features[column]} is {row[column]:g}; "
                f"the model knows values from {low:g} to {high:g}."
            )
        return (
            f"The probability of wear is {worn:.3f}, and from {self._abstention.low:g} "
            f"to {self._abstention.high:g} the model is too often wrong."
        )

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
        return [{"name": INPUT, "datatype": "FP64", "shape": [-1, len(self._features)]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Name and type the outputs."""
        return [
            {"name": PROBABILITY_OUTPUT, "datatype": "FP64", "shape": [-1, len(ANSWERS) - 1]},
            {"name": ANSWER_OUTPUT, "datatype": "BYTES", "shape": [-1]},
            {"name": REASON_OUTPUT, "datatype": "BYTES", "shape": [-1]},
        ]

    def metadata(self) -> dict[str, Any]:
        """Say which model this is and what its columns mean."""
        description = self._package.description
        return {
            "platform": "onnxruntime",
            "versions": [self._package.version],
            "parameters": {
                "sha256": self._package.digest,
                "feature_set": description["feature_set"],
                "features": list(self._features),
                "classes": description["labels"],
                "not_sure": NOT_SURE,
                "use": description["use"],
            },
        }
