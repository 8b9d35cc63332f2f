"""What the service answers, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

Verdict = Literal["worn", "unworn", "not_sure"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one row.

    Attributes:
        verdict: what the service says.
        label: "worn" or "unworn"; None if it is not sure.
        probability: of "worn"; None if the row does not end a window that the model needs.
        reasons: why it is not sure; empty if it is.
    """

    verdict: Verdict
    label: str | None
    probability: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class FeatureAge:
    """How old the features of a row were; without a timestamp if it was sent as telemetry."""

    timestamp: datetime | None
    age_seconds: float | None
    stale: bool


@dataclass(frozen=True)
class Receipt:
    """What an answer was made of.

    Attributes:
        id: for `toolwear receipt` and for labels; no other answer has it.
        request_id: the caller's own, if the request carried one.
        recording: which its rows are of, if the request said so.
        model: name of the model.
        version: of the model in the registry.
        use: what it may be used for.
        package_digest: SHA-256 of its package.
        model_sha256: of its ONNX graph.
        data_digest: of the data that it was trained on.
        commit: of the code that trained it.
        features: for each row.
        answered_at: UTC.
    """

    id: str
    request_id: str | None
    recording: str | None
    model: str
    version: str
    use: str
    package_digest: str
    model_sha256: str
    data_digest: str
    commit: str
    features: tuple[FeatureAge, ...]
    answered_at: datetime


@dataclass(frozen=True)
class Answer:
    """Predictions with their receipt."""

    predictions: tuple[Prediction, ...]
    receipt: Receipt

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the answer of a V1 response."""
        receipt = dict(body["receipt"])
        receipt["features"] = tuple(_age(item) for item in receipt["features"])
        receipt["answered_at"] = datetime.fromisoformat(receipt["answered_at"])
        return cls(
            tuple(
                Prediction(
                    item["verdict"], item["label"], item["probability"], tuple(item["reasons"])
                )
                for item in body["predictions"]
            ),
            Receipt(**receipt),
        )


@dataclass(frozen=True)
class Explanation:
    """An explanation in the envelope that all methods share.

    Attributes:
        meta: method, settings, and the model that is explained.
        data: what the method found.
        quality: how far it can be relied on, measured.
    """

    meta: Mapping[str, Any]
    data: Mapping[str, Any]
    quality: Mapping[str, Any]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model's signature."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Metadata:
    """The signature of the service."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the signature of a V2 metadata response."""
        tensors = {
            side: tuple(
                Tensor(item["name"], item["datatype"], tuple(item["shape"])) for item in body[side]
            )
            for side in ("inputs", "outputs")
        }
        return cls(body["name"], tensors["inputs"], tensors["outputs"])


def _age(item: Mapping[str, Any]) -> FeatureAge:
    when = item["timestamp"]
    return FeatureAge(
        datetime.fromisoformat(when) if when else None, item["age_seconds"], item["stale"]
    )
