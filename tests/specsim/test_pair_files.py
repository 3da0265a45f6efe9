"""Pairs as netCDF: exact round trips, and one line for every file that is not whole."""

import numpy as np
import pytest
import xarray

from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
from specsim.pairs.files import read_pair, write_pair
from specsim.pairs.ngrams import from_ngrams
from specsim.pairs.row_families import ROW_FAMILIES

PAIRS = {
    "paper": lambda: paper_pair(5),
    "tree": lambda: random_prefix_pair(tokens=2, horizon=3, seed=1),
    "ngrams": lambda: from_ngrams("to be or not to bé, that is\nthe question", horizon=9),
    "one token": lambda: random_pair(contexts=1, horizon=1, seed=1),
    "stationary": lambda: random_pair(contexts=3, tokens=2, horizon=10**6, seed=1, stationary=True),
    **{
        family: lambda family=family: random_pair(contexts=4, horizon=3, family=family, seed=2)
        for family in ROW_FAMILIES
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_round_trip__keeps_everything(name, tmp_path):
    pair = PAIRS[name]()
    path = tmp_path / "pair.nc"
    pair.to_file(path)
    copy = ModelPair.from_file(path)
    assert copy == pair
    for field in ("target", "draft", "next_context", "initial"):
        assert (getattr(copy, field) == getattr(pair, field)).all()
        assert not getattr(copy, field).flags.writeable
    for field in ("horizon", "name", "token_names", "rounding", "stationary"):
        assert getattr(copy, field) == getattr(pair, field)
    assert list(tmp_path.iterdir()) == [path]


def test_file__is_labelled_for_people(tmp_path):
    pair = from_ngrams("abcab", horizon=9)
    write_pair(pair, tmp_path / "pair.nc")
    with xarray.open_dataset(tmp_path / "pair.nc", engine="h5netcdf") as dataset:
        assert dataset["target"].dims == dataset["draft"].dims == ("step", "context", "token")
        assert dataset["token"].values.tolist() == ["a", "b", "c"]
        assert dataset["step"].values.tolist() == [1]
        assert dataset.attrs["identity"] == pair.identity
        assert dataset.attrs["horizon"] == 9
        assert "2^-32" in dataset["target"].attrs["comment"]


def test_write_pair__replaces_only_when_complete(tmp_path, monkeypatch):
    path = tmp_path / "pair.nc"
    write_pair(paper_pair(2), path)

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", fail)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        write_pair(paper_pair(3), path)
    assert list(tmp_path.iterdir()) == [path]
    assert read_pair(path) == paper_pair(2)


@pytest.mark.parametrize("name", ["a\0", "\ud800"])
def test_write_pair__token_names_that_netcdf_cannot_hold(name, tmp_path):
    pair = ModelPair.from_probabilities(
        np.full((2, 2), 0.5),
        np.full((2, 2), 0.5),
        initial=[1.0, 0.0],
        horizon=1,
        token_names=["fine", name],
    )
    with pytest.raises(InputError, match=r"token_names\[1\] is .* rename it"):
        write_pair(pair, tmp_path / "pair.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pair.nc"
    write_pair(random_pair(contexts=3, horizon=2, seed=1, initial="random"), path)
    return path


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_pair(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_read_pair__a_truncated_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "cannot read .*; write it again")


def test_read_pair__not_a_file(tmp_path):
    refused(tmp_path / "none.nc", "No such file or directory; give a pair's netCDF file")
    refused(tmp_path, "it is a folder")
    (tmp_path / "text.nc").write_text("step,context\n")
    refused(tmp_path / "text.nc", "not a whole netCDF file of a pair")


def test_read_pair__another_netcdf_file(tmp_path):
    xarray.Dataset({"x": ("y", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    refused(tmp_path / "other.nc", "its format attribute is none, not specsim-pair 1")


def edited(path, edit):
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        loaded = dataset.load()
    edit(loaded).to_netcdf(path, engine="h5netcdf")


def swap_two_rows(dataset):
    values = dataset["draft"].values
    values[0, [0, 1]] = values[0, [1, 0]]
    return dataset


def change_a_number(dataset):
    dataset["target"].values[0, 0, 0] += 1e-6
    return dataset


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (swap_two_rows, "its contents have the identity .* the file was changed after it was written"),
        (change_a_number, r"target\[0, 0\] sums to 1.000001, not 1"),
        (lambda d: d.assign_attrs(horizon=1), "its contents have the identity"),
        (lambda d: d.assign_attrs(horizon=7), "horizon is 7 but the pair has rows for 2 steps"),
        (lambda d: d.assign_attrs(horizon="many"), "an attribute is missing or wrong"),
        (lambda d: d.assign_attrs(identity="0" * 64), "but it states 000000000000"),
        (lambda d: d.assign_attrs(format="specsim-pair 2"), "its format attribute is specsim-pair 2, not"),
        (lambda d: d.drop_attrs().assign_attrs(format="specsim-pair 1"), "an attribute is missing or wrong"),
        (lambda d: d.drop_vars("draft"), "no variable draft"),
        (lambda d: d.transpose("context", "step", "token"), "no variable target"),
        (lambda d: d.isel(step=[0]), "horizon is 2|its contents have the identity"),
        (lambda d: d.assign(next_context=d["next_context"] * 1.0), "next_context has dtype float64"),
    ],
)
def test_read_pair__a_file_that_was_changed(path, edit, message):
    edited(path, edit)
    refused(path, message)


def test_read_pair__names_and_rounding_are_outside_the_identity(path):
    edited(path, lambda dataset: dataset.assign_attrs(name="renamed"))
    assert read_pair(path).name == "renamed"
