"""Entries on the audit log that move nothing: data that may not teach, people, failed moves."""

from __future__ import annotations

from typing import Any

from toolwear.common.person import who
from toolwear.release import audit_log
from toolwear.release.moves import locked
from toolwear.workspace.home import Home


def note(
    home: Home, action: str, model: str, why: str, cause: str, data: str, by: str = ""
) -> dict[str, Any]:
    """Append an entry of no version, and return it.

    Args:
        home: the system's folder.
        action: a word of `audit_log`.
        model: name of the registered model.
        why: one sentence, with its numbers.
        cause: why the run was started; empty for what no run has done.
        data: digest of the recordings; empty for what is not about any.
        by: whose doing it is; by default whoever runs this.
    """
    with locked(home):
        return audit_log.append(
            home,
            who=by or who(),
            why=why,
            cause=cause,
            action=action,
            model=model,
            **{"from": None},
            to=None,
            package=None,
            data=data,
        )
