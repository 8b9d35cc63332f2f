"""What a full window says: each figure beside its threshold, and one sentence that tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from serving.monitor.kinds import Kind, Result
from serving.monitor.tally import ColumnTally, LabelTally, QualityTally, RegimeTally
from toolwear.common.thresholds import Monitor
from toolwear.dataset.contract import Setting
from toolwear.model.drift import Reference, moved

ALL, LARGEST = "all", "largest"  # beside the features' own names
STUCK, ZEROS, BEYOND, MISSING, IDLE = "stuck", "zeros", "out_of_range", "missing", "idle"
FAULTS = (STUCK, ZEROS, BEYOND, MISSING, IDLE)


class Verdict(BaseModel):
    """What a window says of one kind.

    Attributes:
        result: of this window alone.
        score: the figure that is judged.
        threshold: above which it is an alarm; below which, for the accuracy.
        why: one sentence.
        scores: figures by feature, or by fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: Result
    score: float
    threshold: float
    why: str
    scores: dict[str, float] = {}


Verdicts = dict[Kind, Verdict]


@dataclass(frozen=True)
class Judge:
    """Judges windows of one package.

    Attributes:
        reference: of the package.
        accuracy: that the model had on known runs.
        thresholds: from the reviewed file.
        lean: each feature's share of the attribution of rows (n, features).
        setting: whose value is the regime; None where the contract has none.
    """

    reference: Reference
    accuracy: float
    thresholds: Monitor
    lean: Callable[[np.ndarray], dict[str, float]]
    setting: Setting | None = None

    @property
    def title(self) -> str:
        """What people call the setting; empty where there is none."""
        return (self.setting.title or self.setting.column) if self.setting else ""

    def about(self, regime: str) -> str:
        """Return what windows of a regime are called, such as "feed-3" of the feed rate 3."""
        return f"{self.title.split()[0]}-{regime}" if self.title else regime

    def at(self, regime: str) -> str:
        """Return the end of a clause, such as " at 3 mm/s"; empty where there is no setting."""
        if self.setting is None:
            return ""
        unit = self.setting.unit
        return f" at {regime} {unit}" if unit else f" at {self.title} {regime}"

    def regime(self, tally: RegimeTally, regime: str) -> Verdicts:
        """Return what a window of cutting rows of one regime says."""
        return {
            Kind.DATA: self._data(tally, regime),
            Kind.PREDICTION: self._prediction(tally, regime),
            Kind.ABSTENTION: self._abstention(tally),
            Kind.ATTRIBUTION: self._attribution(tally, regime),
            Kind.SESSION: self._session(tally, regime),
        }

    def _data(self, tally: RegimeTally, regime: str) -> Verdict:
        known = self.reference.regimes.get(regime)
        limits = self.thresholds
        if known is None:
            others = self.at(", ".join(sorted(self.reference.regimes, key=float)))
            why = f"No training run was cut{self.at(regime)}; they were cut{others}."
            return Verdict(result=Result.ALARM, score=0.0, threshold=limits.mean_psi, why=why)
        psi = {name: h.psi(np.array(tally.counts[name])) for name, h in known.signals.items()}
        mean, largest = (float(np.mean(list(psi.values()))), max(psi.values())) if psi else (0, 0)
        most = max(psi, key=lambda name: psi[name]) if psi else "no load signal"
        mean_limit = max(limits.mean_psi, self.reference.worst("mean_psi", regime))
        max_limit = max(limits.max_psi, self.reference.worst("max_psi", regime))
        said = f"mean PSI {mean:.2f} (limit {mean_limit:.2f}), {most} moved most, {largest:.2f}"
        if not known.calibrated:
            result = Result.UNCALIBRATED
            said += f"; no calibration: {len(known.runs)} training run{self.at(regime)}"
        elif mean > mean_limit or largest > max_limit:
            result = Result.ALARM
        else:
            result = Result.WARNING if mean > limits.mean_psi_warning else Result.OK
        scores = {**psi, ALL: mean, LARGEST: largest}
        why = f"Load signals{self.at(regime)}: {said}."
        return Verdict(result=result, score=mean, threshold=mean_limit, why=why, scores=scores)

    def _prediction(self, tally: RegimeTally, regime: str) -> Verdict:
        known = self.reference.regimes.get(regime, self.reference.largest)
        psi = known.confidence.psi(np.array(tally.sure))
        limit = max(self.thresholds.confidence_psi, self.reference.worst("confidence_psi"))
        why = (
            f"How sure the model is: PSI {psi:.2f} (limit {limit:.2f}); "
            f"mean P(worn) {tally.worn / tally.rows:.2f}."
        )
        return _over(psi, limit, why, {ALL: psi, "mean_worn": tally.worn / tally.rows})

    def _abstention(self, tally: RegimeTally) -> Verdict:
        share = tally.unsure / tally.rows
        healthy = self.reference.worst("abstention")
        limit = min(0.99, healthy + self.thresholds.abstention_excess)
        why = f'"Not sure" of {share:.1%} of the rows; healthy windows had up to {healthy:.1%}.'
        return _over(share, limit, why, {ALL: share})

    def _attribution(self, tally: RegimeTally, regime: str) -> Verdict:
        known = self.reference.regimes.get(regime, self.reference.largest)
        now = self.lean(np.array(tally.sample))
        score = moved(known.attribution, now)
        limit = max(self.thresholds.attribution_moved, self.reference.worst("attribution"))
        most = max(now, key=lambda name: abs(now[name] - known.attribution[name]))
        why = (
            f"{score:.0%} of the attribution moved to other features (limit {limit:.0%}); {most} "
            f"most, from {known.attribution[most]:.0%} to {now[most]:.0%}."
        )
        return _over(score, limit, why, {**now, ALL: score})

    def _session(self, tally: RegimeTally, regime: str) -> Verdict:
        known = self.reference.regimes.get(regime)
        limit = max(self.thresholds.session_excess, self.reference.worst("session"))
        if known is None or not known.calibrated:
            why = f"Too few training runs{self.at(regime)} to tell one session from another."
            return Verdict(result=Result.UNCALIBRATED, score=0.0, threshold=limit, why=why)
        means = {name: tally.sums[name] / tally.rows for name in known.session}
        beyond = {name: span.beyond(means[name]) for name, span in known.session.items()}
        most = max(beyond, key=lambda name: beyond[name], default="")
        score = max(beyond.values(), default=0.0)
        why = "Tool length, mains and place in the program are as in the training runs."
        if score > 0:
            span = known.session[most]
            why = (
                f"{most} is {means[most]:.2f} on average; in training windows {span.low:.2f} to "
                f"{span.high:.2f}: {score:.1f} widths outside (limit {limit:.1f})."
            )
        found = _over(score, limit, why, beyond)
        # Every run is a little of a session of its own: that is told, and starts nothing.
        noted = found.result == Result.OK and score > self.thresholds.session_notice
        return found.model_copy(update={"result": Result.WARNING}) if noted else found

    def quality(self, tally: QualityTally) -> Verdicts:
        """Return what a window of rows says of the sensors."""
        found: dict[str, list[str]] = {fault: [] for fault in FAULTS}
        for name, column in tally.columns.items():
            for fault in self._faults(name, column, tally.rows):
                found[fault].append(name)
        if tally.idle >= self.thresholds.idle_rows:
            found[IDLE].append(f"{tally.idle} rows")
        told = [
            f"{fault.replace('_', ' ')}: {', '.join(who)}" for fault, who in found.items() if who
        ]
        counts = {fault: float(len(who)) for fault, who in found.items()}
        score = sum(counts.values())
        why = f"{'; '.join(told)}." if told else "Every sensor varies within what it has shown."
        return {Kind.QUALITY: _over(score, 0.0, why[0].upper() + why[1:], counts)}

    def _faults(self, name: str, column: ColumnTally, rows: int) -> list[str]:
        known = self.reference.columns[name]
        there = rows - column.missing
        found = [MISSING] if column.missing else []
        if there and known.varies and column.minimum == column.maximum:
            found.append(STUCK)
        if there and column.zeros / there > known.zeros + self.thresholds.zero_excess:
            found.append(ZEROS)
        if there and column.beyond / there > self.thresholds.beyond_share:
            found.append(BEYOND)
        return found

    def labels(self, tally: LabelTally) -> Verdicts:
        """Return what a window of labelled rows says of the model."""
        limits = self.thresholds
        accuracy = tally.right / tally.rows
        limit = self.accuracy - limits.accuracy_drop
        p = float(binomtest(tally.right, tally.rows, self.accuracy, alternative="less").pvalue)
        low, high = binomtest(tally.right, tally.rows).proportion_ci(method="wilson")
        why = (
            f"{tally.right} of {tally.rows} labelled rows right: {accuracy:.1%} ({low:.1%} to "
            f"{high:.1%}); {self.accuracy:.1%} on known runs, p {p:.2g}."
        )
        result = Result.WARNING if p < limits.accuracy_p else Result.OK
        if result == Result.WARNING and accuracy < limit:
            result = Result.ALARM
        scores = {"accuracy": accuracy, "low": float(low), "high": float(high)}
        return {
            Kind.CONCEPT: Verdict(
                result=result, score=accuracy, threshold=limit, why=why, scores=scores
            )
        }


def sensor_fails(quality: Verdict) -> bool:
    """Tell whether a window of rows has a sensor fault, not another state of the machine."""
    return any(count > 0 for fault, count in quality.scores.items() if fault != BEYOND)


def _over(score: float, limit: float, why: str, scores: dict[str, float]) -> Verdict:
    result = Result.ALARM if score > limit else Result.OK
    return Verdict(result=result, score=score, threshold=limit, why=why, scores=scores)
