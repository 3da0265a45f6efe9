"""What every random word of the lockstep engine does: an exact sweep, and a plain replica run by run."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Speculative,
    simulate,
)
from specsim.engines.compiled import compaction, philox as words_of_counters, sizes
from specsim.engines.lockstep import chain_tables, plans
from specsim.engines.lockstep.kernels import chain_lists, chain_steps

ROOT = Path(__file__).resolve().parents[3]


def random_pair(tokens, horizon, seed, zeros=0.0, stationary=False, contexts=None):
    """Rows with some zeros; with `contexts` the next context is random."""
    generator = np.random.default_rng(seed)
    shape = (1 if stationary else horizon, contexts or tokens, tokens)
    rows = generator.random((2, *shape)) * (generator.random((2, *shape)) >= zeros)
    rows[..., tokens // 2] += 0.01
    rows /= rows.sum(axis=-1, keepdims=True)
    return ModelPair.from_probabilities(
        rows[0],
        rows[1],
        initial=np.full(shape[1], 1 / shape[1]),
        next_context=generator.integers(0, contexts, (contexts, tokens)) if contexts else None,
        horizon=horizon,
        tolerance=1e-6,
    )


def coarse_rows(generator, tokens, zeros):
    """Weights that are multiples of 2^24."""
    allowed = np.flatnonzero(generator.random(tokens) >= zeros)
    picks = generator.choice(allowed if len(allowed) else [tokens - 1], 256)
    return np.bincount(picks, minlength=tokens) / 256


@pytest.mark.parametrize(("tokens", "zeros"), [(2, 0.0), (5, 0.0), (7, 0.3), (8, 0.0), (8, 0.5), (40, 0.4)])
def test_one_word__has_the_joint_law_of_draft_test_and_replacement(compiled, tokens, zeros):
    """Rows change at multiples of 2^24 only, so that 256 cells of words tell the whole law.

    Accepted tokens must have weights min(P, Q), rejected ones (P - Q)_+, their replacements (Q - P)_+.
    """
    generator = np.random.default_rng(tokens)
    for trial in range(12):
        target, draft = (coarse_rows(generator, tokens, zeros) for _ in range(2))
        if trial == 0:
            target = draft
        pair = ModelPair.from_probabilities(
            [target] * tokens,
            [draft] * tokens,
            initial=np.full(tokens, 1 / tokens),
            horizon=1,
            tolerance=1e-6,
        )
        plan = plans.prepare(Speculative(), pair, 1)
        tables = chain_tables.chain_tables(pair, plan, 0, 1)
        cells = np.arange(256, dtype=np.uint64) << np.uint64(24)
        words = np.concatenate([cells, cells + 12345, cells + 2**24 - 1]).astype(np.uint32)
        rows = generator.integers(0, tokens, len(words)).astype(np.uint32)
        token, rejected = (np.zeros(len(words) + sizes.ROOM, np.uint32) for _ in range(2))
        gather_step(compiled, words, tables.arrays, rows, token, rejected)
        token, rejected = token[: len(words)].reshape(3, 256), rejected[: len(words)].reshape(3, 256)
        drafted = np.repeat(np.arange(tokens), (draft * 256).astype(int))
        for part in range(3):
            kept = rejected[part] == 0
            assert np.array_equal(token[part][kept], drafted[kept])
            accepted = np.bincount(token[part][kept], minlength=tokens)
            replaced = np.bincount(token[part][~kept], minlength=tokens)
            lost = np.bincount(drafted[~kept], minlength=tokens)
            assert np.array_equal(accepted, np.minimum(target, draft) * 256)
            assert np.array_equal(replaced, np.maximum(target - draft, 0) * 256)
            assert np.array_equal(lost, np.maximum(draft - target, 0) * 256)


def gather_step(compiled, words, tables, rows, token, failed):
    size = len(words)
    drafts = chain_lists.Drafts(tables.last[0], tables.entries[0], tables.token_bits, tables.bits)
    compiled(chain_steps.draft_tokens)(
        words,
        rows,
        drafts.entries,
        np.uint32(tables.token_bits + 1),
        tables.bits,
        token[:size],
        failed[:size],
    )
    residuals = chain_lists.Shared(
        tables.slides[0], tables.residual_last[0], tables.residual_entries[0], tables.residual_shifts[0]
    )
    listed = np.flatnonzero(failed[:size] & 1).astype(np.uint32)
    space = [np.zeros(size, np.uint32) for _ in range(2)]
    compiled(chain_lists.replace_shared)(
        listed, words, rows, token[:size], failed[:size], drafts, residuals, *space
    )


@numba.njit
def philox(c0, c1, c2, c3, k0, k1):
    return words_of_counters.philox(c0, c1, c2, c3, k0, k1)


def four_words(seed, run, first, slot):
    counter = [first, slot, run % 2**32, run >> 32, seed % 2**32, seed >> 32]
    return [int(word) for word in philox(*map(np.uint64, counter))]


def inverse(weights, word):
    """The token in whose segment the word falls, and the offset."""
    for token, weight in enumerate(weights):
        if word < weight:
            return token, word
        word -= weight
    raise AssertionError("the word lies beyond the row")


def number_below(total, word, seed, run, position):
    """Lemire's map of a 64-bit word to [0, total); dropped words are followed by others."""
    retry = 0
    while word * total % 2**64 < 2**64 % total:
        retry += 1
        high, low = four_words(seed, run, position + (retry << 24), 1)[2:]
        word = high << 32 | low
    return word * total >> 64


