"""Stages in their order, what came of each, and where to go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from tools.kind.programs import CommandFailedError
from toolwear.common.errors import ToolwearError
from toolwear.common.jsonfile import write_text

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Stage[Site]:
    """One thing that is to be seen.

    Attributes:
        name: of the stage.
        shows: what it shows, a phrase.
        see: does it and returns the evidence, a phrase; raises if it is not to be seen.
    """

    name: str
    shows: str
    see: Callable[[Site], str]


@dataclass(frozen=True)
class Outcome:
    """What came of a stage.

    Attributes:
        stage: its name.
        verdict: PASSED or FAILED.
        seconds: that it took.
        evidence: what was seen, or why it failed.
    """

    stage: str
    verdict: str
    seconds: float
    evidence: str


class Journal:
    """Outcomes and facts of one cluster, on the disk after each stage.

    Args:
        path: of the file; it need not be there.

    Raises:
        ToolwearError: there is something else in its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        kept: dict[str, Any] = {"outcomes": [], "facts": {}, "memory": {}}
        if path.exists():
            try:
                kept |= json.loads(path.read_text(encoding="utf-8"))
                self._outcomes = {one["stage"]: Outcome(**one) for one in kept["outcomes"]}
            except (ValueError, TypeError, KeyError) as error:
                raise ToolwearError(f"{path} is no journal of a walk; take it away.") from error
        else:
            self._outcomes = {}
        # What later stages are held against, such as the digest of a package.
        self.facts: dict[str, str] = kept["facts"]
        # Peak of each container's working set, MiB.
        self.memory: dict[str, int] = kept["memory"]

    def passed(self, name: str) -> bool:
        """Tell whether a stage has passed."""
        return name in self._outcomes and self._outcomes[name].verdict == PASSED

    def forget(self, names: Sequence[str]) -> None:
        """Have stages done again."""
        for name in names:
            self._outcomes.pop(name, None)

    def note(self, outcome: Outcome) -> None:
        """Keep what came of a stage."""
        self._outcomes[outcome.stage] = outcome
        self.keep()

    def keep(self) -> None:
        """Write everything down."""
        outcomes = [asdict(one) for one in self._outcomes.values()]
        kept = {"outcomes": outcomes, "facts": self.facts, "memory": self.memory}
        write_text(self.path, json.dumps(kept, indent=1) + "\n")

    def outcome(self, name: str) -> Outcome | None:
        """Return what came of a stage, if it was tried."""
        return self._outcomes.get(name)


def walk[Site](
    stages: Sequence[Stage[Site]],
    site: Site,
    journal: Journal,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Outcome]:
    """Do the stages that have not passed, in their order, and yield what comes of each.

    The first that fails is the last: what follows needs it.
    """
    for stage in stages:
        if journal.passed(stage.name):
            continue
        print(f"--- {stage.name}: {stage.shows}", flush=True)
        started = clock()
        try:
            verdict, evidence = PASSED, stage.see(site)
        except (CommandFailedError, ToolwearError) as error:
            verdict, evidence = FAILED, str(error)
        outcome = Outcome(stage.name, verdict, round(clock() - started, 1), evidence)
        journal.note(outcome)
        yield outcome
        if verdict == FAILED:
            return


def table[Site](stages: Sequence[Stage[Site]], journal: Journal) -> Table:
    """Return stage, verdict, seconds and evidence of all stages."""
    made = Table("stage", "verdict", "seconds", "evidence", title="cluster walk")
    for stage in stages:
        found = journal.outcome(stage.name)
        if found is None:
            made.add_row(stage.name, "not reached", "", stage.shows)
        else:
            made.add_row(stage.name, found.verdict, f"{found.seconds:.0f}", found.evidence)
    return made


def memory_table(journal: Journal) -> Table:
    """Return the peak of each container's working set that was seen while walking."""
    made = Table("container", "MiB", title="peak of the working set, looked at while walking")
    for name, mebibytes in sorted(journal.memory.items(), key=lambda item: -item[1]):
        made.add_row(name, str(mebibytes))
    return made
