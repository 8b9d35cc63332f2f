"""Keeps a rollout going: whether the candidate may answer, what was seen, and what follows."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from serving.front import evidence as seen
from serving.front import judge, metrics
from serving.front.evidence import Evidence
from serving.front.judge import Finding
from serving.front.recordings import Open
from serving.front.settlement import Settlement
from serving.front.tracks import EXPLAINER, TRANSFORMER, Answer, Asked, Track
from serving.front.verdicts import Said
from toolwear.common.errors import ToolwearError
from toolwear.release import rollout as state
from toolwear.release import rollouts
from toolwear.release.rollout import (
    CANDIDATE,
    SHADOW,
    STABLE,
    WHOLE,
    Mode,
    Result,
    Rollout,
    Verdict,
)
from toolwear.workspace.home import Home

_TICK_SECONDS = 0.25
_PROBE_SECONDS = 1.0
_SAVE_SECONDS = 2.0
_RETRY_SECONDS = 5.0
_WARM = 3  # copies answered well before a client may be given to the candidate
_PATIENCE = 4  # times as many failures in a row are forgiven while it is cold
_log = logging.getLogger("toolwear.front")


class Keeper:
    """Follows the rollout's file, and judges the candidate.

    Args:
        home: the system's folder.
        model: name in the servers' URLs.
        candidate: the candidate's servers.
    """

    def __init__(self, home: Home, model: str, candidate: Track) -> None:
        self._home = home
        self._model = model
        self._candidate = candidate
        self._rollout: Rollout | None = None
        self._evidence = Evidence()
        self._open = Open(0.0)
        self._ready = dict.fromkeys((TRANSFORMER, EXPLAINER), False)
        self._warm = self._cold_failures = 0
        self._warm_since: float | None = None
        self._waiting_since = time.monotonic()
        self._last_probe = self._last_save = 0.0
        self._settlement = Settlement(home)
        self._saved: dict[str, Any] = {}

    def choose(self, role: str) -> str:
        """Return the track that a request is assigned to at random."""
        share = self._weights()[CANDIDATE]
        ready = self._is_warm and self._ready[role]
        if share and ready and secrets.randbelow(WHOLE) < share:
            return CANDIDATE
        return STABLE

    @property
    def judging(self) -> bool:
        """Whether answers are to be counted."""
        return self._undecided and self._is_warm

    @property
    def warming(self) -> bool:
        """Whether the candidate is to get copies that are not counted: first ones are slow."""
        return self._undecided and self._ready[TRANSFORMER] and not self._is_warm

    @property
    def shadowing(self) -> bool:
        """Whether the candidate is to get copies."""
        return self.judging and self._rollout is not None and self._rollout.mode == Mode.SHADOW

    @property
    def candidate_seconds(self) -> float:
        """How long a candidate may take to predict."""
        return float(self._rollout.thresholds["candidate_seconds"]) if self._rollout else 0.0

    def serves(self, track: str, said: Said | None) -> bool:
        """Tell whether an answer is of the version that is being compared.

        If it is not of the candidate's, its servers are not ready yet.
        """
        if self._rollout is None or said is None:
            return said is None
        wanted = self._rollout.version if track == CANDIDATE else self._rollout.champion
        if said.version != wanted and track == CANDIDATE:
            self._ready[TRANSFORMER] = False
        return said.version == wanted

    def add(
        self,
        track: str,
        asked: Asked,
        answer: Answer,
        said: Said | None,
        *,
        alone: bool = False,
    ) -> None:
        """Count an answer of a track to a prediction that was assigned to it at random.

        Args:
            track: STABLE or CANDIDATE.
            asked: the request.
            answer: of the track.
            said: its content, as far as it is known.
            alone: whether the other track gave a good one. What both fail at may lie behind both.
        """
        now = self._rollout
        if now is None or not self.judging:
            return
        evidence, failed = self._evidence, not answer.good
        slow = not failed and answer.seconds * 1000 > judge.slow_ms(now, evidence)
        evidence.tracks[track].add(answer.seconds, failed=failed)
        verdicts = said.verdicts if said is not None else ()
        self._open.add(self._open.of(asked), track, verdicts, failed=failed, slow=slow)
        if track == CANDIDATE and not failed:
            evidence.failures_in_a_row = 0
        elif track == CANDIDATE and alone:
            evidence.failures_in_a_row += 1

    def warmed(self, answer: Answer, said: Said | None) -> None:
        """Take note of what the candidate has made of a copy while it was cold."""
        if answer.good and self.serves(CANDIDATE, said):
            self._warm += 1
            self._cold_failures = 0
        elif not answer.good:
            self._cold_failures += 1

    def compare(self, asked: Asked, ours: Said, theirs: Said) -> None:
        """Count an answer and its copy's, after both were added."""
        self._open.compare(self._open.of(asked), ours.verdicts, theirs.verdicts)

    def told(self) -> dict[str, Any]:
        """Return the state for people and programs."""
        now, evidence = self._rollout, self._evidence
        open_now = now if now is not None and now.running else None
        measured = judge.measure(open_now, evidence) if open_now else []
        undecided = judge.undecided(open_now, evidence) if open_now and self._undecided else ""
        return {
            "rollout": asdict(now) if now is not None else None,
            "running": now is not None and now.running,
            "ready": {**self._ready, "warm": self._is_warm},
            "weights": self._effective(),
            "seen": {**evidence.figures(), "recordings_open": len(self._open)},
            "undecided": undecided,
            "compared": [one.plain() for one in measured],
        }

    async def run(self) -> None:
        """Go on until cancelled. What a person can mend is logged and tried again."""
        while True:
            try:
                await self._tick()
                wait = _TICK_SECONDS
            except (ToolwearError, OSError) as error:
                _log.error("the rollout cannot go on at the moment: %s", error)
                wait = _RETRY_SECONDS
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Keep what was seen; a settlement under way goes on by itself."""
        await self._save()

    async def _tick(self) -> None:
        await self._follow()
        now = self._rollout
        if now is not None and now.running and not now.verdict:
            await self._probe(now)
            await self._judge(now)
        if await self._settlement.go_on(now is not None and now.running and bool(now.verdict)):
            await self._follow()
        if time.monotonic() - self._last_save > _SAVE_SECONDS:
            await self._save()
        for track, weight in self._effective().items():
            metrics.WEIGHT.labels(track).set(weight)
        metrics.IN_PROGRESS.set(now is not None and now.running)
        metrics.UNDECIDED.set(self._undecided)
        metrics.RECORDINGS.set(len(self._evidence.recordings))

    async def _follow(self) -> None:
        found = await asyncio.to_thread(state.read, self._home.root)
        before, self._rollout = self._rollout, found
        if found == before:
            return
        if found is not None and found.running:
            if before is None or before.id != found.id:
                self._ready = dict.fromkeys(self._ready, False)
                self._warm = self._cold_failures = 0
                self._waiting_since = time.monotonic()
                self._open = Open(found.thresholds["recording_gap_seconds"])
            if not self._evidence.belongs_to(found):
                self._evidence = (
                    self._evidence.for_stage(found.stage)
                    if self._evidence.rollout == found.id
                    else await asyncio.to_thread(seen.load, self._home.root, found)
                )
                self._warm_since = time.monotonic() if self._is_warm else None
            if before is not None and before.running and before.id != found.id:
                metrics.ROLLOUTS.labels(Result.SUPERSEDED).inc()
        elif found is not None and before is not None and before.running:
            metrics.ROLLOUTS.labels(found.result).inc()
            _log.info("version %s: %s: %s", found.version, found.result, found.reason)

    async def _probe(self, now: Rollout) -> None:
        """Ask the candidate's servers whether they are ready, and give up on them in the end."""
        if time.monotonic() - self._last_probe > _PROBE_SECONDS:
            self._last_probe = time.monotonic()
            for role in (EXPLAINER, TRANSFORMER):
                self._ready[role] = await self._candidate.ready(self._model, role)
        if self._ready[TRANSFORMER]:
            self._waiting_since = time.monotonic()
            if self._is_warm:
                self._warm_since = self._warm_since or time.monotonic()
            return
        self._warm = 0
        if time.monotonic() - self._waiting_since > now.thresholds["ready_seconds"]:
            reason = (
                f"Its servers were not ready for {now.thresholds['ready_seconds']:.0f} seconds."
            )
            await self._decide(now, Verdict.DROP, reason)

    async def _judge(self, now: Rollout) -> None:
        evidence, limits = self._evidence, now.thresholds
        if self._cold_failures >= _PATIENCE * limits["failures_in_a_row"]:
            reason = f"It failed {self._cold_failures} times in a row from its start."
            await self._decide(now, Verdict.DROP, reason)
            return
        if self._warm_since is None or not evidence.belongs_to(now):
            return
        if evidence.failures_in_a_row >= limits["failures_in_a_row"]:
            reason = f"It failed {evidence.failures_in_a_row} times in a row."
            await self._decide(now, Verdict.DROP, reason)
            return
        seconds = time.monotonic() - self._warm_since
        over = self._open.over(evidence.recordings)
        finding, measured = judge.look(now, evidence, over, seconds)
        if finding is Finding.WORSE:
            told = "; ".join(one.told() for one in measured)
            await self._decide(now, Verdict.DROP, f"It is worse: {told}.")
        elif finding is Finding.FINE:
            await self._pass(now, measured)

    async def _pass(self, now: Rollout, measured: list[judge.Measured]) -> None:
        last = now.mode == Mode.SHADOW or now.stage + 1 == len(now.thresholds["stages"])
        if last:
            told = "; ".join(one.told() for one in measured)
            await self._decide(now, Verdict.PROMOTE, f"It is as good on live traffic: {told}.")
        else:
            await asyncio.to_thread(rollouts.advance, self._home, now, self._found(measured))
            await self._follow()

    async def _decide(self, now: Rollout, verdict: Verdict, reason: str) -> None:
        found = self._found(judge.measure(now, self._evidence))
        await asyncio.to_thread(rollouts.decide, self._home, now, verdict, reason, found)
        await self._follow()

    def _found(self, measured: list[judge.Measured]) -> Mapping[str, Any]:
        return {**self._evidence.figures(), "compared": [one.plain() for one in measured]}

    async def _save(self) -> None:
        self._last_save = time.monotonic()
        value = seen.dump(self._evidence)
        if value != self._saved and self._evidence.rollout:
            await asyncio.to_thread(seen.save, self._home.root, value)
            self._saved = value

    @property
    def _undecided(self) -> bool:
        now = self._rollout
        return now is not None and now.running and not now.verdict

    @property
    def _is_warm(self) -> bool:
        return self._ready[TRANSFORMER] and self._warm >= _WARM

    def _weights(self) -> Mapping[str, int]:
        if self._rollout is None or not self._rollout.running:
            return {STABLE: WHOLE, CANDIDATE: 0}
        return self._rollout.weights

    def _effective(self) -> dict[str, int]:
        """Return what is really done: no client is given to a candidate that is not warm."""
        share = self._weights()[CANDIDATE] if self._is_warm else 0
        return {
            STABLE: WHOLE - share,
            CANDIDATE: share,
            SHADOW: WHOLE if self.shadowing else 0,
        }