def replica(pair, algorithm, seed, run):
    """Decode one run by integers alone; returns tokens and rejected positions."""
    horizon = pair.horizon
    plan = plans.prepare(algorithm, pair, horizon)
    context, _ = inverse(pair.initial_weights.tolist(), four_words(seed, run, 0, 0)[0])
    done, tokens, rejected = 0, [], []

    def test(word, continued, draft, thresholds):
        token, offset = inverse(draft, word)
        more = four_words(seed, run, *continued)[2] >> 1 if offset == thresholds[token] >> 31 else 0
        return token, offset, (offset << 31) + more < thresholds[token]

    def separate(weights, position):
        first, second = four_words(seed, run, position, 1)[:2]
        number = number_below(sum(weights), first << 32 | second, seed, run, position)
        return inverse(weights, number)[0]

    for step in range(horizon):
        position = step + 1
        chosen = np.array([step if plan.table_steps > 1 else 0])
        at = 0 if pair.stationary else step
        target, draft = (table[at, context].tolist() for table in (pair.target_weights, pair.draft_weights))
        word = four_words(seed, run, position // 4, 0)[position % 4]
        failed = False
        if done == plan.draft_length and plan.bonus:
            token, _ = inverse(target, word)
            done = 0
        else:
            if done == plan.draft_length:
                done = 0
            thresholds = plan.thresholds(chosen)[0, context].tolist()
            token, offset, passed = test(word, (position, 1), draft, thresholds)
            rooted = plan.root is not None and done == 0
            if not passed and rooted:
                later, weights = (table.tolist() for table in plan.root(chosen))
                for slot in range(1, plan.drafts):
                    group = four_words(seed, run, position, 2 + (slot - 1) // 4)
                    word, continued = group[(slot - 1) % 4], (position, 2**29 + slot - 1)
                    token, _, passed = test(word, continued, draft, later[context][slot - 1])
                    if passed:
                        break
                if not passed:
                    token = separate(weights[context], position)
            elif not passed:
                weights = plan.residual(chosen)[0, context].tolist()
                if plan.shared:
                    lost = [d - (t >> 31) for d, t in zip(draft, thresholds, strict=True)]
                    assert sum(lost) == sum(weights)
                    token, _ = inverse(weights, sum(lost[:token]) + offset - (thresholds[token] >> 31))
                else:
                    token = separate(weights, position)
            failed = not passed
            done = 0 if failed else done + 1
        tokens.append(token)
        rejected.append(failed)
        context = int(pair.next_context[context, token])
    return tokens, rejected


def rule(pair, kind=float):
    generator = np.random.default_rng(5)
    shape = (1, pair.contexts, pair.tokens)
    acceptance = generator.integers(0, 8, shape) / 7
    residual = generator.integers(1, 9, shape).astype(float)
    if kind is Fraction:
        acceptance = np.vectorize(lambda x: Fraction(x).limit_denominator(7), otypes=[object])(acceptance)
        whole = residual.astype(int).sum(axis=-1, keepdims=True)
        residual = np.vectorize(lambda x, n: Fraction(int(x), int(n)), otypes=[object])(residual, whole)
    else:
        residual /= residual.sum(axis=-1, keepdims=True)
    return RejectionBased(acceptance=acceptance, residual=residual)


CASES = {
    "dense, 7 tokens": random_pair(7, 9, 1),
    "first weights zero": random_pair(6, 6, 2, zeros=0.5),
    "8 tokens, 5 contexts": random_pair(8, 6, 3, contexts=5),
    "24 tokens": random_pair(24, 6, 4, zeros=0.2),
    "300 tokens, 3 contexts": random_pair(300, 5, 5, stationary=True, contexts=3),
}


@pytest.mark.parametrize("name", CASES)
def test_replica__has_the_same_tallies(name):
    pair = CASES[name]
    algorithms = [
        Autoregressive(),
        Speculative(),
        Speculative(draft_length=2),
        Speculative(draft_length=3, bonus=False),
        Batch(drafts=2),
        Batch(drafts=6),
        Batch(drafts=9, draft_length=2, bonus=True),
        BatchAsPrinted(drafts=3, slip="inside-loop"),
        BatchAsPrinted(drafts=3, slip="extra-subtraction"),
        OverAcceptance(epsilon=0.05),
        rule(pair),
        rule(pair, Fraction),
    ]
    seed, first, runs = 2**40 + 7, 2**32 - 20, 45
    for algorithm in algorithms:
        dataset = simulate(
            pair,
            algorithm,
            runs=runs,
            seed=seed,
            first_run=first,
            threads=1,
            per_run=True,
            tallies="rejections",
        )
        expected = [replica(pair, algorithm, seed, run) for run in range(first, first + runs)]
        tokens = np.array([tokens for tokens, _ in expected])
        rejected = np.array([rejected for _, rejected in expected])
        counts = np.stack([np.bincount(column, minlength=pair.tokens) for column in tokens.T])
        assert np.array_equal(dataset.token_count.values, counts), algorithm.label
        assert np.array_equal(dataset.rejections_by_step.values, rejected.sum(axis=0)), algorithm.label
        assert np.array_equal(dataset.rejections_of_run.values, rejected.sum(axis=1)), algorithm.label


def test_tallies__rejections_are_those_of_all():
    pair = random_pair(7, 9, 9)
    for algorithm in (Speculative(), Batch(drafts=5), Speculative(draft_length=2)):
        few, all_ = (
            simulate(pair, algorithm, runs=5000, seed=3, threads=1, tallies=tallies)
            for tallies in ("rejections", "all")
        )
        for name in few.data_vars:
            assert np.array_equal(few[name].values, all_[name].values), name
        assert "target_call_count" in all_
        assert "target_call_count" not in few


def test_border_word__is_continued_by_a_second_word(compiled):
    pair = random_pair(4, 1, 10)
    plan = plans.prepare(rule(pair), pair, 1)
    tables = chain_tables.chain_tables(pair, plan, 0, 1).arrays
    draft = pair.draft_weights[0, 0].tolist()
    accept = tables.accept[0].copy()
    token = 2
    begin = sum(draft[:token])
    high = draft[token] // 3
    accept[0, token] = (high << 31) + 2**30
    drafts = chain_lists.Drafts(tables.last[0], tables.entries[0], tables.token_bits, tables.bits)
    outcomes = {}
    for offset in (high - 1, high, high + 1):
        got = [
            compiled(chain_lists.accepts)(
                np.uint32(begin + offset), np.uint64(0), np.uint64(0), drafts, accept,
                chain_lists.Draw(np.uint64(9), np.uint64(run), np.uint64(1)), np.uint64(0), np.uint64(1),
            )
            for run in range(4000)
        ]  # fmt: skip
        assert {found for found, _ in got} == {token}
        outcomes[offset - high] = np.mean([passed for _, passed in got])
    assert outcomes[-1] == 1
    assert outcomes[1] == 0
    # Hoeffding: exceeded with probability below 2e-9.
    assert abs(outcomes[0] - 0.5) < math.sqrt(math.log(1e9) / 8000)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100])
