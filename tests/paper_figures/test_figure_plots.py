"""How the figures look, as far as a program can see it."""

from itertools import combinations

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from specsim.paper_figures import registry, style

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
def test_plot__is_labelled_readable_and_free_of_collisions(drawing, name):
    with style.style():
        figure = plotted(drawing, name)
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


def test_plot__does_not_change_the_data(drawing):
    for name in registry.names():
        before = drawing(name).dataset.copy(deep=True)
        registry.load(name).plot(drawing(name).dataset)
        assert before.identical(drawing(name).dataset)


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


def test_images__are_of_good_size(drawing):
    for name in registry.names():
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
