"""Runs: past runs with cause, gate and outcome, and a run's graph, steps, logs and artifacts."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from serving.console import evidence, run_files
from serving.console.evidence import Run, Step
from serving.console.pages.actions import SEE_OTHER, ActionPages, Fields
from serving.console.pages.base import Console
from serving.console.pages.compare import figure_of
from serving.console.parts import PartDownError, RefusedError
from toolwear.common.files import TEXT_BYTES, see_regular
from toolwear.common.states import State
from toolwear.run.config import RunParameters

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


# Of these a new attempt may come to another end.
_MAY_BE_RETRIED = (State.FAILED, State.REFUSED, State.KILLED, State.CANCELLED)
# What a person has accepted were the recordings of that run: it is to be accepted anew.
_NOT_AGAIN = frozenset({"cause", "accept_runs"})
_NO_FOLDER = (
    "This run read no folder of recordings that could be read again; start a run on Operate and "
    "give it one."
)


class RunPages:
    """The routes of Runs.

    Args:
        console: what pages need.
        actions: knows who may change something.
    """

    def __init__(self, console: Console, actions: ActionPages) -> None:
        self._console = console
        self._actions = actions

    def runs(self, request: Request) -> Response:
        """Show the table of runs."""
        rows = [run.row() for run in evidence.runs(self._console.home)]
        return self._console.page(
            "runs.html.j2",
            rows=rows,
            figure=figure_of(request),
            left_out=evidence.left_out(self._console.home),
            at=self._console.parts.addresses,
        )

    def run(self, request: Request) -> Response:
        """Show one run."""
        return self._page(request, {})

    async def retry(self, request: Request) -> Response:
        """Ask for a run with the settings of one that did not succeed; what it had done is kept."""

        def again(fields: Fields) -> Response:
            run = self._asked(request)
            if run is None or run.state not in _MAY_BE_RETRIED:
                raise RefusedError("Only a run that has failed or was ended can be retried.", 409)
            known = set(RunParameters.model_fields) - _NOT_AGAIN
            asked = {name: value for name, value in run.arguments.items() if name in known}
            if not asked.get("data"):
                raise RefusedError(_NO_FOLDER, 409)
            detail = f"again after {run.name}: {fields.get('why', '')}"
            key = fields.get("key") or secrets.token_hex(16)
            found = self._console.parts.retrain(detail, asked, key, fields["by"])
            return RedirectResponse(f"/asked/{found}", SEE_OTHER)

        return await self._actions.done(request, again, self._page)

    def step(self, request: Request) -> Response:
        """Show what a step has printed, and the files that it has left."""
        run, name = self._asked(request), request.path_params["step"]
        if run is None or name not in {known for column in STEPS for known in column}:
            return self._console.page("missing.html.j2", 404)
        origin = evidence.origin(self._console.home, run, name) or run
        files, more = run_files.files_of(origin, name)
        return self._console.page(
            "step.html.j2",
            run=run,
            step=run.steps().get(name) or Step(name, "not reached"),
            origin=origin,
            log=run_files.log_of(origin, name),
            files=files,
            more=more,
            kfp_ui=self._console.parts.addresses.kfp_ui,
        )

    def file(self, request: Request) -> Response:
        """Give a file that a step has left, to be kept rather than shown."""
        run = self._asked(request)
        path = run_files.file_of(run, request.path_params["path"]) if run else None
        if path is None:
            return self._console.page("missing.html.j2", 404)
        # Named, so that it is not packed: most of it is packed already, and it may be large.
        headers = {"content-encoding": "identity"}
        return FileResponse(path, 200, headers, "application/octet-stream", filename=path.name)

    def _asked(self, request: Request) -> Run | None:
        return evidence.run(self._console.home, request.path_params["name"])

    def _page(
        self, request: Request, fields: Fields, fault: str = "", status: int = 200
    ) -> Response:
        run = self._asked(request)
        if run is None:  # a refusal stays one
            return self._console.page("missing.html.j2", status if fault else 404)
        steps, state = run.steps(), run.state
        asked, down = "", ""
        if state is State.RUNNING:
            try:
                asked = self._console.parts.request_of(run.name)
            except PartDownError as error:
                down = str(error)
        return self._console.page(
            "run.html.j2",
            status,
            run=run,
            row=run.row(),
            graph=_graph(run, steps),
            steps=_table(steps),
            summary=run.summary,
            arguments=run.arguments,
            at=self._console.parts.addresses,
            session=self._console.sessions.of(request),
            running=state is State.RUNNING,
            retry=state in _MAY_BE_RETRIED,
            asked=asked,
            down=down,
            fault=fault,
            why=fields.get("why", ""),
            key=secrets.token_hex(16),
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
