"""The gRPC face of a server: KServe's V2 service, bound where it is told to, errors as statuses."""

from __future__ import annotations

import logging
from typing import Any

import grpc
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.common import metrics
from serving.common.grpc_edge import OPTIONS, GrpcEdge, status_of
from serving.common.refusal import Refusal

FEATURES_PARAMETER = "features"  # of requests and metadata: which features the rows hold
VERSION_PARAMETER = "version"  # of metadata: in the registry
PACKAGE_PARAMETER, USE_PARAMETER = "package", "use"  # of metadata: its digest, and what it is for
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
WATCHED = frozenset({"ServerLive", "ServerReady", "ModelReady"})
NO_SUCH_MODEL = "There is no model of this name here."
_log = logging.getLogger("toolwear.serving")


class GrpcFace(InferenceServicer):
    """KServe's service without the calls that would change which models are loaded."""

    def __init__(self, dataplane: DataPlane, server: str) -> None:
        super().__init__(dataplane, ModelRepositoryExtension(dataplane.model_registry))
        self._server = server

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
                )
            )
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer an inference request; faulty ones get INVALID_ARGUMENT and one sentence."""
        try:
            response = await super().ModelInfer(request, context)
        except (Refusal, InvalidInput) as error:
            kind = error.kind if isinstance(error, Refusal) else "request"
            metrics.REFUSALS.labels(self._server, kind).inc()
            code, sentence = status_of(kind), error.reason
        except ModelNotFound:
            code, sentence = grpc.StatusCode.NOT_FOUND, NO_SUCH_MODEL
        except Exception as error:  # noqa: BLE001 - the last resort: an answer for everything
            metrics.FAILURES.labels(self._server).inc()
            _log.error("request failed", exc_info=error)
            code, sentence = grpc.StatusCode.INTERNAL, "The server failed; its log says why."
        else:
            metrics.REQUESTS.labels(self._server, "grpc_infer", "OK").inc()
            return response
        metrics.REQUESTS.labels(self._server, "grpc_infer", code.name).inc()
        return await context.abort(code, sentence)  # raises


async def start_grpc(dataplane: DataPlane, server: str, host: str, port: int) -> grpc.aio.Server:
    """Start to serve and return the server.

    Raises:
        RuntimeError: the port is taken.
    """
    running = grpc.aio.server(options=OPTIONS)
    edge = GrpcEdge(server, WATCHED)
    running.add_registered_method_handlers(
        SERVICE.full_name, edge.handlers(SERVICE, GrpcFace(dataplane, server))
    )
    running.add_insecure_port(f"{host}:{port}")
    await running.start()
    return running


async def _fixed(context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "The served model cannot be changed.")
