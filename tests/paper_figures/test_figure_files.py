"""What drawing writes, and how it fails."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from specsim.errors import InputError
from specsim.paper_figures import FigureEffort, draw, drawing, registry, write_summary

SUFFIXES = {".png", ".svg", ".nc", ".csv", ".json", ".md"}


def test_draw__writes_all_files_whole(tmp_path):
    out = tmp_path / "new" / "folder"
    drawn = draw("figure-4a", out=out)
    assert {path.suffix for path in drawn.files} == SUFFIXES
    assert set(drawn.files) == set(out.iterdir())
    assert (out / "figure-4a.svg").read_text(encoding="utf-8") == drawn.svg
    assert (out / "figure-4a.png").read_bytes() == drawn.png
    with xarray.open_dataset(out / "figure-4a.nc", engine="h5netcdf") as stored:
        assert stored.equals(drawn.dataset)
        assert stored.attrs == drawn.dataset.attrs
    document = json.loads((out / "figure-4a.json").read_text(encoding="utf-8"))
    assert document["passed"] is True
    assert len(document["comparison"]) == len(drawn.comparison)
    assert "| quantity |" in (out / "figure-4a.md").read_text(encoding="utf-8")


def test_csv__holds_every_number_once():
    dataset = draw("table-1").dataset
    rows = list(csv.DictReader(drawing.as_csv(dataset).splitlines()))
    assert len(rows) == sum(array.size for array in dataset.data_vars.values())
    wins = [int(row["value"]) for row in rows if row["variable"] == "wins"]
    assert wins == dataset["wins"].values.tolist()
    upper = [float(row["value"]) for row in rows if row["variable"] == "wilson" and row["bound"] == "upper"]
    assert upper == dataset["wilson"].sel(bound="upper").values.tolist()


def test_draw__leaves_nothing_half_written(tmp_path, monkeypatch):
    def fail(dataset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing, "as_netcdf", fail)
    with pytest.raises(InputError, match="No space left"):
        draw("table-2", out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"table-2.png", "table-2.svg"}


def test_draw__refuses_a_folder_before_the_work(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    module = registry.load("figure-2a")
    monkeypatch.setattr(module, "data", lambda *given: pytest.fail("worked before looking at the folder"))
    with pytest.raises(InputError, match=r"out is .*cannot be written") as caught:
        draw("figure-2a", out=blocked / "below")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("figure-2d", "figure-2"),
        ("Figure 2c", "figure-2c"),
        ("fig-4b", "figure-4b"),
        ("bernoulli", "figure-3-bernoulli"),
        ("tabel-1", "table-1"),
    ],
)
def test_unknown_name__names_the_nearest(name, near):
    with pytest.raises(InputError, match="unknown; did you mean") as caught:
        draw(name)
    assert near in str(caught.value)


def test_unknown_name__without_near_ones_lists_all():
    with pytest.raises(InputError, match=r"give one of figure-2a, .*table-2"):
        draw("zzz")


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.5])
def test_bad_seed__is_refused(seed):
    with pytest.raises(InputError, match="seed is"):
        draw("table-1", seed=seed)


def test_bad_effort__is_refused():
    with pytest.raises(InputError, match="effort is 'huge'"):
        draw("table-1", effort="huge")


@pytest.mark.parametrize("size", ["main_runs", "point_runs", "cell_runs", "curve_runs"])
@pytest.mark.parametrize("value", [0, -5, 1.5, True])
def test_bad_sizes__are_refused(size, value):
    given = {"main_runs": 1000, "point_runs": 10, "cell_runs": 10, "curve_runs": 200, size: value}
    with pytest.raises(InputError, match=f"{size} is"):
        FigureEffort(name="test", **given)


def test_summary__covers_all_drawings(tmp_path):
    drawings = [draw("table-1", out=tmp_path), draw("figure-4a", out=tmp_path)]
    write_summary(drawings, tmp_path)
    document = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert [figure["name"] for figure in document["figures"]] == ["table-1", "figure-4a"]
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "![" in text
    assert "(table-1.png)" in text


def test_progress__is_told():
    told = []
    effort = FigureEffort(name="test", main_runs=200, point_runs=1, cell_runs=1, curve_runs=200)
    draw("figure-2a", effort=effort, progress=told.append)
    assert told == ["figure-2a: speculative, 200 runs"]


def test_import__is_light_and_guarded():
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys, specsim.paper_figures as f; f.names();"
        "heavy = {'matplotlib', 'xarray', 'numba', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    bare = subprocess.run(
        [sys.executable, "-c", "import paper_figures"], cwd=root, capture_output=True, text=True
    )
    assert bare.returncode != 0
    assert "specsim.paper_figures" in bare.stderr


def test_no_pyplot_state_is_left_behind():
    code = (
        "import sys; from specsim.paper_figures import draw; draw('table-2');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_numbers_of_the_csv__survive_a_round_trip():
    dataset = xarray.Dataset({"x": ("n", [0.1, 1 / 3, np.nan])})
    rows = list(csv.DictReader(drawing.as_csv(dataset).splitlines()))
    assert [float(row["value"]) for row in rows[:2]] == [0.1, 1 / 3]
    assert [row["n"] for row in rows] == ["0", "1", "2"]
