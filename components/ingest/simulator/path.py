"""Where the tool goes: from home into the wax, along the contour layer by layer, and home again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from components.core import schema
from components.ingest.simulator.design import Run

HOME = np.array([198.0, 158.0, 119.0])  # mm
_RAPID = 50.0  # mm/s
RAPID_FEED = 50.0  # what the control shows outside a cut
_LIFT = 35.0  # mm, height between layers
_LAYER_HEIGHTS = (29.5, 28.5, 27.5)  # mm
_ABORTED_SHARE = 0.4  # of the first layer
# Contour of one layer, mm, read off the first real run.
_CONTOUR = np.array(
    [
        (151, 73), (141, 73), (141, 77), (148, 74.5), (158, 75.7), (159, 86), (156.5, 89.5),
        (146, 89.5), (142, 91.3), (141, 101), (143, 105), (153.7, 105), (159, 105), (162, 103),
        (160, 100), (157, 103), (147, 102.6), (144, 99), (145, 94), (148, 91.6), (159, 91.6),
        (162, 84), (162, 73), (147, 72.4), (142, 73.6), (141.5, 77), (151, 73),
    ]
)  # fmt: skip
_LINES_PER_LAYER = 42


@dataclass(frozen=True)
class Segment:
    """A stretch of the path in time order.

    `position` and `velocity` have the shape (rows, 3), in mm and mm/s.
    """

    phase: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    feed: np.ndarray
    sequence: np.ndarray
    spinning: bool


def segments(run: Run, passes: int, offset: float) -> Iterator[Segment]:
    """Yield the stretches of a run, each at most one layer long.

    Args:
        run: what is cut.
        passes: how often the layers are cut.
        offset: mm by which the tool is set too high.
    """
    yield _rest("Prep", 12, HOME, 0.0, spinning=False)
    start = np.array([*_CONTOUR[0], _LIFT])
    yield _rapid("Prep", HOME, start, 4.0, spinning=True)
    heights = [height + offset for height in _LAYER_HEIGHTS]
    total = 1 if not run.finalized else len(heights) * passes
    for layer in range(total):
        index = layer % len(heights)
        share = 1.0 if run.finalized else _ABORTED_SHARE
        line = 14.0 + _LINES_PER_LAYER * index
        yield _cut(run.feed, index + 1, heights[index], share, line)
        last = heights[index]
        end = np.array([*_CONTOUR[-1], last])
        lifted = np.array([*_CONTOUR[0], _LIFT])
        yield _rapid("Repositioning", end, lifted, line + _LINES_PER_LAYER - 1, spinning=True)
    yield _rapid("End", start, HOME, 132.0, spinning=False)
    yield _rest("End", run.idle_rows, HOME, 132.0, spinning=False)


def _cut(feed: float, layer: int, height: float, share: float, line: float) -> Segment:
    lengths = np.hypot(*np.diff(_CONTOUR, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    spline = CubicSpline(along, _CONTOUR)
    step = feed * schema.SAMPLE_PERIOD_SECONDS
    s = np.arange(0.0, along[-1] * share, step)
    xy = spline(s)
    tangent = spline(s, 1)
    velocity = feed * tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    done = s / along[-1]
    half = np.where(done < 0.55, f"Layer {layer} Up", f"Layer {layer} Down")
    return Segment(
        phase=half,
        position=np.column_stack([xy, np.full(len(s), height)]),
        velocity=np.column_stack([velocity, np.zeros(len(s))]),
        feed=np.full(len(s), feed),
        sequence=np.floor(line + done * (_LINES_PER_LAYER - 2)),
        spinning=True,
    )


def _rapid(
    phase: str, start: np.ndarray, end: np.ndarray, line: float, *, spinning: bool
) -> Segment:
    distance = float(np.linalg.norm(end - start))
    rows = max(int(distance / (_RAPID * schema.SAMPLE_PERIOD_SECONDS)), 2)
    t = np.linspace(0.0, 1.0, rows)[:, None]
    velocity = np.repeat((end - start)[None, :] / distance * _RAPID, rows, axis=0)
    return Segment(
        phase=np.full(rows, phase),
        position=start + t * (end - start),
        velocity=velocity,
        feed=np.full(rows, RAPID_FEED),
        sequence=np.full(rows, line),
        spinning=spinning,
    )


def _rest(phase: str, rows: int, where: np.ndarray, line: float, *, spinning: bool) -> Segment:
    return Segment(
        phase=np.full(rows, phase),
        position=np.repeat(where[None, :], rows, axis=0),
        velocity=np.zeros((rows, 3)),
        feed=np.full(rows, RAPID_FEED),
        sequence=np.full(rows, line),
        spinning=spinning,
    )
