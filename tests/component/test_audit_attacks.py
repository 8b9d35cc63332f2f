"""Whoever may write to the home changes the audit log: the next command says so, and what it is.

The key, and how far the log was known to go, lie outside of the home.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from serving.console import evidence
from serving.console.app import application
from serving.console.parts import Addresses
from tests.audit import forget, sql
from tests.serving.conftest import environment
from tests.trigger.test_operations import stocked
from toolwear.cli.approvals import print_approvals
from toolwear.cli.backup import backup
from toolwear.cli.plain import plain_console
from toolwear.cli.status import print_status
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.release import agreement, approvals, audit_log, marks, sealed_log
from toolwear.release.registry import Registry
from toolwear.release.registry_state import promote_version, reconcile, roll_back
from toolwear.release.rollout import Mode
from toolwear.workspace import seal
from toolwear.workspace.home import Home

COUNT = 5
OTHER = "another key, of an attacker, of 48 characters...".replace(" ", "-")


@pytest.fixture(scope="module")
def template(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home whose log has COUNT entries, and an older copy of its log."""
    folder = tmp_path_factory.mktemp("template")
    root = folder / "home"
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_registry.read_bytes())
    found = stocked(root)
    promote_version(found, found.version("2"), "it is better", "on_demand")
    approvals.hold(found, found.version("3"), "2", Mode.DIRECT, "won", "on_demand")
    for why in ("a", "b"):
        audit_log.append(found.home, action=audit_log.DECLINE, why=why, model="toolwear")
    shutil.copy(found.home.records, folder / "older.db")
    return folder


@pytest.fixture
def registry(template: Path, tmp_path: Path) -> Registry:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    home = Home(tmp_path / "home")
    assert len(audit_log.entries(home)) == COUNT
    return Registry(home, "", "toolwear")


def printed(show: Callable[..., object]) -> str:
    stream = io.StringIO()
    show(plain_console(file=stream, width=500))
    return stream.getvalue()


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(ToolwearError) as raised:
        act()
    return str(raised.value)


