"""Wrong samplers that look right to most tests, and right ones that look wrong: attacks on the oracle.

Every wrong one is right in most of what it does: only rows of distant requests, or several options at once,
show it; those of `benchmarks.zoo.rare_cases` need long drafts or texts, or rare tokens.
"""

from __future__ import annotations

import bisect
import itertools
import random

import numpy as np
import pytest

from benchmarks.zoo.rare_cases import MUTANTS
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.results import CheckStatus, Verdict
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject, load_subjects


def verify(target, draft, drafted, seed, *, coins=None):
    """Follow the published rule; coins may be another's."""
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    rng = np.random.default_rng(seed)
    batch, length = drafted.shape
    u = rng.random((batch, length + 1)) if coins is None else coins(rng, batch, length + 1)
    tested = np.take_along_axis(target[:, :length], drafted[..., None], 2)[..., 0]
    drawn = np.take_along_axis(draft, drafted[..., None], 2)[..., 0]
    count = np.cumprod(u[:, :length] * drawn < tested, axis=1).sum(axis=1)
    rows = np.maximum(target[:, :length] - draft, 0)
    rows = np.concatenate([rows, target[:, length:]], axis=1)[np.arange(batch), count]
    sums = rows.cumsum(axis=1)
    final = (sums <= (u[:, length] * sums[:, -1])[:, None]).sum(axis=1)
    final = np.minimum(final, rows.shape[1] - 1 - (rows[:, ::-1] > 0).argmax(axis=1))
    tokens = np.zeros((batch, length + 1), dtype=np.int64)
    tokens[:, :length] = drafted
    tokens[np.arange(batch), count] = final
    return tokens, count + 1


# Wrong.


def coins_of_32_rows(target, draft, drafted, seed):
    """Row b has the coins of row b - 32."""
    return verify(
        target,
        draft,
        drafted,
        seed,
        coins=lambda rng, batch, width: np.tile(rng.random((32, width)), (batch // 32 + 1, 1))[:batch],
    )


def coins_overlap(target, draft, drafted, seed):
    """Rows take their coins K further on each, and use K + 1."""

    def coins(rng, batch, width):
        stream = rng.random(batch * (width - 1) + 1)
        return stream[np.arange(batch)[:, None] * (width - 1) + np.arange(width)]

    return verify(target, draft, drafted, seed, coins=coins)


def options_in_another_order(target, draft, drafted, seed, temperature=None, top_k=None, top_p=None):
    """Apply top-p first."""
    for options in ({"top_p": top_p}, {"top_k": top_k}, {"temperature": temperature}):
        target, draft = filtered(target, options), filtered(draft, options)
    return verify(target, draft, drafted, seed)


# Right.


def log_space_float32(target, draft, drafted, seed):
    """Logarithms in float32, exponential coins, Gumbel noise, narrow integers, garbage after the end."""
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    target, draft = target.astype(np.float32), draft.astype(np.float32)
    rng = np.random.default_rng([seed, 7])
    batch, length = drafted.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.take_along_axis(target[:, :length], drafted[..., None], 2)[..., 0])
        ratio -= np.log(np.take_along_axis(draft, drafted[..., None], 2)[..., 0])
        accepted = -rng.standard_exponential((batch, length), dtype=np.float32) < ratio
        residual = np.log(np.maximum(target[:, :length] - draft, 0))
        scores = np.concatenate([residual, np.log(target[:, length:])], axis=1)
    count = np.where(accepted.all(axis=1), length, (~accepted).argmax(axis=1))
    noisy = scores[np.arange(batch), count] + rng.gumbel(size=(batch, target.shape[2])).astype(np.float32)
    tokens = np.full((batch, length + 1), -7, dtype=np.int32)
    tokens[:, :length] = drafted
    tokens[np.arange(batch), count] = noisy.argmax(axis=1)
    return [tokens, (count + 1).astype(np.uint8)]


def one_row_of_lists(target, draft, drafted, seed):
    """Plain Python, one row at a time, coins that may be 0."""
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    rng = random.Random(seed)

    def pick(weights):
        sums = list(itertools.accumulate(weights))
        return bisect.bisect_right(sums, rng.random() * sums[-1])

    target, draft, text = target[0].tolist(), draft[0].tolist(), []
    for row, guess, token in zip(target, draft, drafted[0].tolist(), strict=False):
        if rng.random() < min(1.0, row[token] / guess[token]):
            text.append(token)
            continue
        text.append(pick([max(a - b, 0.0) for a, b in zip(row, guess, strict=True)]))
        break
    else:
        text.append(pick(target[-1]))
    return [text + [0] * (drafted.shape[1] + 1 - len(text))], [len(text)]


def early_stop(target, draft, drafted, seed):
    """Stop after token 0, and accept at most two."""
    tokens, lengths = verify(target, draft, drafted, seed)
    ends = (tokens == 0) & (np.arange(tokens.shape[1]) < lengths[:, None] - 1)
    lengths = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, lengths)
    return tokens, np.minimum(lengths, 2)


