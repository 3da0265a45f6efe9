"""All rules on one pair: how near each comes to the best lossless rule on its drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, catalogue
from specsim.comparison.compare import Limits, theory_of
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact, row
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.validation.instances import four_tokens_rounded

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_HORIZON = 3
_LENGTH = 2
_ROUNDING = 1e-9
#: What is no rule to choose: tables that are given, and an erratum of the paper.
_LEFT_OUT = ("rejection-based", "batch-as-printed")
_LOSSY = "#A87500"

_CAPTION = (
    "Expected accepted length of a round of drafts of two tokens, one path (upper part) or two (lower part), "
    "for every rule of the catalogue on one pair of rows (target .50, .30, .15, .05; draft .20, .45, .10, "
    ".25 at every position). Black: the largest that any lossless rule can have with these drafts, by block "
    "verification or a linear programme with a certificate; grey: the joint bound. Exact; nothing is "
    "simulated. Rules that are not lossless (orange) have beside their names the total variation distance of "
    "a text of three tokens from the target."
)


def algorithms() -> list[Algorithm]:
    """Return every rule on one path of two tokens, or on two where it takes several, for each drawing."""
    found: list[Algorithm] = []
    for several in (False, True):
        for rule in catalogue().values():
            if rule.name in _LEFT_OUT or ("paths" in rule.structures) is not several:
                continue
            options: dict[str, Any] = {"drafts": 2} if several else {}
            for name, entry in rule.parameters.items():
                if entry.kind in ("number", "whole"):
                    # The middle one of the values that it is tested with: the ends do nothing, or all.
                    options[name] = sorted(entry.examples)[len(entry.examples) // 2]
            # The usual drawing is what an algorithm has when none is named.
            for drawn in (None, *rule.drawings[1:]):
                found.append(rule(draft_length=_LENGTH, drawn=drawn, **options))
    return found


def data(task: Task) -> xarray.Dataset:
    """Compute what theory says of every rule."""
    import xarray

    pair = four_tokens_rounded(_HORIZON)
    limits: Limits = {}
    listed = [(algorithm, theory_of(pair, algorithm, _HORIZON, limits)) for algorithm in algorithms()]
    known = [(algorithm, found) for algorithm, found in listed if np.isfinite(found["accepted"])]

    def column(name: str, meaning: str) -> tuple[str, list[float], dict[str, str]]:
        return "algorithm", [found[name] for _, found in known], {"long_name": meaning}

    return xarray.Dataset(
        {
            "accepted": column("accepted", "expected accepted length of a round"),
            "optimum": column("optimum", "the largest of a lossless rule with these drafts"),
            "joint_bound": column("joint_bound", "overlap of drafted and emitted prefixes"),
            "distance": column("distance", "total variation distance of three tokens from the target"),
            "lossless": ("algorithm", [int(algorithm.lossless) for algorithm, _ in known]),
            "drafts": ("algorithm", [_drafts(algorithm) for algorithm, _ in known]),
        },
        coords={"algorithm": [str(algorithm.label) for algorithm, _ in known]},
        attrs=task.attributes(pair=pair.name, pair_identity=pair.identity, horizon=_HORIZON),
    )


def _drafts(algorithm: Algorithm) -> int:
    return len(algorithm.structure(_HORIZON).children(0))


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw a bar for each rule, the best lossless ones of each part first."""
    ordered = dataset.sortby([dataset["drafts"], -dataset["lossless"], -dataset["accepted"]])
    places = np.arange(ordered.sizes["algorithm"]) + 1.0 * (ordered["drafts"].values > 1)
    figure = style.new_figure(6.4, 0.9 + 0.165 * len(places))
    axes = figure.subplots()
    lossless = ordered["lossless"].values.astype(bool)
    colours = np.where(lossless, style.SIMULATED, _LOSSY)
    axes.barh(places, ordered["accepted"].values, color=colours, height=0.62, alpha=0.8)
    axes.plot(ordered["optimum"].values, places, "|", color=style.EXACT, markersize=7, markeredgewidth=1.6)
    axes.plot(ordered["joint_bound"].values, places, "|", color=style.MUTED, markersize=7)
    names = [_short(str(name)) for name in ordered["algorithm"].values]
    labels = [
        name if right else f"{name}  TV {distance:.3f}"
        for name, right, distance in zip(names, lossless, ordered["distance"].values, strict=True)
    ]
    axes.set_yticks(places, labels, fontsize=7)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlabel("Expected accepted length of a round")
    axes.grid(visible=False, axis="y")
    return figure


def _short(label: str) -> str:
    name, _, rest = label.partition(":")
    known = ("draft_length=", "drafts=", "bonus=")
    left = [part for part in rest.split(",") if part and not part.startswith(known)]
    return " ".join([name, *left])


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold lossless rules against the limits, and known values against theory."""
    lossless = dataset.isel(algorithm=dataset["lossless"].values == 1)
    over = float((lossless["accepted"] - lossless["optimum"]).max())
    distance = float(lossless["distance"].max())
    beyond = float((dataset["optimum"] - dataset["joint_bound"]).max())
    lossy = dataset.isel(algorithm=dataset["lossless"].values == 0)
    faster = lossy.isel(algorithm=(lossy["accepted"] > lossy["optimum"] + _ROUNDING).values)

    def at(label: str) -> float:
        return float(dataset["accepted"].sel(algorithm=label))

    return [
        exact("token verification", 1.0725, round(at("ratio:draft_length=2,bonus=yes"), 8), ".65 + .65^2"),
        exact(
            "block verification",
            1.135,
            round(at("block:draft_length=2,bonus=yes"), 8),
            "the optimum, 227/200",
        ),
        _no_more("lossless rules: largest excess over the optimum", over),
        _no_more("lossless rules: largest distance from the target", distance),
        _no_more("largest excess of the optimum over the joint bound", beyond),
        row(
            "rules that accept more than the optimum",
            0.0,
            float(faster.sizes["algorithm"]),
            "a lossless rule cannot",
            "all of them biased" if (faster["distance"] > _ROUNDING).all() else "NOT all biased",
            passed=bool((faster["distance"] > _ROUNDING).all()),
        ),
    ]


def _no_more(quantity: str, value: float) -> Row:
    fine = value <= _ROUNDING
    return row(quantity, 0.0, value, "at most 0", "holds" if fine else "does NOT hold", passed=fine)


FIGURES = {"all-rules": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
