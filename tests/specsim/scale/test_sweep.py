"""Sweeps: every cell is the simulation it says, padding, names, parameters, resuming, bad input."""

from fractions import Fraction

import numpy as np
import pytest
import xarray

import specsim
from specsim import (
    Autoregressive,
    Batch,
    BlockVerification,
    InputError,
    OverAcceptance,
    RejectionBased,
    Speculative,
    paper_pair,
    simulate,
    sweep,
)
from specsim.errors import UnsupportedError
from specsim.scale.summaries import SUMMARIES
from specsim.scale.sweeps import cell_seed, plan_sweep

OPTIONS = {"runs": 500, "seed": 9, "threads": 1}
FOUR = [Autoregressive(), Speculative(), Batch(drafts=3), OverAcceptance(epsilon=0.5)]


def test_cells__are_the_simulations_they_name(pair):
    pairs = {"short": pair, "long": paper_pair(12)}
    result = sweep(pairs, FOUR, draft_lengths=[None, 2], **OPTIONS)
    assert dict(result.sizes) == {
        "pair": 2, "algorithm": 7, "step": 12, "rejections": 13, "calls": 13, "accepted": 13
    }  # fmt: skip
    assert set(result.data_vars) == set(SUMMARIES)
    algorithms = [Autoregressive()] + [
        algorithm
        for drafts in (
            Speculative,
            lambda **a: Batch(drafts=3, **a),
            lambda **a: OverAcceptance(epsilon=0.5, **a),
        )
        for algorithm in (drafts(), drafts(draft_length=2))
    ]
    assert list(result.algorithm.values) == [algorithm.label for algorithm in algorithms]
    assert len(set(result.seed.values.ravel())) == 14
    for name, model in pairs.items():
        for algorithm in algorithms:
            cell = result.sel(pair=name, algorithm=algorithm.label)
            whole = simulate(model, algorithm, runs=500, seed=int(cell.seed), threads=2)
            horizon = model.horizon
            assert int(cell.horizon) == horizon
            for counts in (
                "rejection_count",
                "target_call_count",
                "accepted_length_count",
                "rejections_by_step",
            ):
                length = whole[counts].size
                assert np.array_equal(cell[counts].values[:length], whole[counts].values)
                assert not cell[counts].values[length:].any()
            values = np.repeat(np.arange(horizon + 1), whole.target_call_count.values)
            assert float(cell.mean_target_calls) == pytest.approx(values.mean(), rel=1e-12)
            error = values.std(ddof=1) / np.sqrt(500)
            assert float(cell.mean_target_calls_error) == pytest.approx(error, rel=1e-9)
            assert float(cell.block_efficiency) == pytest.approx(horizon / values.mean(), rel=1e-12)
            assert float(cell.rejection_law.sum()) == pytest.approx(1)
            assert float(cell.target_call_law.sum()) == pytest.approx(1)
            rate = cell.rejection_rate.values
            assert np.array_equal(rate[:horizon], whole.rejections_by_step.values / 500)
            assert np.isnan(rate[horizon:]).all()
            assert float(cell.mean_rejections) == pytest.approx(rate[:horizon].sum())


def test_parameters__are_coordinates(pair):
    result = sweep(
        pair, FOUR, drafts=[1, 2], epsilons=[0, Fraction(1, 4)], draft_lengths=[None, 2], **OPTIONS
    )
    assert result.sizes["algorithm"] == 1 + 2 + 4 + 4
    batch = result.isel(algorithm=result.keyword == "batch")
    assert list(batch.drafts.values) == [1, 2, 1, 2]
    np.testing.assert_array_equal(batch.draft_length.values, [np.nan, np.nan, 2, 2])
    over = result.isel(algorithm=result.keyword == "over-acceptance")
    assert list(over.epsilon.values) == [0, 0.25, 0, 0.25]
    assert np.isnan(result.sel(algorithm="autoregressive").drafts)
    means = over.mean_rejections.values[0]
    assert means[[0, 2]].min() > means[[1, 3]].max()


def test_seed_of_a_cell__does_not_depend_on_the_others(pair):
    alone = sweep(pair, Speculative(), **OPTIONS)
    among = sweep([paper_pair(5), pair], FOUR, **OPTIONS)
    same = among.sel(pair=pair.name, algorithm="speculative")
    assert alone.seed.item() == same.seed.item() == cell_seed(9, pair, Speculative(), 8)
    assert float(alone.mean_rejections.item()) == float(same.mean_rejections)
    assert alone.seed.item() != cell_seed(9, paper_pair(8), Speculative(), 8)
    assert alone.seed.item() != sweep(pair, Speculative(), runs=10, seed=8).seed.item()
    assert alone.seed.item() != sweep(pair, Speculative(), runs=10, seed=9, horizon=7).seed.item()


def test_resume_and_chunks__change_nothing(pair, tmp_path, monkeypatch):
    whole = sweep([pair, paper_pair(6)], FOUR, **OPTIONS)
    options = {**OPTIONS, "store": tmp_path, "chunk_runs": 130}
    seen = []

    def stop(runs):
        seen.append(runs)
        if runs > 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep([pair, paper_pair(6)], FOUR, progress=stop, **options)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}
    assert 12 <= len(files) < 32
    seen.clear()
    assert sweep([pair, paper_pair(6)], FOUR, progress=seen.append, **options).identical(whole)
    assert seen[-1] == 4000
    assert seen == sorted(seen)
    assert files.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}.items()
    monkeypatch.setattr("specsim.scale.running.perform", lambda *a, **b: pytest.fail("computed again"))
    assert sweep([pair, paper_pair(6)], FOUR, **options).identical(whole)


