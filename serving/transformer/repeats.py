"""Answers to requests with an Idempotency-Key, for whoever sends the same request again.

In a file of the home, so that a restart and the servers of a rollout keep to them too. Two that
send a key at once are both worked for; the one that is kept first is the answer of both.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from serving.common.refusal import Refusal
from serving.common.rows import EntityKeys, RawRows, Rows
from serving.transformer.answer import Answer
from toolwear.common.files import see_database

KEPT_BYTES = 64 << 20
_SECONDS = 5.0  # to wait for another server that is writing
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, question TEXT NOT NULL, answer BLOB NOT NULL, until INTEGER NOT NULL
)
"""


class Repeats:
    """The answers that are kept; threads and processes may share them.

    Args:
        home: the system's folder.
        kept_bytes: of answers; newer ones push out the oldest.
    """

    def __init__(self, home: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._path = home / "serving" / "repeats.db"
        self._kept_bytes = kept_bytes

    def find(self, key: str, digest: str) -> Answer | None:
        """Return the answer that a key has got, None if it is new.

        Args:
            key: the caller's.
            digest: of what is asked, as `question` gives it.

        Raises:
            Refusal: it was asked another question.
            sqlite3.Error: the file cannot be read.
        """
        if not self._path.exists():
            return None
        with closing(self._connected()) as database:
            return _known(database, key, digest)

    def keep(self, key: str, digest: str, answer: Answer) -> Answer:
        """Keep an answer and return it; if the key has got one meanwhile, return that.

        Raises:
            Refusal: it was asked another question meanwhile.
            sqlite3.Error: the file cannot be written.
        """
        self._path.parent.mkdir(exist_ok=True)
        with closing(self._connected()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            known = _known(database, key, digest)
            if known is not None:
                return known
            content = answer.dump()
            # Counts the bytes of all answers ever kept: those far behind are the oldest.
            (until,) = database.execute("SELECT coalesce(max(until), 0) FROM answers").fetchone()
            until += len(content)
            row = (key, digest, content, until)
            database.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", row)
            database.execute("DELETE FROM answers WHERE until <= ?", (until - self._kept_bytes,))
        return answer

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(see_database(self._path), timeout=_SECONDS, isolation_level=None)
        database.execute(_TABLE)
        database.execute("CREATE INDEX IF NOT EXISTS by_age ON answers (until)")
        return database


def question(rows: Rows, recording: str | None, machine: str | None) -> str:
    """Return the SHA-256 of what is asked: the same whichever protocol it came by."""
    # As before there were machines, where none is named: keys that were kept stay good.
    named = (type(rows).__name__, recording, *([machine] if machine is not None else []))
    digest = hashlib.sha256(repr(named).encode())
    if isinstance(rows, RawRows):
        digest.update(rows.frame[list(rows.columns.numbers)].to_numpy(dtype=np.float64).tobytes())
        digest.update(repr(rows.frame[rows.columns.dataset.phases.column].tolist()).encode())
    elif isinstance(rows, EntityKeys):
        digest.update(repr((rows.run_ids, rows.timestamps)).encode())
    else:
        digest.update(rows.values.tobytes())
    return digest.hexdigest()


def _known(database: sqlite3.Connection, key: str, digest: str) -> Answer | None:
    row = database.execute("SELECT question, answer FROM answers WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise Refusal(
            "idempotency_key",
            "This Idempotency-Key came with another request before; send a new key with a new "
            "request.",
            422,
        )
    return Answer.load(row[1])
