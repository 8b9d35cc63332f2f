"""What can be asked of the service, step by step, whoever sends it: `Client` or `AsyncClient`.

Each question is a generator: it yields what is to be sent or waited for, is given the response, and
returns the answer. So there is one description of requests, answers, retries and faults.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from toolwear.client.answers import (
    Answer,
    Explanation,
    History,
    Metadata,
    Part,
    Prediction,
)
from toolwear.client.cutting import Piece, Row, Table, body_of, cut, lines, text_of, whole
from toolwear.client.errors import RequestRefusedError, ServiceDownError
from toolwear.client.sending import UNANSWERED, Pause, Send, Steps, answered, read
from toolwear.common.request_limits import SCORE_BODY_SECONDS, SCORE_SECONDS

_EXPLAIN_SECONDS = 65.0  # a little longer than the server gives its slowest method
_READY_SECONDS = 5.0  # for one answer
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Questions:
    """The questions to one service.

    Every one raises `RequestRefusedError` if the request is faulty, `ServiceDownError` if the
    service cannot answer now, and `ServiceFailedError` if it failed.

    Attributes:
        url: of the transformer.
        explainer_url: of the explainer.
        model: its name.
        of_labels: headers of those who may label.
        retries: how often a request is repeated that may be.
        most_rows: of one request.
    """

    url: str
    explainer_url: str
    model: str
    of_labels: Mapping[str, str]
    retries: int
    most_rows: int

    def predict_rows(
        self,
        rows: Sequence[Row] | Table,
        request_id: str | None = None,
        recording: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Answer]:
        """Ask about raw telemetry, in as many requests as it takes.

        Rows that are too many or too long for one request are cut. Each part begins with the rows
        before it that its windows need, so each row gets the answer that it would get if all rows
        were asked about at once.

        Args:
            rows: a DataFrame, or a sequence of mappings, of consecutive rows of one recording,
                each with every telemetry column and every setting.
            request_id: the caller's own id, kept beside the receipts' own.
            recording: id of the recording that they are of.
            idempotency_key: the same rows with the same key get the same answer, recorded once;
                by default a new one, so that repetitions of the client's own are recorded once.

        Raises:
            RequestRefusedError: also if the service does not say how to cut.
            ServiceDownError: also if a model with other windows was swapped in meanwhile.
        """
        source = lines(rows)
        first, over = whole(source, self.most_rows)
        named = {"x-request-id": request_id, "x-recording-id": recording}
        key = self._key(idempotency_key)
        if over is None:
            return (yield from self._rows(first, {**named, "idempotency-key": key}))
        known = yield from self.metadata()
        history = _history(known)
        predictions: list[Prediction] = []
        parts: list[Part] = []
        unasked: Piece | None = None
        for number, piece in enumerate(
            cut(chain(first.own, (over,), source), history, self.most_rows)
        ):
            if not piece.ends_window:
                unasked = piece
                predictions += [Prediction("not_sure", None, None, (history.reason,))] * len(
                    piece.own
                )
                continue
            headers = {**named, "idempotency-key": f"{key}-{number}" if key else None}
            answer = yield from self._piece(piece, headers)
            if answer.receipt.version != known.version:
                known = yield from self.metadata()
                if _history(known) != history:
                    raise ServiceDownError(
                        "A model with other windows was swapped in meanwhile; ask again."
                    )
            predictions += answer.predictions[len(piece.before) :]
            parts.append(Part(answer.receipt, piece.places))
        if not parts and unasked is not None:
            yield from self._piece(unasked, named)  # is refused, in the service's words
        return Answer(tuple(predictions), tuple(parts))

    def predict_run(
        self,
        run_id: str,
        timestamp: datetime | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Answer]:
        """Ask about the newest features of a run in the feature store.

        Args:
            run_id: key of the run.
            timestamp: as of when, with its zone; by default now.
            request_id: the caller's own id, kept beside the receipt's.
            idempotency_key: the same question with the same key gets the same answer, recorded
                once; by default a new one.
        """
        body = body_of([text_of(_run_row(run_id, timestamp))])
        given = {"x-request-id": request_id, "idempotency-key": self._key(idempotency_key)}
        return (yield from self._predict(body, given))

    def explain(
        self, /, instance: Row | str | None, method: str = "shap", seed: int = 0, **settings: Any
    ) -> Steps[Explanation]:
        """Ask why.

        Args:
            instance: a raw telemetry row, or the key of a run; None for the model as a whole.
            method: "shap", "lime", "anchor" or "ice" for one prediction; "pdp" or "surrogate"
                for the model as a whole.
            seed: the same question with the same seed gets the same answer.
            settings: further ones of the method.
        """
        body: dict[str, Any] = {"method": method, "seed": seed, **settings}
        if instance is not None:
            row = _run_row(instance, None) if isinstance(instance, str) else dict(instance)
            body["instances"] = [row]
        url = f"{self.explainer_url}/v1/models/{self.model}:explain"
        found = yield from answered(
            Send("POST", url, text_of(body), seconds=_EXPLAIN_SECONDS), self.retries
        )
        return read(lambda: Explanation(found["meta"], found["data"], found["quality"]))

    def score(
        self,
        path: Path,
        settings: Mapping[str, float],
        rows: bool = False,
        recording: str | None = None,
    ) -> Steps[dict[str, Any]]:
        """Ask for the verdict of a whole recording; its keys are those of docs/scoring.md.

        Args:
            path: CSV, Parquet or JSON lines, packed or not; it is never in memory as a whole.
            settings: their values by name, in the units of the data set.
            rows: whether the answers to its rows are wanted, too, under "answers".
            recording: an id, which comes back in the verdict.

        Raises:
            OSError: the file can't be read.
        """
        query = {**settings, **({"rows": "true"} if rows else {})}
        url = str(httpx.URL(f"{self.url}/v1/models/{self.model}:score", params=query))
        named = {} if recording is None else {"x-recording-id": recording}
        send = Send("POST", url, path, named, SCORE_BODY_SECONDS + SCORE_SECONDS)
        return (yield from answered(send, self.retries))

    def label(self, of: Answer | str, worn: Sequence[bool], source: str = "client") -> Steps[int]:
        """Say what rows really were; return how many rows of receipts were labelled.

        It is not repeated by itself: the service does not tell a repetition from a second label.

        Args:
            of: an answer, whose rows they are, or the id of one receipt.
            worn: for each of its rows.
            source: a word that says who knows.
        """
        given = list(worn)
        if isinstance(of, Answer) and len(given) != len(of.predictions):
            raise RequestRefusedError(
                f"These are {len(given)} labels for {len(of.predictions)} rows; give one a row."
            )
        labelled = (
            {of: given}
            if isinstance(of, str)
            else {part.receipt.id: [given[place] for place in part.rows] for part in of.parts}
        )
        rows = 0
        for receipt, values in labelled.items():
            body = text_of({"receipt": receipt, "worn": values, "source": source})
            send = Send("POST", f"{self.url}/v1/labels", body, self.of_labels)
            rows += (yield from answered(send, 0))["rows"]
        return rows

    def metadata(self) -> Steps[Metadata]:
        """Return what the V2 protocol takes and gives, and which rows before a row are needed."""
        url = f"{self.url}/v2/models/{self.model}"
        found = yield from answered(Send("GET", url), self.retries)
        return read(lambda: Metadata.of(found))

    def ready(self, seconds: float = 0.0) -> Steps[bool]:
        """Tell whether predictions are answered.

        Args:
            seconds: how long to wait until they are.
        """
        url = f"{self.url}/v2/models/{self.model}/ready"
        deadline = time.monotonic() + seconds
        while True:
            try:
                response = yield Send("GET", url, seconds=_READY_SECONDS)
                if response is not None and response.status_code == httpx.codes.OK:
                    return True
            except UNANSWERED:
                pass
            if time.monotonic() >= deadline:
                return False
            yield Pause(_POLL_SECONDS)

    def _key(self, given: str | None) -> str | None:
        """Return the caller's key, or a new one if the request may be repeated."""
        return given or (uuid.uuid4().hex if self.retries else None)

    def _piece(self, piece: Piece, headers: Mapping[str, str | None]) -> Steps[Answer]:
        try:
            return (yield from self._rows(piece, headers))
        except RequestRefusedError as error:
            places = piece.places
            raise RequestRefusedError(
                f"{error.sentence} (Row 0 of this request is row {places[0]}, its last is row "
                f"{places[-1]}.)",
                error.status,
                error.retry_after,
            ) from error

    def _rows(self, piece: Piece, given: Mapping[str, str | None]) -> Steps[Answer]:
        return (yield from self._predict(piece.body, given, piece.rows))

    def _predict(
        self, body: bytes, given: Mapping[str, str | None], rows: Sequence[Row] | None = None
    ) -> Steps[Answer]:
        headers = {name: value for name, value in given.items() if value is not None}
        url = f"{self.url}/v1/models/{self.model}:predict"
        found = yield from answered(Send("POST", url, body, headers, rows=rows), self.retries)
        return read(lambda: Answer.of(found))


def _history(known: Metadata) -> History:
    if known.history is None:
        raise RequestRefusedError(
            "These are more rows than one request may have, and the service does not say which "
            "rows before a row its windows need; send fewer at a time.",
            httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        )
    return known.history


def _run_row(run_id: str, timestamp: datetime | None) -> dict[str, Any]:
    return {"run_id": run_id} | ({"timestamp": timestamp.isoformat()} if timestamp else {})
