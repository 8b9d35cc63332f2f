"""Tokens: made once, kept as digests and to their owner, for one thing, revoked at once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection
from typer.testing import CliRunner

from serving.common.refusal import Refusal
from serving.http.gate import (
    FORGET_SECONDS,
    FREE,
    LONGEST_SECONDS,
    REMEMBERED,
    Gate,
    client_of,
)
from toolwear.cli.backup_contents import PARTS
from toolwear.cli.tokens import app
from toolwear.common.causes import Cause, cause_of
from toolwear.common.errors import ToolwearError
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import MOST, VARIABLES, Scope, Tokens


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def tokens(home: Home) -> Tokens:
    return Tokens(home)


@pytest.mark.parametrize("may", Scope)
def test_all_who_ask_at_once_get_the_same_token_and_only_its_owner_can_read_it(
    home: Home, may: Scope
) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: Tokens(home).own(may), range(16)))
    (token,) = found
    assert len(token) >= 32
    assert sorted(path.name for path in home.secrets.iterdir()) == sorted(
        (Tokens(home).own_file(may).name, "tokens.json")
    )
    for path in (home.secrets, *home.secrets.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert home.secrets.name not in PARTS, "a backup has none of them"


def test_only_the_digest_of_a_token_is_kept(home: Home, tokens: Tokens) -> None:
    made = [tokens.make("line-4", Scope.LABEL), tokens.own(Scope.OPERATE)]
    kept = (home.secrets / "tokens.json").read_text()
    assert all(token not in kept for token in made)
    assert [(one.name, one.may) for one in tokens.all()] == [
        ("line-4", Scope.LABEL),
        ("home-operate", Scope.OPERATE),
    ]


def test_one_reader_sees_what_another_makes_and_revokes(home: Home, tokens: Tokens) -> None:
    token = Tokens(home).make("line-4", Scope.LABEL)
    known = tokens.find(token)
    assert known is not None
    assert (known.name, known.may) == ("line-4", Scope.LABEL)
    Tokens(home).revoke("line-4")
    assert tokens.find(token) is None
    own = tokens.own(Scope.OPERATE)
    Tokens(home).revoke("home-operate")
    assert tokens.find(own) is None
    assert not tokens.own_file(Scope.OPERATE).exists()
    anew = tokens.own(Scope.OPERATE)
    assert anew != own
    assert tokens.find(anew) is not None


def test_a_token_put_there_by_hand_counts(home: Home, tokens: Tokens) -> None:
    home.secrets.mkdir()
    tokens.own_file(Scope.OPERATE).write_text("x" * 40 + "\n")
    assert tokens.own(Scope.OPERATE) == "x" * 40
    assert tokens.find("x" * 40) is not None
    tokens.own_file(Scope.LABEL).write_text("short")
    with pytest.raises(ToolwearError, match="has 5 characters"):
        tokens.own(Scope.LABEL)
    tokens.own_file(Scope.ALERT).symlink_to("/dev/zero")
    with pytest.raises(ToolwearError, match="is a link"):
        tokens.own(Scope.ALERT)


def test_the_environment_wins_and_a_short_token_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = VARIABLES[Scope.OPERATE]
    monkeypatch.setenv(variable, "x" * 40)
    tokens = Tokens(home)
    assert tokens.own(Scope.OPERATE) == "x" * 40
    known = tokens.find("x" * 40)
    assert known is not None
    assert (known.name, known.may) == ("environment", Scope.OPERATE)
    assert not home.secrets.exists()
    monkeypatch.setenv(variable, "short")
    with pytest.raises(ToolwearError, match="has 5 characters"):
        tokens.own(Scope.OPERATE)


def test_faults_get_a_sentence(home: Home, tokens: Tokens) -> None:
    tokens.make("line-4", Scope.LABEL)
    for name, words in (("line-4", "already"), ("a b", "1 to 64"), ("environment", "and not")):
        with pytest.raises(ToolwearError, match=words):
            tokens.make(name, Scope.LABEL)
    with pytest.raises(ToolwearError, match="no token named nobody here; there are: line-4"):
        tokens.revoke("nobody")
    for damaged in ("{", "[1]", '[{"name": "a"}]', '[{"name": 1, "may": "all"}]'):
        (home.secrets / "tokens.json").write_text(damaged)
        with pytest.raises(ToolwearError, match="is damaged"):
            tokens.find("x")


def test_tokens_are_bounded(tokens: Tokens) -> None:
    for number in range(MOST):
        tokens.make(f"line-{number}", Scope.LABEL)
    with pytest.raises(ToolwearError, match=f"{MOST} tokens already"):
        tokens.make("one-more", Scope.LABEL)


def test_the_command_line_shows_a_token_once(home: Home, tokens: Tokens) -> None:
    at = ["--home", str(home.root)]
    run = CliRunner().invoke
    made = run(app, ["make", "line-4", "--may", "label", *at])
    (token,) = made.output.split()
    assert tokens.find(token) is not None
    shown = run(app, ["list", *at]).output
    assert token not in shown
    assert all(word in shown for word in ("line-4", "label", "UTC"))
    assert run(app, ["revoke", "line-4", *at]).exit_code == 0
    assert tokens.find(token) is None
    assert run(app, ["make", "line-4", "--may", "everything", *at]).exit_code == 2
    assert isinstance(run(app, ["revoke", "line-4", *at]).exception, ToolwearError)


# --- the gate -----------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refusal(gate: Gate, given: str, client: str = "a", may: Scope = Scope.OPERATE) -> Refusal:
    with pytest.raises(Refusal) as refused:
        gate.check(given, client, may)
    return refused.value


def test_wrong_tokens_have_to_wait_longer_and_longer(tokens: Tokens) -> None:
    clock = Clock()
    gate = Gate(tokens, clock)
    right = tokens.own(Scope.OPERATE)
    for _ in range(FREE):
        assert refusal(gate, "wrong").status == 401
    waits = []
    for _ in range(12):
        refused = refusal(gate, right)  # it might have been found by trying
        assert refused.status == 429
        assert refused.retry_after is not None
        waits.append(refused.retry_after)
        clock.now += refused.retry_after
        assert refusal(gate, "wrong").status == 401
    assert waits == [min(int(LONGEST_SECONDS), 2**n) for n in range(12)]
    assert gate.check(right, "b", Scope.OPERATE).name == "home-operate", "another client"
    clock.now += LONGEST_SECONDS
    assert gate.check(right, "a", Scope.OPERATE).name == "home-operate"
    clock.now += FORGET_SECONDS + 1
    for _ in range(FREE):
        assert refusal(gate, "wrong").status == 401


def test_a_token_that_was_right_from_there_is_not_shut_out(tokens: Tokens) -> None:
    gate = Gate(tokens, Clock())
    known = tokens.make("known", Scope.OPERATE)
    gate.check(known, "a", Scope.OPERATE)
    while refusal(gate, "wrong").status != 429:
        pass
    assert gate.check(known, "a", Scope.OPERATE).name == "known"
    assert refusal(gate, tokens.make("new", Scope.OPERATE)).status == 429
    tokens.revoke("known")
    assert refusal(gate, known).status == 429


def test_what_is_remembered_of_clients_is_bounded(tokens: Tokens) -> None:
    gate = Gate(tokens, Clock())
    for number in range(REMEMBERED + 500):
        refusal(gate, "wrong", f"client-{number}")
    assert len(gate._wrong) == REMEMBERED


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic {}", "Bearer x{}", "{}"])
def test_only_the_whole_token_in_its_header_is_let_in(tokens: Tokens, header: str | None) -> None:
    gate, token = Gate(tokens), tokens.own(Scope.ALERT)

    def sent(value: str | None) -> HTTPConnection:
        headers = [] if value is None else [(b"authorization", value.format(token).encode())]
        return HTTPConnection({"type": "http", "headers": headers, "client": ("127.0.0.1", 1)})

    assert gate.enter(sent("Bearer {}"), Scope.ALERT).name == "home-alert"
    assert gate.enter(sent("bearer  {} "), Scope.ALERT).name == "home-alert"
    with pytest.raises(Refusal) as refused:
        gate.enter(sent(header), Scope.ALERT)
    assert (refused.value.status, refused.value.headers["www-authenticate"]) == (401, "Bearer")
    with pytest.raises(Refusal, match="may alert, and this is to operate") as refused:
        gate.enter(sent("Bearer {}"), Scope.OPERATE)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("a.name", "a.name"),
    ],
)
def test_a_network_of_ipv6_is_one_client(host: str, expected: str) -> None:
    assert client_of(HTTPConnection({"type": "http", "client": (host, 1)})) == expected


def test_a_cause_is_found_again_in_what_a_run_tells() -> None:
    assert [cause_of(cause.told("detail: of it")) for cause in Cause] == list(Cause)
    assert cause_of(Cause.SCHEDULE.told("")) is Cause.SCHEDULE
    assert cause_of("person") is None
