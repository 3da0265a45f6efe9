"""A count that is moved, added or lost in any tally contradicts another tally."""

import numpy as np
import pytest

from specsim import Speculative, get_rule, random_pair, simulate
from specsim.engines.tallies.consistency import contradiction

ENGINES = ("lockstep", "literal", "alias")


@pytest.fixture(scope="module", params=ENGINES)
def tallies(request):
    pair = random_pair(contexts=2, horizon=4, family="uniform", seed=3)
    algorithm = (
        get_rule("recursive")(tree=(2, 1)) if request.param == "literal" else Speculative(draft_length=2)
    )
    result = simulate(pair, algorithm, runs=400, seed=1, per_run=True, outcomes=True, engine=request.param)
    return {name: result[name].values for name in result.data_vars}


def changed(values, less, more):
    """Return a copy with one count less here and one more there."""
    copy = values.reshape(-1).copy()
    copy[less] -= 1
    if more is not None:
        copy[more] += 1
    return copy.reshape(values.shape)


def test_results__agree_with_themselves(tallies):
    assert len(tallies) == 11
    assert contradiction(tallies) is None


def test_a_wrong_count__is_seen_in_every_tally(tallies):
    for name, values in tallies.items():
        flat = values.reshape(-1)
        less = int(flat.argmax())
        assert contradiction({**tallies, name: changed(values, less, None)}), name
        for more in range(min(flat.size, 8)):
            moved = changed(values, less, more)
            # Runs with equal rejections are exchangeable.
            if name == "rejections_of_run" and (np.sort(moved) == np.sort(values)).all():
                continue
            assert more == less or contradiction({**tallies, name: moved}), (name, more)
