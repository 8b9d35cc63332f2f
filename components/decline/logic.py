"""Words for a challenger that does not become champion."""

from __future__ import annotations

from toolwear.release.decisions import Outcome


def why_not(decision: str, *, serve_check_passed: bool) -> str:
    """Return one word on why the champion stays: the decision, or the failed check of serving."""
    return decision if serve_check_passed else Outcome.SERVE_CHECK_FAILED
