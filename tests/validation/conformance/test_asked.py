"""What requests ask for beside tokens: references, returned slots, experiments, and who is wrong."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo import asked, asked_decoders, asked_drafts, asked_steps
from specsim.errors import InputError
from specsim.testing import CheckStatus, Subject, Verdict, check_sampler
from specsim.validation.conformance import filters, histories
from specsim.validation.conformance.calling import Caller, ContractError
from specsim.validation.conformance.checks import noise
from specsim.validation.conformance.checks.drafts import narrowed
from specsim.validation.conformance.checks.options import VALUES, distinct_rows
from specsim.validation.conformance.instances import chain_instance, digits, tree_instance
from specsim.validation.conformance.subjects import load_subjects
from specsim.validation.conformance.text_probes import BINS, TextProbe

TREE = tree_instance(3, draft_length=2)
CHAIN = chain_instance(3, draft_length=2)


# Filters.


def test_min_p__keeps_what_has_a_share_of_the_likeliest():
    row = np.array([0.5, 0.26, 0.14, 0.1])
    np.testing.assert_allclose(filters.min_p(row, 0.5), [0.5 / 0.76, 0.26 / 0.76, 0, 0])
    np.testing.assert_array_equal(filters.min_p(row, 0.0), row)


def test_typical_p__takes_tokens_of_typical_surprise_first():
    # Surprises 0.92, 1.20, 1.61, 2.30; entropy 1.28: the likeliest token is not the most typical one.
    row = np.array([0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(filters.typical_p(row, 0.2), [0, 1, 0, 0])
    np.testing.assert_allclose(filters.typical_p(row, 0.45), [0, 0.6, 0.4, 0])
    np.testing.assert_allclose(filters.typical_p(np.array([0.5, 0.5, 0.0]), 1.0), [0.5, 0.5, 0.0])


@pytest.mark.parametrize("option", ["min_p", "typical_p"])
def test_filters_of_the_zoo__are_the_references(option):
    rows = distinct_rows(option, lambda seed: tree_instance(50 + seed, draft_length=2)).target
    for value in VALUES[option]:
        np.testing.assert_allclose(
            asked.kept(rows, **{option: value}), filters.filtered(rows, {option: value})
        )


@pytest.mark.parametrize(("name", "value"), [("min_p", 1.5), ("typical_p", 0.0), ("temperature", -1.0)])
def test_filters__refuse_what_is_out_of_range(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}; give a number"):
        filters.filtered(np.array([0.5, 0.5]), {name: value})


def test_temperature_0__leaves_the_likeliest_token():
    np.testing.assert_array_equal(filters.tempered(np.array([[0.2, 0.5, 0.3]]), 0), [[0, 1, 0]])


# Processing, and ends.


def subject(**fields):
    return Subject(**{"name": "it", "protocol": "step", "run": lambda *_, **__: None, **fields})


def test_effective__processes_rows_by_all_drafted_tokens():
    found = histories.effective(TREE, subject(process=asked.declared), {"temperature": 0.7})
    for text in ([], [2], [1, 3]):
        tokens = np.array([text], dtype=np.int64).reshape(1, -1)
        raw = TREE.target[TREE.contexts(tokens)[:, -1]]
        counts = asked.counted(tokens, np.array([len(text)]), 4)
        row = asked.processed(raw, counts, np.array([text[-1] if text else -1])) ** (1 / 0.7)
        np.testing.assert_allclose(found.target[found.contexts(tokens)[:, -1]], row / row.sum())


def test_effective__leaves_the_draft_alone_where_filters_are_for_the_target():
    both = histories.effective(TREE, subject(process=asked.declared), {})
    one = histories.effective(TREE, subject(process=asked.declared, filters="target"), {})
    np.testing.assert_array_equal(one.target, both.target)
    np.testing.assert_array_equal(one.draft, TREE.draft)
    assert np.abs(both.draft - TREE.draft).max() > 0.1


def test_effective__absorbs_the_target_after_the_end_alone():
    found = histories.effective(TREE, subject(), {"eos": 1})
    tokens = digits(np.arange(16), 4, 2)
    rows, drafts = found.target[found.contexts(tokens)[:, -1]], found.draft[found.contexts(tokens)[:, -1]]
    over = (tokens == 1).any(axis=1)
    np.testing.assert_array_equal(rows[over], np.tile([0, 1, 0, 0], (over.sum(), 1)))
    np.testing.assert_array_equal(rows[~over], TREE.target[TREE.contexts(tokens)[:, -1]][~over])
    np.testing.assert_array_equal(drafts, TREE.draft[TREE.contexts(tokens)[:, -1]])


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (lambda tokens, rows: rows[:, :2], r"process of it returned shape \(1, 2\); return \(1, 4\)"),
        (lambda tokens, rows: -rows, "returned a negative weight"),
        (lambda tokens, rows: rows * 0, r"process of it leaves no token after \[\]"),
        (lambda tokens, rows: 1 / 0, "process of it raised ZeroDivisionError"),
    ],
)
def test_processing__that_returns_no_rows_is_bad_input(process, words):
    with pytest.raises(InputError, match=words):
        histories.effective(TREE, subject(process=process), {})


def test_processing__is_a_callable_and_not_for_trees():
    with pytest.raises(InputError, match="process is 3; give a callable"):
        subject(process=3)
    with pytest.raises(InputError, match="process is not for protocol tree"):
        subject(protocol="tree", process=asked.declared)


def test_ends__by_a_token_and_by_sequences():
    tokens = np.array([[0, 1, 2, 3], [3, 0, 0, 0], [2, 3, 2, 3]])
    np.testing.assert_array_equal(
        histories.ends_at(tokens, eos=1, stop=((2, 3),)),
        [[0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 1]],
    )
    np.testing.assert_array_equal(histories.ended(tokens, stop=((0, 0, 0), (1,))), [True, True, False])


def probe(**more):
    made = subject(protocol="decoder", **{k: more.pop(k) for k in ("run", "process") if k in more})
    prompts = np.array([[0, 1], [2, 1]])
    return TextProbe(
        Caller(subject=made, seed=1), np.random.default_rng(1), CHAIN, prompts, new_tokens=5, **more
    )


def test_law_of_texts__is_a_law_and_stops_at_ends():
    law = probe(options={"stop": ((1, 2),)}).law(0).reshape(4, 4, 4)
    assert law.sum() == pytest.approx(1)
    np.testing.assert_array_equal(law[1, 2, 1:], 0)
    plain = probe().law(0).reshape(4, 4, 4)
    np.testing.assert_allclose(law[1, 2, 0], plain[1, 2].sum())
    np.testing.assert_allclose(law[0], plain[0])


def test_places__are_uniform_for_texts_of_the_law_and_show_what_is_impossible():
    def write(models, prompts, new_tokens, seed):
        rng, text = np.random.default_rng(seed), np.asarray(prompts)
        for _ in range(new_tokens):
            counts = asked.counted(text, np.full(len(text), text.shape[1]), 4)
            rows = asked.processed(models.target(text)[:, -1], counts, text[:, -1])
            text = np.concatenate(
                [text, (rows.cumsum(1) < rng.random((len(text), 1))).sum(1)[:, None]], axis=1
            )
        return text[:, 2:]

    right, ignoring = probe(run=write, process=asked.declared), probe(run=write)
    right.sample(2000)
    ignoring.sample(2000)
    assert right.places[..., BINS].sum() == 0
    assert all(look.evidence.log_e(look.counts()) < 0 for look in right.looks(tolerance=1e-12))
    assert max(look.evidence.log_e(look.counts()) for look in ignoring.looks(tolerance=1e-12)) > 50
    twice = probe(
        run=lambda models, prompts, n, seed: np.ones((len(prompts), n), int), process=asked.declared
    )
    twice.sample(10)
    assert twice.places[:, 0, BINS].tolist() == [10, 10, 10]  # both prompts end with token 1


# What is returned.


def called(run, protocol="decoder", **options):
    from specsim.validation.conformance.checks.decoder import DecoderModels
    from specsim.validation.conformance.probes import Models

    caller = Caller(subject=subject(protocol=protocol, run=run), seed=1)
    if protocol == "decoder":
        found = caller.decode(DecoderModels(caller, CHAIN), np.zeros((2, 2), int), 4, options=options)
    else:
        found = caller.draft_and_verify(Models(caller, [TREE], np.zeros(2, dtype=int)))
    return found, caller.reported


TEXTS = np.array([[3, 0, 2, 1], [3, 3, 0, 1]])


def test_texts__are_minus_1_behind_their_ends():
    (found, _), _ = called(lambda *_, seed, eos: np.where(TEXTS == 2, 0, [[3, 0, 0, 0], [3, 3, 0, 0]]), eos=0)
    assert found.tolist() == [[3, 0, -1, -1], [3, 3, 0, -1]]
    with pytest.raises(ContractError, match=r"row 0 has token 2 after the end of its text \[3, 0, 2, 1\]"):
        called(lambda *_, seed, eos: TEXTS, eos=0)
    with pytest.raises(ContractError, match="tokens of row 0 hold -1"):
        called(lambda *_, seed: np.array([[3, 0, 2, -1], [3, 3, 0, 1]]))


def test_reports__are_taken_off_and_checked():
    report = {"logprobs": np.zeros((2, 4)), "accepted": np.array([1, 2])}
    (found, rounds), reported = called(lambda *_, seed: (TEXTS, [[2, 2]] * 2, report))
    assert (found == TEXTS).all()
    assert rounds == [[2, 2]] * 2
    assert reported["accepted"].tolist() == [1, 2]
    with pytest.raises(ContractError, match="reports 'speed'; report some of logprobs, drafted, accepted"):
        called(lambda *_, seed: (TEXTS, {"speed": 1}))
    with pytest.raises(ContractError, match=r"accepted has shape \(3,\); report \(2,\)"):
        called(lambda *_, seed: (TEXTS, {"accepted": np.zeros(3)}))


STEP = np.array([[1, 2, 3]] * 2), np.array([3, 2])


@pytest.mark.parametrize(
    ("drafted", "words"),
    [
        ([[1, -1], [1, 2]], "row 0 has length 3; a length is between 1 and 2"),
        ([[-1, 2], [1, 2]], "drafted has a token after a -1"),
        ([[1, 3], [1, 2]], "emits token 2 where 3 was drafted"),
    ],
)
def test_drafts_that_are_shorter__bound_lengths(drafted, words):
    with pytest.raises(ContractError, match=words):
        called(lambda *_, seed: (np.array(drafted), *STEP), "draft-and-verify")


def test_trees_of_its_own__hold_what_is_accepted():
    parents, nodes = np.array([0, 0, 0, 1]), np.array([[0, 1, 2, 2]] * 2)
    (drafted, _, lengths), _ = called(lambda *_, seed: (parents, nodes, *STEP), "draft-and-verify")
    assert drafted is None
    assert lengths.tolist() == [3, 2]
    with pytest.raises(ContractError, match=r"row 0 emits \[1, 2, 3\], whose first 2 tokens are no path"):
        called(lambda *_, seed: (parents, nodes[:, [0, 1, 2, 1]], *STEP), "draft-and-verify")
    with pytest.raises(ContractError, match="number parents first"):
        called(lambda *_, seed: (np.array([0, 2, 0, 1]), nodes, *STEP), "draft-and-verify")
    with pytest.raises(ContractError, match=r"return \(batch, nodes\) each"):
        called(lambda *_, seed: (parents[:2], nodes, *STEP), "draft-and-verify")


def test_drafts_that_are_not_told__are_none():
    report = check_sampler(
        lambda models, seed: asked_drafts.own_tree(models, seed, told=False),
        protocol="draft-and-verify",
        effort="quick",
        eps=0.2,
        only=["contract", "joint-law"],
    )
    assert report.verdict is Verdict.LOSSLESS


# Inputs of single checks.


def test_forced_rows__say_what_must_not_be_emitted():
    target, draft, drafted = noise.rows()
    np.testing.assert_allclose(target.sum(axis=2), 1)
    np.testing.assert_allclose(draft.sum(axis=2), 1)
    assert (target[:2, 0, 0] == 0).all()  # the first drafts are always rejected
    assert (target[2:, 0] == draft[2:, 0]).all()  # and the others never
    assert drafted.tolist() == [[0], [0], [2], [2]]


def test_narrow_drafts__have_no_mass_on_token_0():
    narrow, ids = narrowed(TREE)
    assert ids.tolist() == [1, 3]
    np.testing.assert_allclose(narrow.draft[:, ids].sum(axis=1), 1)
    assert (narrow.draft[:, [0, 2]] == 0).all()


def test_options_that_are_not_taken__are_left_out_for_one_reason():
    report = check_sampler(
        asked_steps.step, options=("eos",), effort="quick", eps=0.3, only=["ends", "min-p", "reported"]
    )
    assert [(c.name, c.status) for c in report.checks] == [
        ("ends", CheckStatus.PASSED),
        ("reported", CheckStatus.PASSED),
        ("min-p", CheckStatus.SKIPPED),
    ]
    assert report.checks[2].reason == "the sampler has no such option"


def test_processing_of_a_decoder__is_judged_by_its_texts_alone():
    made = asked_decoders.CONTROLS[1].subject
    report = check_sampler(made, effort="quick", eps=0.2, only=["joint-law", "processing"])
    assert report.verdict is Verdict.LOSSLESS
    assert report.certified < 0.2
    assert report.checks[1].reason == "its processing makes rows depend on the whole text"


def test_example__passes_what_it_shows():
    path = Path(__file__).parents[3] / "examples" / "conformance" / "asked.py"
    (made,) = load_subjects(f"{path}:subject")
    only = ["joint-law", "ends", "request-seeds", "reported"]
    report = check_sampler(made, effort="quick", eps=0.2, only=only)
    assert [check.status for check in report.checks] == [CheckStatus.PASSED] * 4


@pytest.mark.slow
def test_pairs_of_requests__have_the_same_prompt_in_every_call():
    """Calls of several sizes with a prompt each made the rows of a right decoder look dependent."""
    (control,) = (item for item in asked_decoders.CONTROLS if item.name == "asked-decoder")
    report = check_sampler(control.subject, effort="standard", only=["request-independence"])
    assert report.verdict is Verdict.LOSSLESS, report.sentence
    (check,) = (check for check in report.checks if check.name == "request-independence")
    assert check.status is CheckStatus.PASSED
    assert check.log10_e < 0
