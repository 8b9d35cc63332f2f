"""A deployment: put up beside, wait, ask, move the traffic, or put everything back as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from toolwear.release.blue_green import colours
from toolwear.release.blue_green.cluster import Cluster
from toolwear.release.blue_green.notes import Notes
from toolwear.release.blue_green.progress import Progress, progress
from toolwear.release.blue_green.questions import Answer

ALL = 100  # percent


class NotDeployedError(Exception):
    """The new model does not serve; what was in service does, as before. The text says why."""


@dataclass(frozen=True)
class Pace:
    """How long things may take, seconds.

    Attributes:
        ready: until all three Deployments are available.
        hold: between two steps of the traffic, while the new model is watched.
        poll: between two looks.
    """

    ready: float = 600.0
    hold: float = 60.0
    poll: float = 2.0


@dataclass(frozen=True)
class Deployed:
    """What was done.

    Attributes:
        colour: that serves the package now.
        changed: whether it did not before.
        before: digest of the package that had the traffic; empty if none had.
        answers: to the questions.
    """

    colour: str
    changed: bool
    before: str
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Deployment:
    """One package on its way into service.

    Attributes:
        cluster: where.
        notes: of what has to be put back.
        digest: of the package, which is in the bucket already.
        ask: asks the model of a colour all questions.
        steps: percent of the traffic that it gets, one step after the other; the last is 100.
        pace: how long things may take.
        tell: is told the progress, one phrase a call.
    """

    cluster: Cluster
    notes: Notes
    digest: str
    ask: Callable[[str], Sequence[Answer]]
    steps: Sequence[int]
    pace: Pace
    tell: Callable[[str], None]

    def run(self) -> Deployed:
        """Bring the package into service; whatever goes wrong, what served before serves on.

        Raises:
            NotDeployedError: the model does not come up, or answers wrongly.
            ClusterDownError: the Kubernetes API fails for long.
        """
        templates = self.cluster.templates()
        mend(self.cluster, self.notes, self.tell)
        services = {colour: self.cluster.service(colour) for colour in colours.COLOURS}
        there = [colour for colour, service in services.items() if service is not None]
        weights = colours.weights_of(self.cluster.route())
        live = colours.in_service(weights, there)
        serving = services[live] if live is not None else None
        before = colours.digest_of(serving) if serving is not None else ""
        if live is not None and before == self.digest and weights[live] == ALL:
            self.tell(f"{live} serves the package {self.digest[:12]} already")
            self._wait(live)
            return Deployed(live, False, before, self._checked(live))
        target = colours.other(live)
        manifest = colours.filled(templates.services[target], self.digest)
        with ExitStack() as undo:
            undo.callback(self._put_back, target, services[target])
            self.tell(f"putting up the package {self.digest[:12]} as {target}")
            self.notes.write(target, services[target])
            self.cluster.apply_service(manifest)
            self._wait(target)
            answers = self._checked(target)
            self._move(undo, templates.route, target, weights if live is not None else None)
            undo.pop_all()
        self.notes.drop(target)
        return Deployed(target, True, before, answers)

    def _put_back(self, target: str, previous: colours.Manifest | None) -> None:
        _put_back(self.cluster, target, previous, self.tell)
        self.notes.drop(target)  # not if that failed: the next deployment then does it

    def _move(
        self,
        undo: ExitStack,
        route: colours.Manifest,
        target: str,
        weights: Mapping[str, int] | None,
    ) -> None:
        """Give the traffic to `target` in steps; `weights`, come back on failure."""
        steps = self.steps if weights is not None else (ALL,)
        if weights is not None:
            undo.callback(self.cluster.apply_route, colours.weighted(route, weights))
        for percent in steps:
            self.tell(f"{target} gets {percent} % of the traffic")
            parts = {target: percent, colours.other(target): ALL - percent}
            self.cluster.apply_route(colours.weighted(route, parts))
            if percent < ALL:
                time.sleep(self.pace.hold)
                self._wait(target)
                self._checked(target)

    def _wait(self, colour: str) -> None:
        """Wait for the three Deployments of a colour.

        Raises:
            NotDeployedError: one will not come up, or not in time.
        """
        deadline = time.monotonic() + self.pace.ready
        told: dict[str, str] = {}
        while True:
            found = {part: self._progress(colour, part) for part in colours.COMPONENTS}
            for part, now in found.items():
                if told.get(part) != now.says:
                    self.tell(f"{colour} {part}: {now.says}")
                told[part] = now.says
            if all(now.up for now in found.values()):
                return
            if time.monotonic() >= deadline:
                late = [f"{part} ({now.says})" for part, now in found.items() if not now.up]
                raise NotDeployedError(f"Not up after {self.pace.ready:g} s: {', '.join(late)}.")
            time.sleep(self.pace.poll)

    def _progress(self, colour: str, part: str) -> Progress:
        now = progress(self.cluster.seen(colour, part), self.digest)
        if now.failed:
            log = ""
            if now.stuck is not None:
                log = f" Its log ends: {self.cluster.log(now.stuck.pod, now.stuck.container)}"
            raise NotDeployedError(f"The {part} of {colour} does not come up: {now.says}.{log}")
        return now

    def _checked(self, colour: str) -> Sequence[Answer]:
        try:
            answers = self.ask(colour)
        except httpx.HTTPError as error:
            raise NotDeployedError(
                f"{colour} does not answer: {type(error).__name__} {error}".strip()
            ) from error
        wrong = [answer.sentence for answer in answers if not answer.passed]
        if wrong:
            raise NotDeployedError(f"{colour} answered wrongly: {' '.join(wrong)}")
        self.tell(f"{colour} answered {len(answers)} questions rightly")
        return answers


def mend(cluster: Cluster, notes: Notes, tell: Callable[[str], None]) -> None:
    """Settle what a deployment that was killed has left; needs that none is at work."""
    weights = colours.weights_of(cluster.route())
    for colour in colours.COLOURS:
        begun, previous = notes.read(colour)
        if not begun:
            continue
        if weights[colour] == ALL:  # it had been asked everything and got the traffic
            notes.drop(colour)
            continue
        tell(f"a deployment to {colour} was cut off: putting back what was there")
        if weights[colour]:
            route = cluster.templates().route
            parts = {colour: 0, colours.other(colour): ALL}
            cluster.apply_route(colours.weighted(route, parts))
        _put_back(cluster, colour, previous, tell)
        notes.drop(colour)


def _put_back(
    cluster: Cluster,
    colour: str,
    previous: colours.Manifest | None,
    tell: Callable[[str], None],
) -> None:
    if previous is None:
        tell(f"taking {colour} away: nothing was there before")
        cluster.delete_service(colour)
    else:
        tell(f"putting back what was {colour} before")
        cluster.apply_service(colours.applicable(previous))


def record(done: Deployed | None, digest: str, error: Exception | None) -> dict[str, Any]:
    """Return `deployment.json`: what became of the package."""
    if done is None:
        return {"deployed": False, "package_digest": digest, "reason": str(error), "answers": []}
    return {
        "deployed": True,
        "package_digest": digest,
        "reason": "It serves all traffic." if done.changed else "It served all traffic already.",
        "colour": done.colour,
        "changed": done.changed,
        "before": done.before,
        "answers": [vars(answer) for answer in done.answers],
    }
