"""The gRPC face of a server: KServe's V2 service, bound where it is told to, errors as statuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import grpc
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.common import metrics
from serving.common.grpc_edge import OPTIONS, GrpcEdge, behind, status_of
from serving.common.refusal import Refusal

FEATURES_PARAMETER = "features"  # of requests and metadata: which features the rows hold
VERSION_PARAMETER = "version"  # of metadata: in the registry
SPEC_PARAMETER = "features-spec-bin"  # of metadata: what makes those features, packed
PACKAGE_PARAMETER, USE_PARAMETER = "package", "use"  # of metadata: its digest, and what it is for
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
WATCHED = frozenset({"ServerLive", "ServerReady", "ModelReady"})
NO_SUCH_MODEL = "There is no model of this name here."
_log = logging.getLogger("toolwear.serving")


class GrpcFace(InferenceServicer):
    """KServe's service without the calls that would change which models are loaded.

    Args:
        dataplane: of the models.
        server: its name in the metrics.
        failures: HTTP's status and a sentence for exceptions that mean that another part is down.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        server: str,
        failures: Mapping[type[Exception], tuple[int, str]],
    ) -> None:
        super().__init__(dataplane, ModelRepositoryExtension(dataplane.model_registry))
        self._server = server
        self._failures = failures

    async def RepositoryModelLoad(self, _request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse."""
        await _fixed(context)

    async def RepositoryModelUnload(self, _request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse."""
        await _fixed(context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Name and type the tensors; KServe's message has no room for more, the metadata have."""
        try:
            response = await super().ModelMetadata(request, context)
        except ModelNotFound:
            return await context.abort(grpc.StatusCode.NOT_FOUND, NO_SUCH_MODEL)
        model = self._data_plane.get_model_from_registry(request.name)
        features = getattr(model, "features_token", None)
        if features is not None:
            about = await model.metadata()
            context.set_trailing_metadata(
                (
                    (FEATURES_PARAMETER, features),
                    (VERSION_PARAMETER, *about["versions"]),
                    (PACKAGE_PARAMETER, about["parameters"]["sha256"]),
                    (USE_PARAMETER, about["parameters"]["use"]),
                    (SPEC_PARAMETER, model.features_packed),
                )
            )
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer an inference request; faulty ones get INVALID_ARGUMENT and one sentence."""
        try:
            response = await super().ModelInfer(request, context)
        except Refusal as error:
            metrics.REFUSALS.labels(self._server, error.kind).inc()
            end = status_of(error.kind), error.reason, behind(error.status, error.headers)
        except InvalidInput as error:
            metrics.REFUSALS.labels(self._server, "request").inc()
            end = status_of("request"), error.reason, behind(400)
        except ModelNotFound:
            end = grpc.StatusCode.NOT_FOUND, NO_SUCH_MODEL, behind(404)
        except Exception as error:  # noqa: BLE001 - the last resort: an answer for everything
            end = self._failed(error)
        else:
            self._count(grpc.StatusCode.OK)
            return response
        self._count(end[0])
        return await context.abort(*end)  # raises

    def _failed(self, error: Exception) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
        metrics.FAILURES.labels(self._server).inc()
        for kind, (status, sentence) in self._failures.items():
            if isinstance(error, kind):
                _log.warning("%s: %s", sentence, error)
                code = "DEADLINE_EXCEEDED" if status == 504 else "UNAVAILABLE"
                return grpc.StatusCode[code], sentence, behind(status)
        _log.error("request failed", exc_info=error)
        return grpc.StatusCode.INTERNAL, "The server failed; its log says why.", behind(500)

    def _count(self, code: grpc.StatusCode) -> None:
        metrics.REQUESTS.labels(self._server, "grpc_infer", code.name).inc()


async def start_grpc(
    dataplane: DataPlane,
    server: str,
    host: str,
    port: int,
    failures: Mapping[type[Exception], tuple[int, str]],
) -> grpc.aio.Server:
    """Start to serve and return the server; see `GrpcFace`.

    Raises:
        RuntimeError: the port is taken.
    """
    running = grpc.aio.server(options=OPTIONS)
    edge = GrpcEdge(server, WATCHED)
    running.add_registered_method_handlers(
        SERVICE.full_name, edge.handlers(SERVICE, GrpcFace(dataplane, server, failures))
    )
    running.add_insecure_port(f"{host}:{port}")
    await running.start()
    return running


async def _fixed(context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "The served model cannot be changed.")
