"""What the command line shows of a run: the table at its end, and the latest one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.finish.logic import page
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.evaluation.headline import Figure, headline
from toolwear.release.outcomes import Promotion
from toolwear.run.run_folder import FAILURE_FILE, LATEST, REPORT_FILE, SUMMARY_FILE
from toolwear.workspace.home import MLFLOW_VARIABLE, Home

_COLOURS = {"good": "green", "even": "yellow", "bad": "red"}
_BAR = 50  # characters of the line that stands for 0 to 100 %


def finish(folder: Path, home: Path, steps: dict[str, dict[str, Any]], seconds: float) -> None:
    """Complete the run's folder: summary with timings, report, and the link `latest` to it."""
    artifacts = folder / "artifacts"
    made = next(artifacts.glob("*/report/summary"))
    value = jsonfile.read(made)
    value["timings"] = {name: step["seconds"] for name, step in sorted(steps.items())}
    value["timings"]["total"] = round(seconds, 1)
    value["cached"] = sorted(name for name, step in steps.items() if step["state"] == "cached")
    jsonfile.write(folder / SUMMARY_FILE, value)
    shutil.copyfile(next(artifacts.glob("*/report/page")), folder / REPORT_FILE)
    link = home / f".{LATEST}-{folder.name}"
    link.symlink_to(folder.name)
    link.replace(home / LATEST)


def write_failure(folder: Path, title: str, steps: list[dict[str, Any]], message: str) -> Path:
    """Write the page of a run that did not succeed and return its path.

    Args:
        folder: of the run.
        title: headline.
        steps: that failed or were cut off; with none, `message` says why.
        message: what is known of the run as a whole.
    """
    path = folder / FAILURE_FILE
    jsonfile.write_text(path, page(title, steps or [{"step": "the run", "reason": message}]))
    return path


def print_latest(home: Path, console: Console, *, details: bool = False) -> None:
    """Print the latest run's figures.

    Raises:
        ToolwearError: there is no finished run below `home`.
    """
    print_run(_latest(home), console, details=details)


def latest_summary(home: Path) -> dict[str, Any]:
    """Return the latest run's summary, its name and the path of its report; raises as above."""
    folder = _latest(home)
    summary: dict[str, Any] = jsonfile.read(folder / SUMMARY_FILE)
    return {"run": folder.name, "report": str(folder / REPORT_FILE), **summary}


def _latest(home: Path) -> Path:
    folder = home / LATEST
    if not (folder / SUMMARY_FILE).exists():
        raise ToolwearError(f"There is no finished run below {home}; start one: toolwear run.")
    return folder.resolve()


def print_run(folder: Path, console: Console, *, details: bool = False) -> None:
    """Print a run's first screen; with `details` also every figure, statement and reason."""
    summary = jsonfile.read(folder / SUMMARY_FILE)
    if summary["data"]["source"] == "simulator":
        console.print(
            "SIMULATED DATA: no figure here says anything of a real mill.", style="bold red"
        )
    _print_first_screen(summary, console)
    if details:
        _print_details(summary, console)
    report = folder / REPORT_FILE
    console.print(f"\nreport: {report}", soft_wrap=True)
    if not details:
        console.print("all figures and reasons: `toolwear report --details`")


def _print_first_screen(summary: dict[str, Any], console: Console) -> None:
    first = headline(summary)
    console.print(f"\n{first.verdict}", style=f"bold {_COLOURS[first.tone]}")
    console.print(f"{first.version}. {first.use}.")
    if first.tone != "good":
        console.print(summary["gate"]["reasons"][0])
    if summary["gate"]["outcome"] == Promotion.HELD:
        console.print("A person has to approve it: `toolwear approvals`.")
    if first.warning:
        console.print(first.warning, style="bold red")
    console.print()
    for figure in first.figures:
        console.print(f"{figure.question}: {figure.told}")
    console.print(f"\n0 %{'':{_BAR - 8}}100 %   share judged right, 95 % interval")
    for figure in first.figures:
        if figure.share is not None:
            console.print(f"{_bar(figure)}   {figure.question}")


def _bar(figure: Figure) -> str:
    """Return a share and its interval on a line of _BAR characters from 0 to 100 %."""

    def place(share: float) -> int:
        return min(_BAR - 1, int(share * _BAR))

    line = ["·"] * _BAR
    if figure.interval is not None:
        low, high = (place(bound) for bound in figure.interval)
        line[low : high + 1] = "─" * (high + 1 - low)
    line[place(figure.share or 0.0)] = "●"
    return "".join(line)


def _print_details(summary: dict[str, Any], console: Console) -> None:
    data, gate, model = summary["data"], summary["gate"], summary["model"]
    console.print()
    console.print(_figures_table(summary))
    console.print("findings")
    for statement in summary["statements"]:
        console.print(f"- {statement}")
    console.print(f"\ngate: {gate['decision']}, use: {gate['use']}")
    for reason in gate["reasons"]:
        console.print(f"- {reason}")
    console.print(
        f"\nmodel {model['name']} version {model['version']}, package {model['package'][:12]}, "
        f"trained on {data['rows']:,} rows of {data['runs']} runs ({data['source']}, "
        f"{data['digest'][:12]})",
    )
    console.print(
        f"graph of {model['bytes'] / 1e6:.1f} MB: {model['memory_mib']:.0f} MiB of a server's "
        f"memory, {model['milliseconds_per_row']:.2f} ms a row; numerical noise changes "
        f"{summary['noise']['numerical']:.2%} of the labels",
    )
    took = summary["timings"]["total"]
    console.print(f"took {took:.0f} s, {len(summary['cached'])} steps from the cache")


def _figures_table(summary: dict[str, Any]) -> Table:
    table = Table(title="Figures with 95 % intervals")
    for heading in ("protocol", "model", "features", "n"):
        table.add_column(heading)
    beside = any(f.get("published") for m in summary["protocols"].values() for f in m.values())
    figures_of = ("accuracy", "precision", "recall", "F1", "MCC", "AUC")
    for heading in (*figures_of, "published") if beside else figures_of:
        table.add_column(heading, justify="right")
    for protocol in schema.PROTOCOLS:
        models = summary["protocols"].get(protocol) or {}
        if protocol in summary["left_out"]:
            table.add_row(protocol, "not asked", end_section=True)
        names = [name for name in schema.MODELS if name in models]
        for name in names:
            figures = models[name]
            interval = (figures.get("interval") or {}).get("accuracy")
            bounds = f" [{interval[0]:.3f}-{interval[1]:.3f}]" if interval else ""
            published = figures.get("published") or {}
            table.add_row(
                protocol,
                name,
                figures.get("feature_set") or "",
                f"{figures['n']} {figures['unit']}",
                number(figures["accuracy"]) + bounds,
                *(number(figures[key]) for key in ("precision", "recall", "f1", "mcc", "auc")),
                *([number(published.get("accuracy"))] if beside else []),
                end_section=name == names[-1],
            )
    return table


def number(value: float | None) -> str:
    """Return a figure as it is printed."""
    return "" if value is None else f"{value:.4f}"


def print_rollback(home: Path, why: str, console: Console) -> None:
    """Go back and print from where to where."""
    from toolwear.release import audit_log
    from toolwear.release.registry_state import roll_back
    from toolwear.release.served import served_by

    mlflow_uri = os.environ.get(MLFLOW_VARIABLE, "")
    move = roll_back(home, why, mlflow_uri, served=served_by(Home.at(home)))
    console.print(audit_log.told(move))
