"""Faster because wrong: what is accepted against how far the output is from the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import catalogue, get_rule
from specsim.comparison.compare import Limits, theory_of
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact, row
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.validation.claims.variants import variants
from specsim.validation.instances import row_pair

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_LENGTH = 2
_LEFT_OUT = ("rejection-based", "batch-as-printed")
_MARKERS = "osD^vP*X<>hpdH8"
_ROUNDING = 1e-9

_CAPTION = (
    "Every rule for one path on one pair of rows (target 1/3, 2/3; draft 2/3, 1/3 at every position) with "
    "drafts of two tokens: expected accepted length of a round against the total variation distance of a "
    "text of two tokens from the target. Lossless rules stand at distance 0, none above block verification "
    "(11/9, the solid line, with a certificate). What stands above it in the grey region looks faster than "
    "the best right rule because it is wrong; above the dashed line, the joint bound of 4/3, no lossless "
    "verifier of any kind could be. Marks of one kind are one rule with different parameters. Exact; nothing "
    "is simulated."
)


def data(task: Task) -> xarray.Dataset:
    """Compute acceptance and distance of every rule that verifies one path, with each of its choices."""
    import xarray

    pair = row_pair((1 / 3, 2 / 3), (2 / 3, 1 / 3), horizon=_LENGTH, name="thirds")
    shapes = {"chain": ({"draft_length": _LENGTH},), "paths": (), "tree": ()}
    known_limits: Limits = {}
    listed = [
        (rule.name, algorithm, theory_of(pair, algorithm, _LENGTH, known_limits))
        for rule in catalogue().values()
        if "chain" in rule.structures and rule.name not in _LEFT_OUT
        for algorithm in variants(rule, pair, shapes)
    ]
    known = [entry for entry in listed if np.isfinite(entry[2]["accepted"])]
    limits = theory_of(pair, get_rule("block")(draft_length=_LENGTH), _LENGTH, known_limits)
    return xarray.Dataset(
        {
            "accepted": ("algorithm", [found["accepted"] for *_, found in known]),
            "distance": ("algorithm", [found["distance"] for *_, found in known]),
            "rule": ("algorithm", [name for name, *_ in known]),
            "lossless": ("algorithm", [int(algorithm.lossless) for _, algorithm, _ in known]),
            "optimum": ((), limits["optimum"], {"long_name": "the largest of a lossless rule"}),
            "joint_bound": ((), limits["joint_bound"], {"long_name": "the joint bound"}),
        },
        coords={"algorithm": [str(algorithm.label) for _, algorithm, _ in known]},
        attrs=task.attributes(pair=pair.name, pair_identity=pair.identity, horizon=_LENGTH),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw every rule by distance and acceptance."""
    figure = style.new_figure(6.6, 4.2)
    axes = figure.subplots()
    optimum, joint = float(dataset["optimum"]), float(dataset["joint_bound"])
    top = max(float(dataset["accepted"].max()), joint) + 0.08
    axes.axhspan(optimum, top, color="#EFEFEF", zorder=0)
    axes.axhline(optimum, color=style.EXACT, linewidth=1)
    axes.axhline(joint, color=style.MUTED, linewidth=1, linestyle="--")
    right = dataset.isel(algorithm=dataset["lossless"].values == 1)
    axes.plot(
        right["distance"], right["accepted"], "o", color=style.EXACT, markersize=4, label="lossless rules"
    )
    names = sorted(set(dataset["rule"].values[dataset["lossless"].values == 0]))
    for index, name in enumerate(names):
        one = dataset.isel(algorithm=dataset["rule"].values == name).sortby("distance")
        axes.plot(
            one["distance"],
            one["accepted"],
            _MARKERS[index % len(_MARKERS)],
            color=(style.PAPER, *style.SERIES[1:])[index % len(style.SERIES)],
            markersize=5,
            linestyle="none",
            alpha=0.85,
            label=name,
        )
    axes.set_ylim(min(0.7, float(dataset["accepted"].min()) - 0.05), top)
    axes.set_xlim(left=-0.012)
    axes.set_xlabel("Total variation distance of two tokens from the target")
    axes.set_ylabel("Expected accepted length of a round")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=7, frameon=False)
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Demand that what is faster is wrong, and hold known values."""
    above = dataset.isel(algorithm=(dataset["accepted"] > dataset["optimum"] + _ROUNDING).values)
    right = dataset.isel(algorithm=(dataset["distance"] <= _ROUNDING).values)
    wrong = bool((above["distance"] > _ROUNDING).all() and (above["lossless"] == 0).all())
    rows = [
        exact("block verification", 11 / 9, round(float(dataset["optimum"]), 8 + 1), "certificate, 11/9"),
        row(
            "rules above the optimum",
            0.0,
            float(above.sizes["algorithm"]),
            "no lossless rule is",
            "all biased" if wrong else "NOT all biased",
            passed=wrong,
        ),
        row(
            "largest of the rules at distance 0",
            float(dataset["optimum"]),
            float(right["accepted"].max()),
            "the optimum",
            "attained",
            passed=abs(float(right["accepted"].max() - dataset["optimum"])) < _ROUNDING,
        ),
    ]
    for name, distance, accepted in (
        ("block-uncapped-whole", 1 / 9, 4 / 3),
        ("block-token-residual", None, None),
        ("block-product-coins", None, None),
    ):
        one = dataset.isel(algorithm=dataset["rule"].values == name)
        for values, wanted, words in (
            (one["distance"].values, distance, "distance"),
            (one["accepted"].values, accepted, "accepted"),
        ):
            for value in values[:1].tolist():
                if wanted is not None:
                    rows.append(
                        exact(f"{name}: {words}", wanted, round(value, 8 + 1), "enumeration in rationals")
                    )
                else:
                    rows.append(row(f"{name}: {words}", 0.0, value, "theory", "reported", required=False))
    return rows


FIGURES = {"faster-because-wrong": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
