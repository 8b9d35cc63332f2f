"""The queue of causes and their runs, in SQLite: what was accepted survives any end of the process.

Every change is one transaction that is on the disk when it returns. That no cause counts twice,
and that no two runs are at work at once, are rules of the database.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common.causes import Cause, cause_of, detail_of
from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database
from toolwear.common.states import ENDED, State

_FILE = "trigger.db"
_TEXT = 200  # characters that the cause on a run may have
_NUMBERED = re.compile(r"[ (]trigger \d+\)?$")  # how `text_of` ends it
_TABLES = """
CREATE TABLE IF NOT EXISTS causes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  cause TEXT NOT NULL,
  detail TEXT NOT NULL,
  parameters TEXT NOT NULL,
  state TEXT NOT NULL,
  merged_into INTEGER REFERENCES causes (id),
  at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (
  name TEXT PRIMARY KEY,
  cause_id INTEGER NOT NULL REFERENCES causes (id),
  attempt INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  started REAL NOT NULL,
  ended REAL,
  UNIQUE (cause_id, attempt)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_run_at_a_time ON runs ((1))
  WHERE state IN ('starting', 'running');
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class TooManyError(ToolwearError):
    """More causes are waiting than may."""


@dataclass(frozen=True)
class Request:
    """A cause that was told.

    Attributes:
        cause: its kind.
        detail: for a reader.
        key: the same for the same cause, however often it is told.
        parameters: of the run, beside the service's own.
    """

    cause: Cause
    detail: str
    key: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """What became of a request.

    Attributes:
        id: of the cause.
        state: of the cause now.
        result: "accepted", "merged" or "duplicate".
    """

    id: int
    state: State
    result: str


@dataclass(frozen=True)
class Run:
    """A run as the trigger knows it.

    Attributes:
        name: chosen before it starts.
        cause_id: the cause that it serves.
        cause: its kind.
        text: the cause as it is written on the run.
        parameters: of the run, beside the service's own.
        attempt: 1, or 2 after a run that was killed.
        state: of the run.
        reason: why it failed.
        started: when it was begun, seconds since the epoch.
        ended: when its end was seen.
    """

    name: str
    cause_id: int
    cause: Cause
    text: str
    parameters: dict[str, Any]
    attempt: int
    state: State
    reason: str
    started: float
    ended: float | None


class Store:
    """The database below a home. Safe for several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            see_database(folder / _FILE), isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        # Not a write-ahead log: its shared memory does not work on a network drive.
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def accept(
        self,
        request: Request,
        now: float,
        limit: int,
        facts: Mapping[str, str] | None = None,
    ) -> Accepted:
        """Keep a cause, once however often it is told.

        Args:
            request: the cause.
            now: seconds since the epoch.
            limit: causes on demand that may wait at a time; of others one of a kind waits.
            facts: to be kept in the same transaction.

        Raises:
            TooManyError: that many are waiting already.
        """
        with self._transaction() as sql:
            for name, value in (facts or {}).items():
                _keep(sql, name, value)
            known = sql.execute(
                "SELECT id, state FROM causes WHERE key = ?", (request.key,)
            ).fetchone()
            if known is not None:
                return Accepted(known["id"], State(known["state"]), "duplicate")
            before = _waiting_of(sql, request.cause)
            state = State.WAITING if before is None else State.MERGED
            if request.cause is Cause.ON_DEMAND:
                _check_room(sql, limit)
            if (
                before is not None and request.parameters
            ):  # the newest data are what the run is to learn from
                sql.execute(
                    "UPDATE causes SET parameters = ?, detail = ? WHERE id = ?",
                    (json.dumps(dict(request.parameters)), request.detail, before),
                )
            added = sql.execute(
                "INSERT INTO causes (key, cause, detail, parameters, state, merged_into, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    request.key,
                    request.cause.value,
                    request.detail,
                    json.dumps(dict(request.parameters)),
                    state.value,
                    before,
                    now,
                ),
            )
            result = "accepted" if before is None else "merged"
            return Accepted(int(added.lastrowid or 0), state, result)

    def due(self, now: float, cooldown: Mapping[Cause, float]) -> int | None:
        """Return the cause that has waited longest and whose kind has cooled down, else None."""
        with self._transaction() as sql:
            rows = sql.execute(
                "SELECT id, cause, (SELECT max(started) FROM runs JOIN causes AS other "
                "ON other.id = runs.cause_id WHERE other.cause = causes.cause) AS last "
                "FROM causes WHERE state = 'waiting' ORDER BY at, id"
            ).fetchall()
        for row in rows:
            if row["last"] is None or now >= row["last"] + cooldown[Cause(row["cause"])]:
                return int(row["id"])
        return None

    def begin(self, cause_id: int, name: str, now: float) -> Run:
        """Promise a run to a waiting cause; the run may be started once this has returned."""
        with self._transaction() as sql:
            _add_run(sql, cause_id, name, 1, now)
            sql.execute("UPDATE causes SET state = 'running' WHERE id = ?", (cause_id,))
        return self.run(name)

    def mark_running(self, name: str) -> None:
        """Note that a run was seen at work."""
        with self._transaction() as sql:
            sql.execute("UPDATE runs SET state = 'running' WHERE name = ?", (name,))

    def end(self, run: Run, state: State, reason: str, now: float, again: str | None) -> None:
        """Note the end of a run, and in the same transaction promise the next attempt, if any.

        Args:
            run: that has ended.
            state: how.
            reason: why, if it did not succeed.
            now: seconds since the epoch.
            again: name of the next attempt; None: the cause has had its run.
        """
        with self._transaction() as sql:
            sql.execute(
                "UPDATE runs SET state = ?, reason = ?, ended = ? WHERE name = ?",
                (state.value, reason, now, run.name),
            )
            if again is not None:
                _add_run(sql, run.cause_id, again, run.attempt + 1, now)
            else:
                sql.execute("UPDATE causes SET state = ? WHERE id = ?", (state.value, run.cause_id))

    def cancel(self, cause_id: int, why: str) -> State | None:
        """Want no run for a cause: one that waits is cancelled, of one at work the wish is kept.

        Args:
            cause_id: of the cause.
            why: told with the run.

        Returns:
            What has become of the cause; None if there is none of this number.
        """
        with self._transaction() as sql:
            row = sql.execute("SELECT state FROM causes WHERE id = ?", (cause_id,)).fetchone()
            if row is None:
                return None
            state = State(row["state"])
            if state is State.WAITING:
                state = State.CANCELLED
                sql.execute("UPDATE causes SET state = ? WHERE id = ?", (state.value, cause_id))
            if state in (State.CANCELLED, State.RUNNING):
                _keep(sql, _cancel(cause_id), why)
        return state

    def cancelled(self, cause_id: int) -> str | None:
        """Return why a cause is to have no run; None if it may have one."""
        return self.fact(_cancel(cause_id))

    def knows(self, name: str) -> bool:
        """Tell whether a run of this name was started here, or is about to be."""
        with self._transaction() as sql:
            return bool(sql.execute("SELECT 1 FROM runs WHERE name = ?", (name,)).fetchone())

    def adopt(
        self, run_id: str, text: str, state: State, reason: str, started: float, ended: float
    ) -> bool:
        """Note a run that somebody else had started and that has ended; tell whether it is new.

        Args:
            run_id: names it where it ran.
            text: its cause, as it is written on it.
            state: how it ended.
            reason: why it failed.
            started: seconds since the epoch.
            ended: the same.
        """
        cause = cause_of(text) or Cause.ON_DEMAND
        with self._transaction() as sql:
            if sql.execute("SELECT 1 FROM runs WHERE name = ?", (run_id,)).fetchone():
                return False
            added = sql.execute(
                "INSERT INTO causes (key, cause, detail, parameters, state, at) "
                "VALUES (?, ?, ?, '{}', ?, ?)",
                (f"run:{run_id}", cause.value, detail_of(text), state.value, started),
            )
            sql.execute(
                "INSERT INTO runs (name, cause_id, attempt, state, reason, started, ended) "
                "VALUES (?, ?, 1, ?, ?, ?, ?)",
                (run_id, added.lastrowid, state.value, reason, started, ended),
            )
        return True

    def active(self) -> Run | None:
        """Return the run that is at work or about to be."""
        with self._transaction() as sql:
            row = sql.execute(_RUNS + "WHERE runs.state IN ('starting', 'running')").fetchone()
        return None if row is None else _run(row)

    def run(self, name: str) -> Run:
        """Return a run that is there."""
        with self._transaction() as sql:
            return _run(sql.execute(_RUNS + "WHERE name = ?", (name,)).fetchone())

    def causes(self, limit: int, only: int | None = None) -> list[dict[str, Any]]:
        """Return the newest causes, each with the attempts at its run, as JSON values."""
        condition, values = ("WHERE id = ? ", [only]) if only is not None else ("", [])
        with self._transaction() as sql:
            rows = sql.execute(
                f"SELECT * FROM causes {condition}ORDER BY id DESC LIMIT ?",  # noqa: S608
                (*values, limit),
            ).fetchall()
            return [_told(row, _attempts(sql, row["id"])) for row in rows]

    def counts(self, table: str) -> dict[str, int]:
        """Return how many causes or runs there are in each state."""
        with self._transaction() as sql:
            rows = sql.execute(
                f"SELECT state, count(*) AS n FROM {table} GROUP BY state"  # noqa: S608
            )
            return {row["state"]: row["n"] for row in rows}

    def durations(self) -> list[tuple[str, str, int, float]]:
        """Return cause, state, number and seconds of the ended runs, for each cause and state."""
        with self._transaction() as sql:
            rows = sql.execute(
                "SELECT causes.cause, runs.state, count(*) AS n, sum(ended - started) AS seconds "
                "FROM runs JOIN causes ON causes.id = runs.cause_id WHERE ended IS NOT NULL "
                "GROUP BY causes.cause, runs.state"
            )
            return [(row["cause"], row["state"], row["n"], row["seconds"]) for row in rows]

    def last_end(self, *states: State) -> float:
        """Return when a run last ended like this, seconds since the epoch; 0 for never."""
        marks = ", ".join("?" * len(states))
        with self._transaction() as sql:
            row = sql.execute(
                f"SELECT max(ended) AS at FROM runs WHERE state IN ({marks})",  # noqa: S608
                [state.value for state in states],
            ).fetchone()
        return float(row["at"] or 0.0)

    def fact(self, name: str) -> str | None:
        """Return a fact that was kept."""
        with self._transaction() as sql:
            row = sql.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def keep(self, facts: Mapping[str, str]) -> None:
        """Keep facts."""
        with self._transaction() as sql:
            for name, value in facts.items():
                _keep(sql, name, value)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def of_ended(folder: Path) -> set[str]:
    """Return the names of the runs of all causes that want no more of them.

    Args:
        folder: of the queue, which somebody may be serving.
    """
    path = folder / _FILE
    if not path.exists():
        return set()
    with closing(sqlite3.connect(see_database(path))) as database:
        rows = database.execute(
            "SELECT name, causes.state FROM runs JOIN causes ON causes.id = runs.cause_id"
        )
        return {name for name, state in rows if state in ENDED}


_RUNS = (
    "SELECT runs.*, causes.cause, causes.detail, causes.parameters "
    "FROM runs JOIN causes ON causes.id = runs.cause_id "
)


def _run(row: sqlite3.Row) -> Run:
    cause = Cause(row["cause"])
    return Run(
        name=row["name"],
        cause_id=row["cause_id"],
        cause=cause,
        text=text_of(cause, row["detail"], row["cause_id"]),
        parameters=json.loads(row["parameters"]),
        attempt=row["attempt"],
        state=State(row["state"]),
        reason=row["reason"],
        started=row["started"],
        ended=row["ended"],
    )


def text_of(cause: Cause, detail: str, cause_id: int) -> str:
    """Return a cause as it is written on its run: its kind, its detail, its number here."""
    number = f"trigger {cause_id}"
    if not detail:
        return cause.told(number)
    room = _TEXT - len(cause.told(f" ({number})"))
    return cause.told(f"{detail[:room]} ({number})")


def is_numbered(text: str) -> bool:
    """Tell whether a run's cause was written by `text_of`: the run is one of a trigger's."""
    return _NUMBERED.search(text) is not None


def _add_run(sql: sqlite3.Connection, cause_id: int, name: str, attempt: int, now: float) -> None:
    sql.execute(
        "INSERT INTO runs (name, cause_id, attempt, state, started) VALUES (?, ?, ?, ?, ?)",
        (name, cause_id, attempt, State.STARTING.value, now),
    )


def _waiting_of(sql: sqlite3.Connection, cause: Cause) -> int | None:
    """Return the waiting cause that one of this kind is merged into."""
    if cause is Cause.ON_DEMAND:  # people ask for different things
        return None
    row = sql.execute(
        "SELECT id FROM causes WHERE state = 'waiting' AND cause = ?", (cause.value,)
    ).fetchone()
    return None if row is None else int(row["id"])


def _check_room(sql: sqlite3.Connection, limit: int) -> None:
    (waiting,) = sql.execute(
        "SELECT count(*) FROM causes WHERE state = 'waiting' AND cause = ?",
        (Cause.ON_DEMAND.value,),
    ).fetchone()
    if waiting >= limit:
        raise TooManyError(f"{waiting} causes are waiting already; ask again when some have run.")


def _cancel(cause_id: int) -> str:
    return f"cancel:{cause_id}"


def _keep(sql: sqlite3.Connection, name: str, value: str) -> None:
    sql.execute(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def _attempts(sql: sqlite3.Connection, cause_id: int) -> list[dict[str, Any]]:
    rows = sql.execute(
        "SELECT name, attempt, state, reason, started, ended FROM runs WHERE cause_id = ? "
        "ORDER BY attempt",
        (cause_id,),
    )
    return [dict(row) for row in rows]


def _told(row: sqlite3.Row, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    merged = row["merged_into"]
    return {
        "id": str(row["id"]),
        "cause": row["cause"],
        "detail": row["detail"],
        "text": text_of(Cause(row["cause"]), row["detail"], row["id"]),
        "status": row["state"],
        "at": row["at"],
        "parameters": json.loads(row["parameters"]),
        "merged_into": None if merged is None else str(merged),
        "attempts": attempts,
    }