def coupled_by_noise(models, seed):
    """Draft and target are the largest of logarithms with the same noise; drafts stand while they agree."""
    batch, length, vocabulary = models.batch, models.draft_length, models.vocabulary
    noise = np.random.default_rng(seed).gumbel(size=(batch, length + 1, vocabulary))
    drafted = np.zeros((batch, 0), dtype=np.int64)
    with np.errstate(divide="ignore"):
        for i in range(length):
            drafted = np.c_[drafted, (np.log(models.draft(drafted)) + noise[:, i]).argmax(axis=1)]
        best = (np.log(models.target(drafted)) + noise).argmax(axis=2)
    return drafted, best, np.cumprod(best[:, :-1] == drafted, axis=1).sum(axis=1) + 1


def shrinking_decoder(models, prompts, new_tokens, seed):
    """No bonus tokens, and drafts as long as the last round's accepted ones and one more."""
    rng = np.random.default_rng(seed)

    def pick(row):
        return int(rng.choice(len(row), p=row / row.sum()))

    texts = []
    for prompt in np.asarray(prompts).tolist():
        text, wanted, size = list(prompt), len(prompt) + new_tokens, models.draft_length
        while len(text) < wanted:
            begun, guesses = len(text), []
            size = min(size, wanted - begun)
            drafts = list(text)
            for _ in range(size):
                guesses.append(models.draft(np.array([drafts]))[0, -1])
                drafts.append(pick(guesses[-1]))
            rows = models.target(np.array([drafts]))[0, begun - 1 :]
            for row, guess, token in zip(rows, guesses, drafts[begun:], strict=False):
                if rng.random() * guess[token] < row[token]:
                    text.append(token)
                    continue
                text.append(pick(np.maximum(row - guess, 0)))
                break
            size = min(models.draft_length, len(text) - begun + 1)
        texts.append(text[len(prompt) :])
    return np.array(texts)


def tree_walk(parents, target, draft, tokens, seed):
    """Draw from the target at a node and go to the child that is the draw, if there is one."""
    coins = np.random.default_rng(seed).random((len(tokens), len(parents)))
    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    emitted = np.zeros((len(tokens), max(depths) + 1), dtype=np.int64)
    lengths = np.zeros(len(tokens), dtype=np.int64)
    for tree in range(len(tokens)):
        node, depth = 0, 0
        while node is not None:
            sums = np.cumsum(target[tree, node])
            drawn = int(np.searchsorted(sums, coins[tree, depth] * sums[-1], side="right"))
            emitted[tree, depth], depth = drawn, depth + 1
            matching = (n for n in range(1, len(parents)) if parents[n] == node and tokens[tree, n] == drawn)
            node = next(matching, None)
        lengths[tree] = depth
    return emitted, lengths


WRONG = {
    coins_of_32_rows: "batch-independence",
    coins_overlap: "batch-independence",
    options_in_another_order: "top-p",
}

RIGHT = {
    log_space_float32: {"rule": "ratio"},
    one_row_of_lists: {"rule": "ratio", "max_batch": 1},
    early_stop: {},
    coupled_by_noise: {},
    tree_walk: {},
}


@pytest.mark.parametrize("sampler", WRONG, ids=lambda sampler: sampler.__name__)
def test_wrong_sampler__is_caught_by_the_check_that_is_for_it(sampler, samplers):
    report = check_sampler(sampler, effort=samplers.light, only=[WRONG[sampler]])
    assert report.verdict in (Verdict.BIASED, Verdict.DEPENDENT), report.sentence
    assert report.checks[0].deviations
    assert report.checks[0].looks_like


