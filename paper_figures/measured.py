"""Figures of measurements on real models: Theorem 1 by place, accepted lengths, where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim.paper_figures import style
from specsim.paper_figures.win_rates import draw_win_rates

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of groups in which places are drawn.
_MOST_GROUPS = 32
_PART_COLOURS = {
    "prefill": style.MUTED,
    "draft": style.SECOND,
    "verify": style.SIMULATED,
    "overhead": style.PAPER,
}


@style.styled
def plot_measurement(dataset: xarray.Dataset) -> Figure:
    """Draw what `specsim.models.measure` returned: three panels, prediction beside measurement.

    Left, the probability of a rejection by place; middle, the law of the accepted length; right, wall-clock
    time per token of plain decoding and of the algorithm.
    """
    figure = style.new_figure(10.0, 3.1)
    by_place, lengths, times = figure.subplots(1, 3)
    _by_place(by_place, dataset)
    _lengths(lengths, dataset)
    _times(times, dataset)
    return figure


@style.styled
def plot_opt_against_uno(dataset: xarray.Dataset) -> Figure:
    """Draw what `specsim.models.opt_against_uno` returned, as Table 1 of 2411.00841 is drawn."""
    low, high = 100 * dataset["clopper_pearson"].values.min(), 100 * dataset["clopper_pearson"].values.max()
    span = (min(45.0, np.floor(low) - 2), max(55.0, np.ceil(high) + 2))
    return draw_win_rates(dataset, winner="Decoding-OPT", loser="UNO", span=span)


def _by_place(axes: Axes, dataset: xarray.Dataset) -> None:
    from matplotlib.ticker import MaxNLocator

    steps = dataset["step"].values
    groups = np.array_split(np.arange(len(steps)), min(_MOST_GROUPS, len(steps)))
    centres = [float(steps[group].mean()) for group in groups]
    predicted = dataset["predicted_rejection"].values
    rejected = dataset["outcome"].values == 1

    def curve(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        by_run = np.array([values[..., group].mean(axis=-1).ravel() for group in groups])
        return by_run.mean(axis=1), by_run.std(axis=1, ddof=min(1, by_run.shape[1] - 1)) / np.sqrt(
            by_run.shape[1]
        )

    mean, error = curve(predicted)
    axes.fill_between(centres, mean - 2 * error, mean + 2 * error, color=style.EXACT, alpha=0.2, linewidth=0)
    axes.plot(centres, mean, color=style.EXACT, label="predicted by the rows")
    mean, error = curve(rejected.astype(np.float64))
    axes.errorbar(
        centres, mean, yerr=2 * error, fmt="o", markersize=3, color=style.SIMULATED, label="happened"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("place in the continuation")
    axes.set_ylabel("rejections per token")
    axes.set_ylim(bottom=0)
    axes.legend()


def _lengths(axes: Axes, dataset: xarray.Dataset) -> None:
    from matplotlib.ticker import MaxNLocator

    lengths = dataset["accepted"].values
    value, _, low, high = dataset["accepted_length_law"].values.T
    bars = np.nan_to_num(np.abs(np.stack([value - low, high - value])))
    axes.errorbar(lengths, value, yerr=bars, fmt="o", markersize=3, color=style.SIMULATED, label="happened")
    if "predicted_accepted_length_law" in dataset:
        predicted = dataset["predicted_accepted_length_law"].values[:, 0]
        axes.plot(
            lengths,
            predicted,
            "_",
            markersize=14,
            markeredgewidth=1.6,
            color=style.EXACT,
            label="predicted by the rows",
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("accepted drafted tokens of a round")
    axes.set_ylabel("share of the rounds")
    axes.set_ylim(bottom=0)
    axes.legend()


def _times(axes: Axes, dataset: xarray.Dataset) -> None:
    tokens = int(dataset.attrs["new_tokens"]) * int(dataset.attrs["prompts"])
    medians = 1e3 * dataset["seconds"].median("repeat").values / tokens
    left = np.zeros(len(medians))
    for part, values in zip(dataset["part"].values.tolist(), medians.T, strict=True):
        axes.barh([0, 1], values, left=left, height=0.55, color=_PART_COLOURS[part], label=part)
        left += values
    axes.set_yticks([0, 1], ["plain", "this rule"])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds per token")
    axes.set_title(f"{float(dataset['speed_up_range'][0]):.2f} times as fast", fontsize=8)
    axes.legend(fontsize=7)
    axes.grid(False, axis="y")
