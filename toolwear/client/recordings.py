"""Whole recordings: sent as they lie on the disk, answered by one verdict each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from toolwear.client.errors import RequestRefusedError, ServiceDownError, ServiceFailedError
from toolwear.common.loopback import by_proxy
from toolwear.common.ports import TRANSFORMER
from toolwear.common.request_limits import SCORE_BODY_SECONDS, SCORE_SECONDS

_LATER = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_TRIES = 3
_LONGEST_PAUSE = 30.0  # seconds before another try


class Recordings:
    """Has recordings scored; use it as a context manager, or close it.

    Args:
        url: of the transformer.
        model: name of the model.
        seconds: how long an answer may take, once the recording is sent.
    """

    def __init__(
        self,
        url: str = f"http://127.0.0.1:{TRANSFORMER}",
        model: str = "toolwear",
        seconds: float = SCORE_BODY_SECONDS + SCORE_SECONDS,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/models/{model}:score"
        self._http = httpx.Client(timeout=seconds, trust_env=by_proxy(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def score(
        self,
        path: Path,
        settings: Mapping[str, float],
        rows: bool = False,
        recording: str | None = None,
    ) -> dict[str, Any]:
        """Return the verdict of a recording; its keys are those of docs/scoring.md.

        Args:
            path: CSV, Parquet or JSON lines, packed or not; it is never in memory as a whole.
            settings: feed rate in mm/s and clamp pressure in bar, by their names.
            rows: whether the answers to its rows are wanted, too, under "answers".
            recording: an id, which comes back in the verdict.

        Raises:
            RequestRefusedError: it can't be scored; the sentence says why.
            ServiceDownError: the service can't do it now.
            ServiceFailedError: it failed.
        """
        for _ in range(_TRIES - 1):
            try:
                return self._once(path, settings, rows, recording)
            except _BusyError as busy:
                time.sleep(busy.seconds)
        return self._once(path, settings, rows, recording)

    def _once(
        self, path: Path, settings: Mapping[str, float], rows: bool, recording: str | None
    ) -> dict[str, Any]:
        headers = {"content-type": "application/octet-stream"}
        if recording is not None:
            headers["x-recording-id"] = recording
        query: dict[str, float | str] = {**settings, **({"rows": "true"} if rows else {})}
        try:
            with path.open("rb") as content:
                response = self._http.post(
                    self._url, params=query, content=content, headers=headers
                )
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise ServiceDownError(f"{self._url} does not answer: {error}") from error
        status = response.status_code
        try:
            body = dict(response.json())
            sentence = "" if status == httpx.codes.OK else str(body["error"])
        except (ValueError, KeyError, TypeError):
            status = status if status != httpx.codes.OK else httpx.codes.BAD_GATEWAY
            sentence = f"The answer was {response.status_code} and none of the service's."
        if status == httpx.codes.OK:
            return body
        if status in _LATER:
            wait = response.headers.get("retry-after", "1")
            raise _BusyError(sentence, status, wait)
        if status < httpx.codes.INTERNAL_SERVER_ERROR:
            raise RequestRefusedError(sentence, status)
        raise ServiceFailedError(sentence, status)


class _BusyError(ServiceDownError):
    """The service says when to try again."""

    def __init__(self, sentence: str, status: int, wait: str) -> None:
        super().__init__(sentence, status)
        self.seconds = min(float(wait) if wait.isdigit() else 1.0, _LONGEST_PAUSE)
