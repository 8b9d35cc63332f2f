"""Ports for the servers that tests and demonstrations start."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable, Iterator
from functools import cache

_HOST = "127.0.0.1"
# Below what systems give to outgoing connections (Linux: from 32768): a port found free there may
# be the near end of someone's connection a moment later, and a server could not listen at it.
_FIRST, _LAST = 10_000, 32_000
_WORKERS = 8  # of pytest that run beside each other, each with ports of its own


def free_port() -> int:
    """Return a port of the loopback that is free, and that this process has not returned before."""
    return free_ports([0])


def free_ports(shifts: Iterable[int]) -> int:
    """Return a port such that it and the ports that are `shifts` behind it are free.

    Raises:
        AssertionError: there are none.
    """
    behind = sorted({0, *shifts})
    for _ in range(_LAST - _FIRST):
        port = next(_numbers())
        if all(is_free(port + shift) for shift in behind):
            for _ in range(behind[-1]):
                next(_numbers())
            return port
    raise AssertionError("No such ports are free; end some servers.")


def is_free(port: int) -> bool:
    """Tell whether a server could listen at a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


@cache
def _numbers() -> Iterator[int]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    size = (_LAST - _FIRST) // _WORKERS
    first = _FIRST + int(worker) % _WORKERS * size

    def endless() -> Iterator[int]:
        at = random.randrange(size)
        while True:
            yield first + at % size
            at += 1

    return endless()
