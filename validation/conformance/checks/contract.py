"""Checks without statistics: shapes and ranges, inputs left alone, the same output for the same seed."""

from collections.abc import Callable
from typing import Any

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller, SubjectError
from specsim.validation.conformance.checks.base import Exact, check, lossless_only
from specsim.validation.conformance.instances import Instance, edge_instances
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.subjects import PROTOCOLS, Subject

#: Repetitions of an exact check; a fault that shows in a tenth of the calls is missed with probability 0.04.
REPETITIONS = 30

#: How the reason begins when the seed is ignored.
SEED_IGNORED = "the seed changes nothing"


def one_call(
    lab: Laboratory, caller: Caller, rng: np.random.Generator, size: int, *, prompt: int | None = None
) -> Callable[..., Any]:
    """Return a function of a seed that calls the subject on inputs fixed now, and returns arrays.

    Decoders get random prompts, or prompts of nothing but `prompt`.
    """
    instance = lab.main_instance
    protocol = lab.subject.protocol
    if protocol == "step":
        drafted = lab.lawful(instance).draw_drafted(rng, size)
        target, draft = instance.rows(drafted)
        rows = None if lab.subject.draft == "never" else draft
        return lambda seed: caller.step(target, rows, drafted, seed=seed)
    if protocol == "draft-and-verify":
        which = np.zeros(size, dtype=np.int64)
        return lambda seed: caller.draft_and_verify(Models(caller, [instance], which), seed=seed)
    if protocol == "decoder":
        from specsim.validation.conformance.checks.decoder import DecoderModels

        models = DecoderModels(caller, instance)
        prompts = rng.integers(0, instance.vocabulary, size=(size, 3))
        if prompt is not None:
            prompts[:] = prompt
        return lambda seed: (caller.decode(models, prompts, instance.draft_length + 3, seed=seed)[0],)
    from specsim.validation.conformance.checks.tree import tree_inputs

    parents, target, draft, tokens = tree_inputs(lab, rng, size)
    return lambda seed: caller.tree(parents, target, draft, tokens, seed=seed)


def _batch(lab: Laboratory, wanted: int) -> int:
    return max(1, min(wanted, lab.subject.max_batch or wanted))


