"""What subjects are tested on: small pairs of models whose rows every float type holds exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.support.arrays import Bools, Floats, Integers
from specsim.support.streams import Stream

#: Up to this many tokens rows are drawn from all at once, above it context by context.
NARROW = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """A draft and a target that depend on a context, which every emitted token moves on.

    name: for reports.
    target, draft: rows, shape ``(contexts, tokens)``, float64; each sums to 1.
    next_context: shape ``(contexts, tokens)``: the context after a token.
    start: the context of the first token.
    draft_length: drafted tokens per verification.
    """

    name: str
    target: Floats
    draft: Floats
    next_context: Integers
    start: int
    draft_length: int

    def __post_init__(self) -> None:
        """Refuse tables that do not belong together."""
        if self.target.shape != self.draft.shape or self.target.shape != self.next_context.shape:
            raise InputError("target, draft and next_context must have one shape (contexts, tokens)")
        for name, rows in (("target", self.target), ("draft", self.draft)):
            if (np.abs(rows.sum(axis=1) - 1) > 1e-9).any() or (rows < 0).any():
                raise InputError(f"{name} has a row that is not a law; rows are >= 0 and sum to 1")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return int(self.target.shape[1])

    def contexts(self, tokens: Integers) -> Integers:
        """Return the contexts before each token and after the last: ``(batch, n)`` to ``(batch, n + 1)``."""
        found = np.empty((tokens.shape[0], tokens.shape[1] + 1), dtype=np.int64)
        found[:, 0] = self.start
        for i in range(tokens.shape[1]):
            found[:, i + 1] = self.next_context[found[:, i], tokens[:, i]]
        return found

    def draw_drafted(self, rng: np.random.Generator, count: int, rows: Floats | None = None) -> Integers:
        """Draw `count` drafts, shape ``(count, draft_length)``, from the draft or from `rows`."""
        return self._draw(rng, np.zeros((count, 0), dtype=np.int64), self.draft_length, rows)

    def draw_target(self, rng: np.random.Generator, tokens: Integers, length: int) -> Integers:
        """Continue texts ``(count, n)`` by the target up to `length` tokens."""
        return self._draw(rng, tokens, length, self.target)

    def _draw(self, rng: np.random.Generator, tokens: Integers, length: int, rows: Floats | None) -> Integers:
        table = self.draft if rows is None else rows
        begun = tokens.shape[1]
        full = np.zeros((tokens.shape[0], length), dtype=np.int64)
        full[:, :begun] = tokens[:, :length]
        context = self.contexts(full[:, :begun])[:, -1]
        for i in range(begun, length):
            coins = rng.random(len(full))
            if table.shape[1] <= NARROW:
                full[:, i] = inverse(table[context], coins)
            else:
                for one in np.unique(context):
                    rows = context == one
                    full[rows, i] = inverse_of_row(table[one], coins[rows])
            context = self.next_context[context, full[:, i]]
        return full

    def complete(
        self, rng: np.random.Generator, tokens: Integers, lengths: Integers, length: int
    ) -> Integers:
        """Continue ragged texts by the target: row b keeps its first ``lengths[b]`` tokens."""
        full = np.zeros((len(tokens), length), dtype=np.int64)
        for kept in np.unique(lengths):
            chosen = lengths == kept
            part = tokens[chosen][:, : min(int(kept), length)]
            full[chosen] = self.draw_target(rng, part, length)
        return full

    def rows(self, drafted: Integers) -> tuple[Floats, Floats]:
        """Return the target rows ``(batch, K + 1, V)`` and draft rows ``(batch, K, V)`` along drafts."""
        contexts = self.contexts(drafted)
        return self.target[contexts], self.draft[contexts[:, :-1]]

    def cut(self, draft_length: int) -> Instance:
        """Return the instance with shorter drafts."""
        return replace(self, draft_length=draft_length)

    @cached_property
    def paths(self) -> Integers:
        """All drafts, shape ``(vocabulary ** draft_length, draft_length)``, first token most significant."""
        count = self.vocabulary**self.draft_length
        if count > 2**17:
            raise InputError(f"instance {self.name} has {count} drafts; too many to enumerate")
        return digits(np.arange(count), self.vocabulary, self.draft_length)

    def path_law(self, rows: Floats | None = None) -> Floats:
        """Return the probability of each of `paths` under the draft, or under `rows` (contexts, tokens)."""
        table = self.draft if rows is None else rows
        contexts = self.contexts(self.paths)[:, :-1]
        return table[contexts, self.paths].prod(axis=1)

    def target_law(self, length: int) -> Floats:
        """Return the target's law of the first `length` tokens, shape ``(vocabulary ** length,)``."""
        texts = digits(np.arange(self.vocabulary**length), self.vocabulary, length)
        contexts = self.contexts(texts)[:, :-1]
        return self.target[contexts, texts].prod(axis=1)

    def mapped(self, change: Callable[[Floats], Floats], name: str) -> Instance:
        """Return the instance with `change` applied to the rows of both sides."""
        return replace(self, name=name, target=change(self.target), draft=change(self.draft))

    def pair(self, horizon: int) -> ModelPair:
        """Return it as a `ModelPair` (rows are rounded to multiples of 2^-32)."""
        initial = np.zeros(len(self.target))
        initial[self.start] = 1.0
        return ModelPair.from_probabilities(
            self.target,
            self.draft,
            initial=initial,
            next_context=self.next_context,
            horizon=horizon,
            name=self.name,
        )


