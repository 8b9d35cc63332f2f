"""The table behind the audit log: rows that only get more, sealed with a key that is not there.

Each row has the seal of a digest that runs over all rows up to it, and one row, written in the same
transaction, has the seal of how many there are and of the last digest. So a row that was changed,
put in or taken out shows, at the end, too. That the whole is an older one, or gone, shows by its
mark (`marks`). Rows of a key that is not here cannot be checked; the next row of ours seals them as
they were found.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolwear.workspace import records, seal

# A person has looked at what was found and goes on from it: it counts as it is from there on.
ACCEPTED = "log_accepted"
_SCHEMA = {
    "audit": "CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, "
    "key TEXT NOT NULL, seal TEXT NOT NULL)",
    "audit_head": "CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), "
    "log TEXT NOT NULL, count INTEGER NOT NULL, key TEXT NOT NULL, seal TEXT NOT NULL)",
}
_ROWS = (
    "SELECT number, CAST(entry AS BLOB), CAST(key AS BLOB), CAST(seal AS BLOB) FROM audit "
    "ORDER BY number"
)
# What readers rely on: of each entry, whoever has written it.
_TEXTS = {"when": "", "who": "", "why": "", "cause": "", "action": "", "model": ""}
_MAYBE = {"from": None, "to": None, "package": None}


@dataclass(frozen=True)
class Log:
    """What was found.

    Attributes:
        id: of the log; empty if it was never begun.
        entries: the oldest first; if it was changed, those that can still be read.
        digests: of the first 0, 1, 2, ... rows.
        key: id of the key that has sealed the last row.
        changed: what is wrong, from "entry" on; empty if nothing is.
        foreign: numbers of the rows that a key has sealed which is not here, by its id, unless a
            person has accepted them.
        readable: whether rows can be put behind those that are there.
    """

    id: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)
    digests: list[str] = field(default_factory=lambda: [_start("")])
    key: str = ""
    changed: str = ""
    foreign: dict[str, list[int]] = field(default_factory=dict)
    readable: bool = True

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.digests) - 1

    @property
    def head(self) -> str:
        """Digest of all rows."""
        return self.digests[-1]


def examine(path: Path, keys: Mapping[str, seal.Key]) -> Log:
    """Return the log in a database, after checking it with the keys that are here.

    Raises:
        ToolwearError: the database is locked, or cannot be read for a reason that says nothing of
            its content.
    """
    try:
        if not records.is_there(path):
            return Log()
        with records.reading(path) as database:
            return found(database, keys)
    except records.NotOursError as error:
        return Log(changed=f"{path} cannot be read ({error})", readable=False)


def found(database: sqlite3.Connection, keys: Mapping[str, seal.Key]) -> Log:
    """Return the log of an open database, checked; its rows must not change meanwhile.

    Raises:
        records.NotOursError: it holds other than our tables.
    """
    tables = _tables(database)
    if not tables:
        return Log()
    if tables != _SCHEMA:
        raise records.NotOursError("its tables are not as they were made")
    heads = database.execute(
        "SELECT CAST(log AS BLOB), CAST(count AS INTEGER), CAST(key AS BLOB), CAST(seal AS BLOB) "
        "FROM audit_head"
    ).fetchall()
    rows = database.execute(_ROWS)
    log, count, key, sealed = (
        (_text(heads[0][0]), heads[0][1], _text(heads[0][2]), _text(heads[0][3]))
        if heads
        else ("", 0, "", "")
    )
    walked = _walk(log, rows, keys)
    changed = walked.changed
    if not heads and walked.count:
        changed = "its head, which says how many entries there are, is gone"
    elif heads and not changed:
        changed = _at_the_end(walked, count, key, sealed, keys)
    return Log(
        log, walked.entries, walked.digests, walked.key or key, changed, dict(walked.foreign)
    )


def _walk(log: str, rows: Iterable[Any], keys: Mapping[str, seal.Key]) -> Log:
    """Check row after row: the first that is wrong, and those that cannot be checked."""
    entries, digests, last = [], [_start(log)], ""
    wrong: int | None = None
    foreign: dict[str, list[int]] = {}
    for place, (number, content, key, sealed) in enumerate(rows, start=1):
        last = _text(key)
        digests.append(_next(digests[-1], number, last, content))
        entry = _parsed(content)
        fits = last in keys and keys[last].fits(seal.AUDIT, _row(digests[-1]), _text(sealed))
        if fits and entry is not None and entry["action"] == ACCEPTED:
            wrong, foreign = None, {}
        elif entry is None or number != place or (last in keys and not fits):
            wrong = place if wrong is None else wrong
        elif last not in keys:
            foreign.setdefault(last, []).append(place)
        if entry is not None:
            entries.append(entry)
    changed = (
        ""
        if wrong is None
        else f"entry {wrong} is not as it was sealed: it, or one before it, was changed, put in or "
        "taken out"
    )
    return Log(log, entries, digests, last, changed, foreign)


def _at_the_end(
    walked: Log, count: int, key: str, sealed: str, keys: Mapping[str, seal.Key]
) -> str:
    """Return what is wrong with the head, which says how many rows there are."""
    if count != walked.count:
        return f"it has {walked.count} entries, and its head says {count}"
    fits = key not in keys or keys[key].fits(seal.AUDIT, _head(walked), sealed)
    if not fits or (walked.count and key != walked.key):
        return "its head, which says how many entries there are, was changed"
    return ""


def add(
    database: sqlite3.Connection, log: Log, entries: Iterable[Mapping[str, Any]], key: seal.Key
) -> Log:
    """Put rows behind the others, and seal the new end; return the log with them.

    Args:
        database: in a transaction.
        log: as found in it, with its id.
        entries: of the new rows.
        key: that seals.
    """
    digests = list(log.digests) if log.count else [_start(log.id)]
    if not _tables(database):
        for statement in _SCHEMA.values():
            database.execute(statement)
    for entry in entries:
        content = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        digests.append(_next(digests[-1], len(digests), key.id, content))
        sealed = key.seal(seal.AUDIT, _row(digests[-1]))
        database.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?)",
            (len(digests) - 1, content.decode(), key.id, sealed),
        )
    longer = Log(log.id, [*log.entries, *map(dict, entries)], digests, key.id)
    database.execute("DELETE FROM audit_head")
    database.execute(
        "INSERT INTO audit_head VALUES (1, ?, ?, ?, ?)",
        (log.id, longer.count, key.id, key.seal(seal.AUDIT, _head(longer))),
    )
    return longer


def renumbered(log: Log, database: sqlite3.Connection, new_id: str) -> Log:
    """Return the log as rows can be put behind it: numbered through, under the id it had or this.

    What was wrong with it stays in the rows, and is covered by the seal of what comes behind.
    """
    if not _tables(database):
        return Log(log.id or new_id)
    rows = database.execute(_ROWS).fetchall()
    database.execute("DELETE FROM audit")
    database.executemany(
        "INSERT INTO audit VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))",
        [(place, *row[1:]) for place, row in enumerate(rows, start=1)],
    )
    return _walk(log.id or new_id, database.execute(_ROWS), {})


def _tables(database: sqlite3.Connection) -> dict[str, str]:
    """Return our tables as they were made, and whatever of SQL would act on them by itself."""
    rows = database.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name IN (?, ?) "
        "OR type IN ('trigger', 'view') OR (tbl_name IN (?, ?) AND type != 'table')",
        (*_SCHEMA, *_SCHEMA),
    )
    return {_text(name): _text(sql or b"") for _, name, sql in rows}


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """Return an entry with all that readers rely on; None for what is none."""
    try:
        entry = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    whole = {**_TEXTS, **_MAYBE, **entry}
    texts = all(isinstance(whole[name], str) for name in _TEXTS)
    maybe = all(whole[name] is None or isinstance(whole[name], str) for name in _MAYBE)
    return whole if texts and maybe and whole["action"] else None


def _start(log: str) -> str:
    return hashlib.sha256(f"toolwear audit log {log}".encode()).hexdigest()


def _next(digest: str, number: int, key: str, content: bytes | None) -> str:
    start = json.dumps([digest, number, key])
    return hashlib.sha256(start.encode() + (content or b"")).hexdigest()


def _row(digest: str) -> bytes:
    return f"row\n{digest}".encode()


def _head(log: Log) -> bytes:
    return f"head\n{log.id}\n{log.count}\n{log.head}".encode()


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", errors="replace")
