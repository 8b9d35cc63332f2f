"""The transformer of a model that another machine's recordings have taught."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from serving.common.features import FeatureSource, packed
from serving.common.grpc_face import SPEC_PARAMETER
from serving.common.refusal import Refusal
from serving.common.rows import RawRows
from serving.payload.log import PayloadLog
from serving.transformer.hop import Hop
from serving.transformer.model import Transformer
from serving.transformer.scoring import Scoring
from tests.lathe import LATHE
from tests.mill import MILL
from tests.unit.serving.told import NAMED, told_hop
from toolwear.dataset.contract import DataSet
from toolwear.scoring.logic import Scorer
from toolwear.workspace.home import Home

ROW = {"load": 1.0, "speed": 2.0, "state": "cut"}


def said(dataset: DataSet, feature_set: str) -> tuple[tuple[str, str | bytes], ...]:
    description: dict[str, Any] = {
        "feature_set": feature_set,
        "window": 2,
        "dataset": dataset.model_dump(mode="json"),
    }
    return (*NAMED, (SPEC_PARAMETER, packed(description)))


def transformer(home: Path, hop: Hop) -> Transformer:
    return Transformer("toolwear", hop, FeatureSource(home), PayloadLog(home), home)


async def test_the_first_row_is_held_against_the_model_in_service(tmp_path: Path) -> None:
    with told_hop(said(LATHE, "published")) as hop:
        asked = transformer(tmp_path, hop)
        query = await asked.preprocess({"instances": [ROW]})
    assert isinstance(query.rows, RawRows)
    assert query.rows.columns.dataset == LATHE


async def test_what_is_ready_knows_its_columns(tmp_path: Path) -> None:
    with told_hop(said(LATHE, "published")) as hop:
        asked = transformer(tmp_path, hop)
        assert asked.raw.dataset == MILL
        assert await asked.healthy()
    assert asked.raw.dataset == LATHE


async def test_a_faulty_row_is_refused_by_the_model_in_service(tmp_path: Path) -> None:
    with told_hop(said(LATHE, "published")) as hop:
        asked = transformer(tmp_path, hop)
        with pytest.raises(Refusal, match='lacks the column "speed"'):
            await asked.preprocess({"instances": [{"load": 1.0, "state": "cut"}]})


async def test_a_faulty_row_is_refused_where_no_model_is(tmp_path: Path) -> None:
    with told_hop(()) as hop:
        asked = transformer(tmp_path, hop)
        with pytest.raises(Refusal, match='the unknown column "load"'):
            await asked.preprocess({"instances": [ROW]})


def test_a_model_fits_what_has_its_columns_and_settings() -> None:
    model = SimpleNamespace(features=("load",), judge=None)
    assert Scorer(model, 2, LATHE).fits(LATHE)
    assert not Scorer(model, 2, LATHE).fits(MILL)


async def test_a_recording_is_read_as_of_the_model_where_nothing_was_trained(
    tmp_path: Path,
) -> None:
    with told_hop(said(LATHE, "published")) as hop:
        scoring = Scoring(hop, "toolwear", Home(tmp_path), 1 << 20)
        request = Request(
            {"type": "http", "method": "POST", "headers": [], "query_string": b"feedrate=6"}
        )
        with pytest.raises(Refusal, match="'feedrate=6'"):
            await scoring.take(request)
        scoring.close()
