"""All attacks, by all shares and seeds, in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

from tools.bench_poison.attacks import NONE
from tools.bench_poison.drill import Attempt, attempt, mill


def drill(
    telemetry: Path,
    made: Path,
    attacks: Sequence[str],
    shares: Sequence[float],
    seeds: int,
    workers: int,
    tell: Callable[[str], None],
) -> list[Attempt]:
    """Return every attempt, one seed after the other; with each also one on clean data.

    Args:
        telemetry: output of ingest on clean recordings.
        made: output of the features step on them.
        attacks: some of `attacks.ATTACKS`.
        shares: of labels to flip.
        seeds: draws of each cell.
        workers: processes.
        tell: is given a line for each attempt.
    """
    cells = [
        cell
        for seed in range(seeds)
        for cell in [(NONE, 0.0, seed), *((a, share, seed) for a in attacks for share in shares)]
    ]
    done = []
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_one, telemetry, made, *cell) for cell in cells]
        for number, future in enumerate(waiting, start=1):
            result = future.result()
            done.append(result)
            tell(
                f"{number}/{len(cells)} {result.attack}, {result.share:.0%}, seed {result.seed}: "
                f"{result.outcome}, with the guard {result.with_guard}"
            )
    return done


_mill = cache(mill)  # in each worker process


def _one(telemetry: Path, made: Path, attack: str, share: float, seed: int) -> Attempt:
    return attempt(_mill(telemetry, made), attack, share, seed)
