"""What the transformer learns of the predictor's model."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from serving.common.features import FeatureSpec, packed
from serving.common.grpc_face import SPEC_PARAMETER
from serving.common.outages import PredictorDownError
from tests.mill import MILL
from tests.unit.serving.told import NAMED, Metadata, told_hop


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
    with told_hop((*NAMED, (SPEC_PARAMETER, sent))) as asked:
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
        told_hop((*NAMED, *said)) as asked,
        pytest.raises(PredictorDownError, match="does not say which features its model needs"),
    ):
        asked.serves()
