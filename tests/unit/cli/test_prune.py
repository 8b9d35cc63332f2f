"""`toolwear prune` takes what is over the budget, oldest first, and nothing that is needed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from serving.console import evidence
from serving.payload.segments import Segment, folder
from serving.trigger.store import Request, Store
from tests.packages import make_package
from tests.unit.cli.test_status import status
from toolwear.cli.backup_contents import missing
from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.common.causes import Cause
from toolwear.common.states import State
from toolwear.model.package import load_package
from toolwear.release import approvals, audit_log, room
from toolwear.release.registry import CHALLENGER, COMPLETE, PACKAGE, PRUNED, Registry, Version
from toolwear.release.registry_state import MODEL_NAME, promote_version, release, roll_back
from toolwear.release.rollout import Mode
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, LATEST, SUMMARY_FILE
from toolwear.run.scoring import VERDICTS_FILE, attempts, kept, queue
from toolwear.workspace.home import Home

DAY = 86_400
NONE = [f"--set={kind}.gigabytes=0" for kind in room.Kind]
# What each version of the registry is for, in the order of their numbers.
PREVIOUS, CHAMPION, DECLINED, HELD, CANARY, NEWEST = range(6)


def prune(home: Home, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["prune", f"--home={home.root}", "--json", *options])
    assert done.exit_code == 0, done.output
    kinds: dict[str, Any] = json.loads(done.stdout)["kinds"]
    return kinds


def aged(path: Path, days: float) -> None:
    when = time.time() - days * DAY
    os.utime(path, (when, when))


def make_run(home: Home, day: int, package: str = "", cached: tuple[str, ...] = ()) -> str:
    """Leave the folder of a run that began on that day of January, so many days ago."""
    place = home.root / f"202601{day:02d}T000000Z-abcdef"
    step = place / "artifacts" / "toolwear-training-1" / "ingest" / "telemetry"
    if not cached:
        step.mkdir(parents=True)
        (step / "part-0.parquet").write_bytes(b"0" * 1000)
    jsonfile.write(
        place / ARGUMENTS_FILE, {"cause": "on_demand", "data_digest": f"d{cached or package}"}
    )
    summary = {
        "protocols": {"known_runs": {}},
        "gate": {"decision": "promote_first", "outcome": "promoted"},
        "model": {"version": "1", "package": package},
        "timings": {"total": 1.0},
        "cached": list(cached),
    }
    jsonfile.write(place / SUMMARY_FILE, summary)
    (place / "report.html").write_text("r" * 500)
    aged(place / ARGUMENTS_FILE, 40 - day)
    return place.name


def make_version(registry: Registry, experiment: str, seed: int) -> Version:
    client, home = registry.client, registry.home
    package = make_package(home.packages, seed=seed)
    aged(package.folder, 30 - seed)
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "a copy", "package/package.json")
    tags = {COMPLETE: "true", PACKAGE: package.digest}
    source = f"{run.info.artifact_uri}/package"
    made = client.create_model_version(MODEL_NAME, source, run.info.run_id, tags=tags)
    return registry.version(str(made.version))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> tuple[Home, list[str]]:
    """Return a home with six versions, and the digests of their packages."""
    home = Home.at(tmp_path_factory.mktemp("prune") / "home")
    home.root.mkdir()
    shutil.copyfile(empty_registry, home.database)
    registry = Registry(home, "", MODEL_NAME)
    registry.client.create_registered_model(MODEL_NAME)
    experiment = registry.client.create_experiment("training", home.mlflow_artifacts.as_uri())
    versions = [make_version(registry, experiment, seed) for seed in range(NEWEST + 1)]
    for number in (PREVIOUS, CHAMPION):
        promote_version(registry, versions[number], "it won", "on_demand")
    approvals.hold(registry, versions[HELD], "2", Mode.DIRECT, "it won", "on_demand")
    release(registry, versions[CANARY], Mode.CANARY, "it won", "on_demand")
    registry.move(CHALLENGER, versions[NEWEST])
    return home, [version.package_digest for version in versions]


def sizes(home: Home) -> Mapping[str, int]:
    """Return the size of every file but locks and logs, by its path."""
    return {
        str(path.relative_to(home.root)): path.lstat().st_size
        for path in home.root.rglob("*")
        if path.is_file() and not path.is_relative_to(home.root / ".locks")
    }


def test_what_is_needed_stays_whatever_the_budget(
    made: tuple[Home, list[str]], tmp_path: Path
) -> None:
    home, digests = made
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("of somebody else")
    source = make_run(home, 1)
    made_of = {
        digest: make_run(home, day, digest, ("ingest",) if number == CHAMPION else ())
        for number, (day, digest) in enumerate(zip(range(2, 8), digests, strict=True))
    }
    # The champion's run has taken a step from the first one, of the same recordings.
    own = home.root / made_of[digests[CHAMPION]] / ARGUMENTS_FILE
    shutil.copy2(home.root / source / ARGUMENTS_FILE, own)
    aged(own, 37)
    at_work, last, published = make_run(home, 10), make_run(home, 12), make_run(home, 11)
    (home.root / "feast" / "digest").mkdir(parents=True)
    (home.root / "feast" / "current").symlink_to("digest")
    samples = home.root / "feast" / "digest" / "samples"
    samples.symlink_to(f"../../{published}/artifacts/toolwear-training-1/ingest/telemetry")
    (home.root / at_work / SUMMARY_FILE).unlink()
    (home.root / LATEST).symlink_to(last)
    (home.root / "20260109T000000Z-abcdef").symlink_to(outside)
    (home.root / made_of[digests[DECLINED]] / "artifacts" / "link").symlink_to(outside)
    (home.packages / ("f" * 64)).symlink_to(outside)
    home.monitor_reports.mkdir(parents=True)
    (home.monitor_reports / "w1.html").write_text("a window")
    batch = pa.record_batch({"x": [1.0, 2.0]})
    segments = [Segment(folder(home.root), "requests", batch.schema) for _ in range(2)]
    for segment in segments:
        segment.write(batch)
    segments[0].finish()
    cache = home.root / ".cache"
    cache.mkdir()
    for name in (at_work, made_of[digests[DECLINED]]):
        (cache / f"{name}.json").write_text(f'{{"uri": "{home.root}/{name}/artifacts/x"}}')

    with run_folder.at_work(home.root / at_work):
        before = sizes(home)
        told = prune(home, "--dry-run", *NONE)
        assert sizes(home) == before
        # What the cache gives to later runs stays while one is at work; then it goes.
        assert "may have taken" in told["runs"]["needed"][made_of[digests[DECLINED]]]
        assert told["runs"]["needed"][at_work] == "it is at work"
        assert told["runs"]["needed"][source].endswith("has taken steps from it")
        assert told["runs"]["needed"][published] == "the published features lie in it"
    assert "room: runs " in status(home.root)

    told = prune(home, *NONE)
    gone = {kind: [part["name"] for part in told[kind]["removed"]] for kind in told}
    declined, newest = made_of[digests[DECLINED]], made_of[digests[NEWEST]]
    assert gone["runs"] == [declined, newest, at_work]
    assert gone["packages"] == [digests[DECLINED]]
    assert [name.endswith(".parquet") for name in gone["payloads"]] == [True]
    assert gone["reports"] == [declined, newest, at_work, "w1.html"]
    assert set(told["packages"]["needed"]) == set(digests) - {digests[DECLINED]}
    freed = sum(before.values()) - sum(
        size for path, size in sizes(home).items() if not path.endswith(".db")
    )
    databases = sum(size for path, size in before.items() if path.endswith(".db"))
    entries = sum(size for path, size in before.items() if path.startswith(".cache")) - sum(
        path.stat().st_size for path in cache.iterdir()
    )
    assert sum(kind["freed_bytes"] for kind in told.values()) == freed - databases - entries

    assert (samples / "part-0.parquet").exists()
    assert (outside / "kept").read_text() == "of somebody else"
    assert segments[1].path.exists()
    assert not list(cache.glob(f"{declined}*"))
    assert {path.name for path in (home.root / declined).iterdir()} == {
        ARGUMENTS_FILE,
        SUMMARY_FILE,
    }
    champion = evidence.of_champion(home)
    assert champion is not None
    assert champion.name == made_of[digests[CHAMPION]]
    assert evidence.artifact(home, champion, "ingest", "telemetry") is not None
    for digest in set(digests) - {digests[DECLINED]}:
        load_package(home.packages / digest)
    registry = Registry(home, "", MODEL_NAME)
    assert PRUNED in registry.version(str(DECLINED + 1)).tags
    assert registry.with_package(digests[DECLINED]) is None
    assert missing(home.root, home.root) == []
    entry = audit_log.entries(home)[-1]
    assert entry["action"] == audit_log.PRUNE
    assert f"1 package of {time.strftime('%Y')}" in entry["why"]
    assert digests[DECLINED][:12] in entry["why"]
    assert all(not kind["removed"] for kind in prune(home, *NONE).values())
    assert audit_log.entries(home)[-1] == entry, "where nothing is removed, nothing is logged"
    segments[1].finish()
    # The canary ends, and the version before is champion again.
    assert roll_back(home.root, "by hand")["to"] == "2"
    assert roll_back(home.root, "by hand")["to"] == "1"


def test_the_oldest_go_first_and_only_as_many_as_are_over(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    names = [make_run(home, day, f"p{day}") for day in (3, 1, 2, 4)]
    for options, gone in (
        (["--set=runs.gigabytes=0.00001"], []),
        (["--set=runs.gigabytes=0.0000025"], [names[1], names[2]]),
        (["--set=runs.days=38.5"], [names[1]]),
        (["--set=runs.gigabytes=none", "--set=runs.days=none"], []),
    ):
        told = prune(home, "--dry-run", *options)["runs"]
        assert [part["name"] for part in told["removed"]] == gone
        assert told["freed_bytes"] == 1000 * len(gone)


def test_verdicts_of_old_jobs_go_and_none_of_a_job_that_has_not_ended(tmp_path: Path) -> None:
    home, outside = Home.at(tmp_path / "home"), tmp_path / "outside"
    outside.mkdir()
    store = Store(queue(home))

    def verdicts(name: str, days: float) -> str:
        jsonfile.write_text(kept(home, name) / VERDICTS_FILE, "v" * 1000)
        aged(attempts(home) / name, days)
        return name

    def begun(day: int, days: float) -> str:
        name = f"202601{day:02d}T000000Z-abcdef"
        asked = Request(Cause.ON_DEMAND, "night", f"job {day}", {"target": str(outside)})
        store.begin(store.accept(asked, 0.0, 10).id, name, 0.0)
        return verdicts(name, days)

    def ended(day: int, days: float, state: State) -> str:
        name = begun(day, days)
        store.end(store.run(name), state, "", 1.0, None)
        return name

    old, older = ended(1, 95, State.SUCCEEDED), ended(2, 99, State.SUCCEEDED)
    new, failed = ended(3, 20, State.SUCCEEDED), ended(4, 91, State.FAILED)
    unknown = verdicts("20260105T000000Z-abcdef", 400)
    killed, again = begun(6, 300), verdicts("20260108T000000Z-abcdef", 299)
    store.end(store.run(killed), State.KILLED, "", 1.0, again)  # its job goes on
    store.close()
    (outside / VERDICTS_FILE).write_text("at the target")
    (attempts(home) / "20260107T000000Z-abcdef").symlink_to(outside)

    told = prune(home, "--dry-run")["verdicts"]
    assert [part["name"] for part in told["removed"]] == [older, old, failed]
    assert told["freed_bytes"] == 3000
    assert set(told["needed"]) == {unknown, killed, again}
    assert prune(home, "--set=verdicts.days=none")["verdicts"]["removed"] == []
    assert prune(home)["verdicts"]["freed_bytes"] == 3000
    assert [part["name"] for part in prune(home, *NONE)["verdicts"]["removed"]] == [new]
    assert {path.name for path in attempts(home).iterdir() if not path.is_symlink()} == {
        unknown,
        killed,
        again,
    }
    assert (outside / VERDICTS_FILE).read_text() == "at the target"
    assert "3 verdicts of " in audit_log.entries(home)[0]["why"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("runs.gigabyte=1", "There is no budget 'runs.gigabyte'; there are runs.gigabytes, "),
        ("runs.days=-1", "The budget runs.days has to be a number from 0 on, or none"),
        ("runs.days=nan", "The budget runs.days has to be a number from 0 on, or none"),
    ],
)
def test_a_budget_that_is_none_is_a_sentence(tmp_path: Path, setting: str, said: str) -> None:
    done = CliRunner().invoke(app, ["prune", f"--home={tmp_path}", f"--set={setting}"])
    assert str(done.exception).startswith(said)
