"""Experiments on a subject: each draws its inputs, calls, and keeps integer counts that checks look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import SEED_RANGE, Caller, SubjectError
from specsim.validation.conformance.histories import effective
from specsim.validation.conformance.independence import ExchangeEvidence
from specsim.validation.conformance.instances import Instance, digits, number, padded

#: Rows of one call, where the subject has no limit of its own.
LARGEST_BATCH = 8192


class Models:
    """The two models that a draft-and-verify subject calls; row b of a batch has its own instance.

    Attributes
    ----------
    batch, draft_length, vocabulary
        Rows, drafted tokens per row, tokens.
    """

    def __init__(
        self, caller: Caller, instances: Sequence[Instance], which: Integers, d2t: Integers | None = None
    ) -> None:
        self._caller = caller
        self._d2t = d2t
        self._instances = instances
        self._which = which
        self.batch = len(which)
        self.draft_length = instances[0].draft_length
        self.vocabulary = instances[0].vocabulary
        self._draft = np.stack([item.draft for item in instances])
        self._target = np.stack([item.target for item in instances])

    def draft(self, tokens: Any) -> Any:
        """Return the draft row after the given drafted tokens: ``(batch, n)`` to ``(batch, V)``.

        A subject that takes the option ``d2t`` gets the columns of these ids alone when it is given.
        """
        rows = self._draft[self._which, self._contexts(tokens)[:, -1]]
        return self._caller.give(rows if self._d2t is None else rows[:, self._d2t])

    def target(self, drafted: Any) -> Any:
        """Return the target rows along the drafts: ``(batch, n)`` to ``(batch, n + 1, V)``."""
        return self._caller.give(self._target[self._which[:, None], self._contexts(drafted)])

    def _contexts(self, tokens: Any) -> Integers:
        array = self._caller.take(tokens, "tokens").astype(np.int64)
        if array.ndim != 2 or len(array) != self.batch:
            raise ValueError(f"tokens has shape {array.shape}; give ({self.batch}, n)")
        if array.size and (array.min() < 0 or array.max() >= self.vocabulary):
            raise ValueError(f"tokens are 0..{self.vocabulary - 1}; got {array.min()}..{array.max()}")
        found = np.empty((self.batch, array.shape[1] + 1), dtype=np.int64)
        for index, instance in enumerate(self._instances):
            rows = self._which == index
            found[rows] = instance.contexts(array[rows])
        return found


@dataclass(kw_only=True)
class StepProbe:
    """Verification steps on one instance or, row by row of a batch, on several of the same size.

    caller, rng: how the subject is called, and where drafts and completions come from.
    instances: row b of a batch belongs to instance ``b % len(instances)``.
    length: tokens whose joint law is counted, at most K + 1.
    batch: rows of a call. Defaults to None: as many as fit.
    one_hot: whether draft rows are withheld.
    options: given to the subject. Drafts are drawn, and texts continued, from rows processed alike.
    row_options: options that are given per row, as the value of each instance.
    dtype: element type of rows. Defaults to None: the subject's first.
    draft_lengths: ragged batches: the draft length of each instance.
    table, texts: counts, shapes ``(instances, paths, K + 1, V)`` and ``(instances, V ** length)``.
    whole_drafts: whether every row reported a whole draft. From the first that did not on, `table` stays
        empty: which drafts are whole may depend on them.
    shorter: counts of rows whose drafts were not whole, by their drafts' length n, shapes
        ``(V ** n, n + 1, V)``, on the first instance.
    """

    caller: Caller
    rng: np.random.Generator
    instances: Sequence[Instance]
    length: int
    batch: int | None = None
    one_hot: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    draft_lengths: Integers | None = None
    drafting: Sequence[Floats] | None = None
    row_options: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    whole_drafts: bool = True
    total: int = 0
    looks: int = 0

    def __post_init__(self) -> None:
        """Make the empty counts."""
        first = self.instances[0]
        self.vocabulary, self.draft_length = first.vocabulary, first.draft_length
        paths = self.vocabulary**self.draft_length
        shape = (len(self.instances), paths, self.draft_length + 1, self.vocabulary)
        self.table = np.zeros(shape, dtype=np.int64)
        self.texts = np.zeros((len(self.instances), self.vocabulary**self.length), dtype=np.int64)
        self.shorter = [
            np.zeros((self.vocabulary**n, n + 1, self.vocabulary), dtype=np.int64)
            for n in range(self.draft_length + 1)
        ]
        #: What drafts are drawn from, texts continued by, and laws computed with.
        self.effective = [
            effective(item, self.caller.subject, self._options_of(index))
            for index, item in enumerate(self.instances)
        ]

    def _options_of(self, index: int) -> dict[str, Any]:
        """Return the options of one instance, those that are given per row under the name of one value."""
        own = {name.removesuffix("s"): values[index] for name, values in self.row_options.items()}
        return {**self.options, **own}

    def _options_for(self, which: Integers) -> dict[str, Any]:
        """Return the options of a call."""
        rows = {name: np.asarray(values)[which] for name, values in self.row_options.items()}
        found = {**self.options, **rows}
        if "seeds" in found:
            found["seeds"] = self.caller.row_seeds(len(which))
        return found

    def sample(self, count: int) -> None:
        """Verify about `count` more drafts."""
        self.looks += 1
        wanted = self.total + count
        limit = self.caller.subject.max_batch or LARGEST_BATCH
        while self.total < wanted and not self.caller.out_of_time():
            size = self.batch or min(LARGEST_BATCH, wanted - self.total)
            if self.batch is None and len(self.instances) > 1:
                size = max(len(self.instances), size - size % len(self.instances))
            size = size if self.batch else min(size, max(limit, min(512, size)))
            # Only steps are cut to the subject's batches by the caller.
            self._round(size if self.caller.subject.protocol == "step" else min(size, limit))

    def _round(self, size: int) -> None:
        which = np.arange(size) % len(self.instances)
        drafted: Integers | None
        if self.caller.subject.protocol == "step":
            drafted, tokens, lengths = self._verify(which)
        else:
            options = self._options_for(which)
            models = Models(self.caller, self.instances, which, options.get("d2t"))
            drafted, tokens, lengths = self.caller.draft_and_verify(models, options=options)
        self.count(which, drafted, tokens, lengths)

    def _verify(self, which: Integers) -> tuple[Integers, Integers, Integers]:
        size = len(which)
        drafted = np.empty((size, self.draft_length), dtype=np.int64)
        target = np.empty((size, self.draft_length + 1, self.vocabulary))
        draft = np.empty((size, self.draft_length, self.vocabulary))
        options = self._options_for(which)
        for index, instance in enumerate(self.instances):
            rows = which == index
            if not rows.any():
                continue
            law = self.effective[index].draft if self.drafting is None else self.drafting[index]
            drafted[rows] = self.effective[index].draw_drafted(self.rng, int(rows.sum()), law)
            target[rows], draft[rows] = instance.rows(drafted[rows])
        given = drafted
        if self.draft_lengths is not None:
            options["draft_lengths"] = self.draft_lengths[which]
            given, target, draft = padded(options["draft_lengths"], drafted, target, draft)
        if "d2t" in options:
            draft = draft[..., options["d2t"]]
        rows_given = None if self.one_hot else draft
        tokens, lengths = self.caller.step(target, rows_given, given, dtype=self.dtype, options=options)
        return drafted, tokens, lengths

    def count(self, which: Integers, drafted: Integers | None, tokens: Integers, lengths: Integers) -> None:
        """Add outcomes to the counts."""
        accepted = lengths - 1
        finals = tokens[np.arange(len(tokens)), accepted]
        if drafted is None or (drafted < 0).any():
            self.whole_drafts = False
            self.table[:] = 0
        if self.whole_drafts:
            assert drafted is not None
            np.add.at(self.table, (which, number(drafted, self.vocabulary), accepted, finals), 1)
        if drafted is not None:
            counts = (drafted >= 0).sum(axis=1)
            for n, table in enumerate(self.shorter):
                rows = (counts == n) & (which == 0)
                np.add.at(
                    table, (number(drafted[rows, :n], self.vocabulary), accepted[rows], finals[rows]), 1
                )
        for index, instance in enumerate(self.effective):
            rows = which == index
            if rows.any():
                full = instance.complete(self.rng, tokens[rows], lengths[rows], self.length)
                self.texts[index] += np.bincount(number(full, self.vocabulary), minlength=self.texts.shape[1])
        self.total += len(tokens)


class Preceded:
    """An experiment before which something else is done, once.

    first: what is done; it raises an exception if something is wrong.
    probe: the experiment.
    """

    def __init__(self, first: Callable[[], object], probe: Any) -> None:
        self.first = first
        self.probe = probe
        self._begun = False

    @property
    def total(self) -> int:
        """Observations of the experiment."""
        return int(self.probe.total)

    def sample(self, count: int) -> None:
        """Make about `count` more observations."""
        if not self._begun:
            self._begun = True
            self.first()
        self.probe.sample(count)


class ProbeGroup:
    """Several experiments that are continued together, each by an equal share.

    probes: the experiments.
    total: observations of all of them.
    """

    def __init__(self, probes: Sequence[Any]) -> None:
        self.probes = probes

    @property
    def total(self) -> int:
        """Observations of all experiments."""
        return sum(probe.total for probe in self.probes)

    def sample(self, count: int) -> None:
        """Make about `count` more observations."""
        for probe in self.probes:
            probe.sample(max(1, -(-count // len(self.probes))))


#: Rows of the calls whose rows are paired, in turn; many, powers of two and not.
PAIRED_BATCHES = (512, 64, 3001)
#: Rows of small calls, and about how many pairs of neighbours are made of each size in a turn. Each size is
#: counted separately. The same of a decoder, whose calls take long.
SMALL_BATCHES, SMALL_PAIRS = (2, 3, 4, 8, 32), 120
SMALL_TEXTS, SMALL_TEXT_PAIRS = (2, 8), 40
#: Distances of rows that are paired: all small ones, and what sizes of blocks, halves and thirds may be.
DISTANCES = tuple(
    sorted(
        {*range(1, 34), 40, 48, 64, 80, 96, 100, 108, 128, 132, 144, 160, 192, 200, 240, 250, 256, 300, 320}
        | {384, 400, 500, 512, 600, 640, 750, 768, 800, 1000, 1024, 1200, 1500}
    )
)
#: How many of the smallest distances are also paired at different places: random numbers that lie one after
#: the other, row by row, with a wrong number for each row.
CROSSED = 3
#: Rows of the calls with short drafts.
SHORT_ROWS = 1024
#: Rows of the calls whose seeds are paired (of decoders, whose calls take long, more), and how many
#: neighbouring seeds are.
SEED_ROWS, DECODER_ROWS, SEEDS = 8, 32, 4
#: Bits by which seeds far apart differ, in groups that are tried in turn.
FAR_BITS = (range(2, 8), range(8, 16), range(16, 24), range(24, 31), range(31, 62))
#: Rows of the calls under two neighbouring seeds of which rows far apart are paired, and their distances:
#: pieces of a call whose seeds are neighbours, or seeds of rows that are multiples of the call's. Not of
#: decoders, whose calls take long.
PIECED, PIECES = 1100, (8, 10, 12, 16, 24, 32, 48, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1000, 1024)


#: Calls whose outcomes are exchanged: of rows, of which a call has many, and of seeds.
ROW_CALLS, SEED_CALLS = 2, 4
#: Rows of the first part of a call whose pairs are added to the evidence at once; the next is as large as all
#: before it.
FIRST_PART = 16


@dataclass(kw_only=True)
class PairProbe:
    """Pairs of outcomes that must be independent: two rows of a batch, or rows under two seeds.

    The same outcomes are paired in several ways, because what is shared may not be shared by neighbours: rows
    of many distances; the same row of seeds that are 1, 2 and 3 apart, or differ in one higher bit; and rows
    and seeds crossed, row b + n under one seed with row b under the next. In each way, tokens of several
    places are paired.

    subject: its largest batch limits the calls.
    outcomes: makes a function of a seed that returns what the rows of a call of `rows` rows emitted,
        ``(rows, tokens)``, and -1 where a row emitted fewer. With fixed inputs it must be the same inputs for
        every seed, unless inputs are independent of each other.
    apart: ``"rows"`` or ``"seeds"``.
    cells: number of tokens of the vocabulary.
    places: of the two tokens that are paired.
    short: makes the same of drafts of one token, of which rows near each other are paired: the last token of
        a row, seldom seen after longer drafts, with the first test of the next row. None: not done.
    ways: names of the ways to pair.
    evidence: of every way for the first of `places`, then for the second, and so on.
    first: how often each row of the calls under seeds far apart emitted each first token.
    total: pairs of neighbours so far.
    refused: the message with which the subject refused a seed beyond `SEED_RANGE`, or an empty text.
    """

    caller: Caller
    outcomes: Callable[[int], Callable[[int], Integers]]
    apart: str
    cells: int
    places: Sequence[tuple[int, int]] = ((0, 0),)
    short: Callable[[int], Callable[[int], Integers]] | None = None
    total: int = 0
    refused: str = ""

    def __post_init__(self) -> None:
        """Make the empty counts."""
        limit = self.caller.subject.max_batch or max(PAIRED_BATCHES)
        self.seed_rows = min(limit, DECODER_ROWS if self.caller.subject.protocol == "decoder" else SEED_ROWS)
        self.batches = tuple(dict.fromkeys(min(limit, size) for size in PAIRED_BATCHES))
        texts = self.caller.subject.protocol == "decoder"
        self.small = [size for size in (SMALL_TEXTS if texts else SMALL_BATCHES) if size <= limit]
        self.small_pairs = SMALL_TEXT_PAIRS if texts else SMALL_PAIRS
        self.pieced = 0
        self.ways = self._ways(limit)
        self._way = {name: number for number, name in enumerate(self.ways)}
        near = tuple(f"rows {distance} apart" for distance in DISTANCES[:CROSSED])
        self._crossed = [
            number for name, number in self._way.items() if name.removesuffix(", drafts of one token") in near
        ]
        self.evidence = ExchangeEvidence(len(self.places) * len(self.ways), self.cells)
        self.first = np.zeros((self.seed_rows if self.apart == "seeds" else 0, self.cells), dtype=np.int64)
        self._pairs = self._seed_pairs(self.seed_rows) if self.apart == "seeds" else None
        self._turn = 0

    def _ways(self, limit: int) -> list[str]:
        if self.apart == "rows":
            large = [f"rows {distance} apart" for distance in DISTANCES if distance < max(self.batches)]
            small = [f"rows 1 apart in calls of {size}" for size in self.small]
            shifts = DISTANCES[:CROSSED] if self.short is not None else ()
            return [*large, *small, *(f"rows {n} apart, drafts of one token" for n in shifts if n < limit)]
        rows = self.seed_rows
        ways = [f"seeds {distance} apart" for distance in (1, 2, 3)]
        ways += [f"seeds that differ in bit {bits[0]} to {bits[-1]}" for bits in FAR_BITS]
        ways += [
            f"row b + {shift} under one seed and row b under the seed {seeds} later"
            for seeds in (1, -1, 2)
            for shift in range(1, min(rows, SEED_ROWS))
        ]
        ways += [f"row b under one seed and row b ^ {mask} under the next" for mask in (1, 3) if mask < rows]
        if rows > 1:
            ways += [f"row b + 1 under one seed and row b under a seed {2**bit} later" for bit in FAR_BITS[0]]
        if self.caller.subject.protocol != "decoder":
            self.pieced = min(limit, PIECED)
        return ways + [
            f"row b + {shift} under one seed and row b under the next"
            for shift in PIECES
            if shift < self.pieced
        ]

    def name(self, number: int) -> str:
        """Spell what is paired."""
        place, way = divmod(number, len(self.ways))
        one, other = self.places[place]
        if one == other:
            return self.ways[way] + (f", token {one + 1}" if one else "")
        return f"{self.ways[way]}, token {one + 1} with token {other + 1}"

    def sample(self, count: int) -> None:
        """Observe about `count` more pairs."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            if self.apart == "rows":
                turn = self._turn % (len(self.batches) + 1)
                # Small calls come second, so that they come also where few pairs are made.
                if turn == 1:
                    self._sample_small()
                    self._sample_short(min(self.caller.subject.max_batch or SHORT_ROWS, SHORT_ROWS))
                else:
                    self._sample_rows(self.batches[max(0, turn - 1)])
            else:
                if self.pieced > min(PIECES) and self._turn % PIECED == 0:
                    self._sample_pieces()
                self._sample_seeds(self.seed_rows)
            self._turn += 1

    def _sample_rows(self, size: int) -> None:
        self._pair_rows(self.outcomes(size), size, "rows {} apart")
        self.total += ROW_CALLS * size // 2

    def _sample_short(self, size: int) -> None:
        if self.short is not None:
            self._pair_rows(self.short(size), size, "rows {} apart, drafts of one token")

    def _pair_rows(self, call: Callable[[int], Integers], size: int, words: str) -> None:
        """Pair the rows of a call at the distances of which there are ways so called."""
        ways = [(self._way[words.format(n)], n) for n in DISTANCES if words.format(n) in self._way]
        found = np.stack([call(self.caller.next_seed()) for _ in range(ROW_CALLS)])
        begin = 0
        while begin < size:
            # What is expected of the next part follows from those before.
            end = min(size, max(2 * begin, FIRST_PART))
            for way, distance in ways:
                one = np.arange(begin, min(end, size - distance))
                if len(one):
                    self._add(np.full(len(one), way), found[:, one], found[:, one + distance])
            begin = end

    def _sample_small(self) -> None:
        """Pair neighbours in many small calls."""
        for size in self.small:
            call = self.outcomes(size)
            times = -(-self.small_pairs // (size - 1))
            calls = np.stack(
                [[call(self.caller.next_seed()) for _ in range(ROW_CALLS)] for _ in range(times)]
            )
            first, second = calls[:, :, :-1], calls[:, :, 1:]
            self._paired(
                f"rows 1 apart in calls of {size}",
                [(_in_one(first[:, n]), _in_one(second[:, n])) for n in range(ROW_CALLS)],
                0,
            )
            self.total += times * (size - 1)

    def _seed_pairs(self, size: int) -> tuple[Integers, Integers, Integers]:
        """Return the ways of all pairs of a round, and the two outcomes of each: ``seed * size + row``."""
        row = np.arange(size)
        found: list[tuple[Integers, Integers, Integers]] = []

        def add(way: str, seeds: int, left_rows: Integers, right_rows: Integers) -> None:
            number = np.full(len(left_rows), self._way[way])
            found.extend(
                (number, left * size + left_rows, (left + seeds) * size + right_rows)
                for left in range(max(0, -seeds), SEEDS - max(0, seeds))
            )

        for distance in (1, 2, 3):
            add(f"seeds {distance} apart", distance, row, row)
        for seeds in (1, -1, 2):
            for shift in range(1, min(size, SEED_ROWS)):
                way = f"row b + {shift} under one seed and row b under the seed {seeds} later"
                add(way, seeds, row[shift:], row[:-shift])
        for mask in (1, 3):
            fits = row[(row ^ mask) < size]
            if mask < size:
                add(f"row b under one seed and row b ^ {mask} under the next", 1, fits, fits ^ mask)
        ways, left, right = (np.concatenate(part) for part in zip(*found, strict=True))
        return ways, left, right

    def _sample_seeds(self, size: int) -> None:
        call = self.outcomes(size)
        bits = FAR_BITS[self._turn % len(FAR_BITS)]
        turn = self._turn // len(FAR_BITS)
        near, far, crossed = [], [], []
        for repetition in range(SEED_CALLS):
            base = min(self.caller.next_seed(), SEED_RANGE - SEEDS)
            near.append(np.concatenate([call(base + place) for place in range(SEEDS)]))
            # Low bits are crossed with rows, where all repetitions must have the same one.
            bit = bits[(turn if bits is FAR_BITS[0] else SEED_CALLS * turn + repetition) % len(bits)]
            here, there = near[-1][:size], self._far(call, base ^ (1 << bit))
            if there is not None:
                far.append((here, there))
                crossed.append((there, here) if base >> bit & 1 else (here, there))
            self.first += here[:, :1] == np.arange(self.cells)
        assert self._pairs is not None
        ways, left, right = self._pairs
        found = np.stack(near)
        self._add(ways, found[:, left], found[:, right])
        if len(far) > 1:
            self._paired(f"seeds that differ in bit {bits[0]} to {bits[-1]}", far, 0)
            if bits is FAR_BITS[0] and size > 1:
                self._paired(f"row b + 1 under one seed and row b under a seed {2**bit} later", crossed, 1)
        self.total += 2 * SEED_CALLS * size

    def _sample_pieces(self) -> None:
        """Pair rows far apart, under one seed and the next."""
        call = self.outcomes(self.pieced)
        found = []
        for _ in range(ROW_CALLS):
            base = min(self.caller.next_seed(), SEED_RANGE - 2)
            found.append((call(base), call(base + 1)))
        for shift in PIECES:
            if shift < self.pieced:
                self._paired(f"row b + {shift} under one seed and row b under the next", found, shift)

    def _far(self, call: Callable[[int], Integers], seed: int) -> Integers | None:
        """Return the outcomes under a seed that a subject may refuse when it is wide."""
        if seed < SEED_RANGE:
            return call(seed)
        if self.refused:
            return None
        try:
            return call(seed)
        except SubjectError as error:
            self.refused = str(error)
            return None

    def _paired(self, way: str, found: Sequence[tuple[Integers, Integers]], shift: int) -> None:
        """Pair row b + `shift` of the one call of each repetition with row b of the other."""
        one, other = (np.stack(calls) for calls in zip(*found, strict=True))
        size = one.shape[1] - shift
        begin = 0
        while begin < size:
            end = min(size, max(2 * begin, FIRST_PART))
            ways = np.full(end - begin, self._way[way])
            self._add(ways, one[:, begin + shift : end + shift], other[:, begin:end])
            begin = end

    def _add(self, ways: Integers, first: Integers, second: Integers) -> None:
        """Add pairs of texts, ``(repetitions, pairs, tokens)``, in every pair of places."""
        for place, (one, other) in enumerate(self.places):
            # Ways to pair rows come one at a time; places are crossed for rows near each other only.
            if self.apart == "seeds" or one == other or ways[0] in self._crossed:
                self.evidence.add(place * len(self.ways) + ways, first[..., one], second[..., other])


def _in_one(calls: Integers) -> Integers:
    """Return the rows of several calls as those of one: ``(calls, rows, tokens)`` to ``(rows, tokens)``."""
    return calls.reshape(-1, calls.shape[-1])


def spelled(cell: int, vocabulary: int, length: int) -> str:
    """Spell a text by its number."""
    return " ".join(str(int(token)) for token in digits(np.array([cell]), vocabulary, length)[0])
