"""What is simulated, and what every engine does with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.engines.tallies.tally import Shape, Tally
from specsim.pairs import ModelPair


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is simulated, checked; how (threads, chunks, where) is not part of it.

    pair, algorithm: the models and the descriptor.
    shape: what is tallied; its horizon is the one used.
    engine: a key of `specsim.engines.ENGINES`.
    seed, first_run, runs: runs ``first_run .. first_run + runs - 1`` of the seed.
    per_run: whether the rejections of each run are kept.
    device: where the torch engine works; the result does not depend on it.
    """

    pair: ModelPair
    algorithm: Algorithm
    shape: Shape
    engine: str
    seed: int
    first_run: int
    runs: int
    per_run: bool
    device: str | None = None

    @property
    def divisible(self) -> bool:
        """Whether the tallies of a range of runs are the sum of those of its parts."""
        return self.engine != "population"


class Engine(Protocol):
    """What every engine offers; a module is one."""

    def check(self, request: Request) -> None:
        """Raise `InputError`, before anything is computed, when the engine cannot serve the request."""
        ...

    def run(
        self,
        request: Request,
        first_run: int,
        runs: int,
        *,
        threads: int,
        rejections_of_run: NDArray[np.int64] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Tally:
        """Simulate some runs of a request.

        request: what to simulate and to tally.
        first_run, runs: runs ``first_run .. first_run + runs - 1`` of the request's seed.
        threads: number of threads; the result does not depend on it.
        rejections_of_run: length `runs`, filled with the rejections of each run when given.
        progress: called in the calling thread with the number of finished runs.
        TooLargeError: the tables of a single step, or the tallies, do not fit in memory.
        """
        ...
