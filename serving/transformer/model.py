"""The transformer: raw rows or run ids in, the model's answer and its receipt out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from kserve import InferRequest, InferResponse

from components.core import schema
from serving.common.features import FeatureSource
from serving.common.refusal import Refusal
from serving.common.request_id import REQUEST_ID, VALID_ID, recording_id, request_id
from serving.common.rows import RAW_NUMBERS, TIMESTAMP, parse_instances, parse_tensors
from serving.common.staged_model import StagedModel
from serving.payload.log import PayloadLog, find
from serving.payload.records import Labels
from serving.transformer.answer import OUTPUTS, Query, Result
from serving.transformer.hop import Hop
from serving.transformer.metrics import Counted
from serving.transformer.work import Work


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
        receipt_id = request_id(headers)
        recording = recording_id(headers)
        rows = (
            parse_tensors(payload)
            if isinstance(payload, InferRequest)
            else parse_instances(payload)
        )
        return Query(payload, receipt_id, recording, started, rows)

    async def predict(self, query: Query, headers: Any = None) -> Result:  # noqa: ARG002
        """Get the features and ask the predictor.

        Raises:
            Refusal: there are no fit features, or the model has no answer for them.
        """
        return await self._work.result(query)

    def postprocess(
        self,
        result: Result,
        headers: Any = None,  # noqa: ARG002
    ) -> dict[str, Any] | InferResponse:
        """Put the answer in the request's protocol; it is counted and kept once it is sent."""
        request = result.query.request
        answer = (
            result.v2(self.name, request)
            if isinstance(request, InferRequest)
            else result.v1(self.name)
        )
        asyncio.get_running_loop().call_soon(self._keep, result)
        return answer

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

    def response_headers(self, result: Result) -> dict[str, str]:
        """Return the receipt's id."""
        return {REQUEST_ID: result.query.receipt_id}

    async def labels(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take labels that became known later: `{"receipt": id, "worn": [true, ...]}`.

        Raises:
            Refusal: the log does not have the receipt, or the labels do not fit it.
        """
        receipt_id, worn, source = _checked_labels(body)
        await asyncio.to_thread(self._log.flush)  # the answer may be a moment old
        rows = len(await asyncio.to_thread(find, self._home, receipt_id))
        if rows == 0:
            raise Refusal("unknown_receipt", f"There is no answer {receipt_id} in the log.", 422)
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
