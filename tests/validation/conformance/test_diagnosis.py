"""What is said to be wrong, what to change, and the script that shows it; filters on the target alone."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import get_mutants
from benchmarks.zoo.sampling import at, draft_tokens, draw
from specsim.validation.conformance.adapters.libraries import narrow_seed
from specsim.validation.conformance.checks import all_checks
from specsim.validation.conformance.instances import inverse
from specsim.validation.conformance.remedies import BY_CHECK, change_for
from specsim.validation.conformance.results import CheckStatus, Verdict
from specsim.validation.conformance.rules import all_rules, all_tree_rules
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject

# Samplers of a file of its own, which the scripts import.
SAMPLERS = """
import numpy as np

def inverse(rows, coins):
    sums = np.cumsum(rows, axis=-1)
    found = (sums <= coins[..., None] * sums[..., -1:]).sum(axis=-1)
    return np.minimum(found, rows.shape[-1] - 1 - np.argmax(rows[..., ::-1] > 0, axis=-1))

def ratio(target, draft, drafted, seed, read=None, replace=None, tested=None):
    rng = np.random.default_rng(seed)
    batch, length = drafted.shape
    rows, tokens = np.arange(batch), np.zeros((batch, length + 1), dtype=np.int64)
    lengths, alive = np.full(batch, length + 1), np.ones(batch, dtype=bool)
    divisor, tested = draft if read is None else read(draft), target if tested is None else tested
    for i in range(length):
        token, coin = drafted[:, i], rng.random(batch)
        accepted = coin * divisor[rows, i, token] < tested[rows, i, token]
        weights = np.maximum(target[:, i] - divisor[:, i], 0.0)
        weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, target[:, i])
        last = inverse(weights, rng.random(batch)) if replace is None else replace(weights, coin, rng)
        tokens[:, i] = np.where(alive, np.where(accepted, token, last), tokens[:, i])
        lengths[alive & ~accepted] = i + 1
        alive &= accepted
    tokens[:, length] = np.where(alive, inverse(target[:, length], rng.random(batch)), 0)
    return tokens, lengths

def mapped(target, draft, drafted, seed):
    return ratio(target, draft, drafted, seed, read=lambda rows: rows[..., ::-1])

def softened(target, draft, drafted, seed):
    return ratio(target, draft, drafted, seed, read=lambda rows: 0.8 * rows + 0.2 / rows.shape[-1])

def reused(target, draft, drafted, seed):
    def by_half(weights, coin, rng):
        half = weights.shape[1] // 2
        low = coin * weights.sum(axis=1) < weights[:, :half].sum(axis=1)
        kept = np.where((np.arange(weights.shape[1]) < half) == low[:, None], weights, 0.0)
        return inverse(np.where(kept.sum(axis=1, keepdims=True) > 0, kept, weights), rng.random(len(weights)))
    return ratio(target, draft, drafted, seed, replace=by_half)

def one_coin_match(target, draft, drafted, seed):
    batch, width, _ = target.shape
    draws = inverse(target, np.repeat(np.random.default_rng(seed).random((batch, 1)), width, axis=1))
    return draws, np.cumprod(draws[:, :-1] == drafted, axis=1).sum(axis=1) + 1

def first_row(target, draft, drafted, seed):
    few = 8 if len(draft) > 16 else 0
    return ratio(target, np.concatenate([draft[len(draft) - few :], draft[few:]]), drafted, seed)

kept = {}

def stale(target, draft, drafted, seed):
    before, kept[draft.shape] = kept.get(draft.shape, draft), draft.copy()
    return ratio(target, before, drafted, seed)

def thirteen(target, draft, drafted, seed):
    return ratio(target, draft, drafted, seed, read=np.sqrt if drafted.shape[1] == 13 else None)

def floored(target, draft, drafted, seed):
    least = 0.02 * target.max(axis=-1, keepdims=True)
    return ratio(target, draft, drafted, seed, tested=np.maximum(target, least))

