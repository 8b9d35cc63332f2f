"""What tests do to an audit log behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from toolwear.release import marks
from toolwear.workspace.home import Home


def forget(home: Home) -> None:
    """Take away what is known of the log outside of the home, as on a machine that never saw it."""
    marks._path(home).unlink(missing_ok=True)


def sql(home: Home, *statements: str, values: Sequence[object] = ()) -> None:
    """Change the database as whoever can write to the home may."""
    with closing(sqlite3.connect(home.records)) as database, database:
        for statement in statements:
            database.execute(statement, values)
