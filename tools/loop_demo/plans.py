"""What is served in each scenario, what the champion knows before, and how the loop has to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serving.monitor.kinds import Kind
from tools.replay.scenarios import EARLIER_RUNS, HEALTHY, LATER_RUNS, SCENARIOS, Scenario
from toolwear.common.causes import Cause

DRIFT, DEGRADED, SENSOR = (
    "ToolwearDistributionChanged",
    "ToolwearModelDegraded",
    "ToolwearSensorFault",
)


class Delivery(StrEnum):
    """What comes to the folder of recordings while the shift is served."""

    NOTHING = "nothing"
    RECORDINGS = "recordings"  # of the new state, with true labels and a person's word for them
    FLIPPED_LABELS = "flipped_labels"  # known runs, relabelled as the late labels say


@dataclass(frozen=True)
class Plan:
    """One way through the loop.

    Attributes:
        scenario: what goes wrong.
        taught: runs that the champion has learnt from; empty for all.
        healthy: runs that are served before.
        shifted: runs that are served with the scenario.
        alarms: kinds any of which the monitor has to raise.
        alert: that has to fire.
        cause: of the run that has to be started; None if none may be.
        labelled: each answer is labelled later on.
        delivery: what comes to the folder of recordings.
        refused: the data must not be trained on.
    """

    scenario: Scenario
    taught: tuple[str, ...]
    healthy: tuple[str, ...]
    shifted: tuple[str, ...]
    alarms: tuple[Kind, ...] = ()
    alert: str = ""
    cause: Cause | None = None
    labelled: bool = False
    delivery: Delivery = Delivery.NOTHING
    refused: bool = False


_SLOW = ("11", "12", "13", "14")  # at 3 mm/s: long enough for windows of their own
_KNOWN = ("01", "03", "06", *_SLOW)
_DRIFT = (Kind.DATA, Kind.PREDICTION, Kind.ATTRIBUTION, Kind.SESSION)


def _drift(name: str, shifted: tuple[str, ...]) -> Plan:
    return Plan(
        SCENARIOS[name],
        taught=(),
        healthy=_KNOWN,
        shifted=shifted,
        alarms=_DRIFT,
        alert=DRIFT,
        cause=Cause.DISTRIBUTION_CHANGE,
        delivery=Delivery.RECORDINGS,
    )


PLANS: Mapping[str, Plan] = {
    HEALTHY: Plan(SCENARIOS[HEALTHY], taught=(), healthy=_KNOWN, shifted=()),
    "later_runs": Plan(
        SCENARIOS["later_runs"],
        taught=EARLIER_RUNS,
        healthy=EARLIER_RUNS,
        shifted=LATER_RUNS,
        alarms=_DRIFT,
        alert=DRIFT,
        cause=Cause.DISTRIBUTION_CHANGE,
        delivery=Delivery.RECORDINGS,
    ),
    # A worn tool that stands where unworn ones did is just that to a model which is always sure:
    # only who looks at the tool can tell (docs/drift.md).
    "tool_lower": Plan(
        SCENARIOS["tool_lower"],
        taught=(),
        healthy=_KNOWN,
        shifted=("13", "14", "18"),
        alarms=(Kind.CONCEPT,),
        alert=DEGRADED,
        cause=Cause.DEGRADATION,
        labelled=True,
        delivery=Delivery.RECORDINGS,
    ),
    "mains_down": _drift("mains_down", _SLOW),
    "other_feed": _drift("other_feed", _SLOW),
    "dead_sensor": Plan(
        SCENARIOS["dead_sensor"],
        taught=(),
        healthy=_KNOWN,
        shifted=_SLOW,
        alarms=(Kind.QUALITY,),
        alert=SENSOR,
    ),
    "flipped_labels": Plan(
        SCENARIOS["flipped_labels"],
        taught=(),
        healthy=_KNOWN,
        shifted=_SLOW,
        alarms=(Kind.CONCEPT,),
        alert=DEGRADED,
        cause=Cause.DEGRADATION,
        labelled=True,
        delivery=Delivery.FLIPPED_LABELS,
        refused=True,
    ),
}
