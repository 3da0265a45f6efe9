"""How far recursive rejection and K-SEQ are from the best use of several drafts, over random rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import get_rule
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact, row
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.theory.statements.transport_acceptance import transport_acceptance
from specsim.theory.step_laws import step_law_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAFTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_PAIRS = 1000
_TOKENS = 8
_ROUNDING = 1e-12
_RULES = {"recursive": "recursive (Algorithm 4)", "k-seq": "K-SEQ"}

_CAPTION = (
    "Acceptance of one token from M independent drafts, for 1,000 pairs of rows of 8 tokens drawn uniformly "
    "from all laws. Upper panel: the median of the optimum (optimal transport, a minimum over sets of "
    "tokens), of K-SEQ, and of recursive rejection sampling, which is the root of Algorithm 4. Lower panel: "
    "as a share of the optimum of the same pair, the median and the range of the middle 98 %; dashed: what "
    "is proved of K-SEQ, 1 - (1 - 1/M)^M. Exact; nothing is simulated but the rows."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the acceptances of every pair and number of drafts."""
    import xarray

    generator = np.random.default_rng(task.seed)
    target, draft = generator.dirichlet(np.ones(_TOKENS), size=(2, _PAIRS))
    accepted: dict[str, Any] = {"optimum": [transport_acceptance(target, draft, m) for m in DRAFTS]}
    recursive, k_seq = (step_law_of(get_rule(name)) for name in _RULES)
    assert recursive.node_total is not None
    assert k_seq.node is not None
    accepted["recursive"] = [recursive.node_total(target, draft, m)[0].sum(axis=-1) for m in DRAFTS]
    accepted["k-seq"] = [k_seq.node(target, draft, m)[0].sum(axis=(-2, -1)) for m in DRAFTS]
    return xarray.Dataset(
        {
            name.replace("-", "_"): (("drafts", "pair"), values, {"long_name": f"acceptance: {name}"})
            for name, values in accepted.items()
        },
        coords={"drafts": list(DRAFTS)},
        attrs=task.attributes(tokens=_TOKENS, pairs=_PAIRS),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the medians above, the shares of the optimum below."""
    figure = style.new_figure(4.8, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    drafts = dataset["drafts"].values
    upper.plot(drafts, dataset["optimum"].median("pair"), color=style.EXACT)
    for (name, _), colour in zip(_RULES.items(), (style.PAPER, style.SIMULATED), strict=True):
        values = dataset[name.replace("-", "_")]
        upper.plot(drafts, values.median("pair"), color=colour)
        share = values / dataset["optimum"]
        lower.fill_between(
            drafts, share.quantile(0.01, "pair"), share.quantile(0.99, "pair"), color=colour, alpha=0.16
        )
        lower.plot(drafts, share.median("pair"), color=colour)
    lower.plot(drafts, 1 - (1 - 1 / drafts) ** drafts, "--", color=style.MUTED, linewidth=1)
    _words(upper, lower)
    lower.set_xscale("log", base=2)
    lower.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    lower.minorticks_off()
    lower.set_xlabel("Independent drafts M")
    upper.set_ylabel("Median acceptance")
    lower.set_ylabel("Share of the optimum")
    upper.set_ylim(top=1.02)
    lower.set_ylim(0.58, 1.02)
    figure.align_ylabels()
    return figure


def _words(upper: Axes, lower: Axes) -> None:
    heading: dict[str, Any] = {"transform": upper.transAxes, "ha": "right", "va": "bottom", "fontsize": 7.5}
    upper.text(0.98, 0.28, "optimum", color=style.EXACT, **heading)
    upper.text(0.98, 0.16, "K-SEQ", color=style.SIMULATED, **heading)
    upper.text(0.98, 0.04, "recursive (Algorithm 4)", color=style.PAPER, **heading)
    lower.text(
        0.98,
        0.03,
        "dashed: proved of K-SEQ",
        transform=lower.transAxes,
        color=style.MUTED,
        ha="right",
        fontsize=7.5,
    )


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the order and the proved share on every pair; report medians and worst shares."""
    optimum, recursive, k_seq = dataset["optimum"], dataset["recursive"], dataset["k_seq"]
    floor = 1 - (1 - 1 / dataset["drafts"]) ** dataset["drafts"]
    first = dataset.sel(drafts=1)
    overlap = float(abs(first["optimum"] - first["recursive"]).max())
    rows = [
        exact("one draft: largest difference from the optimum", 0.0, overlap, "1 - TV for all rules"),
        _holds("recursive above K-SEQ, at most", float((recursive - k_seq).max())),
        _holds("K-SEQ above the optimum, at most", float((k_seq - optimum).max())),
        _holds("proved share of K-SEQ missed by, at most", float((floor - k_seq / optimum).max())),
    ]
    for drafts in (2, 4, 16, 64):
        share = (dataset / optimum).sel(drafts=drafts)
        for name, words in _RULES.items():
            values = share[name.replace("-", "_")]
            rows.append(
                row(
                    f"M = {drafts}: median share of {words}",
                    1.0,
                    float(values.median()),
                    "the optimum",
                    f"worst of {_PAIRS:,} pairs {float(values.min()):.3f}",
                    required=False,
                )
            )
    return rows


def _holds(quantity: str, value: float) -> Row:
    # K-SEQ's factor is bisected to about 2^-52.
    fine = value <= 1e-9
    return row(quantity, 0.0, value, "at most 0", "holds" if fine else "does NOT hold", passed=fine)


FIGURES = {"gap-to-optimum": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
