"""What becomes of a winner: released, held, refused, rolled out, rolled back; and kills between."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.promote.step import promote
from tests.packages import make_package
from toolwear.cli.main import main
from toolwear.cli.plain import plain_console
from toolwear.cli.status import print_status
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.person import NAME_VARIABLE
from toolwear.common.thresholds import thresholds
from toolwear.release import approvals, audit_log, registry, rollouts
from toolwear.release import champion as pointer
from toolwear.release import rollout as state
from toolwear.release.decisions import Outcome
from toolwear.release.held import read_all, waiting
from toolwear.release.outcomes import Promotion
from toolwear.release.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry, mlflow_module
from toolwear.release.registry_state import (
    ChampionMovedError,
    WithdrawnError,
    release,
    roll_back,
)
from toolwear.release.rollout import Mode, Result, Rollout, Verdict
from toolwear.release.rollouts import RolloutBusyError
from toolwear.workspace.home import Home

NAME = "toolwear"
CAUSE = "on_demand: a test"


@pytest.fixture(scope="module")
def stocked(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with three complete versions, none of them champion."""
    home = Home.at(tmp_path_factory.mktemp("stocked"))
    shutil.copyfile(empty_registry, home.root / "mlflow.db")
    client = Registry(home, "", NAME).client
    client.create_registered_model(NAME)
    for seed in range(3):
        package = make_package(home.packages, seed)
        tags = {registry.PACKAGE: package.digest, registry.COMPLETE: "true"}
        client.create_model_version(NAME, f"file://{package.folder}", tags=tags)
    return home.root


@pytest.fixture
def home(stocked: Path, tmp_path: Path) -> Home:
    """Return a copy of the home in which version 1 is champion."""
    copy = copied(stocked, tmp_path / "home")
    let(copy, "1", Mode.DIRECT)
    return copy


def copied(source: Path, target: Path) -> Home:
    shutil.copytree(source, target)
    return Home.at(target)


def of(home: Home) -> Registry:
    return Registry(home, "", NAME)


def let(home: Home, number: str, mode: Mode, against: str | None = None) -> dict[str, Any]:
    found = of(home)
    return release(found, found.version(number), mode, "it won", CAUSE, against)


def keep(home: Home, number: str, against: str, mode: Mode = Mode.DIRECT) -> dict[str, Any]:
    found = of(home)
    return approvals.hold(found, found.version(number), against, mode, "it won", CAUSE)


def champion(home: Home) -> str:
    """Return the champion, on which registry and pointer agree."""
    found, pointed = of(home).at(CHAMPION), pointer.read(home.root)
    assert found is not None
    assert pointed is not None
    assert (pointed.version, pointed.package_digest) == (found.number, found.package_digest)
    return found.number


def log(home: Home) -> list[tuple[str, str | None, str | None]]:
    return [(entry["action"], entry["from"], entry["to"]) for entry in audit_log.entries(home)]


def running(home: Home) -> Rollout:
    found = state.read(home.root)
    assert found is not None
    assert found.running
    return found


# --- directly, and never twice ------------------------------------------------------------------


def test_a_version_that_is_champion_is_not_promoted_again(home: Home) -> None:
    assert let(home, "2", Mode.DIRECT, "1")["action"] == "promote"
    assert let(home, "2", Mode.DIRECT, "1")["action"] == "none"
    assert log(home) == [("promote", None, "1"), ("promote", "1", "2")]
    assert champion(home) == "2"


def test_of_two_that_were_judged_against_the_same_champion_one_is_promoted(home: Home) -> None:
    let(home, "2", Mode.DIRECT, "1")
    with pytest.raises(ChampionMovedError, match=r"version 2 by now.*judged against version 1"):
        let(home, "3", Mode.DIRECT, "1")
    with pytest.raises(ChampionMovedError, match="judged against no champion"):
        let(home, "3", Mode.DIRECT, "")
    assert champion(home) == "2"


def test_what_was_rolled_back_is_not_released_again_unless_a_person_allows_it(home: Home) -> None:
    let(home, "2", Mode.DIRECT)
    roll_back(home.root, "scrap on machine 3")
    with pytest.raises(WithdrawnError, match=r"Version 2 was rolled back.*scrap on machine 3"):
        let(home, "2", Mode.DIRECT, "1")
    with pytest.raises(WithdrawnError):
        let(home, "2", Mode.CANARY, "1")
    keep(home, "2", "1")
    assert approvals.allow(home, "2", "the sensor was broken")["action"] == "promote"
    assert champion(home) == "2"


