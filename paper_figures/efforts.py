"""How many runs the figures simulate."""

from dataclasses import dataclass

from specsim.support.checks import named, whole


@dataclass(frozen=True, kw_only=True)
class FigureEffort:
    """The sizes of the simulations that the figures show.

    Attributes
    ----------
    name
        ``"quick"``, ``"standard"`` or ``"deep"``.
    main_runs
        Runs for each final mean of Figures 2a, 2b, 5a, 5b.
    point_runs
        Runs for each point of Figures 2c and 5c.
    cell_runs
        Single-step runs for each point of Figures 3 and 4.
    curve_runs
        Runs along the running means, at least 100; 20,000 in the paper.

    Raises
    ------
    InputError
        A number of runs that is not a whole number of at least 1 (100 for `main_runs` and `curve_runs`, where
        the curves begin).

    Examples
    --------
    >>> from specsim.paper_figures import FigureEffort
    >>> FigureEffort(name="tiny", main_runs=1000, point_runs=300, cell_runs=300).curve_runs
    20000
    """

    name: str
    main_runs: int
    point_runs: int
    cell_runs: int
    curve_runs: int = 20_000

    def __post_init__(self) -> None:
        for field, least in (("main_runs", 100), ("point_runs", 1), ("cell_runs", 1), ("curve_runs", 100)):
            whole(field, getattr(self, field), least)


QUICK = FigureEffort(name="quick", main_runs=500_000, point_runs=100_000, cell_runs=40_000)
STANDARD = FigureEffort(name="standard", main_runs=4_000_000, point_runs=1_000_000, cell_runs=400_000)
DEEP = FigureEffort(name="deep", main_runs=40_000_000, point_runs=10_000_000, cell_runs=4_000_000)

EFFORTS = {effort.name: effort for effort in (QUICK, STANDARD, DEEP)}


def get_effort(effort: str | FigureEffort) -> FigureEffort:
    """Return the effort of this name; `InputError` if there is none."""
    return named("effort", effort, EFFORTS)
