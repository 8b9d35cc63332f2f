"""The checks: may these runs and labels teach a model? Each finding is a sentence with numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.guard import levels
from components.guard.copies import Copy, scaled_copies
from components.guard.levels import Distance
from components.guard.rows import RowFacts
from components.guard.runs import Match, RunFacts, matches, pairs
from toolwear.common.thresholds import Guard
from toolwear.dataset.contract import Admission

CRITICAL, WARNING = "critical", "warning"
ALL_RUNS = "all"
NOBODY_VOUCHES = "nobody_vouches"
# What a person can know better; rows that are there twice or labelled two ways are wrong anyhow.
WAIVABLE = (
    "label_changed",
    "recording_changed",
    "shifted_sensor",
    "dominating_run",
    "scaled_copy",
    NOBODY_VOUCHES,
)


@dataclass(frozen=True)
class Finding:
    """What speaks against the data.

    Attributes:
        check: its name.
        severity: CRITICAL refuses the data; WARNING is told.
        run: the run that it is about; empty for the data as a whole.
        value: what was found.
        limit: what it was held against.
        sentence: says it with numbers.
        accepted: a person has vouched for it, so it refuses nothing.
    """

    check: str
    severity: str
    run: str
    value: float
    limit: float
    sentence: str
    accepted: bool = False

    @property
    def refuses(self) -> bool:
        """Whether the data may not teach because of it."""
        return self.severity == CRITICAL and not self.accepted

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def judge(
    runs: Sequence[RunFacts],
    rows: RowFacts,
    known: Sequence[RunFacts] | None,
    limits: Guard,
    asked: Admission,
    accepted: Collection[str] = (),
    vouched: Collection[str] = (),
) -> list[Finding]:
    """Return all findings, what refuses first.

    Args:
        runs: of the data.
        rows: of the training set made from it.
        known: the runs that the champion has learnt from; None if nothing is known of them.
        limits: the thresholds.
        asked: which signals are compared.
        accepted: runs that a person lets in; ALL_RUNS for every one.
        vouched: new runs whose recording and label a person has checked.
    """
    recognised = recognise(runs, known or (), limits)
    findings = [
        *_mixed_labels(rows),
        *_disagreement(rows, limits),
        *_labels_changed(runs, recognised, limits),
        *_recordings_changed(runs, known or (), recognised, limits),
        *_copies(runs, limits),
        *_scaled(scaled_copies(runs, known or (), recognised.values(), limits), vouched),
        *_repeated(runs, limits),
        *_shifted(runs, known, limits, asked),
        *_dominating(runs, limits),
        *_arriving(runs, known, recognised, vouched, limits),
    ]
    findings = [
        replace(
            found, accepted=found.check in WAIVABLE and bool({found.run, ALL_RUNS} & {*accepted})
        )
        for found in findings
    ]
    return sorted(findings, key=lambda finding: not finding.refuses)


def recognise(
    runs: Sequence[RunFacts], known: Sequence[RunFacts], limits: Guard
) -> dict[str, Match]:
    """Return the runs whose recording is known, whatever their number, with what is known."""
    found = matches(runs, known).items()
    return {run: match for run, match in found if match.share >= limits.same_recording}


def level_distances(
    runs: Sequence[RunFacts],
    known: Sequence[RunFacts] | None,
    limits: Guard,
    asked: Admission,
) -> dict[str, Distance]:
    """Return how far each run's levels lie outside the known runs', or the others' if none are."""
    return levels.distances(runs, known or runs, limits, asked)


def _mixed_labels(rows: RowFacts) -> Iterator[Finding]:
    for run, count in rows.other_label.items():
        yield Finding(
            "mixed_labels",
            CRITICAL,
            run,
            count,
            0,
            f"{count:,} rows of run {run} are labelled otherwise than the table of runs says; a "
            "run is cut with one tool and has one label.",
        )


def _disagreement(rows: RowFacts, limits: Guard) -> Iterator[Finding]:
    limit = limits.label_disagreement + (rows.before or 0.0)
    if rows.disagreement <= limit:
        return
    found = (
        f"A forest contradicts the labels of {rows.disagreement:.1%} of {rows.rows:,} rows that "
        "its trees have not seen"
    )
    if rows.before is None:
        severity, means = WARNING, "either labels are wrong or the signals do not tell them"
    else:
        severity, means = CRITICAL, f"of the same recordings it was {rows.before:.1%}"
    yield Finding(
        "label_disagreement", severity, "", rows.disagreement, limit, f"{found}; {means}."
    )


