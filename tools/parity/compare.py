"""Holds two runs of one graph side by side, artifact by artifact."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.parity.contents import Leaf, Leaves, Run, leaves_digest
from toolwear.common.digest import json_digest


class Verdict(enum.StrEnum):
    """What the comparison of one artifact came to."""

    SAME = "same"
    WITHIN = "within tolerance"
    DIFFERS = "differs"
    MISSING = "missing"


@dataclass(frozen=True)
class Exempt:
    """What two good runs may differ in.

    Attributes:
        pattern: of `task/artifact/file:place`, as a shell would write it.
        why: the reason, for the table.
    """

    pattern: str
    why: str


@dataclass(frozen=True)
class Row:
    """One artifact on both sides.

    Attributes:
        name: `task/artifact`.
        files: how many it has.
        digests: of each side, over all values but the exempt ones; empty where it is missing.
        verdict: what came of it.
        largest: greatest difference of two numbers, relative to the greater of them and 1.
        reasons: places that differ or are missing, and why others were left out.
    """

    name: str
    files: int
    digests: tuple[str, str]
    verdict: Verdict
    largest: float = 0.0
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether this is no difference that counts."""
        return self.verdict in (Verdict.SAME, Verdict.WITHIN)


@dataclass
class _Seen:
    wrong: list[str] = field(default_factory=list)
    exempt: set[str] = field(default_factory=set)
    largest: float = 0.0


def compare(
    one: Run,
    other: Run,
    tolerance: float,
    exempt: Iterable[Exempt],
    skipped: Mapping[str, str] | None = None,
) -> list[Row]:
    """Return a row for each artifact that either run has, in the order of their names.

    Args:
        one: the run that is held against.
        other: the run that is held against it.
        tolerance: of numbers, relative to the greater of them and 1.
        exempt: what may differ.
        skipped: pattern of `task/artifact` to the reason why `other` need not have it.
    """
    rules = tuple(exempt)
    ours, theirs = one.artifacts(), other.artifacts()
    rows = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name in ours and name in theirs:
            rows.append(_artifact(name, (one, other), (ours[name], theirs[name]), tolerance, rules))
            continue
        excuse = _first(name, (skipped or {}).items()) if name in ours else ""
        lacking = other.name if name in ours else one.name
        digests = tuple("" if name not in side else "there" for side in (ours, theirs))
        rows.append(
            Row(
                name,
                len(ours.get(name, {})),
                (digests[0], digests[1]),
                Verdict.SAME if excuse else Verdict.MISSING,
                reasons=(excuse or f"{lacking} has none",),
            )
        )
    return rows


def _first(name: str, rules: Iterable[tuple[str, str]]) -> str:
    return next((why for pattern, why in rules if fnmatch.fnmatchcase(name, pattern)), "")


def _artifact(
    name: str,
    runs: tuple[Run, Run],
    files: tuple[Mapping[str, Path], Mapping[str, Path]],
    tolerance: float,
    rules: tuple[Exempt, ...],
) -> Row:
    seen = _Seen()
    digests: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for file in sorted(files[0].keys() | files[1].keys()):
        if file not in files[0] or file not in files[1]:
            lacking = runs[1 if file in files[0] else 0].name
            seen.wrong.append(f"{lacking} has no {file}")
            continue
        sides = [run.read(paths[file]) for run, paths in zip(runs, files, strict=True)]
        for side in sides:
            for place in list(side):
                why = _first(f"{name}/{file}:{place}", ((rule.pattern, rule.why) for rule in rules))
                if why:
                    seen.exempt.add(why)
                    del side[place]
        for kept, side in zip(digests, sides, strict=True):
            kept[file] = leaves_digest(side)
        if digests[0][file] != digests[1][file]:
            _leaves(file, sides[0], sides[1], tolerance, seen)
    found = tuple(json_digest(kept) for kept in digests)
    verdict = Verdict.SAME if found[0] == found[1] else Verdict.WITHIN
    if seen.wrong:
        verdict = Verdict.DIFFERS
    left_out = [f"left out: {why}" for why in sorted(seen.exempt)]
    return Row(
        name,
        len(files[0]),
        (found[0], found[1]),
        verdict,
        seen.largest,
        (*seen.wrong, *left_out),
    )


def _leaves(file: str, one: Leaves, other: Leaves, tolerance: float, seen: _Seen) -> None:
    for place in sorted(one.keys() | other.keys()):
        where = f"{file}:{place}" if place else file
        if place not in one or place not in other:
            seen.wrong.append(f"{where} is on one side only")
            continue
        largest = difference(one[place], other[place])
        if largest is None:
            seen.wrong.append(f"{where}: {_short(one[place])} and {_short(other[place])}")
            continue
        seen.largest = max(seen.largest, largest)
        if largest > tolerance:
            seen.wrong.append(
                f"{where}: {_short(one[place])} and {_short(other[place])}, {largest:.1e} apart"
            )


def difference(one: Leaf, other: Leaf) -> float | None:
    """Return how far two values are apart, relative to the greater of them and 1.

    Returns:
        0 for equal ones; None for two that differ and are no numbers, or have another shape.
    """
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return None
    if a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        # As texts: a missing value is not equal to itself.
        equal = a.dtype.kind == b.dtype.kind and (a.astype(str) == b.astype(str)).all()
        return 0.0 if equal else None
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return None
    if not np.array_equal(a[~np.isfinite(a)], b[~np.isfinite(b)], equal_nan=True):
        return None
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not a.size:
        return 0.0
    return float((np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))).max())


def _short(leaf: Leaf) -> str:
    if isinstance(leaf, np.ndarray):
        return f"{len(leaf)} values"
    text = str(leaf)
    return text if len(text) <= 40 else f"{text[:37]}..."
