"""Every figure, computed once with very few runs."""

from functools import cache

import pytest

from specsim.paper_figures import FigureEffort, draw

TINY = FigureEffort(name="tiny", main_runs=1_000, point_runs=300, cell_runs=300, curve_runs=300)


@cache
def drawn_once(name):
    return draw(name, effort=TINY, seed=1)


@pytest.fixture
def drawing():
    """A function that returns the figure of a name."""
    return drawn_once
