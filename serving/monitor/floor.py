"""Whether the tool in each machine is worn: a verdict that has turned and stays so.

The answers to a machine's telemetry are counted in windows. Two of the last three that say worn,
the newest among them, hold its tool to be worn. A window that is not sure takes its place among the
three, and neither raises nor ends that. A tool does not recover: only windows of another recording,
or of rows of which nobody said what recording they are of, end it, by the same two of three.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from serving.payload.records import PROBABILITY, VERDICT
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import Tool
from toolwear.dataset import schema
from toolwear.model.abstention import NOT_SURE, VERDICTS
from toolwear.release.decisions import KNOWN_RUNS_ONLY, NEW_RUNS

DEFAULT = "default"  # the machine of rows that name none
UNSURE = VERDICTS[NOT_SURE]
_log = logging.getLogger("toolwear.monitor")
Key = tuple[datetime, str, int]  # of a row: when it was answered, its receipt, its number there


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ToolWindow(_Part):
    """What consecutive answers said together.

    Attributes:
        recording: that they are of; empty if nobody said.
        first: when the first of them was given.
        verdict: what most of them say; "not_sure" if no answer has enough of them.
        worn: share of them that are "worn".
        use: what the models that gave them may be used for.
    """

    recording: str
    first: datetime
    verdict: str
    worn: float
    use: str


class Worn(_Part):
    """A tool that is held to be worn, or was.

    Attributes:
        recording: in which that was seen.
        since: when the first answer was given of the windows that said so.
        use: what the models that said so may be used for.
        over: whether another tool has been seen since.
    """

    recording: str
    since: datetime
    use: str
    over: bool = False


class Machine(_Part):
    """What is known of a machine.

    Attributes:
        recording: of its newest rows; empty if nobody said.
        began: when the first of its rows was answered that was seen.
        newest: the newest row that was counted.
        counts: rows of the window under way, by verdict.
        first: when the first of them was answered.
        use: what the models may be used for that answered them.
        windows: the last ones, oldest first.
        worn: its newest worn tool; None if it never had one.
    """

    recording: str = ""
    began: datetime
    newest: Key
    counts: dict[str, int] = Field(default_factory=dict)
    first: datetime
    use: str = NEW_RUNS
    windows: list[ToolWindow] = Field(default_factory=list)
    worn: Worn | None = None

    @property
    def is_worn(self) -> bool:
        """Whether its tool is held to be worn now."""
        return self.worn is not None and not self.worn.over

    @property
    def share(self) -> float | None:
        """Share of the last windows' answers that say worn; None before the first window."""
        shares = [window.worn for window in self.windows]
        return sum(shares) / len(shares) if shares else None


class Machines(_Part):
    """All machines, by name, and the rows of those that there was no room for."""

    known: dict[str, Machine] = Field(default_factory=dict)
    left_out_rows: int = 0

    def changed(self, name: str, when: datetime) -> bool:
        """Take a person's word that a machine has another tool; return whether its was worn.

        Args:
            name: of the machine.
            when: answers until then say nothing of the new tool.

        Raises:
            ToolwearError: there is no such machine.
        """
        if name not in self.known:
            there = ", ".join(sorted(self.known)) or "none yet"
            raise ToolwearError(f"No telemetry names a machine {name}; those watched: {there}.")
        machine = self.known[name]
        was_worn = machine.is_worn
        machine.counts, machine.windows, machine.newest = {}, [], (when, "", 0)
        if machine.worn is not None:
            machine.worn.over = True
        return was_worn


