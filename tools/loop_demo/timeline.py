"""What happened when: printed as it happens, kept as JSON lines, and drawn at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

EVENTS, PICTURE = "timeline.jsonl", "timeline.png"


class Step(StrEnum):
    """The steps of the loop, in their order."""

    SERVING = "serving"
    HEALTHY = "healthy"
    INJECTED = "injected"
    DELIVERED = "delivered"
    VOUCHED = "vouched"
    DETECTED = "detected"
    FIRING = "alert firing"
    STARTED = "run started"
    JUDGED = "judged"
    CANARY = "canary"
    ENDED = "ended"


@dataclass(frozen=True)
class Event:
    """Something that has happened.

    Attributes:
        step: which of the loop's.
        seconds: since the timeline's begin.
        at: seconds since 1970.
        said: one sentence.
    """

    step: Step
    seconds: float
    at: float
    said: str


class Timeline:
    """Events in the order of time.

    Args:
        folder: takes the files.
        tell: is given each line for people.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._started = time.time()
        self.events: list[Event] = []

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.time() - self._started

    def add(self, step: Step, said: str) -> Event:
        """Take note of an event now."""
        event = Event(step, round(self.seconds, 1), time.time(), said)
        self.events.append(event)
        with (self._folder / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(event)) + "\n")
        self._tell(f"{event.seconds:7.1f} s  {step:<13} {said}")
        return event

    def progress(self, said: str) -> None:
        """Tell what is waited for."""
        self._tell(f"{self.seconds:7.1f} s                {said}")

    def since(self, step: Step) -> float:
        """Return the seconds since a step's first event."""
        return self.seconds - next(event.seconds for event in self.events if event.step == step)

    def draw(self, title: str, shares: list[tuple[float, float, float]]) -> Path:
        """Draw the events below what was answered; return the picture's path.

        Args:
            title: of the picture.
            shares: when (seconds since 1970) which shares of rows were right, and were not sure.
        """
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, (above, below) = plt.subplots(
            2, 1, figsize=(11, 6), sharex=True, height_ratios=(2, 3), layout="constrained"
        )
        if shares:
            ats, right, unsure = zip(*shares, strict=True)
            times = [at - self._started for at in ats]
            above.step(times, right, where="post", color="#1f5fa8", label="right")
            above.step(times, unsure, where="post", color="#b8860b", label="not sure")
            above.legend(frameon=False, loc="center left")
        above.set(ylim=(-0.02, 1.05), ylabel="share of the rows", title=title)
        above.grid(alpha=0.3)
        steps = [step for step in Step if any(event.step == step for event in self.events)]
        places = {step: -number for number, step in enumerate(steps)}
        for event in self.events:
            below.plot(event.seconds, places[event.step], "o", color="#1f5fa8")
            below.axvline(event.seconds, color="#999999", linewidth=0.5, zorder=0)
            above.axvline(event.seconds, color="#999999", linewidth=0.5, zorder=0)
        below.set_yticks([*places.values()], [str(step) for step in steps])
        below.set_xlabel("seconds")
        below.grid(axis="x", alpha=0.3)
        path = self._folder / PICTURE
        figure.savefig(path, dpi=110)
        plt.close(figure)
        return path
