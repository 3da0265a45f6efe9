"""The zoo's steps, drafting samplers and decoders against their exact laws, which share no code with them.

All statistical comparisons of this file together raise a false alarm with probability at most 1e-9.
"""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.instances import chain_instance, number, tree_instance
from specsim.validation.conformance.rules import lossless
from specsim.validation.conformance.zoo import all_controls, all_mutants, get_controls, get_mutants
from specsim.validation.conformance.zoo import model as zoo_model
from specsim.validation.statistics import decide_law_by_cells_and_entropy

RUNS = 20_000
ALPHA = 1e-9 / 300
V, K = 4, 2
CHAINS = ("step", "draft-and-verify", "decoder")
MUTANTS = {item.name: item for item in all_mutants() if item.subject.protocol in CHAINS}
CONTROLS = {item.name: item for item in all_controls() if item.subject.protocol in CHAINS}
EVERY = {**MUTANTS, **CONTROLS}


def of(items, *protocols):
    return [name for name, item in items.items() if item.subject.protocol in protocols]


@pytest.fixture(scope="module")
def tree():
    return tree_instance(11, vocabulary=V, draft_length=K)


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
    if subject.framework == "torch" and importlib.util.find_spec("torch") is None:
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
    tokens, lengths = subject.run(*given, seed, **options)
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


@pytest.mark.parametrize(
    "name", [name for name in of(EVERY, "step", "draft-and-verify") if stated_rule(EVERY[name]) is not None]
)
def test_samplers_have_their_exact_law(name, tree):
    item = EVERY[name]
    rule = stated_rule(item)
    drafted, tokens, lengths = sample(item.subject, tree)
    accepted = np.arange(K) < lengths[:, None] - 1
    assert (tokens[:, :-1] == drafted)[accepted].all()
    decision = agrees(step_cells(tree, drafted, tokens, lengths), step_law(rule, tree))
    assert decision.agrees, decision


@pytest.mark.parametrize(
    "name", [name for name in of(CONTROLS, "step", "draft-and-verify") if CONTROLS[name].lossless]
)
def test_controls_write_the_targets_texts(name, tree):
    _, tokens, lengths = sample(CONTROLS[name].subject, tree, seed=2)
    assert agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


@pytest.mark.parametrize(
    "name", of({name: item for name, item in MUTANTS.items() if item.law}, "step", "draft-and-verify")
)
def test_laws_of_mutants_deviate_from_the_declared_rule_or_the_target(name, tree):
    mutant = MUTANTS[name]
    claimed = mutant.subject.rule or lossless.RATIO
    distance = 0.5 * np.abs(step_law(mutant.law, tree) - step_law(claimed, tree)).sum()
    # Uniforms of 11 bits only change tokens of small mass.
    assert distance > (1e-5 if name == "coarse-gumbel" else 1e-3)


# A mutant whose law is close to the right one needs more samples than a fast test has.
FAINT = {
    "coarse-coins",
    "coarse-gumbel",
    "residual-clamped",
    "capped-ratio",
    "drafts-bfloat16",
    "recovery-log-ratio",
}
VISIBLE = [
    name
    for name in of({name: item for name, item in MUTANTS.items() if item.law}, "step", "draft-and-verify")
    if name not in FAINT
]


@pytest.mark.parametrize("name", VISIBLE)
def test_samples_of_mutants_reject_the_claimed_rule(name, tree):
    mutant = MUTANTS[name]
    runs = 60_000 if name == "shared-gumbel" else RUNS
    drafted, tokens, lengths = sample(mutant.subject, tree, runs, seed=3)
    claimed = mutant.subject.rule or lossless.RATIO
    # Their drafts may be right in law or not; either way the whole outcome is not the rule's.
    assert not agrees(step_cells(tree, drafted, tokens, lengths), step_law(claimed, tree)).agrees


def test_rows_divided_in_place_are_tested_wrongly(tree):
    _, tokens, lengths = sample(MUTANTS["drafts-divided-in-place"].subject, tree)
    assert not agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


# Options.

OPTIONS = {"temperature": 0.7, "top_k": 2, "top_p": 0.8}


def option_of(item):
    return next(iter(item.subject.options & OPTIONS.keys()))


