"""The keys that seal audit logs and backups. They lie outside of every home.

Whoever can write to a home can write anything into it, digests included; a seal takes a key that
is not there. $TOOLWEAR_SEAL_KEY holds it, else a file in the user's own folder for state, made at
first use. Several, one after the other, are all known, and the first one seals: so a key is
changed, and so what another machine has sealed is known here, too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.common.secret_file import kept

KEY_VARIABLE = "TOOLWEAR_SEAL_KEY"
STATE_VARIABLE = "XDG_STATE_HOME"
AUDIT, BACKUP = "audit log", "backup"  # what a key seals, each with a key of its own made from it
_IDENTITY = "identity"
_ID_LENGTH = 12
_MINIMUM_LENGTH = 32


@dataclass(frozen=True, repr=False)
class Key:
    """One key; its text is a secret, its id is none."""

    text: str

    @property
    def id(self) -> str:
        """What tells it from others."""
        return self.seal(_IDENTITY, b"")[:_ID_LENGTH]

    def seal(self, purpose: str, data: bytes) -> str:
        """Return the HMAC-SHA-256 of `data`, with the key for this purpose, in hexadecimal."""
        own = hmac.digest(self.text.encode(), f"toolwear {purpose}".encode(), hashlib.sha256)
        return hmac.new(own, data, hashlib.sha256).hexdigest()

    def fits(self, purpose: str, data: bytes, given: str) -> bool:
        """Tell whether `given` is the seal of `data`."""
        return hmac.compare_digest(self.seal(purpose, data).encode(), given.encode())


def state_folder() -> Path:
    """Return the user's folder for what must not lie in a home."""
    given = os.environ.get(STATE_VARIABLE, "")
    try:
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home folder; what is to be kept says so
        base = Path("/nonexistent")
    return base / "toolwear"


def key_file() -> Path:
    """Return where the key is kept unless $TOOLWEAR_SEAL_KEY holds it."""
    return state_folder() / "seal-key"


def known() -> dict[str, Key]:
    """Return the keys that are here by their ids, the one that seals first; empty without any.

    Raises:
        ToolwearError: a key is too short, or others than its owner can read the file.
    """
    text = os.environ.get(KEY_VARIABLE, "")
    if not text.strip():
        text = _private(key_file())
        if not text:
            return {}
    return _parsed(text)


def own() -> Key:
    """Return the key that seals; made if there is none.

    Raises:
        ToolwearError: as of `known`, or the file cannot be written.
    """
    found = known()
    if not found:
        try:
            kept(key_file())
        except OSError as error:
            raise ToolwearError(
                f"The key that seals cannot be kept in {key_file()} ({error.strerror}); set "
                f"{STATE_VARIABLE} to a folder that can be written, or {KEY_VARIABLE}."
            ) from None
        found = known()
    return next(iter(found.values()))


def read_file(path: Path) -> None:
    """Know the keys of a file, too, in this process, after those that seal here.

    Raises:
        ToolwearError: it cannot be read, or holds no key.
    """
    try:
        theirs = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ToolwearError(f"{path} holds no key ({error}); give a file with one.") from None
    _parsed(theirs)
    own()
    os.environ[KEY_VARIABLE] = "\n".join([*(key.text for key in known().values()), theirs])


def _parsed(text: str) -> dict[str, Key]:
    words = text.split()
    if not words or min(map(len, words)) < _MINIMUM_LENGTH:
        raise ToolwearError(
            f"A key that seals has at least {_MINIMUM_LENGTH} characters; make one with "
            "`openssl rand -base64 48 | tr -d '\\n'`, or remove the file for a new one."
        )
    return {key.id: key for key in map(Key, words)}


def _private(path: Path) -> str:
    """Return the text of a file of keys; empty if it is not there."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise ToolwearError(
                f"{path} is not a file that only its owner can read; run `chmod 600 {path}`."
            )
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ToolwearError(f"The key in {path} cannot be read ({error}).") from None
