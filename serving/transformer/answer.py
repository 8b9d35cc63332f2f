"""The transformer's answer with its receipt, in both protocols and for the payload log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import orjson
from kserve import InferOutput, InferRequest, InferResponse

from serving.common.caller import Caller
from serving.common.features import Features, FeatureSpec, Origin
from serving.common.rows import Rows
from serving.payload.records import Scored
from serving.transformer.hop import ModelAnswer
from toolwear.dataset import schema
from toolwear.model.abstention import NO_WINDOW, NOT_SURE, VERDICTS

WORN, UNWORN, UNSURE = schema.WORN, schema.UNWORN, VERDICTS[NOT_SURE]
_PROOF = ("package_digest", "model_sha256", "data_digest", "commit")


@dataclass(frozen=True, eq=False)
class Query:
    """A checked request.

    Attributes:
        request: of V2, None for V1: the protocol of the answer.
        caller: what is said beside the body.
        receipt_id: of the answer; never given to another.
        started: `perf_counter` at its arrival.
        rows: what it asks about.
    """

    request: InferRequest | None
    caller: Caller
    receipt_id: str
    started: float
    rows: Rows


@dataclass(frozen=True)
class Answer:
    """What is answered, in plain values, whatever the protocol.

    Attributes:
        receipt: what the answer was made of.
        answers: one of ANSWERS for each row.
        probability: of "worn", None where a row has no features.
        reasons: why not sure; empty where it is.
    """

    receipt: dict[str, Any]
    answers: list[str]
    probability: list[float | None]
    reasons: list[str]

    def dump(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, content: bytes) -> Answer:
        """Return what `dump` wrote."""
        return cls(**orjson.loads(content))

    def v1(self) -> dict[str, Any]:
        """Return it in V1's form."""
        return {
            "predictions": [
                {
                    "label": None if answer == NOT_SURE else answer,
                    "probability": probability,
                    "verdict": VERDICTS[answer],
                    "reasons": [reason] if reason else [],
                }
                for answer, probability, reason in zip(
                    self.answers, self.probability, self.reasons, strict=True
                )
            ],
            "receipt": self.receipt,
        }

    def v2(self, request: InferRequest) -> InferResponse:
        """Return it in V2's form."""
        receipt = self.receipt
        n = len(self.answers)
        texts = {
            "label": ["" if answer == NOT_SURE else answer for answer in self.answers],
            "verdict": [VERDICTS[answer] for answer in self.answers],
            "reasons": self.reasons,
            "feature_timestamp": [origin["timestamp"] or "" for origin in receipt["features"]],
        }
        stale = np.array([origin["stale"] for origin in receipt["features"]])
        plain = {key: value for key, value in receipt.items() if type(value) is str}
        return InferResponse(
            response_id=request.id or receipt["id"],
            model_name=receipt["model"],
            model_version=receipt["version"],
            parameters={"receipt_id": plain.pop("id"), **plain},
            infer_outputs=[
                InferOutput("probability", [n], "FP64", np.array(self.probability, np.float64)),
                *(InferOutput(key, [n], "BYTES", _objects(value)) for key, value in texts.items()),
                InferOutput("stale", [n], "BOOL", stale),
            ],
            use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
            requested_outputs=request.request_outputs,
        )


@dataclass(frozen=True, eq=False)
class Result:
    """An answered request.

    Attributes:
        query: the request.
        spec: what the model needed.
        features: of the query's rows.
        model: what the model said of the rows that have features.
        probability: of "worn", float64 (rows,), NaN where a row has no features.
        answers: one of ANSWERS for each row.
        reasons: why not sure; empty where it is.
        answered_at: UTC.
    """

    query: Query
    spec: FeatureSpec
    features: Features
    model: ModelAnswer
    probability: np.ndarray
    answers: list[str]
    reasons: list[str]
    answered_at: datetime

    @classmethod
    def of(cls, query: Query, spec: FeatureSpec, features: Features, model: ModelAnswer) -> Result:
        """Return the result, with rows that have no features as "not sure"."""
        complete = features.complete
        now = datetime.now(UTC)
        made = partial(cls, query, spec, features, model)
        if complete.all():
            return made(model.probability, model.answers, model.reasons, now)
        probability = np.full(len(complete), np.nan)
        probability[complete] = model.probability
        answers, reasons = [NOT_SURE] * len(complete), [NO_WINDOW] * len(complete)
        for place, answer, reason in zip(
            np.flatnonzero(complete), model.answers, model.reasons, strict=True
        ):
            answers[place], reasons[place] = answer, reason
        return made(probability, answers, reasons, now)

    def answer(self, name: str) -> Answer:
        """Return the answer of the model of this name."""
        proof = self.model.proof
        return Answer(
            {
                "id": self.query.receipt_id,
                "request_id": self.query.caller.request_id,
                "recording": self.query.caller.recording,
                "model": name,
                "version": proof["version"],
                "use": proof["use"],
                **{key: proof[key] for key in _PROOF},
                "features": [_origin(origin) for origin in self.features.origins],
                "answered_at": self.answered_at.isoformat(),
            },
            self.answers,
            [None if p != p else p for p in self.probability.tolist()],  # NaN: no features
            self.reasons,
        )

    def record(self, name: str) -> Scored:
        """Return what the payload log keeps."""
        origins = self.features.origins
        proof = self.model.proof
        return Scored(
            receipt_id=self.query.receipt_id,
            request_id=self.query.caller.request_id,
            recording=self.query.caller.recording,
            machine=self.query.caller.machine,
            answered_at=self.answered_at,
            proof={
                "model": name,
                "model_version": proof["version"],
                **{key: proof[key] for key in _PROOF},
            },
            kind=self.features.kind,
            run_ids=[origin.run_id for origin in origins],
            timestamps=[origin.when for origin in origins],
            stale=[origin.stale for origin in origins],
            cutting=_known(self.features.cutting, len(origins)),
            regimes=_known(self.features.regimes, len(origins)),
            columns=self.spec.columns,
            values=self.features.values,
            probability=self.probability,
            labels=[_label(p) for p in self.probability.tolist()],
            verdicts=[VERDICTS[answer] for answer in self.answers],
            reasons=self.reasons,
            latency_ms=round((perf_counter() - self.query.started) * 1000, 3),
        )


OUTPUTS: tuple[dict[str, Any], ...] = (
    {"name": "probability", "datatype": "FP64", "shape": [-1]},
    *(
        {"name": name, "datatype": "BYTES", "shape": [-1]}
        for name in ("label", "verdict", "reasons", "feature_timestamp")
    ),
    {"name": "stale", "datatype": "BOOL", "shape": [-1]},
)


def _label(probability: float) -> str | None:
    """Return the class that the model leans to, sure or not: for judging it later."""
    if probability != probability:
        return None
    return WORN if probability > 0.5 else UNWORN


def _known(values: np.ndarray | None, rows: int) -> list[Any]:
    return [None] * rows if values is None else values.tolist()


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "timestamp": origin.when.isoformat() if origin.when else None,
        "age_seconds": origin.age_seconds,
        "stale": origin.stale,
    }


def _objects(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=object)