def bonus_before(models, prompts, new_tokens, seed):
    rng, text, wanted = np.random.default_rng(seed), np.asarray(prompts), new_tokens
    while wanted > 0:
        begin = text.shape[1]
        text = np.column_stack([text, np.zeros((len(text), 4), dtype=int)])
        for i in range(4):
            # Drafts are the target's own: all are accepted, and the token after them is drawn too early.
            row = np.asarray(models.target(text[:, : begin + i - (i == 3)]))[:, -1]
            text[:, begin + i] = inverse(row, rng.random(len(row)))
        wanted -= 4
    return text[:, np.shape(prompts)[1] : np.shape(prompts)[1] + new_tokens]

def same_seed(target, draft, drafted, seed):
    return ratio(target, draft, drafted, 7)

def no_seed(target, draft, drafted, seed):
    return ratio(target, draft, drafted, None)

def by_row(target, draft, drafted, words):
    rows = [ratio(*(x[b : b + 1] for x in (target, draft, drafted)), word) for b, word in enumerate(words)]
    return np.concatenate([tokens for tokens, _ in rows]), np.concatenate([lengths for _, lengths in rows])

def seed_plus_row(target, draft, drafted, seed):
    return by_row(target, draft, drafted, [seed + b for b in range(len(drafted))])

def seed_plus_many_rows(target, draft, drafted, seed):
    return by_row(target, draft, drafted, [seed + 1000 * b for b in range(len(drafted))])

def seed_of_32_bits(target, draft, drafted, seed):
    return ratio(target, draft, drafted, seed & 0xFFFFFFFF)

def nothing(target, draft, drafted, seed):
    return None

def greedy_first(models, prompts, new_tokens, seed):
    rng, text = np.random.default_rng(seed), np.asarray(prompts)
    for n in range(new_tokens):
        row = np.asarray(models.target(text))[:, -1]
        token = row.argmax(axis=1) if n == 0 else inverse(row, rng.random(len(row)))
        text = np.column_stack([text, token])
    return text[:, -new_tokens:]
