"""One look for all figures, and rendering to bytes that do not change from run to run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

#: Colours that stay apart for colour-blind readers (Okabe and Ito), by meaning.
EXACT = "#222222"
SIMULATED = "#0072B2"
PAPER = "#C44E00"
SECOND = "#007A5A"
THIRD = "#A8487F"
MUTED = "#777777"
#: For families of curves; `PAPER` is left out.
SERIES = ("#222222", "#0072B2", "#007A5A", "#A8487F", "#A87500", "#3C9BD6")


@contextmanager
def style(salt: str = "specsim") -> Iterator[None]:
    """Apply the style file over matplotlib's own defaults, whatever the user's settings are."""
    import matplotlib

    chosen = matplotlib.rc_params_from_file(
        Path(__file__).with_name("specsim.mplstyle"), use_default_template=True
    )
    values = {key: chosen[key] for key in chosen if not key.startswith(("backend", "webagg", "interactive"))}
    with matplotlib.rc_context():
        matplotlib.rcParams.update(values)
        matplotlib.rcParams["svg.hashsalt"] = salt
        yield


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a plot function draw in the project's style."""

    @wraps(plot)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return plot(*args, **kwargs)

    return inside


@cache
def _picture() -> type[Figure]:
    from matplotlib.figure import Figure as Base

    class Picture(Base):
        """A figure that notebooks show, which they do by themselves for figures of pyplot only."""

        def _repr_png_(self) -> bytes:
            png = io.BytesIO()
            with style():
                self.savefig(png, format="png", dpi=150)
            return png.getvalue()

    return Picture


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    return _picture()(figsize=(width, height))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a new figure of this size in inches, with one panel."""
    figure = new_figure(width, height)
    return figure, figure.subplots()


def render(figure: Figure, *, title: str, salt: str) -> tuple[str, bytes]:
    """Return the figure as SVG text and PNG bytes (240 dots per inch), the same bytes every time.

    figure: what to render.
    title: written into the metadata.
    salt: from which the identifiers inside the SVG are made.
    """
    svg, png = io.BytesIO(), io.BytesIO()
    with style(salt):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": "specsim", "Title": title})
        figure.savefig(png, format="png", dpi=240, metadata={"Software": "specsim", "Title": title})
    return svg.getvalue().decode("utf-8"), png.getvalue()


def spread(values: Any, gap: float) -> np.ndarray:
    """Return positions near `values`, in the same order, at least `gap` apart, with the same overall centre.

    For labels beside the ends of curves.
    """
    wanted = np.asarray(values, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    # Pool neighbours that are too close, each pool centred on the mean of what its members want.
    pools: list[list[float]] = []
    for value in wanted[order]:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-1][0] - pools[-2][0] < gap * (pools[-1][1] + pools[-2][1]) / 2:
            centre, size = pools.pop()
            before, count = pools.pop()
            pools.append([(centre * size + before * count) / (size + count), size + count])
    placed = [centre + gap * (index - (size - 1) / 2) for centre, size in pools for index in range(int(size))]
    out = np.empty_like(wanted)
    out[order] = placed
    return out


def end_labels(
    axes: Axes,
    x: float,
    values: Any,
    texts: list[str],
    colours: list[str],
    *,
    gap: float,
    offset: float = 0.04,
    size: float = 7.5,
) -> None:
    """Write labels to the right of the axes, moved apart where they would collide, with a thin leader each.

    axes: where to write.
    x: data coordinate at which the curves end.
    values, texts, colours: one per label.
    gap: least vertical distance in data units.
    offset: distance of the text from the axes, as a part of their width.
    size: font size in points.
    """
    from matplotlib.transforms import blended_transform_factory

    beside = blended_transform_factory(axes.transAxes, axes.transData)
    leader = {"arrowstyle": "-", "linewidth": 0.6, "alpha": 0.7, "shrinkA": 1, "shrinkB": 1}
    for value, place, text, colour in zip(values, spread(values, gap), texts, colours, strict=True):
        axes.annotate(
            text,
            xy=(x, value),
            xytext=(1 + offset, place),
            textcoords=beside,
            color=colour,
            fontsize=size,
            va="center",
            ha="left",
            annotation_clip=False,
            arrowprops={**leader, "color": colour},
        )
