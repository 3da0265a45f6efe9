"""Checks with coins that chance would hardly ever throw."""

import itertools

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.checks.base import Exact, check, lossless_only, needs_option
from specsim.validation.conformance.instances import Instance, edge_instances
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject

#: How far from the acceptance probability a coin is, when its side must be respected.
MARGIN = 1e-3


def _why_not(subject: Subject) -> str:
    return needs_option(subject, "coins") or lossless_only(subject)


@check(
    "forced-coins",
    "coins at 0, just below 1 and around the acceptance probability, on rows with zeros",
    kind="contract",
    protocols=("step",),
    why_not=_why_not,
    catches="a coin of 0 that accepts a token of probability 0, a coin near 1 that selects no token",
)
def _forced_coins(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run(lab))


def _run(lab: Laboratory) -> int:
    caller = lab.caller("forced coins")
    kind = np.float32 if lab.subject.dtypes[0] != "float64" else np.float64
    largest = float(np.nextafter(kind(1), kind(0)))
    smallest = float(np.finfo(kind).tiny)
    options = {"vocabulary": lab.vocabulary, "draft_length": min(2, lab.draft_length)}
    edges = edge_instances(lab.instance_seed, **options).values()
    instances = lab.possible([*edges, lab.main_instance])
    cases = 0
    for instance in instances:
        lawful = lab.lawful(instance)
        drafted = instance.paths[lawful.path_law() > 0]
        target, draft = instance.rows(drafted)
        right, read = lawful.rows(drafted)
        accept = _acceptance(lab.rule, right, read, drafted)
        values = (0.0, smallest, 0.25, 0.5, 0.75, largest)
        columns = [values] if instance.draft_length == 1 else [values, (0.0, 0.5, largest)]
        for first in itertools.product(*columns):
            for last in (0.0, smallest, 0.5, largest):
                coins = np.full((len(drafted), instance.draft_length + 1), last)
                for position, coin in enumerate(first):
                    coins[:, position] = coin
                tokens, lengths = caller.step(
                    target,
                    None if lab.subject.draft == "never" else draft,
                    drafted,
                    options={"coins": coins.astype(kind)},
                )
                _judge(instance, right, drafted, tokens, lengths, coins, accept)
                cases += len(drafted)
    return cases


def _acceptance(rule: Rule | None, target: Floats, draft: Floats, drafted: Integers) -> Floats | None:
    """Return the probability that the first drafted token of each draft is accepted, if a rule says so."""
    if rule is None or not rule.first_coin:
        return None
    law: Floats = rule.law(target, draft, drafted)[:, 0, :].sum(axis=1)
    return 1.0 - law


def _judge(
    instance: Instance,
    target: Floats,
    drafted: Integers,
    tokens: Integers,
    lengths: Integers,
    coins: Floats,
    accept: Floats | None,
) -> None:
    emitted = np.arange(tokens.shape[1]) < lengths[:, None]
    masses = np.take_along_axis(target, np.where(emitted, tokens, 0)[..., None], axis=2)[..., 0]
    bad = emitted & (masses <= 0)
    if bad.any():
        row, column = (int(v) for v in np.argwhere(bad)[0])
        raise AssertionError(
            f"{instance.name}: coins {_spell(coins[row])} emit token {tokens[row, column]} at position "
            f"{column + 1}, which has probability zero (drafted {_spell(drafted[row])})"
        )
    if accept is None:
        return
    must = coins[:, 0] < accept - MARGIN
    # Exact at the ends of the interval: no allowance for rounding.
    must |= (accept >= 1.0 - 1e-12) & (coins[:, 0] < 1.0)
    never = (coins[:, 0] > accept + MARGIN) | (accept <= 1e-300)
    wrong = (must & (lengths == 1)) | (never & (lengths > 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        done = "accepted" if lengths[row] > 1 else "rejected"
        raise AssertionError(
            f"{instance.name}: coin {coins[row, 0]:.17g} {done} token {drafted[row, 0]}, "
            f"whose acceptance probability is {accept[row]:.6g}"
        )


def _spell(values: NDArray[np.number]) -> str:
    return "(" + " ".join(f"{float(value):.9g}" for value in values) + ")"


CHECKS = (_forced_coins,)
