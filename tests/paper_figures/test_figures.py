"""The numbers that the figures are made to show, and how they look, as far as a program can see it.

One file, so that one process draws every figure once.
"""

import math
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from specsim.paper_figures import FigureEffort, draw, names, registry, style
from specsim.paper_figures.comparison import CLEAR_MISS, simulation_meets, simulation_misses
from specsim.paper_figures.paper_values import FIGURE_2B_LINES, FIGURE_5C

SHIFTED = {
    "figure-2b": {4: 14.2198, 5: 14.0120},
    "figure-2c": {50: 12.742, 100: 12.578, 500: 12.405, 2000: 12.344},
    "figure-5b": {2: 30.960},
    "figure-5c": {
        2: 30.960, 5: 28.735, 10: 27.584, 20: 26.739, 50: 25.978, 150: 25.474, 200: 25.394, 400: 25.258,
        1000: 25.161, 2000: 25.127,
    },
}  # fmt: skip
EXACT = {
    "figure-2a": {1: 16.4049},
    "figure-2b": {4: 14.0901, 5: 13.8684},
    "figure-2c": {1: 16.4049, 2: 15.0023, 4: 14.0901, 5: 13.8684, 10: 13.3150, 100: 12.3460, 2000: 12.1045},
    "figure-5a": {1: 33.5348},
    "figure-5b": {2: 30.8675},
    "figure-5c": {1: 33.5348, 2: 30.8675, 5: 28.5981, 50: 25.8509, 1000: 25.0048, 2000: 24.9678},
}
DEVIATIONS = {"figure-2a": {1: 3.329}, "figure-2b": {4: 2.739, 5: 2.679}, "figure-5b": {2: 4.241}}


@pytest.mark.parametrize("name", SHIFTED)
def test_shifted_sums__are_the_lines_of_the_paper(drawing, name):
    for drafts, value in SHIFTED[name].items():
        assert float(drawing(name).dataset["shifted"].sel(drafts=drafts)) == pytest.approx(value, abs=5.1e-4)


@pytest.mark.parametrize("name", EXACT)
def test_exact_means__are_those_of_the_corrected_algorithm(drawing, name):
    for drafts, value in EXACT[name].items():
        assert float(drawing(name).dataset["expected"].sel(drafts=drafts)) == pytest.approx(value, abs=5.1e-5)
    for drafts, value in DEVIATIONS.get(name, {}).items():
        found = float(drawing(name).dataset["standard_deviation"].sel(drafts=drafts))
        assert found == pytest.approx(value, abs=5.1e-4)


@pytest.mark.slow
def test_limits__for_infinitely_many_drafts(drawing):
    assert float(drawing("figure-2c").dataset["limit"]) == pytest.approx(12.0994, abs=5.1e-5)
    assert float(drawing("figure-5c").dataset["limit"]) == pytest.approx(24.9515, abs=5.1e-5)


@pytest.mark.parametrize("name", registry.names())
def test_comparison__holds_and_is_complete(drawing, name):
    drawn = drawing(name)
    assert drawn.passed
    assert drawn.comparison
    for row in drawn.comparison:
        assert row.quantity
        assert row.source
        assert row.verdict
        assert math.isfinite(row.ours)
        assert "NOT" not in row.verdict


def test_every_plotted_value__is_compared(drawing):
    quantities = [row.quantity for row in drawing("figure-5c").comparison]
    for drafts in FIGURE_5C:
        assert any(quantity.startswith(f"M = {drafts}:") for quantity in quantities)


def test_simulation__meets_the_truth_and_refutes_the_plotted_lines():
    effort = FigureEffort(name="test", main_runs=200_000, point_runs=1, cell_runs=1)
    drawn = draw("figure-2b", effort=effort, seed=5)
    rows = [row for row in drawn.comparison if row.unit == "sigma" and row.required]
    met = [row for row in rows if row.source == "exact"]
    missed = [row for row in rows if row.source != "exact"]
    assert len(met) == len(missed) == 2
    assert all(abs(row.difference) < 6 for row in met)
    assert all(row.difference < -CLEAR_MISS for row in missed)
    assert drawn.passed


