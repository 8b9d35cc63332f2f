"""A KServe model whose stages are timed in buckets that fit it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from kserve import Model
from kserve.model import InferenceVerb

from serving.common.metrics import STAGE_SECONDS


class StagedModel(Model):
    """Runs preprocess, predict or explain, and postprocess, like KServe's own class.

    That one times in buckets from 5 ms up, which says nothing of a model that needs 0.1 ms.

    Args:
        name: of the model, as in the URL.
        server: "predictor", "transformer" or "explainer": label of the metrics.
    """

    def __init__(self, name: str, server: str) -> None:
        super().__init__(name)
        self.server = server
        stages = ("preprocess", "predict", "explain", "postprocess")
        self._seconds = {stage: STAGE_SECONDS.labels(server, stage) for stage in stages}

    async def __call__(
        self,
        body: Any,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[Any, dict[str, str]]:
        """Answer a decoded request; the second value are headers for the response."""
        payload = await self._timed("preprocess", body, headers)
        middle = "explain" if verb == InferenceVerb.EXPLAIN else "predict"
        result = await self._timed(middle, payload, headers)
        answer = await self._timed("postprocess", result, headers)
        return answer, self.response_headers(result)

    def response_headers(self, result: Any) -> dict[str, str]:  # noqa: ARG002
        """Return headers for the response to a `predict` or `explain` that gave `result`."""
        return {}

    async def served_version(self) -> str:
        """Return the version in the registry of the model that answers now."""
        raise NotImplementedError

    async def metadata(self) -> dict[str, Any]:
        """Say in the protocol's words which model this is, beside its tensors."""
        return {}

    async def _timed(self, stage: str, value: Any, headers: dict[str, str] | None) -> Any:
        started = perf_counter()
        result = getattr(self, stage)(value, headers)
        if hasattr(result, "__await__"):  # a tenth of inspect.isawaitable's time
            result = await result
        self._seconds[stage].observe(perf_counter() - started)
        return result
