"""Runs one command at most once, and leaves in a folder how it ended.

`python -m serving.trigger.launch FOLDER COMMAND...` outlives the service that started it. The
kernel holds the lock for as long as this process or its command lives, so that a service that
was started again sees by the folder alone what became of the run:

    no claim                 never started: it may be started
    claim, lock held         at work
    claim, exit record       ended with that code
    claim, lock free, none   killed
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from toolwear.common import jsonfile
from toolwear.common.lock import is_held
from toolwear.common.processes import end_with_parent

_LOCK, _CLAIM, _EXIT, LOG = "lock", "claim.json", "exit.json", "log.txt"
_END_SECONDS = 20  # that a command that is cancelled has to end in order
_TRIES, _TRY_SECONDS = 20, 0.05


@dataclass(frozen=True)
class Seen:
    """What a folder tells.

    Attributes:
        claimed: whether the command was started, ever.
        at_work: whether it, or who watches it, is alive.
        code: its exit code once it has ended; negative: the signal that killed it.
    """

    claimed: bool
    at_work: bool
    code: int | None


def look(folder: Path) -> Seen:
    """Return what became of the command of a folder."""
    # In this order: whoever claims holds the lock, and leaves its record before it lets go.
    claimed = (folder / _CLAIM).exists()
    at_work = is_held(folder / _LOCK)
    try:
        code = int(jsonfile.read(folder / _EXIT)["code"])
    except FileNotFoundError:
        code = None
    return Seen(claimed, at_work, code)


def cancel(folder: Path) -> None:
    """Tell whoever runs the command of a folder, if anybody does, to end it."""
    if not is_held(folder / _LOCK) or not (folder / _CLAIM).exists():
        return
    pid = int(jsonfile.read(folder / _CLAIM)["pid"])
    try:
        told = psutil.Process(pid).cmdline()
    except psutil.Error:  # it was killed, and its command ends by itself
        return
    if str(folder) in told:  # else the number is another process's by now
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def main(folder: Path, command: list[str]) -> int:
    """Run the command unless it was run before; return 0."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(lock) or (folder / _CLAIM).exists():
        return 0  # another one of us is at it, or was
    _write(folder / _CLAIM, {"pid": os.getpid(), "at": time.time()})
    with (folder / LOG).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
            pass_fds=(lock,),  # locked while either of us lives
            preexec_fn=end_with_parent,
        )
    signal.signal(signal.SIGTERM, lambda *_: _end(child.pid))
    # Not reaped yet, so that its number is still the group's: no straggler may go on unwatched.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    _write(folder / _EXIT, {"code": child.wait(), "at": time.time()})
    return 0


def _end(pid: int) -> None:
    """End the command in order; if it does not, the clock kills it and all of its group.

    By its number, as `Popen` would reap it: until that is done the number is its own.
    """
    os.kill(pid, signal.SIGTERM)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.alarm(_END_SECONDS)


def _locked(descriptor: int) -> bool:
    """Take the lock, waiting only for someone who looks."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        else:
            return True
    return False


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write a file that is whole and on the disk once it is there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
