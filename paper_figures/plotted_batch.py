"""What the batch figures (2b, 2c, 5b, 5c) say of the paper's plotted lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from specsim.paper_figures.comparison import Row, against_paper, cited, remark, row, simulation_misses
from specsim.paper_figures.paper_values import PaperValue

if TYPE_CHECKING:
    import xarray

SHIFTED = "reproduced (erratum)"
REFUTED = "line refuted"


def plotted_rows(dataset: xarray.Dataset, lines: dict[int, PaperValue], runs: int) -> list[Row]:
    """Return, for each plotted line of a batch, what reproduces it and by how much the simulation misses it.

    dataset: with `shifted`, `expected`, `standard_deviation` and `total` by `drafts`; `total` is negative
        where nothing was simulated.
    lines: the paper's lines, by number of drafts.
    runs: number of runs of each total.
    """
    rows = []
    for number, paper in lines.items():
        one = dataset.sel(drafts=number)
        expected = float(one["expected"])
        if number == 1:
            rows.append(against_paper("M = 1: Theorem 1", paper, expected, slack=0.001))
            continue
        rows.append(against_paper(f"M = {number}: shifted sum", paper, float(one["shifted"]), agrees=SHIFTED))
        rows.append(
            remark(
                f"M = {number}: exact mean",
                paper,
                expected,
                "true; line is shifted"
                if abs(expected - paper.value) > paper.precision
                else "true; too close to tell",
            )
        )
        if int(one["total"]) >= 0:
            rows.append(
                simulation_misses(
                    f"M = {number}: simulated",
                    paper,
                    total=int(one["total"]),
                    runs=runs,
                    expected=expected,
                    variance=float(one["standard_deviation"]) ** 2,
                    high=float(dataset.attrs["horizon"]),
                    verdict=REFUTED,
                )
            )
    return rows


def end_rows(dataset: xarray.Dataset, ends: dict[int, PaperValue], runs: int = 20_000) -> list[Row]:
    """Return by how many standard errors the paper's own simulated curves miss the exact means.

    So far away, the simulation of the figure was not of the corrected Algorithm 4 either; why is unknown.

    dataset: with `expected` and `standard_deviation` by `drafts`.
    ends: ends of the paper's curves, by number of drafts.
    runs: runs of the paper's curves.
    """
    rows = []
    for number, paper in ends.items():
        one = dataset.sel(drafts=number)
        error = float(one["standard_deviation"]) / math.sqrt(runs)
        sigma = (float(one["expected"]) - paper.value) / error
        chance = math.erfc(abs(sigma) / math.sqrt(2))
        verdict = "their runs are off too" if abs(sigma) > 4 else f"p = {chance:.3f}"
        ours = float(one["expected"])
        rows.append(
            row(
                f"M = {number}: exact mean",
                paper.value,
                ours,
                cited(paper),
                verdict,
                required=False,
                sigma=sigma,
            )
        )
    return rows
