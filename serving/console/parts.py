"""The other parts of the system, asked over HTTP: what they answer, or that they are down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from serving.common.endpoints import IDEMPOTENCY_KEY
from serving.common.features import FeatureSpec
from serving.common.grpc_face import FEATURES_PARAMETER
from toolwear.common.request_limits import ROWS
from toolwear.explain.methods.subject import Envelope
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT

_ANSWER_SECONDS = 10.0
_BAD_TOKEN = 401  # the trigger has another token than we: no fault of the person's
_EXPLAIN_SECONDS = 65.0  # a little longer than the explainer gives its slowest method
_MOVE_SECONDS = 60.0
_PROMETHEUS = "Prometheus"
_STATE_SECONDS = 1.0  # for what a page shows beside its content


class PartDownError(Exception):
    """A part of the system does not answer; its text is a sentence for the page.

    Attributes:
        stopped: nothing listens at its address, so it was not started or has ended.
    """

    def __init__(self, sentence: str, *, stopped: bool = False) -> None:
        super().__init__(sentence)
        self.stopped = stopped


class State(StrEnum):
    """What a model server says of itself."""

    UP = "up"
    NOT_READY = "not ready"  # it answers, and waits for another server or for its model
    DOWN = "down"


class RefusedError(Exception):
    """A part answers that it will not; its text is a sentence for the page.

    Attributes:
        status: of the answer.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Addresses:
    """Where the parts answer, and the model's name in their paths.

    Attributes:
        front: divides the traffic of a rollout; empty where something else does.
        mlflow_ui: where a browser finds MLflow; empty if it is not to be linked.
        kfp_ui: the same of Kubeflow Pipelines.
    """

    model: str
    predictor: str
    explainer: str
    transformer: str
    prometheus: str
    trigger: str
    monitor: str
    front: str = ""
    mlflow_ui: str = ""
    kfp_ui: str = ""


