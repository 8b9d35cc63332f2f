"""The drill's table and plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tools.bench_poison.attacks import ATTACKS, NONE
from tools.bench_poison.drill import Attempt
from toolwear.evaluation.metrics import wilson

_COLUMNS = (
    "attack",
    "flipped",
    "seeds",
    "guard off: promoted",
    "of these worse",
    "the gate said",
    "challenger - champion, true labels",
    "guard on: promoted",
    "the guard found",
    "guard on without `vouch_for_new_runs`: promoted",
)
_COLOURS = ("#2563a8", "#1a7f4b", "#c2570c", "#7b3fa0")


def got_past(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the poisoned models that were promoted with the guard on."""
    return [item for item in attempts if item.share > 0 and item.promoted_with_guard]


def table(attempts: Sequence[Attempt]) -> str:
    """Return the Markdown table of the attempts, one line for each attack and share."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for attack in (NONE, *ATTACKS):
        cells = _by_share([item for item in attempts if item.attack == attack])
        lines += [_line(attack, share, cell) for share, cell in cells.items()]
    return "\n".join(lines)


def _line(attack: str, share: float, cell: list[Attempt]) -> str:
    differences = [item.clean_difference for item in cell]
    columns = (
        attack,
        f"{share:.0%}",
        f"0-{len(cell) - 1}",
        _count([item.promoted for item in cell]),
        str(sum(item.promoted and item.worse for item in cell)),
        ", ".join(sorted({item.outcome for item in cell})),
        f"{_mean(differences):+.4f} ({min(differences):+.4f} to {max(differences):+.4f})",
        _count([item.promoted_with_guard for item in cell]),
        ", ".join(sorted({name for item in cell for name in item.found})) or "nothing",
        _count([item.promoted_without_vouching for item in cell]),
    )
    return f"| {' | '.join(columns)} |"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _count(hits: list[bool]) -> str:
    low, high = wilson(sum(hits), len(hits))
    return f"{sum(hits)} of {len(hits)} ({low:.0%}-{high:.0%})"


def draw(path: Path, attempts: Sequence[Attempt]) -> None:
    """Draw, for each attack, how often a worse model is promoted, and how much worse it is.

    Args:
        path: PNG file to write.
        attempts: of all attacks.
    """
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    (off, on), (trusting, worse) = figure.subplots(2, 2)
    seeds = len({item.seed for item in attempts})
    _shares(off, attempts, lambda item: item.promoted and item.worse)
    off.set_title("Guard off: worse model promoted", loc="left")
    _shares(on, attempts, lambda item: item.promoted_with_guard and item.worse)
    on.set_title("Guard on: worse model promoted", loc="left")
    _shares(trusting, attempts, lambda item: item.promoted_without_vouching and item.worse)
    trusting.set_title("Guard on, nobody vouches for new runs: worse model promoted", loc="left")
    for attack, colour in zip(ATTACKS, _COLOURS, strict=True):
        cells = _by_share([item for item in attempts if item.attack == attack])
        means = [_mean([item.clean_difference for item in cell]) for cell in cells.values()]
        worse.plot(list(cells), means, marker="o", color=colour, label=attack)
    worse.axhline(0, color="#444", linewidth=0.8)
    worse.set_title("What it costs: challenger - champion by true labels, mean", loc="left")
    worse.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in (off, on, trusting, worse):
        axes.set_xticks(sorted({item.share for item in attempts if item.attack != NONE}))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (trusting, worse):
        axes.set_xlabel("share of labels flipped (of the worn rows, where only these are)")
    handles, labels = worse.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=4, loc="outside lower center")
    figure.suptitle(f"{seeds} seeds a point", x=0.01, ha="left", fontsize=10)
    figure.savefig(path, dpi=110)


def _shares(axes: Axes, attempts: Sequence[Attempt], hit: Callable[[Attempt], bool]) -> None:
    for number, (attack, colour) in enumerate(zip(ATTACKS, _COLOURS, strict=True)):
        cells = _by_share([item for item in attempts if item.attack == attack])
        rates = [_mean([float(hit(item)) for item in cell]) for cell in cells.values()]
        # Lines on top of each other at 0 would hide all but one.
        raised = [rate + 0.012 * (number - 1.5) for rate in rates]
        axes.plot(list(cells), raised, marker="o", markersize=4, color=colour)
    axes.set_ylim(-0.06, 1.06)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _by_share(attempts: Sequence[Attempt]) -> dict[float, list[Attempt]]:
    found: dict[float, list[Attempt]] = {}
    for item in attempts:
        found.setdefault(item.share, []).append(item)
    return found
