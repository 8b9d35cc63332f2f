"""Why a run is started. The words go to the run, the registry, the audit log and the metrics.

Kept to the standard library: component files and servers import it.
"""

from __future__ import annotations

from enum import StrEnum

SEPARATOR = ": "


class Cause(StrEnum):
    """The five causes of a run. Words are added, never renamed."""

    ON_DEMAND = "on_demand"  # a person, or a program that a person has told to
    SCHEDULE = "schedule"
    NEW_DATA = "new_data"
    DEGRADATION = "degradation"  # late labels say that the model is wrong more often
    DISTRIBUTION_CHANGE = "distribution_change"  # what comes in is not what it was trained on

    def told(self, detail: str) -> str:
        """Return the cause with its detail, as it is written on the run."""
        return f"{self.value}{SEPARATOR}{detail}" if detail else self.value


def cause_of(text: str) -> Cause | None:
    """Return the cause that a run's text begins with, None for a text of another origin."""
    word = text.split(SEPARATOR, maxsplit=1)[0]
    return Cause(word) if word in Cause else None


def detail_of(text: str) -> str:
    """Return what a run's text says behind its cause."""
    return text.partition(SEPARATOR)[2]
