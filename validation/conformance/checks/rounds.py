"""The check that the rounds of a decoder are independent of each other, given the text."""

from dataclasses import dataclass

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller, NotApplicable
from specsim.validation.conformance.checks.base import Look, Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.ranked import Laws, ranked_instance
from specsim.validation.conformance.rules.round_bugs import BLOCK_COINS_KEPT, ROUND_BUGS

#: Draft lengths that are tried.
DRAFTS = (2, 3, 7)
#: Longest drafts of which the laws of known bugs are computed.
LONGEST_LAW = 3
#: Rounds in a text, about, texts of a call (twice as many where all rows are the same), tokens of a prompt.
ROUNDS, TEXTS, PROMPT = 6, 32, 4
#: Laws of the ranks under target and draft. One token is drafted nearly always and taken by half: coins that
#: failed say most then (0.02 nats for every round of a block).
LAWS: dict[int, Laws] = {
    2: ((140, 116), (4, 252)),
    3: ((136, 104, 16), (4, 228, 24)),
    4: ((136, 104, 8, 8), (4, 228, 12, 12)),
}


#: The same for rows that are the same after every text, with drafts of `SAME_DRAFTS`. A coin that drew a
#: rejected draft draws the same token again there, whatever the sampler makes of its coins. Blocks on these
#: rows say most about it (0.03 nats for every round).
SAME_LAWS: dict[int, Laws] = {
    2: ((144, 112), (112, 144)),
    3: ((142, 112, 2), (112, 142, 2)),
    4: ((142, 110, 2, 2), (112, 140, 2, 2)),
}
SAME_DRAFTS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """Rows, and what was counted on them.

    laws: of the ranks under target and draft, in units of 1/256.
    instance: the rows.
    ranks: rank of every token in every context, shape ``(contexts, tokens)``.
    counts: ranks of the first and second tokens of rounds, ``(2, K + 1, ranks)``: position in the round, and
        accepted length of the round before.
    one_row: whether the rows are the same after every text.
    """

    laws: Laws
    instance: Instance
    ranks: Integers
    counts: Integers
    one_row: bool

    @property
    def name(self) -> str:
        """Name the rows in reports."""
        words = ", rows that are all the same" if self.one_row else ""
        return f"drafts of {self.instance.draft_length}{words}"


def experiments(seed: int, vocabulary: int, most_drafts: int | None) -> list[Experiment]:
    """Return the experiments: rows by the whole prefix for every draft length, and one row for all texts."""
    ranks = min(4, vocabulary)
    found = []
    for length in dict.fromkeys(min(n, most_drafts or n) for n in DRAFTS):
        laws = LAWS[ranks]
        ranked = ranked_instance(seed, vocabulary=vocabulary, draft_length=length, laws=laws)
        found.append((laws, ranked.instance, ranked.ranks))
    same = by_rank(SAME_LAWS[ranks], min(SAME_DRAFTS, most_drafts or SAME_DRAFTS))
    found.append((SAME_LAWS[ranks], same, np.arange(ranks)[None]))
    return [
        Experiment(
            laws=laws,
            instance=instance,
            ranks=order,
            counts=np.zeros((2, instance.draft_length + 1, ranks), dtype=np.int64),
            one_row=instance is same,
        )
        for laws, instance, order in found
    ]


class RoundsProbe:
    """First and second tokens of rounds, by the accepted length of the round before.

    experiments: the rows that are tried in turn, with their counts.
    total: rounds that followed another one.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, seed: int) -> None:
        subject = caller.subject
        self.caller = caller
        self._rng = rng
        vocabulary = min(5, subject.max_vocabulary or 5)
        self.experiments = experiments(seed, vocabulary, subject.max_draft_length)
        self.total = 0
        self._turn = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more rounds."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            self._call(self.experiments[self._turn % len(self.experiments)])
            self._turn += 1

    def _call(self, experiment: Experiment) -> None:
        instance = experiment.instance
        # More is accepted of a round where all rows are the same, so that a text has fewer rounds.
        texts = 2 * TEXTS if experiment.one_row else TEXTS
        rows = min(texts, self.caller.subject.max_batch or texts)
        written = ROUNDS * (
            instance.draft_length + 1 if experiment.one_row else instance.draft_length // 2 + 2
        )
        prompts = self._rng.integers(0, instance.vocabulary, size=(rows, PROMPT))
        tokens, accepted = decode_ranked(self.caller, instance, prompts, written)
        if accepted is None:
            raise NotApplicable("the sampler does not report accepted lengths, which separate its rounds")
        contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, PROMPT:-1]
        found = experiment.ranks[contexts, tokens]
        for row, lengths in enumerate(accepted):
            place = 0
            for before in lengths:
                place += before + 1
                if place >= written:
                    break
                experiment.counts[0, before, found[row, place]] += 1
                if place + 1 < written:
                    experiment.counts[1, before, found[row, place + 1]] += 1
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


def _look(experiment: Experiment, tolerance: float, share: float) -> Look:
    length = experiment.instance.draft_length
    instance = by_rank(experiment.laws, length)
    ranks = instance.vocabulary
    null = np.tile(instance.target[0], (2 * (length + 1), 1))
    alternatives = {}
    for bug in ROUND_BUGS if length <= LONGEST_LAW else ():
        table = bug.after(instance, 0)[:, 0]
        reached = table.sum(axis=1) > 1e-12
        law = null.copy()
        law[: length + 1][reached] = table[reached] / table[reached].sum(axis=1, keepdims=True)
        alternatives[bug.name] = law
    if experiment.one_row:
        law = null.copy()
        law[: length + 1] = BLOCK_COINS_KEPT.after_drafts(instance)
        alternatives["block verification that draws rejected drafts again"] = law
    for words, direction in (("the draft's law", instance.draft[0]), ("equal chances", None)):
        bent = np.full(ranks, 1 / ranks) if direction is None else direction
        alternatives[f"0.2 of the way to {words}"] = 0.8 * null + 0.2 * bent

    def name_cell(stratum: int, cell: int) -> str:
        place, before = divmod(stratum, length + 1)
        words = ("first", "second")[place]
        return f"{experiment.name}, {words} token after a round with {before} accepted: rank {cell + 1}"

    return Look(
        evidence=Evidence(null, alternatives=alternatives, tolerance=tolerance),
        observe=lambda: experiment.counts.reshape(-1, ranks),
        shares=np.full(len(null), share / len(null)),
        reachable=np.ones(len(null), dtype=bool),
        name_cell=name_cell,
    )


@check(
    "rounds",
    "first tokens of a round, given how many the round before accepted",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="coins that failed, or drew rejected drafts, in one round and are used again in the next",
    weight=2.0,
)
def _rounds(lab: Laboratory) -> Statistical:
    probe = RoundsProbe(lab.caller("rounds"), lab.rng("rounds"), lab.instance_seed)
    share = 1 / len(probe.experiments)
    looks = [_look(experiment, lab.tolerance, share) for experiment in probe.experiments]
    return Statistical(
        probe=probe,
        looks=looks,
        planned=3 * lab.side_samples // 2,
        picture=lambda: law_picture("first token of a round, by the round before", looks[0]),
    )


CHECKS = (_rounds,)
