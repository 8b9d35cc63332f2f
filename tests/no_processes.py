"""The plugin behind `make test-fast`: leaves out what starts a process, and lets nothing else."""

from __future__ import annotations

import os
import sys

import pytest

_STARTS = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.spawn", "os.system"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of `make test-fast`."""
    parser.addoption(
        "--no-processes",
        action="store_true",
        help="leave out what is marked `process`, and let no other test start one",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that start processes, if asked to."""
    if config.getoption("--no-processes"):
        left_out = [item for item in items if item.get_closest_marker("process")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _refuse_processes(event: str, _arguments: tuple[object, ...]) -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if test and event in _STARTS:
        raise RuntimeError(f"{test} starts a process ({event}) and lacks the mark `process`")


def pytest_configure(config: pytest.Config) -> None:
    """Watch over the tests that are left."""
    if config.getoption("--no-processes"):
        sys.addaudithook(_refuse_processes)
