"""Looks at the payload log again and again: counts, reports, remembers, publishes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from serving.monitor import report
from serving.monitor import state as states
from serving.monitor.floor import Floor
from serving.monitor.kinds import Kind
from serving.monitor.packages import Packages
from serving.monitor.reader import Piece, Reader
from serving.monitor.state import State, Window
from serving.monitor.watch import Closed, Watch, alarms
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import TEXT_BYTES, read_regular
from toolwear.common.lock import exclusive
from toolwear.common.thresholds import Monitor, Tool
from toolwear.release import champion as pointer
from toolwear.release import room
from toolwear.release.room import Used
from toolwear.workspace.home import Home

_log = logging.getLogger("toolwear.monitor")
_LOCK_SECONDS = 5.0
_ROOM_SECONDS = 60.0  # between two looks at all files of the home


@dataclass(frozen=True)
class Seen:
    """What one look at the log has left, for whoever asks.

    Attributes:
        state: is not changed any more.
        champion: as the pointer has it.
        alarms: which kinds are in alarm, for the champion's windows.
        when: of the look, seconds since 1970; 0: there was none yet.
        room: what there is of each kind on the disk, within the last minute.
    """

    state: State = field(default_factory=State)
    champion: pointer.Champion | None = None
    alarms: dict[Kind, bool] = field(default_factory=lambda: dict.fromkeys(Kind, False))
    when: float = 0.0
    room: Sequence[Used] = ()

    @property
    def package(self) -> str:
        """Digest of the package whose windows count; that of the last window without a champion."""
        if self.champion is not None:
            return self.champion.package_digest
        return self.state.windows[-1].package if self.state.windows else ""

    def latest(self, kind: Kind) -> Window | None:
        """Return the champion's latest window of a kind."""
        return next(reversed(self.state.of_kind(kind, self.package)), None)


class Service:
    """The monitor of a home. One process at a time: it holds a lock while it looks.

    Args:
        home: the system's folder.
        thresholds: from the reviewed file.
        tool: those of worn tools.
    """

    def __init__(self, home: Path, thresholds: Monitor, tool: Tool) -> None:
        self._home = home
        self._thresholds = thresholds
        self._tool = tool
        self._folder = Home(home).monitor
        self._packages = Packages(home, thresholds)
        self._reader = Reader(home)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._seconds = 0.0
        self._room: Sequence[Used] = ()
        self._room_seen = -_ROOM_SECONDS
        self.seen = Seen()

    def start(self, seconds: float) -> None:
        """Look every so many seconds, in a thread."""
        self._seconds = seconds
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what has begun is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether it goes on looking."""
        return self._thread.is_alive()

    def report(self, window_id: str) -> str | None:
        """Return the page of a window, None if there is none."""
        if window_id not in {window.id for window in self.seen.state.windows}:
            return None
        try:
            return read_regular(self._report(window_id), TEXT_BYTES).decode()
        except FileNotFoundError:
            return None
        except ToolwearError as error:
            _log.warning("a report is left out: %s", error)
            return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except (ToolwearError, OSError) as error:
                _log.error("this look at the payload log failed, the next may not: %s", error)
            self._stop.wait(self._seconds)

    def look(self) -> None:
        """Count what is new in the log.

        Raises:
            ToolwearError: the state or the pointer is broken, or another monitor is at it.
            OSError: the log or the state could not be read or written.
        """
        lock = Home(self._home).lock("monitor")
        self._look_at_room()
        with exclusive(lock, "watching this home", _LOCK_SECONDS):
            # From the file each time: what a failed look has counted is not in it.
            state = states.read(self._folder)
            self._show(state)
            watch = Watch(state, self._packages.judge, self._thresholds)
            floor = Floor(state.machines, self._packages.use, self._tool)
            self._note_losses(state)
            for piece in self._reader.requests(state):
                floor.rows(piece.rows)
                self._count(state, piece, watch.rows(piece.rows))
            for piece in self._reader.labels(state):
                self._count(state, piece, watch.labels(self._answered(state, piece.rows)))
            self._tidy(state)
        self._show(state)

    def _look_at_room(self) -> None:
        if time.monotonic() - self._room_seen < _ROOM_SECONDS:
            return
        self._room_seen = time.monotonic()
        try:
            self._room = room.used(Home(self._home))
        except ToolwearError as error:  # the log is to be looked at all the same
            _log.warning("what takes room is not known: %s", error)
            self._room = ()

    def _show(self, state: State) -> None:
        """Let whoever asks see the state as it is now."""
        champion = pointer.read(self._home)
        seen = Seen(state.model_copy(deep=True), champion, when=time.time(), room=self._room)
        self.seen = replace(seen, alarms=alarms(state, seen.package, self._thresholds))

    def _count(self, state: State, piece: Piece, closed: Iterable[Closed]) -> None:
        """Report the windows that a piece of the log closes, then remember that it is counted."""
        for one in closed:
            window = one.window
            earlier = [w for w in state.windows if w.package == window.package][:-1]
            path = self._report(window.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            jsonfile.write_text(path, report.page(one, earlier))
            said = ", ".join(f"{kind} {v.result}" for kind, v in window.verdicts.items())
            _log.info("window %s of %d rows: %s", window.id, window.rows, said)
        if len(piece.rows) or state.positions.get(piece.stem) != piece.position:
            state.positions[piece.stem] = piece.position
            states.write(self._folder, state)
            self._show(state)

    def _answered(self, state: State, labels: pd.DataFrame) -> pd.DataFrame:
        """Return the answers that labels are of, in the labels' order."""
        answers = self._reader.answers(set(labels["receipt_id"]))
        found = labels.merge(answers, on=["receipt_id", "row_number"], how="inner")
        state.unmatched_labels += len(labels) - len(found)
        found["answered_at"] = found["labelled_at"]
        return found

    def _note_losses(self, state: State) -> None:
        gone = self._reader.gone(state)
        lost = [stem for stem in gone if not state.positions[stem].done]
        for stem in gone:
            del state.positions[stem]
        if lost:
            _log.error("the log lost %s before all of it was read; windows begin anew", lost[0])
            state.gaps += 1
            for package in state.packages.values():
                package.restart()
        if gone:
            states.write(self._folder, state)

    def _tidy(self, state: State) -> None:
        """Remove reports of windows that are no longer known."""
        known = {f"{window.id}.html" for window in state.windows}
        for path in Home(self._home).monitor_reports.glob("*.html"):
            if path.name not in known:
                path.unlink(missing_ok=True)

    def _report(self, window_id: str) -> Path:
        return Home(self._home).monitor_reports / f"{window_id}.html"
