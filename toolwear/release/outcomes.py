"""The fixed words for what became of a winner."""

from __future__ import annotations

from enum import StrEnum


class Promotion(StrEnum):
    """What the step has done. Words are added, never renamed."""

    PROMOTED = "promoted"
    ALREADY = "already_champion"
    CANARY = "canary_started"
    SHADOW = "shadow_started"
    HELD = "held"  # a person has to allow or refuse it
    MOVED = "champion_moved"  # since it was judged; this version stays registered
    WITHDRAWN = "withdrawn_before"  # rolled back before in favour of this champion
    BUSY = "rollout_busy"  # another rollout is under way; this version stays registered