def option_agrees(item, options, seed):
    # With one drafted token the bonus token comes soon enough to be seen.
    instance = tree_instance(13, vocabulary=V, draft_length=1)
    right = instance.mapped(lambda rows: filtered(rows, options), "filtered")
    _, tokens, lengths = sample(item.subject, instance, seed=seed, **options)
    return agrees(texts(right, tokens, lengths, 2), right.target_law(2)).agrees


@pytest.mark.parametrize(
    "name", [name for name in of(MUTANTS, "step") if MUTANTS[name].bug_class.startswith("5")]
)
def test_options_on_one_side_deviate_and_without_the_option_all_is_right(name, tree):
    mutant = MUTANTS[name]
    option = option_of(mutant)
    assert not option_agrees(mutant, {option: OPTIONS[option]}, 1)
    _, tokens, lengths = sample(mutant.subject, tree)
    assert agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


@pytest.mark.parametrize("name", ["ratio", "one-hot"])
def test_options_of_controls_are_right_alone_and_together(name):
    for seed, options in enumerate([*({key: value} for key, value in OPTIONS.items()), OPTIONS]):
        assert option_agrees(CONTROLS[name], options, seed)


# Batches.


def mixed_batch(subject, seed=1, runs=RUNS, **options):
    """Verify rows of two instances in turns; return instances, which, tokens, lengths."""
    pair = [tree_instance(21 + i, vocabulary=V, draft_length=K) for i in range(2)]
    which = np.arange(runs) % 2
    rng = np.random.default_rng([4, seed])
    drafted = np.empty((runs, K), dtype=np.int64)
    target, draft = np.empty((runs, K + 1, V)), np.empty((runs, K, V))
    for i, instance in enumerate(pair):
        drafted[which == i] = instance.draw_drafted(rng, int((which == i).sum()))
        target[which == i], draft[which == i] = instance.rows(drafted[which == i])
    if "draft_lengths" in options:
        behind = np.arange(K) >= options["draft_lengths"][:, None]
        drafted[behind], draft[behind], target[:, 1:][behind] = -1, 0.0, 0.0
    return pair, which, *verify(subject, target, draft, drafted, seed, **options)


def mixed_agrees(subject, **options):
    pair, which, tokens, lengths = mixed_batch(subject, **options)
    found = True
    for i, instance in enumerate(pair):
        rows = which == i
        decision = agrees(texts(instance, tokens[rows], lengths[rows]), instance.target_law(K + 1))
        found &= decision.agrees
    return found


@pytest.mark.parametrize(
    "name", [name for name in of(MUTANTS, "step") if "batch-rows" in MUTANTS[name].killed_by]
)
def test_rows_of_other_requests_deviate(name):
    assert not mixed_agrees(MUTANTS[name].subject)


@pytest.mark.parametrize("name", ["ratio", "one-hot", "block", "coins-follow-batch", "torch-ratio"])
def test_controls_are_right_in_mixed_batches(name):
    assert mixed_agrees(CONTROLS[name].subject)


@pytest.mark.parametrize("name", ["ratio", "one-hot"])
def test_controls_are_right_in_ragged_batches(name):
    ragged = np.arange(RUNS) % 6 % 3
    _, _, _, lengths = mixed_batch(CONTROLS[name].subject, draft_lengths=ragged)
    assert (lengths <= ragged + 1).all()
    assert mixed_agrees(CONTROLS[name].subject, draft_lengths=ragged)


@pytest.mark.parametrize(
    "name", [name for name in of(MUTANTS, "step") if "ragged" in MUTANTS[name].killed_by]
)
def test_ragged_mutants_go_wrong_in_ragged_batches_only(name):
    ragged = np.arange(RUNS) % 6 % 3
    _, _, tokens, lengths = mixed_batch(MUTANTS[name].subject, draft_lengths=ragged)
    emitted = np.arange(K + 1) < lengths[:, None]
    broken = (lengths > ragged + 1).any() or (tokens[emitted] < 0).any()
    assert broken or not mixed_agrees(MUTANTS[name].subject, draft_lengths=ragged)
    assert mixed_agrees(MUTANTS[name].subject)


def neighbours(subject, instance, seed, size=4000):
    """Return the outcomes of even and odd rows of a batch, all with the same inputs."""
    drafted = np.repeat(instance.paths[6:7], size, axis=0)
    tokens, lengths = verify(subject, *instance.rows(drafted), drafted, seed)
    cells = (lengths - 1) * V + tokens[np.arange(size), lengths - 1]
    return cells[0::2], cells[1::2]


