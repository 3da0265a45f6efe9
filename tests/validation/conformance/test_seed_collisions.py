"""Seeds that are reduced to few values; and that others are not accused."""

import math

import numpy as np
import pytest

from benchmarks.zoo.controls_step import ratio_step
from specsim.errors import InputError
from specsim.testing import Subject, check_sampler
from specsim.validation.conformance.calling import NotApplicable
from specsim.validation.conformance.checks.seeds import Collisions, SeedProbe


class Endless:
    """A caller whose time never ends."""

    def out_of_time(self):
        return False


def procedure(call, planned=400, size=48):
    probe = SeedProbe(Endless(), call, np.random.default_rng(1))
    found = Collisions(probe=probe, looks=(), planned=planned, size=size)
    found.catches(math.log(1e7))
    return found


def outputs(seed, size=48):
    return np.random.default_rng(seed).integers(4, size=(size, 1))


@pytest.mark.parametrize(("values", "seeds"), [(2, 256), (1000, 256), (10_007, 400), (65_536, 1200)])
def test_collisions__of_reduced_seeds_are_found(values, seeds):
    found = procedure(lambda seed: outputs(seed % values), seeds)
    found.probe.sample(seeds)
    assert found.log_e() > math.log(1e9)
    (text,) = found.looks_like()
    one, other = (int(word) for word in text.split("; ")[1].split(" give")[0].split(" and "))
    assert one != other
    assert one % values == other % values


@pytest.mark.parametrize("bit", [0, 7, 16, 30])
def test_collisions__of_seeds_without_a_bit_are_found(bit):
    found = procedure(lambda seed: outputs(seed & ~(1 << bit)))
    found.probe.sample(256)
    assert found.log_e() > math.log(1e9)


def test_collisions__are_not_found_where_all_bits_count():
    found = procedure(outputs, 4000)
    found.probe.sample(4000)
    assert found.log_e() == -math.inf
    assert not found.looks_like()


def test_bound__holds_for_rows_that_are_often_equal():
    # Two rows are equal with probability 0.82: 48 of them with 7e-5, and some of 80,000 pairs of calls are.
    found = procedure(lambda seed: np.random.default_rng(seed).random((48, 1)) < 0.1)
    found.probe.sample(256)
    assert found.log_e() < 0
    found.probe.sample(144)
    with pytest.raises(NotApplicable, match="vary too little"):
        found.log_e()


def rows_at_a_time(size):
    def run(target, draft, drafted, seed):
        return ratio_step(target, draft, drafted, seed % 100)

    return Subject(name="mine", protocol="step", run=run, max_batch=size)


def test_check__needs_rows():
    report = check_sampler(rows_at_a_time(48), effort="quick", only=["seed-collisions"])
    assert report.verdict.value == "not independent"
    assert report.diagnosis.cause.startswith("seeds are reduced to few values")
    with pytest.raises(InputError, match="no check applies"):
        check_sampler(rows_at_a_time(47), effort="quick", only=["seed-collisions"])
