"""Figures 4b and 4c: over-acceptance with three residuals, exact and simulated.

The paper's instance is not known. Ours is stated, and only the shape can be compared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import OverAcceptance, Residual
from specsim.paper_figures.comparison import ALPHA, Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.paper_values import FIGURE_4C_EPSILONS
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.simulated import provenance, total_rejections
from specsim.support.hashes import derived_seed

if TYPE_CHECKING:
    import xarray

    from specsim.pairs import ModelPair

#: Decoders by residual.
DECODERS: dict[str, str] = {
    "optimal": "OPT",
    "target": "UNO (target)",
    "draft": "UNO (draft)",
}

INSTANCE = (
    "The paper's instance is not known; ours is random_pair(contexts=7, horizon=1, family='dirichlet', "
    "concentration=1.2, seed=303), averages over a uniform prompt, picked among 1,600 random pairs "
    "as the closest to the values read off the paper's figure; only the shape is compared."
)


def instance() -> ModelPair:
    """Return the stated pair: seven contexts, one step."""
    from specsim import random_pair

    return random_pair(contexts=7, horizon=1, family="dirichlet", concentration=1.2, seed=303)


def compute(
    name: str, effort: FigureEffort, seed: int, threads: int | None, progress: Progress | None
) -> xarray.Dataset:
    """Compute rejection and bias of the three decoders over epsilon, and simulate the paper's epsilons.

    The bias is the total variation distance between the laws of (prompt, token), that is the mean over the
    prompts. It is simulated as P(A) minus the target's P(A), A the set where theory says that the
    written law exceeds the target's: an unbiased estimate, since A is not chosen by the simulation.

    name, effort, seed, threads, progress: as in `specsim.paper_figures.draw`.
    """
    import xarray

    from specsim import simulate, theory

    pair = instance()
    aim = pair.initial[:, None] * pair.target[0]
    grid = np.linspace(0.0, 0.45, 91)
    shape = (len(DECODERS), len(FIGURE_4C_EPSILONS))
    rejection, bias = np.zeros((2, len(DECODERS), len(grid)))
    exact_rejection, exact_bias, over, aimed = np.zeros((4, *shape))
    rejected, counted = np.zeros((2, *shape), np.int64)
    for row, residual in enumerate(DECODERS):
        for column, epsilon in enumerate(grid):
            rejection[row, column], law = _exact(pair, float(epsilon), residual)
            bias[row, column] = np.abs(law - aim).sum() / 2
        for column, epsilon in enumerate(FIGURE_4C_EPSILONS):
            algorithm = over_acceptance(epsilon, residual)
            if progress:
                progress(f"{name}: {algorithm.label}, {effort.cell_runs:,} single steps")
            exact_rejection[row, column], law = _exact(pair, epsilon, residual)
            exact_bias[row, column] = np.abs(law - aim).sum() / 2
            chosen = law - aim > 1e-12
            over[row, column], aimed[row, column] = law[chosen].sum(), aim[chosen].sum()
            result = simulate(
                pair,
                algorithm,
                runs=effort.cell_runs,
                seed=derived_seed(seed, f"figure-4/{residual}/{epsilon}"),
                threads=threads,
            )
            rejected[row, column] = total_rejections(result)
            counted[row, column] = int(result["transition_count"].values[0][chosen].sum())
    best = [
        float(
            pair.initial
            @ [
                float(
                    theory.over_acceptance_loss(
                        t, d, np.where(d > 0, np.minimum(1, (t + e) / _positive(d)), 1)
                    )
                )
                for t, d in zip(pair.target[0], pair.draft[0], strict=True)
            ]
        )
        for e in FIGURE_4C_EPSILONS
    ]
    simulated = counted / effort.cell_runs - aimed
    names = ("decoder", "epsilon")
    return xarray.Dataset(
        {
            "rejection_curve": (("decoder", "grid"), rejection, _doc("exact rejection probability")),
            "bias_curve": (("decoder", "grid"), bias, _doc("exact bias")),
            "rejection": (names, exact_rejection, _doc("exact rejection probability")),
            "bias": (names, exact_bias, _doc("exact bias")),
            "smallest_loss": ("epsilon", best, _doc("Theorem 4's smallest bias for this acceptance")),
            "rejected": (names, rejected, {"long_name": "steps rejected"}),
            "over_count": (names, counted, {"long_name": "steps that wrote a token of the set A"}),
            "over_probability": (names, over, _doc("exact probability of A")),
            "simulated_rejection": (names, rejected / effort.cell_runs, _doc("rejected per step")),
            "simulated_bias": (names, simulated, _doc("share of A minus the target's")),
            "rejection_error": (
                names,
                _error(exact_rejection, effort.cell_runs),
                _doc("exact standard error of the simulated rejection probability"),
            ),
            "bias_error": (names, _error(over, effort.cell_runs), _doc("the same of the simulated bias")),
            "total_variation": ((), float(exact_rejection[0, 0]), _doc("TV(T, D), mean over the prompts")),
        },
        coords={
            "decoder": ("decoder", list(DECODERS.values())),
            "epsilon": ("epsilon", list(FIGURE_4C_EPSILONS), {"long_name": "over-acceptance"}),
            "grid": ("grid", grid, {"long_name": "over-acceptance"}),
        },
        attrs=provenance(
            seed,
            effort.name,
            figure=name,
            all_runs=effort.cell_runs,
            instance=INSTANCE,
            pair=pair.name,
            pair_identity=pair.identity,
        ),
    )


def over_acceptance(epsilon: float, residual: str) -> OverAcceptance:
    """Return the descriptor of one decoder."""
    return OverAcceptance(epsilon=epsilon, residual=cast(Residual, residual))


def simulation_rows(dataset: xarray.Dataset) -> list[Row]:
    """Return, for each decoder, the worst of its simulated rejection rates and biases."""
    from specsim.validation.statistics import decide_probability_by_binomial_tails

    runs = int(dataset.attrs["all_runs"])
    rows = []
    for decoder in dataset["decoder"].values.tolist():
        one = dataset.sel(decoder=decoder)
        decision = decide_probability_by_binomial_tails(
            count=np.concatenate([one["rejected"].values, one["over_count"].values]),
            runs=runs,
            probability=np.clip(
                np.concatenate([one["rejection"].values, one["over_probability"].values]), 0.0, 1.0
            ),
            alpha=ALPHA,
        )
        error = float(decision.standard_error)
        apart = float(decision.observed) - float(decision.expected)
        rows.append(
            Row(
                quantity=f"{decoder}: worst of {2 * one.sizes['epsilon']} points",
                reference=float(decision.expected),
                source="exact",
                ours=float(decision.observed),
                difference=apart / error if error > 0 else 0.0,
                unit="sigma",
                verdict=f"met, {runs:,} steps" if decision.agrees else "NOT met",
                required=True,
                passed=bool(decision.agrees),
            )
        )
    return rows


def _exact(pair: ModelPair, epsilon: float, residual: str) -> tuple[float, NDArray[np.float64]]:
    """Return the rejection probability and the law of (prompt, token), shape (contexts, tokens)."""
    from specsim import theory

    algorithm = over_acceptance(epsilon, residual)
    law: Any = theory.transition_marginals(pair, algorithm)
    return float(theory.expected_rejections(pair, algorithm)), np.asarray(law, dtype=np.float64)[0]


def _positive(row: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(row > 0, row, 1.0)


def _error(probability: NDArray[np.float64], runs: int) -> NDArray[np.float64]:
    return np.sqrt(np.clip(probability * (1 - probability), 0.0, None)) / math.sqrt(runs)


def _doc(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "1"}
