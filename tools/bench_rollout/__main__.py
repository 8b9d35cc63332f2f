"""How often a rollout ends rightly, and after how many recordings: `make rollout-table`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product

import numpy as np

from tools.bench_rollout.simulation import CASES, DROPPED, PASSED, Played, play
from toolwear.release.rollout import Mode

_HEAD = "| a candidate that | rollout | promoted | dropped | undecided | recordings: median, 90 % |"
_MODES = (Mode.CANARY, Mode.SHADOW)


def main(given: Sequence[str] | None = None) -> int:
    """Print the table; the exit code is 1 if a wrong end is not rare."""
    parser = argparse.ArgumentParser(prog="tools.bench_rollout", description=__doc__)
    add = parser.add_argument
    add("--plays", type=int, default=200, help="rollouts of each candidate")
    add("--requests", type=int, default=250, help="of a recording")
    add("--most", type=int, default=100, help="recordings after which one counts as undecided")
    add("--seed", type=int, default=0)
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    chosen = parser.parse_args(given)
    if min(chosen.plays, chosen.requests, chosen.most, chosen.workers) < 1:
        parser.error("give numbers above 0")
    print(_HEAD, "|---|---|---|---|---|---|", sep="\n")
    wrong = []
    cells = list(product(CASES, _MODES))
    work = partial(
        cell, plays=chosen.plays, requests=chosen.requests, most=chosen.most, seed=chosen.seed
    )
    with ProcessPoolExecutor(chosen.workers) as pool:
        for (name, mode), played in zip(cells, pool.map(work, cells), strict=True):
            print(row(name, mode, played), flush=True)
            if wrongly(name, played) > 0.05 * len(played):
                wrong.append(f"{name} as a {mode}")
    if wrong:
        print(f"bench_rollout: more than 5 % end wrongly: {', '.join(wrong)}", file=sys.stderr)
    return int(bool(wrong))


def cell(which: tuple[str, Mode], plays: int, requests: int, most: int, seed: int) -> list[Played]:
    """Return how the rollouts of a candidate end; each candidate gets the same draws."""
    random = np.random.default_rng(seed)
    return [play(CASES[which[0]], which[1], requests, most, random) for _ in range(plays)]


def wrongly(name: str, played: Sequence[Played]) -> int:
    """Return how many rollouts ended as they must not: a good one dropped, a bad one promoted."""
    end = DROPPED if CASES[name].good else PASSED
    return sum(one.end == end for one in played)


def row(name: str, mode: Mode, played: Sequence[Played]) -> str:
    """Return a line of the table."""
    passed = sum(one.end == PASSED for one in played)
    dropped = sum(one.end == DROPPED for one in played)
    took = [one.recordings for one in played]
    cells = (
        CASES[name].title,
        mode.value,
        *(f"{count / len(played):.1%}" for count in (passed, dropped)),
        f"{1 - (passed + dropped) / len(played):.1%}",
        f"{np.median(took):.0f}, {np.quantile(took, 0.9):.0f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
