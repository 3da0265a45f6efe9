import numpy as np
import pytest
import xarray

from specsim import InputError, ModelPair, Speculative, merge, simulate
from specsim.engines.tallies.results import assemble
from specsim.engines.tallies.variables import ATTRIBUTES, VARIABLES, check, markdown


@pytest.fixture
def result():
    rows = np.array([[0.25, 0.75], [0.5, 0.5]])
    pair = ModelPair.from_probabilities(rows, rows[::-1], initial=[0.5, 0.5], horizon=3)
    return simulate(pair, Speculative(), runs=50, seed=2**64 - 1, threads=1, per_run=True)


def test_result__has_every_variable_as_registered(result):
    assert set(result.data_vars) == set(VARIABLES)
    assert set(result.attrs) == set(ATTRIBUTES)
    check(result)
    assert list(result.step.values) == [1, 2, 3]
    assert list(result.rejections.values) == [0, 1, 2, 3]
    assert result.token_count.attrs["long_name"] == VARIABLES["token_count"].meaning


def damage(name):
    def change(result):
        values = result[name].values.copy()
        values.flat[0] += 1
        return result.assign({name: (result[name].dims, values)})

    return change


def moved(result):
    """A round of two accepted tokens that begins at the last position."""
    values = result.round_count.values.copy()
    start, accepted = np.argwhere(values[1:, 1:])[0] + 1
    values[start, accepted] -= 1
    values[-1, accepted] += 1
    values[-1, 2] += values[1:-1, 2].sum()
    values[1:-1, 2] = 0
    return result.assign(round_count=(result.round_count.dims, values))


def longer(result):
    """Every round accepts as many tokens as there are."""
    rounds = int(result.accepted_length_count.sum())
    return result.assign(
        accepted_length_count=("accepted", np.array([0, 0, 0, rounds])),
        first_accepted_length_count=("accepted", np.array([0, 0, 0, 50])),
    )


DAMAGED = {
    "sums to": damage("rejection_count"),
    "token_count sums to": damage("token_count"),
    "outcome_count sums to": damage("outcome_count"),
    "rejections_by_step and rejection_count": damage("rejections_by_step"),
    "target_call_count and accepted_length_count": damage("accepted_length_count"),
    "round_count and accepted_length_count": damage("round_count"),
    "round_count and first_accepted": lambda result: result.assign(
        round_count=(("start", "accepted"), result.round_count.values[::-1])
    ),
    "round_count and the horizon": moved,
    "accepted_length_count and token_count": longer,
    "no variable": lambda result: result.drop_vars("token_count"),
    "unknown variable": lambda result: result.assign(other=("step", np.zeros(3, int))),
    "it must be int64": lambda result: result.assign(rejection_count=result.rejection_count.astype(float)),
    "expected 4": lambda result: result.isel(calls=slice(3)),
    "negative": lambda result: result.assign(rejections_by_step=result.rejections_by_step - 100),
    "no attribute seed": lambda result: result.drop_attrs().assign_attrs(
        {name: value for name, value in result.attrs.items() if name != "seed"}
    ),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_check__refuses_damaged_results(message, result):
    with pytest.raises(InputError, match=message):
        check(DAMAGED[message](result))


def test_netcdf__round_trip_keeps_everything(result, tmp_path):
    result.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "result.nc", engine="h5netcdf") as stored:
        stored.load()
    check(stored)
    xarray.testing.assert_equal(stored, result)
    assert int(stored.attrs["seed"]) == 2**64 - 1
    assert merge([stored]).attrs["run_ranges"] == "0:50"


def test_markdown__lists_every_variable_and_attribute():
    text = markdown()
    for name in (*VARIABLES, *ATTRIBUTES):
        assert f"| `{name}` |" in text


def test_assemble__equals_the_plain_constructor(result):
    variables = {name: (item.dims, item.values, item.attrs) for name, item in result.data_vars.items()}
    coordinates = {name: item.values for name, item in result.coords.items()}
    plain = xarray.Dataset(variables, coordinates, result.attrs)
    found = assemble(variables, coordinates, result.attrs)
    assert found.identical(plain)
    assert found.isel(step=[0, 1]).identical(plain.isel(step=[0, 1]))
    assert found.sel(run=slice(3, 5)).identical(plain.sel(run=slice(3, 5)))