@pytest.mark.parametrize(
    "name", ["one-coin-per-batch", "last-draw-per-batch", "paired-rows", "ratio", "coins-by-row"]
)
def test_rows_of_a_batch_are_independent_or_not(name, tree):
    item = EVERY[name]
    # Many small batches, so that coins shared by a whole batch show as equal rows.
    pairs = [neighbours(item.subject, tree, seed, size=2) for seed in range(1000)]
    first, second = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    rule = lossless.RATIO
    law = rule.law(*(rows[0] for rows in tree.rows(tree.paths[6:7])), tree.paths[6]).ravel()
    decision = agrees(first * law.size + second, np.outer(law, law).ravel())
    assert decision.agrees == (name in CONTROLS)


def test_seeds_are_used(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 50)
    rows = tree.rows(drafted)
    for name in of(EVERY, "step"):
        subject = EVERY[name].subject
        if subject.framework == "torch" and importlib.util.find_spec("torch") is None:
            continue
        first, again, other = (
            np.stack(_emitted(verify(subject, *rows, drafted, seed))) for seed in (7, 7, 8)
        )
        assert np.array_equal(first, again) == (name != "unseeded"), name
        assert np.array_equal(first, other) == (name in ("seed-ignored", "silently-greedy")), name


def _emitted(result):
    tokens, lengths = result
    return [*np.where(np.arange(K + 1) < lengths[:, None], tokens, -1).T.tolist(), lengths.tolist()]


def test_coins_by_row_make_a_row_independent_of_the_rest(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 40)
    target, draft = tree.rows(drafted)
    whole = verify(CONTROLS["coins-by-row"].subject, target, draft, drafted)
    part = verify(CONTROLS["coins-by-row"].subject, target[:9], draft[:9], drafted[:9])
    assert np.array_equal(whole[0][:9], part[0])
    moved = verify(CONTROLS["coins-follow-batch"].subject, target[::-1], draft[::-1], drafted[::-1])
    assert not np.array_equal(
        moved[0][::-1], verify(CONTROLS["coins-follow-batch"].subject, target, draft, drafted)[0]
    )


# Edges.


