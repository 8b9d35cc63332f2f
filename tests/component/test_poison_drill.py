"""The drill in a small form: what gets past the gate, and that nothing gets past the guard."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tools.bench_poison.__main__ import arguments
from tools.bench_poison.attacks import NEW_RUNS, NONE, RANDOM, TARGETED, WHOLE_RUNS, flipped
from tools.bench_poison.cells import drill
from tools.bench_poison.drill import Attempt
from tools.bench_poison.figures import draw, got_past, table
from toolwear.dataset import schema
from toolwear.features import dataset
from toolwear.release.decisions import Outcome


@pytest.fixture(scope="module")
def done(telemetry: Path, features: Path) -> list[Attempt]:
    told: list[str] = []
    found = drill(telemetry, features, [RANDOM, WHOLE_RUNS, NEW_RUNS], [0.1], 1, 1, told.append)
    assert len(told) == len(found) == 4
    return found


@pytest.fixture(scope="module")
def attempts(done: list[Attempt]) -> dict[tuple[str, float], Attempt]:
    return {(item.attack, item.share): item for item in done}


def test_without_the_guard_whole_runs_get_a_worse_model_promoted(
    attempts: dict[tuple[str, float], Attempt],
) -> None:
    for attack in (WHOLE_RUNS, NEW_RUNS):
        item = attempts[attack, 0.1]
        assert (item.promoted, item.worse) == (True, True)
        assert item.interval[0] < item.clean_difference < item.interval[1]
    assert attempts[WHOLE_RUNS, 0.1].clean_difference < -0.08


def test_without_the_guard_flipped_rows_stop_at_the_gate(
    attempts: dict[tuple[str, float], Attempt],
) -> None:
    assert attempts[RANDOM, 0.1].outcome == Outcome.REFUSE_THRESHOLD


def test_the_guard_finds_what_it_promises_to(
    attempts: dict[tuple[str, float], Attempt],
) -> None:
    found = {key: item.found for key, item in attempts.items()}
    assert found == {
        (NONE, 0.0): (),
        (RANDOM, 0.1): ("label_disagreement", "mixed_labels"),
        (WHOLE_RUNS, 0.1): ("label_changed",),
        (NEW_RUNS, 0.1): ("nobody_vouches",),
    }
    for item in attempts.values():
        assert (item.with_guard == Outcome.REFUSE_POISONED) == bool(item.found)
        assert (item.with_guard == Outcome.REFUSE_POISONED) == (item.attack != NONE)
        trusting = item.attack in (NONE, NEW_RUNS)
        assert (item.without_vouching == Outcome.REFUSE_POISONED) != trusting


def test_what_got_past_is_counted_told_and_drawn(done: list[Attempt], tmp_path: Path) -> None:
    assert got_past(done) == []
    let_in = [dataclasses.replace(item, with_guard=item.outcome) for item in done]
    assert [item.attack for item in got_past(let_in)] == [WHOLE_RUNS, NEW_RUNS]
    lines = table(done).splitlines()
    assert len(lines) == 2 + len(done)
    assert "| 1 of 1 (21%-100%) | 1 | promote_newer |" in lines[-1]
    draw(tmp_path / "plot.png", done)
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_attacks_flip_what_they_say(features: Path) -> None:
    samples = dataset.load(features, schema.PUBLISHED)
    assert flipped(samples, RANDOM, 0.2, 0).mean() == pytest.approx(0.2, abs=1e-4)
    targeted = flipped(samples, TARGETED, 0.2, 0)
    assert (samples.y[targeted] == 1).all()
    assert targeted.sum() == pytest.approx(0.2 * (samples.y == 1).sum(), abs=1)
    whole = flipped(samples, WHOLE_RUNS, 0.2, 0)
    assert 0.2 <= whole.mean() < 0.35
    assert not set(samples.run[whole]) & set(samples.run[~whole])
    assert np.array_equal(whole, flipped(samples, WHOLE_RUNS, 0.2, 0))


def test_a_share_that_cannot_be_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["--data", "x", "--shares", "1.5"])
    assert ended.value.code == 2
    assert "shares above 0 and below 1" in capsys.readouterr().err
