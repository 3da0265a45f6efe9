"""Laws and counts of verification steps as tables (path, accepted length, final token), and views of them.

The same view of a table of probabilities gives the null of a check, and of a table of counts its observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.instances import Instance, digits, number
from specsim.validation.conformance.rules.base import Rule


def step_table(rule: Rule, instance: Instance, *, one_hot: bool = False) -> Floats:
    """Return the law of (accepted length, final token) given each drafted path: ``(paths, K + 1, V)``.

    With `one_hot` the rule is given no draft rows.
    """
    target, draft = instance.rows(instance.paths)
    return rule.law(target, None if one_hot else draft, instance.paths)


def path_law(instance: Instance, rule: Rule | None = None) -> Floats:
    """Return the law of the drafted path when the subject draws it: the rule's draft law, or the rows."""
    if rule is None or rule.draw is None:
        return instance.path_law()
    return instance.path_law(rule.draw(instance.draft))


def completed_law(table: Floats, paths: Floats, instance: Instance, length: int) -> Floats:
    """Return the law of the first `length` tokens when the step's tokens are continued by the target.

    table: law given the path, shape ``(paths, K + 1, V)``.
    paths: law of the paths.
    instance: whose target continues.
    length: at most K + 1.
    Returns: shape ``(vocabulary ** length,)``.
    """
    vocabulary = instance.vocabulary
    joint = table * paths[:, None, None]
    texts = digits(np.arange(vocabulary**length), vocabulary, length)
    contexts = instance.contexts(texts)[:, :-1]
    conditional = instance.target[contexts, texts]
    # tail[n]: probability that the target continues the first n tokens of the text by the rest of it.
    tail = np.cumprod(np.concatenate([conditional, np.ones((len(texts), 1))], axis=1)[:, ::-1], axis=1)
    tail = tail[:, ::-1]
    law = np.zeros(len(texts))
    for j in range(instance.draft_length + 1):
        emitted = number(instance.paths[:, :j], vocabulary) * vocabulary if j else np.zeros(len(joint), int)
        sums = np.zeros((vocabulary ** (j + 1),))
        np.add.at(sums, emitted[:, None] + np.arange(vocabulary), joint[:, j, :])
        if j + 1 <= length:
            law += sums[number(texts[:, : j + 1], vocabulary)] * tail[:, j + 1]
        else:
            law += sums.reshape(vocabulary**length, -1).sum(axis=1)
    return law


def text_partitions(vocabulary: int, length: int) -> list[Integers]:
    """Group texts by their first tokens, for each number of them, and by each later token but the last."""
    cells = np.arange(vocabulary**length)
    prefixes = [cells // vocabulary ** (length - n) for n in range(1, length)]
    return prefixes + [cells // vocabulary ** (length - 1 - n) % vocabulary for n in range(1, length)]


def is_law(table: Floats) -> bool:
    """Say whether every table ``(..., cells)`` is a law, up to rounding."""
    return bool(
        np.isfinite(table).all() and (table > -1e-12).all() and np.abs(table.sum(axis=-1) - 1).max() < 1e-6
    )


def normalised(view: Floats) -> tuple[Floats, Bools]:
    """Divide every stratum by its sum; return the laws and which strata can be reached at all."""
    sums = view.sum(axis=1)
    reachable = sums > 0
    cells = view.shape[1]
    laws = np.where(reachable[:, None], view / np.where(reachable, sums, 1.0)[:, None], 1.0 / cells)
    return laws, reachable


@dataclass(frozen=True)
class Views:
    """The views of tables of one instance shape.

    vocabulary, draft_length: V and K.
    """

    vocabulary: int
    draft_length: int

    def acceptance(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (prefix with the tested token), cells (rejected, accepted)."""
        by_length = table.sum(axis=2)
        rows = []
        for i in range(self.draft_length):
            part = by_length.reshape(self.vocabulary ** (i + 1), -1, self.draft_length + 1).sum(axis=1)
            rows.append(np.stack([part[:, i], part[:, i + 1 :].sum(axis=1)], axis=1))
        return np.concatenate(rows)

    def acceptance_by_position(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (position), cells (rejected, accepted)."""
        by_length = table.sum(axis=(0, 2))
        return np.array([[by_length[i], by_length[i + 1 :].sum()] for i in range(self.draft_length)])

    def residual(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (prefix with the rejected token), cells (token that replaces it)."""
        rows = []
        for i in range(self.draft_length):
            part = table[:, i, :].reshape(self.vocabulary ** (i + 1), -1, self.vocabulary).sum(axis=1)
            rows.append(part)
        return np.concatenate(rows)

    def residual_by_context(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (prefix before the rejected token), cells (token that replaces it)."""
        rows = []
        for i in range(self.draft_length):
            rows.append(table[:, i, :].reshape(self.vocabulary**i, -1, self.vocabulary).sum(axis=1))
        return np.concatenate(rows)

    def accepted_length(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return one stratum, cells (accepted length)."""
        return table.sum(axis=(0, 2))[None, :]

    def accepted_length_by_path(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (drafted path), cells (accepted length)."""
        return table.sum(axis=2)

    def bonus(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (fully accepted path), cells (token after it)."""
        return table[:, self.draft_length, :]

    def first_token(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return one stratum, cells (first emitted token)."""
        replaced = table[:, 0, :].sum(axis=0)
        kept = table[:, 1:, :].sum(axis=(1, 2)).reshape(self.vocabulary, -1).sum(axis=1)
        return (replaced + kept)[None, :]

    def drafted(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (prefix), cells (next drafted token)."""
        by_path = table.sum(axis=(1, 2))
        return np.concatenate(
            [
                by_path.reshape(self.vocabulary**i, self.vocabulary, -1).sum(axis=2)
                for i in range(self.draft_length)
            ]
        )

    def outcome(self, table: NDArray[np.number]) -> NDArray[np.number]:
        """Return strata (drafted path), cells (accepted length, final token)."""
        return table.reshape(len(table), -1)

    def path_name(self, stratum: int) -> str:
        """Spell the drafted path of this number."""
        return _spell(digits(np.array([stratum]), self.vocabulary, self.draft_length)[0])

    def prefix_name(self, stratum: int, extra: int) -> str:
        """Spell the prefix of a stratum of views whose strata are prefixes of 0.. or 1.. tokens (`extra`)."""
        for i in range(self.draft_length):
            size = self.vocabulary ** (i + extra)
            if stratum < size:
                tokens = digits(np.array([stratum]), self.vocabulary, i + extra)[0]
                return _spell(tokens)
            stratum -= size
        return str(stratum)


def _spell(tokens: Integers) -> str:
    return "(" + " ".join(str(int(token)) for token in tokens) + ")"
