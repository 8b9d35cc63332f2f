"""What pages have computed, kept for the next who asks, up to so many bytes."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import pandas as pd

KEPT_BYTES = 64 << 20
_T = TypeVar("_T")


class Kept:
    """The values last used by what they were made of; those who ask at once share one.

    Args:
        most_bytes: of all values; those unused for longest go.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._under_way: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the value of `key`, made if it is not kept.

        Args:
            key: of things that there are: whoever asks must not be able to make up others.
            make: makes it; what it raises goes to all who wait for it.
        """
        value: _T
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                value, _ = self._values[key]
                return value
            others = self._under_way.get(key)
            if others is None:
                made = self._under_way[key] = Future()
        if others is not None:
            value = others.result()
            return value
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            made.set_exception(error)
            raise
        with self._lock:
            self._keep(key, value)
            del self._under_way[key]
        made.set_result(value)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        size = _size(value)
        self._values[key] = (value, size)
        self.bytes += size
        while self.bytes > self._most:
            _, (_, gone) = self._values.popitem(last=False)
            self.bytes -= gone


def _size(value: Any) -> int:
    """Return about how many bytes a value takes."""
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=True).sum())
    if isinstance(value, np.ndarray):
        return value.nbytes
    own = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return own + sum(_size(key) + _size(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return own + sum(map(_size, value))
    return own + (_size(vars(value)) if hasattr(value, "__dict__") else 0)
