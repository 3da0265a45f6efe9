"""Check of seeds: different ones do not give the same output, however a sampler reduces them."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import SEED_RANGE, Caller, NotApplicable
from specsim.validation.conformance.checks.base import Statistical, check
from specsim.validation.conformance.checks.batches import blanked
from specsim.validation.conformance.checks.requests import rows_call
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.results import Deviation
from specsim.validation.conformance.subjects import PROTOCOLS, Subject

#: Seeds that are tried, by effort. Of n seeds that are reduced to m values, about n^2 / 2m pairs share one.
SEEDS = {"quick": 400, "standard": 1200, "deep": 4000}
#: Rows of a call. A decoder's row is a text, which says more than the row of a step.
ROWS, TEXTS = 48, 16
#: Bits of a seed.
BITS = 31
#: Probability that the outcomes of a row coincide more often than the bound says.
ERROR = 1e-12


class SeedProbe:
    """Calls on the same input under random seeds, the first ones also with one bit changed.

    call: returns what each row emitted under a seed, shape ``(rows, tokens)``.
    seeds: by the output of a whole call, the seeds that gave it.
    rows: how often a row emitted each text, over all calls.
    """

    def __init__(self, caller: Caller, call: Callable[[int], Integers], rng: np.random.Generator) -> None:
        self._caller, self._call, self._rng = caller, call, rng
        self.seeds: dict[bytes, list[int]] = {}
        self.rows: Counter[bytes] = Counter()
        self.total = 0
        self._last = 0

    def sample(self, count: int) -> None:
        """Call under about `count` more seeds."""
        for _ in range(count):
            if self._caller.out_of_time():
                return
            seed = int(self._rng.integers(SEED_RANGE))
            if self.total < 2 * BITS:
                bit = 1 << self.total // 2
                seed, self._last = self._last ^ bit if self.total % 2 else seed, seed
            emitted = np.ascontiguousarray(self._call(seed), dtype=np.int64)
            self.seeds.setdefault(emitted.tobytes(), []).append(seed)
            self.rows.update(row.tobytes() for row in emitted)
            self.total += 1


@dataclass(kw_only=True, eq=False)
class Collisions(Statistical):
    """A procedure whose null is that calls under different seeds are independent, and rows of a call.

    Two calls then coincide with probability c^rows, c being the probability that two rows coincide. The U
    statistic of all rows is close to c (Hoeffding), so that a bound of the probability of any coincidence
    among the planned calls is known without the law of the rows.
    """

    size: int
    _level: float = 0.0

    def log_e(self) -> float:
        """Return minus the logarithm of that bound if calls coincided, and minus infinity if none did.

        NotApplicable: outputs vary so little that equal ones say nothing.
        """
        evidence = -math.log(max(self._bound(), ERROR))
        if self.probe.total >= self.planned and evidence < self._level:
            raise NotApplicable("outputs vary too little to tell seeds apart")
        return evidence if len(self._probe.seeds) < self.probe.total else -math.inf

    def longest(self, times: int) -> int:
        """Return the plan, for which the bound holds."""
        return self.planned

    def output_log_e(self) -> float:
        """Return the same: no rule is involved."""
        return self.log_e()

    def catches(self, log_threshold: float) -> float:
        """Return NaN: what is caught is no distance."""
        self._level = log_threshold
        return math.nan

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return how many outputs were different, and two seeds of the same one."""
        pair = next((seeds for seeds in self._probe.seeds.values() if len(seeds) > 1), None)
        if pair is None:
            return ()
        outputs, calls = len(self._probe.seeds), self._probe.total
        return (f"{calls:,} seeds gave {outputs:,} different outputs; {pair[0]} and {pair[1]} give the same",)

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return nothing: no frequency is wrong."""
        return ()

    def _bound(self) -> float:
        """Return a bound of the probability of any coincidence, wrong with probability `ERROR`."""
        size = sum(self._probe.rows.values())
        same = sum(seen * (seen - 1) for seen in self._probe.rows.values()) / (size * (size - 1))
        same = min(1.0, same + math.sqrt(-math.log(ERROR) / (2 * (size // 2))))
        return self.planned * (self.planned - 1) / 2 * same**self.size

    @property
    def _probe(self) -> SeedProbe:
        assert isinstance(self.probe, SeedProbe)
        return self.probe


def _needs_rows(subject: Subject) -> str:
    least = TEXTS if subject.protocol == "decoder" else ROWS
    few = subject.max_batch is not None and subject.max_batch < least
    return f"the sampler takes fewer than {least} rows at a time" if few else ""


def _call(lab: Laboratory, caller: Caller, size: int) -> Callable[[int], Integers]:
    """Return a function of a seed on fixed input, the same in every row."""
    if lab.subject.protocol == "tree":
        return _tree_call(lab, caller, size)
    call = rows_call(lab, caller, lab.rng("seeds"), size, equal=True)
    everything = np.arange(size)
    if "seeds" not in lab.subject.options:
        return lambda seed: call(seed, None, everything)
    # Whatever is done to the seed of each row, two calls are equal if it maps the first ones to one value.
    return lambda seed: call(seed, (seed + everything) % SEED_RANGE, everything)


def _tree_call(lab: Laboratory, caller: Caller, size: int) -> Callable[[int], Integers]:
    from specsim.validation.conformance.checks.tree import tree_inputs

    parents, target, draft, tokens = tree_inputs(lab, lab.rng("seeds"), size)
    trials = [caller.tree(parents, target, draft, tokens)[1] for _ in range(ROWS)]
    # A tree whose outcome varies most says most about the seed.
    row = int(np.var(trials, axis=0).argmax())
    rows = np.full(size, row)
    target, draft, tokens = target[rows], draft[rows], tokens[rows]

    def call(seed: int) -> Integers:
        emitted, lengths = caller.tree(parents, target, draft, tokens, seed=seed)
        return blanked(emitted, lengths)

    return call


@check(
    "seed-collisions",
    "calls under different seeds, equal in everything else, do not give the same output",
    kind="independence",
    protocols=tuple(PROTOCOLS),
    why_not=_needs_rows,
    catches="seeds that are reduced to few values, by a modulus, a hash, or a pool of generators",
)
def _collisions(lab: Laboratory) -> Collisions:
    size = TEXTS if lab.subject.protocol == "decoder" else ROWS
    caller = lab.caller("seeds")
    return Collisions(
        probe=SeedProbe(caller, _call(lab, caller, size), lab.rng("many seeds")),
        looks=(),
        planned=SEEDS.get(lab.effort.name, min(SEEDS.values())),
        size=size,
    )


CHECKS = (_collisions,)
