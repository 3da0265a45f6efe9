"""What `specsim.compare` found, as a table, a picture and a page."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.comparison.compare import QUANTITIES, TIMES
from specsim.support.showing import aligned, as_html, wrapped

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: More acceptances by position than this are not written in a line.
_POSITIONS = 8
#: A difference from a limit that is none.
_ROUNDING = 1e-9

#: Class of the page's style by the first word of what was found.
_KINDS = {"lossless": "agrees", "biased": "disagrees"}

LEGEND = (
    "Tokens per target call: up to the horizon; long runs: over very long runs. First round: expected number "
    "of accepted drafted tokens. Of optimum: its share of the most that any lossless rule accepts with these "
    "drafts; of joint bound: its share of an upper bound of that. By position: probability that at least 1, "
    "2, ... drafted tokens of the first round are accepted."
)
#: Headings of the second table.
_SECOND = (
    "algorithm",
    "long runs",
    "first round",
    "of optimum",
    "of joint bound",
    "by position",
    "computed by",
)


def text_of(data: xarray.Dataset) -> str:
    """Return the comparison as tables of plain text."""
    head, first, second = _tables(data)
    return "\n".join([*wrapped(head), "", *aligned(first), "", *aligned(second), "", *wrapped(LEGEND)])


def notebook_of(data: xarray.Dataset) -> str:
    """Return the comparison as HTML tables for a notebook."""
    import pandas

    head, *tables = _tables(data)
    first, second = (pandas.DataFrame(lines[1:], columns=lines[0]) for lines in tables)
    return as_html(head, first) + as_html("First round", second, LEGEND)


def _tables(data: xarray.Dataset) -> tuple[str, list[list[str]], list[list[str]]]:
    """Return a heading, and two tables with their headings first."""
    attributes = data.attrs
    head = (
        f"{attributes['pair']}, horizon {attributes['horizon']}: exact, then simulated "
        f"({attributes['runs']} runs, {attributes['level']:.4g} intervals)"
    )
    shown = quantities(data)
    first = [["algorithm", "output", *shown.values()]]
    second = [list(_SECOND)]
    for index in range(data.sizes["algorithm"]):
        row = data.isel(algorithm=index)
        name = str(row["algorithm"].item())
        first.append([name, output(row), *(_beside(row, quantity) for quantity in shown)])
        second.append(
            [
                name,
                number(row["stationary_block_efficiency"]),
                number(row["accepted"]),
                share(row, "optimum"),
                share(row, "joint_bound"),
                " ".join(f"{value:.3f}" for value in by_position(row)[:_POSITIONS]) or "-",
                known_by(row),
            ]
        )
    return head, first, second


def quantities(data: xarray.Dataset) -> dict[str, str]:
    """Return the words of what is both exact and simulated, by the name of the quantity."""
    return {name: words for name, words in (QUANTITIES | TIMES).items() if f"exact_{name}" in data}


def output(row: xarray.Dataset) -> str:
    """Say whether the output has the target's law, and whether more is accepted than a right rule can."""
    words = str(row["output"].item())
    limit = row["optimum"] if not math.isnan(float(row["optimum"])) else row["joint_bound"]
    if float(row["accepted"]) > float(limit) + _ROUNDING:
        words += ", accepts more than any lossless rule"
    return words


def number(value: Any) -> str:
    """Spell a number, or "-" where there is none."""
    return "-" if math.isnan(float(value)) else f"{float(value):.5g}"


def share(row: xarray.Dataset, limit: str) -> str:
    """Spell the accepted length of the first round as a share of a limit."""
    accepted, most = float(row["accepted"]), float(row[limit])
    if math.isnan(most):
        return "-"
    return f"{number(most)}" if math.isnan(accepted) or most == 0 else f"{accepted / most:.2%} of {most:.5g}"


def by_position(row: xarray.Dataset) -> list[float]:
    """Return the acceptance by position: exact where it is known, else simulated."""
    exact = row["exact_acceptance"].values
    chosen = exact if np.isfinite(exact).any() else row["mean_acceptance"].values
    return [float(value) for value in chosen if math.isfinite(value)]


def known_by(row: xarray.Dataset) -> str:
    """Say how theory, optimum and simulation were computed."""
    parts = [f"theory: {row['description'].item()}"]
    parts.append(f"optimum: {row['optimum_by'].item()}")
    parts.append(f"engine: {row['engine'].item()}")
    return ", ".join(parts)


def _beside(row: xarray.Dataset, quantity: str) -> str:
    mean, low, high = (float(row[f"{part}_{quantity}"]) for part in ("mean", "low", "high"))
    seen = "-" if math.isnan(mean) else f"{mean:.5g} [{low:.5g}, {high:.5g}]"
    return f"{number(row[f'exact_{quantity}'])}, {seen}"


