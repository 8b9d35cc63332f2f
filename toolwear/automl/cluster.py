"""A Dask cluster that tries models beside each other on several machines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from distributed import Client

from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report

_CONNECT: Callable[..., Any] = Client
_PATIENCE = 10  # seconds for the scheduler to answer


@dataclass(frozen=True)
class Workers:
    """The workers of a scheduler that answers.

    Attributes:
        client: connected to it.
        count: evaluations that they run at a time: one a worker, since each is a process with
            limits of its own.
    """

    client: Any
    count: int


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Workers | None]:
    """Connect to the scheduler at `address`, and close the connection at the end.

    Yields None if there is no address. The workers must run without a nanny: what Dask starts as
    a daemon may have no children, and every evaluation is one.

    Raises:
        ToolwearError: no scheduler answers, or it has no workers.
    """
    if not address:
        yield None
        return
    try:
        client = _CONNECT(address, timeout=_PATIENCE)  # the default one: SMAC asks for it
    except (OSError, TimeoutError, ValueError) as error:
        raise ToolwearError(
            f"No Dask scheduler answers at {address} ({error}); start it, or leave search_dask "
            "empty."
        ) from None
    with client:
        count = len(client.scheduler_info()["workers"])
        if not count:
            raise ToolwearError(
                f"The Dask scheduler at {address} has no workers; start some: "
                "dask worker --no-nanny --nthreads 1 ADDRESS."
            )
        report(f"main search: on {count} Dask worker(s) of {address}")
        yield Workers(client, count)
