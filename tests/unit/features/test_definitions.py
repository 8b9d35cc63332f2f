"""The features that a contract asks for."""

from __future__ import annotations

from tests.mill import MILL
from toolwear.features.definitions import definitions


def test_the_features_of_a_contract_are_made_once() -> None:
    assert definitions(MILL) is definitions(MILL)


def test_another_contract_has_features_of_its_own() -> None:
    levels = MILL.features.levels[:1]
    other = MILL.model_copy(
        update={"features": MILL.features.model_copy(update={"levels": levels})}
    )
    assert definitions(MILL).level_columns == MILL.features.levels
    assert definitions(other).level_columns == levels
