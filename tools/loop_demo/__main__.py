"""The whole loop, live: `make loop-demo DATA=path/to/recordings SCENARIO=tool_lower`.

`toolwear serve`, Prometheus and Alertmanager at work on loopback; recorded runs as traffic; a real
shift, and what becomes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from components.guard import provenance
from tools.loop_demo import deliver, parts
from tools.loop_demo.eyes import Eyes
from tools.loop_demo.plans import PLANS
from tools.loop_demo.story import MissingStepError, Story
from tools.loop_demo.timeline import EVENTS, Timeline
from tools.loop_demo.traffic import Traffic
from tools.replay.recordings import read
from tools.replay.scenarios import SCENARIOS
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.release.registry_state import MODEL_NAME
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

ADDRESSES = "addresses.json"
DEFAULT = "other_feed"
_INTERRUPTED = 130
_CANCEL_SECONDS = 60.0
_WHY = "the labels are those of the recordings (loop-demo)"


def main(given: Sequence[str] | None = None) -> int:
    """Go through the loop once; return the exit code."""
    options = _parser().parse_args(given)
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        parts.check_programs()
        folder = _emptied(options.output / options.scenario)
        return _demonstrate(options, folder)
    except MissingStepError as error:
        print(f"loop_demo: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except ToolwearError as error:
        print(f"loop_demo: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("loop_demo: stopped", file=sys.stderr)
        return _INTERRUPTED


def _demonstrate(options: argparse.Namespace, folder: Path) -> int:
    plan = PLANS[options.scenario]
    data = Path(options.data).resolve()
    recordings = {item.run_id: item for item in read(data)}
    missing = {*plan.taught, *plan.healthy, *plan.shifted} - recordings.keys()
    if missing:
        raise ToolwearError(f"{data} has no run {min(missing)}; give the 18 recorded runs.")
    home, learnt = folder / "home", folder / "recordings"
    deliver.begin(data, learnt, plan.taught)
    timeline = Timeline(folder, _tell)
    settings = [f"{key}={value}" for key, value in parts.BUDGETS.items()]
    settings += ["rollout=canary", *options.set]
    if options.home is not None:
        _check_taught(options.home, plan.taught or tuple(recordings))
        shutil.copytree(options.home, home, symlinks=True)
    else:
        parts.train(home, learnt, folder / "train.log", settings, timeline.progress)
    with parts.running(home, learnt, folder, settings, timeline.progress) as running:
        (folder / ADDRESSES).write_text(json.dumps(running.addresses(), indent=2) + "\n")
        token = Tokens(Home.at(home)).own(Scope.LABEL)
        eyes, traffic = Eyes(running), Traffic(running.of("front"), token)

        def vouch(runs: Sequence[str]) -> None:
            parts.command(home, "vouch", *runs, f"--data={learnt}", f"--why={_WHY}")

        story = Story(
            plan, eyes, traffic, timeline, data, learnt, recordings, vouch, options.patience
        )
        try:
            story.tell()
        finally:
            traffic.stop()
            _cancel(eyes, running)
            eyes.close()
            title = SCENARIOS[options.scenario].title
            picture = timeline.draw(title, traffic.shares())
            _tell(f"\ntimeline: {folder / EVENTS}, picture: {picture}")
    return 0


def _cancel(eyes: Eyes, running: parts.Parts) -> None:
    """End a run that is at work: it would outlive the trigger, as it should elsewhere."""

    def at_work() -> list[str]:
        return [run["id"] for run in eyes.runs() if run["attempts"] and not eyes.ended(run)]

    for cause in at_work():
        _tell(f"ending the run of cause {cause}")
        options = [f"--url={running.of('trigger')}", "--why=the demonstration has ended"]
        try:
            parts.command(running.home.root, "cancel", cause, *options)
        except ToolwearError:
            if cause in at_work():  # else it has ended by itself meanwhile
                raise
    deadline = time.monotonic() + _CANCEL_SECONDS
    while at_work() and time.monotonic() < deadline:
        time.sleep(0.5)


def _check_taught(home: Path, runs: Sequence[str]) -> None:
    there = Home.at(home)
    known = provenance.of_champion(there, "", MODEL_NAME).runs if there.has_registry() else ()
    if {run.run_id for run in known or ()} != set(runs):
        raise ToolwearError(
            f"The champion of {home} was not trained on runs {runs[0]} to {runs[-1]}, with which "
            "the scenario begins; leave out --home."
        )


def _emptied(folder: Path) -> Path:
    """Return a new folder; one of an earlier demonstration is removed, another one is not."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "recordings").is_dir():
            raise ToolwearError(f"{folder} holds something else; give another --output.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder.resolve()


def _tell(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools.loop_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given = os.environ.get("TOOLWEAR_DATA")
    parser.add_argument("--data", default=given, required=not given, help="the 18 recorded runs")
    parser.add_argument(
        "--scenario",
        choices=PLANS,
        default=DEFAULT,
        help="; ".join(f"{name}: {SCENARIOS[name].title}" for name in PLANS),
    )
    parser.add_argument(
        "--output", type=Path, default=Path("build/loop-demo"), help="folder for what it leaves"
    )
    parser.add_argument(
        "--home", type=Path, help="begin with a copy of this home instead of training a champion"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the runs"
    )
    parser.add_argument(
        "--patience", type=float, default=1.0, help="factor on how long each step is waited for"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
