"""How far what one round emits is from the target's law, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from specsim.algorithms import Verification
from specsim.validation.kernel_text.enumeration import KernelText, fraction
from specsim.validation.kernel_text.instances import Instance, Prefix, drafts


@dataclass(frozen=True, kw_only=True)
class Bias:
    """The largest difference found between the law of a round and the target's.

    Attributes
    ----------
    value
        Its absolute value; 0 proves that rounds are lossless on the instances tried.
    sequence
        The tokens whose probability is off by it.
    found, wanted
        Their probability as the rule emits them, and the target's.
    depth
        Depth at which the horizon cuts the structure.
    instance
        The rows.
    """

    value: Fraction
    sequence: Prefix
    found: Fraction
    wanted: Fraction
    depth: int
    instance: Instance

    def __str__(self) -> str:
        if not self.value:
            return "no bias"
        return (
            f"bias {self.value} = {float(self.value):.4g}: the tokens {' '.join(map(str, self.sequence))} have "
            f"probability {self.found} instead of {self.wanted} after drafts of depth {self.depth}\n"
            f"{self.instance.text(self.depth)}"
        )


def round_law(text: KernelText, instance: Instance, algorithm: Verification, depth: int) -> dict[Prefix, Any]:
    """Return the law of the tokens that one round emits, cut at `depth`; they may be of different numbers."""
    structure = algorithm.structure(instance.depth)
    nodes = structure.nodes_within[depth]
    law: dict[Prefix, Any] = {}
    for tokens, prefixes, probability in drafts(instance, structure, algorithm.drawing, nodes):
        target = [instance.target[prefix] for prefix in prefixes]
        draft = [instance.draft[prefix] for prefix in prefixes]
        step = text.law(structure, target, draft, tokens, nodes=nodes, parameters=algorithm.parameters)
        for (stop, final), chance in step.items():
            emitted = prefixes[stop] if final == -1 else (*prefixes[stop], final)
            law[emitted] = law.get(emitted, 0) + probability * chance
    return law


def completed(law: dict[Prefix, Any], instance: Instance, length: int) -> dict[Prefix, Any]:
    """Return the law of `length` tokens when the target writes those that a round did not."""
    full = dict(law)
    for shorter in range(length):
        for prefix in product(range(instance.tokens), repeat=shorter):
            mass = full.pop(prefix, 0)
            if mass:
                for token, chance in enumerate(instance.target[prefix]):
                    longer = (*prefix, token)
                    full[longer] = full.get(longer, 0) + mass * chance
    return full


def worst_bias(text: KernelText, instances: Iterable[Instance], algorithm: Verification) -> Bias:
    """Return the largest difference between the law of a round and the target's.

    A round drafts the structure, or what a horizon leaves of it, and the target completes what the round
    emits to one token more than the depth; the law of these sequences is compared with the target's. Where
    none differs every run of such rounds has the target's law on these rows, because each begins anew.
    """
    worst: Bias | None = None
    for instance in instances:
        for depth in range(1, algorithm.structure(instance.depth).depth + 1):
            found = completed(round_law(text, instance, algorithm, depth), instance, depth + 1)
            wanted = completed({(): 1}, instance, depth + 1)
            for sequence in product(range(instance.tokens), repeat=depth + 1):
                has, should = fraction(found.get(sequence, 0)), fraction(wanted.get(sequence, 0))
                if worst is None or abs(has - should) > worst.value:
                    worst = Bias(
                        value=abs(has - should), sequence=sequence, found=has, wanted=should, depth=depth,
                        instance=instance,
                    )  # fmt: skip
    assert worst is not None
    return worst

