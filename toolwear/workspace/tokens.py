"""Tokens: who holds one may label, tell of alerts, or operate; of most only the digest is kept."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import orjson

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_regular
from toolwear.common.lock import exclusive
from toolwear.workspace.home import Home

MOST = 256  # tokens of a home
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BYTES = 32
_MINIMUM_LENGTH = 16
_FILE_BYTES = 1 << 20


class Scope(StrEnum):
    """What a token is for; none is for more than one thing."""

    LABEL = "label"  # tell what became known of an answer
    ALERT = "alert"  # tell the trigger of alerts
    OPERATE = "operate"  # runs, approvals, rollback


# For machines that are given their token by the environment, as on Kubernetes.
VARIABLES = {
    Scope.LABEL: "TOOLWEAR_LABEL_TOKEN",
    Scope.ALERT: "TOOLWEAR_ALERT_TOKEN",
    Scope.OPERATE: "TOOLWEAR_OPERATOR_TOKEN",
}
# The tokens of the home's own user, which are kept for our own programs to read.
_FILES = {
    Scope.LABEL: "label-token",
    Scope.ALERT: "alert-token",
    Scope.OPERATE: "operator-token",
}
ENVIRONMENT = "environment"  # name of a token that is given by a variable


@dataclass(frozen=True)
class Token:
    """What is known of a token.

    Attributes:
        name: of who holds it.
        may: what it is for.
        made: when, UTC.
        sha256: of the token.
    """

    name: str
    may: Scope
    made: str
    sha256: str


class Tokens:
    """The tokens of a home. What is made or revoked counts at once, in running servers too.

    Args:
        home: the system's folder.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.secrets / "tokens.json"
        self._read: tuple[tuple[int, ...], tuple[Token, ...]] = ((), ())

    def all(self) -> Sequence[Token]:
        """Return the tokens, the oldest first.

        Raises:
            ToolwearError: the file is damaged.
        """
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return ()
        # Each change is another file.
        version = (state.st_ino, state.st_mtime_ns, state.st_size)
        known, tokens = self._read
        if known != version:
            tokens = self._load()
            self._read = (version, tokens)
        return tokens

    def find(self, given: str) -> Token | None:
        """Return what is known of a token, None if it is not one or was revoked.

        Raises:
            ToolwearError: a token of the environment is too short, or the file is damaged.
        """
        # Comparing digests tells nothing of the token by the time that it takes.
        return self.of_digest(_digest(given))

    def of_digest(self, digest: str) -> Token | None:
        """Return what is known of the token with this SHA-256; see `find`."""
        for may, variable in VARIABLES.items():
            own = os.environ.get(variable)
            if own and digest == _digest(_checked(own, variable)):
                return Token(ENVIRONMENT, may, "", digest)
        return next((token for token in self.all() if token.sha256 == digest), None)

    def make(self, name: str, may: Scope) -> str:
        """Make a token and return it; it cannot be shown again.

        Raises:
            ToolwearError: the name is not one, or taken, or there are too many tokens.
        """
        if not _NAME.fullmatch(name) or name == ENVIRONMENT:
            raise ToolwearError(
                "A token's name has to be 1 to 64 letters, digits, dots, dashes or underscores, "
                f"and not '{ENVIRONMENT}'."
            )
        with self._changing():
            if any(token.name == name for token in self.all()):
                raise ToolwearError(f"There is a token named {name} already; revoke it first.")
            return self._add(name, may)

    def revoke(self, name: str) -> None:
        """End a token; whoever holds it is refused from now on.

        Raises:
            ToolwearError: there is none of this name.
        """
        with self._changing():
            gone = [token for token in self.all() if token.name == name]
            if not gone:
                names = ", ".join(token.name for token in self.all()) or "none"
                raise ToolwearError(f"There is no token named {name} here; there are: {names}.")
            for may, file in _FILES.items():
                if name == f"home-{may}":
                    (self._home.secrets / file).unlink(missing_ok=True)
            self._write([token for token in self.all() if token.name != name])

    def own(self, may: Scope) -> str:
        """Return the token of the environment, else that of the home's user, made if need be.

        Raises:
            ToolwearError: it is too short to keep anyone out, or a file is damaged.
        """
        variable = VARIABLES[may]
        given = os.environ.get(variable)
        if given:
            return _checked(given, variable)
        path = self.own_file(may)
        with self._changing():
            token = _kept(path)
            if token is None:
                return self._add(f"home-{may}", may, path)
            if self.find(_checked(token, variable)) is None:  # put there by hand
                self._add(f"home-{may}", may, path, token)
            return token

    def own_file(self, may: Scope) -> Path:
        """Return the file with the token of the home's user."""
        return self._home.secrets / _FILES[may]

    def _changing(self) -> AbstractContextManager[None]:
        self._home.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        return exclusive(self._home.lock("tokens"), "changing the tokens")

    def _add(self, name: str, may: Scope, path: Path | None = None, token: str = "") -> str:
        """Add a token under the lock; with `path`, it replaces the one that was kept there."""
        token = token or secrets.token_urlsafe(_BYTES)
        others = [known for known in self.all() if known.name != name]
        if len(others) >= MOST:
            raise ToolwearError(f"There are {MOST} tokens already; revoke those nobody uses.")
        if path is not None:
            jsonfile.write_text(path, token)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*others, Token(name, may, made, _digest(token))])
        return token

    def _write(self, tokens: Sequence[Token]) -> None:
        content = orjson.dumps([asdict(token) for token in tokens], option=orjson.OPT_INDENT_2)
        jsonfile.write_text(self._path, content.decode())

    def _load(self) -> tuple[Token, ...]:
        try:
            found = orjson.loads(read_regular(self._path, _FILE_BYTES))
            return tuple(Token(**{**one, "may": Scope(one["may"])}) for one in found)
        except (ValueError, KeyError, TypeError):
            raise ToolwearError(
                f"{self._path} is damaged; remove it, and make the tokens anew."
            ) from None


def _digest(token: str) -> str:
    # No slow hash: a token has 256 random bits, which nobody tries out.
    return hashlib.sha256(token.encode()).hexdigest()


def _checked(token: str, variable: str) -> str:
    if len(token) < _MINIMUM_LENGTH:
        raise ToolwearError(
            f"The token of {variable} has {len(token)} characters; set it to at least "
            f"{_MINIMUM_LENGTH} random ones."
        )
    return token


def _kept(path: Path) -> str | None:
    try:
        return read_regular(path, _FILE_BYTES).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ToolwearError(f"{path} holds no token; remove it, a new one is made.") from None
