"""Starts a server: one process, one event loop, HTTP and, if wanted, gRPC.

Written instead of KServe's `ModelServer`, which binds to every interface and whose worker
processes lose the model, the metrics and the predictor's address. More load: more replicas.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from kserve import Model, ModelRepository
from kserve.protocol.dataplane import DataPlane
from starlette.applications import Starlette

from serving.common import metrics
from serving.common.arguments import LOOPBACK
from serving.common.grpc_face import start_grpc
from serving.common.rest import application
from serving.common.written import Sent, Written
from serving.http.server import http_server
from toolwear.common.request_limits import GRACE_SECONDS

KEEP_ALIVE_SECONDS = 65  # longer than a proxy's, so that it is never the server that hangs up


@dataclass(frozen=True)
class Serving:
    """How to serve.

    Attributes:
        server: "predictor", "transformer" or "explainer".
        failures: status and sentence for exceptions that mean that another part is down.
        explains: whether there is `:explain`.
        written: further POST endpoints; see `application`.
        published: JSON documents by path; see `application`.
        described: returns the OpenAPI document.
        sent: further POST endpoints that take files; see `application`.
        around: entered in the event loop before the first request, left after the last.
    """

    server: str
    host: str = LOOPBACK
    http_port: int = 8080
    grpc_port: int | None = None
    access_log: bool = False
    failures: Mapping[type[Exception], tuple[int, str]] = field(default_factory=dict)
    explains: bool = False
    written: Mapping[str, Written] = field(default_factory=dict)
    published: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    described: Callable[[], dict[str, Any]] = dict
    sent: Mapping[str, Sent] = field(default_factory=dict)
    around: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


class ReadOnlyRepository(ModelRepository):
    """Models that are there from start to end."""

    def unload(self, name: str) -> None:
        """Keep the model."""


class KnownModels(DataPlane):
    """KServe's data plane, asking no model how it is before each request.

    A transformer would ask its predictor each time: twice the hops, and an answer that may be
    wrong a moment later.
    """

    async def get_model(self, name: str) -> Any:
        """Return a model.

        Raises:
            ModelNotFound: there is none of this name.
        """
        return self.get_model_from_registry(name)


def serve(models: Sequence[Model], serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("kserve", "kserve.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    metrics.prepare(serving.server)
    repository = ReadOnlyRepository()
    for model in models:
        repository.update(model)
    dataplane = KnownModels(model_registry=repository)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: the collector need not go through it each time
    http_server(
        application(
            dataplane,
            serving.server,
            _with_grpc(dataplane, serving),
            serving.failures,
            serving.explains,
            serving.written,
            serving.published,
            serving.described,
            serving.sent,
        ),
        serving.host,
        serving.http_port,
        access_log=serving.access_log,
        keep_alive_seconds=KEEP_ALIVE_SECONDS,
    ).run()


def _with_grpc(dataplane: DataPlane, serving: Serving):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with serving.around():
            if serving.grpc_port is None:
                yield
                return
            running = await start_grpc(
                dataplane, serving.server, serving.host, serving.grpc_port, serving.failures
            )
            yield
            await running.stop(GRACE_SECONDS)

    return lifespan
