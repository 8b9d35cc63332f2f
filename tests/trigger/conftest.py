"""A trigger over an empty home, ended with everything that it has started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.trigger.service import Service


@pytest.fixture
def service_of(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(
        *options: str, run_command: str | None = None, settings: tuple[str, ...] | None = None
    ) -> Service:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        service = Service(home, options)
        if run_command is not None:
            service.run_command = run_command
        if settings is not None:
            service.settings = settings
        made.append(service)
        service.start()
        return service

    yield make
    for service in made:
        if service.process is not None and service.process.poll() is None:
            assert service.stop() == 0, service.log.read_text()
        assert "Traceback" not in service.log.read_text()
    end_runs_of(tmp_path)


def end_runs_of(folder: Path) -> None:
    """Kill what works in a folder: runs outlive their trigger."""
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(str(folder) in part for part in process.info["cmdline"] or []):
                process.kill()
