"""Small SVG charts, drawn on the server. Colours come from the page's style sheet by class.

No `style` attribute is written: the content security policy would not let it count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from toolwear.dataset.schema import UNWORN, WORN
from toolwear.model.abstention import NOT_SURE

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 34
_POINTS = 700  # of a line: more than the pixels that show them
_CLASS = {WORN: "worn", UNWORN: "unworn", NOT_SURE: "unsure"}


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart.

    Attributes:
        name: for the legend.
        x: ascending, (n,).
        y: (n,); NaN leaves a gap.
        style: class of the colour.
        low, high: band around it, (n,), if there is one.
        dots: whether every value is marked.
        joined: whether values are joined, and low and high make a band; else they make bars.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "c0"
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    dots: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Scale:
    """From a value to a place on the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Return round values within the scale."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / count
        size = 10.0 ** np.floor(np.log10(rough))
        step = float(next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough))
        first = np.ceil(self.low / step - 1e-9) * step
        return [float(v) for v in np.arange(first, self.high + step * 1e-6, step)]


@dataclass(frozen=True)
class Box:
    """The axes of a chart: its size and what it shows."""

    title: str
    x_label: str
    y_label: str
    width: int = 720
    height: int = 180
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    whole: bool = False  # x are whole numbers


def lines(box: Box, drawn: Sequence[Line], marks: Sequence[tuple[float, str]] = ()) -> Markup:
    """Return a line chart; `marks` are horizontal lines with their names."""
    x_range = box.x_range or _range([line.x for line in drawn])
    y_range = box.y_range or _range(
        [v for line in drawn for v in (line.y, line.low, line.high) if v is not None], 0.05
    )
    x = Scale(*x_range, _LEFT, box.width - _RIGHT)
    y = Scale(*y_range, box.height - _BOTTOM, _TOP)
    parts = [_axes(box, x, y)]
    for value, name in marks:
        parts.append(
            f'<line class="mark" x1="{_LEFT}" x2="{box.width - _RIGHT}" '
            f'y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="small" x="{box.width - _RIGHT}" y="{y(value) - 3:.1f}" '
            f'text-anchor="end">{escape(name)}</text>'
        )
    for line in drawn:
        if line.joined:
            parts.append(_band(line, x, y))
            parts.append(f'<path class="line {line.style}" d="{_path(line.x, line.y, x, y)}"/>')
        else:
            parts.append(f'<path class="line {line.style} bars" d="{_bars(line, x, y)}"/>')
        if line.dots:
            dots = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in zip(line.x, line.y, strict=True))
            parts.append(f'<path class="line {line.style} dots" d="{dots}"/>')
    return picture(box, "".join(parts))


def verdicts(seconds: np.ndarray, answers: np.ndarray, title: str) -> Markup:
    """Return the strip of verdicts along a run: one lane each, so that colour is not needed."""
    box = Box(title, "", "", height=70)
    x = Scale(0.0, float(seconds[-1]) or 1.0, _LEFT, box.width - _RIGHT)
    parts = []
    for lane, (answer, style) in enumerate(_CLASS.items()):
        top = 4 + lane * 22
        parts.append(
            f'<rect class="lane" x="{_LEFT}" y="{top}" width="{box.width - _LEFT - _RIGHT}" '
            f'height="18"/><text class="tick" x="{_LEFT - 6}" y="{top + 13}" '
            f'text-anchor="end">{escape(answer)}</text>'
        )
        path = "".join(
            f"M{x(seconds[first]):.1f} {top}H{x(seconds[last]) + 0.6:.1f}V{top + 18}"
            f"H{x(seconds[first]):.1f}Z"
            for said, first, last in stretches(answers)
            if said == answer
        )
        parts.append(f'<path class="area {style}" d="{path}"/>')
    return picture(box, "".join(parts))


