"""Pictures of one's own results, in the style of the paper figures.

Every function takes what other functions return and gives a matplotlib Figure, which notebooks show and
`save` writes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.grammar import as_algorithm, as_pair
from specsim.pairs import ModelPair
from specsim.paper_figures import style
from specsim.support.arrays import Floats
from specsim.support.files import replacing
from specsim.support.intervals import check_confidence, clopper_pearson

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Formats that `save` writes, by the end of the file's name.
FORMATS = (".png", ".svg", ".pdf")
#: Most contexts and tokens whose rows are drawn cell by cell.
_MOST_CELLS = 64

#: Panels of `laws`: title, label of the axis, function of theory, variable of a simulation, first value.
_PANELS = (
    ("Rejection by position", "position", "rejections_by_step", "rejections_by_step", 1),
    ("Rejections per run", "rejections", "rejection_law", "rejection_count", 0),
    ("Target calls per run", "target calls", "target_call_law", "target_call_count", 0),
    ("Accepted tokens of a round", "accepted tokens", "accepted_length_law", "accepted_length_count", 0),
)


@style.styled
def laws(
    pair: ModelPair | str,
    algorithm: Algorithm | str,
    *,
    simulated: xarray.Dataset | None = None,
    horizon: int | None = None,
    level: float = 0.99,
) -> Figure:
    """Draw the laws of an algorithm on a pair: rejections, target calls, accepted tokens.

    Parameters
    ----------
    pair, algorithm
        What decodes, or their spellings.
    simulated
        A result of `specsim.simulate`, drawn with exact binomial intervals over theory's values. Rounds of
        one run depend on one another, so accepted tokens have no intervals. Defaults to None: theory alone.
    horizon
        Tokens per run. Defaults to None: that of `simulated`, or the pair's own.
    level
        Confidence of each interval by itself.

    Raises
    ------
    InputError
        `simulated` is a simulation of something else, or there is neither a simulation nor any law.

    Examples
    --------
    >>> import specsim
    >>> pair = specsim.paper_pair(6)
    >>> result = specsim.simulate(pair, "speculative:draft_length=2", runs=1000, seed=1)
    >>> figure = specsim.plot.laws(pair, "speculative:draft_length=2", simulated=result)
    >>> len(figure.axes)
    4
    """
    pair, algorithm = as_pair(pair), as_algorithm(algorithm)
    check_confidence(level)
    if simulated is not None:
        _check_simulation(simulated, pair, algorithm, horizon)
        horizon = int(simulated.attrs["horizon"])
    horizon = pair.check_horizon(horizon)
    figure = style.new_figure(7.2, 5.0)
    drawn = 0
    for axes, (title, words, function, variable, first) in zip(
        figure.subplots(2, 2).flat, _PANELS, strict=True
    ):
        exact = _theory(function, pair, algorithm, horizon)
        counts = None if simulated is None or variable not in simulated else simulated[variable].values
        # The rounds of a run depend on one another, so that counts of rounds have no binomial interval.
        runs = None if simulated is None or words == "accepted tokens" else int(simulated.attrs["runs"])
        drawn += _law_panel(axes, exact, counts, runs, first, level)
        axes.set(title=title, xlabel=words, ylabel="probability" if first else "share")
    if not drawn:
        raise InputError(f"no law of {algorithm.label} on {pair.name} is known; give simulated=")
    figure.axes[0].legend(loc="best")
    figure.suptitle(f"{algorithm.label} on {pair.name}, horizon {horizon}", fontsize=9, x=0.01, ha="left")
    return figure


def _check_simulation(
    simulated: xarray.Dataset, pair: ModelPair, algorithm: Algorithm, horizon: int | None
) -> None:
    attributes = getattr(simulated, "attrs", {})
    if not {"pair_identity", "runs", "horizon"} <= set(attributes):
        raise InputError("simulated is not a result of specsim.simulate; give one")
    for name, wanted in (("pair_identity", pair.identity), ("algorithm", algorithm.label)):
        if attributes.get(name) != wanted:
            raise InputError(
                f"simulated has the {name.replace('_', ' ')} {attributes.get(name)!r}, not {wanted!r}; give "
                "the pair and the algorithm that were simulated"
            )
    if horizon is not None and horizon != attributes["horizon"]:
        raise InputError(f"horizon is {horizon}, but simulated has {attributes['horizon']}; leave it out")


def _theory(function: str, pair: ModelPair, algorithm: Algorithm, horizon: int) -> Floats | None:
    from specsim import theory

    try:
        return np.asarray(getattr(theory, function)(pair, algorithm, horizon=horizon), dtype=np.float64)
    except (TooLargeError, UnsupportedError):
        return None


def _law_panel(axes: Axes, exact: Floats | None, counts: Any, runs: Any, first: int, level: float) -> bool:
    """Draw one law; return whether there was anything to draw. runs: None for counts of rounds."""
    if exact is None and counts is None:
        return False
    share = None if counts is None else counts / max(1, int(counts.sum()) if runs is None else runs)
    known = [law for law in (exact, share) if law is not None]
    shown = _support(np.maximum.reduce(known))
    at = first + np.arange(len(known[0]))[shown]
    if share is not None and runs is None:
        axes.plot(at, share[shown], "o", color=style.SIMULATED, label="simulated")
    elif share is not None:
        low, high = clopper_pearson(counts, runs, level)
        errors = np.abs(np.stack([share - low, high - share]))[:, shown]
        words = f"simulated, {level:.0%} interval"
        axes.errorbar(at, share[shown], errors, fmt="o", color=style.SIMULATED, label=words)
    if exact is not None:
        axes.plot(at, exact[shown], "_", color=style.EXACT, markersize=9, label="theory")
    axes.set_ylim(bottom=0)
    _whole_numbers(axes)
    return True


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _support(law: Floats) -> slice:
    """Return the range outside which nothing is to be seen."""
    seen = np.flatnonzero(law > 1e-4 * law.max(initial=0.0))
    return slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, len(law))


@style.styled
def pair(pair: ModelPair | str, *, step: int = 0) -> Figure:
    """Draw a pair: the rows of both models, and their total variation distance in each context.

    Parameters
    ----------
    pair
        A pair, or its spelling.
    step
        Which rows of a pair that is not stationary, counted from 0.

    Raises
    ------
    InputError
        There is no such step.

    Notes
    -----
    Rows are drawn for at most 64 contexts and tokens; of larger pairs only the distances, sorted.

    Examples
    --------
    >>> import specsim
    >>> len(specsim.plot.pair("paper:6").axes)
    4
    """
    pair = as_pair(pair)
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 0 <= step < pair.steps:
        raise InputError(f"step is {step!r}; the pair has rows for steps 0 to {pair.steps - 1}")
    target, draft = pair.target[step], pair.draft[step]
    distance = 0.5 * np.abs(target - draft).sum(axis=-1)
    small = max(target.shape) <= _MOST_CELLS
    figure = style.new_figure(*((7.6, 2.9) if small else (3.9, 2.7)))
    panels = list(figure.subplots(1, 3 if small else 1, squeeze=False).flat)
    if small:
        most = float(max(target.max(), draft.max()))
        for axes, rows, title in zip(panels, (target, draft), ("Target", "Draft"), strict=False):
            image = axes.imshow(rows, vmin=0, vmax=most, cmap="Greys", aspect="auto")
            axes.set(title=title, xlabel="token", ylabel="context")
            axes.grid(False)
        figure.colorbar(image, ax=panels[:2], shrink=0.8, label="probability")
        panels[2].bar(np.arange(pair.contexts), distance, color=style.SIMULATED)
        panels[2].set(xlabel="context")
    else:
        panels[0].plot(np.arange(1, pair.contexts + 1), np.sort(distance)[::-1], color=style.SIMULATED)
        panels[0].set(xlabel="contexts, by distance")
    panels[-1].set(title="Distance (TV)", ylabel="1 - acceptance of a token", ylim=(0, 1))
    of_step = "" if pair.stationary else f", step {step}"
    figure.suptitle(f"{pair.name}{of_step}", fontsize=9, x=0.01, ha="left")
    return figure


@style.styled
def sweep(dataset: xarray.Dataset, *, x: str = "draft_length", y: str = "block_efficiency") -> Figure:
    """Draw the result of a sweep: a line over a parameter for every pair and kind of algorithm.

    Parameters
    ----------
    dataset
        A result of `specsim.sweep`.
    x
        A parameter of the algorithms (``"draft_length"``, ``"drafts"``, ``"epsilon"``) or a number of the
        pairs (``"horizon"``, ``"contexts"``, ``"tokens"``).
    y
        ``"block_efficiency"``, ``"mean_rejections"`` or ``"mean_target_calls"``; drawn with two standard
        errors.

    Raises
    ------
    InputError
        The Dataset has no such coordinate or variable, or nothing varies along it.

    Examples
    --------
    >>> import specsim
    >>> found = specsim.sweep(specsim.paper_pair(6), "speculative", draft_lengths=[1, 2, 3], runs=100, seed=1)
    >>> len(specsim.plot.sweep(found).axes[0].lines) > 0
    True
    """
    if not {"pair", "algorithm"} <= set(getattr(dataset, "dims", ())):
        raise InputError("dataset is not a result of specsim.sweep; give one")
    if x not in dataset.coords or dataset[x].dims not in (("pair",), ("algorithm",)):
        known = [str(name) for name in dataset.coords if dataset[name].dims in (("pair",), ("algorithm",))]
        raise InputError(f"x is {x!r}; give one of {', '.join(known)}")
    if f"{y}_error" not in dataset:
        known = [str(name)[:-6] for name in dataset if str(name).endswith("_error")]
        raise InputError(f"y is {y!r}; give one of {', '.join(known)}")
    along = str(dataset[x].dims[0])
    values = np.asarray(dataset[x].values)
    if values.dtype.kind not in "iuf" or not np.isfinite(values.astype(float)).any():
        raise InputError(f"x is {x!r}, which no {along} of this sweep has as a number; give another one")
    figure, axes = style.canvas(4.8, 3.1)
    points = np.asarray(values, dtype=np.float64)
    other = "pair" if along == "algorithm" else "algorithm"
    for label, cells in _series(dataset, x, along, other):
        known_x = np.isfinite(points[cells[1]])
        chosen = cells[1][known_x][np.argsort(points[cells[1]][known_x], kind="stable")]
        part = dataset.isel({other: cells[0], along: chosen})
        if len(chosen):
            errors = 2 * np.nan_to_num(part[f"{y}_error"].values)
            axes.errorbar(points[chosen], part[y].values, errors, fmt="o-", label=label)
    axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    if along == "algorithm" and np.array_equal(points, np.round(points), equal_nan=True):
        _whole_numbers(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _series(dataset: xarray.Dataset, x: str, along: str, other: str) -> list[tuple[str, tuple[int, Any]]]:
    """Return, for each line, its name and where its points are: one index of `other`, many of `along`."""
    parameters = [name for name in ("keyword", "draft_length", "drafts", "epsilon") if name != x]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in range(dataset.sizes[along]):
        entry = dataset.isel({along: index})
        key: tuple[str, ...] = ()
        if along == "algorithm":
            given = [(name, entry[name].item()) for name in parameters if name in dataset.coords]
            key = tuple(
                str(value) if name == "keyword" else f"{name}={value:g}"
                for name, value in given
                if name == "keyword" or not math.isnan(value)
            )
        groups.setdefault(key, []).append(index)
    several = dataset.sizes[other] > 1
    return [
        (
            ", ".join([*key, *([str(name)] if several or not key else [])]),
            (position, np.array(indices)),
        )
        for position, name in enumerate(dataset[other].values)
        for key, indices in groups.items()
    ]


def check_file(path: str | Path) -> Path:
    """Return the path of a picture, before any work is done.

    InputError: its name ends in none of `FORMATS`.
    """
    chosen = Path(path)
    if chosen.suffix.lower() not in FORMATS:
        raise InputError(f"cannot draw to {str(path)!r}; give a name that ends in {', '.join(FORMATS)}")
    return chosen


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the end of the file's name.

    figure: what a function of this module returned.
    path: where; the file appears when it is whole.
    InputError: another ending, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import specsim
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     specsim.plot.save(specsim.plot.pair("paper:3"), f"{folder}/pair.png")
    """
    chosen = check_file(path)
    with replacing(chosen) as temporary, style.style():
        figure.savefig(temporary, format=chosen.suffix[1:].lower())
