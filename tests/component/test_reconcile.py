"""MLflow was changed by hand: every command tells one truth, and one command mends it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.audit import forget
from tests.trigger.test_operations import stocked
from toolwear.cli.approvals import print_approvals
from toolwear.cli.plain import plain_console
from toolwear.cli.status import print_status
from toolwear.common.errors import ToolwearError
from toolwear.release import approvals, audit_log
from toolwear.release import champion as pointer
from toolwear.release import registry as tags
from toolwear.release.agreement import disagreement
from toolwear.release.registry import CHAMPION, Registry
from toolwear.release.registry_state import MODEL_NAME, champion_state, reconcile, roll_back
from toolwear.release.rollout import Mode
from toolwear.run.config import RunParameters
from toolwear.workspace.home import Home

Change = Callable[[Any], object]
BY_HAND: dict[str, tuple[Change, str]] = {
    "alias moved": (
        lambda client: client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2"),
        "the registry's champion is version 2",
    ),
    "alias deleted": (
        lambda client: client.delete_registered_model_alias(MODEL_NAME, CHAMPION),
        "the registry has no champion",
    ),
    "version deleted": (
        lambda client: client.delete_model_version(MODEL_NAME, "1"),
        "the registry has no champion",
    ),
    "model deleted": (
        lambda client: client.delete_registered_model(MODEL_NAME),
        "the registry has no champion",
    ),
    "tag deleted": (
        lambda client: client.delete_model_version_tag(MODEL_NAME, "1", tags.PACKAGE),
        f"the registry's version 1 lacks the tag {tags.PACKAGE}",
    ),
    "tag changed": (
        lambda client: client.set_model_version_tag(MODEL_NAME, "1", tags.PACKAGE, "f" * 64),
        "the registry's version 1 has another package, ffffffffffff",
    ),
}


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path) -> Registry:
    root = tmp_path / "home"
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_registry.read_bytes())
    return stocked(root)


def printed(show: Callable[[Console], object]) -> str:
    stream = io.StringIO()
    show(plain_console(file=stream, width=300))
    return stream.getvalue()


@pytest.mark.parametrize("name", BY_HAND)
def test_a_registry_that_was_changed_by_hand_is_told_and_mended(
    registry: Registry, name: str
) -> None:
    from toolwear.cli.local_run import run_locally

    home = registry.home
    before = pointer.read(home.root)
    assert before is not None
    change, said = BY_HAND[name]
    change(registry.client)
    sentence = disagreement(registry)
    assert sentence.startswith(f"Version 1 is served, and {said}")
    assert "`toolwear reconcile --why ...`" in sentence
    shown = printed(lambda console: print_status(home.root, "", "", console))
    assert "champion: toolwear version 1" in shown
    assert sentence in shown
    assert sentence in printed(lambda console: print_approvals(home.root, console))
    for refused in (
        lambda: roll_back(home.root, "no"),
        lambda: run_locally(RunParameters(), home.root, Console(file=io.StringIO())),
        lambda: approvals.hold(registry, registry.version("3"), "1", Mode.DIRECT, "won", "x"),
    ):
        if name == "model deleted" and "hold" in refused.__code__.co_names:
            continue  # there is nothing to hold
        with pytest.raises(ToolwearError) as raised:
            refused()
        assert str(raised.value) == sentence
    assert not list(home.root.glob("2*"))

    entry = reconcile(home, "it was a mistake", serve_registered=False)
    assert disagreement(registry) == ""
    after, champion = pointer.read(home.root), registry.at(CHAMPION)
    assert after is not None
    assert champion is not None
    assert after.package_digest == before.package_digest == champion.package_digest
    assert (entry["action"], entry["to"]) == ("reconcile", champion.number)
    assert champion.number == ("4" if name == "version deleted" else "1")
    assert tags.COMPLETE in champion.tags
    with pytest.raises(ToolwearError, match="nothing to reconcile"):
        reconcile(home, "twice", serve_registered=False)


def test_what_the_registry_says_can_be_served_instead(registry: Registry) -> None:
    registry.client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
    reconcile(registry.home, "I meant it", serve_registered=True)
    pointed = pointer.read(registry.home.root)
    assert pointed is not None
    assert pointed.version == "2"
    assert disagreement(registry) == ""
    assert roll_back(registry.home.root, "I did not")["to"] == "1"


def pointed_to(registry: Registry, number: str) -> pointer.Champion:
    package = registry.package(registry.version(number))
    return pointer.Champion(
        MODEL_NAME, number, package.digest, f"packages/{package.digest}", package.model_sha256, ""
    )


def test_the_log_the_pointer_and_the_registry_in_every_combination(registry: Registry) -> None:
    """Whatever the three say, a state is told, and at most one command makes all agree.

    Where they differ nothing is served; two that agree name what is served afterwards.
    """
    home = registry.home
    path = pointer.path(home.root)
    logged = home.records.read_bytes()
    second = registry.version("2").package_digest
    for log in ("1", "2", None):
        for pointed in ("1", "2", None):
            for alias in ("1", "2", None):
                home.records.write_bytes(logged if log else b"")
                forget(home)  # or it would be found to have been longer
                if log == "2":
                    audit_log.append(
                        home,
                        **{"from": "1"},
                        action="promote",
                        model=MODEL_NAME,
                        to="2",
                        package=second,
                        why="",
                        when="",
                    )
                registry.move(CHAMPION, registry.version(alias) if alias else None)
                path.unlink(missing_ok=True)
                if pointed:
                    pointer.write(home.root, pointed_to(registry, pointed))
                state = champion_state(home.root)
                assert (state or {}).get("version") == (pointed or alias)
                if state is None:
                    continue
                agree = log == pointed == alias
                assert bool(state["differs"]) != agree
                if pointed and not agree:
                    with pytest.raises(ToolwearError) as refused:
                        pointer.read_package(home.root)
                    told_of = [f" names version {n}" if n else " names none" for n in (log, alias)]
                    assert [words for words in told_of if words not in str(refused.value)] == []
                if state["differs"]:
                    reconcile(home, "a test", serve_registered=False)
                told = champion_state(home.root)
                assert told is not None
                kept = alias if alias and log == alias else pointed or alias
                assert (told["version"], told["differs"]) == (kept, "")
                found = registry.at(CHAMPION)
                assert found is not None
                assert found.number == kept
                assert pointer.read_package(home.root)[0].version == kept


def test_a_home_without_champion_says_so(empty_registry: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_registry.read_bytes())
    assert champion_state(tmp_path) is None
    assert "There is no champion in" in printed(
        lambda console: print_status(tmp_path, "", "", console)
    )
    assert Home.at(tmp_path).has_registry()