def stretches(answers: np.ndarray) -> list[tuple[str, int, int]]:
    """Return runs of equal answers: the answer, its first row and its last."""
    ends = np.flatnonzero(answers[1:] != answers[:-1])
    firsts = np.concatenate(([0], ends + 1))
    lasts = np.concatenate((ends, [len(answers) - 1]))
    return [
        (str(answers[first]), int(first), int(last))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def histogram(title: str, edges: np.ndarray, shares: Sequence[tuple[str, np.ndarray]]) -> Markup:
    """Return overlaid histograms.

    Args:
        title: the column.
        edges: of the bins, (bins + 1,).
        shares: class of the colour and share of the rows in each bin, (bins,).
    """
    box = Box(title, "", "", width=240, height=120)
    most = max((float(values.max()) for _, values in shares), default=1.0) or 1.0
    x = Scale(float(edges[0]), float(edges[-1]), 8, box.width - 8)
    y = Scale(0.0, most, box.height - 20, 6)
    base = f"{y(0):.1f}"
    parts = []
    for style, values in shares:
        steps = "".join(
            f"H{x(left):.1f}V{y(value):.1f}H{x(right):.1f}"
            for left, right, value in zip(edges[:-1], edges[1:], values, strict=True)
        )
        parts.append(f'<path class="hist {style}" d="M{x(edges[0]):.1f} {base}{steps}V{base}"/>')
    for value, anchor in ((edges[0], "start"), (edges[-1], "end")):
        parts.append(
            f'<text class="tick" x="{x(value):.1f}" y="{box.height - 5}" '
            f'text-anchor="{anchor}">{number(value)}</text>'
        )
    return picture(box, "".join(parts))


def bars(
    title: str, items: Sequence[tuple[str, float, float]], unit: str, limit: float | None = None
) -> Markup:
    """Return horizontal bars around zero, each a name, a value and its standard error."""
    box = Box(title, unit, "", width=460, height=22 * len(items) + 40)
    most = limit or max((abs(value) + error for _, value, error in items), default=1.0) or 1.0
    x = Scale(-most, most, 180, box.width - 12)
    bottom = 22 * len(items) + 4
    parts = [f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="2" y2="{bottom}"/>']
    for place, (name, value, error) in enumerate(items):
        top = 22 * place + 5
        left, right = sorted((x(0), x(value)))
        parts.append(
            f'<text class="tick" x="172" y="{top + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="area {"worn" if value > 0 else "unworn"}" x="{left:.1f}" y="{top}" '
            f'width="{right - left:.1f}" height="15"/>'
        )
        if error:
            parts.append(
                f'<line class="axis" x1="{x(value - error):.1f}" x2="{x(value + error):.1f}" '
                f'y1="{top + 7.5}" y2="{top + 7.5}"/>'
            )
    parts += [
        f'<text class="tick" x="{x(value):.1f}" y="{bottom + 14}" '
        f'text-anchor="{"end" if value == most else "middle"}">{number(value)}</text>'
        for value in (-most, 0.0, most)
    ]
    parts.append(
        f'<text class="small" x="{x(0):.1f}" y="{bottom + 29}" text-anchor="middle">'
        f"{escape(unit)}</text>"
    )
    return picture(box, "".join(parts))


def heatmap(title: str, names: Sequence[str], values: np.ndarray) -> Markup:
    """Return a square of correlations, -1 to 1, with the names at its left."""
    cell, left = 11, 150
    box = Box(title, "", "", width=left + cell * len(names) + 4, height=cell * len(names) + 4)
    parts = []
    for i, name in enumerate(names):
        top = i * cell + 2
        parts.append(
            f'<text class="cellname" x="{left - 4}" y="{top + 9}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
        for j in range(len(names)):
            value = float(values[i, j])
            parts.append(
                f'<rect class="area {"worn" if value > 0 else "unworn"}" '
                f'x="{left + j * cell}" y="{top}" width="{cell - 1}" height="{cell - 1}" '
                f'fill-opacity="{abs(value):.2f}"/>'
            )
    return picture(box, "".join(parts))


def number(value: float) -> str:
    """Return a number for a tick: few digits, no exponent where none is needed."""
    if value == 0 or not np.isfinite(value):
        return "0" if value == 0 else "n/a"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return f"{value:.1e}"


def _axes(box: Box, x: Scale, y: Scale) -> str:
    right, bottom = box.width - _RIGHT, box.height - _BOTTOM
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(value):.1f}" '
        f'y2="{y(value):.1f}"/><text class="tick" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" '
        f'text-anchor="end">{number(value)}</text>'
        for value in y.ticks(max(2, (box.height - 40) // 40))
    ]
    parts += [
        f'<text class="tick" x="{x(value):.1f}" y="{bottom + 14}" text-anchor="middle">'
        f"{number(value)}</text>"
        for value in x.ticks(max(2, box.width // 110))
        if not box.whole or value.is_integer()
    ]
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        f'<text class="small" x="{right}" y="{box.height - 4}" text-anchor="end">'
        f"{escape(box.x_label)}</text>"
        f'<text class="small" x="12" y="{(bottom + _TOP) / 2:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {(bottom + _TOP) / 2:.0f})">{escape(box.y_label)}</text>'
    )
    return "".join(parts)


def _bars(line: Line, x: Scale, y: Scale) -> str:
    if line.low is None or line.high is None:
        return ""
    ends = zip(line.x, line.low, line.high, strict=True)
    return "".join(f"M{x(at):.1f} {y(low):.1f}V{y(high):.1f}" for at, low, high in ends)


def _band(line: Line, x: Scale, y: Scale) -> str:
    if line.low is None or line.high is None:
        return ""
    there = [(x(a), y(b)) for a, b in zip(line.x, line.high, strict=True)]
    back = [(x(a), y(b)) for a, b in zip(line.x, line.low, strict=True)][::-1]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in there + back)
    return f'<polygon class="band {line.style}" points="{points}"/>'


def _path(xs: np.ndarray, ys: np.ndarray, x: Scale, y: Scale) -> str:
    kept = _thinned(ys)
    drawn, move = [], "M"
    for a, b in zip(xs[kept], ys[kept], strict=True):
        if not np.isfinite(b):
            move = "M"
            continue
        dot = "h0" if move == "M" else ""  # so that a value between two gaps is seen
        drawn.append(f"{move}{x(a):.1f} {y(b):.1f}{dot}")
        move = "L"
    return "".join(drawn)


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return places of at most about _POINTS values that keep every peak: the extremes of bins."""
    if len(values) <= _POINTS:
        return np.arange(len(values))
    bins = np.array_split(np.arange(len(values)), _POINTS // 2)
    full = np.nan_to_num(values)
    return np.unique([b[f(full[b])] for b in bins for f in (np.argmin, np.argmax)])


def _range(arrays: Sequence[np.ndarray], margin: float = 0.0) -> tuple[float, float]:
    finite = [a[np.isfinite(a)] for a in arrays]
    finite = [a for a in finite if len(a)]
    if not finite:
        return 0.0, 1.0
    low, high = min(float(a.min()) for a in finite), max(float(a.max()) for a in finite)
    if low == high:
        pad = abs(low) * 0.1 or 1.0
        return low - pad, high + pad
    pad = (high - low) * margin
    return low - pad, high + pad


def picture(box: Box, inside: str) -> Markup:
    """Return a picture of what was drawn; its texts have been escaped."""
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {box.width} {box.height}" role="img" '
        f'aria-label="{escape(box.title)}" data-width="{box.width}">{inside}</svg>'
    )
