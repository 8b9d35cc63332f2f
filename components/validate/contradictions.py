"""Where the settings that somebody states for a recording contradict its telemetry."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from components.core import schema

_SHOWN = 3  # of the commonest values


def contradictions(frame: pd.DataFrame, settings: Mapping[str, float]) -> list[str]:
    """Return a sentence for each stated setting that the recording's own columns deny.

    The machine records the programmed feed rate of each row; rapid moves read otherwise, so only a
    feed rate that no row reads is a contradiction. No column tells the clamp pressure.

    Args:
        frame: one recording, with the column `schema.CURRENT_FEEDRATE`, mm/s.
        settings: stated value by setting; `schema.FEEDRATE` in mm/s.
    """
    stated = settings.get(schema.FEEDRATE)
    read = frame[schema.CURRENT_FEEDRATE].dropna()
    if stated is None or read.empty or (read == stated).any():
        return []
    shares = read.value_counts(normalize=True).head(_SHOWN)
    seen = ", ".join(f"{value:g} ({share:.0%} of the rows)" for value, share in shares.items())
    sentence = (
        f"The stated feed rate is {stated:g} mm/s, but {schema.CURRENT_FEEDRATE} never reads "
        f"{stated:g}; it reads {seen}."
    )
    return [sentence]
