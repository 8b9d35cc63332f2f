"""The loop, step by step: each is waited for, and told once it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.monitor.kinds import Kind
from tools.loop_demo import deliver
from tools.loop_demo.eyes import Eyes
from tools.loop_demo.plans import DEGRADED, DRIFT, SENSOR, Delivery, Plan
from tools.loop_demo.timeline import Step, Timeline
from tools.loop_demo.traffic import Traffic
from tools.replay.recordings import Recording
from tools.replay.scenarios import HEALTHY, SCENARIOS
from toolwear.common.errors import ToolwearError
from toolwear.release.audit_log import DECLINE, START
from toolwear.release.rollout import CANDIDATE, Mode, Result

_POLL_SECONDS = 0.5
_TELL_SECONDS = 10.0
# Requests a second and rows of each. A mill gives ten rows a second; windows are to be full sooner.
_FILLING, _WAITING, _TRYING = (12.0, 25), (2.0, 25), (20.0, 25)
_HEALTHY_WINDOWS = 3
_QUIET_SECONDS = 30.0  # in which an alert that starts no run would have started one
_LAST_SECONDS = 10.0


class MissingStepError(ToolwearError):
    """A step of the loop has not come."""


@dataclass
class Story:
    """One way through the loop.

    Attributes:
        plan: what happens.
        eyes: look at the parts.
        traffic: at the front.
        timeline: takes the events.
        data: folder of all recordings.
        folder: of recordings that runs train on.
        recordings: by run.
        vouch: has a person vouch for new runs.
        patience: factor on all waiting.
    """

    plan: Plan
    eyes: Eyes
    traffic: Traffic
    timeline: Timeline
    data: Path
    folder: Path
    recordings: dict[str, Recording]
    vouch: Callable[[Sequence[str]], None]
    patience: float = 1.0
    _injected: float = 0.0

    def tell(self) -> None:
        """Go through the loop.

        Raises:
            MissingStepError: a step has not come, or one that must not has.
        """
        champion = self.eyes.champion()
        entries = len(self.eyes.log())
        self.timeline.add(Step.SERVING, f"version {champion} answers, everything is watched")
        self._healthy()
        if not self.plan.shifted:
            self.timeline.add(Step.ENDED, f"version {champion} stays; no run was started")
            return
        self._inject()
        self._detected()
        self._firing()
        if self.plan.cause is None:
            self._no_run()
        else:
            self._judged(self._started(), champion, entries)

    # --- the steps --------------------------------------------------------------------------------

    def _healthy(self) -> None:
        self._send(self.plan.healthy, HEALTHY, _FILLING)
        self.traffic.start()

        kinds = (Kind.QUALITY, *_RATED, *((Kind.CONCEPT,) if self.plan.labelled else ()))

        def enough() -> bool:
            windows = self.eyes.windows().values()
            judged = [sum(kind in window for window in windows) for kind in kinds]
            return self.traffic.passes > 0 and min(judged) >= _HEALTHY_WINDOWS

        self._wait(Step.HEALTHY, "enough healthy windows were judged", enough, 600)
        alarms = [*self.eyes.alarms()]
        firing = sorted({DRIFT, DEGRADED, SENSOR} & set(self.eyes.firing()))
        if alarms or firing or self.eyes.runs():
            raise MissingStepError(
                f"Healthy traffic was to raise no alarm, but raised {', '.join(alarms + firing)}."
            )
        right, unsure = self.traffic.right(3600)
        self.timeline.add(
            Step.HEALTHY,
            f"{len(self.eyes.windows())} windows of {self.traffic.requests} requests: no alarm, "
            f"{right:.1%} of the answers right, {unsure:.1%} not sure",
        )

    def _inject(self) -> None:
        self._shift(_FILLING)
        self._injected = self.timeline.add(Step.INJECTED, self.plan.scenario.title).at
        if self.plan.delivery == Delivery.NOTHING:
            return
        runs = [self.recordings[run] for run in self.plan.shifted]
        new = deliver.deliver(self.data, self.folder, self.plan.delivery, self.plan.scenario, runs)
        if new:
            said = f"recordings of the new state, labelled: runs {', '.join(new)}"
        else:
            said = f"labels that say the opposite, of runs {', '.join(self.plan.shifted)}"
        self.timeline.add(Step.DELIVERED, said)
        if new:
            self.vouch(new)
            self.timeline.add(Step.VOUCHED, f"a person vouches for runs {', '.join(new)}")

    def _detected(self) -> None:
        def detected() -> bool:
            return bool(set(self.plan.alarms) & set(self.eyes.alarms()))

        self._wait(Step.DETECTED, "the monitor raised an alarm", detected, 300)
        alarms = self.eyes.alarms()
        kind = next(kind for kind in self.plan.alarms if kind in alarms)
        windows = sum(kind in results for results in self.eyes.windows(self._injected).values())
        self.timeline.add(
            Step.DETECTED,
            f"{', '.join(alarms)} after {windows} windows and "
            f"{self.timeline.since(Step.INJECTED):.0f} s: {alarms[kind]}",
        )

    def _firing(self) -> None:
        alert = self.plan.alert

        def firing() -> bool:
            return alert in self.eyes.firing() and alert in self.eyes.told()

        self._wait(Step.FIRING, f"Alertmanager had {alert} from Prometheus", firing, 120)
        self.timeline.add(Step.FIRING, f"{alert}: {self.eyes.firing().get(alert, '')}")

    def _no_run(self) -> None:
        self._shift(_WAITING)
        deadline = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < deadline:
            if self.eyes.runs():
                raise MissingStepError("A run was started, although no model may learn from this.")
            time.sleep(_POLL_SECONDS)
        self.timeline.add(
            Step.ENDED,
            f"no run was started; version {self.eyes.champion()} stays until it is mended",
        )

    def _started(self) -> dict[str, Any]:
        def started() -> dict[str, Any] | None:
            runs = [run for run in self.eyes.runs() if run["cause"] == self.plan.cause]
            return runs[0] if runs and runs[0]["attempts"] else None

        run = self._wait(Step.STARTED, f"a run of {self.plan.cause} was started", started, 120)
        self._shift(_WAITING)
        self.timeline.add(Step.STARTED, f"cause {run['id']}, {run['cause']}: {run['detail']}")
        return run

    def _judged(self, run: dict[str, Any], champion: str, entries: int) -> None:
        def judged() -> dict[str, Any] | None:
            now = self.eyes.run(run["id"])  # before the log, which it writes before it ends
            for entry in self.eyes.log()[entries:]:
                if entry["cause"].startswith(f"{self.plan.cause}: "):
                    return entry
            if now is not None and self.eyes.ended(now):
                reason = now["attempts"][-1]["reason"] or now["status"]
                raise MissingStepError(f"The run ended without a decision: {reason.rstrip('.')}.")
            return None

        entry = self._wait(
            Step.JUDGED, "the decision was on the audit log", judged, 1800, self._at_work(run["id"])
        )
        self.timeline.add(Step.JUDGED, f"{entry['action']}: {entry['why']}")
        if self.plan.refused or entry["action"] == DECLINE:
            self._stays(entry, champion)
        elif entry["action"] == Mode.CANARY + START:
            self._released(champion)
        else:
            raise MissingStepError("The step 'canary' did not come: it went another way.")
        self._wait(Step.ENDED, "the run has ended", lambda: self._has_ended(run["id"]), 300)
        self._one_run()

    def _stays(self, entry: dict[str, Any], champion: str) -> None:
        if entry["action"] != DECLINE or self.eyes.champion() != champion:
            raise MissingStepError("The data was to be refused, and the champion to stay.")
        self.timeline.add(Step.ENDED, f"nothing is released; version {champion} stays")

    def _released(self, champion: str) -> None:
        self._shift(_TRYING)
        seen: list[int] = []

        def ended() -> dict[str, Any] | None:
            now = self.eyes.rollout()
            if now is None:
                return None
            if now["stage"] not in seen and not now["result"]:
                seen.append(now["stage"])
                share = now["weights"][CANDIDATE]
                self.timeline.add(
                    Step.CANARY, f"version {now['version']} gets {share} % of the requests"
                )
            return now if now["result"] else None

        def so_far() -> str:
            return f"{self._sent()}; {self.eyes.recordings()} recordings were seen in the rollout"

        rollout = self._wait(Step.ENDED, "the canary has ended", ended, 1200, so_far)
        promoted = rollout["result"] == Result.PROMOTED
        expected = rollout["version"] if promoted else champion
        self._wait(
            Step.ENDED,
            f"version {expected} has the registry's alias",
            lambda: self.eyes.champion() == expected,
            60,
        )
        self.timeline.add(
            Step.ENDED, f"version {rollout['version']} {rollout['result']}: {rollout['reason']}"
        )
        time.sleep(_LAST_SECONDS)
        right, unsure = self.traffic.right(_LAST_SECONDS)
        self.timeline.add(
            Step.ENDED,
            f"version {expected} answers: {right:.1%} right, {unsure:.1%} not sure, of the last "
            f"{_LAST_SECONDS:.0f} s",
        )

    def _one_run(self) -> None:
        started = [run for run in self.eyes.runs() if run["attempts"]]
        if len(started) != 1:
            causes = ", ".join(run["cause"] for run in started)
            raise MissingStepError(f"One run was to be started, but {len(started)} were: {causes}.")

    # --- what they need ---------------------------------------------------------------------------

    def _shift(self, pace: tuple[float, int]) -> None:
        self._send(self.plan.shifted, self.plan.scenario.name, pace)

    def _send(self, runs: Sequence[str], scenario: str, pace: tuple[float, int]) -> None:
        self.traffic.per_second, rows = pace
        chosen = [self.recordings[run] for run in runs]
        self.traffic.send(chosen, SCENARIOS[scenario], rows, self.plan.labelled)

    def _has_ended(self, cause_id: str) -> bool:
        now = self.eyes.run(cause_id)
        return now is not None and self.eyes.ended(now)

    def _at_work(self, cause_id: str) -> Callable[[], str]:
        def said() -> str:
            now = self.eyes.run(cause_id)
            steps = now["steps"] if now is not None else []
            done = [step for step in steps if step["state"] == "succeeded"]
            at_work = [step["step"] for step in steps if step["state"] == "running"]
            return f"{len(done)} steps are done, at work: {', '.join(at_work) or 'nothing'}"

        return said

    def _wait[T](
        self,
        step: Step,
        what: str,
        condition: Callable[[], T | None],
        seconds: float,
        more: Callable[[], str] | None = None,
    ) -> T:
        """Return what a condition gives once it is true.

        Args:
            step: that does not come without it.
            what: is waited for, in words.
            condition: gives something false until then.
            seconds: at most.
            more: tells how it gets on.
        """
        began = told = time.monotonic()
        limit = seconds * self.patience
        while not (found := condition()):
            if fault := self.eyes.fault():
                raise MissingStepError(f"The step '{step}' did not come: {fault.rstrip('.')}.")
            now = time.monotonic()
            if now - began > limit:
                raise MissingStepError(
                    f"The step '{step}' did not come: it was waited {limit:.0f} s until {what}."
                )
            if now - told > _TELL_SECONDS:
                told = now
                said = more() if more is not None else self._sent()
                self.timeline.progress(f"waiting until {what}: {said}")
            time.sleep(_POLL_SECONDS)
        return found

    def _sent(self) -> str:
        windows, alarms = len(self.eyes.windows()), ", ".join(self.eyes.alarms()) or "no alarm"
        return f"{self.traffic.requests} requests, {windows} windows, {alarms}"


_RATED = (Kind.DATA, Kind.PREDICTION, Kind.ABSTENTION)
