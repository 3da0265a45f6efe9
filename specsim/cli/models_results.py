"""How results on real models are shown: estimates with intervals, figures to files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.errors import InputError
from specsim.support.files import replacing

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: Suffixes that a figure can be written with.
SUFFIXES = (".png", ".svg")


def figure_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--figure``."""
    words = "Draw the result, as .png or .svg."
    return click.option("--figure", type=click.Path(path_type=Path), metavar="FILE", help=words)(command)


def written(out: Path | None, figure: Path | None) -> list[str]:
    """Return a line for each file that was written."""
    return [f"{what}: {path}" for what, path in (("result", out), ("figure", figure)) if path]


def check_figure(path: Path | None) -> None:
    """Raise `InputError` unless a figure can be written to a file of this name."""
    if path is not None and path.suffix not in SUFFIXES:
        raise InputError(f"figure is {path}; give a file name that ends in {' or '.join(SUFFIXES)}")


def write_figure(
    plot: Callable[[xarray.Dataset], Figure], dataset: xarray.Dataset, path: Path | None, title: str
) -> None:
    """Draw a result and write it as PNG or SVG, by the suffix of the file; nothing for None."""
    if path is None:
        return
    from specsim.paper_figures.style import render

    svg, png = render(plot(dataset), title=title, salt="specsim-models")
    with replacing(path) as temporary:
        temporary.write_bytes(png if path.suffix == ".png" else svg.encode("utf-8"))


def spelled(estimate: Iterable[float]) -> tuple[str, str, str]:
    """Return value, standard error and interval of an estimate as texts."""
    value, error, low, high = (float(number) for number in estimate)
    interval = "" if math.isnan(low) else f"{number(low)} .. {number(high)}"
    return number(value), "" if math.isnan(error) else f"{error:.2g}", interval


def number(value: float) -> str:
    """Return a number with as many digits as a reader wants."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def p_value(value: float) -> str:
    """Return a p-value as text."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def as_document(dataset: xarray.Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Return attributes and chosen variables of a result for JSON."""
    return {
        **{str(name): value for name, value in dataset.attrs.items()},
        **{str(name): values.values.tolist() for name, values in dataset.coords.items()},
        **{name: dataset[name].values.tolist() for name in names if name in dataset},
    }
