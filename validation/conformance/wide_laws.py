"""What may be wrong with a wide vocabulary: laws to compare with, and telling ways to lump tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.filters import tempered
from specsim.validation.conformance.instances import inverse_of_row

#: Groups of about equal mass that tokens are lumped into, finely and coarsely.
GROUPS, FEW_GROUPS = 16, 4
#: Mass of the rarest tokens that may be drawn a third less often than they should be.
RARE = (0.05, 0.2)
#: Mass of the rarest tokens that may hardly ever be drawn.
MISSING = (0.02, 0.05, 0.1, 0.2, 0.3)
#: How many of the draft's likeliest tokens drafts may be drawn from.
KEPT = (16, 64, 256, 1024, 4096, 16384, 65536)
#: Bits of uniforms that may be too few, of bfloat16, float16 and half a word.
BITS = (8, 11, 16)
#: Share of the right law that is left in an alternative which would make some tokens impossible.
LEFT = 0.1


def alternatives(
    target: Floats, draft: Floats, expand: Callable[[Floats], Floats], bonus: Bools, own: bool
) -> Iterator[tuple[str, Floats]]:
    """Yield named laws of all strata that a wrong sampler may have.

    target, draft: rows by context, shape ``(contexts, tokens)``.
    expand: turns rows by context into rows by stratum.
    bonus: which strata hold bonus tokens only.
    own: whether the sampler draws its drafts, so that their law may not be the draft's.
    """
    laws = expand(target)

    def only(chosen: Bools, rows: Floats) -> Floats:
        return np.where(chosen[:, None], expand(rows), laws)

    def towards(rows: Floats, weight: float) -> Floats:
        return (1 - weight) * target + weight * rows

    uniform = np.full(target.shape, 1.0 / target.shape[1])
    everywhere = np.ones(len(bonus), dtype=bool)
    for temperature in (0.8, 1.25):
        changed = tempered(target, temperature)
        yield f"tempered by {temperature:g}", expand(changed)
        yield f"bonus tokens tempered by {temperature:g}", only(bonus, changed)
    for weight in (0.03, 0.2):
        yield f"{weight:g} of the way to the draft", expand(towards(draft, weight))
        yield f"{weight:g} of the way to equal chances", expand(towards(uniform, weight))
    for weight in (0.1, 1 - LEFT):
        yield f"bonus tokens {weight:g} of the way to the draft", only(bonus, towards(draft, weight))
    for mass in RARE:
        yield f"the rarest tokens, of mass {mass:g}, a third less likely", expand(rarer(target, mass))
    for mass in MISSING:
        changed = rarer(target, mass, LEFT)
        for words, chosen in (("", everywhere), ("bonus tokens: ", bonus)):
            yield f"{words}the rarest tokens, of mass {mass:g}, hardly ever", only(chosen, changed)
    for bits in BITS:
        coarse = np.stack([coarsely_drawn(row, bits) for row in target])
        yield f"bonus tokens drawn by uniforms of {bits} bits", only(bonus, towards(coarse, 1 - LEFT))
    if not own:
        return
    for kept in KEPT:
        if kept < target.shape[1]:
            drawn = verified(target, draft, likeliest(draft, kept))
            yield f"drafts from the {kept} likeliest tokens", only(~bonus, towards(drawn, 1 - LEFT))
    for temperature in (0.7, 1.4):
        drawn = verified(target, draft, tempered(draft, temperature))
        yield f"drafts tempered by {temperature:g}", only(~bonus, drawn)


def telling_partitions(laws: Floats, drafts: Floats) -> list[Integers]:
    """Group the tokens of each row in ways that show errors.

    By likelihood ratio, by rank, by the draft's rank and by id, in `GROUPS` groups of about equal mass each;
    the same in `FEW_GROUPS`; by likelihood ratio and by the draft's rank at once, each in `FEW_GROUPS`; last,
    tokens that the target likes better apart from others.
    """
    with np.errstate(divide="ignore"):
        orders = [np.argsort(np.log(laws) - np.log(drafts), axis=1)]
    orders += [np.argsort(-laws, axis=1), np.argsort(-drafts, axis=1)]
    orders.append(np.broadcast_to(np.arange(laws.shape[1]), laws.shape))
    found = []
    for count in (GROUPS, FEW_GROUPS):
        for order in orders:
            mass = np.cumsum(np.take_along_axis(laws, order, axis=1), axis=1)
            groups = np.minimum((mass * count).astype(np.int64), count - 1)
            table = np.empty(laws.shape, dtype=np.int64)
            np.put_along_axis(table, order, groups, axis=1)
            found.append(table)
    by_ratio, _, by_draft, _ = found[len(orders) :]
    found.append(by_ratio * FEW_GROUPS + by_draft)
    found.append((laws >= drafts).astype(np.int64))
    return found


def rarer(laws: Floats, mass: float, factor: float = 2 / 3) -> Floats:
    """Return rows whose rarest tokens, of this mass together, are less likely by a factor than the others."""
    order = np.argsort(laws, axis=1)
    below = np.cumsum(np.take_along_axis(laws, order, axis=1), axis=1) <= mass
    weights = np.ones(laws.shape)
    np.put_along_axis(weights, order, np.where(below, factor, 1.0), axis=1)
    changed = weights * laws
    return changed / changed.sum(axis=1, keepdims=True)


def likeliest(rows: Floats, count: int) -> Floats:
    """Return rows with the likeliest `count` tokens alone, normalised."""
    kept = np.zeros(rows.shape)
    order = np.argpartition(-rows, count - 1, axis=1)[:, :count]
    np.put_along_axis(kept, order, np.take_along_axis(rows, order, axis=1), axis=1)
    return kept / kept.sum(axis=1, keepdims=True)


def verified(target: Floats, draft: Floats, drawn: Floats) -> Floats:
    """Return the law of a token that is drawn from `drawn` and verified by the ratio of target and draft."""
    with np.errstate(divide="ignore", invalid="ignore"):
        accepted = drawn * np.where(draft > 0, np.minimum(1.0, target / draft), 1.0)
    residual = np.maximum(target - draft, 0.0)
    total = residual.sum(axis=1, keepdims=True)
    residual = np.where(total > 0, residual / np.where(total > 0, total, 1.0), target)
    return accepted + (1.0 - accepted.sum(axis=1, keepdims=True)) * residual


def coarsely_drawn(row: Floats, bits: int) -> Floats:
    """Return the law of a draw by inversion with uniforms that are multiples of ``2 ** -bits``."""
    size = 2**bits
    drawn = inverse_of_row(row, np.arange(size) / size)
    return np.bincount(drawn, minlength=len(row)) / size