def test_lists__of_marked_runs(size):
    generator = np.random.default_rng(size)
    marks = generator.integers(0, 4, size + 16).astype(np.uint32)
    values = generator.integers(0, 2**32, size + 16).astype(np.uint32)
    odd = (marks[:size] & 1) == 1

    @numba.njit
    def work(marks, numbers, kept, others, size):
        listed = compaction.list_marked(marks, numbers, size)
        rest = compaction.append_others(marks, kept, others, 2, size)
        return listed, rest, compaction.keep_marked(marks, kept, size)

    numbers, others, kept = np.zeros(size + 16, np.uint32), np.zeros(size + 18, np.uint32), values.copy()
    assert work(marks, numbers, kept, others, size) == (odd.sum(), (~odd).sum(), odd.sum())
    assert np.array_equal(numbers[: odd.sum()], np.flatnonzero(odd))
    assert np.array_equal(kept[: odd.sum()], values[:size][odd])
    assert np.array_equal(others[2 : 2 + (~odd).sum()], values[:size][~odd])


PROGRAM = """
import hashlib, numpy as np
from specsim import Batch, ModelPair, RejectionBased, Speculative, simulate
state = hashlib.sha256()
for tokens in (5, 20):
    rows = np.random.default_rng(1).random((2, 5, tokens, tokens))
    rows /= rows.sum(-1, keepdims=True)
    pair = ModelPair.from_probabilities(*rows, initial=np.full(tokens, 1 / tokens))
    rule = RejectionBased(acceptance=rows[0] / rows[0].max(), residual=rows[1])
    for algorithm in (Speculative(), Speculative(draft_length=2), Batch(drafts=7), rule):
        for name, values in simulate(pair, algorithm, runs=3000, seed=1, threads=1).data_vars.items():
            state.update(name.encode() + values.values.tobytes())
print(state.hexdigest())
"""


@pytest.mark.slow
def test_results__on_a_generic_processor_are_the_same_bits(tmp_path):
    results = []
    for name in (None, "generic"):
        environment = {**os.environ, "SPECSIM_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        if name:
            environment |= {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        results.append(done.stdout)
    assert results[0] == results[1]
