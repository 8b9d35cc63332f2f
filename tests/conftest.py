"""What the tests share: the real recordings and what the first steps make of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.api_server import NOT_RUN, ApiServer, served
from tools.parity.budget import BUDGET
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import TRACKING_VARIABLE

_BESIDE = ROOT.parent / "shared" / "cnc-mill"
_AUTOML_PYTHON = ROOT / ".venv-automl" / "bin" / "python"


def pytest_configure(config: pytest.Config) -> None:
    """Set what every process under test inherits."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # The key that seals, and what it has sealed: not those of whoever runs the tests.
        state = tempfile.TemporaryDirectory(prefix="toolwear-state-")
        os.environ["XDG_STATE_HOME"] = state.name
        config.add_cleanup(state.cleanup)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.pop(TRACKING_VARIABLE, None)
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("AUTOML_PYTHON", str(_AUTOML_PYTHON))
    os.environ["PYTHONPATH"] = str(ROOT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what needs the API server, which CI builds meanwhile."""
    items.sort(key=lambda item: "api_server" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not run that CI is to run where it can, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    whys = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for why, count in whys.items():
        if why.startswith(NOT_RUN):
            terminalreporter.write_line(f"{count} tests {why}")


@pytest.fixture(autouse=True)
def _forgotten_server() -> Iterator[None]:
    """Forget a test's MLflow server: MLflow keeps its address in the environment."""
    yield
    os.environ.pop(TRACKING_VARIABLE, None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real recordings."""
    folder = Path(os.environ.get("TOOLWEAR_DATA") or _BESIDE)
    if not (folder / "train.csv").exists():
        pytest.skip("the real recordings are not here: set TOOLWEAR_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def telemetry(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the ingest step makes of the real recordings."""
    from components.ingest.step import ingest

    return _made_once(
        tmp_path_factory,
        "telemetry",
        lambda output: ingest(
            data=str(real_data), data_digest="", allow_simulator=False, output=output
        ),
    )


@pytest.fixture(scope="session")
def features(telemetry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the features step makes of the real recordings, with the default settings."""
    from components.features.step import features
    from toolwear.run.config import RunParameters

    defaults = RunParameters()
    return _made_once(
        tmp_path_factory,
        "features",
        lambda output: features(
            telemetry=telemetry,
            restore_order=defaults.restore_order,
            window=defaults.window,
            stride=defaults.stride,
            output=output,
        ),
    )


# CI holds this run against the one in the images, which has the same budget.
SMALL = BUDGET


def run_command(data: Path, home: Path, **settings: object) -> list[str]:
    """Return the call of the command line that runs the whole graph with small budgets."""
    chosen = [f"--set={key}={value}" for key, value in (SMALL | settings).items()]
    base = [sys.executable, "-m", "toolwear.cli", "run", "--fast"]
    return [*base, f"--data={data}", f"--home={home}", *chosen]


def train(data: Path, home: Path, **settings: object) -> Path:
    """Run the whole graph in a process of its own, as `run_command` says; return the home."""
    done = subprocess.run(
        run_command(data, home, **settings),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture(scope="session")
def trained_home(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a champion that the whole graph has trained; copy it to change it."""
    return _made_once(tmp_path_factory, "trained-home", partial(train, real_data))


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Make a folder once for all worker processes of a test session."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a registry without models, which MLflow needs seconds to lay out."""
    from toolwear.release.registry import CHAMPION, Registry
    from toolwear.workspace.home import Home

    home = Home.at(tmp_path_factory.mktemp("registry"))
    assert Registry(home, "", "toolwear").at(CHAMPION) is None
    return home.root / "mlflow.db"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Return a real Kubernetes API server with the definitions that our manifests need."""
    with served(tmp_path_factory.mktemp("api-server")) as found:
        yield found
