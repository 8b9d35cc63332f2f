"""The graph against the same steps in one process, and a cached run against a first one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench.measure import Used, median_ratio, medians, run
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError

TARGET = 1.5  # the graph's time over the plain process's, at most
SEARCH = "automl"


def measure(
    data: Path, folder: Path, settings: list[str], repeats: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Run first, plain and cached, `repeats` times in turn, and return every figure.

    Args:
        data: recordings.
        folder: to work in.
        settings: KEY=VALUE for `toolwear run --fast`.
        repeats: how often; ratios are medians over them.
        tell: is told what is run.
    """
    rounds = []
    for number in range(repeats):
        scratch = folder / f"graph-{number}"
        scratch.mkdir()
        rounds.append(_round(data, scratch, settings, tell, f"{number + 1} of {repeats}"))
    return {"settings": settings, "rounds": rounds, **conclude(rounds)}


def _round(
    data: Path, folder: Path, settings: list[str], tell: Callable[[str], None], number: str
) -> dict[str, Any]:
    tell(f"graph {number}: first run")
    first, first_summary = _toolwear(data, folder, settings, "first")
    tell(f"graph {number}: the same steps in one process")
    arguments, result = folder / "home" / "latest" / "arguments.json", folder / "plain.json"
    plain = run(
        [sys.executable, "-m", "tools.bench.plain", arguments, folder / "plain", result],
        folder / "plain.log",
        TOOLWEAR_HOME=str(folder / "plain" / "home"),
    )
    found = jsonfile.read(result)
    if found["model_sha256"] != first_summary["model"]["sha256"]:
        raise ToolwearError("Graph and plain process made different models: not the same work.")
    tell(f"graph {number}: cached run")
    cached, cached_summary = _toolwear(data, folder, settings, "cached")
    if cached_summary["code"] != first_summary["code"]:
        raise ToolwearError("The code changed between the two runs of the graph; measure again.")
    return {
        "first": asdict(first),
        "plain": asdict(plain),
        "plain_own_peak_mib": found["peak_mib"],
        "cached": asdict(cached),
        "cached_steps": cached_summary["cached"],
        "steps": {
            "first": {k: v for k, v in first_summary["timings"].items() if k != "total"},
            "plain": {name: used["wall"] for name, used in found["steps"].items()},
            "cached": {k: v for k, v in cached_summary["timings"].items() if k != "total"},
        },
        "search_cpu": found["steps"][SEARCH]["cpu"],
    }


def _toolwear(
    data: Path, folder: Path, settings: list[str], name: str
) -> tuple[Used, dict[str, Any]]:
    command = [sys.executable, "-m", "toolwear.cli", "run", "--fast"]
    command += [f"--data={data}", f"--home={folder / 'home'}"]
    command += [f"--set={setting}" for setting in settings]
    used = run(command, folder / f"{name}.log")
    return used, jsonfile.read(folder / "home" / "latest" / "summary.json")


def conclude(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the ratios over all rounds, without the search, and the medians of what was used.

    The search's CPU time in the graph is that of the same search in the plain process: both run
    by the same seed and evaluations and end in the same bytes.
    """
    walls, cpus, cached, cached_rest = [], [], [], []
    for one in rounds:
        first, plain, steps = one["first"], one["plain"], one["steps"]
        rest = first["wall"] - steps["first"][SEARCH]
        walls.append((rest, plain["wall"] - steps["plain"][SEARCH]))
        cpus.append((first["cpu"] - one["search_cpu"], plain["cpu"] - one["search_cpu"]))
        cached.append((one["cached"]["wall"], first["wall"]))
        cached_rest.append((one["cached"]["wall"], rest))
    return {
        "target": TARGET,
        "wall_ratio": median_ratio(walls),
        "cpu_ratio": median_ratio(cpus),
        "cached_ratio": median_ratio(cached),
        "cached_ratio_without_search": median_ratio(cached_rest),
        "median": {
            name: medians([one[name] for one in rounds]) for name in ("first", "plain", "cached")
        },
        "without_search": {
            "first": medians([_pair(w[0], c[0]) for w, c in zip(walls, cpus, strict=True)]),
            "plain": medians([_pair(w[1], c[1]) for w, c in zip(walls, cpus, strict=True)]),
        },
    }


def _pair(wall: float, cpu: float) -> dict[str, float]:
    return {"wall": wall, "cpu": cpu}
