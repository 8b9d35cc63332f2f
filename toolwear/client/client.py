"""The client: `Client().predict_run("07").predictions[0].verdict`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import httpx

from toolwear.client.answers import Answer, Explanation, Metadata
from toolwear.client.errors import RequestRefusedError, ServiceDownError, ServiceFailedError
from toolwear.common.loopback import by_proxy
from toolwear.common.ports import EXPLAINER, TRANSFORMER
from toolwear.common.request_limits import ROWS
from toolwear.workspace.tokens import VARIABLES, Scope

_HOST = "http://127.0.0.1"
_LATER = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
)
Row = Mapping[str, float | str]


class Table(Protocol):
    """A pandas DataFrame, as far as it is needed; so the client does without pandas."""

    def to_dict(self, _orient: Literal["records"], /) -> list[dict[Any, Any]]:
        """Return its rows."""


_EXPLAIN_SECONDS = 65.0  # a little longer than the server gives its slowest method


class Client:
    """Talks to the service; use it as a context manager, or close it.

    Every call raises `RequestRefusedError` if the request is faulty, `ServiceDownError` if the
    service cannot answer now, and `ServiceFailedError` if it failed.

    Args:
        url: of the transformer.
        explainer_url: of the explainer; on a cluster both are behind one address.
        model: name of the model.
        seconds: how long an answer may take.
        headers: for every request.
        label_token: for labels; by default $TOOLWEAR_LABEL_TOKEN.
    """

    def __init__(
        self,
        url: str = f"{_HOST}:{TRANSFORMER}",
        explainer_url: str = f"{_HOST}:{EXPLAINER}",
        model: str = "toolwear",
        seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
        label_token: str = "",
    ) -> None:
        self._url = url.rstrip("/")
        self._explainer_url = explainer_url.rstrip("/")
        self._model = model
        token = label_token or os.environ.get(VARIABLES[Scope.LABEL], "")
        self._of_labels = {"authorization": f"Bearer {token.strip()}"} if token else {}
        self._http = httpx.Client(
            timeout=seconds,
            headers=dict(headers or {}),
            trust_env=by_proxy(url) or by_proxy(explainer_url),
        )

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

    def predict_rows(
        self,
        rows: Sequence[Row] | Table,
        request_id: str | None = None,
        recording: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Ask about raw telemetry.

        Args:
            rows: a DataFrame, or a sequence of mappings, of at most 1000 consecutive rows of one
                recording, each with every telemetry column, the feed rate and the clamp pressure.
            request_id: the caller's own id, kept beside the receipt's.
            recording: id of the recording that they are of.
            idempotency_key: the same rows with the same key get the same answer, recorded once.

        Raises:
            RequestRefusedError: also for rows that are too many for one request. They are not
                cut: a model with windows needs the rows before a row too, and each row belongs
                to one record.
        """
        given = {
            "x-request-id": request_id,
            "x-recording-id": recording,
            "idempotency-key": idempotency_key,
        }
        return self._predict(_instances(rows), given)

    def predict_run(
        self,
        run_id: str,
        timestamp: datetime | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Ask about the newest features of a run in the feature store.

        Args:
            run_id: key of the run.
            timestamp: as of when, with its zone; by default now.
            request_id: the caller's own id, kept beside the receipt's.
            idempotency_key: the same question with the same key gets the same answer.
        """
        given = {"x-request-id": request_id, "idempotency-key": idempotency_key}
        return self._predict([_key(run_id, timestamp)], given)

    def explain(
        self, instance: Row | str | None, method: str = "shap", seed: int = 0, **settings: Any
    ) -> Explanation:
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
            row = _key(instance, None) if isinstance(instance, str) else dict(instance)
            body["instances"] = [row]
        found = self._call(
            "POST",
            f"{self._explainer_url}/v1/models/{self._model}:explain",
            json=body,
            timeout=_EXPLAIN_SECONDS,
        )
        return Explanation(found["meta"], found["data"], found["quality"])

    def label(self, receipt_id: str, worn: Sequence[bool], source: str = "client") -> int:
        """Say what the rows of an answer really were; return their number.

        Args:
            receipt_id: of the answer's receipt.
            worn: for each of its rows.
            source: a word that says who knows.
        """
        body = {"receipt": receipt_id, "worn": list(worn), "source": source}
        url = f"{self._url}/v1/labels"
        return int(self._call("POST", url, json=body, headers=self._of_labels)["rows"])

    def metadata(self) -> Metadata:
        """Return the names, types and shapes of what the V2 protocol takes and gives."""
        return Metadata.of(self._call("GET", f"{self._url}/v2/models/{self._model}"))

    def _predict(self, instances: list[dict[str, Any]], given: Mapping[str, str | None]) -> Answer:
        headers = {name: value for name, value in given.items() if value is not None}
        body = self._call(
            "POST",
            f"{self._url}/v1/models/{self._model}:predict",
            json={"instances": instances},
            headers=headers,
        )
        return Answer.of(body)

    def _call(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, url, **more)
        except httpx.TransportError as error:
            raise ServiceDownError(f"{url} does not answer: {error}") from error
        except (TypeError, ValueError) as error:  # what JSON has no form for, such as NaN
            raise RequestRefusedError(f"The request cannot be sent as JSON: {error}.") from error
        if response.status_code == httpx.codes.OK:
            body: dict[str, Any] = response.json()
            return body
        sentence, status = _sentence(response), response.status_code
        if status in _LATER:
            raise ServiceDownError(sentence, status)
        if status < httpx.codes.INTERNAL_SERVER_ERROR:
            raise RequestRefusedError(sentence, status)
        raise ServiceFailedError(sentence, status)


def _instances(rows: Sequence[Row] | Table) -> list[dict[str, Any]]:
    found = rows if isinstance(rows, Sequence) else rows.to_dict("records")
    if len(found) > ROWS:
        raise RequestRefusedError(
            f"These are {len(found)} rows; send at most {ROWS} at a time, and with each part the "
            "rows before it that its windows need.",
            httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        )
    return [dict(row) for row in found]


def _key(run_id: str, timestamp: datetime | None) -> dict[str, Any]:
    return {"run_id": run_id} | ({"timestamp": timestamp.isoformat()} if timestamp else {})


def _sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"The answer was {response.status_code} {response.reason_phrase}."
