"""The HTTP face of a server: KServe's protocols, an explicit list of endpoints, strict bodies.

KServe's own application would also offer to unload the model to anybody, takes bodies of any
size, answers 500 to many faulty requests and tells the caller about its insides. This one uses
KServe's data plane and models behind routes of its own; what is not listed here does not exist.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import orjson
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.model import InferenceVerb
from kserve.protocol.dataplane import DataPlane
from prometheus_client import REGISTRY, exposition
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.common import docs_page, metrics, openapi, wire
from serving.common.body import json_object, read_body
from serving.common.endpoints import not_there
from serving.common.refusal import Refusal, other_version
from serving.common.written import Sent, Written

_V2 = "/v2/models/{model:model}"
_V2_VERSION = f"{_V2}/versions/{{version}}"
LENGTH_HEADER = "inference-header-content-length"
Handler = Callable[[Request], Awaitable[Response]]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

_log = logging.getLogger("toolwear.serving")


def application(
    dataplane: DataPlane,
    server: str,
    lifespan: Lifespan | None = None,
    failures: Mapping[type[Exception], tuple[int, str]] | None = None,
    explains: bool = False,
    written: Mapping[str, Written] | None = None,
    published: Mapping[str, dict[str, Any]] | None = None,
    described: Callable[[], dict[str, Any]] = dict,
    sent: Mapping[str, Sent] | None = None,
) -> Starlette:
    """Return the application.

    Args:
        dataplane: holds the models.
        server: "predictor", "transformer" or "explainer": label of the metrics.
        lifespan: what else starts and ends with the application.
        failures: status and sentence for exceptions that mean that another part is down.
        explains: whether there is `:explain`.
        written: by path, further POST endpoints, for those with a token.
        published: by path, JSON documents that anybody may read.
        described: returns the OpenAPI document; asked each time, as a swapped-in model may take
            other features.
        sent: by path, with `{model:model}` in it, further POST endpoints that take files.
    """
    rest = _Rest(dataplane, server, failures or {}, explains)
    routes = [
        rest.post("/v1/models/{model:model}:predict", "v1_predict", rest.v1_predict),
        rest.post("/v1/models/{model:model}:explain", "v1_explain", rest.v1_explain),
        rest.get("/v1/models/{model:model}", "ready", rest.v1_ready),
        rest.post(f"{_V2}/infer", "v2_infer", rest.v2_infer),
        rest.get(f"{_V2}/ready", "ready", rest.model_ready),
        rest.get(_V2, "metadata", rest.model_metadata),
        rest.post(f"{_V2_VERSION}/infer", "v2_infer", rest.v2_infer),
        rest.get(f"{_V2_VERSION}/ready", "ready", rest.model_ready),
        rest.get(_V2_VERSION, "metadata", rest.model_metadata),
        rest.get("/v1/models", "metadata", rest.models),
        rest.get("/v2/models", "metadata", rest.models),
        rest.get("/v2", "metadata", rest.server_metadata),
        rest.get("/v2/health/ready", "ready", rest.ready),
        rest.get("/v2/health/live", "live", rest.live),
        rest.get("/", "live", rest.alive),
        Route("/metrics", _metrics, methods=["GET"]),
        *(rest.written(path, about) for path, about in (written or {}).items()),
        *(rest.sent(path, about) for path, about in (sent or {}).items()),
        *(rest.published(path, partial(dict, value)) for path, value in (published or {}).items()),
        rest.published(openapi.PATH, described),
        rest.get(docs_page.PATH, "docs", rest.docs(described)),
    ]
    app = Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={HTTPException: rest.not_there}
    )
    app.router.redirect_slashes = False  # a path that is not listed does not exist
    return app


class _Rest:
    """The endpoints over one data plane."""

    def __init__(
        self,
        dataplane: DataPlane,
        server: str,
        failures: Mapping[type[Exception], tuple[int, str]],
        explains: bool,
    ) -> None:
        self._dataplane = dataplane
        self._server = server
        self._failures = failures
        self._explains = explains

    def get(self, path: str, endpoint: str, handler: Handler) -> Route:
        """Return a counted GET route."""
        return Route(path, self._counted(endpoint, handler), methods=["GET"])

    def post(self, path: str, endpoint: str, handler: Handler) -> Route:
        """Return a counted POST route."""
        return Route(path, self._counted(endpoint, handler), methods=["POST"])

    def _counted(self, endpoint: str, handler: Handler) -> Handler:
        ok = metrics.REQUESTS.labels(self._server, endpoint, "200")

        async def counted(request: Request) -> Response:
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - the last resort: an answer for everything
                response = self._answer_to(error)
            if response.status_code == 200:
                ok.inc()
            else:
                status = str(response.status_code)
                metrics.REQUESTS.labels(self._server, endpoint, status).inc()
            return response

        return counted

    def _answer_to(self, error: Exception) -> Response:
        if isinstance(error, Refusal):
            metrics.REFUSALS.labels(self._server, error.kind).inc()
            return _json({"error": error.reason}, error.status, error.headers)
        if isinstance(error, ModelNotFound):
            return _json({"error": "There is no model of this name here."}, 404)
        if isinstance(error, ModelNotReady):
            return _json({"error": "The model is not ready yet; try again."}, 503)
        metrics.FAILURES.labels(self._server).inc()
        for kind, (status, sentence) in self._failures.items():
            if isinstance(error, kind):
                _log.warning("%s: %s", sentence, error)
                return _json({"error": sentence}, status)
        # What went wrong is for our log, not for the caller.
        _log.error("request failed", exc_info=error)
        return _json({"error": "The server failed at this request; its log says why."}, 500)

    async def not_there(self, request: Request, error: Exception) -> Response:
        """Answer and count what the router refuses."""
        response = await not_there(request, error)
        metrics.REQUESTS.labels(self._server, "other", str(response.status_code)).inc()
        return response

    async def v1_predict(self, request: Request) -> Response:
        """Answer `{"instances": [[...], ...]}`."""
        result, headers = await self._v1(request, self._dataplane.infer)
        return _json(result, headers=headers)

    async def v1_explain(self, request: Request) -> Response:
        """Explain `{"instances": [[...], ...]}`, if this server can."""
        if not self._explains:
            raise Refusal("request", "This server does not explain; ask the explainer.", 501)
        result, headers = await self._v1(request, self._explain)
        return _json(result, headers=headers)

    async def _explain(
        self, model: str, payload: dict[str, Any], headers: dict[str, str]
    ) -> tuple[Any, dict[str, str]]:
        # Past KServe's data plane, which returns the request's headers, tokens included, as those
        # of the response.
        explainer = await self._dataplane.get_model(model)
        return await explainer(payload, headers, InferenceVerb.EXPLAIN)

    async def _v1(
        self, request: Request, work: Callable[..., Awaitable[tuple[Any, dict[str, str]]]]
    ) -> tuple[Any, dict[str, str]]:
        model = await self._model(request)
        payload = json_object(await read_body(request))
        return await work(model, payload, headers=dict(request.headers))

    def written(self, path: str, about: Written) -> Route:
        """Return a counted POST route for those with a token; others' bodies are not read."""

        async def handler(request: Request) -> Response:
            token = about.gate.enter(request, about.may)
            return _json(await about.work(json_object(await read_body(request)), token.name))

        return self.post(path, about.name, handler)

    def sent(self, path: str, about: Sent) -> Route:
        """Return a counted POST route whose body is a file."""

        async def handler(request: Request) -> Response:
            await self._model(request)
            answer, headers = await about.work(request)
            return _json(answer, headers=headers)

        return self.post(path, about.name, handler)

    def published(self, path: str, value: Callable[[], Any]) -> Route:
        """Return a counted GET route to a JSON document."""

        async def handler(_request: Request) -> Response:
            return _json(value())

        return self.get(path, "published", handler)

    def docs(self, described: Callable[[], dict[str, Any]]) -> Handler:
        """Return the handler of the page that shows the OpenAPI document."""

        async def handler(_request: Request) -> Response:
            return docs_page.response(described())

        return handler

    async def v2_infer(self, request: Request) -> Response:
        """Answer an Open Inference request, JSON or with binary tensors."""
        model = await self._model(request)
        length = request.headers.get(LENGTH_HEADER)
        body = await read_body(request, v2=True, binary=length is not None)
        query = wire.v2_request(body, length, model, request.path_params.get("version"))
        result, headers = await self._dataplane.infer(model, query, headers=dict(request.headers))
        content, json_length = wire.v2_body(query, result)
        if json_length is None:
            return Response(content, media_type="application/json", headers=headers)
        headers[LENGTH_HEADER] = json_length
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def _model(self, request: Request) -> str:
        name: str = request.path_params["model"]
        # Not the data plane's `model_ready`: a transformer would ask its predictor each time.
        if not self._dataplane.get_model_from_registry(name).ready:
            raise ModelNotReady(name)
        return name

    async def model_ready(self, request: Request) -> Response:
        """Tell whether the model answers; the one endpoint for readiness probes."""
        name = request.path_params["model"]
        if not await self._dataplane.model_ready(name):
            raise ModelNotReady(name)
        await self._check_version(request)
        return _json({"name": name, "ready": True})

    async def _check_version(self, request: Request) -> None:
        """Refuse a path with another version than the one in service."""
        wanted = request.path_params.get("version")
        if wanted is not None:
            model = self._dataplane.get_model_from_registry(request.path_params["model"])
            served = await model.served_version()
            if wanted != served:
                raise other_version(wanted, served)

    async def v1_ready(self, request: Request) -> Response:
        """Tell the same in V1's words (True as a string there in old versions)."""
        return await self.model_ready(request)

    async def ready(self, _request: Request) -> Response:
        """Tell whether every model answers. KServe's own says yes even without any model."""
        for name in self._dataplane.model_registry.get_models():
            if not await self._dataplane.model_ready(name):
                raise ModelNotReady(name)
        return _json({"ready": True})

    async def model_metadata(self, request: Request) -> Response:
        """Name and type the tensors, and say which model this is."""
        name = request.path_params["model"]
        metadata = await self._dataplane.model_metadata(name)
        await self._check_version(request)
        model = self._dataplane.get_model_from_registry(name)
        return _json({**metadata, **await model.metadata()})

    async def models(self, _request: Request) -> Response:
        """List the models."""
        return _json({"models": list(self._dataplane.model_registry.get_models())})

    async def server_metadata(self, _request: Request) -> Response:
        """Name the server and the protocol's extensions."""
        known = self._dataplane.metadata()
        return _json({**known, "extensions": ["binary_tensor_data"]})

    async def live(self, _request: Request) -> Response:
        """Tell that the process answers."""
        return _json({"live": True})

    async def alive(self, _request: Request) -> Response:
        """Tell the same in V1's words."""
        return _json({"status": "alive"})


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, headers, media_type="application/json")


async def _metrics(request: Request) -> Response:
    encoder, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(REGISTRY), headers={"content-type": content_type})