# --- held for a person --------------------------------------------------------------------------


def test_a_held_version_waits_and_is_released_as_its_run_asked(home: Home) -> None:
    held = keep(home, "2", "1", Mode.CANARY)
    assert keep(home, "2", "1", Mode.CANARY) == held, "held twice is held once"
    (item,) = waiting(home)
    assert (item.id, item.version, item.champion) == (held["approval"], "2", "1")
    assert (item.why, item.cause) == ("it won", CAUSE)
    assert champion(home) == "1"
    entry = approvals.allow(home, item.id, "looked at every error", by="erika")
    assert entry["action"] == "canary_start"
    assert running(home).version == "2"
    assert champion(home) == "1"
    assert waiting(home) == []
    (item,) = read_all(home)
    assert (item.status, item.said) == ("allowed", "looked at every error")
    said = [entry for entry in audit_log.entries(home) if entry["action"] == "allow"]
    assert [(entry["who"], entry["why"]) for entry in said] == [("erika", "looked at every error")]
    with pytest.raises(ToolwearError, match="'2' of toolwear was allowed before"):
        approvals.allow(home, "2", "once more")


def test_a_human_says_no(home: Home) -> None:
    keep(home, "2", "1")
    entry = approvals.refuse(home, "2", "not before the audit")
    assert (entry["action"], entry["from"], entry["to"]) == ("refuse", "1", "2")
    assert (entry["outcome"], entry["why"]) == (Outcome.REFUSE_BY_PERSON, "not before the audit")
    assert champion(home) == "1"
    for decide in (approvals.allow, approvals.refuse):
        with pytest.raises(ToolwearError, match="'2' of toolwear was refused before"):
            decide(home, "2", "changed my mind")
    assert keep(home, "2", "1")["approval"] != entry["approval"], "another run may ask again"
    assert [item.version for item in waiting(home)] == ["2"]


def test_a_decision_needs_a_reason_and_something_that_waits(home: Home) -> None:
    keep(home, "2", "1")
    for decide in (approvals.allow, approvals.refuse):
        with pytest.raises(ToolwearError, match="say why"):
            decide(home, "2", "  ")
        for unknown in ("3", "", "../../etc/passwd"):
            with pytest.raises(ToolwearError, match="does not wait; `toolwear approvals`"):
                decide(home, unknown, "because")
    assert [item.version for item in waiting(home)] == ["2"]


def test_what_was_judged_against_another_champion_cannot_be_allowed(home: Home) -> None:
    keep(home, "2", "1")
    let(home, "3", Mode.DIRECT, "1")
    with pytest.raises(ToolwearError, match="The champion is version 3 by now"):
        approvals.allow(home, "2", "looks good")
    assert [item.status for item in read_all(home)] == ["outdated"]
    assert log(home)[-1] == ("outdated", "3", "2")
    assert champion(home) == "3"


def test_a_package_that_was_changed_cannot_be_allowed(home: Home) -> None:
    keep(home, "2", "1")
    model = home.packages / of(home).version("2").package_digest / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(ToolwearError, match="changed"):
        approvals.allow(home, "2", "looks good")
    assert [item.status for item in read_all(home)] == ["outdated"]
    assert champion(home) == "1"


def test_a_version_waits_on_while_a_rollout_is_under_way(home: Home) -> None:
    keep(home, "2", "1")
    let(home, "3", Mode.CANARY, "1")
    with pytest.raises(RolloutBusyError, match="A rollout of version 3"):
        approvals.allow(home, "2", "looks good")
    assert [item.version for item in waiting(home)] == ["2"]


# --- rollouts -----------------------------------------------------------------------------------