def test_comparison__fails_when_the_simulation_follows_the_plotted_line(drawing):
    dataset = drawing("figure-2b").dataset.copy(deep=True)
    module = registry.load("figure-2b")
    runs = 1_000_000
    dataset.attrs["all_runs"] = runs
    dataset["total"] = np.rint(dataset["shifted"] * runs).astype(np.int64)
    failed = [row for row in module.comparison(dataset) if row.required and not row.passed]
    assert {row.source for row in failed} == {
        "exact",
        *(f"{line.where} (read)" for line in FIGURE_2B_LINES.values()),
    }


def test_comparison__fails_when_the_shifted_sum_is_not_the_plotted_line(drawing):
    dataset = drawing("figure-2c").dataset.copy(deep=True)
    dataset["shifted"] = dataset["expected"]
    failed = [
        row for row in registry.load("figure-2c").comparison(dataset) if row.required and not row.passed
    ]
    assert [row.quantity for row in failed] == [
        f"M = {drafts}: shifted sum" for drafts in (50, 100, 500, 2000)
    ]


def test_comparison__fails_when_the_curve_rises(drawing):
    dataset = drawing("figure-2c").dataset.copy(deep=True)
    dataset["limit"] = dataset["limit"] + 0.1
    failed = [
        row for row in registry.load("figure-2c").comparison(dataset) if row.required and not row.passed
    ]
    assert [row.quantity for row in failed] == ["largest rise"]


def test_misses__are_not_demanded_of_few_runs():
    paper = FIGURE_2B_LINES[4]
    given = {"total": 14_090, "runs": 1_000, "expected": 14.0901, "variance": 7.5, "high": 50.0}
    row = simulation_misses("x", paper, **given, verdict="refuted")
    assert not row.required
    assert row.passed
    assert row.verdict == "too few runs to tell"


def test_meets__rejects_a_mean_that_is_off():
    given = {"runs": 200_000, "expected": 14.0901, "variance": 7.5, "high": 50.0}
    assert simulation_meets("x", total=2_818_020, **given).passed
    assert not simulation_meets("x", total=2_843_960, **given).passed


def test_bernoulli__limits_and_the_wrong_label(drawing):
    dataset = drawing("figure-3-bernoulli").dataset
    limits = dict(zip(dataset["curve"].values.tolist(), dataset["limit"].values.tolist(), strict=True))
    assert limits == pytest.approx({0.1: 0.4, 0.2: 0.3, 0.3: 0.2, 0.65: 0.15, 0.85: 0.35, 0.95: 0.45})
    assert float(dataset["mislabelled_limit"]) == pytest.approx(0.1)
    wrong = dataset.copy(deep=True)
    wrong["limit"] = wrong["limit"].where(wrong["curve"] != 0.3, 0.1)
    rows = registry.load("figure-3-bernoulli").comparison(wrong)
    assert [row.quantity for row in rows if not row.passed] == ["limit for Ber(0.3)"]


def test_improvement__is_that_of_whole_single_step_runs(drawing):
    dataset = drawing("figure-3-uniform").dataset
    one = dataset.sel(curve=5.0)
    assert float(one["improvement"].sel(drafts=4)) == pytest.approx(0.8 - 0.8**4)
    assert float(one["rejection"].sel(simulated=4)) == pytest.approx(0.8**4)
    off = dataset.copy(deep=True)
    off["rejected"] = off["rejected"].where(off["simulated"] != 8, 300)
    rows = registry.load("figure-3-uniform").comparison(off)
    assert not all(row.passed for row in rows)


def test_trade_off__is_on_the_front_and_near_the_papers_shape(drawing):
    dataset = drawing("figure-4b").dataset
    front = dataset.isel(decoder=0)
    total = float(dataset["total_variation"])
    np.testing.assert_allclose(front["bias_curve"] + front["rejection_curve"], total, atol=1e-12)
    assert total == pytest.approx(0.407, abs=0.01)
    assert (np.diff(front["rejection_curve"]) <= 1e-15).all()
    np.testing.assert_allclose(dataset["smallest_loss"], front["bias"], atol=1e-12)


