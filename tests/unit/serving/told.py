"""A hop to a predictor that says only what is in its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from serving.common.grpc_face import PACKAGE_PARAMETER, USE_PARAMETER, VERSION_PARAMETER
from serving.transformer.hop import Hop

Metadata = tuple[tuple[str, str | bytes], ...]
NAMED: Metadata = ((VERSION_PARAMETER, "3"), (PACKAGE_PARAMETER, "d" * 64), (USE_PARAMETER, "all"))


class Predictor(service.GRPCInferenceServiceServicer):
    """Says only what is in the metadata."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def ModelReady(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Be ready."""
        return pb.ModelReadyResponse(ready=True)

    def ModelMetadata(self, _request: Any, context: Any) -> Any:  # noqa: N802
        """Say it."""
        context.set_trailing_metadata(self._metadata)
        return pb.ModelMetadataResponse()


@contextmanager
def told_hop(metadata: Metadata) -> Iterator[Hop]:
    """Give a hop to a predictor with these metadata."""
    server = grpc.server(ThreadPoolExecutor(1))
    service.add_GRPCInferenceServiceServicer_to_server(Predictor(metadata), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = Hop(f"127.0.0.1:{port}", "toolwear", 5.0)
    try:
        yield made
    finally:
        made.close()
        server.stop(None).wait()
