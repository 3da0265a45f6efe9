"""Candidates of a plan: what could run, and how many tokens a round of it emits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from specsim.algorithms import Algorithm, Batch, BlockVerification, Speculative, Structure, chain, get_rule
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.planner.estimates import Estimate
from specsim.records.servers import ServerLog
from specsim.support.arrays import Floats

#: A draft that is described by its paths is not planned with more numbers than this, so that a plan takes
#: seconds.
MOST_NUMBERS = 2**25


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that could run.

    label: its spelling.
    structure: what a round drafts.
    tokens: emitted tokens per round.
    draws: the same under random draws, or one number where it is exact.
    constant: tokens per round by the formula of constant acceptance; NaN where it has none.
    measured: a measured speed-up; NaN where there is none.
    """

    label: str
    structure: Structure
    tokens: float
    draws: Floats
    constant: float = math.nan
    measured: float = math.nan


@dataclass(frozen=True)
class Candidates:
    """All candidates, with what is to be said of them; `acceptance` is that of a single draft."""

    listed: tuple[Candidate, ...]
    acceptance: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def usual_algorithms() -> list[Algorithm]:
    """Return some twenty candidates: chains by two rules, paths, trees."""
    found: list[Algorithm] = [Speculative(draft_length=length) for length in (1, 2, 3, 4, 5, 6, 8)]
    found += [BlockVerification(draft_length=length) for length in (2, 3, 4, 6)]
    found += [
        Batch(drafts=drafts, draft_length=length) for drafts, length in ((2, 1), (2, 2), (2, 3), (4, 2))
    ]
    recursive = get_rule("recursive")
    found += [recursive(tree=widths) for widths in ((2, 2), (2, 2, 1), (3, 2, 1), (4, 2, 1, 1))]
    return found


def plain(draws: int) -> Candidate:
    """Return plain decoding: one token per call."""
    return Candidate(label="plain", structure=chain(0), tokens=1.0, draws=np.ones(draws), constant=1.0)


def constant_tokens(acceptance: float, structure: Structure) -> float:
    """Return tokens per round of a chain by the formula of constant acceptance."""
    if structure.kind != "chain":
        return math.nan
    return float(sum(acceptance**place for place in range(structure.depth + 1)))


def candidates_of_log(found: Estimate, log: ServerLog) -> list[Candidate]:
    """Return plain decoding and a chain of every length that the log speaks of."""
    speeds = {setting.draft_length: setting.speed_up for setting in log.settings}
    listed = [plain(len(found.draws))]
    for index, length in enumerate(found.lengths):
        listed.append(
            Candidate(
                label=f"draft_length={length}",
                structure=chain(length),
                tokens=float(found.tokens[index]),
                draws=found.draws[:, index],
                constant=constant_tokens(found.acceptance, chain(length)),
                measured=speeds.get(length, math.nan),
            )
        )
    return listed


def candidates_of_pair(
    pair: ModelPair, algorithms: Iterable[Algorithm] | None, horizon: int | None
) -> Candidates:
    """Return plain decoding and the algorithms that theory can speak of, exactly."""
    from specsim.theory import Laws

    endless = pair.stationary and horizon is None
    length = pair.check_horizon(horizon)
    chosen = usual_algorithms() if algorithms is None else list(algorithms)
    if not chosen:
        raise InputError("algorithms is empty; give at least one")

    def tokens_of(algorithm: Algorithm) -> float:
        laws = Laws(pair, algorithm, horizon=horizon)
        if laws.description == "states":
            depth = algorithm.structure(length).depth
            numbers = pair.contexts * float(pair.tokens) ** depth
            if numbers > MOST_NUMBERS:
                raise TooLargeError(f"{algorithm.label} needs {numbers:.2g} paths, more than {MOST_NUMBERS}")
        return float(laws.long_run()[0]) if endless else length / float(laws.expected_target_calls())

    single = Speculative(draft_length=1)
    # The acceptance that somebody would measure with single drafts.
    acceptance = tokens_of(single) - 1 if endless else _first(pair, single, length)
    listed, left_out, lossy = [plain(1)], [], []
    for algorithm in chosen:
        structure = algorithm.structure(length if not endless else 4096)
        if structure.depth >= 4096 or structure.depth == 0:
            raise InputError(f"algorithm is {algorithm.label}; give one with a finite draft_length")
        try:
            tokens = tokens_of(algorithm)
        except (TooLargeError, UnsupportedError) as error:
            what = (
                "no theory"
                if isinstance(error, UnsupportedError)
                else "too many drafted paths, of which each has a number in its exact law"
            )
            left_out.append(f"{algorithm.label} ({what})")
            continue
        if not algorithm.lossless:
            lossy.append(algorithm.label)
        listed.append(
            Candidate(
                label=algorithm.label,
                structure=structure,
                tokens=tokens,
                draws=np.array([tokens]),
                constant=constant_tokens(acceptance, structure),
            )
        )
    if len(listed) == 1:
        raise TooLargeError(f"no candidate can be computed: {'; '.join(left_out)[:200]}; give smaller ones")
    where = "very long runs" if endless else f"{length} tokens, the last round cut at the end"
    warnings = []
    if left_out:
        warnings.append(f"not computed: {'; '.join(left_out)}")
    if lossy:
        warnings.append(f"lossy, so that the output is not the target's: {', '.join(lossy)}")
    notes = (
        f"pair {pair.name}: {pair.contexts} contexts, {pair.tokens} tokens; exact tokens per round for "
        f"{where}",
    )
    return Candidates(tuple(listed), acceptance, notes, tuple(warnings))


def _first(pair: ModelPair, single: Algorithm, horizon: int) -> float:
    """Return the share of single drafts that are accepted, where all rounds draft one."""
    from specsim.theory import round_counts

    counts = round_counts(pair, single, horizon=horizon).sum(axis=0)
    return float(counts[1] / counts.sum())
