"""What rows are refused for, whichever protocol they came by."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from serving.common.caller import RECORDING_ID
from serving.common.refusal import Refusal
from toolwear.common.request_limits import ROWS
from toolwear.dataset import schema

# Columns of clients that tell recordings apart, in lower case.
_DIVIDING = frozenset(
    {schema.RUN_ID, "recording", "recording_id", "run", "experiment", "tool", "no", "id"}
)


def check_keys(
    found: AbstractSet[str],
    known: frozenset[str],
    required: tuple[str, ...],
    raw: frozenset[str],
    where: str,
    what: str,
) -> None:
    """Refuse keys that nobody knows, and the lack of required ones.

    Args:
        found: the keys.
        known: that there may be.
        required: that there have to be.
        raw: the columns of a raw row.
        where: begins the sentence.
        what: names a key.

    Raises:
        Refusal: one is unknown or lacking.
    """
    unknown = sorted(found - known)
    by_run = schema.RUN_ID in known and not raw.isdisjoint(unknown)
    if by_run or any(name.lower() in _DIVIDING for name in unknown):
        raise several(f"{where} has a column that tells recordings apart")
    if unknown:
        raise Refusal("name", f'{where} has the unknown {what} "{unknown[0][:40]}".')
    missing = [name for name in required if name not in found]
    if missing:
        raise Refusal("name", f'{where} lacks the {what} "{missing[0]}".')


def several(why: str) -> Refusal:
    """Return the refusal of rows of more than one recording; `why` begins its sentence."""
    return Refusal(
        "several_recordings",
        f"{why}, but a request's rows are of one recording; send each recording's rows in a "
        f"request of its own, and name it in the header {RECORDING_ID}.",
    )


def too_many(rows: int) -> Refusal:
    """Return the refusal of more rows than a request may have."""
    return Refusal(
        "too_many_rows", f"The request has {rows} rows; send at most {ROWS} at a time.", 413
    )
