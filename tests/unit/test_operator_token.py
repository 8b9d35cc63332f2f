"""The operator's token: made once, kept to its owner, compared whole."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.core.causes import Cause, cause_of
from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.operator_token import TOKEN_VARIABLE, fits, operator_token


def test_all_who_ask_at_once_get_the_same_token_and_only_its_owner_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    home = Home(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(operator_token, [home] * 16))
    assert len(found) == 1
    assert len(found.pop()) >= 32
    assert stat.S_IMODE(home.operator_token.stat().st_mode) == 0o600
    assert [path.name for path in home.operator_token.parent.iterdir()] == ["operator-token"]


def test_the_environment_wins_and_a_short_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "x" * 40)
    assert operator_token(Home(tmp_path)) == "x" * 40
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ToolwearError, match="has 5 characters"):
        operator_token(Home(tmp_path))


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Basic secret", "Bearer secre"])
def test_only_the_whole_token_fits(given: str | None) -> None:
    assert fits("secret", "Bearer secret")
    assert fits("secret", "bearer secret")
    assert not fits("secret", given)


def test_a_cause_is_found_again_in_what_a_run_tells() -> None:
    assert [cause_of(cause.told("detail: of it")) for cause in Cause] == list(Cause)
    assert cause_of(Cause.SCHEDULE.told("")) is Cause.SCHEDULE
    assert cause_of("person") is None