def padded(
    lengths: Integers, drafted: Integers, target: Floats, draft: Floats
) -> tuple[Integers, Floats, Floats]:
    """Cut drafts to these lengths: -1 stands behind them, and rows that are laws, as in a padded batch.

    Returns: drafted tokens, target rows and draft rows, copies.
    """
    behind = np.arange(drafted.shape[1]) >= lengths[:, None]
    target, draft = target.copy(), draft.copy()
    draft[behind] = 1.0 / draft.shape[2]
    target[:, 1:][behind] = 1.0 / target.shape[2]
    return np.where(behind, -1, drafted), target, draft


def inverse(rows: Floats, coins: Floats) -> Integers:
    """Draw from each row by its own coin, never a token of probability zero."""
    sums = np.cumsum(rows, axis=-1)
    # The last token of positive probability takes what rounding leaves over.
    last = rows.shape[-1] - 1 - np.argmax(rows[..., ::-1] > 0, axis=-1)
    found = (sums <= (coins * sums[..., -1])[..., None]).sum(axis=-1)
    return np.minimum(found, last)


def inverse_of_row(row: Floats, coins: Floats) -> Integers:
    """Draw from one row by many coins, never a token of probability zero."""
    sums = np.cumsum(row)
    found = np.searchsorted(sums, coins * sums[-1], side="right")
    return np.minimum(found, np.flatnonzero(row > 0)[-1]).astype(np.int64)


