"""The guard on the real recordings: clean data teaches, and each attack is found."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.features.step import features as make_features
from components.guard import logic, observe, rows, vouching
from components.guard.levels import Distance, distances, measurable
from components.guard.logic import Finding
from components.guard.rows import RowFacts
from components.guard.runs import SKETCH_ROWS, RunFacts, pairs, shared, sketch
from components.guard.step import Asked, guard
from components.ingest.step import ingest
from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from tests.mill import MILL
from tools.bench_poison.attacks import RANDOM, TARGETED, WHOLE_RUNS, flipped
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.features import dataset
from toolwear.features.compute import is_cutting
from toolwear.features.dataset import Samples
from toolwear.release import audit_log
from toolwear.release.registry_state import champion_state
from toolwear.workspace.home import Home

CUTTING = default().rows.cutting


pytestmark = pytest.mark.timeout(900)  # the first use of the trained home trains it

DEFAULT = thresholds().guard
# What figures alone tell; that a person has to vouch for new runs has tests of its own.
ADMISSION = MILL.admission
LIMITS = DEFAULT.model_copy(update={"vouch_for_new_runs": False})
FITTING = RowFacts(rows=100, before=0.0, disagreement=0.0, per_run={}, other_label={})
CLEAN_DISAGREEMENT = 0.007  # of the recordings
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def runs(telemetry: Path) -> list[RunFacts]:
    return observe.read(telemetry)


@pytest.fixture(scope="module")
def samples(features: Path) -> Samples:
    return dataset.load(features, schema.PUBLISHED)


@pytest.fixture(scope="module")
def recorded(telemetry: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(part) for part in sorted(telemetry.glob("part-*.parquet")))


def inspected(
    samples: Samples,
    runs: list[RunFacts],
    poisoned: np.ndarray,
    known: Collection[str] = (),
    before: float | None = None,
) -> RowFacts:
    labels = np.where(poisoned, 1 - samples.y, samples.y)
    table = {run.run_id: run.label for run in runs}
    return rows.inspect(dataclasses.replace(samples, y=labels), table, 0, known, before)


def checks(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.check, finding.run) for finding in findings if finding.refuses}


def changed(
    recorded: pd.DataFrame, telemetry: Path, folder: Path, change: Change
) -> list[RunFacts]:
    """Return what the guard sees of the recordings after `change`; new runs are called unworn."""
    folder.mkdir()
    shutil.copy(telemetry / "manifest.json", folder)
    frame = change(recorded.copy())
    frame.to_parquet(folder / "part-00000.parquet", index=False)
    table = pd.read_parquet(telemetry / "runs.parquet").set_index(schema.RUN_ID)
    sizes = frame.groupby(schema.RUN_ID, sort=False).size()
    table = table.reindex(sizes.index)
    table["rows"] = sizes
    table["run_number"] = [int(name) for name in table.index]
    table[schema.LABEL] = table[schema.LABEL].fillna(0).astype(int)
    table = table.fillna({mill.FEEDRATE: 6.0, mill.CLAMP_PRESSURE: 4.0})
    table.reset_index().to_parquet(folder / "runs.parquet", index=False)
    return observe.read(folder)


# --- clean data -------------------------------------------------------------------------------


def test_clean_recordings_teach_with_and_without_a_champion(
    runs: list[RunFacts], samples: Samples
) -> None:
    labels = inspected(samples, runs, np.zeros(len(samples.y), dtype=bool))
    assert 0.002 < labels.disagreement < 0.012
    assert labels.rows == 17_520
    assert logic.judge(runs, labels, runs, LIMITS, ADMISSION) == []
    assert logic.judge(runs, labels, None, LIMITS, ADMISSION) == []
    assert [run.run_id for run in runs] == [f"{number:02d}" for number in range(1, 19)]


@pytest.mark.parametrize(
    "settings",
    [
        SimulatorSettings(seed=1),
        # Nothing but wear tells the label, so a forest contradicts a tenth of the true ones.
        SimulatorSettings(seed=2, z_leak=0, shuffle=False, session=False, balanced=True),
    ],
)
def test_clean_simulated_runs_teach(settings: SimulatorSettings, tmp_path: Path) -> None:
    simulate(settings, tmp_path / "data")
    telemetry, features = tmp_path / "telemetry", tmp_path / "features"
    ingest(data=str(tmp_path / "data"), data_digest="", allow_simulator=False, output=telemetry)
    make_features(telemetry=telemetry, restore_order=False, window=50, stride=25, output=features)
    runs = observe.read(telemetry)
    clean = dataset.load(features, schema.PUBLISHED)
    labels = inspected(clean, runs, np.zeros(len(clean.y), dtype=bool))
    assert (labels.disagreement > LIMITS.label_disagreement) == (settings.z_leak == 0)
    told = [finding.check for finding in logic.judge(runs, labels, None, LIMITS, ADMISSION)]
    assert told == ([] if settings.z_leak else ["label_disagreement"])
    assert checks(logic.judge(runs, labels, None, LIMITS, ADMISSION)) == set()


@pytest.mark.parametrize(
    "champion_knows",
    [
        pytest.param(lambda run: run.run_id <= "10", id="first session"),
        pytest.param(lambda run: run.run_id > "10", id="second session"),
        pytest.param(lambda run: run.settings["feedrate"] <= 6, id="slow feed rates"),
        pytest.param(lambda run: run.settings["feedrate"] != 6, id="no run at 6 mm/s"),
        pytest.param(lambda run: run.label == 0, id="unworn"),
        pytest.param(lambda run: run.label == 1, id="worn"),
        pytest.param(lambda run: int(run.run_id) % 2, id="every other"),
    ],
)
def test_honest_new_runs_teach(
    champion_knows: Callable[[RunFacts], bool], runs: list[RunFacts]
) -> None:
    known = [run for run in runs if champion_knows(run)]
    assert len(known) < len(runs)
    assert checks(logic.judge(runs, FITTING, known, LIMITS, ADMISSION)) == set()
    assert (
        checks(logic.judge(known, FITTING, runs, LIMITS, ADMISSION)) == set()
    )  # and fewer than before


def test_no_honest_run_is_refused_beside_any_ten_others(runs: list[RunFacts]) -> None:
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(100):
        chosen = random.permutation(len(runs))
        known = [runs[i] for i in sorted(chosen[:10])]
        assert checks(logic.judge(runs, FITTING, known, LIMITS, ADMISSION)) == set()
        worst = max(
            worst,
            *(
                found.value
                for found in logic.level_distances(runs, known, LIMITS, ADMISSION).values()
            ),
        )
    assert worst < LIMITS.level_distance


def test_recordings_of_another_campaign_may_be_numbered_from_one(
    runs: list[RunFacts], recorded: pd.DataFrame, telemetry: Path, tmp_path: Path
) -> None:
    def other_day(frame: pd.DataFrame) -> pd.DataFrame:
        bus = ["X1_OutputCurrent", "Y1_OutputCurrent", "S1_OutputCurrent"]
        frame[bus] -= 8.0  # the mains, which may
        return noisy(frame, 0.02)

    found = logic.judge(
        changed(recorded, telemetry, tmp_path / "t", other_day), FITTING, runs, LIMITS, ADMISSION
    )
    # Made from what is known, so one of them is still known by its shape; its number counts not.
    assert checks(found) <= {("scaled_copy", "16")}
    others = {finding.check for finding in found} - {"scaled_copy"}
    assert others == {"recording_changed", "arriving_rows"}


# --- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("attack", "share"), [(RANDOM, 0.05), (TARGETED, 0.05)])
def test_flipped_rows_are_found(
    attack: str, share: float, runs: list[RunFacts], samples: Samples
) -> None:
    poisoned = flipped(samples, attack, share, seed=1)
    labels = inspected(samples, runs, poisoned)
    assert sum(labels.other_label.values()) == poisoned.sum()
    found = checks(logic.judge(runs, labels, None, LIMITS, ADMISSION))
    assert ("mixed_labels", samples.run[poisoned][0]) in found
    # Without the table of runs the forest sees it, if it knows what it found before.
    blind = dataclasses.replace(labels, other_label={})
    (told,) = logic.judge(runs, blind, None, LIMITS, ADMISSION)
    assert (told.check, told.refuses) == ("label_disagreement", False)
    blind = dataclasses.replace(blind, before=CLEAN_DISAGREEMENT)
    assert checks(logic.judge(runs, blind, runs, LIMITS, ADMISSION)) == {("label_disagreement", "")}


@pytest.mark.parametrize("number", range(18))
def test_a_flipped_run_is_found_by_its_recording(number: int, runs: list[RunFacts]) -> None:
    poisoned = list(runs)
    poisoned[number] = dataclasses.replace(runs[number], label=1 - runs[number].label)
    name = runs[number].run_id
    (found,) = logic.judge(poisoned, FITTING, runs, LIMITS, ADMISSION)
    assert (found.check, found.run, found.refuses) == ("label_changed", name, True)
    assert f"labelled {poisoned[number].condition}" in found.sentence
    assert found.sentence.endswith(f"as {runs[number].condition}.")
    # Under a number that nobody knows it is the same recording.
    poisoned[number] = dataclasses.replace(poisoned[number], run_id="99")
    assert checks(logic.judge(poisoned, FITTING, runs, LIMITS, ADMISSION)) == {
        ("label_changed", "99")
    }


def test_rows_alone_cannot_show_a_flipped_run(runs: list[RunFacts], samples: Samples) -> None:
    poisoned = flipped(samples, WHOLE_RUNS, 0.2, seed=0)
    labels = inspected(samples, runs, poisoned)
    blind = dataclasses.replace(labels, other_label={})
    assert logic.judge(runs, blind, None, LIMITS, ADMISSION) == []


def test_a_person_can_vouch_for_a_changed_label(runs: list[RunFacts]) -> None:
    poisoned = [dataclasses.replace(run, label=1 - run.label) for run in runs[:2]] + runs[2:]
    assert checks(logic.judge(poisoned, FITTING, runs, LIMITS, ADMISSION, {"01"})) == {
        ("label_changed", "02")
    }
    accepted = logic.judge(poisoned, FITTING, runs, LIMITS, ADMISSION, {logic.ALL_RUNS})
    assert [(finding.run, finding.accepted) for finding in accepted] == [("01", True), ("02", True)]
    broken = dataclasses.replace(FITTING, other_label={"01": 5})
    assert checks(logic.judge(runs, broken, runs, LIMITS, ADMISSION, {"all"})) == {
        ("mixed_labels", "01")
    }


# --- recordings -------------------------------------------------------------------------------


def noisy(frame: pd.DataFrame, size: float = 1e-6) -> pd.DataFrame:
    columns = list(mill.NUMERIC_COLUMNS)
    noise = 1 + size * np.random.default_rng(0).normal(size=(len(frame), len(columns)))
    frame[columns] *= noise
    return frame


def shortened(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame[schema.RUN_ID] != "13") | (frame[schema.ROW] % 3 > 0)]


@pytest.mark.parametrize("change", [noisy, shortened])
def test_a_recording_is_known_after_small_changes(
    change: Change, recorded: pd.DataFrame, telemetry: Path, runs: list[RunFacts], tmp_path: Path
) -> None:
    found = changed(recorded, telemetry, tmp_path / "t", change)
    assert logic.judge(found, FITTING, runs, LIMITS, ADMISSION) == []
    flipped_one = [
        dataclasses.replace(run, label=1 - run.label) if run.run_id == "13" else run
        for run in found
    ]
    assert checks(logic.judge(flipped_one, FITTING, runs, LIMITS, ADMISSION)) == {
        ("label_changed", "13")
    }


def of_run(frame: pd.DataFrame, run: str) -> pd.DataFrame:
    return frame[frame[schema.RUN_ID] == run]


def test_another_recording_under_a_known_number_is_found(runs: list[RunFacts]) -> None:
    swapped = [dataclasses.replace(runs[0], sketch=tuple(range(SKETCH_ROWS))), *runs[1:]]
    assert checks(logic.judge(swapped, FITTING, runs, LIMITS, ADMISSION)) == {
        ("recording_changed", "01")
    }
    assert checks(logic.judge(swapped, FITTING, runs, LIMITS, ADMISSION, {"01"})) == set()


def test_a_copied_run_is_found_whole_and_in_part(
    recorded: pd.DataFrame, telemetry: Path, tmp_path: Path
) -> None:
    def copy(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, of_run(frame, "06").assign(run_id="19")])

    def part(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, of_run(frame, "11").iloc[300:700].assign(run_id="19")])

    whole = logic.judge(
        changed(recorded, telemetry, tmp_path / "a", copy), FITTING, None, LIMITS, ADMISSION
    )
    assert checks(whole) == {("copied_rows", "19")}
    assert "Runs 06 and 19 share 100% of their rows, under another label" in whole[0].sentence
    partly = logic.judge(
        changed(recorded, telemetry, tmp_path / "b", part), FITTING, None, LIMITS, ADMISSION
    )
    assert ("copied_rows", "19") in checks(partly)
    assert "under the same label" in partly[0].sentence


def test_repeated_rows_are_found(recorded: pd.DataFrame, telemetry: Path, tmp_path: Path) -> None:
    def repeat(frame: pd.DataFrame) -> pd.DataFrame:
        cut = frame[(frame[schema.RUN_ID] == "15") & is_cutting(frame, CUTTING)].iloc[:100]
        return pd.concat([frame, cut]).sort_values(schema.RUN_ID, kind="stable")

    found = changed(recorded, telemetry, tmp_path / "t", repeat)
    assert checks(logic.judge(found, FITTING, None, LIMITS, ADMISSION)) == {("repeated_rows", "15")}


@pytest.mark.parametrize(
    ("signal", "change"),
    [
        ("S1_OutputCurrent", lambda values: 0.0 * values),
        ("S1_OutputPower", lambda values: 1.4 * values),
        ("X1_OutputCurrent", lambda values: values - 10),
        ("S1_OutputCurrent", lambda values: values + 12),
        ("Y1_OutputVoltage", lambda values: 6 * values),
    ],
)
def test_a_shifted_sensor_is_found(
    signal: str,
    change: Callable[[Any], Any],
    recorded: pd.DataFrame,
    telemetry: Path,
    runs: list[RunFacts],
    tmp_path: Path,
) -> None:
    def shift(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = frame[schema.RUN_ID] == "12"
        frame.loc[chosen, signal] = change(frame.loc[chosen, signal])
        return frame

    found = changed(recorded, telemetry, tmp_path / "t", shift)
    assert checks(logic.judge(found, FITTING, None, LIMITS, ADMISSION)) == {
        ("shifted_sensor", "12")
    }
    # Beside a champion the run is no longer the recording that it knows, either.
    both = checks(logic.judge(found, FITTING, runs, LIMITS, ADMISSION))
    assert both == {("shifted_sensor", "12"), ("recording_changed", "12")}


def test_levels_are_not_judged_on_too_little(runs: list[RunFacts]) -> None:
    odd = dataclasses.replace(runs[0], levels=dict.fromkeys(runs[0].levels, 1e6))
    few = [run for run in runs[1:] if measurable(run, LIMITS)][: LIMITS.level_runs]

    def judged(run: RunFacts, others: list[RunFacts]) -> Distance:
        return distances([run], others, LIMITS, ADMISSION)[run.run_id]

    assert judged(odd, few).value > 100
    assert judged(odd, [*few[1:], odd]) == Distance()  # too few others
    assert judged(dataclasses.replace(odd, cutting_rows=LIMITS.level_rows - 1), few) == Distance()
    assert judged(dataclasses.replace(odd, material="brass"), few) == Distance()


def test_a_run_that_dominates_is_found(runs: list[RunFacts]) -> None:
    grown = [dataclasses.replace(runs[0], rows=30_000), *runs[1:]]
    assert checks(logic.judge(grown, FITTING, None, LIMITS, ADMISSION)) == {
        ("dominating_run", "01")
    }
    four = [dataclasses.replace(run, rows=1000) for run in runs[:3]]
    four.append(dataclasses.replace(runs[3], rows=2500))
    assert logic.judge(four, FITTING, None, LIMITS, ADMISSION) == []


def test_many_new_runs_are_told_and_allowed(runs: list[RunFacts]) -> None:
    (found,) = logic.judge(runs, FITTING, runs[:10], LIMITS, ADMISSION)
    assert (found.check, found.refuses) == ("arriving_rows", False)
    assert found.value == pytest.approx(0.615, abs=0.01)


def test_a_person_has_to_vouch_for_new_runs_but_for_none_of_the_first_data(
    runs: list[RunFacts],
) -> None:
    found = logic.judge(runs, FITTING, runs[:16], DEFAULT, ADMISSION)
    assert checks(found) == {("nobody_vouches", "17"), ("nobody_vouches", "18")}
    for said in ({"accepted": {"17"}}, {"vouched": {"17"}}):
        assert checks(logic.judge(runs, FITTING, runs[:16], DEFAULT, ADMISSION, **said)) == {
            ("nobody_vouches", "18")
        }
    assert checks(logic.judge(runs, FITTING, None, DEFAULT, ADMISSION)) == set()


def test_a_person_vouches_for_recording_and_label_not_for_a_number(runs: list[RunFacts]) -> None:
    seventeen, eighteen = runs[16:]
    renamed = dataclasses.replace(seventeen, run_id="40")
    flipped_label = dataclasses.replace(eighteen, label=1 - eighteen.label)
    found = vouching.vouched([renamed, flipped_label, runs[0]], runs[16:], LIMITS)
    assert found == {"40"}
    assert vouching.vouched(runs, [], LIMITS) == frozenset()


def test_many_copies_are_paired_with_the_first_and_the_one_before(runs: list[RunFacts]) -> None:
    copies = [dataclasses.replace(runs[0], run_id=str(number)) for number in range(100, 400)]
    found = [(run.run_id, match.other.run_id) for run, match in pairs([*runs[:2], *copies])]
    assert found[:3] == [("100", "01"), ("101", "01"), ("101", "100")]
    assert len(found) == 2 * len(copies) - 1


def test_sketches_estimate_what_two_runs_share() -> None:
    keys = np.random.default_rng(0).integers(2**63, size=6000).astype(np.uint64)
    one, half, none = sketch(keys[:4000]), sketch(keys[2000:6000]), sketch(keys[4000:])
    assert shared(one, one) == 1.0
    assert shared(one, none) == 0.0
    assert shared(one, half) == pytest.approx(0.5, abs=0.1)
    assert shared(one, sketch(keys[1000:1100])) == 1.0  # a slice
    assert shared(one, ()) == 0.0


# --- the step ---------------------------------------------------------------------------------


def run_guard(
    telemetry: Path, features: Path, home: Path, output: Path, accept_runs: str = ""
) -> int:
    digest = jsonfile.read(telemetry / "manifest.json")["digest"]
    asked = Asked(digest, accept_runs, "new_data: a test", "toolwear", 0)
    return guard(telemetry, features, asked, Home.at(home), "", output)


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_home, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.fixture
def relabelled(telemetry: Path, features: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return telemetry and features in which the labels of runs 06 and 07 are flipped."""
    shutil.copytree(telemetry, tmp_path / "telemetry")
    shutil.copytree(features, tmp_path / "features")
    files = [tmp_path / "telemetry" / "runs.parquet"]
    files += (tmp_path / "features" / dataset.TRAINING_SET).glob("part-*.parquet")
    for file in files:
        table = pd.read_parquet(file)
        wrong = table[schema.RUN_ID].isin(["06", "07"])
        table[schema.LABEL] = table[schema.LABEL].where(~wrong, 1 - table[schema.LABEL])
        table.to_parquet(file, index=False)
    manifest = tmp_path / "telemetry" / "manifest.json"
    jsonfile.write(manifest, {**jsonfile.read(manifest), "digest": "f" * 64})
    return tmp_path / "telemetry", tmp_path / "features"