def test_a_canary_grows_and_becomes_champion(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    first = running(home)
    assert (first.weights, first.stage, first.champion) == ({"stable": 90, "candidate": 10}, 0, "1")
    candidate = pointer.read(home.root, CANDIDATE)
    assert candidate is not None
    assert candidate.version == "2"
    assert champion(home) == "1"
    assert rollouts.advance(home, first, {"candidate": {"requests": 200}})
    assert not rollouts.advance(home, first, {}), "judged on what was, not on what is"
    second = running(home)
    assert (second.weights, second.stage) == ({"stable": 50, "candidate": 50}, 1)
    assert second.history[0]["found"] == {"candidate": {"requests": 200}}
    assert rollouts.decide(home, second, Verdict.PROMOTE, "It is as good.", {})
    assert not rollouts.decide(home, second, Verdict.DROP, "Late.", {})
    assert rollouts.unsettled(home)
    ended = rollouts.settle(home)
    assert ended is not None
    assert ended.result == Result.PROMOTED
    assert champion(home) == "2"
    assert pointer.read(home.root, CANDIDATE) is None
    assert of(home).at(CANDIDATE) is None
    assert not rollouts.unsettled(home)
    assert log(home)[1:] == [
        ("canary_start", "1", "2"),
        ("canary_stage", "1", "2"),
        ("promote", "1", "2"),
    ]
    tail = audit_log.entries(home)[1:]
    assert {entry["rollout"] for entry in tail} == {first.id}
    assert {entry["cause"] for entry in tail} == {CAUSE}


def test_a_candidate_that_is_worse_is_dropped(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    rollouts.decide(home, running(home), Verdict.DROP, "It fails.", {"failed": 5})
    decided = running(home)
    assert decided.weights == {"stable": 100, "candidate": 0}, "at once, before it is settled"
    ended = rollouts.settle(home)
    assert ended is not None
    assert (ended.result, ended.reason) == (Result.ROLLED_BACK, "It fails.")
    assert log(home)[-1] == ("canary_rolled_back", "2", "1")
    assert pointer.read(home.root, CANDIDATE) is None
    assert champion(home) == "1"
    with pytest.raises(WithdrawnError, match=r"It fails\."):
        let(home, "2", Mode.CANARY, "1")


def test_a_shadow_gets_no_traffic_and_the_first_champion_needs_none(
    home: Home, stocked: Path, tmp_path: Path
) -> None:
    assert let(home, "2", Mode.SHADOW, "1")["action"] == "shadow_start"
    assert running(home).weights == {"stable": 100, "candidate": 0}
    fresh = copied(stocked, tmp_path / "fresh")
    assert let(fresh, "1", Mode.SHADOW, "")["action"] == "promote"
    assert champion(fresh) == "1"


def test_there_is_one_rollout_at_a_time(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    assert let(home, "2", Mode.CANARY, "1")["action"] == "none"
    for mode in Mode:
        with pytest.raises(RolloutBusyError, match="`toolwear rollback` ends it sooner"):
            let(home, "3", mode, "1")
    assert len(log(home)) == 2


def undecided_for(home: Home, seconds: float) -> None:
    let(home, "2", Mode.CANARY, "1")
    started = datetime.now(UTC) - timedelta(seconds=seconds)
    state.write(home.root, replace(running(home), started=started.isoformat()))


@pytest.mark.parametrize("mode", Mode)
def test_a_later_winner_takes_the_place_of_a_candidate_that_is_undecided_for_long(
    home: Home, mode: Mode
) -> None:
    patience = thresholds().rollout.undecided_seconds
    undecided_for(home, patience - 60)
    with pytest.raises(RolloutBusyError, match=r"still undecided at 20\d\d-"):
        let(home, "3", mode, "1")
    state.write(home.root, replace(running(home), started="2020-01-01T00:00:00+00:00"))
    entry = let(home, "3", mode, "1")
    direct = mode is Mode.DIRECT
    assert entry["action"] == ("promote" if direct else f"{mode}_start")
    assert log(home)[-2:] == [("canary_superseded", "2", "1"), (entry["action"], "1", "3")]
    assert champion(home) == ("3" if direct else "1")
    now = state.read(home.root)
    assert now is not None
    if direct:
        assert now.result == Result.SUPERSEDED
        assert re.fullmatch(r"It was undecided for [\d.]+ hours; version 3 .*", now.reason)
        assert of(home).at(CANDIDATE) is None
        assert pointer.read(home.root, CANDIDATE) is None
    else:
        assert (now.version, now.running) == ("3", True)
        # Nothing speaks against the one before: it may be released later on.
        roll_back(home.root, "enough")
        assert let(home, "2", Mode.CANARY, "1")["action"] == "canary_start"


def test_a_decided_candidate_is_not_replaced_before_its_verdict_is_carried_out(home: Home) -> None:
    undecided_for(home, 10 * thresholds().rollout.undecided_seconds)
    rollouts.decide(home, running(home), Verdict.PROMOTE, "It is as good.", {})
    with pytest.raises(RolloutBusyError, match="try again once it has ended"):
        let(home, "3", Mode.CANARY, "1")


def test_a_person_ends_a_rollout(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    entry = roll_back(home.root, "wrong shift for it", by="erika")
    assert (entry["action"], entry["from"], entry["to"]) == ("canary_rolled_back", "2", "1")
    assert (entry["who"], entry["why"]) == ("erika", "wrong shift for it")
    assert champion(home) == "1"
    assert let(home, "3", Mode.DIRECT, "1")["action"] == "promote"


def test_a_verdict_does_not_overrule_a_champion_that_has_moved(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    rollouts.decide(home, running(home), Verdict.PROMOTE, "It is as good.", {})
    of(home).move(CHAMPION, of(home).version("3"))  # by other means
    ended = rollouts.settle(home)
    assert ended is not None
    assert ended.result == Result.ROLLED_BACK
    assert "The champion is version 3 by now" in ended.reason
    assert champion(home) == "3"


# --- killed anywhere ----------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL."""


@dataclass
class Death:
    """Kills at the n-th write, before it or right after it."""

    at: int
    late: bool
    writes: int = 0

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **more: Any) -> Any:
            self.writes += 1
            own = self.writes  # what it does may write, too
            if own == self.at and not self.late:
                raise Killed
            done = real(*args, **more)
            if own == self.at and self.late:
                raise Killed
            return done

        return dying


@contextmanager
def dying(death: Death) -> Iterator[None]:
    client = mlflow_module().MlflowClient
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (client, "set_registered_model_alias"),
            (client, "delete_registered_model_alias"),
            (jsonfile, "write_text"),
            (audit_log, "append"),
            (Path, "unlink"),
        ):
            patch.setattr(owner, name, death.around(getattr(owner, name)))
        yield


def begun(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")


def decided(home: Home, verdict: Verdict) -> None:
    begun(home)
    rollouts.decide(home, running(home), verdict, "Enough seen.", {})


def promoted(home: Home) -> None:
    let(home, "2", Mode.DIRECT, "1")


Step = Callable[[Home], object]
CASES: dict[str, tuple[Step, Step, str]] = {
    "release": (lambda home: None, lambda home: let(home, "2", Mode.DIRECT, "1"), "2"),
    "begin": (lambda home: None, begun, "1"),
    "take over": (lambda home: decided(home, Verdict.PROMOTE), rollouts.settle, "2"),
    "drop": (lambda home: decided(home, Verdict.DROP), rollouts.settle, "1"),
    "take the place": (
        lambda home: undecided_for(home, 1e6),
        lambda home: let(home, "3", Mode.CANARY, "1"),
        "1",
    ),
    "hold": (lambda home: None, lambda home: keep(home, "2", "1"), "1"),
    "roll back": (promoted, lambda home: roll_back(home.root, "bad") and None, "1"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_kill_anywhere_costs_nothing_once_it_is_done_again(
    case: str, home: Home, tmp_path: Path
) -> None:
    prepare, act, expected = CASES[case]
    prepare(home)
    whole = copied(home.root, tmp_path / "whole")
    counted = Death(0, late=False)
    with dying(counted):
        act(whole)
    effects = log(whole)
    assert counted.writes >= 2
    for at in range(1, counted.writes + 1):
        for late in (False, True):
            killed = copied(home.root, tmp_path / f"{at}-{late}")
            with dying(Death(at, late)), pytest.raises(Killed):
                act(killed)
            if case == "roll back" and rolled_back(killed):
                rollouts.settle(killed)  # what the front does at its start
            else:
                act(killed)
            assert champion(killed) == expected, (at, late)
            assert agreed(log(killed)) == agreed(effects), (at, late)
            previous = of(killed).at(PREVIOUS)
            assert (previous.number if previous else None) == ("1" if expected == "2" else None)
            assert not rollouts.unsettled(killed)
            now, then = state.read(killed.root), state.read(whole.root)
            assert (now.result if now else None) == (then.result if then else None)
            assert len(waiting(killed)) == len(waiting(whole))


def rolled_back(home: Home) -> bool:
    found = of(home).at(CHAMPION)
    return found is not None and found.number == "1"


def agreed(
    moves: list[tuple[str, str | None, str | None]],
) -> list[tuple[str, str | None, str | None]]:
    """Return the log without moves that the registry never saw: each is followed by `found`."""
    kept: list[tuple[str, str | None, str | None]] = []
    for move in moves:
        if move[0] == "found":
            assert kept.pop()[1:] == (move[2], move[1])
        else:
            kept.append(move)
    return kept


def test_an_allowed_release_that_was_cut_off_is_finished_and_not_repeated(
    home: Home, tmp_path: Path
) -> None:
    keep(home, "2", "1", Mode.CANARY)
    whole = copied(home.root, tmp_path / "whole")
    counted = Death(0, late=False)
    with dying(counted):
        approvals.allow(whole, "2", "fine")
    for at in range(1, counted.writes + 1):
        killed = copied(home.root, tmp_path / str(at))
        with dying(Death(at, late=True)), pytest.raises(Killed):
            approvals.allow(killed, "2", "fine")
        if waiting(killed):
            approvals.allow(killed, "2", "fine")
        assert log(killed) == log(whole)
        assert running(killed).version == "2"
        assert waiting(killed) == []


def test_an_allowed_canary_that_failed_is_not_begun_again(home: Home) -> None:
    keep(home, "2", "1", Mode.CANARY)
    held = (home.approvals / "toolwear-2.json").read_text()
    approvals.allow(home, "2", "fine")
    rollouts.decide(home, running(home), Verdict.DROP, "It fails.", {})
    rollouts.settle(home)
    (home.approvals / "toolwear-2.json").write_text(held)  # killed before this was written
    with pytest.raises(WithdrawnError, match=r"It fails\."):
        approvals.allow(home, "2", "fine")
    assert [item.status for item in read_all(home)] == ["outdated"]


# --- the step -----------------------------------------------------------------------------------


def ask(home: Home, number: str, against: str, work: Path, **options: Any) -> Promotion:
    """Call the step as the graph does after a decision for `number`."""
    digest = of(home).version(number).package_digest
    outcome = Outcome.PROMOTE_BETTER if against else Outcome.PROMOTE_FIRST
    jsonfile.write(
        work / "decision" / "decision.json",
        {
            "decision": outcome.value,
            "reasons": ["It is better."],
            "challenger": {"model_sha256": "m"},
            "champion": {"version": against} if against else None,
        },
    )
    jsonfile.write(
        work / "registration" / "registration.json",
        {"name": NAME, "version": number, "package_digest": digest, "model_sha256": "m"},
    )
    jsonfile.write(
        work / "check" / "check.json", {"passed": True, "reason": "", "package_digest": digest}
    )
    folders = (work / "decision", work / "registration", work / "check")
    done = promote(*folders, CAUSE, home, "", work / "promotion", **options)
    assert jsonfile.read(work / "promotion" / "promotion.json")["outcome"] == done.value
    return done


def test_the_step_names_every_outcome(home: Home, tmp_path: Path) -> None:
    works = (tmp_path / f"work-{n}" for n in range(20))

    def step(number: str, against: str, **options: Any) -> Promotion:
        return ask(home, number, against, next(works), **options)

    assert step("1", "1") is Promotion.ALREADY
    assert step("2", "1", approval=True) is Promotion.HELD
    assert step("2", "1", rollout="canary") is Promotion.CANARY
    assert step("2", "1", rollout="canary") is Promotion.ALREADY
    assert step("3", "1") is Promotion.BUSY
    assert log(home)[-1] == ("rollout_busy", "1", "3")
    roll_back(home.root, "enough")
    assert step("2", "1") is Promotion.WITHDRAWN
    assert log(home)[-1] == ("withdrawn_before", "1", "2")
    assert step("3", "1", rollout="shadow") is Promotion.SHADOW
    roll_back(home.root, "enough")
    assert step("2", "3") is Promotion.MOVED
    assert log(home)[-1] == ("outdated", "1", "2")
    approvals.allow(home, "2", "it was fine")
    assert champion(home) == "2"
    assert step("3", "2") is Promotion.PROMOTED
    assert champion(home) == "3"


# --- the command line ---------------------------------------------------------------------------


def test_a_person_decides_on_the_command_line(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def says(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["toolwear", *arguments, "--home", str(home.root)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert (ended.value.code == 0) == (printed.err == ""), printed
        return printed.out + printed.err

    monkeypatch.setenv(NAME_VARIABLE, "")
    assert "nothing was ever held" in says("approvals")
    keep(home, "2", "1")
    keep(home, "3", "1")
    shown = says("approvals")
    assert shown.count("waiting") == 2
    assert all(item.id in shown for item in waiting(home)), "in one line, to be copied"
    assert CAUSE in shown
    refused = says("refuse", "3", "--why", "noisy")
    assert refused == "version 3 refused; champion stays version 1\n"
    allowed = says("allow", "2", "--why", "fine")
    assert allowed == "allowed version 2; champion: version 1 -> version 2\n"
    assert says("allow", "2", "--why", "fine").startswith("toolwear: '2' of toolwear was allowed")
    assert {"noisy", "fine"} <= set(says("approvals").split())
    assert says("rollback", "--why", "no", "--as", "Ada") == "champion: version 2 -> version 1\n"
    who = audit_log.entries(home)[-1]["who"]
    assert re.fullmatch(r"Ada \(\S+@\S+\)", who)
    monkeypatch.setenv(NAME_VARIABLE, "")
    assert "one line of at most 64" in says("rollback", "--why", "no", "--as", "x" * 65)
    assert "There is no champion of toolwear before this one" in says("rollback", "--why", "no")
    let(home, "3", Mode.CANARY, "1")
    ended = "candidate version 3 dropped; champion stays version 1\n"
    assert says("rollback", "--why", "no") == ended


def test_a_first_champion_that_is_held_is_told_of_where_one_is_missing(
    stocked: Path, tmp_path: Path
) -> None:
    fresh = copied(stocked, tmp_path / "fresh")
    with pytest.raises(ToolwearError, match="train one: toolwear run"):
        pointer.read_package(fresh.root)
    keep(fresh, "1", "")
    said = 'version 1 is held for approval. .*`toolwear allow 1 --why "..."` releases it'
    for ask_for in (lambda: pointer.read_package(fresh.root), lambda: roll_back(fresh.root, "no")):
        with pytest.raises(ToolwearError, match=said):
            ask_for()
    stream = io.StringIO()
    print_status(fresh.root, "", "", plain_console(file=stream, width=200))
    assert re.search(said, stream.getvalue())
    approvals.allow(fresh, "1", "looked at it")
    assert pointer.read_package(fresh.root)[0].version == "1"


def test_a_reason_may_hold_brackets(home: Home) -> None:
    let(home, "2", Mode.DIRECT)
    roll_back(home.root, "scrap [/red] on [mill 3]")
    stream = io.StringIO()
    print_status(home.root, "", "", plain_console(file=stream, width=200))
    assert "(scrap [/red] on [mill 3])" in stream.getvalue()


def test_the_status_tells_of_a_rollout_that_is_undecided_and_of_what_waits(home: Home) -> None:
    let(home, "2", Mode.CANARY, "1")
    keep(home, "3", "1")
    stream = io.StringIO()
    print_status(home.root, "", "", plain_console(file=stream, width=300))
    told = stream.getvalue()
    assert "10 % of the traffic; undecided: 0 recordings were answered by both" in told
    assert "held for approval: version 3 since" in told
    assert f"package {of(home).version('1').package_digest[:12]}" in told


def test_only_moves_read_like_moves() -> None:
    def told(action: str, start: str | None, end: str | None) -> str:
        return audit_log.told({"action": action, "from": start, "to": end})

    assert told("promote", None, "1") == "champion: none -> version 1"
    for action in ("rollback", "found", "reconcile"):
        assert told(action, "2", "1") == "champion: version 2 -> version 1"
    assert told("canary_start", "1", "2") == "candidate: version 2; champion stays version 1"
    dropped = "candidate version 2 dropped; champion stays version 1"
    for action in ("canary_rolled_back", "shadow_superseded"):
        assert told(action, "2", "1") == dropped
    for action in ("decline", "held", "refuse", "outdated", "rollout_busy", "withdrawn_before"):
        assert "champion stays version 1" in told(action, "1", "2")
        assert "->" not in told(action, "1", "2")
    assert told("decline", "2", "2") == "champion stays version 2"
    assert told("held", None, "1") == "version 1 held for approval; there is no champion"
    assert told("vouch", None, None) == ""


def test_the_document_names_every_outcome() -> None:
    document = (ROOT / "docs" / "rollout.md").read_text()
    assert [outcome for outcome in Promotion if f"`{outcome}`" not in document] == []
