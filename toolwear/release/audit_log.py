"""The audit log: every move and every outcome, sealed so that it shows what was changed.

`sealed_log` holds the rows and `marks` how far they are known to go; this is what the rest of the
system asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.release import marks, sealed_log
from toolwear.release.sealed_log import ACCEPTED, Log
from toolwear.workspace import records, seal
from toolwear.workspace.home import Home

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
PRUNE = "prune"  # what was beyond its budget was removed
NEW_KEY = "new_key"  # from here on another key seals
RESTORED = "restored"  # a backup was brought back that is older, or that no key of ours has sealed
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
_OLD_LAYOUT = "audit.jsonl"
_USED = ("mlflow.db", "packages", "serving")  # of a home in which something was done
_MEND = (
    "restore a backup of it, or look at it with `toolwear audit verify` and, once you know why, go "
    "on with `toolwear audit accept --why ...`."
)


class LogChangedError(ToolwearError):
    """The log is not what was written; who acts on it does not."""


def entries(home: Home) -> list[dict[str, Any]]:
    """Return all entries, the oldest first, after checking that none was changed.

    Raises:
        LogChangedError: one was changed or taken out, or the log is not as long as it was known.
        ToolwearError: it cannot be read.
    """
    log = read(home)
    if log.changed:
        raise LogChangedError(sentence(home, log))
    return log.entries


def read(home: Home) -> Log:
    """Return the log with what is wrong with it, for who shows it; `sentence` says it.

    Raises:
        ToolwearError: it cannot be read, or the home is of an older layout.
    """
    _refuse_old_layout(home)
    # Before the log: whoever writes meanwhile must not make it look short.
    mark = marks.at(home)
    log = _held_against(home, mark, sealed_log.examine(home.records, seal.known()))
    known = (mark.log, mark.count) if mark else ("", -1)
    if log.id and not log.changed and known != (log.id, log.count):
        marks.write(home, log.id, log.count, log.head)
    return log


def sentence(home: Home, log: Log) -> str:
    """Return in one sentence what is wrong with a log, or cannot be told; empty if nothing is."""
    if log.changed:
        return f"The audit log of {home.root} was changed: {log.changed}; {_MEND}"
    if not log.foreign:
        return ""
    told = "; ".join(f"{_numbers(found)} by key {key}" for key, found in log.foreign.items())
    return (
        f"The audit log of {home.root} has entries that were sealed with a key that is not here, "
        f"so that they cannot be checked ({told}): bring the key here or, once you know why, run "
        "`toolwear audit accept --why ...`."
    )


def _held_against(home: Home, mark: marks.Mark | None, log: Log) -> Log:
    """Say of a log that is whole in itself if more was known of it."""
    if log.changed:
        return log
    if mark is None and log.id:
        mark = marks.moved_from(log.id)
    if mark is None:
        return log
    fault = ""
    if mark.log != log.id and not log.id:
        gone = mark.count and any((home.root / name).exists() for name in _USED)
        fault = f"it is gone or emptied, and {mark.count} entries are known of it" if gone else ""
    elif mark.log != log.id:
        fault = f"it is another one than the log of {mark.count} entries that is known here"
    elif log.count < mark.count:
        fault = f"it has {log.count} entries, and {mark.count} are known of it: an older copy"
    elif log.digests[mark.count] != mark.head:
        fault = f"its first {mark.count} entries are others than those that are known of it"
    return replace(log, changed=fault)


def begin(home: Home) -> None:
    """Begin the log of a home in which nothing was done yet, whatever was at its place before."""
    log = read(home)
    if not log.id and not log.changed:
        _made(home)


def _made(home: Home) -> None:
    with records.writing(home.records) as database:
        made = sealed_log.add(database, Log(uuid.uuid4().hex), [], seal.own())
    marks.write(home, made.id, made.count, made.head)


def append(home: Home, **fields: Any) -> dict[str, Any]:
    """Append an entry and return it once it is on the disk; needs the lock on promotions.

    Raises:
        LogChangedError: as of `entries`; nothing is appended.
    """
    key = seal.own()
    mark = marks.at(home)
    entry = {"when": _now(), **fields}
    entries(home)
    with records.writing(home.records) as database:
        log = _held_against(home, mark, sealed_log.found(database, seal.known()))
        if log.changed:
            raise LogChangedError(sentence(home, log))
        new = [entry]
        if log.count and log.key != key.id:
            why = (
                f"The entries before were sealed by key {log.key}, those from here on by {key.id}."
            )
            new.insert(0, {"when": _now(), "action": NEW_KEY, "why": why, "who": "toolwear"})
        made = sealed_log.add(database, replace(log, id=log.id or uuid.uuid4().hex), new, key)
    marks.write(home, made.id, made.count, made.head)
    return entry


def accept(home: Home, why: str, who: str) -> dict[str, Any]:
    """Go on from the log as it was found, and put that on it; return the entry.

    What can be read stays. A file that cannot is put aside, and a new log begins.

    Raises:
        ToolwearError: nothing is wrong with it.
    """
    log = read(home)
    fault = sentence(home, log)
    if not fault:
        raise ToolwearError(f"Nothing is wrong with the audit log of {home.root}; accept nothing.")
    aside = ""
    if not log.readable:
        aside = f"{home.records.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.db"
        home.records.rename(home.root / aside)
        log = Log()
    known = marks.at(home)
    found = f"{fault.partition(';')[0]}{f'; it is kept as {aside}' if aside else ''}"
    entry = {"when": _now(), "action": ACCEPTED, "why": why, "who": who, "found": found}
    with records.writing(home.records) as database:
        new_id = uuid.uuid4().hex if aside or known is None else known.log
        base = sealed_log.renumbered(log, database, new_id)
        made = sealed_log.add(database, base, [entry], seal.own())
    marks.write(home, made.id, made.count, made.head)
    return entry


def restored(home: Home, why: str, who: str, known: marks.Mark | None) -> None:
    """Let a log that was brought back count from now on, and say on it what it lacks, if it does.

    Args:
        home: the system's folder; the log in it was checked.
        why: what else is to be on the log; empty if nothing is.
        who: brought it back.
        known: the mark from before.
    """
    log = sealed_log.examine(home.records, seal.known())
    if known is not None and known.log != log.id:
        lacks = f"It takes the place of another log, of {known.count} entries."
    elif known is not None and known.count > log.count:
        lacks = f"{known.count - log.count} entries that were known here are not in it."
    else:
        lacks = ""
    if log.id:
        marks.write(home, log.id, log.count, log.head)
    else:
        _made(home)
    if why or lacks:
        append(home, action=RESTORED, why=f"{why} {lacks}".strip(), who=who)


def _refuse_old_layout(home: Home) -> None:
    if (home.root / _OLD_LAYOUT).exists() and not home.records.exists():
        raise ToolwearError(
            f"{home.root} is of an older layout: its audit log is the file {_OLD_LAYOUT}, which "
            "this version does not read; begin a new home with --home."
        )


def _numbers(found: list[int]) -> str:
    return f"entry {found[0]}" if len(found) == 1 else f"entries {found[0]} to {found[-1]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