def test_region__of_figure_4a_is_exact(drawing):
    dataset = drawing("figure-4a").dataset
    bands = dataset.sel(rejection=[0.0, 0.1, 0.35, 0.6, 1.0], method="nearest")
    np.testing.assert_allclose(bands["smallest_bias"], [0.35, 0.25, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(bands["largest_bias"], [0.35, 0.45, 0.65, 0.80, 0.95], atol=1e-12)


def test_sequence_front__has_the_known_heights(drawing):
    three = drawing("remark-6").dataset.sel(horizon=3)
    heights = three["rejections"].sel(part=[0, 0.25, 0.5, 0.75, 1]).values
    np.testing.assert_allclose(heights, [1, 0.641975, 0.333333, 0.120370, 0], atol=1e-6)


def test_schematic__has_the_exact_chain(drawing):
    dataset = drawing("figure-3-schematic").dataset
    rows = [[0.5, 0.3, 0.15, 0.05], [6 / 7, 0, 1 / 7, 0], [46 / 49, 0, 3 / 49, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(dataset["aimed"], rows, atol=1e-15)
    np.testing.assert_allclose(dataset["failing"], [7 / 20, 7 / 10, 181 / 245], atol=1e-15)
    np.testing.assert_allclose(dataset["bias"], [0, 1 / 35, 3 / 200], atol=1e-8)


def test_data__does_not_depend_on_threads():
    effort = FigureEffort(name="test", main_runs=2_000, point_runs=1, cell_runs=1, curve_runs=500)
    one, two = (draw("figure-2a", effort=effort, seed=3, threads=threads).dataset for threads in (1, 2))
    assert one.identical(two)
    other = draw("figure-2a", effort=effort, seed=4).dataset
    assert int(other["total"][0]) != int(one["total"][0])


def test_names__are_those_of_the_paper():
    assert names() == (
        *(f"figure-2{panel}" for panel in "abc"),
        *(f"figure-3-{panel}" for panel in ("schematic", "bernoulli", "uniform")),
        *(f"figure-4{panel}" for panel in "abc"),
        *(f"figure-5{panel}" for panel in "abc"),
        "table-1",
        "table-2",
        "remark-6",
        "all-rules",
        "gap-to-optimum",
        "faster-because-wrong",
        "tree-or-chain",
        "vocabulary-sizes",
        "drafter-depths",
        "pearl",
        "draft-policies",
        "ssd-fan-outs",
        "third-model",
    )


# How they look.

WORDS = {
    "figure-2a": ("16.4049  exact", "simulated"),
    "figure-2b": (
        "14.0901  exact, M = 4",
        "14.2198  paper's line*, M = 4",
        "the paper's own\nsimulation ends here",
    ),
    "figure-2c": ("paper's curve, shifted by an index (dashed)", "M → ∞: 12.0994"),
    "figure-3-schematic": ("T⁽⁴⁾", "rejected\n35 %", "next round: M new drafts"),
    "figure-3-bernoulli": ("Ber(0.3) → 0.2", "paper's “Ber(0.3)” → 0.1"),
    "figure-3-uniform": ("r = 50 → 0.98",),
    "figure-4a": ("attainable", "Pareto front"),
    "figure-4b": ("Decoding-OPT", "no decoder of\nthe family"),
    "figure-4c": ("sum = TV", "paper's rejection"),
    "figure-5a": ("33.5348  exact",),
    "figure-5b": ("30.8675  exact, M = 2", "30.9600  paper's line*, M = 2"),
    "figure-5c": ("M → ∞: 24.9515",),
    "table-1": ("0.040", "0.320", "p (Holm)"),
    "table-2": ("64.5 %",),
    "remark-6": ("3 tokens",),
    "all-rules": ("block-uncapped-whole", "TV 0."),
    "gap-to-optimum": ("K-SEQ", "optimum"),
    "faster-because-wrong": ("lossless rules", "block-uncapped-whole"),
    "tree-or-chain": ("chain of 4, block verification",),
    "vocabulary-sizes": ("all tokens", "likeliest of each row"),
    "drafter-depths": ("8 drafted", "wide, 12 layers"),
    "pearl": ("PEARL, exact", "4 draft steps per target call"),
    "draft-policies": ("best policy", "oracle"),
    "ssd-fan-outs": ("best split", "speculative decoding"),
    "third-model": ("Drafter accepted with 50%", "Time of two models / time of three"),
}
UNLABELLED = {"figure-3-schematic"}


def plotted(drawing, name):
    figure = registry.load(name).plot(drawing(name).dataset)
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure):
    """Return what is written; labels of ticks beyond the limits exist but are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    found = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text for text in found if text not in hidden]


@pytest.mark.parametrize("name", registry.names())
def test_plot__is_labelled_readable_free_of_collisions_and_leaves_the_data(drawing, name):
    before = drawing(name).dataset.copy(deep=True)
    with style.style():
        figure = plotted(drawing, name)
        assert before.identical(drawing(name).dataset)
        renderer = figure.canvas.get_renderer()
        found = texts(figure)
        words = {text.get_text() for text in found}
        for word in WORDS[name]:
            assert any(word in text for text in words), word
        if name not in UNLABELLED:
            for axes in figure.axes:
                assert axes.get_ylabel() or axes.get_yticklabels()
                assert axes.get_xlabel() or axes is not figure.axes[-1]
        boxes = []
        for text in found:
            assert text.get_fontsize() >= 7, text
            # Of the words alone; an annotation's own extent includes its leader.
            box = Text.get_window_extent(text, renderer)
            assert figure.bbox.x0 - 1 <= box.x0, text
            assert box.x1 <= figure.bbox.x1 + 1, text
            assert figure.bbox.y0 - 1 <= box.y0, text
            assert box.y1 <= figure.bbox.y1 + 1, text
            if text.get_rotation() % 90 == 0:
                boxes.append((text.get_text(), box))
        for (first, a), (second, b) in combinations(boxes, 2):
            wide = min(a.x1, b.x1) - max(a.x0, b.x0)
            high = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide <= 1 or high <= 2.5, (first, second)


@pytest.mark.parametrize("name", ["figure-2b", "figure-5b"])
def test_running_means__have_band_truth_and_the_papers_line(drawing, name):
    dataset = drawing(name).dataset
    (axes,) = plotted(drawing, name).axes
    assert len(axes.collections) >= dataset.sizes["drafts"]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--" or line.is_dashed()]
    assert [line.get_ydata()[0] for line in dashed] == pytest.approx(dataset["shifted"].values.tolist())
    solid = [line.get_ydata()[0] for line in axes.lines if line.get_color() == style.EXACT]
    assert solid == pytest.approx(dataset["expected"].values.tolist())


def test_rendering__gives_the_same_bytes_whatever_the_users_settings(drawing):
    drawn = drawing("figure-3-bernoulli")
    with matplotlib.rc_context(
        {"font.size": 20, "axes.grid": False, "lines.linewidth": 7, "svg.fonttype": "none"}
    ):
        figure = registry.load("figure-3-bernoulli").plot(drawn.dataset)
        svg, png = style.render(figure, title=drawn.title, salt="specsim-figure-3-bernoulli")
    assert svg == drawn.svg
    assert png == drawn.png
    assert "<dc:date>" not in svg


@pytest.mark.parametrize("name", registry.names())
def test_image__is_of_good_size(drawing, name):
    drawn = drawing(name)
    assert drawn.png.startswith(b"\x89PNG")
    assert b"pHYs" in drawn.png
    width = int.from_bytes(drawn.png[16:20], "big")
    assert width >= 200 * 3.5
    assert len(drawn.png) < 400_000
    assert drawn.svg.rstrip().endswith("</svg>")


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=8),
    gap=st.floats(0.01, 3),
)
def test_spread__separates_keeps_order_and_centre(values, gap):
    placed = style.spread(values, gap)
    order = np.argsort(values, kind="stable")
    assert (np.diff(placed[order]) >= gap - 1e-9).all()
    assert placed.mean() == pytest.approx(np.mean(values), abs=1e-9)
    if len(values) == 1 or np.diff(np.sort(values)).min() >= gap:
        np.testing.assert_allclose(placed, values)
