"""The check with noise that chance would hardly ever throw, in the draws of final tokens."""

from collections.abc import Iterator

import numpy as np

from specsim.support.arrays import Array, Floats, Integers
from specsim.validation.conformance.checks.base import Exact, check, lossless_only, needs_option
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.subjects import Subject

#: Mass of the token that must lose every race: no noise of 64 bits makes up for it.
TINY = 1e-30


def _why_not(subject: Subject) -> str:
    few = "the vocabulary has fewer than 4 tokens" if (subject.max_vocabulary or 4) < 4 else ""
    return needs_option(subject, "noise", "words") or few or lossless_only(subject)


@check(
    "forced-noise",
    "the extreme values of a generator as the noise of one token: 0, 1, the largest",
    kind="contract",
    protocols=("step",),
    why_not=_why_not,
    catches="hash / max = 1 and infinite Gumbel noise; an exponential of 0; a uniform that selects no token",
)
def _forced_noise(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run(lab))


def rows() -> tuple[Floats, Floats, Integers]:
    """Return target rows ``(2, 2, 4)``, draft rows ``(2, 1, 4)`` and drafts ``(2, 1)``.

    The first draft is rejected and replaced, the second accepted and followed by a bonus token. Tokens 0 and
    3 have no mass in the rows that are drawn from, or 3 hardly any.
    """
    drawn = np.array([0.0, 0.3, 0.7, 0.0])
    hardly = np.array([0.0, 0.3, 0.7 - TINY, TINY])
    replaced = np.stack([drawn, hardly])
    target = np.stack(
        [np.stack([row, drawn]) for row in replaced] + [np.stack([drawn, row]) for row in replaced]
    )
    draft = np.zeros((4, 1, 4))
    draft[:2, 0, 0] = 1.0
    draft[2:, 0] = drawn
    return target, draft, np.array([[0], [0], [2], [2]])


def _extremes(subject: Subject) -> Iterator[tuple[str, Array, float]]:
    """Return name of the option, the values to try, and the value of the noise of all other tokens."""
    if "words" in subject.options:
        yield "words", np.array([0, 1, 2**32 - 2, 2**32 - 1], dtype=np.int64), 2**31
    if "noise" in subject.options:
        kind = np.float64 if subject.dtypes[0] == "float64" else np.float32
        largest = np.nextafter(kind(1), kind(0))
        yield "noise", np.array([0.0, np.finfo(kind).tiny, largest], dtype=kind), 0.5


def _run(lab: Laboratory) -> int:
    caller = lab.caller("forced noise")
    target, draft, drafted = rows()
    cases = 0
    for name, values, middle in _extremes(lab.subject):
        for value in values:
            for token in range(4):
                forced = np.full(target.shape, middle, dtype=values.dtype)
                forced[:, :, token] = value
                tokens, lengths = caller.step(
                    target,
                    None if lab.subject.draft == "never" else draft,
                    drafted,
                    options={name: forced},
                )
                # Of an inverse distribution function the first token's noise is the only one.
                _judge(f"{name} {value} of token {token}", target, tokens, lengths, token != 0)
                cases += len(drafted)
    return cases


def _judge(words: str, target: Floats, tokens: Integers, lengths: Integers, race: bool) -> None:
    for row, length in enumerate(lengths):
        place = int(length) - 1
        last = int(tokens[row, place])
        mass = target[row, place, last]
        if mass <= 0:
            raise AssertionError(f"{words}: token {last} is emitted, which has probability zero")
        if race and mass <= TINY:
            raise AssertionError(
                f"{words}: token {last} of mass {mass:g} wins against one of 0.7; its noise must be finite"
            )


CHECKS = (_forced_noise,)
