"""The scripts of the backup's CronJobs, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT

SCRIPTS = ROOT / "manifests" / "backup" / "scripts"


@dataclass
class Copies:
    """A volume for copies, and how a script is called with it."""

    folder: Path
    keep: int = 7
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self, part: str, *words: str, code: int = 0, given: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable] if part == "objects" else ["sh"]
        script = SCRIPTS / f"{part}.{'py' if part == 'objects' else 'sh'}"
        python = Path(sys.executable).parent
        environment = {
            "PATH": f"{python}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BACKUPS": str(self.folder),
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
            "KEEP": str(self.keep),
            **self.environment,
            **(given or {}),
        }
        done = subprocess.run(
            [*command, str(script), *words],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def backup(self, part: str, given: Mapping[str, str] | None = None) -> str:
        """Make a copy and return its stamp."""
        before = self.stamps(part)
        # Two of one second would have one name.
        while True:
            self.run(part, "backup", given=given)
            news = [stamp for stamp in self.stamps(part) if stamp not in before]
            if news:
                return news[0]

    def stamps(self, part: str) -> list[str]:
        return self.run(part, "list").stdout.split()


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path / "backups")
