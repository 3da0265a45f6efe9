"""Integrals over a time in float64, for functions that are sums of exponentials ``exp(-rate t)``."""

from __future__ import annotations

import numpy as np

from specsim.support.arrays import Floats

#: Step of the trapezoidal rule in the logarithm of the time. Integrands are analytic in a strip of half width
#: pi / 2, so that the error is about exp(-pi^2 / step), here 1e-19 times their size in the strip.
_STEP = 0.22
#: Gauss points that stand for all early points.
_EARLY = 10


def time_points(fastest: float, latest: float) -> tuple[Floats, Floats]:
    """Return times and weights of the integral from 0 to about `latest`.

    The points of the trapezoidal rule before 1 / `fastest`, the largest rate of the integrand, are infinitely
    many (about 150 matter). The integrand is a polynomial of low degree there, so that the Gauss points of
    their weights give the same sum.

    Examples
    --------
    >>> times, weights = time_points(5.0, 45.0)
    >>> len(times), bool(abs(np.exp(-times) @ weights - 1) < 1e-14)
    (36, True)
    """
    first = 1 / fastest
    times = first * np.exp(_STEP * np.arange(max(0, int(np.log(latest * fastest) / _STEP)) + 2))
    weights = np.concatenate([first * _EARLY_WEIGHTS, _STEP * times])
    return np.concatenate([first * _EARLY_TIMES, times]), weights


def _gauss(points: int) -> tuple[Floats, Floats]:
    """Return the Gauss points of weights ``step q^j`` at the times ``q^j``, j >= 1, with ``q = exp(-step)``.

    Their orthogonal polynomials are the little q-Legendre ones, whose recurrence is known.
    """
    q, n = np.exp(-_STEP), np.arange(points)
    up = q**n * (1 - q ** (n + 1)) ** 2 / ((1 - q ** (2 * n + 1)) * (1 - q ** (2 * n + 2)))
    down = q ** n[1:] * (1 - q ** n[1:]) ** 2 / ((1 - q ** (2 * n[1:])) * (1 - q ** (2 * n[1:] + 1)))
    beside = np.diag(np.sqrt(up[:-1] * down), 1)
    matrix = np.diag(up + np.append(0.0, down)) + beside + beside.T
    places, vectors = np.linalg.eigh(matrix)
    return q * places, _STEP * q / (1 - q) * vectors[0] ** 2


_EARLY_TIMES, _EARLY_WEIGHTS = _gauss(_EARLY)
