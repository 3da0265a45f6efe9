"""Pictures of results: what is drawn, and what is refused."""

import numpy as np
import pytest
from click.testing import CliRunner

import specsim
from specsim import plot, theory
from specsim.cli import main
from specsim.errors import InputError

PAIR = "paper:6"
ALGORITHM = "speculative:draft_length=2"


@pytest.fixture(scope="module")
def simulated():
    return specsim.simulate(PAIR, ALGORITHM, runs=2000, seed=1)


@pytest.fixture(scope="module")
def swept():
    pairs = [PAIR, "random:contexts=3,horizon=4,seed=1"]
    return specsim.sweep(pairs, ["speculative", "batch:drafts=2"], draft_lengths=[1, 2], runs=100, seed=1)


class TestLaws:
    def test_shows_theory_and_simulation(self, simulated):
        figure = plot.laws(PAIR, ALGORITHM, simulated=simulated)
        axes = figure.axes[1]
        exact = next(line for line in axes.lines if line.get_label() == "theory")
        law = theory.rejection_law(PAIR, ALGORITHM)
        seen = np.asarray(exact.get_xdata(), dtype=int)
        np.testing.assert_allclose(exact.get_ydata(), law[seen])
        assert law[seen].sum() > 0.999
        shares = axes.containers[0].lines[0].get_ydata()
        np.testing.assert_allclose(shares, simulated["rejection_count"].values[seen] / 2000)

    def test_theory_alone(self):
        assert len(plot.laws(PAIR, ALGORITHM).axes[0].lines) == 1

    @pytest.mark.parametrize(
        ("pair", "algorithm", "options", "message"),
        [
            ("paper:5", ALGORITHM, {}, "pair identity"),
            (PAIR, "speculative", {}, "give the pair and the algorithm that were simulated"),
            (PAIR, ALGORITHM, {"horizon": 3}, "horizon is 3, but simulated has 6"),
            (PAIR, ALGORITHM, {"level": 2}, "level is 2"),
        ],
    )
    def test_refuses_other_simulations(self, simulated, pair, algorithm, options, message):
        with pytest.raises(InputError, match=message):
            plot.laws(pair, algorithm, simulated=simulated, **options)

    def test_refuses_what_is_no_simulation(self, swept):
        with pytest.raises(InputError, match=r"not a result of specsim\.simulate"):
            plot.laws(PAIR, ALGORITHM, simulated=swept)


class TestPair:
    def test_small_and_large(self):
        assert len(plot.pair(PAIR).axes) == 4
        assert len(plot.pair("random:contexts=100,horizon=2,seed=1").axes) == 1

    @pytest.mark.parametrize("step", [6, -1, True, "a"])
    def test_refuses_other_steps(self, step):
        with pytest.raises(InputError, match="rows for steps 0 to 5"):
            plot.pair(PAIR, step=step)


class TestSweep:
    def test_a_line_for_each_pair_and_kind(self, swept):
        axes = plot.sweep(swept).axes[0]
        assert len(axes.containers) == 4
        assert axes.containers[0].lines[0].get_xdata().tolist() == [1, 2]

    def test_over_the_pairs(self, swept):
        axes = plot.sweep(swept, x="contexts", y="mean_rejections").axes[0]
        assert axes.containers[0].lines[0].get_xdata().tolist() == [3, 7]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"x": "length"}, "give one of"),
            ({"x": "epsilon"}, "which no algorithm of this sweep has"),
            ({"x": "keyword"}, "which no algorithm of this sweep has"),
            ({"y": "speed"}, "give one of mean_rejections"),
        ],
    )
    def test_refuses(self, swept, options, message):
        with pytest.raises(InputError, match=message):
            plot.sweep(swept, **options)

    def test_refuses_what_is_no_sweep(self, simulated):
        with pytest.raises(InputError, match=r"not a result of specsim\.sweep"):
            plot.sweep(simulated)


def test_notebooks_show_pictures(swept):
    """Without pyplot, so that the text of a figure would be shown otherwise."""
    for figure in (plot.pair(PAIR), plot.laws(PAIR, ALGORITHM), plot.sweep(swept)):
        assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        ("expect", PAIR, ALGORITHM),
        ("simulate", PAIR, ALGORITHM, "--runs", "100", "--seed", "1"),
        ("plan", PAIR, "--algorithm", ALGORITHM, "--batch", "1,4"),
        ("compare", PAIR, ALGORITHM, "--runs", "100"),
        (
            "sweep",
            "--pair",
            PAIR,
            "--algorithm",
            "speculative:draft_length={1,2}",
            "--runs",
            "10",
            "--seed",
            "1",
        ),
    ],
)
def test_commands_draw(arguments, tmp_path):
    for ending, begin in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        file = tmp_path / f"picture{ending}"
        result = CliRunner().invoke(main, [*arguments, "--plot", str(file)])
        assert result.exit_code == 0, result.output
        assert file.read_bytes().startswith(begin)
    result = CliRunner().invoke(main, [*arguments, "--plot", str(tmp_path / "picture.txt")])
    assert result.exit_code == 2
    assert "give a name that ends in .png, .svg, .pdf" in result.stderr
