"""Runs: past runs with cause, gate and outcome, and the graph of a run with its steps' states."""

from __future__ import annotations

import itertools
from typing import Any

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from serving.console import evidence
from serving.console.evidence import Run, Step
from serving.console.pages.base import Console
from toolwear.common.files import TEXT_BYTES, see_regular

# The graph as pipelines/training.py wires it, in columns of what can run at the same time.
STEPS = (
    ("ingest",),
    ("validate",),
    ("features",),
    ("guard",),
    ("split",),
    ("train", "automl"),
    ("evaluate", "explain"),
    ("decide",),
    ("register",),
    ("serve_check",),
    ("deploy",),
    ("promote", "decline"),
    ("report",),
    ("finish",),
)
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 124, 40, 20, 16
_ACROSS = 7  # columns in a row of the picture


class RunPages:
    """The routes of Runs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def runs(self, _request: Request) -> Response:
        """Show the table of runs."""
        rows = [run.row() for run in evidence.runs(self._console.home)]
        return self._console.page(
            "runs.html.j2",
            rows=rows,
            left_out=evidence.left_out(self._console.home),
            at=self._console.parts.addresses,
        )

    def run(self, request: Request) -> Response:
        """Show one run."""
        run = evidence.run(self._console.home, request.path_params["name"])
        if run is None:
            return self._console.page("missing.html.j2", 404)
        steps = run.steps()
        return self._console.page(
            "run.html.j2",
            run=run,
            row=run.row(),
            graph=_graph(run, steps),
            steps=_table(steps),
            summary=run.summary,
            arguments=run.arguments,
            at=self._console.parts.addresses,
        )

    def report(self, request: Request) -> Response:
        """Give a run's own page."""
        run = evidence.run(self._console.home, request.path_params["name"])
        if run is None or run.page is None:
            return self._console.page("missing.html.j2", 404)
        return FileResponse(see_regular(run.page, TEXT_BYTES))


def _table(steps: dict[str, Step]) -> list[Step]:
    known = [name for column in STEPS for name in column]
    others = [name for name in steps if name not in known]
    return [steps[name] for name in (*known, *others) if name in steps]


def _graph(run: Run, steps: dict[str, Step]) -> Markup:
    """Return the picture of the graph; the table beside it says the same in words."""
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(STEPS):
        row, across = divmod(number, _ACROSS)
        left = 4 + across * (_WIDTH + _GAP_X)
        for level, name in enumerate(column):
            shift = level - (len(column) - 1) / 2
            middle = 50 + row * 120
            places[name] = (left, middle + shift * (_HEIGHT + _GAP_Y) - _HEIGHT / 2)
    parts: list[str] = []
    for column, following in itertools.pairwise(STEPS):
        parts += [_edge(places[a], places[b]) for a in column for b in following]
    parts += [_node(steps.get(name), name, *places[name]) for name in places]
    width = _ACROSS * (_WIDTH + _GAP_X)
    return Markup(  # noqa: S704 - names were escaped, the rest are numbers
        f'<svg class="chart" viewBox="0 0 {width} 230" role="img" data-width="{width}" '
        f'aria-label="The steps of run {escape(run.name)} and their states">{"".join(parts)}</svg>'
    )


def _edge(one: tuple[float, float], other: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = one, other
    if x2 < x1:  # to the next row of the picture
        start, end = x1 + _WIDTH / 2, x2 + _WIDTH / 2
        half = (y1 + _HEIGHT + y2) / 2
        path = f"M{start} {y1 + _HEIGHT}V{half}H{end}V{y2}"
    else:
        path = f"M{x1 + _WIDTH} {y1 + _HEIGHT / 2}L{x2} {y2 + _HEIGHT / 2}"
    return f'<path class="edge" d="{path}"/>'


def _node(step: Step | None, name: str, x: float, y: float) -> str:
    state = step.state if step else "not reached"
    took = f"{step.seconds:.1f} s" if step and step.seconds else ""
    said: Any = escape(f"{state} {took}".strip())
    return (
        f'<rect class="node {state.replace(" ", "-")}" x="{x}" y="{y}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="6"/><text class="node" x="{x + _WIDTH / 2}" y="{y + 17}" '
        f'text-anchor="middle">{escape(name)}</text><text class="tick" x="{x + _WIDTH / 2}" '
        f'y="{y + 32}" text-anchor="middle">{said}</text>'
    )
