"""Recordings that are asked about at the moment, and which request belongs to which.

Rows of one recording stand or fall together, so that a candidate is judged by recordings. A
recording is what the client names (the header `x-recording-id`, or the `run_id` of each row), else
the requests of one client in a row. It is over once nothing was asked about it for a while; from
then on it counts, once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from serving.common.caller import RECORDING_ID
from serving.front.tracks import JSON_LENGTH, Asked
from serving.front.verdicts import NOT_SURE
from toolwear.dataset.schema import RUN_ID, WORN

# Recordings that are open, and those that have counted: clients name them as they like.
MOST = 10_000
FEWEST = 3  # answers of each track in a canary's recording; fewer say too little of it


@dataclass
class Part:
    """What one track made of a recording.

    Attributes:
        requests: that it was given.
        failures: of these.
        slow: of its answers.
        rows: that it has answered.
        unsure: of these.
        worn: of these.
    """

    requests: int = 0
    failures: int = 0
    slow: int = 0
    rows: int = 0
    unsure: int = 0
    worn: int = 0

    @property
    def answers(self) -> int:
        """How many requests it has answered."""
        return self.requests - self.failures

    @property
    def doubt(self) -> float:
        """Share of rows answered "not sure"."""
        return self.unsure / self.rows

    @property
    def verdict(self) -> float | None:
        """Share of rows called worn where it was sure; None if it never was."""
        sure = self.rows - self.unsure
        return self.worn / sure if sure else None


@dataclass
class Recording:
    """What both tracks made of a recording.

    Attributes:
        stable: the champion's part.
        candidate: the candidate's.
        compared: rows of which both are sure; of copies only.
        disagreed: of these, judged otherwise.
    """

    stable: Part = field(default_factory=Part)
    candidate: Part = field(default_factory=Part)
    compared: int = 0
    disagreed: int = 0

    def answered(self, fewest: int) -> bool:
        """Tell whether both tracks have answered so many requests about it, with verdicts."""
        parts = (self.stable, self.candidate)
        return all(part.answers >= fewest and part.rows for part in parts)

    @property
    def more_doubt(self) -> float:
        """How much larger a share of its rows the candidate is not sure of, -1 to 1."""
        return self.candidate.doubt - self.stable.doubt

    @property
    def otherwise(self) -> float:
        """How far the candidate judges it otherwise where both are sure, 0 to 1.

        Of copies it is the share of rows. Else both have answered other rows of it: then it is
        1 if the shares of rows that they call worn differ by more than half.
        """
        if self.compared:
            return self.disagreed / self.compared
        ours, theirs = self.candidate.verdict, self.stable.verdict
        return float(ours is not None and theirs is not None and abs(ours - theirs) > 0.5)


def named(asked: Asked) -> tuple[str, ...]:
    """Return the recordings that a request names: one for all of its rows, or one for each."""
    given = asked.headers.get(RECORDING_ID)
    if given:
        return (given,)
    length = asked.headers.get(JSON_LENGTH)
    try:
        value = orjson.loads(asked.body[: int(length)] if length else asked.body)
        found = _of_rows(value)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()  # the transformer says what is wrong with it
    return tuple(found) if all(isinstance(one, str) for one in found) else ()


def _of_rows(value: Mapping[str, Any]) -> list[Any]:
    if "instances" in value:
        return [row.get(RUN_ID) for row in value["instances"]]
    tensors = [item["data"] for item in value["inputs"] if item["name"] == RUN_ID]
    return [one for data in tensors for one in data]


@dataclass
class _Client:
    recording: str
    latest: float


@dataclass
class Open:
    """The recordings that are not over.

    Attributes:
        gap: seconds without a request after which a recording is over.
    """

    gap: float
    _recordings: dict[str, Recording] = field(default_factory=dict)
    _latest: dict[str, float] = field(default_factory=dict)
    _clients: dict[str, _Client] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._recordings)

    def of(self, asked: Asked) -> tuple[str, ...]:
        """Return the recordings of a request, by what it names or else by who asks."""
        names, client = named(asked), asked.client
        if names:
            return names
        now = time.monotonic()
        known = self._clients.get(client)
        if known is None or now - known.latest > self.gap:
            known = self._clients[client] = _Client(f"{client} {time.time():.3f}", now)
        known.latest = now
        return (known.recording,)

    def add(
        self,
        names: tuple[str, ...],
        track: str,
        verdicts: Sequence[str],
        *,
        failed: bool,
        slow: bool,
    ) -> None:
        """Count a request of a track.

        Args:
            names: its recordings.
            track: "stable" or "candidate".
            verdicts: of its rows, as far as they are known.
            failed: whether it was not answered well.
            slow: whether it took long.
        """
        counted = self._counted(names)
        for name in counted:
            part = self._part(name, track)
            part.requests += 1
            part.failures += failed
            part.slow += slow
        for name, verdict in zip(_each(names, len(verdicts)), verdicts, strict=True):
            if name not in counted:
                continue
            part = self._part(name, track)
            part.rows += 1
            part.unsure += verdict == NOT_SURE
            part.worn += verdict == WORN

    def compare(self, names: tuple[str, ...], ours: Sequence[str], theirs: Sequence[str]) -> None:
        """Count the verdicts of an answer and of its copy."""
        for name, a, b in zip(_each(names, len(ours)), ours, theirs, strict=False):
            if NOT_SURE not in (a, b) and name in self._recordings:
                self._recordings[name].compared += 1
                self._recordings[name].disagreed += a != b

    def over(self, known: Collection[str]) -> dict[str, Recording]:
        """Take out those that are over, but for those that have counted before.

        Args:
            known: those.
        """
        now = time.monotonic()
        names = [name for name, latest in self._latest.items() if now - latest > self.gap]
        for client in [key for key, one in self._clients.items() if now - one.latest > self.gap]:
            del self._clients[client]
        found: dict[str, Recording] = {}
        for name in names:
            del self._latest[name]
            recording = self._recordings.pop(name)
            if name not in known and len(known) + len(found) < MOST:
                found[name] = recording
        return found

    def _counted(self, names: tuple[str, ...]) -> set[str]:
        """Return those that are open, and as many new ones as there is room for."""
        known = {name for name in names if name in self._recordings}
        new = [name for name in dict.fromkeys(names) if name not in known]
        return known | set(new[: MOST - len(self._recordings)])

    def _part(self, name: str, track: str) -> Part:
        self._latest[name] = time.monotonic()
        part: Part = getattr(self._recordings.setdefault(name, Recording()), track)
        return part


def _each(names: tuple[str, ...], rows: int) -> tuple[str, ...]:
    """Return the recording of each row."""
    return names if len(names) == rows else (names[0],) * rows