def toolwear(*arguments: object, code: int = 0, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "toolwear.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


# --- what an attacker does ----------------------------------------------------------------------


def rewritten(home: Home, key: str, *, as_log: str = "", but_last: int = 0) -> None:
    """Make a log that is whole in itself, with another outcome, sealed with the attacker's key."""
    log = audit_log.read(home)
    home.records.unlink()
    made_up = [{**entry, "why": "all is well"} for entry in log.entries]
    with closing(sqlite3.connect(home.records, isolation_level=None)) as database:
        database.text_factory = bytes
        sealed_log.add(
            database,
            sealed_log.Log(as_log or log.id),
            made_up[: len(made_up) - but_last],
            seal.Key(key),
        )


def last_line_changed(home: Home) -> None:
    change = "UPDATE audit SET entry = replace(entry, '\"b\"', '\"x\"') WHERE number = ?"
    sql(home, change, values=(COUNT,))


def last_cut(home: Home, lines: int) -> None:
    sql(home, "DELETE FROM audit WHERE number > ?", values=(COUNT - lines,))


def a_byte_in_the_middle(home: Home) -> None:
    data = home.records.read_bytes()
    at = data.index(b"it is better")
    home.records.write_bytes(data[:at] + b"I" + data[at + 1 :])


def head_changed(home: Home) -> None:
    last_cut(home, 3)
    sql(home, "UPDATE audit_head SET count = ?", values=(COUNT - 3,))


def plain_digests(home: Home) -> None:
    """Put in what can be computed without the key."""
    with closing(sqlite3.connect(home.records)) as database, database:
        rows = database.execute("SELECT number, entry FROM audit ORDER BY number").fetchall()
        digest = hashlib.sha256(b"").hexdigest()
        for number, entry in rows:
            changed = entry.replace("it is better", "it is worse")
            digest = hashlib.sha256((digest + changed).encode()).hexdigest()
            values = (changed, digest, number)
            database.execute("UPDATE audit SET entry = ?, seal = ? WHERE number = ?", values)
        database.execute("UPDATE audit_head SET seal = ?", (digest,))


def with_journal(home: Home) -> None:
    """Leave what an interrupted transaction leaves, so that SQLite itself brings back the old."""
    old = home.records.with_name("old.db")
    shutil.copy(home.root.parent / "older.db", old)
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA cache_size=1')\n"
        "database.execute('PRAGMA synchronous=FULL')\n"
        "database.execute('BEGIN IMMEDIATE')\n"
        "database.execute('DELETE FROM audit WHERE number > 1')\n"
        "database.execute('CREATE TABLE filler (x)')\n"
        "database.execute('INSERT INTO filler VALUES (zeroblob(4000000))')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(old)], check=False)
    assert done.returncode == -signal.SIGKILL
    journal = old.with_name("old.db-journal")
    assert journal.stat().st_size > 0
    old.replace(home.records)
    journal.replace(home.records.with_name("records.db-journal"))
    sql(home, "DELETE FROM audit WHERE number > 3")  # opens it: the journal is played back first


def as_wal(home: Home) -> None:
    """Let a log beside the database, rather than itself, hold the change."""
    kept = home.root / "kept"
    with closing(sqlite3.connect(home.records, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("DELETE FROM audit WHERE number > ?", (COUNT - 1,))
        shutil.copytree(home.root, kept, ignore=shutil.ignore_patterns("mlflow*", "packages"))
    for path in kept.glob("records.db*"):
        shutil.copy(path, home.root / path.name)
    shutil.rmtree(kept)
    assert (home.root / "records.db-wal").stat().st_size > 0


def larger_than_any(home: Home) -> None:
    with home.records.open("r+b") as stream:
        stream.truncate(1 << 30)


def swapped_for(path: str) -> Callable[[Home], object]:
    def swap(home: Home) -> None:
        home.records.unlink()
        home.records.symlink_to(path)

    return swap


def fifo(home: Home) -> None:
    home.records.unlink()
    os.mkfifo(home.records)


def older_copy(home: Home) -> None:
    """Put back an older copy, whole and sealed."""
    audit_log.append(home, action=audit_log.DECLINE, why="c", model="toolwear")
    shutil.copy(home.root.parent / "older.db", home.records)


def deep_entry(home: Home) -> None:
    values = ("[" * 100_000,)
    sql(home, "UPDATE audit SET entry = ? WHERE number = 2", values=values)


ATTACKS: dict[str, tuple[Callable[[Home], object], str]] = {
    "last line changed": (last_line_changed, f"entry {COUNT} is not as it was sealed"),
    "last three cut": (
        lambda home: last_cut(home, 3),
        f"it has {COUNT - 3} entries, and its head says {COUNT}",
    ),
    "emptied": (
        lambda home: sql(home, "DELETE FROM audit", "DELETE FROM audit_head"),
        f"it is gone or emptied, and {COUNT} entries are known of it",
    ),
    "rows emptied": (
        lambda home: sql(home, "DELETE FROM audit"),
        f"it has 0 entries, and its head says {COUNT}",
    ),
    "tables dropped": (
        lambda home: sql(home, "DROP TABLE audit", "DROP TABLE audit_head"),
        f"it is gone or emptied, and {COUNT} entries are known of it",
    ),
    "one table dropped": (
        lambda home: sql(home, "DROP TABLE audit"),
        "its tables are not as they were made",
    ),
    "deleted": (
        lambda home: home.records.unlink(),
        f"it is gone or emptied, and {COUNT} entries are known of it",
    ),
    "truncated to nothing": (
        lambda home: home.records.write_bytes(b""),
        f"it is gone or emptied, and {COUNT} entries are known of it",
    ),
    "garbage": (lambda home: home.records.write_bytes(b"x" * 5000), "cannot be read"),
    "cut in half": (
        lambda home: home.records.write_bytes(home.records.read_bytes()[:5000]),
        "cannot be read",
    ),
    "rewritten with plain digests": (plain_digests, "entry 1 is not as it was sealed"),
    "rewritten with another key": (
        lambda home: rewritten(home, OTHER),
        f"its first {COUNT} entries are others than those that are known of it",
    ),
    "rewritten as another log": (
        lambda home: rewritten(home, OTHER, as_log="f" * 32),
        f"it is another one than the log of {COUNT} entries that is known here",
    ),
    "rewritten shorter": (
        lambda home: rewritten(home, OTHER, but_last=2),
        f"it has {COUNT - 2} entries, and {COUNT} are known of it: an older copy",
    ),
    "an older copy put back": (
        older_copy,
        f"it has {COUNT} entries, and {COUNT + 1} are known of it: an older copy",
    ),
    "a byte in the middle": (a_byte_in_the_middle, "entry 2 is not as it was sealed"),
    "first taken out": (
        lambda home: sql(home, "DELETE FROM audit WHERE number = 1"),
        "entry 1 is not as it was sealed",
    ),
    "two swapped": (
        lambda home: sql(
            home,
            "UPDATE audit SET number = 99 WHERE number = 2",
            "UPDATE audit SET number = 2 WHERE number = 3",
            "UPDATE audit SET number = 3 WHERE number = 99",
        ),
        "entry 2 is not as it was sealed",
    ),
    "one put in": (
        lambda home: sql(
            home,
            "INSERT INTO audit SELECT 6, entry, key, seal FROM audit WHERE number = 1",
            "UPDATE audit_head SET count = 6",
        ),
        f"entry {COUNT + 1} is not as it was sealed",
    ),
    "head changed to fit": (
        head_changed,
        "its head, which says how many entries there are, was changed",
    ),
    "head of another key": (
        lambda home: sql(home, "UPDATE audit_head SET key = 'f00'"),
        "its head, which says how many entries there are, was changed",
    ),
    "head taken away": (
        lambda home: sql(home, "DELETE FROM audit_head"),
        "its head, which says how many entries there are, is gone",
    ),
    "key of a line made another": (
        lambda home: sql(home, "UPDATE audit SET key = 'f00' WHERE number = 3"),
        "entry 4 is not as it was sealed",
    ),
    "numbers in place of text": (
        lambda home: sql(home, "UPDATE audit SET entry = 7, seal = 8 WHERE number = 3"),
        "entry 3 is not as it was sealed",
    ),
    "deep entry": (deep_entry, "entry 2 is not as it was sealed"),
    "a trigger of SQL": (
        lambda home: sql(
            home,
            "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit WHERE number = 1; END",
        ),
        "its tables are not as they were made",
    ),
    "a view in its place": (
        lambda home: sql(
            home,
            "ALTER TABLE audit RENAME TO hidden",
            "CREATE VIEW audit AS SELECT * FROM hidden WHERE number < 3",
        ),
        "its tables are not as they were made",
    ),
    "a journal left behind": (with_journal, f"it has 3 entries, and its head says {COUNT}"),
    "a write-ahead log": (as_wal, f"it has {COUNT - 1} entries, and its head says {COUNT}"),
    "larger than any": (larger_than_any, "it has more than 64 MiB"),
    "a link to zeros": (swapped_for("/dev/zero"), "it is no regular file"),
    "a FIFO": (fifo, "it is no regular file"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_each_change_is_named_by_the_next_command_and_a_person_can_go_on(
    registry: Registry, name: str, tmp_path: Path
) -> None:
    home = registry.home
    assert "audit log:" not in printed(lambda to: print_status(home.root, "", "", to))
    attack, said = ATTACKS[name]
    attack(home)

    sentence = audit_log.sentence(home, audit_log.read(home))
    assert f"The audit log of {home.root} was changed: " in sentence
    assert said in sentence
    assert "`toolwear audit accept --why ...`" in sentence
    # Who shows says it, and shows.
    shown = printed(lambda to: print_status(home.root, "", "", to))
    assert f"audit log: {sentence}" in shown
    assert "champion: toolwear version 2" in shown
    shown = printed(lambda to: print_approvals(home.root, to))
    assert f"audit log: {sentence}" in shown
    assert "waiting" in shown
    assert evidence.audit_log_of(home)[1] == sentence
    # Who acts does not.
    archive = tmp_path / "home.tar.gz"
    for act in (
        lambda: roll_back(home.root, "bad"),
        lambda: approvals.allow(home, "3", "I say so"),
        lambda: promote_version(registry, registry.version("3"), "won", "on_demand"),
        lambda: audit_log.append(home, action=audit_log.DECLINE),
        lambda: backup(home, archive, plain_console(file=io.StringIO())),
    ):
        assert refused(act) == sentence
    assert not archive.exists()

    entry = audit_log.accept(home, "the disk was mended", "erika")
    assert said.partition(": ")[0] in entry["found"]
    last = audit_log.entries(home)[-1]
    assert (last["action"], last["who"]) == ("log_accepted", "erika")
    audit_log.append(home, action=audit_log.DECLINE, why="after", model="toolwear")
    assert audit_log.entries(home)[-1]["why"] == "after"
    assert "audit log:" not in printed(lambda to: print_status(home.root, "", "", to))
    if agreement.disagreement(registry):  # what was accepted may name another champion
        reconcile(home, "the log was forged", serve_registered=False)
    assert approvals.allow(home, "3", "I looked")["to"] == "3"
    # What was accepted cannot be changed any more.
    sql(home, "UPDATE audit SET entry = replace(entry, 'why', 'who') WHERE number = 1")
    assert "is not as it was sealed" in audit_log.read(home).changed
    sql(home, "UPDATE audit_head SET count = count + 1")
    assert "was changed" in refused(lambda: audit_log.entries(home))


def test_where_nothing_is_wrong_there_is_nothing_to_accept(registry: Registry) -> None:
    told = refused(lambda: audit_log.accept(registry.home, "why not", "erika"))
    assert "Nothing is wrong with the audit log" in told


def test_the_command_line_verifies_exports_and_accepts(registry: Registry) -> None:
    home = registry.home
    told = toolwear("audit", "verify", "--home", home.root)
    log = audit_log.read(home)
    assert f"{COUNT} entries, head {log.head}, sealed with key {seal.own().id}\n" in told
    assert "every seal fits" in told
    lines = toolwear("audit", "export", "--home", home.root).splitlines()
    assert [json.loads(line) for line in lines] == audit_log.entries(home)

    last_line_changed(home)
    said = f"entry {COUNT} is not as it was sealed"
    assert said in toolwear("audit", "verify", "--home", home.root, code=1)
    assert said in toolwear("audit", "export", "--home", home.root, code=1)
    assert said in toolwear("rollback", "--home", home.root, code=2)
    assert said in toolwear("status", "--home", home.root)
    accept = ("audit", "accept", "--why", "I [looked]", "--as", "Erika", "--home", home.root)
    assert said in toolwear(*accept)
    assert "every seal fits" in toolwear("audit", "verify", "--home", home.root)
    assert audit_log.entries(home)[-1]["who"].startswith("Erika (")
    assert "accept nothing" in toolwear(*accept, code=2)


async def test_the_console_says_it_and_shows_the_entries(registry: Registry) -> None:
    import httpx

    home = registry.home
    nobody = "http://127.0.0.1:1"
    app = application(home, Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        before = (await client.get("/monitoring")).text
        assert f"{COUNT} entries; each is sealed together with those before it" in before
        assert "was changed" not in (await client.get("/parts/strip")).text
        a_byte_in_the_middle(home)
        for page in ("/monitoring", "/parts/strip"):
            assert "entry 2 is not as it was sealed" in (await client.get(page)).text
        assert "it is the first" not in before
        assert "It is better" in (await client.get("/monitoring")).text


# --- the key is another, or none ----------------------------------------------------------------


def test_on_another_machine_it_is_said_and_blocks_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home, first = registry.home, seal.own()
    monkeypatch.setenv(seal.STATE_VARIABLE, str(tmp_path / "elsewhere"))
    assert seal.known() == {}
    said = f"entries 1 to {COUNT} by key {first.id}"
    assert said in printed(lambda to: print_status(home.root, "", "", to))
    assert said in printed(lambda to: print_approvals(home.root, to))
    assert not seal.key_file().exists(), "whoever looks makes no key"

    assert roll_back(home.root, "bad")["to"] == "1"
    own = seal.own()
    assert own.id != first.id
    note, move = audit_log.entries(home)[-2:]
    assert note["action"] == audit_log.NEW_KEY
    assert note["why"] == (
        f"The entries before were sealed by key {first.id}, those from here on by {own.id}."
    )
    assert move["action"] == audit_log.ROLLBACK
    assert said in printed(lambda to: print_status(home.root, "", "", to))
    # What was found is sealed with the new key: nobody changes it now.
    whole = home.records.read_bytes()
    sql(home, "UPDATE audit SET entry = replace(entry, 'better', 'worse') WHERE number = 2")
    assert f"entry {COUNT + 1} is not as it was sealed" in audit_log.read(home).changed
    home.records.write_bytes(whole)
    audit_log.accept(home, "it came from the old machine", "erika")
    assert "audit log:" not in printed(lambda to: print_status(home.root, "", "", to))

    # With the first key brought here, too, nothing is unknown.
    monkeypatch.setenv(seal.KEY_VARIABLE, f"{own.text} {first.text}")
    forget(home)
    last_line_changed(home)
    assert "is not as it was sealed" in audit_log.read(home).changed
    home.records.write_bytes(whole)
    forget(home)
    assert audit_log.sentence(home, audit_log.read(home)) == ""
    sql(home, "UPDATE audit SET entry = replace(entry, 'better', 'worse') WHERE number = 2")
    assert "entry 2 is not as it was sealed" in audit_log.read(home).changed


def test_entries_that_an_attacker_adds_with_a_key_of_his_own_are_said(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, own = registry.home, seal.own()
    with monkeypatch.context() as patch:
        patch.setenv(seal.KEY_VARIABLE, OTHER)
        audit_log.append(home, action=audit_log.ALLOW, model="toolwear", to="3", who="erika")
    said = f"entries {COUNT + 1} to {COUNT + 2} by key {seal.Key(OTHER).id}"
    assert said in printed(lambda to: print_status(home.root, "", "", to))
    audit_log.append(home, action=audit_log.DECLINE, model="toolwear")
    assert audit_log.entries(home)[-2]["action"] == audit_log.NEW_KEY
    assert audit_log.read(home).key == own.id
    assert said in printed(lambda to: print_status(home.root, "", "", to)), "until one accepts it"


def test_a_key_that_others_may_read_or_that_is_short_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(seal.STATE_VARIABLE, str(tmp_path))
    key = seal.own()
    path = seal.key_file()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert seal.own() == key
    assert key.text not in repr(key)
    path.chmod(0o640)
    assert f"run `chmod 600 {path}`" in refused(seal.own)
    path.chmod(0o600)
    path.write_text("short")
    assert "at least 32 characters" in refused(seal.own)
    monkeypatch.setenv(seal.KEY_VARIABLE, "short")
    assert "at least 32 characters" in refused(seal.known)
    monkeypatch.delenv(seal.KEY_VARIABLE)
    monkeypatch.setenv(seal.STATE_VARIABLE, str(path))
    assert "cannot be read" in refused(seal.own)


# --- homes that move ----------------------------------------------------------------------------


def test_a_home_that_was_moved_or_copied_works_and_is_still_watched(
    registry: Registry, tmp_path: Path
) -> None:
    home = registry.home
    copy, moved = Home(tmp_path / "copy"), Home(tmp_path / "moved")
    shutil.copytree(home.root, copy.root)
    # The two go on apart.
    for number in range(3):
        audit_log.append(home, action=audit_log.DECLINE, why=str(number))
    audit_log.append(copy, action=audit_log.DECLINE, why="copy")
    assert [len(audit_log.entries(one)) for one in (home, copy)] == [COUNT + 3, COUNT + 1]
    home.root.rename(moved.root)
    kept = moved.records.read_bytes()
    shutil.copy(tmp_path / "older.db", moved.records)
    assert "8 are known of it: an older copy" in audit_log.read(moved).changed
    moved.records.write_bytes(kept)
    assert len(audit_log.entries(moved)) == COUNT + 3
    # A home in which nothing was done yet takes its place.
    new = Home(home.root)
    new.root.mkdir()
    audit_log.begin(new)
    assert audit_log.entries(new) == []
    (new.root / "mlflow.db").touch()
    audit_log.append(new, action=audit_log.DECLINE, why="new")
    assert len(audit_log.entries(new)) == 1
    # Another home's log is not this one's, though it is sealed with the same key.
    shutil.copy(copy.records, new.records)
    assert "it is another one than the log of 1 entries" in audit_log.read(new).changed


def test_a_home_of_the_older_layout_is_refused_and_not_touched(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "audit.jsonl").write_text('{"action": "promote"}\n')
    for act in (
        lambda: audit_log.entries(home),
        lambda: audit_log.append(home, action=audit_log.DECLINE),
        lambda: audit_log.begin(home),
        lambda: print_status(tmp_path, "", "", plain_console(file=io.StringIO())),
        lambda: backup(home, tmp_path / "x.tar.gz", plain_console(file=io.StringIO())),
    ):
        told = refused(act)
        assert "is of an older layout" in told or "nothing to back up" in told
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["audit.jsonl"]


# --- killed between the steps -------------------------------------------------------------------


def test_a_kill_between_the_log_and_what_is_kept_outside_raises_no_alarm(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = registry.home
    before = marks.at(home)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(marks, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            audit_log.append(home, action=audit_log.DECLINE, why="killed")
    assert marks.at(home) == before
    assert len(audit_log.entries(home)) == COUNT + 1
    after = marks.at(home)
    assert after is not None
    assert after.count == COUNT + 1, "whoever looks catches up"


def test_a_kill_within_the_transaction_leaves_the_log_as_it_was(registry: Registry) -> None:
    home = registry.home
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from toolwear.workspace.home import Home\n"
        "from toolwear.release import audit_log, sealed_log\n"
        "real = sealed_log.add\n"
        "def add(database, *rest):\n"
        "    database.execute('PRAGMA cache_size=1')\n"
        "    made = real(database, *rest)\n"
        "    database.execute('CREATE TABLE filler (x)')\n"
        "    database.execute('INSERT INTO filler VALUES (zeroblob(4000000))')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "sealed_log.add = add\n"
        "audit_log.append(Home(Path(sys.argv[1])), action='decline', why='killed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], cwd=ROOT, env=environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert home.records.with_name("records.db-journal").exists(), "it was in the middle of it"
    assert len(audit_log.entries(home)) == COUNT
    audit_log.append(home, action=audit_log.DECLINE, why="after")
    assert [entry["why"] for entry in audit_log.entries(home)][-1] == "after"