def _labels_changed(
    runs: Sequence[RunFacts], recognised: Mapping[str, Match], limits: Guard
) -> Iterator[Finding]:
    for run in runs:
        if run.run_id not in recognised:
            continue
        common, before = recognised[run.run_id]
        if before.label != run.label:
            yield Finding(
                "label_changed",
                CRITICAL,
                run.run_id,
                common,
                limits.same_recording,
                f"Run {run.run_id} is labelled {run.condition}, but the champion learnt the "
                f"same recording (run {before.run_id}) as {before.condition}.",
            )
        elif before.run_id != run.run_id:
            yield Finding(
                "renamed",
                WARNING,
                run.run_id,
                common,
                limits.same_recording,
                f"Run {run.run_id} is the recording that the champion knows as run "
                f"{before.run_id}.",
            )


def _recordings_changed(
    runs: Sequence[RunFacts],
    known: Sequence[RunFacts],
    recognised: Mapping[str, Match],
    limits: Guard,
) -> Iterator[Finding]:
    # Other recordings may be numbered from 1 again; among known ones a number means the same run.
    severity = CRITICAL if recognised else WARNING
    before = {run.run_id: run for run in known}
    for run in runs:
        if run.run_id in before and run.run_id not in recognised:
            match = matches([run], [before[run.run_id]]).get(run.run_id)
            common = match.share if match else 0.0
            yield Finding(
                "recording_changed",
                severity,
                run.run_id,
                common,
                limits.same_recording,
                f"Run {run.run_id} is not the recording that the champion learnt under that "
                f"number: it has {common:.0%} of the rows in common.",
            )


def _copies(runs: Sequence[RunFacts], limits: Guard) -> Iterator[Finding]:
    for run, (common, other) in pairs(runs):
        if common > limits.copied_row_share:
            labels = "the same label" if run.label == other.label else "another label"
            yield Finding(
                "copied_rows",
                CRITICAL,
                run.run_id,
                common,
                limits.copied_row_share,
                f"Runs {other.run_id} and {run.run_id} share {common:.0%} of their rows, under "
                f"{labels}; two recordings share none.",
            )


def _scaled(copies: Sequence[Copy], vouched: Collection[str]) -> Iterator[Finding]:
    for copy in copies:
        run, limit = copy.run.run_id, copy.limit
        # One that a person has checked adds weight to a label that is known; it teaches no other.
        checked = run in vouched and copy.run.label == copy.other.label
        severity = WARNING if checked else CRITICAL
        yield Finding("scaled_copy", severity, run, copy.share, limit, copy.sentence)


def _repeated(runs: Sequence[RunFacts], limits: Guard) -> Iterator[Finding]:
    for run in runs:
        share = run.repeated / max(run.cutting_rows, 1)
        if share > limits.repeated_row_share:
            yield Finding(
                "repeated_rows",
                CRITICAL,
                run.run_id,
                share,
                limits.repeated_row_share,
                f"{run.repeated:,} of {run.cutting_rows:,} cutting rows of run {run.run_id} are "
                "there more than once; sensors of a cutting machine never read the same twice.",
            )


def _shifted(
    runs: Sequence[RunFacts],
    known: Sequence[RunFacts] | None,
    limits: Guard,
    asked: Admission,
) -> Iterator[Finding]:
    for run_id, found in level_distances(runs, known, limits, asked).items():
        if found.value > limits.level_distance:
            yield Finding(
                "shifted_sensor",
                CRITICAL,
                run_id,
                found.value,
                limits.level_distance,
                f"{found.signal} of run {run_id} is {found.level:.4g} on average in the cut; "
                f"{found.runs} other runs read {found.low:.4g} to {found.high:.4g}.",
            )


def _dominating(runs: Sequence[RunFacts], limits: Guard) -> Iterator[Finding]:
    total = sum(run.rows for run in runs)
    limit = max(limits.dominating_share, limits.dominating_times / len(runs))
    for run in runs:
        if run.rows / total > limit:
            yield Finding(
                "dominating_run",
                CRITICAL,
                run.run_id,
                run.rows / total,
                limit,
                f"Run {run.run_id} alone holds {run.rows / total:.0%} of the rows of "
                f"{len(runs)} runs; at most {limit:.0%} may come from one.",
            )


def _arriving(
    runs: Sequence[RunFacts],
    known: Sequence[RunFacts] | None,
    recognised: Mapping[str, Match],
    vouched: Collection[str],
    limits: Guard,
) -> Iterator[Finding]:
    if known is None:
        return
    new = [run for run in runs if run.run_id not in recognised]
    share = sum(run.rows for run in new) / sum(run.rows for run in runs)
    if share > limits.arriving_share:
        yield Finding(
            "arriving_rows",
            WARNING,
            "",
            share,
            limits.arriving_share,
            f"{share:.0%} of the rows are of runs that the champion does not know.",
        )
    asked = [run for run in new if run.run_id not in vouched]
    for run in asked if limits.vouch_for_new_runs else ():
        yield Finding(
            NOBODY_VOUCHES,
            CRITICAL,
            run.run_id,
            0.0,
            1.0,
            f"Run {run.run_id} is new, and nobody has vouched for its label, {run.condition}.",
        )