def seldom_wrong(mutants):
    """Long texts take long; the kill matrix has a fast test of the check that is for them."""
    long = {"long-texts"}
    return [
        pytest.param(mutant, id=mutant.name, marks=[pytest.mark.slow] if long & set(mutant.killed_by) else [])
        for mutant in mutants
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", seldom_wrong(MUTANTS))
def test_seldom_wrong_sampler__is_explained(mutant):
    """Under an even seed, too, and without a declared rule."""
    checks = [*mutant.killed_by, "contract"]
    report = check_sampler(mutant.subject.replace(rule=None), effort="quick", only=checks, seed=2)
    assert report.verdict in (Verdict.BIASED, Verdict.DEPENDENT), report.sentence
    found = report.with_status(CheckStatus.FAILED)
    assert [check.name for check in found] == list(mutant.killed_by)
    assert found[0].deviations
    assert found[0].looks_like


# Trees that share their coins are as good as one tree, which every law shows.
ELSEWHERE = [mutant for mutant in MUTANTS if mutant.subject.protocol != "tree"]


@pytest.mark.parametrize("mutant", seldom_wrong(ELSEWHERE))
def test_seldom_wrong_sampler__passes_the_checks_that_look_elsewhere(mutant, samplers):
    """A right answer on short drafts, short texts, one row or one seed: else it were no hidden fault."""
    protocol = mutant.subject.protocol
    laws = ["joint-law", "transitions"] if protocol == "decoder" else ["joint-law", "acceptance", "bonus"]
    report = check_sampler(mutant.subject, effort=samplers.light, only=laws)
    assert report.verdict is Verdict.LOSSLESS, report.sentence


#: Its rows are taken one by one, which takes long: the fast test runs few checks.
FEW = {one_row_of_lists: ["contract", "first-token"]}


@pytest.mark.parametrize("sampler", RIGHT, ids=lambda sampler: sampler.__name__)
def test_right_sampler__is_not_accused(sampler, samplers):
    """The chance of a false alarm is 1e-6 for each sampler."""
    report = check_sampler(sampler, effort=samplers.light, only=FEW.get(sampler), **RIGHT[sampler])
    assert report.verdict is Verdict.LOSSLESS, report.sentence


@pytest.mark.slow
@pytest.mark.parametrize("sampler", FEW, ids=lambda sampler: sampler.__name__)
def test_right_sampler__is_not_accused_by_any_check(sampler, samplers):
    """The chance of a false alarm is 1e-6 for each sampler."""
    report = check_sampler(sampler, effort=samplers.light, budget=3600.0, **RIGHT[sampler])
    assert report.verdict is Verdict.LOSSLESS, report.sentence


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [shrinking_decoder, log_space_float32], ids=lambda s: s.__name__)
def test_right_sampler__is_not_accused_with_more_effort(sampler):
    """The chance of a false alarm is 1e-6 for each sampler."""
    report = check_sampler(sampler, effort="quick", budget=3600.0)
    assert report.verdict is Verdict.LOSSLESS, report.sentence


def test_pairs__are_far_apart_and_told(samplers):
    report = check_sampler(coins_of_32_rows, effort=samplers.light, only=["batch-independence"])
    assert "rows 32 apart: equal outcomes in 1.000 of the pairs" in report.checks[0].looks_like[0]
    assert report.checks[0].deviations[0].where.startswith("rows 32 apart: one has ")


def test_bfloat16_rows__can_be_the_first_type():
    torch = pytest.importorskip("torch")

    def step(target, draft, drafted, seed):
        assert target.dtype is torch.bfloat16
        return verify(target.double().numpy(), draft.double().numpy(), drafted.numpy(), seed)

    subject = Subject(name="narrow", protocol="step", run=step, framework="torch", dtypes=("bfloat16",))
    report = check_sampler(subject, effort="quick", only=["untouched-inputs", "first-token", "tiny-mass"])
    assert not report.with_status(CheckStatus.FAILED, CheckStatus.BROKEN), report.sentence


def test_file_target__imports_files_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    (tmp_path / "beside_of_red_team.py").write_text("NUMBER = 7\n", encoding="utf-8")
    path = tmp_path / "sampler_of_red_team.py"
    path.write_text(
        "from beside_of_red_team import NUMBER\n\n\n"
        "def step(target, draft, drafted, seed):\n    return NUMBER\n",
        encoding="utf-8",
    )
    (subject,) = load_subjects(f"{path}:step")
    assert subject.run(None, None, None, 0) == 7
