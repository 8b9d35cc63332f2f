"""Who is at work, for the audit log and MLflow."""

from __future__ import annotations

import getpass
import os
import pwd
import socket
import subprocess
from functools import cache

from toolwear.common.errors import ToolwearError

NAME_VARIABLE = "TOOLWEAR_USER"
LENGTH = 64  # characters of a name
_GIT_SECONDS = 2.0


def who(name: str = "") -> str:
    """Return who is at work: a name, if one is known, and user and machine.

    Args:
        name: as somebody gave it; by default $TOOLWEAR_USER, else the name that git knows, else
            the operating system's full name of the user.

    Raises:
        ToolwearError: the name is not one line of at most `LENGTH` characters.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unnamed"
    account = f"{user}@{socket.gethostname()}"
    known = checked(name) or name_of_user()
    return f"{known} ({account})" if known else account


def name_of_user() -> str:
    """Return the name of who runs this, empty if none is known."""
    return checked(os.environ.get(NAME_VARIABLE, "")) or _git() or _system()


def checked(name: str) -> str:
    """Return a name without blanks at its ends.

    Raises:
        ToolwearError: it is too long, or has signs that cannot be printed.
    """
    found = name.strip()
    if len(found) > LENGTH or not found.isprintable():
        raise ToolwearError(
            f"A person's name has to be one line of at most {LENGTH} characters that can be "
            f"printed; mend --as or ${NAME_VARIABLE}."
        )
    return found


@cache
def _git() -> str:
    try:
        done = subprocess.run(
            ["git", "config", "user.name"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # images have no git
        return ""
    return _usable(done.stdout)


@cache
def _system() -> str:
    try:
        full = pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0]
    except KeyError:
        return ""
    return _usable(full)


def _usable(name: str) -> str:
    found = name.strip()
    return found if found.isprintable() and len(found) <= LENGTH else ""
