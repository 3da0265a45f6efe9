"""Sign tests, intervals and corrections of the tables."""

from math import comb

import numpy as np
import pytest

from specsim.paper_figures.paper_values import PROMPTS, TABLE_1, TABLE_2
from specsim.paper_figures.win_rates import detectable_rate, wilson
from specsim.support.intervals import clopper_pearson, holm, sign_test


@pytest.mark.parametrize(
    ("rate", "value"),
    [(52.5, 0.525), (53, 0.437), (53.5, 0.358), (54.5, 0.229), (55, 0.179), (57.5, 0.040)],
)
def test_sign_test__has_the_known_values(rate, value):
    assert sign_test(round(2 * rate), PROMPTS - round(2 * rate)) == pytest.approx(value, abs=5e-4)


def test_sign_test__is_the_sum_of_both_tails():
    tail = sum(comb(20, wins) for wins in range(15, 21)) / 2**20
    assert sign_test(15, 5) == pytest.approx(2 * tail)
    assert sign_test(5, 15) == pytest.approx(2 * tail)
    assert sign_test(10, 10) == pytest.approx(1.0)


def test_clopper_pearson__covers_at_least_as_often_as_it_says():
    prompts = 12
    bounds = list(zip(*clopper_pearson(np.arange(prompts + 1), prompts), strict=True))
    for rate in np.linspace(0.01, 0.99, 99):
        law = [
            comb(prompts, wins) * rate**wins * (1 - rate) ** (prompts - wins) for wins in range(prompts + 1)
        ]
        cover = sum(p for p, (low, high) in zip(law, bounds, strict=True) if low <= rate <= high)
        assert cover >= 0.95


def test_wilson__solves_its_equation():
    wins, prompts, z = 115, 200, 1.959963984540054
    for bound in wilson(wins, prompts):
        assert (wins / prompts - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / prompts)


def test_holm__by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


def test_tables__significance_after_correction(drawing):
    one, two = drawing("table-1").dataset, drawing("table-2").dataset
    assert one.sizes["cell"] == len(TABLE_1) == 8
    assert int((one["p_value"] <= 0.05).sum()) == 1
    assert float(one["p_holm"].min()) == pytest.approx(0.3203, abs=5e-5)
    assert two.sizes["cell"] == len(TABLE_2) == 2
    assert float(two["p_holm"].max()) < 1e-4


def test_detectable_rate__has_the_stated_power():
    rate = detectable_rate(200)
    power = sum(comb(200, wins) * rate**wins * (1 - rate) ** (200 - wins) for wins in range(115, 201))
    assert power == pytest.approx(0.8)
    assert sign_test(115, 85) <= 0.05 < sign_test(114, 86)
