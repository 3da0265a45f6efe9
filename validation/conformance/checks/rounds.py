"""The check that the rounds of a decoder are independent of each other, given the text."""

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller, NotApplicable
from specsim.validation.conformance.checks.base import Look, Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.ranked import Laws, ranked_instance
from specsim.validation.conformance.rules.round_bugs import ROUND_BUGS

#: Draft lengths that are tried.
DRAFTS = (2, 3, 7)
#: Longest drafts of which the laws of known bugs are computed.
LONGEST_LAW = 3
#: Rounds in a text, about, texts of a call, and tokens of a prompt.
ROUNDS, TEXTS, PROMPT = 6, 32, 4
#: Laws of the ranks under target and draft. One token is drafted nearly always and taken by half: coins that
#: failed say most then (0.02 nats for every round of a block).
LAWS: dict[int, Laws] = {
    2: ((140, 116), (4, 252)),
    3: ((136, 104, 16), (4, 228, 24)),
    4: ((136, 104, 8, 8), (4, 228, 12, 12)),
}


class RoundsProbe:
    """First and second tokens of rounds, by the accepted length of the round before.

    counts: ranks of the tokens by draft length, each of shape ``(2, K + 1, ranks)``: position in the round,
        and accepted length of the round before.
    total: rounds that followed another one.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, seed: int) -> None:
        subject = caller.subject
        self.caller = caller
        self._rng = rng
        vocabulary = min(5, subject.max_vocabulary or 5)
        self.ranks = min(4, vocabulary)
        self.drafts = tuple(dict.fromkeys(min(n, subject.max_draft_length or n) for n in DRAFTS))
        self._ranked = {
            length: ranked_instance(seed, vocabulary=vocabulary, draft_length=length, laws=LAWS[self.ranks])
            for length in self.drafts
        }
        self.counts = {
            length: np.zeros((2, length + 1, self.ranks), dtype=np.int64) for length in self.drafts
        }
        self.total = 0
        self._turn = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more rounds."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            self._call(self.drafts[self._turn % len(self.drafts)])
            self._turn += 1

    def _call(self, length: int) -> None:
        ranked, instance = self._ranked[length], self._ranked[length].instance
        rows = min(TEXTS, self.caller.subject.max_batch or TEXTS)
        written = ROUNDS * (length // 2 + 2)
        prompts = self._rng.integers(0, instance.vocabulary, size=(rows, PROMPT))
        tokens, accepted = decode_ranked(self.caller, instance, prompts, written)
        if accepted is None:
            raise NotApplicable("the sampler does not report accepted lengths, which separate its rounds")
        contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, PROMPT:-1]
        found = ranked.ranks[contexts, tokens]
        for row, lengths in enumerate(accepted):
            place = 0
            for before in lengths:
                place += before + 1
                if place >= written:
                    break
                self.counts[length][0, before, found[row, place]] += 1
                if place + 1 < written:
                    self.counts[length][1, before, found[row, place + 1]] += 1
                self.total += 1


def by_rank(laws: Laws, draft_length: int) -> Instance:
    """Return the pair whose tokens are ranks: the same rows in its one context."""
    target, draft = np.array(laws, dtype=np.float64) / 256
    return Instance(
        name="ranks",
        target=target[None],
        draft=draft[None],
        next_context=np.zeros((1, len(target)), dtype=np.int64),
        start=0,
        draft_length=draft_length,
    )


def _look(probe: RoundsProbe, length: int, tolerance: float) -> Look:
    instance = by_rank(LAWS[probe.ranks], length)
    null = np.tile(instance.target[0], (2 * (length + 1), 1))
    alternatives = {}
    for bug in ROUND_BUGS if length <= LONGEST_LAW else ():
        table = bug.after(instance, 0)[:, 0]
        reached = table.sum(axis=1) > 1e-12
        law = null.copy()
        law[: length + 1][reached] = table[reached] / table[reached].sum(axis=1, keepdims=True)
        alternatives[bug.name] = law
    for words, direction in (("the draft's law", instance.draft[0]), ("equal chances", None)):
        bent = np.full(probe.ranks, 1 / probe.ranks) if direction is None else direction
        alternatives[f"0.2 of the way to {words}"] = 0.8 * null + 0.2 * bent

    def name_cell(stratum: int, cell: int) -> str:
        place, before = divmod(stratum, length + 1)
        words = ("first", "second")[place]
        return f"drafts of {length}, {words} token after a round with {before} accepted: rank {cell + 1}"

    def observe() -> Integers:
        return probe.counts[length].reshape(-1, probe.ranks)

    return Look(
        evidence=Evidence(null, alternatives=alternatives, tolerance=tolerance),
        observe=observe,
        shares=np.full(len(null), 1 / (length + 1) / 2 / len(probe.drafts)),
        reachable=np.ones(len(null), dtype=bool),
        name_cell=name_cell,
    )


@check(
    "rounds",
    "first tokens of a round, given how many the round before accepted",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="coins that failed in one round and are used again in the next",
    weight=2.0,
)
def _rounds(lab: Laboratory) -> Statistical:
    probe = RoundsProbe(lab.caller("rounds"), lab.rng("rounds"), lab.instance_seed)
    looks = [_look(probe, length, lab.tolerance) for length in probe.drafts]
    return Statistical(
        probe=probe,
        looks=looks,
        planned=3 * lab.side_samples // 2,
        picture=lambda: law_picture("first token of a round, by the round before", looks[0]),
    )


CHECKS = (_rounds,)
