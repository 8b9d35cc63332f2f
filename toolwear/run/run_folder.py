"""How a run on this machine stands, told by its folder alone, whoever started it.

summary.json            succeeded
lock held               running; the kernel lets go of it with the process
end.json                failed, or its data were refused
cancel.json             cancelled by a person, who said why
none of these           killed
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from toolwear.common import jsonfile
from toolwear.common.lock import exclusive, is_held
from toolwear.common.states import State

SUMMARY_FILE, ARGUMENTS_FILE = "summary.json", "arguments.json"
REPORT_FILE, FAILURE_FILE = "report.html", "failure.html"
LATEST = "latest"  # link beside the folders to the newest that succeeded
END_FILE, CANCEL_FILE = "end.json", "cancel.json"
EVENTS = "events"
# What tells of a run once its artifacts are gone.
RECORD = (
    SUMMARY_FILE,
    ARGUMENTS_FILE,
    END_FILE,
    CANCEL_FILE,
    EVENTS,
    REPORT_FILE,
    FAILURE_FILE,
)
_RUNS = "2*"  # a run's folder begins with its year
LOCK = ".lock"
KILLED_REASON = "its process was killed, or the machine was"


class Ending(NamedTuple):
    """The state of a run, and why it did not succeed."""

    state: State
    reason: str = ""


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Count as running while the block runs."""
    with exclusive(folder / LOCK, f"the run {folder.name}", seconds=1.0):
        yield


def fail(folder: Path, reason: str, state: State = State.FAILED) -> None:
    """Record that the run failed, or that its data were refused."""
    jsonfile.write(folder / END_FILE, {"state": state, "reason": reason, "at": time.time()})


def cancel(folder: Path, why: str) -> None:
    """Record that a person ends the run; whoever can then ends its process."""
    if folder.is_dir() and not (folder / CANCEL_FILE).exists():
        jsonfile.write(folder / CANCEL_FILE, {"why": why, "at": time.time()})


def folders(home: Path) -> list[Path]:
    """Return the folders of the runs of a home, the newest first; a link is none of them."""
    found = [
        path
        for path in home.glob(_RUNS)
        if (path / ARGUMENTS_FILE).exists() and not path.is_symlink()
    ]
    return sorted(found, reverse=True)


def ending(folder: Path) -> Ending:
    """Return how a run stands."""
    if (folder / SUMMARY_FILE).exists():
        return Ending(State.SUCCEEDED)
    if is_held(folder / LOCK):
        return Ending(State.RUNNING)
    return ended(folder)


def ended(folder: Path) -> Ending:
    """Return how a run stands whose work is over, also while its process puts things in order."""
    if (folder / SUMMARY_FILE).exists():
        return Ending(State.SUCCEEDED)
    if (folder / END_FILE).exists():
        value = jsonfile.read(folder / END_FILE)
        return Ending(State(value["state"]), str(value["reason"]))
    return interrupted(folder)


def interrupted(folder: Path) -> Ending:
    """Return how a run stands that is neither at work nor came to its own end."""
    if (folder / CANCEL_FILE).exists():
        return Ending(State.CANCELLED, str(jsonfile.read(folder / CANCEL_FILE)["why"]))
    return Ending(State.KILLED, KILLED_REASON)


def steps(folder: Path, *, running: bool) -> list[dict[str, Any]]:
    """Return what the steps recorded, in the order in which they began.

    Args:
        folder: of the run.
        running: whether the run is at work; if not, a step that was cut off stands as its run.
    """
    events = [jsonfile.read(path) for path in (folder / EVENTS).glob("*.json")]
    for event in events:
        if event["state"] != State.RUNNING:
            continue
        if running:
            event["seconds"] = round(time.time() - event["started"], 1)
        else:
            event["state"], event["reason"] = interrupted(folder)
    return sorted(events, key=lambda event: float(event["started"]))