@dataclass(frozen=True)
class ServedModel:
    """The model that answers now.

    Attributes:
        version: its number in the registry.
        digest: names its package.
        use: what it may be used for.
        spec: what it has to be given.
        features: names of its columns.
    """

    version: str
    digest: str
    use: str
    spec: FeatureSpec
    features: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the served model says of rows.

    Attributes:
        model: the package's digest that answered.
        worn: P(worn), float64 (rows,).
        answers: one of ANSWERS for each row, str (rows,).
        reasons: why it is not sure, empty where it is.
    """

    model: str
    worn: np.ndarray
    answers: np.ndarray
    reasons: tuple[str, ...]


class Parts:
    """The clients of one console; every method raises `PartDownError` if the part is down.

    Args:
        addresses: of the parts.
        token: returns the operator's, for what the trigger does for nobody else.
    """

    def __init__(self, addresses: Addresses, token: Callable[[], str]) -> None:
        self.addresses = addresses
        self._token = token
        self._http = httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def served(self) -> ServedModel:
        """Ask the predictor which model it serves."""
        url = f"{self.addresses.predictor}/v2/models/{self.addresses.model}"
        metadata = self._call("predictor", "GET", url, timeout=_STATE_SECONDS)
        about = metadata["parameters"]
        return ServedModel(
            version=str(metadata["versions"][0]),
            digest=str(about["sha256"]),
            use=str(about["use"]),
            spec=FeatureSpec.of_package(about),
            features=tuple(about["features"]),
        )

    def verdicts(self, served: ServedModel, rows: np.ndarray) -> Verdicts:
        """Ask the predictor about feature rows.

        The predictor rather than the transformer: the console's requests are not logged as
        traffic, and an uploaded file must not be kept in the payload log.

        Args:
            served: what `served` returned; another model in between is noticed and refused.
            rows: float64 (rows, features), finite, in the order of `served.features`.
        """
        url = f"{self.addresses.predictor}/v2/models/{self.addresses.model}/infer"
        worn, answers, reasons, model = [], [], [], ""
        for start in range(0, len(rows), ROWS):
            chunk = rows[start : start + ROWS]
            body = {
                "parameters": {FEATURES_PARAMETER: served.spec.token},
                "inputs": [
                    {
                        "name": INPUT,
                        "datatype": "FP64",
                        "shape": list(chunk.shape),
                        "data": chunk.ravel().tolist(),
                    }
                ],
            }
            answer = self._call("predictor", "POST", url, json=body)
            outputs = {item["name"]: item for item in answer["outputs"]}
            probabilities = np.array(outputs[PROBABILITY_OUTPUT]["data"]).reshape(len(chunk), -1)
            worn.append(probabilities[:, 1])
            answers += outputs["answer"]["data"]
            reasons += outputs["reason"]["data"]
            model = str(answer["parameters"]["package_digest"])
        return Verdicts(model, np.concatenate(worn), np.array(answers), tuple(reasons))

    def explain(self, method: str, row: np.ndarray | None) -> Envelope:
        """Ask the explainer; `row` is (features,), None for the model as a whole."""
        body: dict[str, Any] = {"method": method, "seed": 0}
        if row is not None:
            body["instances"] = [row.tolist()]
        url = f"{self.addresses.explainer}/v1/models/{self.addresses.model}:explain"
        found = self._call("explainer", "POST", url, json=body, timeout=_EXPLAIN_SECONDS)
        return Envelope(meta=found["meta"], data=found["data"], quality=found["quality"])

    def state(self, part: str) -> State:
        """Ask a model server whether it is there, and then whether it can answer."""
        url = getattr(self.addresses, part)
        try:
            self._http.get(f"{url}/v2/health/live", timeout=_STATE_SECONDS)
        except httpx.TransportError:
            return State.DOWN
        try:
            ready = self._http.get(
                f"{url}/v2/models/{self.addresses.model}/ready", timeout=_STATE_SECONDS
            )
        except httpx.TransportError:  # it asks a server that hangs
            return State.NOT_READY
        return State.UP if ready.status_code == httpx.codes.OK else State.NOT_READY

    def alerts(self) -> list[dict[str, Any]]:
        """Return Prometheus's pending and firing alerts."""
        found = self._prometheus("/api/v1/alerts", {})
        alerts: list[dict[str, Any]] = found["alerts"]
        return alerts

    def series(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a range query, each with `metric` and `values`."""
        parameters = {"query": query, "start": start, "end": end, "step": step}
        found: list[dict[str, Any]] = self._prometheus("/api/v1/query_range", parameters)["result"]
        return found

    def drift(self) -> dict[str, Any]:
        """Return the monitor's state."""
        url = f"{self.addresses.monitor}/v1/state"
        return self._call("monitor", "GET", url, timeout=_STATE_SECONDS)

    def drift_report(self, window: str) -> str | None:
        """Return the page about a window, None if there is none (any more)."""
        url = f"{self.addresses.monitor}/reports/{quote(window, safe='')}"
        try:
            response = self._http.get(url)
        except httpx.TransportError as error:
            raise self._down("monitor", url, error) from error
        return response.text if response.is_success else None

    def rollout(self) -> dict[str, Any]:
        """Return the front's rollout: its stage, its weights, what was seen and compared."""
        url = f"{self.addresses.front}/rollout"
        return self._call("front", "GET", url, timeout=_STATE_SECONDS)

    def requests(self) -> dict[str, Any]:
        """Return the retrain requests as `runs`, the newest first; `notes`: what is waited for."""
        return self._trigger("GET", "/runs")

    def request(self, key: str) -> dict[str, Any]:
        """Return one retrain request with its run's steps.

        Raises:
            RefusedError: there is none.
        """
        return self._trigger("GET", f"/runs/{quote(key, safe='')}")

    def request_of(self, name: str) -> str:
        """Return the id of the newest retrain request that started a run, "" if none did."""
        for request in self.requests()["runs"]:
            if any(attempt["name"] == name for attempt in request["attempts"]):
                return str(request["id"])
        return ""

    def approvals(self) -> dict[str, Any]:
        """Return the `approvals`, the newest first, the trigger's newest `move`, and `differs`.

        The last is the sentence that says how registry and servers differ, empty if they agree.
        """
        return self._trigger("GET", "/approvals")

    def run_defaults(self) -> dict[str, Any]:
        """Return the settings that a run has which is given none of its own."""
        found: dict[str, Any] = self._trigger("GET", "/retrain")["parameters"]
        return found

    def cancel(self, key: str, why: str, by: str) -> None:
        """Cancel a retrain request, whether it waits or runs, in a person's name.

        Raises:
            RefusedError: the trigger says why not.
        """
        self._trigger("POST", f"/runs/{quote(key, safe='')}/cancel", {"why": why, "by": by})

    def retrain(self, detail: str, parameters: Mapping[str, Any], key: str, by: str) -> str:
        """Ask for a run with settings of its own, in a person's name; return the request's id.

        Asked twice with one key, it is one request.

        Raises:
            RefusedError: the trigger says why not.
        """
        body = {"detail": detail, "parameters": dict(parameters), "by": by}
        return str(self._trigger("POST", "/retrain", body, {IDEMPOTENCY_KEY: key})["id"])

    def decide(self, key: str, decision: str, why: str, by: str) -> dict[str, Any]:
        """Approve or refuse what is held, in a person's name; return the move.

        Raises:
            RefusedError: the trigger says why not.
        """
        body = {"decision": decision, "why": why, "by": by}
        return self._trigger("POST", f"/approvals/{quote(key, safe='')}", body)

    def roll_back(self, why: str, by: str) -> dict[str, Any]:
        """Roll back the last release, in a person's name; return the move.

        Raises:
            RefusedError: the trigger says why not.
        """
        return self._trigger("POST", "/rollback", {"why": why, "by": by})

    def _trigger(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        # The first move loads the registry's client, which takes seconds.
        timeout = _STATE_SECONDS if method == "GET" else _MOVE_SECONDS
        own = {"authorization": f"Bearer {self._token()}"} if method != "GET" else {}
        url = f"{self.addresses.trigger}{path}"
        more: dict[str, Any] = {"headers": {**own, **(headers or {})}, "timeout": timeout}
        if body is not None:
            more["json"] = body
        return self._call("trigger", method, url, **more)

    def _prometheus(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.addresses.prometheus}{path}"
        answer = self._call(_PROMETHEUS, "GET", url, params=parameters, timeout=5.0)
        data: dict[str, Any] = answer["data"]
        return data

    def _call(self, part: str, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, url, **more)
        except httpx.TransportError as error:
            raise self._down(part, url, error) from error
        try:
            body: dict[str, Any] = response.json()
        except ValueError:
            body = {}
        if not response.is_success:
            said = str(body.get("error", f"status {response.status_code}"))
            if (
                part == "trigger"
                and response.is_client_error
                and response.status_code != _BAD_TOKEN
            ):
                raise RefusedError(said, response.status_code)
            name = part if part == _PROMETHEUS else f"The {part}"
            raise PartDownError(f"{name} could not answer: {said.rstrip(' .')}.")
        return body

    @staticmethod
    def _down(part: str, url: str, error: httpx.TransportError) -> PartDownError:
        where = httpx.URL(url).netloc.decode()
        stopped = isinstance(error, httpx.ConnectError)
        if part == _PROMETHEUS and stopped:
            sentence = f"Not monitored: no Prometheus at {where}; start `make watch`."
            return PartDownError(sentence, stopped=True)
        name = part if part == _PROMETHEUS else f"The {part}"
        return PartDownError(f"{name} does not answer at {where}.", stopped=stopped)
