"""Who is at work: the name that was given, else the one that git or the system knows."""

from __future__ import annotations

import getpass
import socket
import subprocess
from pathlib import Path

import pytest

from toolwear.common import person
from toolwear.common.errors import ToolwearError
from toolwear.common.person import NAME_VARIABLE, who

ACCOUNT = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask git and the system anew, and git for the configuration of this test only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(NAME_VARIABLE, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    person._git.cache_clear()
    person._system.cache_clear()


def test_a_name_that_was_given_counts_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME_VARIABLE, "Grace Hopper")
    assert who(" Ada Lovelace ") == f"Ada Lovelace ({ACCOUNT})"
    assert who() == f"Grace Hopper ({ACCOUNT})"


@pytest.mark.process
def test_else_git_is_asked_and_then_the_system(tmp_path: Path) -> None:
    full = person.name_of_user()
    assert who() == (f"{full} ({ACCOUNT})" if full else ACCOUNT)
    person._git.cache_clear()
    subprocess.run(["git", "config", "--global", "user.name", "Ada of Git"], check=True)
    assert who() == f"Ada of Git ({ACCOUNT})"


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "a\x1b[31m"])
def test_what_is_no_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolwearError, match="one line of at most 64 characters"):
        who(name)
    monkeypatch.setenv(NAME_VARIABLE, name)
    with pytest.raises(ToolwearError, match=NAME_VARIABLE):
        who()