def digits(numbers: Integers, base: int, length: int) -> Integers:
    """Write numbers in a base, first digit most significant: ``(count,)`` to ``(count, length)``."""
    powers = base ** np.arange(length - 1, -1, -1, dtype=np.int64)
    return (np.asarray(numbers, dtype=np.int64)[:, None] // powers) % base


def number(tokens: Integers, base: int) -> Integers:
    """Undo `digits`, along the last axis."""
    powers = base ** np.arange(tokens.shape[-1] - 1, -1, -1, dtype=np.int64)
    return (tokens * powers).sum(axis=-1)


def prefix_contexts(vocabulary: int, depth: int) -> Integers:
    """Return ``next_context`` of a tree of prefixes: one context per text shorter than ``depth + 1``."""
    sizes = [vocabulary**n for n in range(depth + 1)]
    first = np.concatenate([[0], np.cumsum(sizes)])
    table = np.zeros((int(first[-1]), vocabulary), dtype=np.int64)
    for n in range(depth):
        nodes = np.arange(sizes[n])
        children = nodes[:, None] * vocabulary + np.arange(vocabulary)
        table[first[n] : first[n + 1]] = first[n + 1] + children
    return table


def order_contexts(vocabulary: int, order: int) -> Integers:
    """Return ``next_context`` of a chain of some order: one context per text of that many last tokens."""
    count = vocabulary**order
    contexts = np.arange(count)[:, None]
    return (contexts * vocabulary + np.arange(vocabulary)) % count


def dyadic_rows(stream: Stream, shape: tuple[int, int], *, sharpness: float, unit: int = 256) -> Floats:
    """Return random rows of multiples of ``1 / unit``, all positive, so that bfloat16 holds them exactly.

    Every entry is at most ``unit``; bfloat16 has 8 significant bits. Larger `sharpness`: less even rows.
    """
    contexts, vocabulary = shape
    weights = np.exp(sharpness * (stream.uniforms(contexts, vocabulary) - 0.5) * 4)
    weights = weights / weights.sum(axis=1, keepdims=True)
    spare = unit - vocabulary
    floors = np.floor(weights * spare).astype(np.int64)
    rest = spare - floors.sum(axis=1)
    order = np.argsort(-(weights * spare - floors), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    return (floors + 1 + (ranks < rest[:, None])) / unit


def tree_instance(
    seed: int,
    *,
    vocabulary: int = 4,
    draft_length: int = 3,
    sharpness: float = 1.0,
    name: str = "rows by prefix",
    zeros: bool = False,
    fits: Callable[[Floats], Bools] | None = None,
) -> Instance:
    """Return rows that depend on the whole prefix, all different, with residuals of two atoms and more.

    In every context the total variation distance of draft and target is between 0.2 and 0.6, at least two
    tokens (three for five tokens and more, on one side) are likelier under each side. With `zeros`, every
    second context but the first has a token that the target forbids, see `telling_zeros`. `fits` says which
    rows ``(contexts, tokens)`` of either side are wanted besides.
    """
    table = prefix_contexts(vocabulary, draft_length)
    stream = Stream(seed, f"conformance tree {vocabulary} {draft_length} {sharpness}")
    target, draft = telling_rows(stream, (len(table), vocabulary), sharpness, fits)
    if zeros:
        chosen = slice(2, None, 2)
        more = Stream(seed, f"conformance tree zeros {vocabulary} {draft_length}")
        target[chosen], draft[chosen] = telling_zeros(more, target[chosen].shape)
    return Instance(
        name=name, target=target, draft=draft, next_context=table, start=0, draft_length=draft_length
    )


def chain_instance(
    seed: int,
    *,
    vocabulary: int = 4,
    order: int = 2,
    draft_length: int = 3,
    sharpness: float = 1.0,
    name: str = "chain",
) -> Instance:
    """Return a chain of some order for decoders; the context before a text is that of zeros."""
    table = order_contexts(vocabulary, order)
    stream = Stream(seed, f"conformance chain {vocabulary} {order} {sharpness}")
    target, draft = telling_rows(stream, (len(table), vocabulary), sharpness)
    return Instance(
        name=name, target=target, draft=draft, next_context=table, start=0, draft_length=draft_length
    )


def telling_rows(
    stream: Stream, shape: tuple[int, int], sharpness: float, fits: Callable[[Floats], Bools] | None = None
) -> tuple[Floats, Floats]:
    """Draw pairs of rows until each distinguishes bugs; see `tree_instance`."""
    vocabulary = shape[1]
    target = dyadic_rows(stream, shape, sharpness=sharpness)
    draft = dyadic_rows(stream, shape, sharpness=sharpness)
    atoms = 2 if vocabulary >= 4 else 1
    for _ in range(1000):
        distance = 0.5 * np.abs(target - draft).sum(axis=1)
        fine = (distance >= 0.2) & (distance <= 0.6)
        fine &= ((target > draft).sum(axis=1) >= atoms) & ((draft > target).sum(axis=1) >= atoms)
        if fits is not None:
            fine &= fits(target) & fits(draft)
        if fine.all():
            return target, draft
        redo = ~fine
        target[redo] = dyadic_rows(stream, (int(redo.sum()), vocabulary), sharpness=sharpness)
        draft[redo] = dyadic_rows(stream, (int(redo.sum()), vocabulary), sharpness=sharpness)
    raise InputError(f"sharpness {sharpness} with {vocabulary} tokens gives no telling rows; use 1.0")


def telling_zeros(stream: Stream, shape: tuple[int, int], forbidden: int = 1) -> tuple[Floats, Floats]:
    """Draw pairs of rows in which the target forbids tokens that are often drafted, until bugs differ.

    forbidden: tokens without mass in each target row.
    Returns: rows in which the draft has at least 0.2 on the target's zeros, the residual has two atoms (one
        where fewer than two tokens are left for it), and the target is at least 0.2 away from it, so
        that a forbidden draft that is replaced from the target instead shows.
    """
    count, vocabulary = shape
    target, draft = np.empty(shape), np.empty(shape)
    redo = np.ones(count, dtype=bool)
    atoms = 2 if vocabulary - forbidden >= 3 else 1
    for _ in range(1000):
        size = int(redo.sum())
        kept = np.where(
            stream.orders(size, vocabulary) < forbidden,
            0.0,
            dyadic_rows(stream, (size, vocabulary), sharpness=1),
        )
        target[redo], draft[redo] = dyadic(kept), dyadic_rows(stream, (size, vocabulary), sharpness=1)
        part = np.maximum(target - draft, 0.0)
        residual = part / np.maximum(part.sum(axis=1, keepdims=True), 1e-300)
        fine = np.where(target > 0, 0.0, draft).sum(axis=1) >= 0.2
        fine &= (part > 0).sum(axis=1) >= atoms
        if vocabulary - forbidden > 1:
            fine &= 0.5 * np.abs(residual - target).sum(axis=1) >= 0.2
        redo = ~fine
        if fine.all():
            return target, draft
    raise InputError(
        f"no telling rows of {vocabulary} tokens with {forbidden} forbidden; use a larger vocabulary"
    )


def wide_instance(seed: int, *, vocabulary: int, draft_length: int = 2) -> Instance:
    """Return rows over a wide vocabulary: powers of the rank, in orders that differ by context.

    Four contexts, chosen by the last token. In the second the last ids are the likeliest, in the third the
    first ones, so that what is cut off at an end shows. The draft is the target with noise.
    """
    contexts = 4
    stream = Stream(seed, f"conformance wide {vocabulary}")
    table = np.broadcast_to(np.arange(vocabulary) % contexts, (contexts, vocabulary)).copy()
    target = np.empty((contexts, vocabulary))
    draft = np.empty((contexts, vocabulary))
    for c in range(contexts):
        order = np.argsort(stream.uniforms(vocabulary), kind="stable")
        if c in (1, 2):
            order = np.arange(vocabulary)[:: -1 if c == 1 else 1]
        weights = np.empty(vocabulary)
        weights[order] = 1.0 / (np.arange(vocabulary) + 2.0) ** 1.1
        noise = np.exp(1.2 * (stream.uniforms(vocabulary) - 0.5) * 2)
        target[c] = weights / weights.sum()
        draft[c] = weights * noise / (weights * noise).sum()
    return Instance(
        name=f"{vocabulary} tokens",
        target=_summing_to_one(target),
        draft=_summing_to_one(draft),
        next_context=table,
        start=0,
        draft_length=draft_length,
    )


def edge_instances(seed: int, *, vocabulary: int = 4, draft_length: int = 2) -> dict[str, Instance]:
    """Return rows with zeros (scattered, one-hot on a side, disjoint), equal and nearly equal ones."""
    table = prefix_contexts(vocabulary, draft_length)
    count = len(table)
    stream = Stream(seed, f"conformance edges {vocabulary}")

    def random(sharpness: float = 1.0) -> Floats:
        return dyadic_rows(stream, (count, vocabulary), sharpness=sharpness)

    def scattered(rows: Floats, zeros: int) -> Floats:
        order = stream.orders(count, vocabulary)
        kept = np.where(order < zeros, 0.0, rows)
        return dyadic(kept)

    def one_hot() -> Floats:
        """Return rows of which the first allows one token alone, those after it more, others either."""
        chosen = stream.below(2, count) == 0
        chosen[0], chosen[table[0]] = True, False
        return np.where(chosen[:, None], np.eye(vocabulary)[stream.below(vocabulary, count)], random())

    half = vocabulary // 2
    flip = stream.below(2, count)[:, None] == 1
    low = np.arange(vocabulary)[None, :] < half
    left = dyadic(np.where(low ^ flip, random(), 0.0))
    right = dyadic(np.where(low ^ flip, 0.0, random()))
    same = random()
    # A sixteenth of the mass apart, or half of the likeliest token's where it has less than twice that.
    near, top = same.copy(), same.argmax(axis=1)
    moved = np.minimum(16, same.max(axis=1) * 128 // 1) / 256
    near[np.arange(count), top] -= moved
    near[np.arange(count), (top + 1) % vocabulary] += moved
    tables = {
        "zeros in the target": telling_zeros(stream, (count, vocabulary), max(1, vocabulary // 3)),
        "zeros in the draft": (random(), scattered(random(), max(1, vocabulary // 3))),
        "zeros on both sides": (scattered(random(), max(1, half - 1)), scattered(random(), max(1, half - 1))),
        "one-hot target": (one_hot(), random()),
        "one-hot draft": (random(), one_hot()),
        "disjoint supports": (left, right),
        "equal rows": (same, same.copy()),
        "nearly equal rows": (same, near),
    }
    return {
        name: Instance(
            name=name, target=target, draft=draft, next_context=table, start=0, draft_length=draft_length
        )
        for name, (target, draft) in tables.items()
    }


#: Mass of the likeliest token of a peaked row, in units of 1/256, by name of the instance.
PEAKS = {"rows with one token of 0.97": 248, "rows with one token of 0.99": 253}


def peaked_instances(seed: int, *, vocabulary: int = 4, draft_length: int = 2) -> list[Instance]:
    """Return rows in which a token has nearly everything, on either side or on both."""
    table = prefix_contexts(vocabulary, draft_length)
    count = len(table)
    found: list[Instance] = []
    for name, mass in PEAKS.items():
        stream = Stream(seed, f"conformance peaks {vocabulary} {mass}")
        plain = [dyadic_rows(stream, (count, vocabulary), sharpness=1.0) for _ in range(2)]
        tops = stream.below(vocabulary, 2, count)
        tops[1] = np.where(stream.below(2, count) == 0, tops[0], tops[1])
        which = stream.below(3, count)
        # The first row is seen most: in the first instance the peaks are two tokens there, in the other one.
        which[0], tops[1, 0] = 0, (tops[0, 0] + (not found)) % vocabulary
        sides = []
        for rows, top, only in zip(plain, tops, (1, 2), strict=True):
            rest = np.where(np.arange(vocabulary) == top[:, None], 0.0, rows + 1e-9)
            peaked = (1 - mass / 256) * rest / rest.sum(axis=1, keepdims=True)
            peaked[np.arange(count), top] = mass / 256
            sides.append(np.where((which == only)[:, None], rows, peaked))
        found.append(
            Instance(
                name=name,
                target=_summing_to_one(sides[0]),
                draft=_summing_to_one(sides[1]),
                next_context=table,
                start=0,
                draft_length=draft_length,
            )
        )
    return found


def tiny_instance(seed: int, *, tiniest: float, vocabulary: int = 4, draft_length: int = 2) -> Instance:
    """Return rows in which some tokens have masses down to `tiniest`, on one side or both."""
    table = prefix_contexts(vocabulary, draft_length)
    stream = Stream(seed, "conformance tiny masses")
    target, draft = telling_rows(stream, table.shape, 1.0)
    exponents = stream.uniforms(2, *table.shape) * math.log(tiniest)
    small = stream.below(3, *table.shape)
    target = np.where(small == 1, np.exp(exponents[0]), target)
    draft = np.where(small == 2, np.exp(exponents[1]), draft)
    return Instance(
        name=f"masses down to {tiniest:g}",
        target=_summing_to_one(target),
        draft=_summing_to_one(draft),
        next_context=table,
        start=0,
        draft_length=draft_length,
    )


def _summing_to_one(rows: Floats) -> Floats:
    """Scale rows and let the largest entry absorb the rounding."""
    rows = rows / rows.sum(axis=1, keepdims=True)
    top = rows.argmax(axis=1)
    rows[np.arange(len(rows)), top] += 1.0 - rows.sum(axis=1)
    return rows


def dyadic(rows: Floats, unit: int = 256) -> Floats:
    """Round rows to multiples of ``1 / unit`` that keep their zeros and sum to 1."""
    weights = rows / rows.sum(axis=1, keepdims=True)
    whole = np.where(weights > 0, np.maximum(np.floor(weights * unit), 1), 0)
    top = whole.argmax(axis=1)
    whole[np.arange(len(rows)), top] += unit - whole.sum(axis=1)
    return whole / unit
