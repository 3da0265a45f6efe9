"""A picture of an observed law and the expected one."""

import base64
import io

import numpy as np

from specsim.validation.conformance.results import Picture

#: Cells that are drawn; of more, the ones that differ most.
MOST_CELLS = 64

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_EXPECTED = "#222222"
_OBSERVED = "#0072B2"


def draw(picture: Picture) -> str:
    """Return the picture as SVG text.

    Points with 95 % intervals are observed frequencies, steps the expected law; below, the difference in
    standard errors of the expected law.
    """
    import matplotlib
    from matplotlib.figure import Figure

    observed, expected = np.array(picture.observed), np.array(picture.expected)
    errors = np.sqrt(np.maximum(expected * (1 - expected), 1e-300) / max(picture.samples, 1))
    chosen = np.arange(len(expected))
    if len(chosen) > MOST_CELLS:
        worst = np.argsort(-np.abs(observed - expected) / np.maximum(errors, 1e-12))[:MOST_CELLS]
        chosen = np.sort(worst)
    observed, expected, errors = observed[chosen], expected[chosen], errors[chosen]
    places = np.arange(len(chosen))
    with matplotlib.rc_context({"svg.hashsalt": "specsim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.stairs(expected, np.arange(len(chosen) + 1) - 0.5, color=_EXPECTED, label="expected")
        spread = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 0) / max(picture.samples, 1))
        top.errorbar(places, observed, yerr=spread, fmt="o", ms=3, lw=1, color=_OBSERVED, label="observed")
        top.set_ylabel("probability")
        top.set_ylim(bottom=0)
        top.legend(frameon=False, ncols=2, loc="upper right")
        bottom.axhline(0, color=_EXPECTED, lw=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            sigmas = np.where(errors > 1e-12, (observed - expected) / errors, 0.0)
        bottom.vlines(places, 0, sigmas, color=_OBSERVED, lw=1.5)
        bottom.set_ylabel("difference\n(std. errors)")
        if len(chosen) <= 20:
            labels = [_short(picture.cells[int(cell)]) for cell in chosen]
            bottom.set_xticks(places, labels, rotation=60, ha="right")
        else:
            bottom.set_xlabel("cell" if len(chosen) == len(picture.expected) else "cells that differ most")
        for axes in (top, bottom):
            axes.spines[["top", "right"]].set_visible(False)
        sheet = io.StringIO()
        figure.savefig(sheet, format="svg", metadata={"Date": None})
    return sheet.getvalue()


def data_uri(svg: str) -> str:
    """Return SVG text as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _short(name: str) -> str:
    return name.rpartition(": ")[2]
