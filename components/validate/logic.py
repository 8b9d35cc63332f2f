"""Adding up what each expectation found, batch by batch, and judging the total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

CRITICAL, WARNING, INFO = "critical", "warning", "info"
SEVERITIES = (CRITICAL, WARNING, INFO)

EXAMPLES = 1_000  # failing rows kept for one expectation
FAILING_ROWS = 10_000  # failing rows listed in all
_NAMED = 5  # runs or signals named in a sentence

Unit = Literal["rows", "runs", "signals", "table"]  # what is counted; table: it as a whole


@dataclass(frozen=True)
class Check:
    """What one expectation is about. The claim is also its key: no two are alike."""

    name: str
    column: str | None
    severity: str
    unit: Unit
    claim: str
    fault: str
    allowed_share: float = 0.0
    quotes: bool = False


@dataclass(frozen=True)
class Example:
    """Where an expectation failed: the run, its row (None: the run as a whole) and the value."""

    run: str
    row: int | None
    value: str


@dataclass(frozen=True)
class Finding:
    """What one expectation found in one frame; `positions` are row numbers of that frame."""

    check: Check
    total: int
    unexpected: int
    positions: Sequence[int] = ()
    observed: str = ""


@dataclass
class Tally:
    """The sum of an expectation's findings."""

    check: Check
    total: int = 0
    unexpected: int = 0
    observed: str = ""
    examples: list[Example] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of rows, runs or signals that fail."""
        return self.unexpected / self.total if self.total else 0.0

    @property
    def success(self) -> bool:
        """Whether no more fail than is allowed."""
        return self.share <= self.check.allowed_share

    @property
    def sentence(self) -> str:
        """The outcome as a person would say it."""
        check, total = self.check, f"{self.total:,}"
        if check.unit == "table":
            if self.success:
                return f"{check.claim}."
            return f"{check.fault}: {self.observed}." if self.observed else f"{check.fault}."
        if not self.unexpected:
            return f"{check.claim} in all {total} {check.unit}."
        share = f"{self.share * 100:.1f} %" if self.share >= 0.001 else "below 0.1 %"
        count = f"{check.fault} in {self.unexpected:,} of {total} {check.unit} ({share})"
        return f"{count}: {_names(self)}." if check.unit != "rows" else f"{count}."


def _names(tally: Tally) -> str:
    names = [
        f"{example.run} ({example.value})" if tally.check.quotes else example.run
        for example in tally.examples[:_NAMED]
    ]
    rest = tally.unexpected - _NAMED
    return ", ".join(names) + (f" and {rest:,} more" if rest > 0 else "")


class Ledger:
    """The tallies of all expectations, in the order in which they were first met."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def add(self, finding: Finding, examples: Iterable[Example], where: str = "") -> None:
        """Add one finding; of the examples only the first `EXAMPLES` of all batches are kept.

        Args:
            finding: What was found in one frame.
            examples: Where it failed.
            where: The file, for what fails as a whole.
        """
        tally = self._tallies.setdefault(finding.check.claim, Tally(finding.check))
        tally.total += finding.total
        tally.unexpected += finding.unexpected
        if finding.observed and not tally.observed:
            tally.observed = f"{finding.observed} in {where}" if where else finding.observed
        tally.examples.extend(examples)
        del tally.examples[EXAMPLES:]

    @property
    def tallies(self) -> list[Tally]:
        """All tallies: failures first, by severity, the largest share first."""
        return sorted(
            self._tallies.values(),
            key=lambda tally: (
                tally.success,
                SEVERITIES.index(tally.check.severity),
                -tally.share,
            ),
        )

    def failures(self, severity: str) -> list[Tally]:
        """Return what fails at a severity, the largest share first."""
        return [t for t in self.tallies if not t.success and t.check.severity == severity]

    def result(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return the machine-readable result, with `about` the data beside the verdict."""
        critical, warnings = self.failures(CRITICAL), self.failures(WARNING)
        return {
            **about,
            "success": not critical,
            "critical_failures": len(critical),
            "warnings": len(warnings),
            "expectations": [_entry(tally) for tally in self.tallies],
        }

    def failing_rows(self) -> list[dict[str, Any]]:
        """Return one line a critical failure and row, the worst first, at most `FAILING_ROWS`."""
        lines = [
            {
                "run_id": example.run,
                "row": example.row,
                "column": tally.check.column,
                "value": example.value,
                "reason": f"{tally.check.fault.rstrip(',')}",
            }
            for tally in self.failures(CRITICAL)
            for example in tally.examples or [Example("", None, tally.observed)]
        ]
        return lines[:FAILING_ROWS]


def _entry(tally: Tally) -> dict[str, Any]:
    return {
        "name": tally.check.name,
        "column": tally.check.column,
        "severity": tally.check.severity,
        "success": tally.success,
        "unexpected": tally.unexpected,
        "total": tally.total,
        "unit": tally.check.unit,
        "share": tally.share,
        "sentence": tally.sentence,
    }