@pytest.mark.parametrize("engine", ["alias", "population"])
def test_other_engines_and_fewer_tallies(engine, pair):
    result = sweep(pair, [Speculative(), Batch(drafts=2)], engine=engine, tallies="rejections", **OPTIONS)
    assert {name for name in SUMMARIES if SUMMARIES[name].required} == set(result.data_vars)
    assert "calls" not in result.dims
    assert (result["engine"] == engine).all()
    assert (result.rejection_count.sum("rejections") == 500).all()


def test_result__survives_a_file(pair, tmp_path):
    result = sweep([pair, paper_pair(5)], FOUR, runs=50, seed=2**64 - 1)
    result.to_netcdf(tmp_path / "sweep.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "sweep.nc", engine="h5netcdf") as again:
        xarray.testing.assert_equal(again.load(), result)
        assert int(again.attrs["sweep_seed"]) == 2**64 - 1
        assert again.seed.dtype == np.uint64


def test_one_run__has_no_standard_error(pair):
    result = sweep(pair, Speculative(), runs=1, seed=1)
    assert np.isnan(result.mean_rejections_error.item())
    assert not np.isnan(result.mean_rejections.item())


def test_the_same_thing_twice__counts_once(pair):
    result = sweep([pair, pair], [Batch(drafts=1), Batch(drafts=2)], drafts=[1, 2], runs=10, seed=1)
    assert dict(result.sizes)["pair"] == 1
    assert list(result.algorithm.values) == ["batch:drafts=1", "batch:drafts=2"]


def test_names__tell_descriptors_of_one_label_apart(pair):
    tables = [
        RejectionBased(acceptance=np.full((1, 4, 4), share), residual=np.full((1, 4, 4), 0.25))
        for share in (0.5, 1.0)
    ]
    with pytest.raises(InputError, match=r"algorithms has different entries called .*; give a dict of names"):
        sweep(pair, tables, **OPTIONS)
    result = sweep(pair, {"half": tables[0], "all": tables[1]}, draft_lengths=[None, 2], **OPTIONS)
    assert list(result.algorithm.values) == [
        "half,draft_length=None", "half,draft_length=2", "all,draft_length=None", "all,draft_length=2"
    ]  # fmt: skip
    assert result.mean_rejections.sel(algorithm="all,draft_length=2").item() == 0
    other = pair.with_horizon(5)
    with pytest.raises(InputError, match="pairs has different entries called 'four'"):
        sweep([pair, other], Speculative(), **OPTIONS)
    assert list(sweep({"long": pair, "short": other}, Speculative(), **OPTIONS).horizon.values) == [8, 5]


BAD = [
    ({"pairs": []}, InputError, "pairs is empty"),
    ({"algorithms": []}, InputError, "algorithms is empty"),
    ({"algorithms": [3]}, InputError, "algorithms has 3 in it"),
    ({"pairs": 3}, InputError, "pairs is 3"),
    (
        {"drafts": [1, 2]},
        InputError,
        r"drafts is given, but none of the algorithms \(speculative\) has a drafts",
    ),
    ({"epsilons": [0.1]}, InputError, "epsilons is given, but none"),
    ({"draft_lengths": []}, InputError, "draft_lengths is empty"),
    ({"draft_lengths": [0]}, InputError, "draft_length is 0"),
    ({"runs": 0}, InputError, "speculative on four: runs is 0"),
    ({"seed": None}, InputError, "seed is None"),
    ({"horizon": 9}, InputError, "horizon is 9"),
    ({"engine": "warp"}, InputError, "speculative on four: engine is 'warp'"),
    ({"algorithms": Batch(drafts=float("inf"))}, InputError, "batch:drafts=inf on four: drafts is inf"),
    (
        {"algorithms": [Speculative(), BlockVerification()], "engine": "alias"},
        UnsupportedError,
        "block-verification on four: algorithm is block-verification; lockstep",
    ),
]


@pytest.mark.parametrize(("change", "kind", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input__is_named_before_anything_is_simulated(change, kind, message, pair, monkeypatch):
    monkeypatch.setattr("specsim.scale.running.perform", lambda *a, **b: pytest.fail("worked"))
    arguments = {"pairs": pair, "algorithms": Speculative(), "runs": 10, "seed": 1, **change}
    with pytest.raises(kind, match=message) as caught:
        sweep(arguments.pop("pairs"), arguments.pop("algorithms"), **arguments)
    assert "\n" not in str(caught.value)


def test_plan__lists_pair_by_pair(pair):
    plan = plan_sweep([pair, paper_pair(5)], [Speculative(), Autoregressive()], runs=7, seed=1)
    assert [request.shape.horizon for request in plan.requests] == [8, 8, 5, 5]
    assert [request.algorithm for request in plan.requests] == [Speculative(), Autoregressive()] * 2
    assert plan.runs == 28
    assert specsim.sweep is sweep
