"""The transformer: raw rows or run ids in, the model's answer and its receipt out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from kserve import InferRequest, InferResponse

from components.core import schema
from serving.common import wire
from serving.common.caller import VALID_ID, Caller
from serving.common.features import FeatureSource
from serving.common.refusal import Refusal, other_version
from serving.common.rows import (
    RAW_NUMBERS,
    TIMESTAMP,
    parse_instances,
    parse_tensors,
)
from serving.common.staged_model import StagedModel
from serving.payload.log import PayloadLog, find, of_request
from serving.payload.records import Labels
from serving.transformer.answer import OUTPUTS, Answer, Query, Result
from serving.transformer.hop import Hop
from serving.transformer.metrics import Counted
from serving.transformer.repeats import Repeats, question
from serving.transformer.work import Work


@dataclass(frozen=True, eq=False)
class Answered:
    """A query and its answer.

    Attributes:
        query: the request.
        answer: to it, or to the first request with the same key.
        new: what is still to be counted and kept, None for a repeated answer.
    """

    query: Query
    answer: Answer
    new: Result | None


class Transformer(StagedModel):
    """Fetches or computes features, asks the predictor, and keeps what was answered.

    Args:
        name: of the model, here and at the predictor.
        hop: to the predictor.
        source: of features.
        log: of payloads.
        home: the system's folder, for looking answers up.
        keeps: whether answers are kept; those to copies of requests are nobody's.
    """

    def __init__(
        self,
        name: str,
        hop: Hop,
        source: FeatureSource,
        log: PayloadLog,
        home: Path,
        keeps: bool = True,
    ) -> None:
        super().__init__(name, server="transformer")
        self._hop = hop
        self._log = log
        self._home = home
        self._work = Work(hop, source)
        self._keeps = keeps
        self._counted = Counted()
        self._repeats = Repeats(home)
        self.ready = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the connection and the log open."""
        self._log.start()
        try:
            yield
        finally:
            self._work.close()
            await asyncio.to_thread(self._log.close)

    async def healthy(self) -> bool:
        """Tell whether the model behind answers: what readiness probes ask."""
        return await asyncio.to_thread(self._hop.ready)

    def preprocess(self, payload: Any, headers: Any = None) -> Query:
        """Check a decoded request.

        Raises:
            Refusal: it is faulty.
        """
        started = perf_counter()
        caller = Caller.of(headers, payload)
        rows = (
            parse_tensors(payload)
            if isinstance(payload, InferRequest)
            else parse_instances(payload)
        )
        request = payload if isinstance(payload, InferRequest) else None
        return Query(request, caller, wire.new_id(), started, rows)

    async def predict(self, query: Query, headers: Any = None) -> Answered:  # noqa: ARG002
        """Get the features and ask the predictor, unless the same was asked before.

        Raises:
            Refusal: there are no fit features, or the model has no answer for them; or another
                version is asked for than answers, or a key was used for another request.
        """
        key = query.caller.key if self._keeps else None
        digest = ""
        if key is not None:
            digest = question(query.rows, query.caller.recording)
            known = await asyncio.to_thread(self._repeats.find, key, digest)
            if known is not None:
                return Answered(query, known, None)
        result = await self._work.result(query)
        answer = result.answer(self.name)
        wanted = query.request.model_version if query.request is not None else None
        if wanted and wanted != answer.receipt["version"]:
            raise other_version(wanted, answer.receipt["version"])
        if key is not None:
            answer = await asyncio.to_thread(self._repeats.keep, key, digest, answer)
        is_new = answer.receipt["id"] == query.receipt_id
        return Answered(query, answer, result if is_new else None)

    def postprocess(
        self,
        result: Answered,
        headers: Any = None,  # noqa: ARG002
    ) -> dict[str, Any] | InferResponse:
        """Put the answer in the request's protocol; it is counted and kept once it is sent."""
        request, answer = result.query.request, result.answer
        if result.new is not None:
            asyncio.get_running_loop().call_soon(self._keep, result.new)
        return answer.v1() if request is None else answer.v2(request)

    def _keep(self, result: Result) -> None:
        proof = result.model.proof
        features = result.features
        complete = features.complete
        scored = features.values if complete.all() else features.values[complete]
        self._counted.features(result.spec.feature_set, result.spec.columns, scored)
        self._counted.model(proof["version"], proof["package_digest"], proof["use"])
        stale = sum(origin.stale for origin in features.origins)
        self._counted.answered(result.answers, result.model.probability, stale)
        if self._keeps:
            self._log.put(result.record(self.name))

    def response_headers(self, result: Answered) -> dict[str, str]:
        """Return the receipt's id, and the caller's."""
        return result.query.caller.answered(result.answer.receipt["id"])

    async def served_version(self) -> str:
        """Return the version that the predictor serves.

        Raises:
            PredictorDownError, PredictorSlowError: it does not say.
        """
        return (await asyncio.to_thread(self._hop.serves)).version

    async def labels(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take labels that became known later: `{"receipt": id, "worn": [true, ...]}`.

        Raises:
            Refusal: the log does not have the receipt, or the labels do not fit it.
        """
        receipt_id, worn, source = _checked_labels(body)
        await asyncio.to_thread(self._log.flush)  # the answer may be a moment old
        rows = len(await asyncio.to_thread(find, self._home, receipt_id))
        if rows == 0:
            raise await asyncio.to_thread(_unknown, self._home, receipt_id)
        if rows != len(worn):
            raise Refusal(
                "shape", f"The answer {receipt_id} has {rows} rows; send a label for each.", 422
            )
        labels = Labels(receipt_id, worn, datetime.now(UTC), source)
        if not await asyncio.to_thread(self._log.put_labels, labels):
            raise OSError("the labels could not be written")
        return {"receipt": receipt_id, "rows": rows}

    def get_input_types(self) -> list[dict[str, Any]]:
        """Name and type the inputs: either the first two, or all the others."""
        return [
            {"name": schema.RUN_ID, "datatype": "BYTES", "shape": [-1]},
            {"name": TIMESTAMP, "datatype": "BYTES", "shape": [-1]},
            *({"name": name, "datatype": "FP64", "shape": [-1]} for name in RAW_NUMBERS),
            {"name": schema.PHASE, "datatype": "BYTES", "shape": [-1]},
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Name and type the outputs."""
        return [dict(output) for output in OUTPUTS]


def _unknown(home: Path, receipt_id: str) -> Refusal:
    """Return why labels fit nothing, with a hint for who sends the id of a request."""
    answers = len(of_request(home, receipt_id))
    if answers:
        return Refusal(
            "unknown_receipt",
            f"{receipt_id} is the x-request-id of {answers} answers and no receipt; send the id in "
            "the receipt of the answer that is meant.",
            422,
        )
    return Refusal("unknown_receipt", f"There is no answer {receipt_id} in the log.", 422)


def _checked_labels(body: dict[str, Any]) -> tuple[str, tuple[bool, ...], str]:
    receipt_id, worn, source = body.get("receipt"), body.get("worn"), body.get("source", "api")
    if type(receipt_id) is not str or not VALID_ID.fullmatch(receipt_id):
        raise Refusal("request", '"receipt" has to be the id of an answer\'s receipt.')
    if type(worn) is not list or not worn or set(map(type, worn)) != {bool}:
        raise Refusal("request", '"worn" has to be a list of true and false, one for each row.')
    if type(source) is not str or not VALID_ID.fullmatch(source):
        raise Refusal("request", '"source" has to be a short word that says who labelled.')
    unknown = sorted(body.keys() - {"receipt", "worn", "source"})
    if unknown:
        raise Refusal("request", f'There is no key "{unknown[0][:40]}" in labels.')
    return receipt_id, tuple(worn), source
