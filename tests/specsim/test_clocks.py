"""Clocks: what rounds cost, measured tables, and times by theory and by simulation."""

import json
from fractions import Fraction

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Clock,
    InputError,
    MeasuredClock,
    Speculative,
    chain,
    compare,
    paper_pair,
    parse_clock,
    paths,
    random_pair,
    read_clock,
    theory,
    tree,
)
from specsim.clocks import to_ticks
from specsim.errors import TooLargeError


def test_round_time__is_the_sum_of_its_parts():
    clock = Clock(draft=0.1, overhead=0.02, token=0.01, free=4)
    assert clock.round_time(chain(0)) == 1
    assert clock.round_time(chain(3)) == Fraction(132, 100)
    # Four sequences of four tokens: 16 in the target call, 12 of them beyond the free ones; 4 in a draft
    # step.
    assert clock.round_time(chain(3), batch=4) == Fraction(112, 100) + 3 * Fraction(1, 10) + Fraction(1, 50)
    # Two paths of two tokens: two draft steps of two tokens, a target call of five.
    assert clock.round_time(paths(2, 2)) == 2 * Fraction(1, 10) + Fraction(101, 100) + Fraction(2, 100)
    irregular = tree((-1, 0, 0, 1))
    assert clock.round_time(irregular) == clock.round_time(chain(2)) + 0 * clock.token
    assert clock.round_times(Speculative(draft_length=3), 3)[2] == clock.round_time(chain(1))


def test_context__makes_later_calls_longer():
    clock = Clock(context=0.01, prompt=10)
    assert clock.plain_times(3, batch=2) == [Fraction(120 + 2 * n, 100) for n in range(3)]
    pair = random_pair(contexts=2, horizon=5, seed=1, family="uniform")
    assert theory.expected_time(pair, Autoregressive(), clock, exact=True) == sum(clock.plain_times(5))
    stationary = random_pair(contexts=2, horizon=5, seed=1, family="uniform", stationary=True)
    with pytest.raises(InputError, match="depends on the length of the context"):
        theory.stationary_speed_up(stationary, Speculative(draft_length=1), clock)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("draft=-1", "draft is"),
        ("draft=nan", "draft is nan"),
        ("drat=0.1", "did you mean draft"),
        ("draft=0.1,draft=0.2", "given twice"),
        ("free=0", "free is 0"),
        ("draft=1e300", "draft is"),
        ("no-such-file.csv", "is neither costs nor an existing file"),
    ],
)
def test_parse_clock__refuses_in_one_line(text, word):
    with pytest.raises(InputError, match=word) as caught:
        parse_clock(text)
    assert "\n" not in str(caught.value)


def test_label__is_read_back():
    clock = Clock(draft=Fraction(1, 3), overhead=0.02, free=8, token=0.001)
    assert parse_clock(clock.label) == clock


def test_measured_tables__are_read_between_their_points_only(tmp_path):
    place = tmp_path / "costs.json"
    rows = [
        {"batch": b, "width": w, "time": t}
        for b, w, t in ((1, 1, 15.8), (1, 9, 18.2), (4, 1, 16.2), (4, 9, 20))
    ]
    place.write_text(json.dumps({"target": rows, "draft": [{"time": 1.58}], "overhead": 0.79}))
    clock = read_clock(place)
    assert clock.target_time(1) == 1
    assert clock.target_time(5) == Fraction(170, 158)
    assert clock.target_time(1, batch=2) == Fraction(158 * 2 + 162, 3 * 158)
    assert clock.round_time(chain(2)) == clock.target_time(3) + 2 * Fraction(1, 10) + Fraction(1, 20)
    with pytest.raises(InputError, match="width 1 to 9, not 10"):
        clock.target_time(10)
    with pytest.raises(InputError, match="batch 1 to 4, not 5"):
        clock.target_time(1, batch=5)
    with pytest.raises(InputError, match=r"draft times are of batch 1 to 1"):
        clock.draft_time(1, batch=2)


def test_measured_rounds__serve_chains(tmp_path):
    place = tmp_path / "rounds.csv"
    place.write_text("kind,batch,width,time\nround,1,0,10\nround,1,4,14\n")
    clock = read_clock(place)
    assert clock.round_time(chain(2)) == Fraction(6, 5)
    assert clock.target_time(1) == 1
    with pytest.raises(InputError, match="no draft times"):
        clock.round_time(paths(2, 2))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("kind,batch,width,time\nround,1,0,-1\n", "line 2: time is"),
        ("kind,batch,width,time\nround,1,0,1\nround,1,0,2\n", "given twice"),
        ("kind,batch,width,time\nround,1,2,1\n", "no time of a plain target call"),
        ("kind,batch,width,time\nfoo,1,2,1\n", "kind is 'foo'"),
        ("a,b\n1,2\n", "first line"),
        ("{", "cannot read"),
        ('{"target": 3}', "not a list of objects"),
        ("", "first line"),
    ],
)
def test_read_clock__refuses_in_one_line(tmp_path, text, word):
    place = tmp_path / "costs"
    place.write_text(text)
    with pytest.raises(InputError, match=word):
        read_clock(place)


def test_measured_clock__needs_a_plain_call():
    with pytest.raises(InputError, match="no time of a plain target call"):
        MeasuredClock(target={(1, 2): 3})


def test_time_law__has_the_expected_time_as_its_mean():
    pair, algorithm, clock = paper_pair(12), Speculative(draft_length=3), Clock(draft=0.1, context=0.01)
    law = theory.time_law(pair, algorithm, clock)
    assert law.mean() == pytest.approx(theory.expected_time(pair, algorithm, clock), rel=1e-12)
    assert float(law.law.sum()) == pytest.approx(1)
    assert law.quantile(0) <= law.quantile(0.5) <= law.quantile(1) <= len(law.law) * law.unit
    assert law.slowest(1).law == pytest.approx(law.law)
    assert law.slowest(64).mean() > law.slowest(2).mean() > law.mean()
    ones = theory.time_law(pair, algorithm, Clock())
    assert ones.unit == 1
    assert ones.law[: pair.horizon + 1] == pytest.approx(theory.target_call_law(pair, algorithm))


def test_time_law__refuses_absurd_units():
    with pytest.raises(TooLargeError, match="coarser unit"):
        theory.time_law(paper_pair(50), Speculative(draft_length=2), Clock(draft=Fraction(1, 1_000_003)))


def test_stationary_speed_up__is_the_limit():
    pair = random_pair(contexts=3, horizon=400, seed=1, family="uniform", stationary=True)
    algorithm, clock = Speculative(draft_length=3), Clock(draft=0.1)
    limit = theory.stationary_speed_up(pair, algorithm, clock)
    assert theory.speed_up(pair, algorithm, clock) == pytest.approx(limit, rel=0.01)
    assert isinstance(theory.stationary_speed_up(pair, algorithm, clock, exact=True), Fraction)


def test_compare__with_a_clock_has_times():
    pair, clock = random_pair(contexts=3, horizon=6, seed=1, family="uniform"), Clock(draft=0.2)
    found = compare(
        pair, [Speculative(draft_length=2), Autoregressive()], runs=2000, seed=3, clock=clock
    ).data
    assert found["exact_time"].values[1] == pytest.approx(6)
    assert found["mean_speed_up"].values[1] == pytest.approx(1)
    low, high = found["low_time"].values[0], found["high_time"].values[0]
    assert low < found["exact_time"].values[0] < high
    assert np.isfinite(found["exact_speed_up"].values).all()


def test_to_ticks__keeps_zero():
    assert to_ticks([Fraction(0), Fraction(0)]).counts == (0, 0)