@check(
    "contract",
    "shapes, types, lengths and token ids; accepted tokens are the drafted ones",
    kind="contract",
    protocols=tuple(PROTOCOLS),
    catches="ids out of range, wrong lengths, tokens that were never drafted",
)
def _contract(lab: Laboratory) -> Exact:
    def run() -> int:
        caller, rng = lab.caller("contract"), lab.rng("contract")
        cases = 0
        for size in (1, _batch(lab, 2), _batch(lab, 5), _batch(lab, 64)):
            for _ in range(REPETITIONS // 6):
                one_call(lab, caller, rng, size)(None)
                cases += 1
        if lab.subject.protocol == "step":
            cases += _contract_on_edges(lab, caller, rng)
        return cases

    return Exact(run=run)


def _contract_on_edges(lab: Laboratory, caller: Caller, rng: np.random.Generator) -> int:
    cases = 0
    options = {"vocabulary": lab.vocabulary, "draft_length": min(2, lab.draft_length)}
    for instance in lab.possible(edge_instances(lab.instance_seed, **options).values()):
        for length in (1, instance.draft_length):
            drafted = lab.lawful(instance).draw_drafted(rng, _batch(lab, 64))[:, :length]
            target, draft = instance.rows(drafted)
            caller.step(target, None if lab.subject.draft == "never" else draft, drafted)
            cases += 1
    return cases


@check(
    "untouched-inputs",
    "rows and drafted tokens are not written to",
    kind="contract",
    protocols=("step", "tree"),
    catches="rows divided, zeroed or renormalised in place",
)
def _untouched(lab: Laboratory) -> Exact:
    def run() -> int:
        caller, rng = lab.caller("untouched"), lab.rng("untouched")
        for number in range(REPETITIONS):
            _compare_inputs(lab, caller, rng, lab.subject.dtypes[number % len(lab.subject.dtypes)])
        return REPETITIONS

    return Exact(run=run)


def _compare_inputs(lab: Laboratory, caller: Caller, rng: np.random.Generator, dtype: str) -> None:
    size = _batch(lab, 16)
    given: dict[str, Any]
    if lab.subject.protocol == "step":
        instance: Instance = lab.main_instance
        drafted = lab.lawful(instance).draw_drafted(rng, size)
        target, draft = instance.rows(drafted)
        given = {
            "target": caller.give(target, dtype),
            "draft": None if lab.subject.draft == "never" else caller.give(draft, dtype),
            "drafted": caller.give_integers(drafted),
        }
    else:
        from specsim.validation.conformance.checks.tree import tree_inputs

        parents, target, draft, tokens = tree_inputs(lab, rng, size)
        given = {
            "parents": parents.copy(),
            "target": caller.give(target, dtype),
            "draft": caller.give(draft, dtype),
            "tokens": caller.give_integers(tokens),
        }
    before = {
        name: None if value is None else caller.take(value, name).copy() for name, value in given.items()
    }
    try:
        caller.call(*given.values())
    except SubjectError:
        # Who names no types is given float32, too, and may refuse it.
        if lab.subject.dtypes != Subject.dtypes or dtype == lab.subject.dtypes[0]:
            raise
    for name, value in given.items():
        was = before[name]
        if value is None or was is None:
            continue
        after = caller.take(value, name)
        if not np.array_equal(after, was, equal_nan=np.issubdtype(after.dtype, np.floating)):
            place = tuple(int(v) for v in np.argwhere(after != was)[0])
            raise AssertionError(
                f"the call changed its input {name}{list(place)} from {was[place]!s} "
                f"to {after[place]!s}; work on a copy"
            )


@check(
    "determinism",
    "the same seed gives the same output, whatever was called in between",
    kind="contract",
    protocols=tuple(PROTOCOLS),
    catches="seeds ignored, clock seeds, hidden state",
)
def _determinism(lab: Laboratory) -> Exact:
    def run() -> int:
        caller, rng = lab.caller("determinism"), lab.rng("determinism")
        alike = True
        # 0 is a seed, too.
        for seed in (0, *(caller.next_seed() for _ in range(REPETITIONS // 3))):
            call = one_call(lab, caller, rng, _batch(lab, 16))
            first = call(seed)
            other = call(caller.next_seed())
            alike &= all(
                np.array_equal(_emitted(first, number), _emitted(other, number))
                for number in range(len(first))
            )
            # Once after another seed and at once again, so that state which goes to and fro shows.
            for again in (call(seed), call(seed)):
                for number, (left, right) in enumerate(zip(first, again, strict=True)):
                    if not np.array_equal(_emitted(first, number), _emitted(again, number)):
                        raise AssertionError(
                            f"seed {seed} gave two outputs for the same inputs: {_short(left)},"
                            f" {_short(right)}"
                        )
        # A rule that is declared, or processing, may leave nothing to chance.
        chance = not lossless_only(lab.subject) and lab.subject.process is None
        if alike and chance and _batch(lab, 16) == 16:
            raise AssertionError(f"{SEED_IGNORED}: two seeds always gave the same output")
        return REPETITIONS // 3 + 1

    return Exact(run=run)


def _emitted(arrays: Any, number: int) -> Integers:
    """Return an array with everything after the emitted tokens blanked."""
    array: Integers = np.asarray(arrays[number])
    if len(arrays) < 2 or array.ndim != 2 or number != len(arrays) - 2:
        return array
    lengths = np.asarray(arrays[-1])
    return np.where(np.arange(array.shape[1]) < lengths[:, None], array, -1)


def _short(array: Any) -> str:
    text = np.array2string(np.asarray(array).ravel()[:8], separator=" ")
    return text if np.asarray(array).size <= 8 else text[:-1] + " ...]"


CHECKS = (_contract, _untouched, _determinism)
