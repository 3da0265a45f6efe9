"""Which figures and tables there are, what each offers, and what it is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from specsim.support.checks import unknown

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from specsim.paper_figures.comparison import Row
    from specsim.paper_figures.efforts import FigureEffort

#: Told, in words, what is being computed.
Progress = Callable[[str], object]

_TITLES = {
    "figure-2a": "Figure 2a: rejections of speculative decoding, 50 tokens",
    "figure-2b": "Figure 2b: rejections of batch speculative decoding, 50 tokens",
    "figure-2c": "Figure 2c: rejections against the number of parallel drafts, 50 tokens",
    "figure-3-schematic": "Figure 3, left: one round of batch speculative decoding",
    "figure-3-bernoulli": "Figure 3, right, upper: batch improvement, Bernoulli rows",
    "figure-3-uniform": "Figure 3, right, lower: batch improvement, uniform rows",
    "figure-4a": "Figure 4a: which pairs of bias and rejection are attainable",
    "figure-4b": "Figure 4b: the Pareto front and three decoders",
    "figure-4c": "Figure 4c: rejection and bias against the over-acceptance",
    "figure-5a": "Figure 5a: rejections of speculative decoding, 100 tokens",
    "figure-5b": "Figure 5b: rejections of batch speculative decoding, 100 tokens",
    "figure-5c": "Figure 5c: rejections for eleven numbers of parallel drafts, 100 tokens",
    "table-1": "Table 1: win rates of Decoding-OPT over Decoding-UNO",
    "table-2": "Table 2: win rates of the large over the small model",
    "remark-6": "Remark 6: the front for whole sequences",
    "all-rules": "All rules on one pair, beside the best lossless rule",
    "gap-to-optimum": "Several drafts: Algorithm 4 and K-SEQ against the optimum",
    "faster-because-wrong": "Faster because wrong: acceptance against distance from the target",
    "tree-or-chain": "Four drafted tokens: a chain or a tree",
    "vocabulary-sizes": "How many tokens the draft should be able to propose",
    "drafter-depths": "How deep a drafter should be, and a printed pair of drafters",
    "pearl": "PEARL: how much to draft while the target verifies",
    "draft-policies": "Adaptive draft lengths: how much of the gap to the oracle can be closed",
    "ssd-fan-outs": "How many outcomes a drafter should guess while its draft is verified",
    "third-model": "Chains of models: where a model between drafter and target helps",
}
#: The file in which each figure is defined, in `FIGURES` there; else the file of its name.
_FILES = {
    **dict.fromkeys(("figure-2a", "figure-2b", "figure-5a", "figure-5b"), "running_mean"),
    **dict.fromkeys(("figure-2c", "figure-5c"), "over_drafts"),
    **dict.fromkeys(("figure-3-bernoulli", "figure-3-uniform"), "improvement"),
    **dict.fromkeys(("figure-4b", "figure-4c"), "trade_off"),
    **dict.fromkeys(("table-1", "table-2"), "win_rates"),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A figure to compute: its name, how many runs, and seed, threads and progress as in `draw`."""

    name: str
    effort: FigureEffort
    seed: int
    threads: int | None = None
    progress: Progress | None = None

    def tell(self, text: str) -> None:
        """Report what begins."""
        if self.progress is not None:
            self.progress(f"{self.name}: {text}")

    def attributes(self, **more: Any) -> dict[str, Any]:
        """Return the attributes that tell how a dataset was computed."""
        import numpy

        import specsim

        return {
            "specsim": specsim.__version__,
            "numpy": numpy.__version__,
            "paper": "arXiv 2411.00841",
            "seed": str(self.seed),
            "effort": self.effort.name,
            "figure": self.name,
            **more,
        }


@dataclass(kw_only=True)
class PaperFigure:
    """A figure or table of the paper, or one that the paper does not have.

    caption: what is shown, in full sentences, with what differs from the paper.
    data: computes everything that the figure shows.
    plot: draws the figure from the data alone.
    comparison: compares the data with the paper.
    """

    caption: str
    data: Callable[[Task], xarray.Dataset]
    plot: Callable[[xarray.Dataset], Figure]
    comparison: Callable[[xarray.Dataset], list[Row]]


def names() -> tuple[str, ...]:
    """Return the names of all figures and tables: the paper's in its order, then those beyond it.

    Examples
    --------
    >>> from specsim.paper_figures import names
    >>> names()[:3]
    ('figure-2a', 'figure-2b', 'figure-2c')
    """
    return tuple(_TITLES)


def title(name: str) -> str:
    """Return the title of the figure of this name.

    InputError: there is none.
    """
    return _TITLES[check_name(name)]


def load(name: str) -> PaperFigure:
    """Return the figure of this name.

    InputError: there is none.
    """
    module = import_module(f"specsim.paper_figures.{_FILES.get(check_name(name), name.replace('-', '_'))}")
    return module.FIGURES[name]


def check_name(name: str) -> str:
    """Return `name` when it is a figure's.

    InputError: it is not. The message names the nearest ones.
    """
    if name not in _TITLES:
        simple = str(name).strip().lower().replace("_", "-").replace(" ", "-")
        simple = simple.replace("fig-", "figure-", 1) if simple.startswith("fig-") else simple
        near = [known for known in _TITLES if simple and (known.startswith(simple) or known.endswith(simple))]
        unknown("figure", name, _TITLES, near=near)
    return name
