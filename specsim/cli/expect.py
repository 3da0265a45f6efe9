"""``specsim expect``: what theory says of a pair and an algorithm."""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

import specsim
from specsim.algorithms import Algorithm
from specsim.cli.arguments import GRAMMAR, horizon_option, pair_and_algorithm, plot_option
from specsim.cli.output import JSON_HELP, doing, output_file, show, show_json, spell_exact, table
from specsim.errors import TooLargeError
from specsim.grammar import parse_algorithm, parse_pair
from specsim.pairs import ModelPair

_HELP = """Print exact results for ALGORITHM on PAIR: means and distributions of rejections, target
calls and accepted tokens, tokens per target call, and the bias of the output.

\b
Examples:
  specsim expect paper:50 speculative
  specsim expect paper:50 batch:drafts=inf
  specsim expect random:contexts=3,horizon=5,seed=1 speculative:draft_length=2 --exact
  specsim expect pair.nc over-acceptance:epsilon=1/10 --laws --json"""

#: Laws over more counts than this are printed only with ``--laws``.
_SHORT = 20


@click.command("expect", help=_HELP, epilog=GRAMMAR)
@pair_and_algorithm
@horizon_option
@click.option("--exact", is_flag=True, help="Compute with fractions, without rounding.")
@click.option("--laws", is_flag=True, help=f"Print the distributions also for horizons above {_SHORT}.")
@plot_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pair: str,
    algorithm: str,
    horizon: int | None,
    exact: bool,
    laws: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Print what theory says."""
    with doing(f"reading {pair}"):
        model = parse_pair(pair)
    decoder = parse_algorithm(algorithm)
    length = model.check_horizon(horizon)
    with (
        output_file(plot) as picture,
        doing(f"computing the exact laws of {decoder.label} on {model.name}"),
    ):
        findings = expectations(model, decoder, length, exact=exact)
        if picture is not None:
            specsim.plot.save(specsim.plot.laws(model, decoder, horizon=length), picture)
    if as_json:
        show_json({**describe(model, decoder, length), "exact": exact, **findings})
    else:
        _print(model, decoder, length, findings, laws=laws)


def describe(pair: ModelPair, algorithm: Algorithm, horizon: int) -> dict[str, Any]:
    """Return what was asked, for the head of a JSON document."""
    return {
        "pair": {
            "name": pair.name,
            "identity": pair.identity,
            "contexts": pair.contexts,
            "tokens": pair.tokens,
            "stationary": pair.stationary,
        },
        "algorithm": algorithm.label,
        "horizon": horizon,
    }


def expectations(pair: ModelPair, algorithm: Algorithm, horizon: int, *, exact: bool) -> dict[str, Any]:
    """Return all that theory knows, by name; None for what would be too large, with ``too_large`` saying why.

    UnsupportedError: theory does not know the descriptor.
    TooLargeError: not even the means can be computed.
    """
    from specsim import theory

    reasons: dict[str, str] = {}

    def attempt(name: str, function: Callable[..., Any]) -> Any:
        try:
            return function(pair, algorithm, horizon=horizon, exact=exact)
        except TooLargeError as error:
            reasons[name] = str(error)
            return None

    rejections = theory.expected_rejections(pair, algorithm, horizon=horizon, exact=exact)
    calls = theory.expected_target_calls(pair, algorithm, horizon=horizon, exact=exact)
    variance = attempt("rejection_variance", theory.rejection_variance)
    findings = {
        "expected_rejections": rejections,
        "rejection_variance": variance,
        "rejection_standard_deviation": None if variance is None else math.sqrt(max(0.0, float(variance))),
        "expected_target_calls": calls,
        "block_efficiency": horizon / calls,
        "tokens_per_rejection": horizon / rejections if rejections > 0 else None,
        "bias": _bias(pair, algorithm, horizon, reasons),
        "rejections_by_step": attempt("rejections_by_step", theory.rejections_by_step),
        "rejection_law": attempt("rejection_law", theory.rejection_law),
        "target_call_law": attempt("target_call_law", theory.target_call_law),
        "accepted_length_law": attempt("accepted_length_law", theory.accepted_length_law),
    }
    if exact:
        decimals = ("expected_rejections", "expected_target_calls", "block_efficiency", "rejection_variance")
        findings["decimal"] = {name: float(findings[name]) for name in decimals if findings[name] is not None}
    return {**findings, "too_large": reasons}


def _bias(pair: ModelPair, algorithm: Algorithm, horizon: int, reasons: dict[str, str]) -> float | None:
    """Return the largest total variation distance between a token's law and the target's, over positions."""
    from specsim import theory

    try:
        emitted = theory.output_marginals(pair, algorithm, horizon=horizon)
        wanted = theory.target_marginals(pair, horizon=horizon)
    except TooLargeError as error:
        reasons["bias"] = str(error)
        return None
    return float(0.5 * np.abs(np.asarray(emitted) - np.asarray(wanted)).sum(axis=-1).max())


def _print(
    pair: ModelPair, algorithm: Algorithm, horizon: int, findings: dict[str, Any], *, laws: bool
) -> None:
    exact = isinstance(findings["expected_rejections"], Fraction)
    rows: list[Any] = []
    for label, name in (
        ("expected rejections", "expected_rejections"),
        ("standard deviation of rejections", "rejection_standard_deviation"),
        ("expected target calls", "expected_target_calls"),
        ("tokens per target call (block efficiency)", "block_efficiency"),
        ("tokens per rejection (2411.00841)", "tokens_per_rejection"),
        ("bias: largest TV of a token from the target", "bias"),
    ):
        value = findings[name]
        # Differences of float64 sums are never exactly 0.
        if name == "bias" and value is not None and value < 1e-12:
            value = 0.0
        row = [label, "-" if value is None else f"{float(value):.6g}"]
        if exact:
            row.append(_short(value) if isinstance(value, Fraction) else "")
        rows.append(row)
    for label, name in (("rejections", "rejection_law"), ("target calls", "target_call_law")):
        law = findings[name]
        if law is not None:
            sums = np.cumsum(np.asarray(law, dtype=np.float64)) + 1e-12
            low, middle, high = np.minimum(np.searchsorted(sums, (0.05, 0.5, 0.95)), len(sums) - 1)
            rows.append((f"{label}: median (5 %, 95 %)", f"{middle} ({low}, {high})"))
    title = f"{algorithm.label} on {pair.name}, horizon {horizon}"
    numbers = ("value", "exact") if exact else ("value",)
    renderables: list[Any] = [table(title, ("quantity",), numbers, rows)]
    if laws or horizon <= _SHORT:
        renderables.append(_law_table(findings, horizon))
    else:
        renderables.append("To see the distributions: --laws, or --json.")
    renderables += [f"Not computed: {name}: {reason}" for name, reason in findings["too_large"].items()]
    show(*renderables)


def _law_table(findings: dict[str, Any], horizon: int) -> Any:
    columns = (
        ("position n rejected", "rejections_by_step", 1),
        ("n rejections", "rejection_law", 0),
        ("n target calls", "target_call_law", 0),
        ("n accepted in a round", "accepted_length_law", 0),
    )

    def cell(name: str, n: int) -> str:
        law = findings[name]
        return "" if law is None or n < 0 else f"{float(law[n]):.6f}"

    rows = [(n, *(cell(name, n - first) for _, name, first in columns)) for n in range(horizon + 1)]
    return table("Distributions (probabilities)", (), ("n", *(title for title, *_ in columns)), rows)


def _short(value: Fraction) -> str:
    text = spell_exact(value)
    if len(text) <= 48:
        return text
    numerator, _, denominator = text.partition("/")
    return f"({len(numerator)} digits)/({len(denominator)} digits); all digits: --json"
