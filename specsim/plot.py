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
from specsim.comparison.summaries import check_simulation
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

    from specsim.planner.plan import Plan
    from specsim.testing import CheckResult, ConformanceReport

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
        check_simulation("simulated", simulated, pair, algorithm)
        if horizon not in (None, simulated.attrs["horizon"]):
            raise InputError(
                f"horizon is {horizon}, but simulated has {simulated.attrs['horizon']}; leave it out"
            )
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
    from matplotlib.ticker import MaxNLocator

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
        for axis in (*(axes.xaxis for axes in panels), *(axes.yaxis for axes in panels[:2])):
            axis.set_major_locator(MaxNLocator(integer=True))
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


@style.styled
def plan(plan: Plan) -> Figure:
    """Draw a plan: the speed-up of every candidate, with its interval, at each batch size.

    Parameters
    ----------
    plan
        A result of `specsim.plan`. Filled points are the best candidate and those that the data cannot
        distinguish from it.

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> import specsim
    >>> found = specsim.plan("paper:20", costs="draft=0.1", algorithms=[specsim.Speculative(draft_length=2)])
    >>> [text.get_text() for text in specsim.plot.plan(found).axes[0].get_yticklabels()]
    ['plain', 'speculative:draft_length=2,bonus=yes']
    """
    choices = getattr(plan, "choices", None)
    if not choices:
        raise InputError("plan is not a result of specsim.plan; give one")
    labels = [row.label for row in choices[0].rows]
    figure, axes = style.canvas(6.2, 1.1 + 0.2 * len(labels) * max(1.0, 0.5 * len(choices)))
    # Batch sizes next to one another in each candidate's row.
    offsets = np.linspace(-0.2, 0.2, len(choices)) if len(choices) > 1 else np.zeros(1)
    for index, (choice, offset) in enumerate(zip(choices, offsets, strict=True)):
        colour = style.SERIES[(index + 1) % len(style.SERIES)]
        leading = {choice.best, *choice.undecided}
        for place, row in enumerate(choice.rows):
            axes.plot([row.low, row.high], [place + offset] * 2, "-", color=colour)
            fill = colour if row.label in leading else "white"
            axes.plot(row.speed_up, place + offset, "o", color=colour, markerfacecolor=fill, markersize=4.5)
        axes.plot([], [], "o", color=colour, label=f"batch {choice.batch}")
    axes.axvline(1.0, color=style.MUTED, linewidth=0.8, linestyle="--")
    axes.set_yticks(np.arange(len(labels)), labels, fontsize=7)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("speed-up over plain decoding; filled: best, or undecided")
    figure.suptitle(f"{plan.source}\ncosts: {plan.costs}", fontsize=9, x=0.01, ha="left")
    if len(choices) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@style.styled
def evidence(report: ConformanceReport | CheckResult) -> Figure:
    """Draw how the evidence against a sampler grew with the observations, check by check.

    Parameters
    ----------
    report
        What `specsim.testing.check_sampler` returned, or one of its checks. Checks without samples are left
        out. A triangle at the upper edge is evidence beyond it, infinite where something was observed that
        the expected law rules out.

    Raises
    ------
    InputError
        It is something else, or no check has looked at samples.

    Examples
    --------
    >>> import numpy as np
    >>> import specsim
    >>> def accept_none(target, draft, drafted, seed):
    ...     coins = np.random.default_rng(seed).random((len(target), 1))
    ...     first = (coins > target[:, 0].cumsum(axis=-1)[:, :-1]).sum(axis=-1)
    ...     return np.column_stack([first, drafted]), np.ones(len(target), int)
    >>> found = specsim.testing.check_sampler(accept_none, effort="quick", only=["first-token"])
    >>> specsim.plot.evidence(found).axes[0].get_xlabel()
    'observations'
    """
    checks: tuple[Any, ...] = getattr(report, "checks", (report,))
    looked = [check for check in checks if getattr(check, "looks", ())]
    if not looked:
        raise InputError("report has no check with samples; give a result of specsim.testing.check_sampler")
    threshold = looked[0].log10_threshold
    # Evidence for the expected law has no limit, and neither has that against a wrong one.
    low, high = -threshold, 2.5 * threshold
    figure, axes = style.canvas(6.2, 3.4)
    failed = [check for check in looked if check.looks[-1][1] >= threshold]
    for check in looked:
        samples, values = np.array(check.looks, dtype=np.float64).T
        shown = np.clip(values, low, high)
        if check not in failed:
            axes.plot(samples, shown, "-", color=style.MUTED, linewidth=0.9, alpha=0.7)
            continue
        colour = style.SERIES[1 + failed.index(check) % (len(style.SERIES) - 1)]
        axes.plot(samples, shown, "o-", color=colour, markersize=3, label=check.name)
        beyond = values > high
        axes.plot(samples[beyond], shown[beyond], "^", color=colour, markersize=7, clip_on=False)
    if len(failed) < len(looked):
        words = f"{len(looked) - len(failed)} checks that do not reject"
        axes.plot([], [], "-", color=style.MUTED, linewidth=0.9, label=words)
    from matplotlib.ticker import NullFormatter

    axes.axhline(threshold, color=style.EXACT, linewidth=0.9, linestyle="--", label="rejects")
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high)
    axes.set(xlabel="observations", ylabel="evidence against the law\n(powers of ten)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    whole: Any = report
    words = f"{whole.subject.name}: {whole.verdict.value}" if hasattr(whole, "subject") else whole.name
    axes.set_title(words)
    return figure


def check_file(path: str | Path) -> Path:
    """Return the path of a picture, before any work is done.

    InputError: its name ends in none of `FORMATS`.

    Examples
    --------
    >>> from specsim.plot import check_file
    >>> check_file("picture.svg").suffix
    '.svg'
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
    form = chosen.suffix[1:].lower()
    # Without the time of writing, the same figure gives the same bytes.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with replacing(chosen) as temporary, style.style():
        figure.savefig(temporary, format=form, metadata=dates.get(form))
