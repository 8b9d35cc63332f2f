"""`python -m manifests.budget`: what the kind overlay asks of a laptop, and whether that fits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from components.core.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from manifests.rendered import everything, workloads
from manifests.versions import PARTS
from pipelines.settings import SETTINGS

MILLICORES = 4000
MEBIBYTES = 10 * 1024
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


def largest_task() -> Line:
    """Return what the largest task of the pipeline requests; it runs beside all that."""
    step, settings = max(SETTINGS.items(), key=lambda item: memory(item[1].memory[0]))
    return Line(f"task {step} (while it runs)", 1, cpu(settings.cpu[0]), memory(settings.memory[0]))


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
    table.add_section()
    for line in (total, Line("allowed", 1, MILLICORES, MEBIBYTES), largest_task()):
        table.add_row(
            line.what, f"{line.millicores / 1000:.2f} CPU", f"{line.mebibytes / 1024:.2f} GiB"
        )
    console.print(table)
    fits = total.millicores <= MILLICORES and total.mebibytes <= MEBIBYTES
    console.print("it fits" if fits else "it does NOT fit")
    return 0 if fits else EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
