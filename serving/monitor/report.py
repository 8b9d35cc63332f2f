"""A window's report: one page that a person can look at, with nothing to load from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from serving.monitor import plots
from serving.monitor.kinds import Kind
from serving.monitor.state import Window
from serving.monitor.tally import LabelTally, QualityTally, RegimeTally
from serving.monitor.watch import Closed

_DPI = 100
_SHOWN = 30  # windows before this one


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_pages = _environment()


def page(closed: Closed, earlier: Sequence[Window]) -> str:
    """Return the report of a window as HTML.

    Args:
        closed: the window.
        earlier: windows of the same package before it, oldest first.
    """
    window, reference = closed.window, closed.judge.reference
    known = reference.regimes.get(closed.regime)
    return _pages.get_template("report.html.j2").render(
        window=window,
        what=_what(closed),
        same=_same(closed),
        runs=known.runs if known else (),
        is_labels=isinstance(closed.tally, LabelTally),
        pictures=[(title, _png(figure)) for title, figure in _pictures(closed, earlier)],
        kinds=list(window.verdicts.items()),
    )


def listing(windows: Sequence[Window], alarms: Sequence[str]) -> str:
    """Return the page that names all reports, the newest first."""
    return _pages.get_template("reports.html.j2").render(
        windows=list(reversed(windows)), alarms=alarms
    )


def _what(closed: Closed) -> str:
    rows, at = closed.tally.rows, closed.judge.at(closed.regime)
    if isinstance(closed.tally, RegimeTally):
        return f"{rows} rows in which the tool cuts{at and ','}{at}"
    if isinstance(closed.tally, LabelTally):
        return f"{rows} rows whose label became known"
    title = closed.judge.title
    return f"{rows} rows in which the tool cuts{title and f', at any {title}'}"


def _same(closed: Closed) -> str:
    title = closed.judge.title
    return f" of the same {title}" if title else ""


def _pictures(closed: Closed, earlier: Sequence[Window]) -> list[tuple[str, Figure]]:
    found = []
    tally, reference = closed.tally, closed.judge.reference
    if isinstance(tally, RegimeTally):
        known = reference.regimes.get(closed.regime)
        verdicts = closed.window.verdicts
        if known is not None and known.signals:
            found.append(
                (
                    f"Load signals: this window beside the training runs{_same(closed)}",
                    plots.signals(known, tally, verdicts[Kind.DATA]),
                )
            )
        beside = known or reference.largest
        found.append(("Confidence of the model", plots.sureness(beside, tally)))
        found.append(("Feature attributions", plots.leaning(beside, verdicts[Kind.ATTRIBUTION])))
    elif isinstance(tally, QualityTally) and tally.rows:
        found.append(("Range of every feature", plots.ranges(reference, tally)))
    # Windows of one kind of rows are judged for the same kinds.
    kinds = list(closed.window.verdicts)
    like = [*(window for window in earlier if kinds[0] in window.verdicts), closed.window]
    found.append(("The latest windows", plots.stories(like[-_SHOWN:], kinds)))
    return found


def _png(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode()


def _number(value: Any) -> str:
    return f"{value:.4g}"


_pages.filters["number"] = _number
