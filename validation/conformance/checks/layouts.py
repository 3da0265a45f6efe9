"""The check of how inputs lie in memory: parts of larger arrays, other orders of the axes, narrow ids."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller, ContractError, SubjectError, tree_depths
from specsim.validation.conformance.checks.base import Exact, check, lossless_only
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.laboratory import Laboratory

#: Repetitions, and rows of each call.
REPETITIONS, ROWS = 4, 12


@check(
    "layouts",
    "rows and tokens that are parts of larger arrays, have their axes in another order, or are 32 bits wide",
    kind="contract",
    protocols=("step", "tree"),
    catches="memory that is read as if it were contiguous, in the order of the axes, or of 64 bits",
)
def _layouts(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run(lab))


def _run(lab: Laboratory) -> int:
    caller, rng = lab.caller("layouts"), lab.rng("layouts")
    size = max(1, min(lab.subject.max_batch or ROWS, ROWS))
    differing: dict[str, list[str]] = {}
    cases = 0
    for _ in range(REPETITIONS):
        rows, ids = _inputs(lab, caller, rng, size)
        seed = caller.next_seed()
        usual = _emitted(lab, caller, rows, ids, seed)
        for words, other_rows, other_ids in _variants(lab, rows, ids):
            try:
                found = _emitted(lab, caller, other_rows, other_ids, seed)
            except SubjectError:
                # It may refuse what it cannot read.
                continue
            except ContractError as error:
                raise AssertionError(f"{words}: {error}") from error
            cases += 1
            for row in np.flatnonzero((found != usual).any(axis=1)):
                text = f"row {row} emits {usual[row].tolist()} and, {words}, {found[row].tolist()}"
                differing.setdefault(words, []).append(text)
    for found_texts in differing.values():
        # One row may differ because sums in another order are rounded otherwise.
        if len(found_texts) > 1:
            raise AssertionError(
                f"the same values and seed: {found_texts[0]}; read inputs by their strides and type, or"
                " refuse them"
            )
    if lab.subject.framework == "torch" and lab.subject.protocol == "step":
        cases += _transposed_tensors(lab, caller, rng, size)
    return cases


def _inputs(
    lab: Laboratory, caller: Caller, rng: np.random.Generator, size: int
) -> tuple[list[Any], list[Any]]:
    """Return the rows (target, draft) and integers (tokens, and the parents of a tree) of a call."""
    if lab.subject.protocol == "step":
        instance: Instance = lab.main_instance
        tokens = lab.lawful(instance).draw_drafted(rng, size)
        target, draft = instance.rows(tokens)
        integers = [caller.give_integers(tokens)]
    else:
        from specsim.validation.conformance.checks.tree import tree_inputs

        parents, target, draft, tokens = tree_inputs(lab, rng, size)
        integers = [caller.give_integers(tokens), parents]
    rows = [caller.give(target), None if lab.subject.draft == "never" else caller.give(draft)]
    return rows, integers


def _emitted(lab: Laboratory, caller: Caller, rows: list[Any], integers: list[Any], seed: int) -> Integers:
    """Return what each row emits, -1 after its end."""
    tokens, *parents = integers
    result = caller.call(*[item.copy() for item in parents], *rows, tokens, seed=seed)
    drafted = caller.take(tokens, "tokens").astype(np.int64)
    shape, vocabulary = drafted.shape, int(rows[0].shape[-1])
    if parents:
        shape = (shape[0], int(tree_depths(parents[0]).max()))
    report = isinstance(result, tuple | list) and bool(result) and isinstance(result[-1], dict)
    found, lengths = caller.checked_step(
        result[:-1] if report else result,
        np.zeros(shape, dtype=np.int64) if parents else drafted,
        vocabulary,
        None,
        slice(None),
        not parents,
    )
    return np.where(np.arange(found.shape[1]) < lengths[:, None], found, -1)


def _variants(
    lab: Laboratory, rows: list[Any], integers: list[Any]
) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Return the same values in other layouts; the words say which."""

    def changed(words: str, change: Callable[[Any], Any], *, both: bool = True) -> tuple[str, Any, Any]:
        moved = [None if item is None else change(item) for item in rows] if both else rows
        return words, moved, [change(integers[0]), *integers[1:]]

    yield changed("given every other entry of larger arrays", _every_other)
    yield changed("given parts of arrays with longer rows", _longer_rows)
    if lab.subject.framework == "numpy":
        yield changed("given arrays in Fortran order", np.asfortranarray)
    # Tensors that are like a transposed one are filled in its order: noise that is drawn so is right, too.
    yield changed("given tokens of 32 bits", _narrow, both=False)


def _every_other(array: Any) -> Any:
    """Return the array as every other entry of a larger one, whose other entries are something else."""
    larger = _empty(array, (*array.shape[:-1], 2 * array.shape[-1]))
    larger[..., 1::2] = _other(array)
    larger[..., ::2] = array
    return larger[..., ::2]


def _longer_rows(array: Any) -> Any:
    """Return the array as the first part of one with longer rows."""
    width = array.shape[-1]
    larger = _empty(array, (*array.shape[:-1], 2 * width))
    larger[..., width:] = _other(array)
    larger[..., :width] = array
    return larger[..., :width]


def _empty(array: Any, shape: tuple[int, ...]) -> Any:
    return array.new_empty(shape) if hasattr(array, "new_empty") else np.empty(shape, dtype=array.dtype)


def _other(array: Any) -> Any:
    """Return values of the same kind in another order, so that reading them shows."""
    return array.flip(0, -1) if hasattr(array, "new_empty") else array[::-1, ..., ::-1]


def _narrow(tokens: Any) -> Any:
    return tokens.int() if hasattr(tokens, "new_empty") else tokens.astype(np.int32)


def _transposed_tensors(lab: Laboratory, caller: Caller, rng: np.random.Generator, size: int) -> int:
    """Give transposed tensors with target rows of one token each, whatever the random numbers are."""
    if lossless_only(lab.subject) or lab.subject.process is not None:
        return 0
    for _ in range(REPETITIONS):
        instance: Instance = lab.main_instance
        drafted = lab.lawful(instance).draw_drafted(rng, size)
        target, draft = instance.rows(drafted)
        only = rng.integers(0, instance.vocabulary, target.shape[:2])
        # Half of the drafted tokens are accepted.
        only[:, :-1] = np.where(rng.random(drafted.shape) < 0.5, drafted, only[:, :-1])
        law: Floats = np.eye(instance.vocabulary)[only]
        given = [law, None if lab.subject.draft == "never" else draft]
        rows = [None if item is None else _turned(caller.give(item)) for item in given]
        try:
            found = _emitted(lab, caller, rows, [_turned(caller.give_integers(drafted))], caller.next_seed())
        except SubjectError:
            return 0
        except ContractError as error:
            raise AssertionError(f"given transposed tensors: {error}") from error
        wrong = np.argwhere((found >= 0) & (found != only))
        if len(wrong):
            row, place = (int(value) for value in wrong[0])
            raise AssertionError(
                f"given transposed tensors, row {row} emits token {found[row, place]} at place {place + 1},"
                " which has probability zero; read tensors by their strides, or refuse them"
            )
    return REPETITIONS


def _turned(tensor: Any) -> Any:
    """Return the tensor with its first axis last in memory."""
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


CHECKS = (_layouts,)