class Floor:
    """Counts the answers of one look at the payload log.

    Args:
        machines: goes on from here, and is changed.
        use: returns what the model of a package may be used for.
        thresholds: from the reviewed file.
    """

    def __init__(self, machines: Machines, use: Callable[[str], str], thresholds: Tool) -> None:
        self._machines = machines
        self._use = use
        self._thresholds = thresholds
        # Files of several servers are read one after the other: older rows may follow in a look.
        self._before = {name: machine.newest for name, machine in machines.known.items()}

    def rows(self, frame: pd.DataFrame) -> None:
        """Count answered rows of the payload log.

        Rows that cut nothing, or whose features are not complete, say nothing of the tool; rows
        that were asked for by a run's id are no machine's telemetry.
        """
        asked = frame[PROBABILITY].notna() & frame["run_id"].isna()
        told = frame[asked & (frame[schema.IS_CUTTING] != False)]  # noqa: E712
        named = told.assign(
            machine=told["machine"].fillna(DEFAULT), recording=told["recording"].fillna("")
        ).sort_values(["answered_at", "receipt_id", "row_number"])
        for name, part in named.groupby("machine", sort=False):
            self._machine_rows(str(name), part)

    def _machine_rows(self, name: str, part: pd.DataFrame) -> None:
        keys = list(zip(part["answered_at"], part["receipt_id"], part["row_number"], strict=True))
        before = self._before.get(name)
        if before is not None:  # a file that comes late, or again, was counted
            part = part[[key > before for key in keys]]
        if part.empty:
            return
        machine = self._place(name, _key(part.iloc[0]), _key(part.iloc[-1]))
        if machine is None:
            self._machines.left_out_rows += len(part)
            return
        machine.newest = max(machine.newest, _key(part.iloc[-1]))
        for recording, rows in _stretches(part):
            self._recording_rows(name, machine, recording, rows)

    def _recording_rows(
        self, name: str, machine: Machine, recording: str, rows: pd.DataFrame
    ) -> None:
        if recording != machine.recording:
            rows = rows[rows["answered_at"] >= machine.began]  # not of a recording before this one
            if rows.empty:
                return
            machine.recording, machine.began = recording, _key(rows.iloc[0])[0]
            machine.counts = {}
        while len(rows):
            # None is left if windows were longer when this one was begun.
            room = max(0, self._thresholds.window_rows - sum(machine.counts.values()))
            self._count(machine, rows.iloc[:room])
            rows = rows.iloc[room:]
            if sum(machine.counts.values()) >= self._thresholds.window_rows:
                self._close(name, machine)

    def _count(self, machine: Machine, rows: pd.DataFrame) -> None:
        if not machine.counts:
            machine.first, machine.use = _key(rows.iloc[0])[0], NEW_RUNS
        for verdict, number in rows[VERDICT].value_counts().items():
            machine.counts[str(verdict)] = machine.counts.get(str(verdict), 0) + int(number)
        if any(self._use(str(package)) != NEW_RUNS for package in rows["package_digest"].unique()):
            machine.use = KNOWN_RUNS_ONLY

    def _close(self, name: str, machine: Machine) -> None:
        limits = self._thresholds
        rows = sum(machine.counts.values())
        shares = {said: n / rows for said, n in machine.counts.items()}
        window = ToolWindow(
            recording=machine.recording,
            first=machine.first,
            verdict=next((v for v, share in shares.items() if share >= limits.share), UNSURE),
            worn=shares.get(schema.WORN, 0.0),
            use=machine.use,
        )
        machine.counts = {}
        machine.windows = [*machine.windows, window][-limits.of_windows :]
        if not machine.is_worn:
            said = self._agreed(machine.windows, schema.WORN)
            if said:
                approved = all(one.use == NEW_RUNS for one in said)
                machine.worn = Worn(
                    recording=window.recording,
                    since=min(one.first for one in said),
                    use=NEW_RUNS if approved else KNOWN_RUNS_ONLY,
                )
                _log.warning("the tool of machine %s is worn, in %s", name, window.recording)
        elif machine.worn is not None:
            seen_in = machine.worn.recording
            others = [w for w in machine.windows if not w.recording or w.recording != seen_in]
            if self._agreed(others, schema.UNWORN):
                machine.worn.over = True
                _log.info("machine %s has another tool, in %s", name, window.recording)

    def _agreed(self, windows: list[ToolWindow], verdict: str) -> list[ToolWindow]:
        """Return the windows that say it, if they are enough and the newest is one of them."""
        said = [window for window in windows if window.verdict == verdict]
        enough = len(said) >= self._thresholds.windows and windows[-1].verdict == verdict
        return said if enough else []

    def _place(self, name: str, first: Key, last: Key) -> Machine | None:
        """Return a machine; None if it is new and all places are taken.

        Whoever makes up names takes no place of a machine that is at work or has a worn tool.
        """
        known = self._machines.known
        if name not in known:
            if len(known) >= self._thresholds.machines:
                longest = min(
                    (other for other in known if not known[other].is_worn),
                    key=lambda other: known[other].newest[0],
                    default=None,
                )
                silent = timedelta(seconds=self._thresholds.silent_seconds)
                if longest is None or last[0] - known[longest].newest[0] < silent:
                    return None
                del known[longest]
            known[name] = Machine(began=first[0], newest=first, first=first[0])
        return known[name]


def _key(row: pd.Series) -> Key:
    return row["answered_at"].to_pydatetime(), str(row["receipt_id"]), int(row["row_number"])


def _stretches(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each stretch of one recording, with its id."""
    changes = (part["recording"] != part["recording"].shift()).cumsum()
    for _, rows in part.groupby(changes, sort=True):
        yield str(rows["recording"].iloc[0]), rows
