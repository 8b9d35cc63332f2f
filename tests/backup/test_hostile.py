"""Backups and homes that somebody else made: one sentence, and nothing is done."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.audit import sql
from tests.packages import make_package
from toolwear.cli import backup_file
from toolwear.cli.backup import backup, restore, show_key
from toolwear.cli.backup_file import MANIFEST
from toolwear.cli.plain import plain_console
from toolwear.common.errors import ToolwearError
from toolwear.release import audit_log, sealed_log
from toolwear.workspace import seal
from toolwear.workspace.home import Home

OTHER = "k" * 48
Members = dict[str, bytes | tarfile.TarInfo]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    make_package(found.packages, 0)
    for number in range(4):
        audit_log.append(found, action="promote", model="toolwear", to=str(number), why="won")
    (found.root / "approvals").mkdir()
    return found


@pytest.fixture
def archive(home: Home, tmp_path: Path) -> Path:
    file = tmp_path / "home.tar.gz"
    told(lambda to: backup(home, file, to))
    return file


def told(act: Callable[..., object]) -> str:
    stream = io.StringIO()
    act(plain_console(file=stream, width=500))
    return stream.getvalue()


def refused(home: Home, file: Path, **more: Any) -> str:
    """Return the sentence that a person gets; the home is as it was."""
    before = sorted(path.name for path in home.root.iterdir())
    log = audit_log.entries(home)
    with pytest.raises(ToolwearError) as raised:
        restore(home, file, plain_console(file=io.StringIO()), overwrite=True, **more)
    assert sorted(path.name for path in home.root.iterdir()) == before
    assert audit_log.entries(home) == log
    assert str(raised.value).count("\n") == 0
    return str(raised.value)


def unpacked(archive: Path) -> Members:
    with tarfile.open(archive) as old:
        return {
            one.name: file.read() if (file := old.extractfile(one)) else one
            for one in old.getmembers()
        }


def packed(target: Path, members: list[tuple[tarfile.TarInfo | str, bytes]]) -> Path:
    with tarfile.open(target, "w:gz") as new:
        for named, content in members:
            member = tarfile.TarInfo(named) if isinstance(named, str) else named
            if isinstance(named, str):
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def remade(
    archive: Path,
    change: Callable[[dict[str, Any], Members], object],
    key: seal.Key | None = None,
) -> Path:
    """Return the archive with its list and members changed, and a seal of this key, if any."""
    members = unpacked(archive)
    content = members.pop(MANIFEST)
    assert isinstance(content, bytes)
    manifest: dict[str, Any] = json.loads(content)
    manifest["seal"] = None
    change(manifest, members)
    if key is not None:
        from toolwear.cli.backup_list import parsed

        whole = parsed(json.dumps(manifest).encode()).sealed(key)
        manifest = json.loads(whole.model_dump_json())
    listed: list[tuple[tarfile.TarInfo | str, bytes]] = [(MANIFEST, json.dumps(manifest).encode())]
    for name, member in members.items():
        listed.append((name, member) if isinstance(member, bytes) else (member, b""))
    return packed(archive.with_name("remade.tar.gz"), listed)


def nothing(_manifest: dict[str, Any], _members: Members) -> None:
    """Change nothing but the seal."""


def put(
    manifest: dict[str, Any], members: Members, name: str, content: bytes, size: int | None = None
) -> None:
    """Put a file in, with its digest on the list."""
    import hashlib

    members[name] = content
    manifest["files"][name] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content) if size is None else size,
    }


# --- the seal -----------------------------------------------------------------------------------


def test_only_a_seal_of_a_key_that_is_here_opens_without_a_word(
    home: Home, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = seal.own()
    bare = remade(archive, nothing)
    assert "has no seal, so that anyone may have made it" in refused(home, bare)
    assert "restore it with --unsealed" in refused(home, bare)
    another = remade(archive, nothing, seal.Key(OTHER))
    said = f"was sealed with the key {seal.Key(OTHER).id}, which is not here"
    assert said in refused(home, another)
    told(lambda to: restore(home, another, to, overwrite=True, unsealed=True))
    last = audit_log.entries(home)[-1]
    assert (last["action"], said in last["why"]) == (audit_log.RESTORED, True)
    # A list that was changed under our own seal is refused whatever is asked for.
    with tarfile.open(archive) as old:
        stream = old.extractfile(MANIFEST)
        assert stream is not None
        listed = json.loads(stream.read())
    listed["missing"] = ["nothing"]
    changed = packed(tmp_path / "c.tar.gz", [(MANIFEST, json.dumps(listed).encode())])
    assert "its list was changed after it was sealed" in refused(home, changed, unsealed=True)

    # On another machine the key is brought along, in a file or in the environment.
    text = own.text
    monkeypatch.setenv(seal.STATE_VARIABLE, str(tmp_path / "elsewhere"))
    new = Home(tmp_path / "new")
    with pytest.raises(ToolwearError, match="which is not here"):
        restore(new, archive, plain_console(file=io.StringIO()), overwrite=False)
    (tmp_path / "key").write_text(f"{text}\n")
    monkeypatch.setenv(seal.KEY_VARIABLE, "")
    seal.read_file(tmp_path / "key")
    told(lambda to: restore(new, archive, to, overwrite=False))
    assert len(audit_log.entries(new)) == 4
    assert audit_log.sentence(new, audit_log.read(new)) == ""
    (tmp_path / "key").write_text("short\n")
    with pytest.raises(ToolwearError, match="at least 32 characters"):
        seal.read_file(tmp_path / "key")


def test_the_key_is_shown_and_nothing_else_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_key()
    shown = capsys.readouterr()
    assert shown.out == f"{seal.own().text}\n"
    assert "keep this key elsewhere" in shown.err


# --- the audit log in it ------------------------------------------------------------------------


def log_of(home: Home, archive: Path, change: Callable[[Home], object]) -> bytes:
    """Return the log of a backup, changed."""
    scratch = Home(archive.parent / "scratch")
    scratch.root.mkdir()
    shutil.copy(home.records, scratch.records)
    change(scratch)
    return scratch.records.read_bytes()


LAST_CUT = ("DELETE FROM audit WHERE number > 3",)
REWRITTEN = ("UPDATE audit SET entry = replace(entry, 'won', 'lost')",)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (LAST_CUT, "it has 3 entries, and its head says 4"),
        (REWRITTEN, "entry 1 is not as it was sealed"),
        (("DELETE FROM audit_head",), "its head, which says how many entries there are, is gone"),
    ],
)
@pytest.mark.parametrize("key", [None, "own"])
def test_a_log_that_was_changed_is_not_restored(
    home: Home, archive: Path, statements: tuple[str, ...], said: str, key: str | None
) -> None:
    content = log_of(home, archive, lambda one: sql(one, *statements))
    bad = remade(
        archive,
        lambda listed, members: put(listed, members, "records.db", content),
        seal.own() if key else None,
    )
    assert said in refused(home, bad, unsealed=True)


def test_a_log_that_is_shorter_than_the_list_says_is_not_restored(
    home: Home, archive: Path, tmp_path: Path
) -> None:
    older = Home(tmp_path / "older")
    audit_log.append(older, action="promote", to="1")
    content = older.records.read_bytes()
    for log in (content, None):

        def change(listed: dict[str, Any], members: Members, log: bytes | None = log) -> None:
            if log is None:
                del listed["files"]["records.db"], members["records.db"]
            else:
                put(listed, members, "records.db", log)

        bad = remade(archive, change)
        assert "and its list says another one of 4" in refused(home, bad, unsealed=True)


def test_what_an_older_backup_lacks_is_put_on_the_log(home: Home, archive: Path) -> None:
    for _ in range(2):
        audit_log.append(home, action="decline", model="toolwear", why="later")
    told(lambda to: restore(home, archive, to, overwrite=True))
    entries = audit_log.entries(home)
    assert len(entries) == 5
    assert entries[-1]["action"] == audit_log.RESTORED
    assert entries[-1]["why"] == "2 entries that were known here are not in it."
    assert audit_log.sentence(home, audit_log.read(home)) == ""


def test_a_home_whose_log_is_gone_gets_it_back(home: Home, archive: Path) -> None:
    home.records.unlink()
    assert "is gone or emptied" in audit_log.read(home).changed
    beside = home.records.with_name("records.db-wal")
    beside.write_bytes(b"left by an attacker")
    told(lambda to: restore(home, archive, to, overwrite=True))
    assert not beside.exists()
    assert len(audit_log.entries(home)) == 4
    assert (home.root / "approvals").is_dir()


# --- sizes --------------------------------------------------------------------------------------


def zeros(target: Path, listed: dict[str, Any], size: int) -> Path:
    """Write an archive of a list and one member of zeros, as a bomb is written."""
    with gzip.open(target, "wb", compresslevel=9) as stream:
        content = json.dumps(listed).encode()
        for name, length in ((MANIFEST, len(content)), ("asked.parquet", size)):
            member = tarfile.TarInfo(name)
            member.size = length
            stream.write(member.tobuf(tarfile.PAX_FORMAT))
            if name == MANIFEST:
                stream.write(content + b"\0" * (-length % 512))
            else:
                for _ in range(length // (1 << 20)):
                    stream.write(b"\0" * (1 << 20))
    return target


def test_a_bomb_is_not_unpacked(home: Home, archive: Path, tmp_path: Path) -> None:
    import hashlib

    size = 512 << 20
    content = unpacked(archive)[MANIFEST]
    assert isinstance(content, bytes)
    listed = json.loads(content) | {"seal": None, "files": {}, "folders": [], "links": {}}
    digest = hashlib.sha256()
    for _ in range(512):
        digest.update(b"\0" * (1 << 20))
    listed["files"]["asked.parquet"] = {"sha256": digest.hexdigest(), "bytes": size}
    bomb = zeros(tmp_path / "bomb.tar.gz", listed, size)
    assert bomb.stat().st_size < 1 << 20
    said = refused(home, bomb, unsealed=True)
    assert "unpacks to 537 MB, which is more than" in said
    assert "--most-mb 537" in said
    # The list lies: nothing beyond it is unpacked.
    listed["files"]["asked.parquet"]["bytes"] = 100
    lying = zeros(tmp_path / "lying.tar.gz", listed, size)
    assert "asked.parquet is not as listed" in refused(home, lying, unsealed=True)
    listed["files"] = {}
    more = zeros(tmp_path / "more.tar.gz", listed, size)
    assert "is twice in it, or not listed" in refused(home, more, unsealed=True)
    listed["files"]["asked.parquet"] = {"sha256": "0" * 64, "bytes": 1 << 60}
    vast = zeros(tmp_path / "vast.tar.gz", listed, 1 << 20)
    assert "has room for" in refused(home, vast, unsealed=True, most=1 << 61)


def test_a_list_or_a_header_that_is_too_large_is_not_read(home: Home, tmp_path: Path) -> None:
    listed = tmp_path / "list.tar.gz"
    packed(listed, [(MANIFEST, b" " * (17 << 20))])
    assert "its list has more than 16 MiB" in refused(home, listed)
    named = tmp_path / "named.tar.gz"
    packed(named, [("n" * (1 << 20), b"")])
    assert "a header in it is too large" in refused(home, named)
    # Each header is about the next one; tarfile calls itself for it.
    about = tarfile.TarInfo("about")
    about.type, about.size = tarfile.XHDTYPE, 512
    chained = tmp_path / "chained.tar.gz"
    record = b"512 comment=".ljust(511, b"a") + b"\n"
    chained.write_bytes(gzip.compress((about.tobuf() + record) * 2000))
    assert "is no whole backup" in refused(home, chained)


# --- shapes -------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Any, str]] = {
    "a list": ([], "its list is none of ours"),
    "a number": (7, "its list is none of ours"),
    "nothing": ({}, "format: Field required"),
    "another format": ({"format": 2}, "format: Input should be 3"),
    "deep": ("[" * 100_000, "its list is none of ours"),
    "no JSON": ("{", "its list is none of ours"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_list_of_another_shape_is_refused(home: Home, tmp_path: Path, shape: str) -> None:
    value, said = SHAPES[shape]
    text = value if isinstance(value, str) else json.dumps(value)
    file = packed(tmp_path / "x.tar.gz", [(MANIFEST, text.encode())])
    told_so = refused(home, file, unsealed=True)
    assert said in told_so
    assert f"{file} is no whole backup" in told_so


def without(field: str) -> Callable[[dict[str, Any], Members], object]:
    return lambda listed, _members: listed.pop(field)


def linked(target: str, name: str = "latest") -> Callable[[dict[str, Any], Members], object]:
    def change(listed: dict[str, Any], members: Members) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        listed["links"][name] = target
        members[name] = member

    return change


def of_type(kind: bytes) -> Callable[[dict[str, Any], Members], object]:
    def change(listed: dict[str, Any], members: Members) -> None:
        put(listed, members, "asked.parquet", b"")
        member = tarfile.TarInfo("asked.parquet")
        member.type, member.linkname = kind, "records.db"
        members["asked.parquet"] = member

    return change


CHANGES: dict[str, tuple[Callable[[dict[str, Any], Members], object], str]] = {
    **{
        f"without {field}": (without(field), f"{field}: Field required")
        for field in ("format", "home", "when", "files", "folders", "links", "missing", "audit")
    },
    "files as a list": (lambda listed, _: listed.update(files=[]), "files: Input should be"),
    "a negative count": (
        lambda listed, _: listed["audit"].update(count=-1),
        "audit: Input should be greater than or equal to 0",
    ),
    "a count of text": (lambda listed, _: listed["audit"].update(count="4"), "audit: Input should"),
    "a time of text": (lambda listed, _: listed.update(when="\x1b[2J"), "when: Input should be"),
    "one field more": (lambda listed, _: listed.update(more=1), "more: Extra inputs"),
    "text that moves the cursor": (
        lambda listed, _: listed.update(missing=["\x1b[2Jnothing"]),
        "missing: String should match",
    ),
    "a name that climbs": (
        lambda listed, members: put(listed, members, "serving/../../outside", b"!"),
        "is nothing that a backup holds",
    ),
    "an absolute name": (
        lambda listed, members: put(listed, members, "/tmp/outside", b"!"),  # noqa: S108
        "is nothing that a backup holds",
    ),
    "a secret of the home": (
        lambda listed, members: put(listed, members, "secrets/operator-token", b"mine" * 9),
        "is nothing that a backup holds",
    ),
    "the cache of a run": (
        lambda listed, members: put(listed, members, "20260101T000000Z-a/artifacts/x", b"!"),
        "is nothing that a backup holds",
    ),
    "a link out": (linked("/etc"), "a link to '/etc' leads elsewhere"),
    "a link up": (linked(".."), "a link to '..' leads elsewhere"),
    "a link to zeros": (linked("/dev/zero", "asked.parquet"), "leads elsewhere"),
    "a member that is not there": (
        lambda listed, members: members.pop("records.db"),
        "records.db is listed and not in it",
    ),
    "a member that is not listed": (
        lambda listed, members: members.update({"serving/x": b"!"}),
        "'serving/x' is twice in it, or not listed",
    ),
    "another content": (
        lambda listed, members: members.update({"records.db": b"!"}),
        "records.db is not as listed",
    ),
    "a size that lies": (
        lambda listed, members: put(listed, members, "asked.parquet", b"four", 3),
        "asked.parquet is not as listed",
    ),
    "a file where a folder was": (
        lambda listed, members: members.update({"approvals": b"!"}),
        "approvals is not as listed",
    ),
    "a folder below a file": (
        lambda listed, members: listed["folders"].append("records.db/x"),
        "records.db",
    ),
    "a hard link": (of_type(tarfile.LNKTYPE), "asked.parquet is not as listed"),
    "a device": (of_type(tarfile.CHRTYPE), "asked.parquet is not as listed"),
    "a FIFO": (of_type(tarfile.FIFOTYPE), "asked.parquet is not as listed"),
    "a broken database": (
        lambda listed, members: put(listed, members, "mlflow.db", b"SQLite format 3\0" + b"x" * 9),
        "mlflow.db in",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("error")
def test_what_is_not_as_a_backup_is_refused_in_one_sentence(
    home: Home, archive: Path, name: str
) -> None:
    change, said = CHANGES[name]
    assert said in refused(home, remade(archive, change), unsealed=True)
    assert not (archive.parent / "outside").exists()


def test_twice_the_same_name_is_refused(home: Home, archive: Path) -> None:
    members = list(unpacked(remade(archive, nothing)).items())
    listed: list[tuple[tarfile.TarInfo | str, bytes]] = [
        (name, one) if isinstance(one, bytes) else (one, b"") for name, one in members
    ]
    twice = packed(archive.with_name("twice.tar.gz"), [*listed, listed[-1]])
    assert "is twice in it, or not listed" in refused(home, twice, unsealed=True)


def test_what_is_cut_off_or_no_file_is_refused(home: Home, archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    other = tmp_path / "other.tar.gz"
    for length in (0, 10, 200, len(whole) // 2, len(whole) - 9):
        other.write_bytes(whole[:length])
        assert "is no whole backup" in refused(home, other)
    other.write_bytes(whole[:-2000] + bytes(2000))
    assert "is no whole backup" in refused(home, other)
    other.unlink()
    other.symlink_to("/dev/zero")
    assert "is no file" in refused(home, other)
    other.unlink()
    os.mkfifo(other)
    assert "is no file" in refused(home, other)
    assert "is not there" in refused(home, tmp_path / "nowhere")


# --- a home that somebody else filled -----------------------------------------------------------


def test_a_backup_follows_no_link_out_of_the_home(home: Home, tmp_path: Path) -> None:
    package = next(home.packages.iterdir())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("not yours")
    for target, said in (
        ("/dev/zero", "lies outside of the home"),
        (str(outside), "lies outside of the home"),
        (str(outside / "secret.txt"), "lies outside of the home"),
        (str(home.packages), "leads back to itself"),
        ("..", "leads elsewhere"),
    ):
        link = package / "more.bin"
        link.symlink_to(target)
        with pytest.raises(ToolwearError, match=said):
            backup(home, tmp_path / "x.tar.gz", plain_console(file=io.StringIO()))
        link.unlink()
    os.mkfifo(package / "pipe")
    with pytest.raises(ToolwearError, match="neither a file nor a folder"):
        backup(home, tmp_path / "x.tar.gz", plain_console(file=io.StringIO()))
    (package / "pipe").unlink()
    assert not (tmp_path / "x.tar.gz").exists()
    told(lambda to: backup(home, tmp_path / "x.tar.gz", to))
    with backup_file.opened(tmp_path / "x.tar.gz") as found:
        audit = found.manifest.audit
        log = sealed_log.examine(home.records, seal.known())
        assert (audit.count, audit.head) == (4, log.head)
        assert found.manifest.unsealed(seal.known()) == ""


def test_a_name_that_no_backup_may_have_is_named(home: Home, tmp_path: Path) -> None:
    odd = home.approvals / "a\nb.json"
    odd.write_text("")
    with pytest.raises(ToolwearError, match=r"files: 'approvals/a\\nb\.json': String should match"):
        backup(home, tmp_path / "x.tar.gz", plain_console(file=io.StringIO()))


def test_the_secrets_of_a_home_get_into_no_backup_by_a_link(home: Home, tmp_path: Path) -> None:
    home.secrets.mkdir()
    (home.secrets / "operator-token").write_text("not yours")
    link = home.approvals / "more"
    for target in ("../secrets", "../secrets/operator-token"):
        link.symlink_to(target)
        with pytest.raises(ToolwearError, match="leads to the secrets"):
            backup(home, tmp_path / "x.tar.gz", plain_console(file=io.StringIO()))
        link.unlink()


def test_the_name_of_a_database_is_no_address_of_another(home: Home, tmp_path: Path) -> None:
    for path in (tmp_path / "other.db", home.approvals / "a?b#c.db"):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE held (x)")
    (home.approvals / "x").mkdir()
    named = home.approvals / "x%2f..%2f..%2f..%2fother.db"
    with closing(sqlite3.connect(named)) as database, database:
        database.execute("CREATE TABLE own (x)")
    told(lambda to: backup(home, tmp_path / "x.tar.gz", to))
    shutil.rmtree(home.approvals)
    told(lambda to: restore(home, tmp_path / "x.tar.gz", to, overwrite=True))
    for path, table in ((named, b"own"), (home.approvals / "a?b#c.db", b"held")):
        assert table in path.read_bytes()
