"""Which detector sees what, how late, and how often each is wrong: `make drift-table`.

Everything is counted on the real recordings. The rows of the runs go through the service's own
feature function, a forest, and the monitor; nothing is drawn at random but the forest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from components.features.step import features
from components.ingest.step import ingest
from serving.monitor.judge import Judge
from serving.monitor.packages import judge as judge_of
from serving.monitor.state import State
from serving.monitor.watch import Watch
from tools.bench_drift import figures, pages
from tools.bench_drift.figures import Cell, Null
from tools.bench_drift.offline import Offline, trained
from tools.replay.recordings import Recording, read
from tools.replay.scenarios import EARLIER_RUNS, HEALTHY, LATER_RUNS, SCENARIOS, Scenario
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.thresholds import thresholds
from toolwear.model.package import Package, load_package
from toolwear.release import champion
from toolwear.run.config import RunParameters
from toolwear.workspace.home import Home

_APART = 1000  # requests between two runs, for their numbers


def main(given: Sequence[str] | None = None) -> int:
    """Make the tables; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools.bench_drift", description=__doc__)
    given_data = os.environ.get("TOOLWEAR_DATA")
    parser.add_argument("--data", default=given_data, required=not given_data, help="recordings")
    parser.add_argument("--output", type=Path, help="page whose tables are replaced")
    parser.add_argument("--home", type=Path, help="measure its champion instead of forests of ours")
    options = parser.parse_args(given)
    try:
        recordings = read(Path(options.data))
        package = None if options.home is None else champion_of(options.home)
    except ToolwearError as error:
        print(f"bench_drift: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            tables, marks = measured(options.data, recordings, Path(folder)), pages.FORESTS
        else:
            tables, marks = measured_champion(package, recordings, Path(folder)), pages.CHAMPION
    print(tables)
    if options.output:
        pages.replace_tables(options.output, tables, marks)
    return 0


def champion_of(home: Path) -> Package:
    """Return the package of a home's champion.

    Raises:
        ToolwearError: there is none, or it is broken.
    """
    found = champion.read(home)
    if found is None:
        raise ToolwearError(f"{home} has no champion; give the home of a run that promoted one.")
    return load_package(Home(home).packages / found.package_digest)


def measured_champion(package: Package, recordings: list[Recording], scratch: Path) -> str:
    """Return the tables of a champion that was trained on all these recordings, as Markdown."""
    bench = Bench(recordings, scratch, package)
    # Those with runs of their own are about another model.
    chosen = {name: one for name, one in SCENARIOS.items() if not one.runs}
    cells = {name: bench.scenario(scenario) for name, scenario in chosen.items()}
    return pages.champion_tables(cells, bench.known_runs())


def measured(data: str, recordings: list[Recording], scratch: Path) -> str:
    """Return the tables as Markdown."""
    defaults = RunParameters()
    ingest(data=data, data_digest="", allow_simulator=False, output=scratch / "telemetry")
    features(
        telemetry=scratch / "telemetry",
        restore_order=defaults.restore_order,
        window=defaults.window,
        stride=defaults.stride,
        output=scratch / "features",
    )
    bench = Bench(recordings, scratch)
    cells = {name: bench.scenario(scenario) for name, scenario in SCENARIOS.items()}
    # The slowest: only its runs are long enough for several windows each.
    slow = min(item.feedrate for item in recordings)
    faster = tuple(item.run_id for item in recordings if item.feedrate > slow)
    slowest = tuple(item.run_id for item in recordings if item.feedrate == slow)
    cells[pages.REAL_FEEDS] = bench.served(SCENARIOS[HEALTHY], faster, slowest)
    return pages.tables(cells, bench.known_runs(), bench.left_out())


class Bench:
    """Serves recordings by models of some of them.

    Args:
        recordings: all runs.
        scratch: folder with the features.
        package: of a model of all runs; None: a forest is trained.
    """

    def __init__(
        self, recordings: list[Recording], scratch: Path, package: Package | None = None
    ) -> None:
        self._recordings = {item.run_id: item for item in recordings}
        self._scratch = scratch
        self._made: dict[tuple[str, ...], tuple[Offline, Judge]] = {}
        if package is not None:
            self._made[tuple(self._recordings)] = _asked(package)

    def scenario(self, scenario: Scenario) -> Cell:
        """Return what each detector says of a scenario over all runs that it is about."""
        taught = EARLIER_RUNS if scenario.runs == LATER_RUNS else tuple(self._recordings)
        return self.served(scenario, taught, scenario.runs or tuple(self._recordings))

    def served(self, scenario: Scenario, taught: tuple[str, ...], runs: Collection[str]) -> Cell:
        """Return what each detector says when a model of some runs serves others.

        A fault begins with a run and lasts to its end, so each run is a try by itself: the
        monitor starts anew with it, and the delay is counted in its windows.
        """
        tell(f"{scenario.title}: {len(runs)} runs")
        states = {}
        for run in runs:
            if scenario.name == "tool_lower" and not self._recordings[run].worn:
                continue
            states[run] = self._state(scenario, taught, run)
        return figures.cell(states)

    def known_runs(self) -> Null:
        """Return the alarms of healthy windows of runs that the model was trained on."""
        tell("false alarms on runs that the model knows")
        healthy = SCENARIOS[HEALTHY]
        runs = tuple(self._recordings)
        return figures.null({run: self._state(healthy, runs, run) for run in runs})

    def left_out(self) -> Null:
        """Return the alarms of healthy windows of runs that neither model nor reference has."""
        states = {}
        for run in self._recordings:
            tell(f"false alarms on a new run: {run}")
            others = tuple(name for name in self._recordings if name != run)
            states[run] = self._state(SCENARIOS[HEALTHY], others, run)
        return figures.null(states)

    def _state(self, scenario: Scenario, taught: tuple[str, ...], run: str) -> State:
        offline, judge = self._model(taught)
        state = State()
        watch = Watch(state, lambda _digest: judge, thresholds().monitor)
        recording = self._recordings[run]
        frame = offline.frame(scenario.change(recording), _APART * int(run))
        for _ in watch.rows(frame):
            pass
        for _ in watch.labels(frame.assign(worn=scenario.label(recording))):
            pass
        return state

    def _model(self, taught: tuple[str, ...]) -> tuple[Offline, Judge]:
        if taught not in self._made:
            made = trained(self._scratch / "packages", self._scratch / "features", taught)
            self._made[taught] = _asked(made)
        return self._made[taught]


def _asked(package: Package) -> tuple[Offline, Judge]:
    return Offline(package), judge_of(package, thresholds().monitor)


def tell(text: str) -> None:
    """Tell the progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
