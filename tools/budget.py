"""`python -m tools.budget`: what the kind overlay asks of a laptop, and whether that fits."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from pipelines.settings import SETTINGS
from tools.rendered import everything, workloads
from tools.versions import PARTS
from toolwear.cli.graph import compile_training
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError

# What a laptop needs for the kind overlay: `make kind-up` and docs/kubernetes.md say the same.
CPUS = 4
STANDING_GIB, TASKS_GIB = 8, 3  # requested by what stands, and by the tasks of a run beside it
MEMORY_GIB = STANDING_GIB + TASKS_GIB + 1  # the node itself requests less than it takes
DISK_GIB = 60  # images, volumes, and 7 GiB that the object store reserves for each bucket
_UNITS = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, "": 1 / (1 << 20)}
_STORAGE_INITIALIZER = (100.0, 100.0)  # KServe's initial container, by the chart's defaults


@dataclass(frozen=True)
class Line:
    """One line of the budget: what, how many, and what they request together."""

    what: str
    pods: int
    millicores: float
    mebibytes: float


def cpu(text: str) -> float:
    """Return a CPU quantity in thousandths of a core."""
    return float(text[:-1]) if text.endswith("m") else float(text) * 1000


def memory(text: str) -> float:
    """Return a memory quantity in MiB."""
    unit = text.lstrip("0123456789.")
    if unit not in _UNITS:
        raise ToolwearError(
            f"The memory quantity {text} has no unit that is known; write Mi or Gi."
        )
    return float(text.removesuffix(unit)) * _UNITS[unit]


def requests(pod: Mapping[str, Any]) -> tuple[float, float]:
    """Return what a pod requests: millicores and MiB."""
    both = [container["resources"]["requests"] for container in pod["containers"]]
    return sum(cpu(one["cpu"]) for one in both), sum(memory(one["memory"]) for one in both)


def lines() -> Iterator[Line]:
    """Yield everything that stands in the kind overlay; jobs do not, they come and go."""
    for part in PARTS:
        yield Line(f"{part.name} ({part.version})", 1, part.millicores, part.mebibytes)
    for workload in workloads(everything("kind")):
        if not workload.serves:
            continue
        own = requests(workload.pod)
        if "InferenceService" in workload.name and not workload.name.endswith("transformer"):
            # A pod counts as the larger of its initial container and the others.
            own = (max(own[0], _STORAGE_INITIALIZER[0]), max(own[1], _STORAGE_INITIALIZER[1]))
        count = workload.replicas
        yield Line(workload.name, count, own[0] * count, own[1] * count)


def busiest_tasks() -> Line:
    """Return what the tasks of a run request that may be at work at the same time, at most."""
    with TemporaryDirectory() as folder:
        compiled = Path(folder) / "training.yaml"
        compile_training(compiled)
        spec = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    names = _beside_each_other(spec, spec["root"]["dag"]["tasks"])
    both = [(cpu(SETTINGS[name].cpu[0]), memory(SETTINGS[name].memory[0])) for name in names]
    what = f"tasks of a run at a time ({', '.join(names)})"
    return Line(what, len(names), sum(one for one, _ in both), sum(two for _, two in both))


def _beside_each_other(spec: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    """Return the steps, none after another, that request the most memory together."""
    steps: dict[str, list[str]] = {}
    for name, task in tasks.items():
        component = spec["components"][task["componentRef"]["name"]]
        inside = component.get("dag")
        own = _step_of(component) if inside is None else []
        steps[name] = own if inside is None else _beside_each_other(spec, inside["tasks"])
    if any("condition" in task.get("triggerPolicy", {}) for task in tasks.values()):
        return max(steps.values(), key=_weight)  # one branch of them is taken
    before = {name: _before(tasks, name) for name in tasks}
    return _heaviest(list(tasks), steps, before)


def _heaviest(
    names: list[str], steps: Mapping[str, list[str]], before: Mapping[str, set[str]]
) -> list[str]:
    if not names:
        return []
    first, *rest = names
    apart = [x for x in rest if x not in before[first] and first not in before[x]]
    both = (_heaviest(rest, steps, before), [*steps[first], *_heaviest(apart, steps, before)])
    return max(both, key=_weight)


def _before(tasks: Mapping[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    for other in tasks[name].get("dependentTasks", []):
        found |= {other} | _before(tasks, other)
    return found


def _step_of(component: Mapping[str, Any]) -> list[str]:
    label = component["executorLabel"].removeprefix("exec-")
    return [re.sub(r"-\d+$", "", label).replace("-", "_")]


def _weight(names: list[str]) -> float:
    return sum(memory(SETTINGS[name].memory[0]) for name in names)


def main() -> int:
    """Print the budget; return 1 if it does not fit."""
    console = Console(width=110)
    try:
        standing = list(lines())
    except ToolwearError as error:
        print(f"budget: {error}", file=sys.stderr)
        return EXIT_USAGE
    table = Table("what", "CPU", "memory", title="requests of the kind overlay")
    for line in standing:
        table.add_row(line.what, f"{line.millicores:.0f} m", f"{line.mebibytes:.0f} MiB")
    total = Line("all", 1, sum(x.millicores for x in standing), sum(x.mebibytes for x in standing))
    tasks = busiest_tasks()
    table.add_section()
    for line, allowed in ((total, STANDING_GIB), (tasks, TASKS_GIB)):
        table.add_row(
            line.what,
            f"{line.millicores / 1000:.2f} CPU",
            f"{line.mebibytes / 1024:.2f} of {allowed} GiB",
        )
    console.print(table)
    console.print(
        f"a machine for it: {CPUS} CPUs, {MEMORY_GIB} GiB of memory, {DISK_GIB} GiB of disk"
    )
    fits = (
        total.mebibytes <= STANDING_GIB * 1024
        and tasks.mebibytes <= TASKS_GIB * 1024
        and total.millicores + tasks.millicores <= CPUS * 1000
    )
    console.print("it fits" if fits else "it does NOT fit")
    return 0 if fits else EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