def test_a_coin_of_zero_accepts_no_mass_in_the_mutant_only():
    target = np.array([[[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]])
    draft = np.array([[[0.5, 0.5, 0.0]]])
    drafted = np.array([[0]])
    coins = np.array([[0.0, 0.5]])
    for name, length in (("coin-zero-accepts", 2), ("ratio", 1), ("one-hot", 1)):
        _, lengths = verify(EVERY[name].subject, target, draft, drafted, coins=coins)
        assert lengths.tolist() == [length]


def test_a_coin_below_one_draws_the_last_token_of_mass_but_in_the_mutant():
    target = np.array([[[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]])
    draft = np.array([[[0.5, 0.5, 0.0]]])
    largest = float(np.nextafter(1.0, 0.0))
    for drafted, coin in ((1, 0.0), (0, largest)):
        coins = np.array([[coin, largest]])
        for name, last in (("last-id-at-one", 2), ("ratio", 1)):
            tokens, lengths = verify(EVERY[name].subject, target, draft, np.array([[drafted]]), coins=coins)
            assert tokens[0, lengths[0] - 1] == last


def test_rows_that_are_not_finite():
    target = np.array([[[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]])
    draft = np.array([[[0.4, 0.3, 0.3]]])
    broken = np.full_like(draft, np.nan)
    tokens, _ = verify(MUTANTS["nan-draft-token-0"].subject, target, broken, np.array([[0]]))
    assert tokens[0, 0] == 0
    tokens, lengths = verify(MUTANTS["nan-target-id-v"].subject, target * np.nan, draft, np.array([[1]]))
    assert tokens[0, lengths[0] - 1] == 3
    for name in ("ratio", "block", "match", "one-hot", "ratio-from-logits", "torch-ratio"):
        with pytest.raises(ValueError, match=r"not finite|NaN"):
            verify(CONTROLS[name].subject, target * np.nan, draft, np.array([[1]]))


def test_inputs_are_left_alone_but_by_the_mutants_that_write_to_them(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 50)
    target, draft = tree.rows(drafted)
    writers = set()
    for name in of(EVERY, "step"):
        subject = EVERY[name].subject
        if subject.framework != "numpy":
            continue
        given = target.copy(), draft.copy(), drafted.copy()
        subject.run(given[0], None if subject.draft == "never" else given[1], given[2], 1)
        if not all(np.array_equal(*pair) for pair in zip(given, (target, draft, drafted), strict=True)):
            writers.add(name)
    named = {name for name in MUTANTS if "untouched-inputs" in MUTANTS[name].killed_by}
    assert writers == named


@pytest.mark.parametrize(
    "name", [name for name in of(EVERY, "step") if EVERY[name].subject.draft == "optional"]
)
def test_drafts_without_rows(name, tree):
    item = EVERY[name]
    target, _ = tree.rows(tree.paths)
    # The draft that the target itself would write greedily.
    greedy = (target[:, :K].argmax(axis=-1) == tree.paths).all(axis=1)
    drafted = np.repeat(tree.paths[greedy], RUNS, axis=0)
    target, _ = tree.rows(drafted)
    tokens, lengths = verify(item.subject, target, None, drafted)
    decision = agrees(texts(tree, tokens, lengths), tree.target_law(K + 1))
    assert decision.agrees == (name in CONTROLS)


@pytest.mark.parametrize(
    "name", ["ratio", "one-hot", "match", "block", "one-hot-fallback", "ratio-from-logits"]
)
def test_controls_on_rows_with_zeros_and_on_equal_rows(name):
    rng = np.random.default_rng(8)
    target, draft = np.array([0.0, 0.5, 0.5, 0.0]), np.array([0.5, 0.5, 0.0, 0.0])
    with np.errstate(divide="ignore"):
        for rows in ((target, draft), (target, target), (np.eye(4)[1], draft), (target, np.eye(4)[0])):
            drafted = rng.choice(4, p=rows[1], size=(4000, 1))
            tokens, lengths = verify(
                CONTROLS[name].subject,
                np.broadcast_to(rows[0], (4000, 2, 4)),
                np.broadcast_to(rows[1], (4000, 1, 4)),
                drafted,
            )
            assert agrees(tokens[:, 0], rows[0]).agrees
            if rows[0] is rows[1] and name in ("ratio", "block", "ratio-from-logits"):
                assert (lengths == 2).all()


# Decoders.


class DecoderModels:
    """The models that a decoder calls."""

    def __init__(self, instance):
        self.instance, self.start = instance, instance.start
        self.vocabulary, self.draft_length = instance.vocabulary, instance.draft_length

    def target(self, tokens):
        return self.instance.target[self.instance.contexts(tokens)[:, 1:]]

    def draft(self, tokens):
        return self.instance.draft[self.instance.contexts(tokens)[:, 1:]]


NEW, TEXTS = 4, 8000


@pytest.fixture(scope="module")
def chain():
    return chain_instance(17, vocabulary=3, order=2, draft_length=2)


def decoded(subject, chain, seed=1, **options):
    """Return texts by number, accepted lengths, and which of two prompts each row has."""
    prompts = np.array([[0, 1, 2], [2, 1, 1]])[np.arange(TEXTS) % 2]
    tokens, accepted = subject.run(DecoderModels(chain), prompts, NEW, seed, **options)
    assert tokens.shape == (TEXTS, NEW)
    assert len(accepted) == TEXTS
    for row in accepted[:200]:
        assert sum(row) + len(row) >= NEW
        assert sum(row[:-1]) + len(row[:-1]) < NEW
    return number(tokens, 3), accepted, prompts


def decoder_law(rule, chain, prompt):
    """Return the law of texts of `NEW` tokens when every round follows the rule."""
    begin = int(chain.contexts(prompt[None, :])[0, -1])
    rounds = {}
    open_texts = {(): (begin, 1.0)}
    law = np.zeros(3**NEW)
    while open_texts:
        text = min(open_texts, key=len)  # every way to a text is known when no shorter one is open
        context, mass = open_texts.pop(text)
        if context not in rounds:
            rounds[context] = round_law(rule, chain, context)
        for emitted, share in rounds[context].items():
            longer = text + emitted
            if len(longer) >= NEW:
                law[number(np.array(longer[:NEW]), 3)] += mass * share
            else:
                after = context
                for token in emitted:
                    after = int(chain.next_context[after, token])
                _, before = open_texts.get(longer, (after, 0.0))
                open_texts[longer] = after, before + mass * share
    return law


def round_law(rule, chain, context):
    """Return the law of the tokens of one round."""
    moved = replace(chain, start=context)
    target, draft = moved.rows(moved.paths)
    table = moved.path_law()[:, None, None] * rule.law(target, draft, moved.paths)
    law = {}
    for (path, accepted, final), share in np.ndenumerate(table):
        emitted = (*(int(x) for x in moved.paths[path, :accepted]), int(final))
        law[emitted] = law.get(emitted, 0.0) + share
    return law


def decoder_agrees(found, prompts, law_of):
    outcome = True
    for prompt in np.unique(prompts, axis=0):
        rows = (prompts == prompt).all(axis=1)
        outcome &= agrees(found[rows], law_of(prompt)).agrees
    return outcome


@pytest.mark.parametrize("name", of(EVERY, "decoder"))
def test_decoders_write_texts_of_their_law(name, chain):
    item = EVERY[name]
    found, _, prompts = decoded(item.subject, chain)
    right = decoder_agrees(found, prompts, lambda prompt: chain.continuation_law(prompt, NEW))
    assert right == (name in CONTROLS)
    if name in MUTANTS and item.law is not None:
        assert decoder_agrees(found, prompts, lambda prompt: decoder_law(item.law, chain, prompt))


def test_law_of_a_decoder_by_its_rounds_is_the_targets_for_a_lossless_rule(chain):
    prompt = np.array([2, 1, 1])
    for rule in (lossless.RATIO, lossless.BLOCK, lossless.ONE_HOT):
        np.testing.assert_allclose(
            decoder_law(rule, chain, prompt), chain.continuation_law(prompt, NEW), atol=1e-12
        )


def test_decoders_of_a_rule_accept_as_it_says(chain):
    for name, rule in (
        ("decoder-ratio", lossless.RATIO),
        ("decoder-block", lossless.BLOCK),
        ("decoder-one-hot", lossless.ONE_HOT),
    ):
        _, accepted, prompts = decoded(CONTROLS[name].subject, chain, seed=2)
        first = np.array([row[0] for row in accepted])
        for prompt in np.unique(prompts, axis=0):
            moved = replace(chain, start=int(chain.contexts(prompt[None, :])[0, -1]))
            target, draft = moved.rows(moved.paths)
            law = (moved.path_law()[:, None, None] * rule.law(target, draft, moved.paths)).sum(axis=(0, 2))
            assert agrees(first[(prompts == prompt).all(axis=1)], law).agrees


def test_the_options_of_the_decoder(chain):
    for options in (*({key: value} for key, value in OPTIONS.items()), OPTIONS):
        right = chain.mapped(lambda rows, options=options: filtered(rows, options), "filtered")
        found, _, prompts = decoded(CONTROLS["decoder-ratio"].subject, chain, **options)
        assert decoder_agrees(found, prompts, lambda prompt, right=right: right.continuation_law(prompt, NEW))


# The lists.


def test_every_mutant_says_what_it_is_and_names_a_check():
    for name, mutant in MUTANTS.items():
        assert mutant.killed_by, name
        assert mutant.cite
        assert mutant.description
        assert mutant.bug_class[:2].strip().isdigit(), name
        assert name == name.lower()
        assert mutant.subject.name == name


def test_all_classes_of_bugs_are_in_the_zoo():
    found = {int(mutant.bug_class.split()[0]) for mutant in MUTANTS.values()}
    assert found >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13}


def test_unknown_names_are_refused():
    assert get_mutants(["recovery-from-target"])[0] is MUTANTS["recovery-from-target"]
    assert get_controls(["ratio"])[0] is CONTROLS["ratio"]
    with pytest.raises(InputError, match="mutant 'recovery-from-targt' is unknown; did you mean"):
        get_mutants(["recovery-from-targt"])
    with pytest.raises(InputError, match="control 'xyz' is unknown; give one of"):
        get_controls(["xyz"])


def test_names_that_repeat_are_refused(monkeypatch):
    from specsim.validation.conformance.zoo import step_rows

    monkeypatch.setattr(step_rows, "MUTANTS", (*step_rows.MUTANTS, step_rows.MUTANTS[0]))
    with pytest.raises(InputError, match="mutant target-row-after is defined twice"):
        zoo_model.all_mutants.__wrapped__()