def test_a_champion_s_own_data_passes_and_is_kept(
    home: Path, telemetry: Path, features: Path, tmp_path: Path
) -> None:
    before = len(audit_log.entries(Home(home)))
    assert run_guard(telemetry, features, home, tmp_path / "out") == 0
    result = jsonfile.read(tmp_path / "out" / "guard.json")
    assert result["decision"] == "passed"
    assert result["provenance"] == "Held against the 18 runs of champion version 1."
    digest = result["data_digest"]
    assert len(jsonfile.read(home / "provenance" / f"{digest}.json")["runs"]) == 18
    assert len(audit_log.entries(Home(home))) == before


def test_flipped_runs_are_refused_with_evidence_and_an_entry(
    home: Path, relabelled: tuple[Path, Path], tmp_path: Path
) -> None:
    champion = champion_state(home)
    with pytest.raises(ToolwearError, match=r"^refuse_poisoned: Run 06 .*\(and 1 more\)") as told:
        run_guard(*relabelled, home, tmp_path / "out")
    assert "--set accept_runs=06,07" in str(told.value)
    assert not (home / "provenance" / f"{'f' * 64}.json").exists()
    entry = audit_log.entries(Home(home))[-1]
    assert (entry["action"], entry["cause"]) == (audit_log.DECLINE, "new_data: a test")
    assert entry["why"].startswith("refuse_poisoned: Run 06 is labelled unworn")
    assert champion_state(home) == champion
    page = home / "refused" / ("f" * 12) / "guard.html"
    assert str(page) in str(told.value)
    assert "No, <code>refuse_poisoned</code>" in page.read_text()
    assert (page.parent / "guard.png").stat().st_size > 10_000


