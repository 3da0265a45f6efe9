"""What the tests of the zoo share: calling samplers of every kind, and comparing counts with a law.

All statistical comparisons of the tests that use it together raise a false alarm with probability at most
1e-9.
"""

import importlib.util
import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.zoo import all_controls, all_mutants, asked_decoders, asked_drafts, asked_steps, grammar
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.instances import number
from specsim.validation.conformance.tree_instances import PrefixRows
from specsim.validation.statistics import decide_law_by_cells_and_entropy

#: Samples of most tests.
RUNS = 20_000
#: Level of one comparison; there are fewer than 300.
ALPHA = 1e-9 / 300
#: Tokens and draft length of most tests.
V, K = 4, 2
CHAINS = ("step", "draft-and-verify", "decoder")
#: Samplers of `benchmarks.zoo.asked*`, whose laws depend on what is asked for: test_asked.py has them.
ASKED = {
    item.name for module in (asked_steps, asked_decoders, asked_drafts, grammar)
    for item in (*module.MUTANTS, *module.CONTROLS)
}  # fmt: skip


def _plain(items):
    return {item.name: item for item in items if item.subject.protocol in CHAINS and item.name not in ASKED}


MUTANTS = _plain(all_mutants())
CONTROLS = _plain(all_controls())
EVERY = {**MUTANTS, **CONTROLS}


def of(items, *protocols):
    return [name for name, item in items.items() if item.subject.protocol in protocols]


OPTIONS = {"temperature": 0.7, "top_k": 2, "top_p": 0.8}


class Models:
    """The models that a drafting sampler calls."""

    def __init__(self, instance, batch):
        self.instance, self.batch = instance, batch
        self.draft_length, self.vocabulary = instance.draft_length, instance.vocabulary

    def draft(self, tokens):
        return self.instance.draft[self.instance.contexts(tokens)[:, -1]]

    def target(self, drafted):
        return self.instance.target[self.instance.contexts(drafted)]


def skip_without_torch(subject):
    missing = importlib.util.find_spec("torch") is None
    if subject.framework == "torch" and missing and os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
        pytest.skip("torch is not installed")


def verify(subject, target, draft, drafted, seed=1, **options):
    """Call a step with fresh arrays; return NumPy arrays."""
    skip_without_torch(subject)
    given = [
        target.copy(),
        None if subject.draft == "never" or draft is None else draft.copy(),
        drafted.copy(),
    ]
    if subject.inputs == "logits":
        # Logits have no offset that a sampler may rely on.
        given[:2] = [None if rows is None else np.log(rows) + 3.0 for rows in given[:2]]
    if subject.framework == "torch":
        import torch

        given = [None if value is None else torch.from_numpy(value) for value in given]
    tokens, lengths, *_ = subject.run(*given, seed, **options)
    return np.asarray(tokens), np.asarray(lengths)


def sample(subject, instance, runs=RUNS, seed=1, **options):
    """Return drafted tokens, tokens and lengths of many runs."""
    if subject.name == "coins-by-row":
        runs = min(runs, 5000)  # a generator for every row takes its time
    if subject.protocol == "draft-and-verify":
        return subject.run(Models(instance, runs), seed)
    rng = np.random.default_rng([3, seed])
    filters = {key: value for key, value in options.items() if key in ("temperature", "top_k", "top_p")}
    drafted = instance.draw_drafted(rng, runs, filtered(instance.draft, filters))
    target, draft = instance.rows(drafted)
    return drafted, *verify(subject, target, draft, drafted, seed, **options)


def agrees(cells, law, alpha=ALPHA):
    counts = np.bincount(cells, minlength=len(law))
    return decide_law_by_cells_and_entropy(counts=counts, runs=len(cells), probabilities=law, alpha=alpha)


def step_cells(instance, drafted, tokens, lengths):
    """Return the cell (drafted path, accepted length, final token) of each run."""
    final = tokens[np.arange(len(tokens)), lengths - 1]
    return (number(drafted, V) * (instance.draft_length + 1) + lengths - 1) * V + final


def step_law(rule, instance):
    """Return the law of the cells of `step_cells`."""
    target, draft = instance.rows(instance.paths)
    drawn = instance.path_law(None if rule.draw is None else rule.draw(instance.draft))
    return (drawn[:, None, None] * rule.law(target, draft, instance.paths)).ravel()


def texts(instance, tokens, lengths, length=K + 1, seed=5):
    """Return the number of each text, continued by the target where the step left off."""
    return number(
        instance.complete(np.random.default_rng(seed), tokens, lengths, length), instance.vocabulary
    )


def stated_rule(item):
    """The exact law that a sampler has to follow: a mutant's own, a control's declared one."""
    return item.law if hasattr(item, "law") else item.subject.rule


def continuation_law(instance, prefix, length):
    """Return the target's law of `length` more tokens after one prefix ``(n,)``."""
    start = int(instance.contexts(prefix[None, :])[0, -1])
    return replace(instance, start=start).target_law(length)


def random_rows(vocabulary, depth, generator, *, concentration=1.0, zeros=0):
    """Return Dirichlet rows after all paths of up to `depth` tokens, each with `zeros` tokens of no mass."""
    tables = []
    for n in range(depth + 1):
        table = generator.dirichlet(np.full(vocabulary, concentration), size=vocabulary**n)
        if zeros:
            order = np.argsort(generator.random(table.shape), axis=-1)
            np.put_along_axis(table, order[:, :zeros], 0.0, axis=-1)
            table /= table.sum(axis=-1, keepdims=True)
        tables.append(table)
    return PrefixRows(tuple(tables))


def constant_rows(row, depth):
    """Return the same row after every path."""
    row = np.asarray(row, dtype=np.float64)
    return PrefixRows(tuple(np.tile(row, (len(row) ** n, 1)) for n in range(depth + 1)))


def emitted_cells(tokens, lengths, vocabulary):
    """Return the cell of each output ``(batch, depth + 1)`` in the laws of `emitted_laws` put end to end."""
    cells = np.zeros(len(tokens), dtype=np.int64)
    for length in range(1, tokens.shape[1] + 1):
        rows = np.flatnonzero(lengths == length)
        start = sum(vocabulary**n for n in range(1, length))
        cells[rows] = start + number(tokens[rows, :length], vocabulary)
    return cells


def accepted_mean(shape, tables, mass):
    """Return the expected number of accepted drafted tokens."""
    depths = np.array(shape.depths)
    return float(np.einsum("m,mnv,n->", mass, tables, depths))
