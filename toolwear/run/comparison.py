"""Runs side by side: what was decided, their headline figures, and what they were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolwear.dataset.schema import AUTO_SKLEARN, KNOWN_RUNS, NEW_RUN, NEW_SETTING
from toolwear.run.runs import Run


@dataclass(frozen=True)
class Figure:
    """A headline figure of a run.

    Attributes:
        label: for people.
        path: to it in a run's summary.
        digits: after the point.
    """

    label: str
    path: tuple[str, ...]
    digits: int = 4

    def of(self, summary: Mapping[str, Any] | None) -> float | None:
        """Return its value in a summary, None if it is not there."""
        found = _at(summary, self.path)
        return float(found) if isinstance(found, int | float) else None

    def interval(self, summary: Mapping[str, Any] | None) -> tuple[float, float] | None:
        """Return its 95 % interval, None if it has none."""
        found = _at(summary, (*self.path[:-1], "interval", self.path[-1]))
        return (float(found[0]), float(found[1])) if found else None


def _of_model(label: str, protocol: str, metric: str) -> Figure:
    return Figure(label, ("protocols", protocol, AUTO_SKLEARN, metric))


FIGURES = {
    "accuracy": _of_model("accuracy, known runs", KNOWN_RUNS, "accuracy"),
    "f1": _of_model("F1, known runs", KNOWN_RUNS, "f1"),
    "mcc": _of_model("MCC, known runs", KNOWN_RUNS, "mcc"),
    "new_run": _of_model("accuracy, new runs", NEW_RUN, "accuracy"),
    "new_setting": _of_model("accuracy, new settings", NEW_SETTING, "accuracy"),
    "seconds": Figure("seconds in all", ("timings", "total"), 0),
    "milliseconds": Figure("milliseconds a row", ("model", "milliseconds_per_row")),
    "memory": Figure("memory of a server, MiB", ("model", "memory_mib"), 0),
    "rows": Figure("rows of telemetry", ("data", "rows"), 0),
}


def told(run: Run) -> dict[str, Any]:
    """Return what is known of a run, as JSON values in the words of its files."""
    summary = run.summary
    gate = summary["gate"] if summary else {}
    return {
        "name": run.name,
        "state": str(run.state),
        "reason": run.reason,
        "cause": run.arguments["cause"],
        "decision": gate.get("decision"),
        "outcome": gate.get("outcome"),
        "use": gate.get("use"),
        "version": summary["model"]["version"] if summary else None,
        "figures": {
            name: {"value": figure.of(summary), "interval": figure.interval(summary)}
            for name, figure in FIGURES.items()
        },
        "arguments": run.arguments,
    }


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the names of the arguments that are not the same in all of these runs."""
    every = [run.arguments for run in runs]
    names = sorted(set().union(*every))
    return [name for name in names if len({repr(one.get(name)) for one in every}) > 1]


def text(figure: Figure, summary: Mapping[str, Any] | None) -> str:
    """Return a figure with its interval for people, "n/a" if the run has none."""
    value = figure.of(summary)
    if value is None:
        return "n/a"
    bounds = figure.interval(summary)
    said = f"{value:,.{figure.digits}f}"
    return said if bounds is None else f"{said} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _at(summary: Mapping[str, Any] | None, path: tuple[str, ...]) -> Any:
    found: Any = summary
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
