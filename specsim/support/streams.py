"""Reproducible numbers for random pairs: the same on every machine and with every release of numpy.

Only the raw words of PCG64, which numpy promises never to change, are used. Where a mathematical library
enters (logarithms), results are cut to 24 significant bits, so that its last-digit differences vanish.
"""

import numpy as np

from specsim.support.arrays import Floats, Integers


class Stream:
    """An endless sequence of uniform numbers named by a seed and a label.

    Every table of a random pair has its own stream, so that adding one never changes the others.

    seed: non-negative.
    label: any text; different labels give independent streams.
    """

    def __init__(self, seed: int, label: str) -> None:
        self._words = np.random.PCG64(np.random.SeedSequence([seed, *label.encode()]))

    def uniforms(self, *shape: int) -> Floats:
        """Return numbers strictly between 0 and 1, odd multiples of 2^-53, of the given shape."""
        raw = self._words.random_raw(int(np.prod(shape, dtype=np.int64)))
        values = (np.asarray(raw, dtype=np.uint64) >> np.uint64(12)).astype(np.float64)
        return ((values + 0.5) * 2.0**-52).reshape(shape)

    def below(self, limit: int, *shape: int) -> Integers:
        """Return whole numbers from 0 to `limit` - 1 of the given shape."""
        return (self.uniforms(*shape) * limit).astype(np.int64)

    def orders(self, *shape: int) -> Integers:
        """Return, along the last axis, uniformly random permutations."""
        return np.argsort(self.uniforms(*shape), axis=-1, kind="stable")

    def dirichlet(self, concentration: float, *shape: int) -> Floats:
        """Return rows, along the last axis, of a symmetric Dirichlet law, each with largest entry 1.

        The entries are to be divided by their sum. Gamma variates by Marsaglia and Tsang (2000), with the
        usual power of a uniform for concentrations below 1, kept as logarithms so that tiny ones survive.
        """
        logs = np.log(self._gamma(concentration + 1.0, int(np.prod(shape, dtype=np.int64))).reshape(shape))
        logs += np.log(self.uniforms(*shape)) / concentration
        return cut(np.exp(logs - logs.max(axis=-1, keepdims=True)))

    def _gamma(self, shape_parameter: float, count: int) -> Floats:
        # Marsaglia and Tsang's rejection method; the shape parameter is at least 1 here.
        d = shape_parameter - 1.0 / 3.0
        c = 1.0 / np.sqrt(9.0 * d)
        out = np.empty(count)
        open_places = np.arange(count)
        while len(open_places):
            first, second, coin = self.uniforms(3, len(open_places))
            normal = np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)
            cube = (1.0 + c * normal) ** 3
            with np.errstate(invalid="ignore", divide="ignore"):
                bound = 0.5 * normal**2 + d * (1.0 - cube + np.log(cube))
            taken = (cube > 0) & (np.log(coin) < bound)
            out[open_places[taken]] = d * cube[taken]
            open_places = open_places[~taken]
        return out


def cut(values: Floats) -> Floats:
    """Round to 24 significant bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * 2.0**24), exponent - 24)


def normalised(rows: Floats) -> Floats:
    """Divide every row (last axis) by its sum, added from left to right on every machine alike."""
    return rows / np.cumsum(rows, axis=-1)[..., -1:]
