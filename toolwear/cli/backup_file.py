"""The file that a backup is: a list with a seal, then just what is on the list.

It may come from anywhere. The list is read first, up to a size, and has to have its shape; whatever
follows is held against it while it is read, so that nothing is unpacked that is not on the list,
and no more of it than the list says.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from toolwear.cli.backup_list import Manifest, parsed
from toolwear.common.errors import ToolwearError

MANIFEST = "backup.json"
_MANIFEST_BYTES = 16 << 20
_HEADER_BYTES = 6 << 10  # of a long name, say; tarfile takes the square of it in time
_BLOCK = tarfile.BLOCKSIZE
_BLOCKS_EACH = 12  # that a member may take beside its content: header, long name, time
_CHUNK = 1 << 20
_TIMES, _BESIDES = 20, 64 << 20  # what a file may unpack to: so often its size, and so much more
_FREE = 0.9  # of the disk's free bytes
_PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)
_DAMAGED = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    OverflowError,
    RecursionError,  # tarfile's, over headers that are about one another
)


def pack(folder: Path, manifest: Manifest, target: Path) -> None:
    """Write a folder and its list to a file that only its owner can read.

    Raises:
        ToolwearError: the list has more entries than one that is read may have.
    """
    text = manifest.model_dump_json(indent=1)
    if len(text) > _MANIFEST_BYTES:
        raise ToolwearError(
            f"The home has {len(manifest.files)} files, more than a backup can list; remove runs "
            "that nobody needs."
        )
    path = folder / MANIFEST
    path.write_text(text, encoding="utf-8")
    target.touch(mode=0o600)
    with tarfile.open(target, "w:gz") as archive:
        # First, so that a reader knows what is to follow.
        archive.add(path, MANIFEST)
        for part in sorted(folder.iterdir()):
            if part.name != MANIFEST:
                archive.add(part, part.name)
    path.unlink()


class _Bounded(gzip.GzipFile):
    """A compressed file that gives no more than it may, whatever it would unpack to."""

    left = _MANIFEST_BYTES + 8 * _BLOCK

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, for tarfile, which asks for a little at a time."""
        found = super().read(size)
        self.left -= len(found)
        if self.left < 0:
            raise tarfile.ReadError("it holds more than it lists")
        return found


class Backup:
    """A backup that is being read: its list, and what follows it."""

    def __init__(self, file: Path, stream: _Bounded, archive: tarfile.TarFile) -> None:
        self._file = file
        self._stream = stream
        self._archive = archive
        self.manifest = self._manifest()

    def _manifest(self) -> Manifest:
        first = self._archive.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.issparse():
            raise tarfile.ReadError(f"it does not begin with {MANIFEST}")
        if first.size > _MANIFEST_BYTES:
            raise tarfile.ReadError(f"its list has more than {_MANIFEST_BYTES >> 20} MiB")
        stream = self._archive.extractfile(first)
        if stream is None:
            raise tarfile.ReadError("its list cannot be read")
        return parsed(stream.read())

    def unpack(self, folder: Path, most: int | None) -> None:
        """Unpack into an empty folder what is on the list, all of it, and nothing else.

        Args:
            folder: to fill.
            most: bytes that it may unpack to; by default by the file's own size.

        Raises:
            ToolwearError: it is too large.
            tarfile.TarError: it is not as listed.
        """
        manifest = self.manifest
        _check_size(self._file, manifest.bytes, folder, most)
        members = len(manifest.files) + len(manifest.links) + len(manifest.folders) + 2
        rounded = manifest.bytes + members * _BLOCK
        self._stream.left = rounded + members * _BLOCKS_EACH * _BLOCK + 2 * tarfile.RECORDSIZE
        expected = {*manifest.files, *manifest.links, *manifest.folders}
        parents = {".", *manifest.folders}
        for name in sorted(expected):
            if str(PurePosixPath(name).parent) not in parents:
                raise tarfile.ReadError(f"{name} lies in no folder that is listed")
        for name in sorted(manifest.folders):
            (folder / name).mkdir(mode=0o700)
        while (member := self._archive.next()) is not None:
            if member.name not in expected:
                raise tarfile.ReadError(f"{member.name!r} is twice in it, or not listed")
            expected.remove(member.name)
            self._take(member, folder)
        if expected:
            raise tarfile.ReadError(f"{min(expected)} is listed and not in it")
        while self._stream.read(_CHUNK):  # to the end, where gzip has its own check
            pass
        # Last, so that no path leads through one.
        for name, target in manifest.links.items():
            (folder / name).symlink_to(target)

    def _take(self, member: tarfile.TarInfo, folder: Path) -> None:
        name = member.name
        content = self.manifest.files.get(name)
        if content is None:
            kind = member.issym() if name in self.manifest.links else member.isdir()
            if not kind or member.linkname != self.manifest.links.get(name, ""):
                raise tarfile.ReadError(f"{name} is not as listed")
            return
        if not member.isreg() or member.issparse() or member.size != content.bytes:
            raise tarfile.ReadError(f"{name} is not as listed")
        stream = self._archive.extractfile(member)
        if stream is None:
            raise tarfile.ReadError(f"{name} cannot be read")
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            if _copied(stream, out) != content.sha256:
                raise tarfile.ReadError(f"{name} is not as listed")
        os.utime(path, (member.mtime, member.mtime))


class _Header(tarfile.TarInfo):
    """A header; tarfile itself reads the text of a long name or an attribute whole."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type not in _PLAIN_TYPES and found.size > _HEADER_BYTES):
            raise tarfile.ReadError("a header in it is too large")
        return found


@contextmanager
def opened(file: Path) -> Iterator[Backup]:
    """Open a backup, with its list read.

    Raises:
        ToolwearError: here and in the block: it is not there, no backup, cut off or changed.
    """
    try:
        if not file.exists():
            raise ToolwearError(f"{file} is not there; give what toolwear backup wrote.")
        if not file.is_file():
            raise ToolwearError(f"{file} is no file; give what toolwear backup wrote.")
        with (
            _Bounded(file) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive,
        ):
            yield Backup(file, stream, archive)
    except _DAMAGED as error:
        raise ToolwearError(f"{file} is no whole backup: {error}; use another one.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EIO):
            raise
        raise ToolwearError(f"{file} cannot be restored: {error.strerror}.") from None


def _check_size(file: Path, size: int, folder: Path, most: int | None) -> None:
    free = int(shutil.disk_usage(folder).free * _FREE)
    if size > free:
        raise ToolwearError(
            f"{file} unpacks to {size / 1e6:,.0f} MB, and {folder.parent} has room for "
            f"{free / 1e6:,.0f} MB; make room first."
        )
    by_size = _TIMES * file.stat().st_size + _BESIDES
    if size > (by_size if most is None else most):
        raise ToolwearError(
            f"{file} unpacks to {size / 1e6:,.0f} MB, which is more than "
            f"{(by_size if most is None else most) / 1e6:,.0f} MB; if that is right, allow it with "
            f"--most-mb {-(-size // 1_000_000)}."
        )


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()
