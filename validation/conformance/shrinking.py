"""Looks for the smallest vocabulary, draft length and batch on which a failure still shows."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance import scripts
from specsim.validation.conformance.calling import (
    Caller,
    ContractError,
    NotApplicable,
    SubjectError,
    tree_depths,
)
from specsim.validation.conformance.checks.repeated import RepeatedDraws
from specsim.validation.conformance.filters import filtered, of_draft
from specsim.validation.conformance.instances import digits, number
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.results import CheckResult, CheckStatus, Script
from specsim.validation.conformance.scripts import Case

#: Vocabulary and draft length, smallest first.
SIZES = ((2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (2, 3), (4, 2), (4, 3), (2, 6))
#: Rows of a call, smallest first.
BATCHES = (1, 2, 5, 64)
#: Parents of small trees: two children of the root, three, a chain, and both.
SHAPES = ((-1, 0, 0), (-1, 0, 0, 0), (-1, 0, 1), (-1, 0, 0, 1))
#: Observations of the looks at every size.
LOOKS = (1024, 8192, 65_536)
#: Probability of one false find over all that is tried.
LEVEL = 1e-9
#: Pairs of calls that are compared for one way of sharing random numbers, and after how many it is given up
#: if nothing is seen.
TURNS, FEW_TURNS = 400, 60
#: Calls of a script, at most, and seconds that the search takes.
MOST_CALLS, SECONDS = 20_000, 15.0


class _Models:
    """Models whose rows depend on the position alone."""

    def __init__(self, caller: Caller, case: Case) -> None:
        self._caller, self._case = caller, case
        self.batch, self.draft_length, self.vocabulary = case.batch, case.length, case.vocabulary

    def draft(self, tokens: Any) -> Any:
        return self._caller.give(self._case.draft[:, np.shape(tokens)[1]])

    def target(self, drafted: Any) -> Any:
        return self._caller.give(self._case.target[:, : np.shape(drafted)[1] + 1])


class _Decoded:
    """Models of a decoder, whose rows depend on the last two tokens."""

    start = 0

    def __init__(self, caller: Caller, case: Case) -> None:
        self._caller, self._case = caller, case
        self.vocabulary, self.draft_length = case.vocabulary, scripts.DECODED

    def target(self, tokens: Any) -> Any:
        return self._caller.give(self._case.target[0][self._contexts(tokens)])

    def draft(self, tokens: Any) -> Any:
        return self._caller.give(self._case.draft[0][self._contexts(tokens)])

    def _contexts(self, tokens: Any) -> Integers:
        array = self._caller.take(tokens, "tokens")
        return np.asarray(np.pad(array[:, :-1], ((0, 0), (1, 0))) * self.vocabulary + array)


def shrunk(lab: Laboratory, failed: Sequence[CheckResult], origin: str) -> Script | None:
    """Return a script that shows a failure at the smallest sizes at which it still shows, or None.

    lab: whose subject failed.
    failed: the checks that it failed, the most informative first.
    origin: what names the subject on the command line.
    """
    imports = scripts.import_lines(lab.subject, origin)
    if imports is None:
        return None
    search = _Search(lab, imports)
    try:
        return search.run(failed)
    except (ContractError, SubjectError, NotApplicable, InputError, AttributeError):
        # It breaks on rows that are not those of the checks: the command repeats the failure.
        return None


@dataclass(eq=False)
class _Search:
    lab: Laboratory
    imports: list[str]

    def __post_init__(self) -> None:
        self.subject = self.lab.subject
        self.caller = self.lab.caller("smaller")
        self.rng = self.lab.rng("smaller")
        self.deadline = time.monotonic() + SECONDS
        self.caller.deadline = self.deadline
        self.tried = 0
        #: Equal rows of a call of a decoder or a tree.
        self.copies = 1

    def run(self, failed: Sequence[CheckResult]) -> Script | None:
        broken = [check for check in failed if check.status is CheckStatus.BROKEN]
        kinds = [check.kind for check in failed]
        first = failed[0]
        if broken and first in broken:
            return self._contract("protocol", first)
        if first.name in ("determinism", "untouched-inputs"):
            return self._contract("determinism" if first.name == "determinism" else "inputs", first)
        if "independence" in kinds:
            name = next(
                check.name for check in failed if check.kind == "independence"
            )  # the diagnosis' own first
            # There is none for other places, or seeds that are the same by chance: the report names them.
            return self._pairs(name)
        if "output" in kinds:
            found = next(check for check in failed if check.kind == "output")
            return None if found.name == "repeated-draws" else self._law(found)
        if "rule" in kinds:
            return self._acceptance(next(check for check in failed if check.kind == "rule"))
        return self._contract("finite", first) if first.kind == "guard" else None

    # Rows.

    def _cases(self, check: str, batch: int = 1) -> Iterator[Case]:
        """Yield small cases, those first that resemble the check's own."""
        options = self._options(check)
        subject = self.subject
        if subject.protocol == "tree":
            # Of rows with zeros, or of one token, distinct children are not drawn here.
            edges = (3, 5, 6) if subject.drawing == "with" else (6,)
            resembling = (*(edges if check == "edge-rows" else ()), *range(3))
            for parents, vocabulary, kind in itertools.product(SHAPES, (2, 3), resembling):
                depth = int(tree_depths(np.array(parents)).max())
                target, draft = _rows(vocabulary, depth, kind)
                yield Case(
                    target=target[None],
                    draft=draft[None],
                    law=target[None],
                    drawn=draft[None],
                    parents=parents,
                )
            return
        first = {
            "zero-mass": (3, 4),
            "equal-rows": (4,),
            "one-hot-drafts": (5,),
            "tiny-mass": (3,),
            "peaked-rows": (6,),
            "edge-rows": (3, 5, 6),
        }.get(check, ())
        kinds = [*first, *(kind for kind in range(5) if kind not in first)]
        longest = subject.max_draft_length or 6
        for (vocabulary, length), kind in itertools.product(SIZES, kinds):
            if (
                vocabulary > self.lab.vocabulary
                or length > longest
                or vocabulary <= int(options.get("top_k", 0))
            ):
                continue
            target, draft = _rows(vocabulary, length, kind)
            if subject.protocol == "decoder":
                table, drafts = _rows(vocabulary, vocabulary**2, kind)
                tables = table[None, :-1], drafts[None]
                if length == 1:
                    yield Case(target=tables[0], draft=tables[1], law=tables[0], drawn=tables[1])
                continue
            law, drawn = filtered(target, options), filtered(draft, of_draft(options, subject.filters))
            tiled = [np.tile(rows, (batch, 1, 1)) for rows in (target, draft, law, drawn)]
            yield Case(target=tiled[0], draft=tiled[1], law=tiled[2], drawn=tiled[3], options=options)

    def _options(self, check: str) -> dict[str, Any]:
        from specsim.validation.conformance.checks.options import VALUES

        name = check.replace("-", "_")
        return {name: VALUES[name][0]} if name in VALUES and name in self.subject.options else {}

    # Calls.

    def _texts(self, case: Case, calls: int, *, first_seed: int = 0) -> tuple[Integers, Integers, Integers]:
        """Return drafted tokens, texts (the target goes on where a call stops) and lengths, call by call."""
        found = []
        for seed in range(first_seed, first_seed + calls):
            if self.caller.out_of_time():
                break
            found.append(self._one(case, seed))
        if not found:
            raise NotApplicable("time is over")
        drafted, tokens, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if self.subject.protocol != "decoder":
            law = np.tile(case.law, (len(tokens) // case.batch, 1, 1))
            drawn = _draw(self.rng, law[:, : tokens.shape[1]])
            tokens = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, drawn)
        return drafted, tokens, lengths

    def _one(self, case: Case, seed: int) -> tuple[Integers, Integers, Integers]:
        protocol = self.subject.protocol
        if protocol == "step":
            drafted = _draw(self.rng, case.drawn)
            rows = None if self.subject.draft == "never" else case.draft
            return drafted, *self.caller.step(case.target, rows, drafted, seed=seed, options=case.options)
        if protocol == "draft-and-verify":
            models = _Models(self.caller, case)
            own, tokens, lengths = self.caller.draft_and_verify(models, seed=seed, options=case.options)
            if own is None:
                raise NotApplicable("the sampler does not report its drafts")
            return own, tokens, lengths
        if protocol == "tree":
            return self._one_tree(case, seed)
        prompts = np.zeros((self.copies, 2), dtype=np.int64)
        tokens, _ = self.caller.decode(
            _Decoded(self.caller, case), prompts, 4, seed=seed, options=case.options
        )
        return tokens, tokens, np.full(len(tokens), 4)

    def _one_tree(self, case: Case, seed: int) -> tuple[Integers, Integers, Integers]:
        parents = np.array(case.parents)
        depths = tree_depths(parents)
        tokens = np.full((self.copies, len(parents)), -1)
        for node in range(len(parents)):
            row = case.draft[0, min(depths[node], case.length - 1)]
            left = np.tile(row, (self.copies, 1))
            for child in np.flatnonzero(parents[1:] == node) + 1:
                tokens[:, child] = _draw(self.rng, left)
                if self.subject.drawing == "without":
                    left[np.arange(len(left)), tokens[:, child]] = 0.0
        target, draft = (np.tile(x, (self.copies, 1, 1)) for x in (case.target, case.draft))
        target, draft = target[:, depths], draft[:, np.minimum(depths, case.length - 1)]
        emitted, lengths = self.caller.tree(parents, target, draft, tokens, seed=seed)
        return tokens, emitted, lengths

    # Searches.

    def _law(self, check: CheckResult) -> Script | None:
        if self.subject.protocol == "tree" and self.subject.drawing == "greedy":
            return None
        whole = min(self.subject.max_batch or 1024, 1024)
        if self.subject.protocol in ("tree", "decoder"):
            self.copies, whole = min(whole, 256), 1
        for look in LOOKS:
            for case in self._cases(check.name, whole):
                if self.caller.out_of_time():
                    return None
                event = self._wrong_text(case, max(1, look // (whole * self.copies)))
                if event is not None:
                    return self._smallest_batch(case, event, check)
        return None

    def _wrong_text(self, case: Case, calls: int) -> tuple[tuple[int, ...], float, float] | None:
        """Return the shortest text whose frequency is wrong, its probability, and its frequency."""
        _, texts, _ = self._texts(case, calls)
        for length in range(1, min(texts.shape[1], 4) + 1):
            law = self._text_law(case, length)
            counts = np.bincount(number(texts[:, :length], case.vocabulary), minlength=len(law))
            self.tried += len(law)
            cell = _worst(counts, law, LEVEL / (50 * self.tried))
            if cell is not None:
                words = tuple(int(x) for x in digits(np.array([cell]), case.vocabulary, length)[0])
                return words, float(law[cell]), float(counts[cell] / len(texts))
        return None

    def _text_law(self, case: Case, length: int) -> Floats:
        texts = digits(np.arange(case.vocabulary**length), case.vocabulary, length)
        if self.subject.protocol == "decoder":
            whole = np.pad(texts, ((0, 0), (2, 0)))
            return np.asarray(
                case.target[0][whole[:, :-2] * case.vocabulary + whole[:, 1:-1], texts].prod(axis=1)
            )
        return np.asarray(case.law[0, np.arange(length), texts].prod(axis=1))

    def _smallest_batch(self, case: Case, event: Any, check: CheckResult) -> Script | None:
        text, expected, frequency = event
        # Enough observations for 10 standard errors of the difference that was seen.
        needed = max(200, math.ceil(100 * max(expected * (1 - expected), 1e-4) / (frequency - expected) ** 2))
        self.copies, seen_at = 1, case.batch * self.copies
        self.caller.deadline = time.monotonic() + SECONDS
        for batch in (1,) if case.batch == 1 else (*(b for b in BATCHES if b < case.batch), case.batch):
            small = case if batch == case.batch else _cut(case, batch)
            calls = math.ceil(needed / batch)
            if calls > MOST_CALLS and batch != case.batch:
                continue
            if batch != seen_at and not self._still(small, event, calls):
                continue
            rows = list(range(small.batch)) if self.subject.protocol not in ("tree", "decoder") else [0]
            made = scripts.law_script(
                self.subject, self.imports, small, cause=f"{check.name}: {check.title}", text=text, rows=rows,
                expected=expected, calls=calls,
            )  # fmt: skip
            return Script(
                text=made,
                sizes=small.sizes if len(rows) > 1 else _decoder_sizes(self.subject.protocol, small),
            )
        return None

    def _still(self, case: Case, event: Any, calls: int) -> bool:
        text, expected, _ = event
        _, texts, _ = self._texts(case, calls)
        seen = (texts[:, : len(text)] == np.array(text)).all(axis=1)
        error = math.sqrt(max(expected * (1 - expected), 1e-9) / len(seen))
        return abs(float(seen.mean()) - expected) > (scripts.SURE + 1) * error

    def _acceptance(self, check: CheckResult) -> Script | None:
        rule = self.subject.rule
        if rule is None or self.subject.protocol not in ("step", "draft-and-verify"):
            return None
        whole = min(self.subject.max_batch or 1024, 1024)
        one_hot = self.subject.draft == "never"
        for look in LOOKS:
            for case in self._cases(check.name, whole):
                if self.caller.out_of_time():
                    return None
                drafted, _, lengths = self._texts(case, max(1, look // whole))
                for token in range(case.vocabulary):
                    paths = np.full((1, case.length), token)
                    law = self.lab.rule_or_none(one_hot=one_hot) or rule
                    table = law.law(case.law[:1], None if one_hot else case.drawn[:1], paths)
                    expected = float(table[0, 1:].sum())
                    mine = drafted[:, 0] == token
                    counts = np.array([(lengths[mine] == 1).sum(), (lengths[mine] > 1).sum()])
                    # The first token's acceptance must not depend on what is drafted after it.
                    if case.length > 1 or not mine.any():
                        continue
                    self.tried += 1
                    if _worst(counts, np.array([1 - expected, expected]), LEVEL / (50 * self.tried)) is None:
                        continue
                    share = counts[1] / counts.sum()
                    needed = 100 * max(expected * (1 - expected), 1e-4) / (share - expected) ** 2
                    calls = max(200, math.ceil(needed * len(mine) / mine.sum()))
                    small = _cut(case, 1) if calls <= MOST_CALLS else case
                    made = scripts.acceptance_script(
                        self.subject, self.imports, small, cause=f"{check.name}: {check.title}", token=token,
                        expected=expected, calls=math.ceil(calls / small.batch),
                    )  # fmt: skip
                    return Script(text=made, sizes=small.sizes)
        return None

    def _pairs(self, name: str) -> Script | None:
        """Look for first tokens that are equal too often, in two rows of a call or under two seeds."""
        if self.subject.protocol == "tree":
            return None
        for seeds, rows in self._ways(name):
            batch = abs(rows) + 1
            if batch > (self.subject.max_batch or batch) or (rows and self.subject.protocol == "decoder"):
                continue
            # The draft is certain, so that it shares nothing.
            target, draft = np.full((2, 2), 0.5), np.array([[1.0, 0.0]])
            if self.subject.protocol == "decoder":
                target = draft = np.full((4, 2), 0.5)
            tiles = [np.tile(x, (batch, 1, 1)) for x in (target, draft)]
            case = Case(target=tiles[0], draft=tiles[1], law=tiles[0], drawn=tiles[1])
            equal = []
            for turn in range(TURNS):
                if self.caller.out_of_time():
                    break
                seed = turn * max(1, 2 * seeds)
                earlier = later = self._one(case, seed)[1]
                if seeds:
                    later = self._one(case, seed + seeds)[1]
                equal.append(earlier[max(0, -rows), 0] == later[max(0, rows), 0])
                if turn == FEW_TURNS and abs(np.mean(equal) - 0.5) < 0.5 / math.sqrt(turn):
                    break
            if len(equal) > FEW_TURNS and abs(np.mean(equal) - 0.5) > 8 * 0.5 / math.sqrt(len(equal)):
                made = scripts.pairs_script(
                    self.subject, self.imports, case, cause=name, seeds=seeds, rows=rows,
                    expected=0.5, calls=len(equal),
                )  # fmt: skip
                return Script(text=made, sizes=_decoder_sizes(self.subject.protocol, case))
        return None

    def _ways(self, name: str) -> list[tuple[int, int]]:
        """Return by how much seeds and rows may differ that share random numbers."""
        if name == "batch-independence":
            return [(0, 1), (0, 2), (0, 4), (0, 8), (0, 32)]
        if name == "seed-independence":
            return [(1, 0), (2, 0), (1, 1), (1, -1), (2**16, 0), (2**32, 0)]
        check = self.lab.kept(f"check {name}")
        return check.shared_rows() if isinstance(check, RepeatedDraws) else []

    def _contract(self, kind: str, check: CheckResult) -> Script | None:
        if self.subject.protocol != "step":
            return None
        for case, batch in itertools.product(self._cases("finite" if kind == "finite" else ""), BATCHES):
            if self.caller.out_of_time() or batch > (self.subject.max_batch or batch):
                return None
            one = _cut(case, 1)
            small = replace(
                one,
                target=np.tile(one.target, (batch, 1, 1)),
                draft=np.tile(one.draft, (batch, 1, 1)),
                law=np.tile(one.law, (batch, 1, 1)),
                drawn=np.tile(one.drawn, (batch, 1, 1)),
            )
            drafted = np.zeros((batch, case.length), dtype=np.int64)
            if kind == "finite":
                small = _not_finite(small, never=self.subject.draft == "never")
            if self._violates(small, drafted, kind):
                made = scripts.contract_script(
                    self.subject,
                    self.imports,
                    small,
                    drafted,
                    cause=f"{check.name}: {check.title}",
                    kind=kind,
                )
                return Script(text=made, sizes=small.sizes)
        return None

    def _violates(self, case: Case, drafted: Integers, kind: str) -> bool:
        rows = None if self.subject.draft == "never" else case.draft
        given = [self.caller.give(case.target), None if rows is None else self.caller.give(rows),
                 self.caller.give_integers(drafted)]  # fmt: skip
        try:
            if kind == "inputs":
                held = [x for x in given if x is not None]
                before = [np.array(self.caller.take(x, "rows")) for x in held]
                self.caller.call(*given, seed=1)
                after = [self.caller.take(x, "rows") for x in held]
                return not all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
            results = [self.caller.call(*given, seed=1) for _ in range(2)]
            if kind == "determinism":
                both = [
                    [np.asarray(self.caller.take(x, "tokens")).tolist() for x in result] for result in results
                ]
                return both[0] != both[1]
            check = kind == "protocol"
            tokens, lengths = self.caller.checked_step(
                results[0], drafted, case.vocabulary, None, slice(None), check
            )
        except (ContractError, SubjectError):
            return kind == "protocol"
        if kind == "protocol":
            return False
        shown = [(b, i) for b in range(len(tokens)) for i in range(int(lengths[b]))]
        return any(
            case.target[b, i, tokens[b, i]] == 0 for b, i in shown if 0 <= tokens[b, i] < case.vocabulary
        )


def _cut(case: Case, batch: int) -> Case:
    return replace(
        case,
        target=case.target[:batch],
        draft=case.draft[:batch],
        law=case.law[:batch],
        drawn=case.drawn[:batch],
    )


def _decoder_sizes(protocol: str, case: Case) -> str:
    return f"{case.vocabulary} tokens, rows by the last two tokens" if protocol == "decoder" else case.sizes


def _not_finite(case: Case, *, never: bool) -> Case:
    """Return the case with a first row of NaN, and a target that gives token 0 nothing."""
    target, draft = case.target.copy(), case.draft.copy()
    if never:
        target[:, 0] = np.nan
    else:
        target[:, 0] = np.eye(case.vocabulary)[-1]
        draft[:, 0] = np.nan
    return replace(case, target=target, draft=draft)


def _draw(rng: np.random.Generator, rows: Floats) -> Integers:
    sums = np.cumsum(rows, axis=-1)
    found = (sums <= rng.random((*rows.shape[:-1], 1)) * sums[..., -1:]).sum(axis=-1)
    last = rows.shape[-1] - 1 - np.argmax(rows[..., ::-1] > 0, axis=-1)
    return np.asarray(np.minimum(found, last), dtype=np.int64)


def _worst(counts: Integers, law: Floats, level: float) -> int | None:
    """Return the cell whose count is least likely, if its two-sided probability is below a level."""
    from scipy.stats import binom

    size = int(counts.sum())
    tails = np.minimum(binom.cdf(counts, size, law), binom.sf(counts - 1, size, law))
    cell = int(tails.argmin())
    return cell if 2 * tails[cell] * len(law) < level else None


def _rows(vocabulary: int, length: int, kind: int) -> tuple[Floats, Floats]:
    """Return target rows ``(length + 1, V)`` and draft rows ``(length, V)`` in sixteenths, by kind.

    0 to 2: random and far apart; 3: zeros on either side; 4: both the same; 5: certain drafts; 6: one token
    of the target has nearly everything.
    """
    rng = np.random.default_rng([vocabulary, length, kind])

    def random(count: int, power: float) -> Floats:
        weights = rng.random((count, vocabulary)) ** power
        parts = np.floor(weights / weights.sum(axis=1, keepdims=True) * (16 - vocabulary)).astype(int) + 1
        parts[np.arange(count), parts.argmax(axis=1)] += 16 - parts.sum(axis=1)
        return parts / 16

    target, draft = random(length + 1, 1.0 + kind), random(length, 1.0 + kind)
    if kind in (0, 1, 2):
        # The draft prefers what the target does not.
        order = np.argsort(np.argsort(-target[:length], axis=1), axis=1)
        draft = np.take_along_axis(np.sort(draft, axis=1), order, axis=1)
    if kind == 3:
        target[:, 0], draft[:, -1] = 0.0, 0.0
        target[:, -1] += 1 - target.sum(axis=1)
        draft[:, 0] += 1 - draft.sum(axis=1)
    if kind == 4:
        draft = target[:length].copy()
    if kind == 5:
        draft = np.eye(vocabulary)[draft.argmax(axis=1)]
    if kind == 6:
        target = (np.eye(vocabulary)[target.argmax(axis=1)] * 15 + target) / 16
    return target, draft