def figure_of(data: xarray.Dataset) -> Figure:
    """Draw tokens per call, the first round and its limits, and acceptance by position."""
    from specsim.paper_figures import style

    @style.styled
    def draw() -> Figure:
        count = data.sizes["algorithm"]
        figure = style.new_figure(9.6, 1.6 + 0.34 * count)
        left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1])
        colours = [_colour(data.isel(algorithm=index)) for index in range(count)]
        _draw_tokens(left, data, colours)
        _draw_first_round(middle, data, colours)
        _draw_positions(right, data)
        for axes in (middle, right):
            axes.sharey(left)
            axes.tick_params(labelleft=False)
        return figure

    return draw()


def _colour(row: xarray.Dataset) -> str:
    from specsim.paper_figures import style

    words = str(row["output"].item())
    if words.startswith("lossless"):
        return style.SIMULATED
    return style.PAPER if words.startswith("biased") else "#A87500"


def _draw_tokens(axes: Axes, data: xarray.Dataset, colours: list[str]) -> None:
    rows = np.arange(len(colours))
    mean, low, high = (data[f"{part}_block_efficiency"].values for part in ("mean", "low", "high"))
    for row, colour in zip(rows, colours, strict=True):
        if math.isfinite(mean[row]):
            axes.plot([low[row], high[row]], [row, row], color=colour, linewidth=4, alpha=0.45)
        axes.plot(data["exact_block_efficiency"].values[row], row, "|", color=colour, markersize=11, mew=1.8)
        axes.plot(data["stationary_block_efficiency"].values[row], row, "d", color=colour, markersize=4)
    labels = [
        f"{name}\n{words}"
        for name, words in zip(data["algorithm"].values, data["output"].values, strict=True)
    ]
    axes.set_yticks(rows, labels, fontsize=6.5)
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Tokens per target call; shaded:\nsimulated, |: exact, diamond: long runs", fontsize=7.5)


def _draw_first_round(axes: Axes, data: xarray.Dataset, colours: list[str]) -> None:
    from specsim.paper_figures import style

    rows = np.arange(len(colours))
    axes.barh(rows, np.nan_to_num(data["accepted"].values), color=colours, height=0.5, alpha=0.75)
    axes.plot(data["optimum"].values, rows, "|", color=style.EXACT, markersize=14, mew=2)
    axes.plot(data["joint_bound"].values, rows, "|", color=style.MUTED, markersize=14, mew=1.2)
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "Accepted in the first round; black:\nbest lossless rule, grey: joint bound", fontsize=7.5
    )


def _draw_positions(axes: Axes, data: xarray.Dataset) -> None:
    """Shade the acceptance of each position in the row of its algorithm; few positions have numbers."""
    from matplotlib.ticker import MaxNLocator

    from specsim.paper_figures import style

    exact = data["exact_acceptance"].values
    known = np.isfinite(exact).any(axis=1)
    values = np.where(known[:, None], exact, data["mean_acceptance"].values)
    positions = data["position"].values
    edges = np.arange(len(positions) + 1) + 0.5
    rows = np.arange(len(values) + 1) - 0.5
    axes.pcolormesh(edges, rows, np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=1.3)
    if len(positions) <= _POSITIONS:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                text = f"{value:.3f}" if len(positions) <= _POSITIONS // 2 else f"{value:.2f}"
                axes.text(
                    float(positions[column]),
                    float(row),
                    text,
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color=style.EXACT,
                )
    axes.set_xlim(0.5, len(positions) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False)
    axes.set_xlabel("Pr(at least this many accepted),\nfirst round", fontsize=7.5)


def page_of(data: xarray.Dataset) -> str:
    """Return table and picture as one HTML page that needs nothing else."""
    from jinja2 import Environment, PackageLoader

    from specsim.paper_figures.style import render

    svg, _ = render(figure_of(data), title="specsim compare", salt="specsim-compare")
    rows = []
    for index in range(data.sizes["algorithm"]):
        row = data.isel(algorithm=index)
        words = str(row["output"].item())
        rows.append(
            {
                "name": str(row["algorithm"].item()),
                "output": output(row),
                "kind": "agrees"
                if words.startswith("lossless")
                else "disagrees"
                if words.startswith("biased")
                else "undecided",
                "quantities": [_cells(row, quantity) for quantity in quantities(data)],
                "endless": number(row["stationary_block_efficiency"]),
                "accepted": number(row["accepted"]),
                "of_optimum": share(row, "optimum"),
                "of_joint": share(row, "joint_bound"),
                "positions": [f"{value:.4g}" for value in by_position(row)],
                "distance": number(row["distance"]),
                "distance_of": str(row["distance_of"].item()),
                "known_by": known_by(row),
            }
        )
    environment = Environment(
        loader=PackageLoader("specsim.validation", "templates"), autoescape=True, trim_blocks=True
    )
    return environment.get_template("compare.html.jinja").render(
        data=data.attrs,
        rows=rows,
        heads=list(quantities(data).values()),
        legend=LEGEND,
        picture="data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii"),
    )


def _cells(row: xarray.Dataset, quantity: str) -> tuple[str, str, str]:
    mean, low, high = (row[f"{part}_{quantity}"] for part in ("mean", "low", "high"))
    interval = "" if math.isnan(float(mean)) else f"{number(low)} to {number(high)}"
    return number(row[f"exact_{quantity}"]), number(mean), interval
