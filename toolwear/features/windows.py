"""Statistics over trailing windows: O(n log w), and the same bits wherever a window stands.

A window's value is built by joining windows of half the length, always in the same tree of
element-wise operations. A value therefore depends on its own rows alone, which pandas' running
sums do not grant, and serving finds bit for bit what training has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

State = tuple[np.ndarray, ...]
Join = Callable[[State, int, State, int], State]


def trailing_mean(x: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of each window, shape (signals, n - window + 1).

    Args:
        x: signals over time, shape (signals, n), n >= window.
        window: rows, at least 2.
    """
    return _over_windows((x, np.zeros_like(x)), _join_moments, window)[0]


def trailing_std(x: np.ndarray, window: int) -> np.ndarray:
    """Return the sample standard deviation of each window, shape (signals, n - window + 1).

    Pairwise updates of mean and squared deviations after Chan, Golub and LeVeque (1983).

    Args:
        x: signals over time, shape (signals, n), n >= window.
        window: rows, at least 2.
    """
    squares = _over_windows((x, np.zeros_like(x)), _join_moments, window)[1]
    return np.sqrt(squares / (window - 1))


def trailing_mean_difference(x: np.ndarray, adjacent: np.ndarray, window: int) -> np.ndarray:
    """Return the mean absolute difference of adjacent rows within each window.

    Args:
        x: signals over time, shape (signals, n), n >= window.
        adjacent: shape (n,), whether a row was recorded right after the row before it.
        window: rows, at least 2; it holds window - 1 differences.

    Returns:
        Shape (signals, n - window + 1); NaN where a window holds no adjacent rows.
    """
    follows = adjacent[1:].astype(np.float64)
    differences = np.abs(np.diff(x, axis=1)) * follows
    total = _over_windows((differences,), _join_sums, window - 1)[0]
    count = _over_windows((follows,), _join_sums, window - 1)[0]
    return total / np.where(count > 0, count, np.nan)


def trailing_alias_amplitude(x: np.ndarray, window: int, period: int) -> np.ndarray:
    """Return the amplitude of the component with this period in each window.

    One bin of the discrete Fourier transform of the window less its mean; a pure sine of that
    period gives its amplitude when the window is a multiple of the period.

    Args:
        x: signals over time, shape (signals, n), n >= window.
        window: rows, at least 2.
        period: rows.
    """

    def join(left: State, n: int, right: State, _: int) -> State:
        # Real arithmetic only: complex products may be fused in one place and not in another.
        real, next_real = _pair(left[0], n, right[0])
        imaginary, next_imaginary = _pair(left[1], n, right[1])
        cosine, sine = _turn(n, period)
        return (
            real + (next_real * cosine - next_imaginary * sine),
            imaginary + (next_real * sine + next_imaginary * cosine),
        )

    zero = np.zeros_like(x)
    real, imaginary = _over_windows((x, zero), join, window)
    mean = _over_windows((x, zero), _join_moments, window)[0]
    turns = [_turn(step, period) for step in range(window % period)]  # whole periods cancel
    real = real - mean * math.fsum(cosine for cosine, _ in turns)
    imaginary = imaginary - mean * math.fsum(sine for _, sine in turns)
    return np.sqrt(real * real + imaginary * imaginary) * (2 / window)


def _over_windows(rows: State, join: Join, window: int) -> State:
    """Return the state of every window of `window` rows, from the states of single rows."""
    block, block_length = rows, 1
    total, total_length = rows, 0
    while True:
        if window & block_length:
            total = join(total, total_length, block, block_length) if total_length else block
            total_length += block_length
        if total_length == window:
            return total
        block, block_length = join(block, block_length, block, block_length), 2 * block_length


def _pair(left: np.ndarray, length: int, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Align windows with the windows that follow them."""
    follow = right[..., length:]
    return left[..., : follow.shape[-1]], follow


def _join_sums(left: State, n: int, right: State, _: int) -> State:
    a, b = _pair(left[0], n, right[0])
    return (a + b,)


def _join_moments(left: State, n: int, right: State, m: int) -> State:
    mean, next_mean = _pair(left[0], n, right[0])
    squares, next_squares = _pair(left[1], n, right[1])
    delta = next_mean - mean
    return mean + delta * (m / (n + m)), squares + next_squares + delta * delta * (n * m / (n + m))


def _turn(rows: int, period: int) -> tuple[float, float]:
    angle = -2 * math.pi * (rows % period) / period
    return math.cos(angle), math.sin(angle)
