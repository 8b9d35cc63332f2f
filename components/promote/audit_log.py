"""The audit log: every move and every outcome, one JSON object a line, chained by digests.

Each line holds the SHA-256 of the line before, so that a line that was changed or taken out shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.errors import ToolwearError

PROMOTE, ROLLBACK = "promote", "rollback"
FOUND = "found"  # the registry's champion was another one than the last move says
RECONCILE = "reconcile"  # a person made registry and servers agree
DECLINE = "decline"  # the champion stayed
HELD, ALLOW, REFUSE = "held", "allow", "refuse"  # a person decides
OUTDATED = "outdated"  # what was held may not be promoted any more
BUSY = "rollout_busy"  # nothing was released, because a rollout was under way
WITHDRAWN = "withdrawn_before"  # nothing was released, because it was rolled back before
# Of a rollout; each begins with "canary" or "shadow".
START, STAGE, ROLLED_BACK = "_start", "_stage", "_rolled_back"
SUPERSEDED = "_superseded"  # undecided for long, and a later winner took its place
ACCEPT = "accept_runs"  # a person let a run have what the guard would refuse
MOVE_FAILED = "move_failed"  # what a person was told to be at work came to nothing
VOUCH = "vouch"  # a person has checked recordings and labels, for all runs to come
MOVES = (PROMOTE, ROLLBACK, FOUND, RECONCILE)
_STAYS = {
    DECLINE: "not promoted",
    HELD: "held for approval",
    ALLOW: "allowed",
    REFUSE: "refused",
    OUTDATED: "not promoted",
    BUSY: "not promoted",
    WITHDRAWN: "not promoted",
}
_START = "0" * 64


def entries(path: Path) -> list[dict[str, Any]]:
    """Return all entries, the oldest first, after checking that none was changed.

    A last line without its end is one whose writer was killed: it never counted.

    Raises:
        ToolwearError: a line was changed or taken out.
    """
    if not path.exists():
        return []
    found = []
    expected = _START
    whole = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(whole, start=1):
        try:
            entry = json.loads(line)
            chained = entry["chain"]
        except (json.JSONDecodeError, KeyError, TypeError):
            chained = None
        if chained != expected:
            raise ToolwearError(
                f"Line {number} of {path} does not follow from the one before: the log was "
                "changed; restore it from a copy."
            )
        expected = hashlib.sha256(line).hexdigest()
        found.append(entry)
    return found


def append(path: Path, **fields: Any) -> dict[str, Any]:
    """Append an entry and return it once it is on the disk; needs the lock on promotions."""
    entries(path)  # refuses a log that was changed
    kept = _drop_unfinished_line(path)
    last = kept.rstrip(b"\n").rsplit(b"\n", 1)[-1]
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **fields,
        "chain": hashlib.sha256(last).hexdigest() if last else _START,
    }
    line = json.dumps(entry, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    return entry


def told(entry: Mapping[str, Any]) -> str:
    """Return in words what an entry has done: only moves have changed the champion."""
    action, start, end = entry["action"], entry.get("from"), entry.get("to")
    if action in MOVES:
        return f"champion: {_version(start)} -> {_version(end)}"
    if action.endswith((ROLLED_BACK, SUPERSEDED)):
        return f"candidate {_version(start)} dropped; champion stays {_version(end)}"
    if action.endswith((START, STAGE)):
        return f"candidate: {_version(end)}; champion stays {_version(start)}"
    if end is None:  # it is about data, or about a move that failed
        return ""
    if start == end:
        return f"champion stays {_version(end)}"
    stays = f"champion stays {_version(start)}" if start else "there is no champion"
    return f"{_version(end)} {_STAYS.get(action, action)}; {stays}"


def _version(number: str | None) -> str:
    return f"version {number}" if number else "none"


def champions(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entry that made each champion still worth going back to, the present one last."""
    stack: list[dict[str, Any]] = []
    for entry in log:
        present = stack[-1]["to"] if stack else None
        if entry["action"] in (PROMOTE, FOUND, RECONCILE) and entry["to"] != present:
            stack.append(entry)
        while entry["action"] == ROLLBACK and stack and stack[-1]["to"] != entry["to"]:
            stack.pop()
    return stack


def was_refused(log: list[dict[str, Any]], cause: str) -> bool:
    """Tell whether data were refused to the run that has this text as its cause."""
    return any(
        (entry["action"], entry["cause"]) == (DECLINE, cause)
        and entry["why"].startswith(("refuse_data", "refuse_poisoned"))
        for entry in log
    )


def moves_of(log: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the entries of a log that moved the champion of this model."""
    return [item for item in log if item["model"] == name and item["action"] in MOVES]


def _drop_unfinished_line(path: Path) -> bytes:
    if not path.exists():
        return b""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        with path.open("r+b") as stream:
            stream.truncate(end)
    return data[:end]
