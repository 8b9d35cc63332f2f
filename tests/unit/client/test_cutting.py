"""Rows in pieces have the features, bit for bit, that they have as a whole."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from serving.common.features import FeatureSpec
from tests.mill import INPUT_COLUMNS, WINDOW_COLUMNS, mill
from toolwear.client import RequestRefusedError, cutting
from toolwear.client.answers import History
from toolwear.client.cutting import Piece, cut, lines
from toolwear.dataset import schema
from toolwear.features.compute import compute

MILL = mill(("Z1_ActualPosition < 30.2",))
WINDOW = 50


def history(window: int = WINDOW) -> History:
    return History.of(FeatureSpec(schema.RESPONSE, window, MILL, "").history)


def recording() -> pd.DataFrame:
    """A long wait, cuts with short breaks, a pause longer than a request, and cuts again."""
    random = np.random.default_rng(7)
    cuts = [
        np.zeros(700, bool),
        random.random(900) < 0.9,
        np.zeros(650, bool),
        random.random(400) < 0.5,
    ]
    is_cut = np.concatenate(cuts)
    columns = dict.fromkeys((*INPUT_COLUMNS, "Z1_ActualPosition"))
    rows = pd.DataFrame({name: random.normal(size=len(is_cut)) for name in columns})
    rows["Z1_ActualPosition"] = np.where(is_cut, 20.0, 40.0)
    return rows


def features(pieces: list[Piece], window: int) -> np.ndarray:
    """Return what the service computes of the pieces' own rows."""
    found = []
    for piece in pieces:
        rows = pd.DataFrame(json.loads(piece.body)["instances"])
        values = compute(rows, window, MILL)[list(WINDOW_COLUMNS)].to_numpy()
        assert piece.ends_window == np.isfinite(values).any()
        found.append(values[len(piece.before) :])
    return np.concatenate(found)


@pytest.mark.parametrize("most_rows", [102, 137, 600])
def test_pieces_have_the_features_of_the_whole(most_rows: int) -> None:
    rows = recording()
    pieces = list(cut(lines(rows), history(), most_rows))
    assert all(len(piece.places) <= most_rows for piece in pieces)
    assert [line.place for piece in pieces for line in piece.own] == list(range(len(rows)))
    whole = compute(rows, WINDOW, MILL)[list(WINDOW_COLUMNS)].to_numpy()
    np.testing.assert_array_equal(features(pieces, WINDOW), whole)


def test_a_piece_keeps_to_the_bytes_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BODY_BYTES", 100_000)
    rows = recording()
    pieces = list(cut(lines(rows), history(), 1000))
    sizes = [len(piece.body) for piece in pieces]
    assert max(sizes) <= 100_000
    assert min(sizes[:-1]) > 95_000
    whole = compute(rows, WINDOW, MILL)[list(WINDOW_COLUMNS)].to_numpy()
    np.testing.assert_array_equal(features(pieces, WINDOW), whole)


def test_without_windows_nothing_is_sent_twice() -> None:
    rows = FeatureSpec(schema.PUBLISHED, WINDOW, MILL, "").history
    pieces = list(cut(lines(recording()), History.of(rows), 1000))
    assert [len(piece.own) for piece in pieces] == [1000, 1000, 650]
    assert not any(piece.before or not piece.ends_window for piece in pieces)


def test_what_is_no_row_is_refused_by_its_place() -> None:
    with pytest.raises(RequestRefusedError, match="Row 1 is no mapping"):
        list(lines([{"x": 1.0}, [2.0]]))  # type: ignore[list-item]
    with pytest.raises(RequestRefusedError, match="cannot be sent as JSON"):
        list(lines([{"x": float("nan")}]))


def test_windows_that_leave_no_room_are_refused() -> None:
    with pytest.raises(RequestRefusedError, match="needs 50 cutting rows before a row"):
        list(cut(lines(recording()[700:]), history(), WINDOW))
