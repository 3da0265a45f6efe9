"""Checks with coins that chance would hardly ever throw."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.checks.base import Exact, check, lossless_only, needs_option
from specsim.validation.conformance.instances import Instance, edge_instances, padded
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject

#: Rows of a call in two orders, and repetitions.
ROWS, REPETITIONS = 24, 4
#: How far from the acceptance probability a coin is, when its side must be respected.
MARGIN = 1e-3


def _why_not(subject: Subject) -> str:
    return needs_option(subject, "coins") or lossless_only(subject)


@check(
    "forced-coins",
    "coins at 0, just below 1 and around the acceptance probability; each row by its own coins",
    kind="contract",
    protocols=("step",),
    why_not=_why_not,
    catches="a coin of 0 that accepts a token of probability 0, a coin near 1 that selects no token; coins of"
    " other rows",
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
                exact = lab.subject.inputs != "logits"
                _judge(instance, right, drafted, tokens, lengths, coins, accept, exact)
                cases += len(drafted)
    return cases + _own_coins(lab)


def _own_coins(lab: Laboratory) -> int:
    """Compare the accepted lengths of rows in two orders, each row with its own coins in both."""
    caller, rng = lab.caller("own coins"), lab.rng("own coins")
    size = min(lab.subject.max_batch or ROWS, ROWS)
    instance = lab.main_instance
    length = instance.draft_length
    for ragged in (False, True) if "draft_lengths" in lab.subject.options else (False,):
        for _ in range(REPETITIONS if size > 1 else 0):
            drafted = lab.lawful(instance).draw_drafted(rng, size)
            target, draft = instance.rows(drafted)
            options: dict[str, Any] = {"coins": rng.random((size, length + 1))}
            if ragged:
                options["draft_lengths"] = rng.integers(0, length + 1, size)
                drafted, target, draft = padded(options["draft_lengths"], drafted, target, draft)
            seed, order = caller.next_seed(), rng.permutation(size)
            found = []
            for rows in (np.arange(size), order):
                _, lengths = caller.step(
                    target[rows],
                    None if lab.subject.draft == "never" else draft[rows],
                    drafted[rows],
                    seed=seed,
                    options={name: value[rows] for name, value in options.items()},
                )
                found.append(lengths)
            wrong = np.flatnonzero(found[0][order] != found[1])
            if len(wrong):
                place = int(wrong[0])
                row = int(order[place])
                coins = _spell(options["coins"][row])
                raise AssertionError(
                    f"row {row} with coins {coins} accepts {found[0][row] - 1} drafted"
                    f" tokens, and {found[1][place] - 1} when it is row {place} of the same call in another"
                    f" order; a row's own coins have to decide"
                )
    return 2 * REPETITIONS


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
    exact: bool,
) -> None:
    """Refuse tokens of no mass, and first drafts on the wrong side of their coin.

    exact: whether the sampler sees the probabilities themselves, and not logarithms that are rounded.
    """
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
    if exact:
        # At the ends of the interval: no allowance for rounding.
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
