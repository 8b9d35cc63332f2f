"""Recorded runs, sent to the front one request after the other, as fast as is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.replay.recordings import Recording
from tools.replay.scenarios import Scenario
from toolwear.client.client import Client
from toolwear.client.errors import ServiceError
from toolwear.dataset import schema

_SENDERS = 2
_BIN_SECONDS = 2.0


@dataclass
class _Bin:
    """Answers of some seconds."""

    rows: int = 0
    right: int = 0
    unsure: int = 0


@dataclass(frozen=True)
class _Served:
    """A run as it is sent.

    Attributes:
        recording: what is sent of it.
        worn: whether its tool was.
        label: what late labels say of that.
    """

    recording: Recording
    worn: bool
    label: bool


@dataclass(frozen=True)
class _Request:
    """A request to be sent: its rows, and whose they are."""

    instances: list[dict[str, Any]]
    served: _Served
    recording: str


@dataclass
class Traffic:
    """Sends what it is told to until it is stopped.

    Attributes:
        url: of the front.
        label_token: for labels.
        per_second: requests, at most.
        requests: sent so far.
        passes: how often the present runs were sent to their end.
        failures: requests without an answer.
    """

    url: str
    label_token: str
    per_second: float = 1.0
    requests: int = 0
    passes: int = 0
    failures: int = 0
    versions: set[str] = field(default_factory=set)
    _what: Iterator[_Request] = field(default_factory=lambda: iter(()))
    _recordings: int = 0
    _labelled: bool = False
    _bins: dict[int, _Bin] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _next: float = 0.0

    def send(
        self, recordings: Sequence[Recording], scenario: Scenario, rows: int, labelled: bool
    ) -> None:
        """Send these runs from now on, again and again, as the scenario makes them.

        Args:
            recordings: as they were recorded.
            scenario: what goes wrong.
            rows: of a request.
            labelled: each answer is labelled as the scenario has it.
        """
        served = [
            _Served(scenario.change(one), one.worn, scenario.label(one)) for one in recordings
        ]
        with self._lock:
            self.passes = 0
            self._labelled = labelled
            self._what = self._forever(served, rows)

    def start(self) -> None:
        """Begin to send."""
        self._threads = [
            threading.Thread(target=self._run, name=f"mill-{number}", daemon=True)
            for number in range(_SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def right(self, seconds: float) -> tuple[float, float]:
        """Return the shares of the last seconds' rows that were right, and that were not sure."""
        since = int((time.time() - seconds) / _BIN_SECONDS)
        with self._lock:
            bins = [found for number, found in self._bins.items() if number > since]
        rows = sum(found.rows for found in bins) or 1
        return sum(found.right for found in bins) / rows, sum(found.unsure for found in bins) / rows

    def shares(self) -> list[tuple[float, float, float]]:
        """Return when (seconds since 1970) which shares of rows were right, and were not sure."""
        with self._lock:
            return [
                (number * _BIN_SECONDS, found.right / found.rows, found.unsure / found.rows)
                for number, found in sorted(self._bins.items())
            ]

    def _forever(self, served: Sequence[_Served], rows: int) -> Iterator[_Request]:
        while True:
            for one in served:
                # Recorded once, sent again and again: each time a recording of its own.
                self._recordings += 1
                name = f"{one.recording.run_id}-{self._recordings}"
                for instances in one.recording.requests(rows):
                    yield _Request(instances, one, name)
            self.passes += 1

    def _run(self) -> None:
        with Client(self.url, label_token=self.label_token) as client:
            while not self._stop.is_set():
                with self._lock:
                    now = time.monotonic()
                    wait = max(0.0, self._next - now)
                    self._next = max(now, self._next) + 1 / self.per_second
                if self._stop.wait(wait):
                    return
                with self._lock:
                    request = next(self._what)
                    labelled, self.requests = self._labelled, self.requests + 1
                try:
                    self._ask(client, request, labelled)
                except ServiceError:
                    self.failures += 1

    def _ask(self, client: Client, request: _Request, labelled: bool) -> None:
        served = request.served
        answer = client.predict_rows(request.instances, recording=request.recording)
        # What late labels claim is the scenario's matter; what is right is not.
        truth = schema.WORN if served.worn else schema.UNWORN
        with self._lock:
            self.versions.add(answer.receipt.version)
            found = self._bins.setdefault(int(time.time() / _BIN_SECONDS), _Bin())
            found.rows += len(answer.predictions)
            found.right += sum(one.verdict == truth for one in answer.predictions)
            found.unsure += sum(one.label is None for one in answer.predictions)
        if labelled:
            client.label(answer.receipt.id, [served.label] * len(request.instances), "inspector")
