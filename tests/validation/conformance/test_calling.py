"""What a subject may return, and what is said when it returns something else."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from specsim.support.interrupts import Interrupted
from specsim.validation.conformance.calling import Caller, ContractError, SubjectError
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject

TARGET = np.full((2, 3, 4), 0.25)
DRAFT = np.full((2, 2, 4), 0.25)
DRAFTED = np.array([[1, 2], [3, 0]])
GOOD_TOKENS = np.array([[1, 2, 0], [3, 1, 0]])
GOOD_LENGTHS = np.array([3, 2])


def call(result, **fields):
    subject = Subject(name="fixed", protocol="step", run=lambda *_, seed: result, **fields)
    return Caller(subject=subject, seed=1).step(TARGET, DRAFT, DRAFTED)


def test_good_result__comes_back():
    tokens, lengths = call((GOOD_TOKENS.astype(np.int32), list(GOOD_LENGTHS)))
    assert (tokens == GOOD_TOKENS).all()
    assert (lengths == GOOD_LENGTHS).all()
    assert tokens.dtype == lengths.dtype == np.int64


def test_what_stands_behind_the_length__is_ignored():
    tokens = GOOD_TOKENS.copy()
    tokens[1, 2] = -99
    assert (call((tokens, GOOD_LENGTHS))[1] == GOOD_LENGTHS).all()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, r"returned a NoneType; return \(tokens, lengths\)"),
        ((GOOD_TOKENS,), "returned a tuple of 1"),
        ((GOOD_TOKENS[:, :2], GOOD_LENGTHS), r"tokens has shape \(2, 2\); the protocol says \(2, 3\)"),
        ((GOOD_TOKENS, GOOD_LENGTHS[:1]), r"lengths has shape \(1,\)"),
        ((GOOD_TOKENS.astype(float), GOOD_LENGTHS), "tokens has type float64; return integers"),
        ((np.array([[1, 2], [3]], dtype=object), GOOD_LENGTHS), "tokens is ragged or holds objects"),
        ((GOOD_TOKENS, np.array([0, 2])), "row 0 has length 0; a length is between 1 and 3"),
        ((GOOD_TOKENS, np.array([4, 2])), "row 0 has length 4"),
        ((np.array([[1, 2, 4], [3, 1, 0]]), GOOD_LENGTHS), r"of row 0 hold 4; tokens are 0\.\.3"),
        ((np.array([[1, 2, 0], [3, -1, 0]]), GOOD_LENGTHS), "of row 1 hold -1"),
        ((np.array([[1, 3, 0], [3, 1, 0]]), GOOD_LENGTHS), "emits token 3 where 2 was drafted"),
    ],
)
def test_bad_result__is_named(result, message):
    with pytest.raises(ContractError, match=message):
        call(result)


async def _later(*arguments, seed):
    return GOOD_TOKENS, GOOD_LENGTHS


def _one_by_one(*arguments, seed):
    yield GOOD_TOKENS, GOOD_LENGTHS


@pytest.mark.parametrize(("run", "what"), [(_later, "coroutine"), (_one_by_one, "generator")])
def test_result_that_is_yet_to_come__is_named_without_a_warning(run, what, recwarn):
    caller = Caller(subject=Subject(name="odd", protocol="step", run=run), seed=1)
    with pytest.raises(ContractError, match=f"returned a {what}; make it a plain function"):
        caller.step(TARGET, DRAFT, DRAFTED)
    assert not recwarn.list


def test_ragged_lists__are_no_fault_of_ours():
    with pytest.raises(ContractError, match=r"tokens is no array \(ValueError"):
        call(([[1, 2], [3]], GOOD_LENGTHS))


def test_batches__are_cut_to_what_the_subject_takes():
    sizes = []

    def run(target, draft, drafted, seed):
        sizes.append(len(drafted))
        return GOOD_TOKENS[:1], GOOD_LENGTHS[:1]

    caller = Caller(subject=Subject(name="one", protocol="step", run=run, max_batch=1), seed=1)
    with pytest.raises(ContractError, match="row 0"):
        caller.step(TARGET, DRAFT, DRAFTED)
    assert sizes == [1, 1]
    assert caller.calls == 2


def test_exception__keeps_its_message():
    def run(target, draft, drafted, seed):
        raise ZeroDivisionError("0 / 0")

    with pytest.raises(SubjectError, match=r"ZeroDivisionError: 0 / 0 \(run, line"):
        Caller(subject=Subject(name="x", protocol="step", run=run), seed=1).step(TARGET, DRAFT, DRAFTED)


def test_logits__are_logarithms_with_minus_infinity_for_zero():
    rows = np.array([[0.5, 0.5, 0.0]])
    subject = Subject(name="x", protocol="step", run=lambda *_: None, inputs="logits", dtypes=("float32",))
    given = Caller(subject=subject, seed=1).give(rows)
    assert given.dtype == np.float32
    assert given[0, 2] == -np.inf
    assert np.exp(given[0, 0]) == pytest.approx(0.5)


def test_wrong_rounds_of_a_decoder__are_named():
    def run(models, prompts, new_tokens, seed):
        return np.zeros((len(prompts), new_tokens), dtype=np.int64), [[0]] * len(prompts)

    report = check_sampler(run, effort="quick", only=["contract"])
    assert report.checks[0].status is CheckStatus.BROKEN
    assert "account for 1 tokens" in report.checks[0].reason


def test_changed_inputs__are_found_and_named():
    def run(target, draft, drafted, seed):
        target[0, 0, 0] = 0.0
        return np.concatenate([drafted, drafted[:, :1]], axis=1), np.full(len(drafted), drafted.shape[1] + 1)

    report = check_sampler(run, effort="quick", only=["untouched-inputs"])
    assert "changed its input target[0, 0, 0]" in report.checks[0].reason


def test_signal_to_the_process__is_no_exception_of_the_sampler():
    def run(error):
        def step(target, draft, drafted, seed):
            raise error

        caller = Caller(subject=Subject(name="mine", protocol="step", run=step), seed=1)
        return caller.call(None, None, None)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted):
            run(Interrupted())
        with pytest.raises(SubjectError, match="KeyboardInterrupt"):
            run(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)
