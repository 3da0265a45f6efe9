"""Draw a figure: compute, plot, compare, render, write."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from specsim.errors import InputError
from specsim.paper_figures import registry
from specsim.paper_figures.comparison import Row
from specsim.paper_figures.efforts import FigureEffort, get_effort
from specsim.paper_figures.registry import Progress, Task
from specsim.paper_figures.style import render
from specsim.paper_figures.tabulate import HEADINGS, as_markdown
from specsim.support.checks import whole
from specsim.support.files import replacing, write_text
from specsim.support.showing import as_html, as_text

if TYPE_CHECKING:
    import xarray
    from pandas import DataFrame

#: The seed of figures drawn without one.
DEFAULT_SEED = 1


@dataclass(frozen=True, kw_only=True, repr=False)
class Drawn:
    """A figure, drawn; notebooks show it with its comparison.

    Attributes
    ----------
    name, title, caption
        What it is.
    svg
        The drawing as SVG text; the same bytes every time.
    png
        The drawing as PNG, 240 dots per inch.
    dataset
        Everything it shows, and how that was computed.
    comparison
        Held against the paper.
    files
        What was written.

    Examples
    --------
    >>> from specsim.paper_figures import FigureEffort, draw
    >>> tiny = FigureEffort(name="tiny", main_runs=1000, point_runs=300, cell_runs=300, curve_runs=300)
    >>> draw("figure-3-schematic", effort=tiny).passed
    True
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes
    dataset: xarray.Dataset
    comparison: tuple[Row, ...]
    files: tuple[Path, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every required row of the comparison holds."""
        return all(row.passed for row in self.comparison if row.required)

    def to_dataframe(self) -> DataFrame:
        """Return the comparison: quantity, ours, reference, source, difference and verdict of each row."""
        import pandas

        rows = [
            {**{name: getattr(row, name) for name in HEADINGS}, "required": row.required}
            for row in self.comparison
        ]
        return pandas.DataFrame(rows)

    def __str__(self) -> str:
        return as_text(self.title, self.to_dataframe(), self.caption)

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.png).decode("ascii")
        image = f'<img src="data:image/png;base64,{picture}" style="max-width: 100%; width: 48em">'
        return image + as_html(self.title, self.to_dataframe(), self.caption)

    def __repr__(self) -> str:
        return f"<Drawn {self.name!r}: {self.title}>"


def draw(
    name: str,
    *,
    effort: str | FigureEffort = "standard",
    seed: int = DEFAULT_SEED,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """Compute a figure or table of 2411.00841, draw it and compare it with the paper.

    Parameters
    ----------
    name
        One of `specsim.paper_figures.names()`.
    effort
        ``"quick"``, ``"standard"``, ``"deep"`` or a `FigureEffort`: how many runs are simulated.
    seed
        0 to 2^64 - 1. The same seed gives the same figure.
    threads
        Threads of the simulation; the result does not depend on them. Defaults to None (one per core).
    out
        Folder for ``NAME.png``, ``.svg``, ``.nc``, ``.csv``, ``.json`` and ``.md``. Defaults to None
        (nothing is written).
    progress
        Called with a line of text when a part of the work begins. Defaults to None.

    Raises
    ------
    InputError
        An unknown name or effort, a seed out of range, a folder that cannot be written.

    Examples
    --------
    >>> from specsim.paper_figures import FigureEffort, draw
    >>> tiny = FigureEffort(name="tiny", main_runs=1000, point_runs=300, cell_runs=300, curve_runs=300)
    >>> draw("figure-3-schematic", effort=tiny).title
    'Figure 3, left: one round of batch speculative decoding'
    """
    definition = registry.load(name)
    chosen = get_effort(effort)
    seed = whole("seed", seed, 0, 2**64 - 1)
    folder = None if out is None else check_folder(out)
    dataset = definition.data(Task(name=name, effort=chosen, seed=seed, threads=threads, progress=progress))
    heading = registry.title(name)
    dataset.attrs.update(title=heading, caption=definition.caption)
    figure = definition.plot(dataset)
    svg, png = render(figure, title=heading, salt=f"specsim-{name}")
    drawn = Drawn(
        name=name,
        title=heading,
        caption=definition.caption,
        svg=svg,
        png=png,
        dataset=dataset,
        comparison=tuple(definition.comparison(dataset)),
    )
    if folder is None:
        return drawn
    return replace(drawn, files=_write(drawn, folder))


def check_folder(out: str | os.PathLike[str]) -> Path:
    """Return the folder, created when missing, after writing and removing a file in it.

    InputError: it cannot be created or written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"specsim")
    except OSError as error:
        raise InputError(
            f"out is {folder}, which cannot be written: {error.strerror or error}; choose a writable folder"
        ) from error
    return folder


