"""Gives each cause its run, one at a time, from what the database and the backend say alone.

Nothing that matters is kept in memory: after a kill at any moment the next process goes on where
this one was. A run's name is on the disk before the run is started, and a backend starts a name
once, so a start whose end nobody saw can simply be asked for again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from serving.trigger.alert_memory import AlertMemory
from serving.trigger.alerts import Alert
from serving.trigger.backend import Backend, BackendDownError, Look
from serving.trigger.metrics import TRIGGERS
from serving.trigger.schedule import Clock
from serving.trigger.store import Accepted, Request, Run, Store, TooManyError
from serving.trigger.watch import Watch
from toolwear.common.causes import Cause
from toolwear.common.states import ENDED, State
from toolwear.run.run_name import new_run_name

_START_AGAIN_SECONDS = 10.0
_DOWN_SECONDS = 5.0
_OTHERS_SECONDS = 5.0
_log = logging.getLogger("toolwear.trigger")


class Dispatcher:
    """Works in a thread of its own.

    Args:
        store: the queue.
        backend: does the runs.
        schedule: tells causes by the clock.
        watches: tell causes by new recordings.
        cooldown: seconds between the starts of two runs of a cause.
        retries: further attempts at a run that was killed.
        waiting: causes that may wait at a time.
        alert_gap: seconds within which an alert is told again if it goes on.
        refused: tells by a run's cause whether its data were refused, which is no failure.
    """

    def __init__(
        self,
        store: Store,
        backend: Backend,
        schedule: Clock,
        watches: Sequence[Watch],
        cooldown: Mapping[Cause, float],
        retries: int,
        waiting: int,
        alert_gap: float,
        refused: Callable[[str], bool],
    ) -> None:
        self.store = store
        self.backend = backend
        self.schedule = schedule
        self.alerts = AlertMemory(store, alert_gap)
        self._watches = watches
        self._cooldown = cooldown
        self._retries = retries
        self._waiting = waiting
        self._refused = refused
        self._on_failure: Callable[[], None] = lambda: None
        self._started_at = 0.0  # when the active run was last asked for
        self._stop = threading.Event()
        self._look_again = 0.0  # for runs of others
        self.others_at_work = False
        self.failed = False
        self._thread = threading.Thread(target=self._work, name="dispatcher", daemon=True)

    def start(self, on_failure: Callable[[], None]) -> None:
        """Begin to work.

        Args:
            on_failure: is called should the work end before it was told to: a service that takes
                causes which nobody gives a run is worse than none.
        """
        self._on_failure = on_failure
        self._thread.start()

    def stop(self) -> None:
        """Stop; a run at work goes on and is found again at the next start."""
        self._stop.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def accept(self, request: Request) -> Accepted:
        """Keep a cause and count it.

        Raises:
            TooManyError: too many are waiting already.
        """
        try:
            accepted = self.store.accept(request, time.time(), self._waiting)
        except TooManyError:
            TRIGGERS.labels(request.cause.value, "refused").inc()
            raise
        TRIGGERS.labels(request.cause.value, accepted.result).inc()
        if accepted.result != "duplicate":
            _log.info("%s: cause %d, %s", accepted.result, accepted.id, request.detail)
        return accepted

    def fires(self, alert: Alert) -> Accepted:
        """Keep the cause of an alert that fires; one that goes on firing is the same cause."""
        key = self.alerts.key(alert.fingerprint, alert.start, time.time())
        return self.accept(Request(alert.cause, alert.detail, key, {}))

    def _work(self) -> None:
        try:
            self._go_on()
        finally:
            if not self._stop.is_set():
                self.failed = True
                self._on_failure()

    def _go_on(self) -> None:
        wait = self.backend.poll_seconds
        while not self._stop.wait(wait):
            wait = self.backend.poll_seconds
            try:
                self._listen(time.time())
                self._advance(time.time())
            except BackendDownError as error:
                _log.warning("%s; asking again in %.0f s", error, _DOWN_SECONDS)
                wait = _DOWN_SECONDS

    def _listen(self, now: float) -> None:
        """Keep what the clock, the folders and the other runs of the place tell."""
        if self.schedule.tick(now, self._waiting):
            TRIGGERS.labels(Cause.SCHEDULE.value, "accepted").inc()
        for watch in self._watches:
            request = watch.look(now)
            if request is not None:
                self.accept(request)
        if now >= self._look_again:
            self._look_again = now + _OTHERS_SECONDS
            self._adopt()

    def _adopt(self) -> None:
        """Learn of runs that others have started: they count, and ours wait for them."""
        others = [run for run in self.backend.others() if not self.store.knows(run.name)]
        self.others_at_work = any(other.ended is None for other in others)
        for other in reversed(others):
            if other.ended is None:
                continue
            state = self._ended(other.state, other.cause)
            about = (other.id, other.cause, state, other.reason, other.started, other.ended)
            if self.store.adopt(*about):
                _log.info("%s %s, started by others: %s", other.name, state, other.cause)

    def _advance(self, now: float) -> None:
        """Take the active run, or the next cause, one step further."""
        run = self.store.active()
        if run is not None:
            self._follow(run, now)
            return
        due = self.store.due(now, self._cooldown)
        if due is None or self.others_at_work:
            return
        self._adopt()
        if not self.others_at_work:
            self._start(self.store.begin(due, new_run_name(), now))

    def _start(self, run: Run) -> None:
        _log.info("starting run %s, attempt %d: %s", run.name, run.attempt, run.text)
        self._started_at = time.monotonic()
        self.backend.start(run)

    def _follow(self, run: Run, now: float) -> None:
        look = self.backend.look(run)
        unwanted = self.store.cancelled(run.cause_id)
        if unwanted is not None:
            look = self._cancel(run, look, unwanted)
        if look.state is None:
            # Killed between the promise and the start, or the start came to nothing.
            if self._overdue():
                self._start(run)
        elif look.state in ENDED:
            killed = look.state is State.KILLED and run.attempt <= self._retries
            again = new_run_name() if killed else None
            state = self._ended(look.state, run.text)
            self.store.end(run, state, look.reason, now, again)
            _log.info("run %s %s %s", run.name, state, look.reason)
            if again is not None:
                self._start(self.store.run(again))
        elif run.state is not look.state:
            self.store.mark_running(run.name)

    def _cancel(self, run: Run, look: Look, why: str) -> Look:
        """Take a run that nobody wants any more towards its end; return how it is."""
        if look.state is State.RUNNING:
            self.backend.cancel(run, why)
        elif look.state in (State.FAILED, State.KILLED, State.CANCELLED) or (
            look.state is None and self._overdue()
        ):
            return Look(State.CANCELLED, why)
        return look

    def _ended(self, state: State, cause: str) -> State:
        refused = state is State.FAILED and self._refused(cause)
        return State.REFUSED if refused else state

    @property
    def notes(self) -> list[str]:
        """What the watched recordings wait for."""
        return [watch.note for watch in self._watches if watch.note]

    def _overdue(self) -> bool:
        """Tell whether the run that was asked for should have been seen by now."""
        return time.monotonic() - self._started_at > _START_AGAIN_SECONDS
