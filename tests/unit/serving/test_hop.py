"""What the transformer learns of the predictor's model."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from serving.common.features import FeatureSpec, packed
from serving.common.grpc_face import (
    PACKAGE_PARAMETER,
    SPEC_PARAMETER,
    USE_PARAMETER,
    VERSION_PARAMETER,
)
from serving.common.outages import PredictorDownError
from serving.transformer.hop import Hop
from tests.mill import MILL

Metadata = tuple[tuple[str, str | bytes], ...]
NAMED: Metadata = ((VERSION_PARAMETER, "3"), (PACKAGE_PARAMETER, "d" * 64), (USE_PARAMETER, "all"))


class Predictor(service.GRPCInferenceServiceServicer):
    """Says only what is in the metadata."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def ModelMetadata(self, _request: Any, context: Any) -> Any:  # noqa: N802
        context.set_trailing_metadata(self._metadata)
        return pb.ModelMetadataResponse()


@contextmanager
def hop(metadata: Metadata) -> Iterator[Hop]:
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


def description(signals: int) -> dict[str, Any]:
    """Return what a package says of features, with further signals that pack badly."""
    contract = MILL.model_dump(mode="json")
    for number in range(signals):
        title = sha256(str(number).encode()).hexdigest()
        contract["signals"].append({"name": f"more_{number}", "title": title})
    return {
        "feature_set": "published",
        "window": 50,
        "dataset": contract,
        "inputs": [{"name": name, "dtype": "float64"} for name in MILL.features.levels],
    }


@pytest.mark.parametrize("more", [0, 1000])
def test_a_contract_of_many_signals_arrives(more: int) -> None:
    about = description(more)
    sent = packed(about)
    assert len(sent) > 40 * more
    with hop((*NAMED, (SPEC_PARAMETER, sent))) as asked:
        found = asked.serves()
    assert found.spec == FeatureSpec.of_package(about)
    assert len(found.spec.dataset.signals) == len(MILL.signals) + more


@pytest.mark.parametrize(
    "said",
    [
        pytest.param((), id="nothing"),
        pytest.param(((SPEC_PARAMETER, b"no zlib"),), id="no zlib"),
        pytest.param(
            ((SPEC_PARAMETER, packed({**description(0), "dataset": {}})),), id="no contract"
        ),
    ],
)
def test_a_predictor_that_does_not_say_what_it_needs_is_down(said: Metadata) -> None:
    with (
        hop((*NAMED, *said)) as asked,
        pytest.raises(PredictorDownError, match="does not say which features its model needs"),
    ):
        asked.serves()
