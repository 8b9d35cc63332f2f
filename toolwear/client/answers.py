"""What the service answers, as typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    import pandas as pd

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
class Part:
    """One request of those that an answer was got by.

    Attributes:
        receipt: of its answer.
        rows: places, among the rows asked about, of those that the receipt is of. A part begins
            with rows of the part before it that its windows need.
    """

    receipt: Receipt
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """Predictions with their receipts.

    Attributes:
        predictions: for each row asked about.
        parts: the requests that it took, one unless the rows were too many for one.
    """

    predictions: tuple[Prediction, ...]
    parts: tuple[Part, ...]

    @property
    def receipt(self) -> Receipt:
        """The receipt of the first part."""
        return self.parts[0].receipt

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the answer of a V1 response."""
        receipt = dict(body["receipt"])
        receipt["features"] = tuple(_age(item) for item in receipt["features"])
        receipt["answered_at"] = datetime.fromisoformat(receipt["answered_at"])
        predictions = tuple(
            Prediction(item["verdict"], item["label"], item["probability"], tuple(item["reasons"]))
            for item in body["predictions"]
        )
        return cls(predictions, (Part(Receipt(**receipt), tuple(range(len(predictions)))),))

    def frame(self, index: Sequence[Any] | pd.Index | None = None) -> pd.DataFrame:
        """Return the predictions as a DataFrame; pandas has to be installed.

        Args:
            index: of its rows, such as that of the DataFrame asked about; by default 0, 1, ...

        Returns:
            One row for each row asked about: `verdict`, `label` (None where not sure),
            `probability` (float64, NaN where there is none), `reasons` (joined by spaces), and
            `version` and `receipt` of the answer (None where the service was not asked).
        """
        from toolwear.client.frames import frame

        return frame(self, index)


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
class Limit:
    """A condition on a column; a bound that is None does not count.

    Attributes:
        column: of the telemetry.
        below: what its value has to be below.
        above: what its value has to be above.
    """

    column: str
    below: float | None = None
    above: float | None = None

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row keeps it; one without a number in the column does not."""
        value = row.get(self.column)
        if not isinstance(value, int | float):
            return False
        return (self.below is None or value < self.below) and (
            self.above is None or value > self.above
        )


@dataclass(frozen=True)
class History:
    """Which rows the features of a row need.

    Attributes:
        rows: cutting rows in its window, itself included; 0 if a row's features need it alone.
        cutting: what a cutting row keeps, all of it.
        reason: why rows that end no window are not answered.
    """

    rows: int
    cutting: tuple[Limit, ...]
    reason: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return what the metadata say."""
        return cls(body["rows"], tuple(Limit(**one) for one in body["cutting"]), body["reason"])

    def counts(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row is a cutting row."""
        return all(limit.holds(row) for limit in self.cutting)


@dataclass(frozen=True)
class Metadata:
    """The signature of the service.

    Attributes:
        name: of the model.
        inputs: tensors that the V2 protocol takes.
        outputs: tensors that it gives.
        version: of the model in service; "" if the service does not say.
        history: which rows before a row its features need; None if the service does not say.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    version: str
    history: History | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the signature of a V2 metadata response."""
        tensors = {
            side: tuple(
                Tensor(item["name"], item["datatype"], tuple(item["shape"])) for item in body[side]
            )
            for side in ("inputs", "outputs")
        }
        history = body.get("parameters", {}).get("history")
        return cls(
            body["name"],
            tensors["inputs"],
            tensors["outputs"],
            next(iter(body.get("versions", [])), ""),
            None if history is None else History.of(history),
        )


def _age(item: Mapping[str, Any]) -> FeatureAge:
    when = item["timestamp"]
    return FeatureAge(
        datetime.fromisoformat(when) if when else None, item["age_seconds"], item["stale"]
    )
