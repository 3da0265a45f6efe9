"""The exact laws of rules, held against enumeration and against printed figures."""

import itertools
import math

import numpy as np
import pytest

from specsim import ModelPair
from specsim.algorithms import BlockVerification, OverAcceptance, Speculative
from specsim.errors import InputError
from specsim.theory import enumerate_outcomes
from specsim.theory.step_laws.gumbel import second_draw_law
from specsim.validation.conformance.rules import (
    all_rules,
    bugs,
    coin_bugs,
    draft_bugs,
    drafters,
    get_rule,
    lossless,
    lossy,
    row_bugs,
)

DRAFT = np.array([0.20, 0.45, 0.10, 0.25])  # fixture B
TARGET = np.array([0.50, 0.30, 0.15, 0.05])
LOSSLESS = [rule for rule in all_rules() if rule.lossless]
WRONG = [rule for rule in all_rules() if not rule.lossless]


class Tree:
    """Rows for every prefix, by plain dictionaries; enumeration by plain loops."""

    def __init__(self, vocabulary, draft_length, make):
        self.vocabulary, self.draft_length = vocabulary, draft_length
        self.target, self.draft = {}, {}
        for n in range(draft_length + 1):
            for prefix in itertools.product(range(vocabulary), repeat=n):
                self.target[prefix], self.draft[prefix] = make()

    def step_law(self, rule):
        """Law of (drafted, accepted, final), as a dictionary; drafts of probability 0 are left out."""
        found = {}
        for drafted in itertools.product(range(self.vocabulary), repeat=self.draft_length):
            prefixes = [drafted[:n] for n in range(self.draft_length + 1)]
            target = np.array([self.target[prefix] for prefix in prefixes])
            draft = np.array([self.draft[prefix] for prefix in prefixes[:-1]])
            drawn = draft if rule.draw is None else rule.draw(draft)
            weight = float(np.prod(drawn[np.arange(self.draft_length), list(drafted)]))
            if weight == 0:
                continue
            law = rule.law(target, draft, np.array(drafted))
            assert law.min() >= -1e-15
            assert law.sum() == pytest.approx(1, abs=1e-12)
            for (accepted, final), mass in np.ndenumerate(law):
                found[drafted, accepted, final] = weight * mass
        return found

    def text_law(self, rule, length):
        """Law of the first `length` tokens, when the target writes what the step left."""
        law = dict.fromkeys(itertools.product(range(self.vocabulary), repeat=length), 0.0)
        for (drafted, accepted, final), mass in self.step_law(rule).items():
            begun = (*drafted[:accepted], final)
            for rest in itertools.product(range(self.vocabulary), repeat=max(0, length - len(begun))):
                text = begun + rest
                follows = math.prod(self.target[text[:n]][text[n]] for n in range(len(begun), len(text)))
                law[text[:length]] += mass * follows
        return law

    def target_law(self, length):
        return {
            text: math.prod(self.target[text[:n]][text[n]] for n in range(length))
            for text in itertools.product(range(self.vocabulary), repeat=length)
        }


def distance(first, second):
    return 0.5 * sum(abs(first[text] - second[text]) for text in second)


def makers(vocabulary, rng):
    def law(size):
        return rng.dirichlet(np.full(size, 0.7))

    def on(support):
        row = np.zeros(vocabulary)
        row[list(support)] = law(len(support))
        return row

    def some(least=1):
        size = int(rng.integers(least, vocabulary + 1))
        return rng.permutation(vocabulary)[:size]

    def disjoint():
        tokens = rng.permutation(vocabulary)
        return on(tokens[:1]), on(tokens[1:])

    def equal():
        row = law(vocabulary)
        return row, row.copy()

    return {
        "random": lambda: (law(vocabulary), law(vocabulary)),
        "zeros": lambda: (on(some()), on(some())),
        "forbidden": lambda: (on((0, 1)), law(vocabulary)),
        "one-hot draft": lambda: (law(vocabulary), np.eye(vocabulary)[rng.integers(vocabulary)]),
        "one-hot target": lambda: (np.eye(vocabulary)[rng.integers(vocabulary)], law(vocabulary)),
        "disjoint": disjoint,
        "equal": equal,
        "ties": lambda: (rng.permutation([0.5, 0.25, 0.25]), rng.permutation([0.25, 0.25, 0.5])),
    }


