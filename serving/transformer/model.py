"""The transformer: raw rows or run ids in, the model's answer and its receipt out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from kserve import InferRequest, InferResponse
from starlette.requests import Request

from serving.common import wire
from serving.common.caller import Caller
from serving.common.features import FeatureSource
from serving.common.outages import PredictorDownError, PredictorSlowError
from serving.common.refusal import Refusal, other_version
from serving.common.rows import TIMESTAMP, RawColumns, Rows, parse_instances, parse_tensors
from serving.common.staged_model import StagedModel
from serving.payload.log import PayloadLog
from serving.transformer.answer import OUTPUTS, Answer, Query, Result
from serving.transformer.hop import Hop
from serving.transformer.labels import Labelling
from serving.transformer.metrics import Counted
from serving.transformer.repeats import Repeats, question
from serving.transformer.scoring import Scoring
from serving.transformer.work import Work
from toolwear.common.request_limits import SCORE_BYTES
from toolwear.dataset import schema
from toolwear.scoring.known import known_contract
from toolwear.workspace.home import Home

_LOOK_SECONDS = 1.0  # for a look at the model in service, and between two that refusals ask for


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
        score_bytes: of a recording that is sent whole, at most.
    """

    def __init__(
        self,
        name: str,
        hop: Hop,
        source: FeatureSource,
        log: PayloadLog,
        home: Path,
        keeps: bool = True,
        score_bytes: int = SCORE_BYTES,
    ) -> None:
        super().__init__(name, server="transformer")
        self._hop = hop
        self._log = log
        self._labelling = Labelling(home, log)
        self._scoring = Scoring(hop, name, Home(home), score_bytes)
        self._known = RawColumns.of(known_contract(Home(home)))
        self._looked = -_LOOK_SECONDS  # when the predictor was last asked for its model
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
            self._labelling.close()
            self._scoring.close()
            self._work.close()
            await asyncio.to_thread(self._log.close)

    async def healthy(self) -> bool:
        """Tell whether the model behind answers: what readiness probes ask."""
        if not await asyncio.to_thread(self._hop.ready):
            return False
        if self._work.spec is None:
            await self._look()
        return True

    @property
    def raw(self) -> RawColumns:
        """The columns of a raw row: of the model in service, before it is known the workspace's."""
        spec = self._work.spec
        if spec is not None and spec.dataset is not self._known.dataset:
            self._known = RawColumns.of(spec.dataset)
        return self._known

    async def preprocess(self, payload: Any, headers: Any = None) -> Query:
        """Check a decoded request.

        Raises:
            Refusal: it is faulty.
        """
        started = perf_counter()
        caller = Caller.of(headers, payload)
        try:
            rows = _parsed(payload, self.raw)
        except Refusal:
            # The model in service may be another machine's than the rows were held against.
            if not await self._other_columns():
                raise
            rows = _parsed(payload, self.raw)
        request = payload if isinstance(payload, InferRequest) else None
        return Query(request, caller, wire.new_id(), started, rows)

    async def _other_columns(self) -> bool:
        """Ask which model is in service, and tell whether its raw rows have other columns."""
        before = self.raw.dataset
        await self._look()
        return self.raw.dataset != before

    async def _look(self) -> None:
        """Ask which model is in service, so that raw rows are held against its columns."""
        now = monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                self._work.spec = await asyncio.to_thread(self._hop.spec)
        except (PredictorDownError, PredictorSlowError, TimeoutError):
            pass  # the request that asks it will tell

    async def predict(self, query: Query, headers: Any = None) -> Answered:  # noqa: ARG002
        """Get the features and ask the predictor, unless the same was asked before.

        Raises:
            Refusal: there are no fit features, or the model has no answer for them; or another
                version is asked for than answers, or a key was used for another request.
        """
        key = query.caller.key if self._keeps else None
        digest = ""
        if key is not None:
            digest = question(query.rows, query.caller.recording, query.caller.machine)
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

    async def metadata(self) -> dict[str, Any]:
        """Say which version answers and which rows before a row it needs; raises as above."""
        serves = await asyncio.to_thread(self._hop.serves)
        parameters = {"feature_set": serves.spec.feature_set, "history": serves.spec.history}
        return {"versions": [serves.version], "parameters": parameters}

    async def labels(self, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Take labels; see `Labelling.take`."""
        return await self._labelling.take(body, by)

    async def score(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        """Score a recording; see `Scoring.take`."""
        return await self._scoring.take(request)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Name and type the inputs: either the first two, or all the others."""
        return [
            {"name": schema.RUN_ID, "datatype": "BYTES", "shape": [-1]},
            {"name": TIMESTAMP, "datatype": "BYTES", "shape": [-1]},
            *({"name": name, "datatype": "FP64", "shape": [-1]} for name in self.raw.numbers),
            *({"name": name, "datatype": "BYTES", "shape": [-1]} for name in self.raw.texts),
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Name and type the outputs."""
        return [dict(output) for output in OUTPUTS]


def _parsed(payload: Any, raw: RawColumns) -> Rows:
    if isinstance(payload, InferRequest):
        return parse_tensors(payload, raw)
    return parse_instances(payload, raw)
