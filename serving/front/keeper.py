"""Keeps a rollout going: whether the candidate may answer, what was seen, and what follows."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from components.core.errors import ToolwearError
from components.core.fingerprint import ROOT
from components.core.home import Home
from components.promote import rollouts
from serving.common import rollout as state
from serving.common.rollout import CANDIDATE, SHADOW, STABLE, WHOLE, Mode, Rollout, Verdict
from serving.front import evidence as seen
from serving.front import judge, metrics
from serving.front.evidence import Evidence
from serving.front.tracks import EXPLAINER, TRANSFORMER, Answer, Track
from serving.front.verdicts import Said, compared

_TICK_SECONDS = 0.25
_PROBE_SECONDS = 1.0
_SAVE_SECONDS = 2.0
_MEND_SECONDS = 60.0
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
        self._ready = dict.fromkeys((TRANSFORMER, EXPLAINER), False)
        self._warm = self._cold_failures = 0
        self._warm_since: float | None = None
        self._waiting_since = time.monotonic()
        self._last_probe = self._last_save = 0.0
        self._last_mend = -_MEND_SECONDS
        self._saved: dict[str, Any] = {}
        self._settling: asyncio.subprocess.Process | None = None
        self._next_settling = 0.0

    # --- what requests need to know ---------------------------------------------------------------

    def choose(self, role: str) -> str:
        """Return the track that a request is given to, by lot."""
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
        answer: Answer,
        said: Said | None,
        *,
        failed: bool = False,
        alone: bool = False,
    ) -> None:
        """Count an answer of a track to a prediction that was given to it by lot.

        Args:
            track: STABLE or CANDIDATE.
            answer: of it.
            said: its content, as far as it is known.
            failed: whether it was no good answer.
            alone: whether the other track gave one. What both fail at may lie behind both.
        """
        if not self.judging:
            return
        unsure = said is not None and said.unsure
        self._evidence.tracks[track].add(answer.seconds, failed=failed, unsure=unsure)
        if track == CANDIDATE and not failed:
            self._evidence.failures_in_a_row = 0
        elif track == CANDIDATE and alone:
            self._evidence.failures_in_a_row += 1

    def warmed(self, answer: Answer, said: Said | None) -> None:
        """Take note of what the candidate has made of a copy while it was cold."""
        if answer.good and self.serves(CANDIDATE, said):
            self._warm += 1
            self._cold_failures = 0
        elif not answer.good:
            self._cold_failures += 1

    def compare(self, ours: Said, theirs: Said) -> None:
        """Count an answer and its shadow."""
        self._evidence.compare(*compared(ours, theirs))

    def told(self) -> dict[str, Any]:
        """Return the state for people and programs."""
        now = self._rollout
        measured = judge.measure(now, self._evidence) if now is not None and now.running else []
        return {
            "rollout": asdict(now) if now is not None else None,
            "running": now is not None and now.running,
            "ready": {**self._ready, "warm": self._is_warm},
            "weights": self._effective(),
            "seen": self._evidence.figures(),
            "compared": [one.plain() for one in measured],
        }

    # --- what goes on beside them -----------------------------------------------------------------

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
        await self._settle(decided=now is not None and now.running and bool(now.verdict))
        if time.monotonic() - self._last_save > _SAVE_SECONDS:
            await self._save()
        for track, weight in self._effective().items():
            metrics.WEIGHT.labels(track).set(weight)
        metrics.IN_PROGRESS.set(now is not None and now.running)

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
            if not self._evidence.belongs_to(found):
                self._evidence = await asyncio.to_thread(seen.load, self._home.root, found)
                self._warm_since = time.monotonic() if self._is_warm else None
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
        if not judge.due(now, evidence, seconds):
            if seconds > limits["most_seconds"]:
                reason = f"It saw too few requests in {seconds:.0f} seconds to be judged."
                await self._decide(now, Verdict.DROP, reason)
            return
        measured = judge.measure(now, evidence)
        evidence.looks += 1
        worse = [one.told() for one in measured if one.finding is judge.Finding.WORSE]
        undecided = [one.told() for one in measured if one.finding is judge.Finding.OPEN]
        if worse:
            await self._decide(now, Verdict.DROP, f"It is worse: {'; '.join(worse)}.")
        elif not undecided:
            await self._pass(now, measured)
        elif evidence.looks >= judge.LOOKS:
            reason = f"It could not be shown to be as good: {'; '.join(undecided)}."
            await self._decide(now, Verdict.DROP, reason)

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

    async def _settle(self, *, decided: bool) -> None:
        """Have the verdict carried out, and now and then what a killed run has left."""
        if self._settling is not None:
            if self._settling.returncode is None:
                return
            if self._settling.returncode != 0:
                _log.error("the verdict could not be carried out; it is tried again")
                self._next_settling = time.monotonic() + _RETRY_SECONDS
            self._settling = None
            await self._follow()
            return
        now = time.monotonic()
        if not decided and now - self._last_mend > _MEND_SECONDS:
            self._last_mend = now
            decided = await asyncio.to_thread(rollouts.unsettled, self._home)
        if decided and now >= self._next_settling:
            # A process of its own: the registry's client takes seconds to load.
            self._settling = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "components.promote.settle",
                "--home",
                str(self._home.root),
                cwd=ROOT,
            )

    async def _save(self) -> None:
        self._last_save = time.monotonic()
        value = seen.dump(self._evidence)
        if value != self._saved and self._evidence.rollout:
            await asyncio.to_thread(seen.save, self._home.root, value)
            self._saved = value

    # --- weights ----------------------------------------------------------------------------------

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