@pytest.mark.parametrize("rule", LOSSLESS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("kind", list(makers(3, np.random.default_rng(0))))
def test_completed_law_of_a_lossless_rule_is_the_targets(rule, kind):
    rng = np.random.default_rng(20)
    for draft_length in (1, 2, 3):
        tree = Tree(3, draft_length, makers(3, rng)[kind])
        length = draft_length + 1
        assert distance(tree.text_law(rule, length), tree.target_law(length)) < 1e-12


@pytest.mark.parametrize("rule", WRONG, ids=lambda rule: rule.name)
def test_wrong_and_lossy_rules_deviate_on_rows_that_depend_on_the_context(rule):
    rng = np.random.default_rng(22)
    for draft_length in (2, 3):
        # One mistake is made where the target forbids what is drafted.
        kind = "forbidden" if rule.name == "forbidden-from-target" else "random"
        tree = Tree(3, draft_length, makers(3, rng)[kind])
        length = draft_length + 1
        least = {"coarse-gumbel": 1e-6, "gumbel-24-bits": 1e-10}.get(rule.name, 1e-4)
        assert distance(tree.text_law(rule, length), tree.target_law(length)) > least


@pytest.mark.parametrize("rule", [*LOSSLESS, *WRONG], ids=lambda rule: rule.name)
def test_laws_take_any_leading_axes(rule):
    rng = np.random.default_rng(23)
    target, draft = rng.dirichlet(np.ones(4), size=(2, 3, 3)), rng.dirichlet(np.ones(4), size=(2, 3, 2))
    drafted = rng.integers(4, size=(2, 3, 2))
    together = rule.law(target, draft, drafted)
    assert together.shape == (2, 3, 3, 4)
    for place in np.ndindex(2, 3):
        alone = rule.law(target[place], draft[place], drafted[place])
        np.testing.assert_allclose(together[place], alone, atol=1e-14)
    drawn = draft if rule.draw is None else rule.draw(draft)
    np.testing.assert_allclose(drawn.sum(axis=-1), 1, atol=1e-12)
    if rule.draw is not None:
        np.testing.assert_allclose(drawn[1, 2, 1], rule.draw(draft[1, 2, 1]), atol=1e-14)


def dyadic_pair(vocabulary, draft_length, seed):
    """Return a tree of rows that are multiples of 1 / 256, and the same as a `ModelPair`."""
    rng = np.random.default_rng(seed)

    def row():
        cuts = np.sort(rng.choice(np.arange(1, 256), size=vocabulary - 1, replace=False))
        return np.diff(np.concatenate([[0], cuts, [256]])) / 256

    tree = Tree(vocabulary, draft_length, lambda: (row(), row()))
    prefixes = list(tree.target)
    number = {prefix: i for i, prefix in enumerate(prefixes)}
    following = np.array([[number.get((*p, x), 0) for x in range(vocabulary)] for p in prefixes])
    pair = ModelPair.from_probabilities(
        np.array([tree.target[p] for p in prefixes]),
        np.array([tree.draft[p] for p in prefixes]),
        initial=np.eye(len(prefixes))[0],
        next_context=following,
        horizon=draft_length + 1,
    )
    return tree, pair


@pytest.mark.parametrize(
    ("rule", "algorithm"),
    [
        (lossless.RATIO, Speculative(draft_length=2)),
        (lossless.BLOCK, BlockVerification(draft_length=2)),
        (lossy.over_accepting(0.125), OverAcceptance(epsilon=0.125, draft_length=2, bonus=True)),
        (
            lossy.over_accepting(0.125, "target"),
            OverAcceptance(epsilon=0.125, residual="target", draft_length=2, bonus=True),
        ),
        (
            lossy.over_accepting(0.125, "draft"),
            OverAcceptance(epsilon=0.125, residual="draft", draft_length=2, bonus=True),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_rules_agree_with_brute_force_in_rationals(rule, algorithm):
    tree, pair = dyadic_pair(3, 2, 24)
    expected = {}
    for outcome, mass in enumerate_outcomes(pair, algorithm).law.items():
        accepted = outcome.accepted_lengths[0]
        text = tuple(outcome.path // 3 ** (2 - n) % 3 for n in range(accepted + 1))
        expected[accepted, text] = expected.get((accepted, text), 0.0) + float(mass)
    found = dict.fromkeys(expected, 0.0)
    for (drafted, accepted, final), mass in tree.step_law(rule).items():
        key = accepted, (*drafted[:accepted], final)
        found[key] = found.get(key, 0.0) + mass
    assert found.keys() >= expected.keys()
    assert max(abs(found[key] - expected.get(key, 0.0)) for key in found) < 1e-14


def one_step(rule):
    """Return the output law of one drafted token on fixture B, its acceptance and the bonus law."""
    drawn = DRAFT if rule.draw is None else rule.draw(DRAFT)
    target = np.broadcast_to(TARGET, (4, 2, 4))
    law = rule.law(target, np.broadcast_to(DRAFT, (4, 1, 4)), np.arange(4)[:, None])
    accepted = drawn * law[:, 1].sum(axis=1)
    bonus = drawn @ law[:, 1]
    return drawn @ law[:, 0] + accepted, accepted.sum(), bonus / max(bonus.sum(), 1e-300)


def tv(law):
    return 0.5 * np.abs(law - TARGET).sum()


# Rules of one token: (rule, total variation distance as printed, digits, samples at non-centrality 30).
PRINTED = [
    (draft_bugs.drafts_top_2, 0.150, 3, 260),
    (draft_bugs.drafts_argmax, 0.367, 3, 46),
    (draft_bugs.drafts_temperature, 0.058, 3, 1465),
    (bugs.recovery_from_target, 0.125, 3, 405),
    (bugs.recovery_excess, 0.350, 3, 28),
    (bugs.recovery_distance, 0.175, 3, 112),
    (bugs.ratio_without_rejected, 0.088, 3, 932),
    (bugs.one_hot_gap, 0.232, 3, 130),
    (bugs.always_accept, 0.350, 3, 28),
    (bugs.double_ratio, 0.200, 3, 159),
    (bugs.match_or_ratio, 0.055, 3, 2205),
    (bugs.match_or_one_hot, 0.210, 3, 143),
    (bugs.first_unverified, 0.350, 3, 28),
    (coin_bugs.shared_gumbel, 0.0143, 4, 16962),
    (coin_bugs.reused_coin, 0.050, 3, 1385),
    (coin_bugs.draft_coin, 0.150, 3, 213),
    (bugs.greedy_test, 0.100, 3, 750),
    (lossy.FIXED_THRESHOLD, 0.225, 3, 116),
]


@pytest.mark.parametrize(
    ("rule", "printed", "digits", "samples"), PRINTED, ids=lambda v: getattr(v, "name", "")
)
def test_bugs_on_fixture_b_have_the_printed_distance_and_power(rule, printed, digits, samples):
    law, _, _ = one_step(rule)
    assert abs(tv(law) - printed) <= 0.5 * 10.0**-digits + 1e-12
    needed = 30 / ((law - TARGET) ** 2 / TARGET).sum()
    assert samples - 1 <= needed <= samples + 1


def test_bonus_bugs_on_fixture_b_show_at_the_bonus_position_only():
    for rule, printed in ((bugs.bonus_from_draft, 0.350), (bugs.bonus_residual, 0.357)):
        law, _, bonus = one_step(rule)
        assert tv(law) < 1e-15
        assert round(tv(bonus), 3) == printed


def iid(draft_length):
    return Tree(4, draft_length, lambda: (TARGET, DRAFT))


def test_one_coin_for_a_block_of_two_on_fixture_b():
    tree = iid(2)
    joint = tree.text_law(coin_bugs.one_coin_per_block, 2)
    law = np.array([joint[text] for text in sorted(joint)])
    null = np.outer(TARGET, TARGET).ravel()
    assert tv(law.reshape(4, 4).sum(axis=1)) < 1e-15
    assert round(tv(law.reshape(4, 4).sum(axis=0)), 3) == 0.070
    assert round(0.5 * np.abs(law - null).sum(), 3) == 0.070
    assert abs(30 / ((law - null) ** 2 / null).sum() - 318) < 1


@pytest.mark.parametrize("rule", [row_bugs.target_row_after, row_bugs.draft_row_after, row_bugs.first_row])
def test_rows_of_another_position_do_not_show_on_equal_rows(rule):
    tree = iid(2)
    assert distance(tree.text_law(rule, 3), tree.target_law(3)) < 1e-14


def accepted_tokens(rule, draft_length):
    return sum(mass * accepted for (_, accepted, _), mass in iid(draft_length).step_law(rule).items())


def test_accepted_tokens_on_fixture_b():
    # algorithms.md, section 3: token by token and as a block.
    assert accepted_tokens(lossless.RATIO, 2) == pytest.approx(1.0725, abs=1e-12)
    assert accepted_tokens(lossless.BLOCK, 2) == pytest.approx(1.1350, abs=1e-12)
    assert accepted_tokens(lossless.BLOCK, 3) == pytest.approx(1.516250, abs=1e-12)
    assert accepted_tokens(lossless.ONE_HOT, 1) == pytest.approx(0.2625, abs=1e-12)
    assert accepted_tokens(drafters.ARGMAX_ONE_HOT, 1) == pytest.approx(0.30, abs=1e-12)
    assert round(accepted_tokens(lossless.GUMBEL, 1), 6) == 0.606892


@pytest.mark.parametrize(
    ("rule", "acceptance", "bias"),
    [
        (lossy.lenient(0.5), 0.85, 0.20),
        (lossy.lenient(0.8), 0.7375, 0.0875),
        (lossy.over_accepting(0.05), 0.75, 0.10),
        (lossy.over_accepting(0.1), 0.85, 0.20),
        (lossy.over_accepting(0.2), 1.0, 0.35),
        (lossy.over_accepting(0.05, "target"), 0.75, 0.1875),
        (lossy.over_accepting(0.1, "target"), 0.85, 0.2525),
        (lossy.over_accepting(0.05, "draft"), 0.75, 0.275),
        (lossy.over_accepting(0.1, "draft"), 0.85, 0.305),
        (lossy.TYPICAL, 0.75, 0.225),
        (lossy.ensemble_rule(0.5), 0.825, 0.175),
        (lossy.cascade_rule(0.0), 0.65, 0.0),
        (lossy.cascade_rule(0.2), 1.0, 0.35),
        (lossy.mentored_rule(0.02), 0.747062, None),
        (lossy.mentored_rule(0.1), 0.862098, None),
        (lossy.synthetic(0.7), 0.7, 0.7 * 0.35),
    ],
    ids=lambda value: getattr(value, "title", ""),
)
def test_lossy_rules_on_fixture_b(rule, acceptance, bias):
    law, accepted, _ = one_step(rule)
    assert accepted == pytest.approx(acceptance, abs=6e-7)
    if bias is not None:
        assert tv(law) == pytest.approx(bias, abs=1e-12)


def test_typical_acceptance_law_on_fixture_b():
    np.testing.assert_allclose(one_step(lossy.TYPICAL)[0], [0.325, 0.525, 0.1375, 0.0125], atol=1e-12)


def test_threshold_of_typical_acceptance_falls_with_the_entropy():
    # 0.3 exp(-H) is 0.025 for a flat row of 12 tokens and below 0.09 for the second, above it for the third.
    flat = np.full(12, 1 / 12)
    bent = np.array([0.2, *[0.1] * 7, 0.05, 0.03, 0.01, 0.01])
    steep = np.array([0.9, 0.089, 0.011, *[0.0] * 9])
    for row, least in ((flat, 0.025), (bent, 0.3 * np.exp((bent * np.log(bent)).sum())), (steep, 0.09)):
        law = lossy.TYPICAL.law(
            np.broadcast_to(row, (12, 2, 12)), np.broadcast_to(flat, (12, 1, 12)), np.arange(12)[:, None]
        )
        assert (law[:, 1].sum(axis=1) == (row > least)).all()
        assert 0.02 < least <= 0.09


@pytest.mark.parametrize(
    ("divergence", "low", "high"), [(0.02, 0.850674, 1.277320), (0.1, 0.673696, 2.241954)]
)
def test_mentored_law_is_the_draft_clipped(divergence, low, high):
    law = lossy.mentored_law(TARGET, DRAFT, divergence)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert (law * np.log(law / TARGET)).sum() == pytest.approx(divergence, abs=1e-9)
    np.testing.assert_allclose(law, np.clip(DRAFT, low * TARGET, high * TARGET), atol=1e-6)


def test_mentored_law_at_its_ends():
    rng = np.random.default_rng(25)
    target, draft = rng.dirichlet(np.ones(5), size=(2, 20))
    divergence = (draft * np.log(draft / target)).sum(axis=-1)
    np.testing.assert_allclose(lossy.mentored_law(target, draft, divergence.max() + 1e-9), draft, atol=1e-12)
    nearly = lossy.mentored_law(target, draft, 1e-10)
    np.testing.assert_allclose(nearly, target, atol=1e-4)


def all_second_draws(first, second):
    rows = np.broadcast_to(first, (len(first), len(first))), np.broadcast_to(second, (len(first), len(first)))
    return second_draw_law(*rows, np.arange(len(first)))


def test_second_draw_of_a_race_has_its_own_law_and_the_published_agreement():
    rng = np.random.default_rng(26)
    for _ in range(50):
        first, second = rng.dirichlet(np.full(5, 0.6), size=2)
        if rng.random() < 0.5:
            first[0] = 0.0
            second[rng.integers(5)] = 0.0
            first, second = first / first.sum(), second / second.sum()
        given = all_second_draws(first, second)
        np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(first @ given, second, atol=1e-12)
        for x in np.flatnonzero((first > 0) & (second > 0)):
            agreement = 1 / np.maximum(first / first[x], second / second[x]).sum()
            assert first[x] * given[x, x] == pytest.approx(agreement, abs=1e-12)


def test_second_draw_of_a_race_by_a_double_integral():
    from scipy.integrate import dblquad

    first, second = np.array([0.5, 0.2, 0.3]), np.array([0.2, 0.7, 0.1])
    joint = first[:, None] * all_second_draws(first, second)
    # Token 0 wins the first race at time a, token 1 the second at time b.
    mass, _ = dblquad(
        lambda b, a: first[0] * second[1] * np.exp(-a * first[0] - b * second[1])
        * np.exp(-np.maximum(a * first[2], b * second[2])),
        0,
        60,
        lambda a: a * first[1] / second[1],
        lambda a: a * first[0] / second[0],
        epsabs=1e-7,
    )  # fmt: skip
    assert joint[0, 1] == pytest.approx(mass, abs=1e-6)


def test_coarse_gumbel_law_by_enumeration_of_all_uniforms():
    weights = np.array([[0.55, 0.225, 0.225], [0.0, 0.9, 0.1], [0.0, 1.0, 0.0]])
    laws = coin_bugs.coarse_gumbel_law(weights, 4)
    with np.errstate(divide="ignore"):
        noise = -np.log(-np.log(np.maximum(np.arange(16), 0.5) / 16))
        drawn = np.array(list(itertools.product(noise, repeat=3)))
        for row, law in zip(weights, laws, strict=True):
            counts = np.bincount((np.log(row) + drawn).argmax(axis=1), minlength=3)
            np.testing.assert_allclose(law, counts / 16**3, atol=1e-12)


def test_coarse_gumbel_law_of_many_bits_is_integrated_well(monkeypatch):
    weights = np.random.default_rng(28).dirichlet(np.full(4, 0.5), size=3)
    weights[0] = [0.6, 1e-4, 0.4 - 2e-4, 1e-4]
    integrated = coin_bugs.coarse_gumbel_law(weights, 18)
    monkeypatch.setattr(coin_bugs, "MOST_BITS_SUMMED", 18)
    np.testing.assert_allclose(integrated, coin_bugs.coarse_gumbel_law(weights, 18), atol=1e-9)


def test_uniforms_of_24_bits_change_the_tail_and_little_else():
    for gap, left in ((5, 1.0), (12, 0.995), (18, 0.080)):
        weights = np.array([1.0, np.exp(-gap)])
        law = coin_bugs.coarse_gumbel_law(weights, 24)
        np.testing.assert_allclose(law, weights / weights.sum(), atol=1e-7)
        assert round(law[1] * weights.sum() / weights[1], 3) == left
    # The token wins when its uniform is k steps below 1 and the other one's is small enough.
    steps = np.arange(1, 50)
    wins = np.floor(2.0**24 * np.exp(np.log1p(-steps / 2**24) * np.exp(18.0)) + 0.5).sum() / 2.0**48
    assert law[1] == pytest.approx(wins, rel=1e-4)


def test_coarse_coins_by_enumeration_of_all_uniforms():
    rule = coin_bugs.coarse_coins(4)
    target, draft = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([[0.2, 0.7, 0.1]])
    law = rule.law(target, draft, np.array([1]))
    found = np.zeros((2, 3))
    residual = np.maximum(target[0] - draft[0], 0)
    for test, last in itertools.product(np.arange(16) / 16, repeat=2):
        accepted = int(test < 0.3 / 0.7)
        row = target[1] if accepted else residual / residual.sum()
        found[accepted, np.searchsorted(np.cumsum(row), last, side="right")] += 1 / 256
    np.testing.assert_allclose(law, found, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lossy.lenient(0.0), "lenience is 0.0"),
        (lambda: lossy.over_accepting(-0.1), "epsilon is -0.1"),
        (lambda: lossy.over_accepting(0.1, "other"), "residual is 'other'"),
        (lambda: lossless.RATIO.law(TARGET[None, :].repeat(2, 0), None, np.array([0])), "needs draft rows"),
        (lambda: get_rule("ratoi"), "did you mean ratio"),
        (lambda: get_rule("block", tree=True), "rule block is a rule of chains; for trees give one of"),
        (lambda: get_rule("recursive"), "rule recursive is a rule of trees; for chains give one of"),
        (lambda: lossless.K_SEQ.law(TARGET, None, np.array([0])), "for chains or for trees"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_lenience_1_and_epsilon_0_are_the_ratio_rule():
    rng = np.random.default_rng(27)
    target, draft = rng.dirichlet(np.ones(4), size=3), rng.dirichlet(np.ones(4), size=2)
    for rule in (lossy.lenient(1.0), lossy.over_accepting(0.0), lossy.ensemble_rule(1.0)):
        np.testing.assert_allclose(
            rule.law(target, draft, np.array([1, 2])),
            lossless.RATIO.law(target, draft, np.array([1, 2])),
            atol=1e-15,
        )
    assert lossy.lenient(1.0).lossless
    assert not lossy.lenient(0.9).lossless