def as_csv(dataset: xarray.Dataset) -> str:
    """Return all numbers of a dataset, one per line: variable, coordinates, value."""
    dims = [str(dim) for dim in dataset.dims]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["variable", *dims, "value"])
    for name, array in dataset.data_vars.items():
        labels = {str(dim): array[dim].values if dim in array.coords else None for dim in array.dims}
        for index in np.ndindex(array.shape):
            place = dict(zip((str(dim) for dim in array.dims), index, strict=True))
            cells = []
            for dim in dims:
                if dim not in place:
                    cells.append("")
                else:
                    known = labels[dim]
                    cells.append(str(place[dim] if known is None else known[place[dim]]))
            writer.writerow([name, *cells, _cell(array.values[index])])
    return text.getvalue()


def as_netcdf(dataset: xarray.Dataset) -> bytes:
    """Return a dataset as the bytes of a netCDF-4 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.nc"
        dataset.to_netcdf(path, engine="h5netcdf")
        return path.read_bytes()


def report(drawn: Drawn) -> dict[str, object]:
    """Return title, caption, comparison and verdict as JSON-ready values."""
    return {
        "name": drawn.name,
        "title": drawn.title,
        "caption": drawn.caption,
        "passed": drawn.passed,
        "seed": drawn.dataset.attrs["seed"],
        "effort": drawn.dataset.attrs["effort"],
        "comparison": [row.record() for row in drawn.comparison],
        "files": [path.name for path in drawn.files],
    }


def write_summary(drawings: Sequence[Drawn], out: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``comparison.json`` and ``comparison.md`` over several figures, and return their paths.

    Raises
    ------
    InputError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from specsim.paper_figures import write_summary
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_summary([], folder)]
    ['comparison.json', 'comparison.md']
    """
    folder = check_folder(out)
    document = {
        "passed": all(drawn.passed for drawn in drawings),
        "figures": [report(drawn) for drawn in drawings],
    }
    parts = ["# Plotted against paper\n"]
    for drawn in drawings:
        parts.append(
            f"## {drawn.title}\n\n![{drawn.title}]({drawn.name}.png)\n\n{drawn.caption}\n\n"
            f"{as_markdown(drawn.comparison)}"
        )
    write_text(folder / "comparison.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "comparison.md", "\n".join(parts))
    return folder / "comparison.json", folder / "comparison.md"


def _write(drawn: Drawn, folder: Path) -> tuple[Path, ...]:
    files = []
    for suffix, content in ((".png", drawn.png), (".svg", drawn.svg.encode()), (".nc", None)):
        path = folder / f"{drawn.name}{suffix}"
        with replacing(path) as temporary:
            temporary.write_bytes(as_netcdf(drawn.dataset) if content is None else content)
        files.append(path)
    texts = {
        ".csv": as_csv(drawn.dataset),
        ".json": json.dumps(report(drawn), indent=2, ensure_ascii=False) + "\n",
        ".md": f"# {drawn.title}\n\n{drawn.caption}\n\n{as_markdown(drawn.comparison)}",
    }
    for suffix, text in texts.items():
        path = folder / f"{drawn.name}{suffix}"
        write_text(path, text)
        files.append(path)
    return tuple(files)


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return str(value)
