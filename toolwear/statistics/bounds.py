"""Confidence bounds of what is compared: of shares of requests, and of means over recordings.

Shares have Wilson's score interval (E. B. Wilson, Journal of the American Statistical Association
22, 1927) and Newcombe's of the difference of two (R. G. Newcombe, Statistics in Medicine 17, 1998,
method 10), with the effective number of requests instead of their number where requests of one
recording resemble each other (design effect of a cluster sample; N. Dean and M. Pagano, Journal of
Survey Statistics and Methodology 3, 2015).

Means over recordings are bounded by betting (I. Waudby-Smith and A. Ramdas, Journal of the Royal
Statistical Society B 86, 2024): a gambler who bets against "the mean is at least m" and whose
capital reaches 1 / alpha has refuted it. That holds for any number of recordings, for values in a
known range, and however often one looks, since the expected capital never grows if the claim is
true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, hypot, log, log1p, sqrt
from statistics import NormalDist

# What part of the largest stake that cannot ruin is put on each recording, and how much of the
# capital is bet so. Large stakes refute clear cases soonest, small ones the doubtful.
_STAKES = ((0.3, 0.2), (0.6, 0.3), (0.95, 0.5))
_HALVINGS = 20


def wilson(count: float, of: float, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Args:
        count: how many.
        of: of how many; above 0.
        z: quantile of the normal distribution.
    """
    share, spread = count / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(
    first: tuple[float, float], second: tuple[float, float], z: float
) -> tuple[float, float, float]:
    """Return the difference of two shares and Newcombe's interval of it.

    Args:
        first: how many of how many.
        second: is subtracted.
        z: quantile of the normal distribution.
    """
    (a, m), (b, n) = first, second
    p, q = a / m, b / n
    (p_low, p_high), (q_low, q_high) = wilson(a, m, z), wilson(b, n, z)
    return p - q, p - q - hypot(p - p_low, q_high - q), p - q + hypot(p_high - p, q - q_low)


def design_effect(clusters: Sequence[tuple[int, int]], level: float) -> float:
    """Return how many requests count as one; at least 1.

    The variance of the share between recordings, by that of as many independent requests; with
    Student's quantile instead of the normal one, since recordings are few.

    Args:
        clusters: of each recording, how many of how many requests.
        level: one-sided, of the bound that is made with it.
    """
    known = [(count, of) for count, of in clusters if of]
    total = sum(of for _, of in known)
    share = sum(count for count, _ in known) / total if total else 0.0
    if len(known) < 2 or not 0 < share < 1:
        return 1.0
    between = sum((count - share * of) ** 2 for count, of in known)
    variance = between / total**2 * len(known) / (len(known) - 1)
    wider = _student(level, len(known) - 1) / NormalDist().inv_cdf(level)
    return max(1.0, variance / (share * (1 - share) / total) * wider**2)


def _student(level: float, freedom: int) -> float:
    """Return the quantile of Student's distribution (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(level)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def mean_below(values: Sequence[float], least: float, alpha: float) -> float:
    """Return the upper bound of a mean: the least m such that "at least m" is refuted.

    Args:
        values: one of each recording, from `least` to 1.
        least: that a value can be.
        alpha: chance that the bound is ever wrong, however often it is looked at.
    """
    counts = Counter(values)
    low, high = least, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _capital(counts, middle) >= -log(alpha) else (middle, high)
    return high


def mean_above(values: Sequence[float], least: float, alpha: float) -> float:
    """Return the lower bound of a mean; arguments as of `mean_below`."""
    # The same bet on the values turned round within their range.
    turned = [least + 1 - value for value in values]
    return least + 1 - mean_below(turned, least, alpha)


def below(values: Sequence[float], mean: float, alpha: float) -> bool:
    """Tell whether "the mean is at least `mean`" is refuted: `mean_below` lies lower."""
    return _capital(Counter(values), mean) >= -log(alpha)


def above(values: Sequence[float], least: float, mean: float, alpha: float) -> bool:
    """Tell whether "the mean is at most `mean`" is refuted: `mean_above` lies higher."""
    return below([least + 1 - value for value in values], least + 1 - mean, alpha)


def enough(limit: float, alpha: float) -> int:
    """Return how many recordings without any fault show that the mean is below a limit."""
    number = 1
    while _capital(Counter({0.0: number}), limit) < -log(alpha):
        number += 1
    return number


def _capital(counts: Counter[float], mean: float) -> float:
    """Return the logarithm of the capital after betting against "at least `mean`", from 1.

    It grows with `mean`, and the order of the values does not matter.
    """
    grown = [
        log(part)
        + sum(count * log1p(stake * (mean - value) / (1 - mean)) for value, count in counts.items())
        for stake, part in _STAKES
    ]
    most = max(grown)
    return most + log(sum(exp(one - most) for one in grown))
