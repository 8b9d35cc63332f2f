"""Has a rollout's verdict carried out, and now and then what a killed run has left."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time

from toolwear.common.fingerprint import ROOT
from toolwear.common.person import NAME_VARIABLE
from toolwear.release import rollouts
from toolwear.workspace.home import Home

_MEND_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_WHO = "toolwear front"  # on the audit log: no person has decided
_log = logging.getLogger("toolwear.front")


class Settlement:
    """Starts `toolwear.release.settle`, one at a time.

    Args:
        home: the system's folder.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._next = 0.0
        self._last_mend = -_MEND_SECONDS

    async def go_on(self, decided: bool) -> bool:
        """Start it if it is needed; return whether one has ended.

        Args:
            decided: whether there is a verdict to carry out.
        """
        if self._process is not None:
            if self._process.returncode is None:
                return False
            if self._process.returncode != 0:
                _log.error("the verdict could not be carried out; it is tried again")
                self._next = time.monotonic() + _RETRY_SECONDS
            self._process = None
            return True
        now = time.monotonic()
        if not decided and now - self._last_mend > _MEND_SECONDS:
            self._last_mend = now
            decided = await asyncio.to_thread(rollouts.unsettled, self._home)
        if decided and now >= self._next:
            # A process of its own: the registry's client takes seconds to load.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "toolwear.release.settle",
                "--home",
                str(self._home.root),
                cwd=ROOT,
                env={**os.environ, NAME_VARIABLE: _WHO},
            )
        return False
