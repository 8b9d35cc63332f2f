"""Runs side by side, and one figure over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from serving.console import curves, evidence, svg
from serving.console.evidence import Run
from serving.console.pages.base import Console
from toolwear.common import words
from toolwear.dataset import schema
from toolwear.run.comparison import FIGURES, Figure, text

_MOST = 8  # runs in one table
# Colour and dashes of the lines: no two runs have both in common, and neighbours have neither.
_STYLES = tuple(f"c{n % 4} d{(n + n // 4) % 4}" for n in range(_MOST))
_FEW = "Choose two or more runs."
# A digest says that something differs, and its first digits say so as well.
_DIGESTS = {"commit": 10, "data_digest": 12, "graph_digest": 12}


@dataclass(frozen=True)
class _Drawn:
    """What the curves of a run's auto-sklearn model are drawn from; see `curves.Held`."""

    held: tuple[np.ndarray, np.ndarray, Mapping[str, Any] | None]
    search: Mapping[str, Any]


class ComparePages:
    """The routes of several runs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def compare(self, request: Request) -> Response:
        """Show the chosen runs in one table: decision, figures, and what they were asked."""
        chosen = self._chosen(request)
        if isinstance(chosen, str):
            return self._console.page("compare.html.j2", 400, fault=chosen, names=[], groups=[])
        names = [run.name for run in chosen]
        part = "/parts/compared?" + urlencode([("run", name) for name in names])
        return self._console.page(
            "compare.html.j2", fault="", names=names, groups=_groups(chosen), curves=part
        )

    def compared(self, request: Request) -> Response:
        """Show the curves of the chosen runs, one over the other."""
        chosen = self._chosen(request)
        if isinstance(chosen, str):
            return self._console.page("fault.html.j2", sentence=chosen)
        drawn = [
            (run.name, style, found)
            for run, style in zip(chosen, _STYLES, strict=False)
            if (found := self._console.kept.get(("compared", run.name), partial(self._of, run)))
        ]
        held = [curves.Held(name, style, *found.held) for name, style, found in drawn]
        searched = [(name, style, found.search) for name, style, found in drawn]
        return self._console.page(
            "compared.html.j2",
            held=held,
            plots=curves.figures(held),
            search=curves.progress(searched),
            tried=[found.search["counts"]["evaluations"] for _, _, found in drawn],
            without=sorted({run.name for run in chosen} - {name for name, _, _ in drawn}),
        )

    def _chosen(self, request: Request) -> list[Run] | str:
        """Return the runs asked for, the oldest first, or in a sentence what is wrong with them."""
        asked = list(dict.fromkeys(request.query_params.getlist("run")))
        if len(asked) < 2:
            return _FEW
        if len(asked) > _MOST:
            return f"At most {_MOST} runs have room beside each other; choose fewer."
        known = {run.name: run for run in evidence.runs(self._console.home)}
        if not set(asked) <= set(known):
            return "One of these runs is not here any more; choose again."
        return sorted((known[name] for name in asked), key=lambda run: run.name)

    def _of(self, run: Run) -> _Drawn | None:
        """Return what the curves of a run are drawn from; None if it is not there (any more)."""
        home = self._console.home
        evaluation, rows = curves.evaluation(home, run), curves.predictions(home, run)
        search = curves.search(home, run)
        if evaluation is None or rows is None or search is None:
            return None
        rows = rows[rows["model"] == schema.AUTO_SKLEARN]
        calibration = evaluation["calibration"][schema.KNOWN_RUNS].get(schema.AUTO_SKLEARN)
        return _Drawn((rows["y"].to_numpy(), rows["p"].to_numpy(), calibration), search)

    def over_runs(self, request: Request) -> Response:
        """Show one figure over all runs that have it."""
        name = figure_of(request)
        plot, rows = _over_runs(FIGURES[name], evidence.runs(self._console.home)[::-1])
        labels = {key: figure.label for key, figure in FIGURES.items()}
        return self._console.page(
            "over_runs.html.j2", plot=plot, rows=rows, figures=labels, name=name
        )


def figure_of(request: Request) -> str:
    """Return the name of the figure that is asked for, the first one if there is none of it."""
    asked = request.query_params.get("figure", "")
    return asked if asked in FIGURES else next(iter(FIGURES))


def _groups(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the table's parts: a title and rows of a name, a value a run, and whether they differ.

    Parameters that differ come before those that are the same.
    """
    summaries = [run.summary for run in runs]
    rows = [run.row() for run in runs]
    told = {
        "state": [str(row["state"]) for row in rows],
        "trigger": [row["cause"] for row in rows],
        "decision": [row.get("decision", "none") for row in rows],
        "version": [
            f"{row['version']} {row['promoted']}" if "version" in row else "none" for row in rows
        ],
        "approved for": [
            words.use(s["gate"]["use"]) if s and s["gate"].get("use") else "none" for s in summaries
        ],
    }
    measured = {
        figure.label: [text(figure, summary) for summary in summaries]
        for figure in FIGURES.values()
    }
    asked = {
        name: [_argument(run, name) for run in runs]
        for name in sorted({name for run in runs for name in run.arguments} - {"cause"})
    }
    differ = {name: values for name, values in asked.items() if len(set(values)) > 1}
    groups = (
        ("Decision", told),
        ("Parameters that differ", differ),
        ("Figures of the auto-sklearn model", measured),
        ("Parameters that are the same", {n: v for n, v in asked.items() if n not in differ}),
    )
    return [
        {
            "title": title,
            "rows": [(name, values, len(set(values)) > 1) for name, values in part.items()],
        }
        for title, part in groups
        if part
    ]


def _argument(run: Run, name: str) -> str:
    value = run.arguments.get(name)
    text = "not given" if value is None or value == "" else str(value)
    return text[: _DIGESTS.get(name, 200)]


def _over_runs(figure: Figure, runs: Sequence[Run]) -> tuple[Markup | None, list[tuple[str, ...]]]:
    """Return the chart, None without a run that has the figure, and its values as a table."""
    found = [(run.name, summary) for run in runs if (summary := run.summary) is not None]
    found = [(name, summary) for name, summary in found if figure.of(summary) is not None]
    if not found:
        return None, []
    values = np.array([figure.of(summary) for _, summary in found], dtype=np.float64)
    bounds = [figure.interval(summary) for _, summary in found]
    whole = len(found) > 1 and all(bound is not None for bound in bounds)
    low, high = np.array(bounds, dtype=np.float64).T if whole else (None, None)
    at = np.arange(1.0, len(found) + 1)
    box = svg.Box(
        f"{figure.label} over {len(found)} runs",
        "run, the oldest first",
        "",
        x_range=(0.5, len(found) + 0.5),
        whole=True,
    )
    plot = svg.lines(box, [svg.Line(figure.label, at, values, "c0", low, high, dots=True)])
    rows: list[tuple[str, ...]] = [
        (str(number), name, text(figure, summary))
        for number, (name, summary) in enumerate(found, 1)
    ]
    return plot, rows[::-1]