"""

#: Sampler: (rule, checks, verdict, words of the diagnosis, words of what to change).
CASES = {
    "mapped": ("ratio", ("joint-law", "acceptance"), Verdict.BIASED, "at other ids", "same table"),
    "softened": (
        "ratio",
        ("joint-law", "acceptance"),
        Verdict.BIASED,
        "none of the known bugs; acceptance is",
        "",
    ),
    "reused": (
        "ratio",
        ("first-token", "residual"),
        Verdict.BIASED,
        "the half of the vocabulary",
        "fresh uniform",
    ),
    "one_coin_match": (None, ("joint-law",), Verdict.BIASED, "one uniform inverts", "for each position"),
    "seed_plus_row": (None, ("seed-independence",), Verdict.DEPENDENT, "the sum of the call's seed", "pair"),
    "seed_plus_many_rows": (
        None,
        ("repeated-draws",),
        Verdict.DEPENDENT,
        "under a seed 1,000 larger, 1 row earlier",
        "do not calculate with seeds",
    ),
    "seed_of_32_bits": (
        None,
        ("seed-independence",),
        Verdict.DEPENDENT,
        "some bits of the seed change nothing",
        "refuse a seed that is too wide",
    ),
    "same_seed": (
        None,
        ("seed-independence",),
        Verdict.DEPENDENT,
        "share random numbers",
        "all bits of its seed",
    ),
    "no_seed": (None, ("determinism",), Verdict.BROKEN, "no function of inputs and seed", "one generator"),
    "nothing": (None, ("contract",), Verdict.BROKEN, "returned a NoneType", "return (tokens, lengths)"),
    "greedy_first": (
        None,
        ("joint-law",),
        Verdict.BIASED,
        "the first token after the prompt is",
        "sample the first",
    ),
}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosis")
    (folder / "diagnosed_samplers.py").write_text(SAMPLERS, encoding="utf-8")
    sys.path.append(str(folder))
    yield folder, importlib.import_module("diagnosed_samplers")
    sys.path.remove(str(folder))


@pytest.mark.parametrize("name", list(CASES))
def test_wrong_sampler__is_explained_and_shown_without_specsim(name, module, samplers):
    folder, made = module
    rule, checks, verdict, cause, change = CASES[name]
    report = check_sampler(getattr(made, name), rule=rule, effort=samplers.light, only=checks)
    assert report.verdict is verdict, report.sentence
    assert report.diagnosis is not None
    assert cause in report.diagnosis.cause
    assert change in report.diagnosis.change
    assert report.diagnosis.explains
    assert report.script is not None
    assert "specsim" not in report.script.text
    assert len(report.script.text.splitlines()) < 24
    shown = subprocess.run(
        [sys.executable, "-c", report.script.text],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 1, shown.stdout + shown.stderr


#: Sampler: (rule, checks, words of the diagnosis); no known bug, whatever one impossible cell allows.
UNKNOWN = {
    "stale": (
        "ratio",
        ("determinism", "joint-law", "acceptance"),
        "it depends on earlier calls or on hidden",
    ),
    "first_row": (
        "ratio",
        ("joint-law", "acceptance", "equal-rows", "batch-rows"),
        "uses another row's data",
    ),
    "thirteen": (None, ("joint-law", "sizes"), "of the vocabulary: only drafts of 13"),
    "floored": (None, ("joint-law",), "; tokens that the target gives probability 0 are emitted"),
    "bonus_before": (None, ("joint-law", "transitions"), "the first tokens of a text are right, later ones"),
}


@pytest.mark.parametrize("name", list(UNKNOWN))
def test_unknown_fault__is_not_taken_for_a_known_bug(name, module, samplers):
    rule, checks, cause = UNKNOWN[name]
    effort = dataclasses.replace(samplers.light, least_side=2000)
    report = check_sampler(getattr(module[1], name), rule=rule, effort=effort, only=checks)
    assert report.failed, report.sentence
    assert report.diagnosis is not None
    assert not report.diagnosis.known
    assert cause in report.diagnosis.cause


@pytest.mark.slow
def test_known_bug_of_long_drafts_alone__is_told_with_its_place():
    subject = get_mutants(["long-draft-bonus"])[0].subject.replace(rule=None)
    report = check_sampler(subject, effort="quick", only=["draft-lengths"], seed=2)
    assert report.diagnosis is not None
    assert report.diagnosis.cause.endswith("only drafts of 6 (as with bonus-from-draft)")


@pytest.mark.parametrize(
    ("mutant", "words", "change"),
    [
        ("seed-of-32-bits", "some bits of the seed change nothing", "refuse a seed that is too wide"),
        ("pieces-seeded-on", "a multiple of its number", "the pair of seed and row"),
    ],
)
def test_seed_faults__are_told_apart(mutant, words, change, samplers):
    subject = get_mutants([mutant])[0].subject
    report = check_sampler(subject, effort=samplers.light, only=["seed-independence"])
    assert report.verdict is Verdict.DEPENDENT
    assert report.diagnosis is not None
    assert words in report.diagnosis.cause
    assert change in report.diagnosis.change


def test_bias_of_one_pair__is_not_blamed_on_rows_of_a_batch(samplers):
    """A drafted token that the draft gives little is dropped: a bias that other pairs show more."""

    def run(models, seed):
        coins = np.random.default_rng(seed).random((models.draft_length, models.batch))
        places = iter(coins)
        drafted, rows = draft_tokens(models, lambda row: draw(row, next(places)))
        lengths = np.cumprod(at(rows, drafted) >= 0.3, axis=1).sum(axis=1)
        target = np.asarray(models.target(drafted))
        tokens, emitted = ratio_step(target, rows, drafted, seed + 2**32, lengths)
        return np.where(np.arange(drafted.shape[1]) < lengths[:, None], drafted, -1), tokens, emitted

    subject = Subject(name="mine", protocol="draft-and-verify", run=run)
    effort = dataclasses.replace(samplers.light, least_side=3000)
    report = check_sampler(subject, effort=effort, only=["first-token", "joint-law", "batch-rows"])
    assert {"joint-law", "batch-rows"} <= {check.name for check in report.failed}
    assert report.diagnosis is not None
    assert "another row" not in report.diagnosis.cause


def test_narrow_seed__refuses_what_a_generator_would_cut():
    assert narrow_seed(2**32 - 1) == 2**32 - 1
    with pytest.raises(ValueError, match=r"seed is 4294967296; the library's generator reads 32 bits"):
        narrow_seed(2**32)


@pytest.mark.slow
def test_script__of_a_law_passes_when_the_sampler_is_mended(module, samplers):
    folder, made = module
    report = check_sampler(made.mapped, rule="ratio", effort=samplers.light, only=["joint-law"])
    assert report.script is not None
    mended = report.script.text.replace("import mapped as sampler", "import ratio as sampler")
    shown = subprocess.run(
        [sys.executable, "-c", mended],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_other_rule__is_named_as_the_cause(samplers):
    report = check_sampler(
        samplers.one_hot, rule="ratio", effort=samplers.light, only=["joint-law", "acceptance"]
    )
    assert report.verdict is Verdict.OTHER_RULE
    assert report.diagnosis is not None
    assert "one-hot" in report.diagnosis.cause
    assert "match" in report.diagnosis.cause
    assert report.diagnosis.change.startswith("declare --rule")


@pytest.mark.parametrize(
    "rule",
    [r for r in dict.fromkeys((*all_rules(), *all_tree_rules())) if not r.lossless],
    ids=lambda r: r.name,
)
def test_every_wrong_rule__says_what_to_change(rule):
    assert change_for(rule), f"add a sentence for {rule.name} to remedies.py"


def test_remedies__are_those_of_checks_and_every_check_of_a_distribution_has_one():
    assert set(BY_CHECK) <= {check.name for check in all_checks()}
    wanted = {check.name for check in all_checks() if check.kind in ("output", "rule", "independence")}
    assert wanted <= set(BY_CHECK)


def filtered_target(models, seed, top_k=None):
    """Draft from the whole draft row, divide by it, and filter the target alone."""
    rng = np.random.default_rng([seed, 1])
    drafted, rows = np.zeros((models.batch, 0), dtype=np.int64), []
    for _ in range(models.draft_length):
        rows.append(models.draft(drafted))
        drafted = np.column_stack([drafted, inverse(rows[-1], rng.random(models.batch))])
    return drafted, *filtered_step(models.target(drafted), np.stack(rows, axis=1), drafted, seed, top_k)


def filtered_step(target, draft, drafted, seed, top_k=None):
    """Verify against the filtered target and the whole draft."""
    if top_k is not None:
        kept = np.where(target >= np.sort(target, axis=-1)[..., -top_k, None], target, 0.0)
        target = kept / kept.sum(axis=-1, keepdims=True)
    return importlib.import_module("conftest_samplers").ratio(target, draft, drafted, seed)


@pytest.mark.parametrize("sampler", [filtered_target, filtered_step], ids=lambda sampler: sampler.__name__)
def test_filters_on_the_target_alone__are_lossless_when_they_are_declared(sampler, samplers, monkeypatch):
    monkeypatch.setitem(sys.modules, "conftest_samplers", samplers)
    settings = {"rule": "ratio", "effort": samplers.light, "only": ["top-k"]}
    report = check_sampler(sampler, filters="target", **settings)
    assert report.verdict is Verdict.LOSSLESS, report.sentence


def test_filters_on_the_target_alone__undeclared_are_another_rule_and_no_bias(samplers, monkeypatch):
    monkeypatch.setitem(sys.modules, "conftest_samplers", samplers)
    report = check_sampler(filtered_target, rule="ratio", effort=samplers.light, only=["top-k"])
    assert report.verdict is Verdict.OTHER_RULE, report.sentence
    assert report.with_status(CheckStatus.FAILED)[0].kind == "rule"
    assert report.diagnosis is not None
    assert "--filters target" in report.diagnosis.change
