"""A journal beside a database makes SQLite remove the file that it names: such a one is refused."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from serving.trigger.store import Store
from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database
from toolwear.release import audit_log
from toolwear.release.registry import Registry
from toolwear.workspace import records
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_SECTOR = 512


def database(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE experiments (experiment_id, artifact_location)")
    return path


def plant(path: Path, victim: Path) -> None:
    """Lay a journal beside a database which changes nothing and names a file to remove."""
    data = path.read_bytes()
    (size,) = struct.unpack(">H", data[16:18])
    page = data[:size]
    start = struct.pack(">5I", 1, 0, len(data) // size, _SECTOR, size)
    check = sum(page[place] for place in range(size - 200, 0, -200))
    name = str(victim).encode()
    parts = (
        (_MAGIC + start).ljust(_SECTOR, b"\0"),
        struct.pack(">I", 1) + page + struct.pack(">I", check),
        struct.pack(">I", (1 << 30) // size + 1) + name,
        struct.pack(">2I", len(name), sum(name)) + _MAGIC,
    )
    path.with_name(f"{path.name}-journal").write_bytes(b"".join(parts))


def test_sqlite_itself_removes_what_such_a_journal_names(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = database(tmp_path / "some.db")
    plant(path, victim)
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("SELECT * FROM experiments").fetchall()
    assert not victim.exists(), "or the other tests try nothing"


def log_read(root: Path) -> object:
    return audit_log.entries(Home(root))


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("records.db", log_read),
        ("mlflow.db", lambda root: Registry(Home(root), "", "toolwear")),
        ("mlflow.db", lambda root: follow(Home(root))),
        ("trigger/trigger.db", lambda root: Store(root / "trigger")),
    ],
)
def test_no_reader_of_a_home_lets_it(
    tmp_path: Path, name: str, use: Callable[[Path], object]
) -> None:
    victim, root = tmp_path / "victim", tmp_path / "home"
    victim.write_text("precious")
    plant(database(root / name), victim)
    with pytest.raises(ToolwearError, match="a transaction over several databases"):
        use(root)
    assert victim.exists()


def test_the_journal_of_an_interrupted_transaction_is_played_back(tmp_path: Path) -> None:
    path = database(tmp_path / "some.db")
    plant(path, tmp_path / "victim")
    journal = path.with_name("some.db-journal")
    # Without its end it is one as SQLite leaves it.
    journal.write_bytes(journal.read_bytes()[: _SECTOR + 4 + 4096 + 4])
    assert see_database(path) == path
    with records.reading(path) as opened:
        assert opened.execute("SELECT * FROM experiments").fetchall() == []
    assert not journal.exists()
