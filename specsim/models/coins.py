"""Independent coins that a sequence takes with it into any batch.

A coin is a pure function of (seed, sequence, round, position in the round), by Philox4x32-10 with the words
of `specsim.engines.compiled.philox`. The round is named by the position of its first token (from 1), which no
other round of the sequence shares. So nothing that a round has drawn and thrown away is ever read again,
whatever the rule.

Counter: ``(first position of the round, node, sequence mod 2^32, sequence div 2^32)``; key: the seed. The
first 64-bit word of a node (`specsim.models.trees`) draws its token and the second one tests it. The first
word of node 0 draws the last token of the round, residual or bonus.
"""

from typing import NamedTuple

import torch

from specsim.engines.torch.words import LOW, philox
from specsim.support.checks import whole

#: Coins held ready for a whole decoding, at most; beyond that each round computes its own.
_TABLE = 2**18


def uniforms(seed: int, sequences: torch.Tensor, rounds: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Return two numbers on [0, 1), multiples of 2^-53, for each position, in a last axis of size 2.

    seed: from 0 to 2^64 - 1.
    sequences, rounds, slots: int64, broadcast against each other.
    Returns: float64.
    """
    sequences, rounds, slots = torch.broadcast_tensors(sequences, rounds, slots)
    w0, w1, w2, w3 = philox(rounds, slots, sequences & LOW, sequences >> 32, seed)
    words = torch.stack([(w0 << 21) | (w1 >> 11), (w2 << 21) | (w3 >> 11)], dim=-1)
    return words.to(torch.float64) * 2.0**-53


class RoundCoins(NamedTuple):
    """The coins of one round, float64 on [0, 1).

    draft, accept: for drawing and for testing the token of each node, shape ``(batch, nodes)``.
    last: for drawing the residual or bonus token, shape ``(batch,)``.
    """

    draft: torch.Tensor
    accept: torch.Tensor
    last: torch.Tensor


class Coins:
    """The coins of the sequences of a batch.

    seed: from 0 to 2^64 - 1.
    sequences: number of each sequence, int64, shape ``(batch,)``.
    positions: number of tokens that a sequence may emit.
    nodes: nodes of a round, the root included, at most.
    """

    def __init__(self, seed: int, sequences: torch.Tensor, *, positions: int, nodes: int) -> None:
        self._seed, self._sequences = seed, sequences
        device = sequences.device
        self._slots = torch.arange(nodes, dtype=torch.int64, device=device)
        self._positions = positions
        self._table: torch.Tensor | None = None
        # One small launch per round instead of a hundred, where the memory for it is small.
        if len(sequences) * positions * len(self._slots) <= _TABLE:
            rounds = torch.arange(1, positions + 1, dtype=torch.int64, device=device)
            self._table = uniforms(
                seed, sequences[:, None, None], rounds[None, :, None], self._slots[None, None, :]
            )

    def of_round(self, first: torch.Tensor) -> RoundCoins:
        """Return the coins of the rounds whose first positions (from 1) are `first`, shape ``(batch,)``."""
        first = first.clamp(1, self._positions)
        if self._table is None:
            pairs = uniforms(self._seed, self._sequences[:, None], first[:, None], self._slots[None, :])
        else:
            pairs = self._table[torch.arange(len(first), device=first.device), first - 1]
        return RoundCoins(pairs[..., 0], pairs[..., 1], pairs[:, 0, 0])

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        self._sequences = self._sequences[rows]
        if self._table is not None:
            self._table = self._table[rows]


def check_seed(seed: int) -> int:
    """Return the seed.

    InputError: it is not a whole number from 0 to 2^64 - 1.
    """
    return whole("seed", seed, 0, 2**64 - 1)
