"""The explainer: a question about the model in, an explanation with its quality figures out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
from kserve.model import InferenceVerb

from serving.common import wire
from serving.common.caller import Caller
from serving.common.features import (
    READY,
    Features,
    FeatureSource,
    Origin,
    computed,
)
from serving.common.lane import Lane
from serving.common.metrics import MODEL_INFO
from serving.common.refusal import Refusal
from serving.common.rows import EntityKeys, RawRows
from serving.common.staged_model import StagedModel
from serving.explainer import metrics, openapi
from serving.explainer.deadline import Deadline, TooSlowError
from serving.explainer.explained import Explained
from serving.explainer.question import (
    Question,
    last_row_is_complete,
    parse,
)
from toolwear.explain.methods.subject import Envelope
from toolwear.explain.registry import DEFAULT_SEED, METHODS, QUICK, SLOW

ENVELOPE_VERSION = 1


@dataclass(frozen=True, eq=False)
class Asked:
    """A question with the model that it is about and the features that it asks about."""

    question: Question
    explained: Explained
    deadline: Deadline
    started: float
    caller: Caller
    receipt_id: str
    features: Features | None

    @property
    def row(self) -> np.ndarray | None:
        """The prediction to explain, (1, features)."""
        return None if self.features is None else self.features.values[-1:]


@dataclass(frozen=True, eq=False)
class Answered:
    """A question and its explanation."""

    asked: Asked
    envelope: Envelope


class Explainer(StagedModel):
    """Explains a model package; each question keeps to the package that it began with.

    Args:
        name: of the model, as in the URL.
        explained: the package.
        source: of features; None if run ids cannot be asked about.
        waiting: explanations that may wait, of each method.
    """

    def __init__(
        self, name: str, explained: Explained, source: FeatureSource | None, waiting: int
    ) -> None:
        super().__init__(name, server="explainer")
        self._explained = explained
        self._source = source
        self._lanes = {
            lane: Lane(lane, waiting, metrics.BUSY.labels(lane)) for lane in (QUICK, SLOW)
        }
        self._method_seconds = {method: metrics.SECONDS.labels(method) for method in METHODS}

    def warm_up(self) -> None:
        """Make the first answers as fast as the later ones, and only then call itself ready."""
        if self._source is not None:
            self._source.open()
        self._explained.warm_up()
        self.swap(self._explained)
        self.ready = True

    def swap(self, explained: Explained) -> None:
        """Explain another, warm model from now on."""
        self._explained = explained
        served = explained.served
        MODEL_INFO.clear()
        MODEL_INFO.labels(served.package.version, served.package.digest, served.proof["use"]).set(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close the lanes at the end."""
        try:
            yield
        finally:
            for lane in self._lanes.values():
                lane.close()
            if self._source is not None:
                self._source.close()

    async def __call__(
        self,
        body: Any,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[Any, dict[str, str]]:
        """Explain; nothing else."""
        if verb != InferenceVerb.EXPLAIN:
            raise Refusal("request", "This server only explains; ask the transformer.", 501)
        return await super().__call__(body, headers, verb)

    async def preprocess(self, payload: Any, headers: Any = None) -> Asked:
        """Check a decoded request and get the features of its row.

        Raises:
            Refusal: it is faulty, or there are no fit features.
        """
        started = perf_counter()
        caller = Caller.of(headers)
        explained = self._explained
        question = parse(payload, explained)
        deadline = Deadline(question.method.seconds)
        features = await self._features(question, explained)
        return Asked(question, explained, deadline, started, caller, wire.new_id(), features)

    async def _features(self, question: Question, explained: Explained) -> Features | None:
        rows = question.rows
        if rows is None:
            return None
        if isinstance(rows, EntityKeys):
            if self._source is None:
                raise Refusal(
                    "no_store",
                    "There is no feature store here; send a raw row or a row of features.",
                    422,
                )
            features = await self._source.features(rows, explained.spec)
        elif isinstance(rows, RawRows):
            features = computed(rows, explained.spec)
        else:
            features = Features(rows.values, READY, (Origin(),))
        last_row_is_complete(features)
        explained.check(features.values[-1:])
        return features

    async def explain(self, asked: Asked, headers: Any = None) -> Answered:  # noqa: ARG002
        """Compute the explanation.

        Raises:
            Refusal: too many are under way, or it took too long.
        """
        question, explained, deadline = asked.question, asked.explained, asked.deadline
        if question.seed == DEFAULT_SEED and question.name in explained.kept:
            return Answered(asked, explained.kept[question.name])

        def work() -> Envelope:
            predict = deadline.guard(explained.served.onnx.worn)
            return question.method.run(
                explained.task(predict, question.seed, asked.row, question.samples)
            )

        try:
            lane = self._lanes[question.method.lane]
            envelope = await lane.run(question.name, work, deadline.left)
        except (TimeoutError, TooSlowError):
            raise Refusal(
                "slow",
                f"The explanation took longer than {question.method.seconds:g} s and was given "
                "up; try again later.",
                504,
            ) from None
        return Answered(asked, envelope)

    def postprocess(self, result: Answered, headers: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """Complete the envelope with the model, its proof and the receipt."""
        asked, envelope = result.asked, result.envelope
        name = asked.question.name
        for figure in asked.question.method.figures:
            value = envelope["quality"][figure]
            metrics.QUALITY.labels(name, figure).observe(value)
        self._method_seconds[name].observe(perf_counter() - asked.started)
        return {
            "meta": {
                "envelope_version": ENVELOPE_VERSION,
                **envelope["meta"],
                "model": {"name": self.name, **asked.explained.served.proof},
                "receipt": _receipt(asked),
            },
            "data": envelope["data"],
            "quality": envelope["quality"],
        }

    def response_headers(self, result: Answered) -> dict[str, str]:
        """Return the receipt's id, and the caller's."""
        return result.asked.caller.answered(result.asked.receipt_id)

    async def served_version(self) -> str:
        """Return the version that is explained now."""
        return self._explained.served.proof["version"]

    def openapi(self, envelope: dict[str, Any]) -> dict[str, Any]:
        """Return the OpenAPI document for the model of today; `envelope` is an answer's schema."""
        columns = self._explained.spec.columns
        explained = self._explained
        history = explained.spec.needs_history
        return openapi.document(self.name, columns, explained.raw, history, envelope)

    async def metadata(self) -> dict[str, Any]:
        """Say which model is explained, how, and from which features."""
        explained = self._explained
        return {
            "platform": "onnxruntime",
            "versions": [explained.served.proof["version"]],
            "parameters": {
                **explained.served.proof,
                "methods": list(METHODS),
                "features": list(explained.spec.columns),
                "feature_set": explained.spec.feature_set,
                "window": explained.spec.window,
                "dataset": explained.spec.dataset.model_dump(mode="json"),
                "background_rows": len(explained.subject.background),
            },
        }


def _receipt(asked: Asked) -> dict[str, Any]:
    features = asked.features
    return {
        "id": asked.receipt_id,
        "request_id": asked.caller.request_id,
        "answered_at": datetime.now(UTC).isoformat(),
        "kind": None if features is None else features.kind,
        "features": None if features is None else _told(features.origins[-1]),
    }


def _told(origin: Origin) -> dict[str, Any]:
    return {
        "run_id": origin.run_id,
        "timestamp": None if origin.when is None else origin.when.isoformat(),
        "age_seconds": origin.age_seconds,
        "stale": origin.stale,
    }
