"""The walk goes on where it stopped, tells what came of each stage, and fails if one failed."""

from __future__ import annotations

import io
import json
import os
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from tools.cluster_walk import __main__ as command
from tools.cluster_walk.memory import note
from tools.cluster_walk.stages import STAGES
from tools.cluster_walk.walk import FAILED, PASSED, Journal, Outcome, Stage, table, walk
from tools.kind.programs import CommandFailedError
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError

MIB = 1 << 20


class Site:
    """Counts what was done, and fails where it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: set[str] = set()

    def see(self, name: str) -> str:
        self.done.append(name)
        if name in self.fails:
            raise CommandFailedError(f"{name} is not to be seen")
        return f"{name} was seen"


def stages(*names: str) -> list[Stage[Site]]:
    return [Stage(name, f"shows {name}", partial(_seen, name)) for name in names]


def _seen(name: str, site: Site) -> str:
    return site.see(name)


def rendered(journal: Journal, all_stages: list[Stage[Site]]) -> str:
    stream = io.StringIO()
    Console(width=160, file=stream).print(table(all_stages, journal))
    return stream.getvalue()


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    site, three, path = Site(), stages("one", "two", "three"), tmp_path / "build" / "journal.json"
    site.fails = {"two"}
    first = list(walk(three, site, Journal(path), iter(range(9)).__next__))
    assert first == [
        Outcome("one", PASSED, 1, "one was seen"),
        Outcome("two", FAILED, 1, "two is not to be seen"),
    ]
    assert site.done == ["one", "two"], "what follows needs what failed"
    shown = rendered(Journal(path), three)
    assert [word in shown for word in ("passed", "failed", "not reached")] == [True] * 3
    assert "two is not to be seen" in shown
    site.fails = set()
    journal = Journal(path)  # as a later call reads it
    journal.facts["digest"] = "abc"
    assert [one.stage for one in walk(three, site, journal)] == ["two", "three"]
    assert site.done == ["one", "two", "two", "three"]
    again = Journal(path)
    assert again.facts == {"digest": "abc"}
    assert list(walk(three, site, again)) == []
    assert "not reached" not in rendered(again, three)
    again.forget(["one"])
    assert [one.stage for one in walk(three, site, again)] == ["one"]


def test_a_fault_of_the_walk_itself_is_no_verdict(tmp_path: Path) -> None:
    def broken(site: Site) -> str:
        raise ZeroDivisionError

    journal = Journal(tmp_path / "journal.json")
    with pytest.raises(ZeroDivisionError):
        list(walk([Stage("one", "", broken)], Site(), journal))
    assert journal.outcome("one") is None


@pytest.mark.parametrize("text", ["[", '{"outcomes": [{"stage": "one"}]}'])
def test_another_file_is_no_journal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    with pytest.raises(ToolwearError, match="is no journal of a walk"):
        Journal(path)


def test_the_peaks_of_what_is_ours_are_kept() -> None:
    def summary(mebibytes: int) -> dict[str, object]:
        def pod(namespace: str, name: str, container: str) -> dict[str, object]:
            used = {"workingSetBytes": mebibytes * MIB}
            containers = [{"name": container, "memory": used}, {"name": "wait", "memory": used}]
            return {"podRef": {"namespace": namespace, "name": name}, "containers": containers}

        return {
            "pods": [
                pod("toolwear", "toolwear-blue-explainer-5c-x", "kserve-container"),
                pod("toolwear", "mlflow-6d-x", "mlflow"),
                pod("kubeflow", "toolwear-training-system-container-impl-1", "main"),
                pod("elsewhere", "a", "b"),
            ]
        }

    peaks, steps = {"mlflow": 30}, {"toolwear-training-system-container-impl-1": "train"}
    note(peaks, [summary(20), {"pods": None}], steps)
    note(peaks, [summary(10)], steps)
    assert peaks == {"mlflow": 30, "explainer": 20, "train": 20}


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that know two namespaces; the file `namespaces` says which."""
    names = tmp_path / "namespaces"
    names.write_text(json.dumps({"items": [{"metadata": {"name": "default"}}]}))
    cases = f'*"get namespaces"*) cat {names};; *kube-system*) printf u-1;;'
    script = f'#!/bin/sh\ncase "$*" in {cases} esac'
    for program in ("kubectl", "helm"):
        (tmp_path / program).write_text(script)
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return names


def call(*arguments: str) -> int:
    return command.main(["file", "--data", "recordings", *arguments])


def test_a_stage_that_fails_fails_the_command(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Site()
    seen.fails = {"drift"}
    monkeypatch.setattr(command, "Site", lambda *_: seen)
    monkeypatch.setattr(command, "STAGES", stages("run", "drift"))
    assert call() == EXIT_FAILURE
    assert "drift: failed" in capsys.readouterr().out
    kept = cluster.parent / "build" / "cluster-walk" / "u-1.json"
    assert [one["verdict"] for one in json.loads(kept.read_text())["outcomes"]] == [PASSED, FAILED]
    seen.fails = set()
    assert call() == 0
    assert seen.done == ["run", "drift", "drift"]
    assert call("--again", "run") == 0
    assert seen.done[3:] == ["run"]


def test_a_cluster_on_which_somebody_works_is_left_alone(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "STAGES", ())
    cluster.write_text(json.dumps({"items": [{"metadata": {"name": "toolwear"}}]}))
    assert call() == EXIT_USAGE
    assert "destroys registry, packages and audit log" in capsys.readouterr().err
    assert call("--take-over") == 0
    assert call() == 0, "once walked, it is known"


def test_what_is_to_be_seen_is_all_there() -> None:
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)
    wanted = "system models run answers drift rollback backup destruction restore approval"
    assert [name for name in names if name in wanted.split()] == wanted.split()
    assert all(stage.shows for stage in STAGES)