def test_accepted_labels_pass_and_leave_an_entry(
    home: Path, relabelled: tuple[Path, Path], tmp_path: Path
) -> None:
    assert run_guard(*relabelled, home, tmp_path / "out", accept_runs="06, 07") == 2
    entry = audit_log.entries(Home(home))[-1]
    assert entry["action"] == audit_log.ACCEPT
    assert "accept_runs=06, 07: Run 06 is labelled unworn" in entry["why"]
    assert "accepted by a person" in (tmp_path / "out" / "guard.html").read_text()
    kept = jsonfile.read(home / "provenance" / f"{'f' * 64}.json")
    assert {run["run_id"]: run["label"] for run in kept["runs"]}["06"] == 0


def test_new_runs_teach_once_a_person_has_vouched(
    home: Path, telemetry: Path, features: Path, real_data: Path, tmp_path: Path
) -> None:
    """The champion is told to know all but two runs; the command line vouches for one of them."""
    (kept,) = (home / "provenance").glob("*.json")
    value = jsonfile.read(kept)
    jsonfile.write(kept, {**value, "runs": value["runs"][:16]})
    with pytest.raises(ToolwearError, match="Run 17 is new, and nobody has vouched") as told:
        run_guard(telemetry, features, home, tmp_path / "out")
    assert "toolwear vouch 17 18 --data FOLDER --why" in str(told.value)

    def vouch(run: str, why: str) -> subprocess.CompletedProcess[str]:
        options = [f"--data={real_data}", f"--home={home}", f"--why={why}"]
        return subprocess.run(
            [sys.executable, "-m", "toolwear.cli", "vouch", run, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    done = vouch("17", "measured the flank")
    assert done.returncode == 0, done.stderr
    entry = audit_log.entries(Home(home))[-1]
    assert (entry["action"], entry["why"]) == ("vouch", "measured the flank: runs 17 (unworn)")
    refused = vouch("19", "never seen")
    assert (refused.returncode, "Run 19 is not in" in refused.stderr) == (2, True)
    assert "Traceback" not in refused.stderr
    with pytest.raises(ToolwearError, match=r"^refuse_poisoned: Run 18 is new"):
        run_guard(telemetry, features, home, tmp_path / "out2")
    # Let in by a run's setting: remembered too, so that the next run needs nobody.
    run_guard(telemetry, features, home, tmp_path / "out3", accept_runs="18")
    jsonfile.write(kept, {**value, "runs": value["runs"][:16]})
    run_guard(telemetry, features, home, tmp_path / "out4")


def test_accepting_a_run_that_is_not_there_is_a_sentence(
    telemetry: Path, features: Path, tmp_path: Path
) -> None:
    with pytest.raises(ToolwearError, match="accept_runs names run 6, which is not in the data"):
        run_guard(telemetry, features, tmp_path / "home", tmp_path / "out", accept_runs="6")


def test_what_is_not_known_of_the_champion_is_told(
    home: Path, telemetry: Path, features: Path, tmp_path: Path
) -> None:
    (kept,) = (home / "provenance").glob("*.json")
    value = jsonfile.read(kept)
    jsonfile.write(kept, {**value, "source": "simulator"})
    run_guard(telemetry, features, home, tmp_path / "a")
    says = jsonfile.read(tmp_path / "a" / "guard.json")["provenance"]
    assert says == "The champion learnt from simulated runs, which vouch for no label."
    kept.unlink()
    run_guard(telemetry, features, home, tmp_path / "b")
    says = jsonfile.read(tmp_path / "b" / "guard.json")["provenance"]
    assert says.startswith("Nothing is kept of the data of champion version 1")
