"""The check of what a sampler reports of itself: log-probabilities, and counts of drafts."""

from typing import Any

import numpy as np

from specsim.support.arrays import Array, Floats, Integers
from specsim.validation.conformance.calling import Caller, ContractError, NotApplicable
from specsim.validation.conformance.checks.base import Exact, check
from specsim.validation.conformance.histories import processed
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models

#: Calls, and rows of each.
CALLS, ROWS = 8, 32


@check(
    "reported",
    "what it reports: log-probabilities of emitted tokens, numbers of drafted and accepted ones",
    kind="contract",
    protocols=("step", "draft-and-verify", "decoder"),
    catches="log-probabilities of the draft, of another row, or 0; counts that include the last token",
)
def _reported(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run(lab))


def _run(lab: Laboratory) -> int:
    caller, rng = lab.caller("reported"), lab.rng("reported")
    size = max(1, min(lab.subject.max_batch or ROWS, ROWS))
    instance = lab.main_instance
    protocol = lab.subject.protocol
    # Log-probabilities may be those of the model's rows, or of processed ones, but the same ones always.
    kinds = {"the target's": True, "the processed target's": True}
    for _ in range(CALLS):
        prompts = np.zeros((size, 0), dtype=np.int64)
        rounds: list[list[int]] | None = None
        if protocol == "decoder":
            from specsim.validation.conformance.checks.decoder import DecoderModels

            prompts = rng.integers(0, instance.vocabulary, size=(size, 3))
            tokens, rounds = caller.decode(
                DecoderModels(caller, instance), prompts, instance.draft_length + 3
            )
            lengths = (tokens >= 0).sum(axis=1)
        else:
            drafted, tokens, lengths = _step(lab, caller, rng, size)
        if not caller.reported:
            raise NotApplicable("the sampler reports no log-probabilities or counts")
        if "logprobs" in caller.reported:
            _compare(lab, caller.reported["logprobs"], prompts, tokens, lengths, kinds)
        if protocol == "decoder":
            _counts_of_texts(caller.reported, rounds, lengths, instance.draft_length)
        else:
            _counts_of_steps(caller.reported, drafted, lengths)
    return CALLS * size


def _step(
    lab: Laboratory, caller: Caller, rng: np.random.Generator, size: int
) -> tuple[Integers | None, Integers, Integers]:
    instance = lab.main_instance
    if lab.subject.protocol != "step":
        return caller.draft_and_verify(Models(caller, [instance], np.zeros(size, dtype=np.int64)))
    drafted = lab.lawful(instance).draw_drafted(rng, size)
    target, draft = instance.rows(drafted)
    tokens, lengths = caller.step(target, None if lab.subject.draft == "never" else draft, drafted)
    return drafted, tokens, lengths


def _compare(
    lab: Laboratory,
    found: Array,
    prompts: Integers,
    tokens: Integers,
    lengths: Integers,
    kinds: dict[str, bool],
) -> None:
    instance = lab.main_instance
    emitted = np.arange(tokens.shape[1]) < lengths[:, None]
    texts = np.concatenate([prompts, np.where(emitted, tokens, 0)], axis=1)
    contexts = instance.contexts(texts)[:, prompts.shape[1] : -1]
    right: dict[str, Floats] = {}
    with np.errstate(divide="ignore"):
        for name in kinds:
            columns: list[Any] = []
            for place in range(tokens.shape[1]):
                rows = instance.target[contexts[:, place]]
                if name != "the target's":
                    rows = processed(lab.subject, texts[:, : prompts.shape[1] + place], rows)
                columns.append(rows[np.arange(len(rows)), texts[:, prompts.shape[1] + place]])
            right[name] = np.log(np.stack(columns, axis=1))
    allowed = max(1e-5, 8 * lab.tolerance)
    for name, values in right.items():
        kinds[name] &= bool((np.abs(np.asarray(found, dtype=np.float64) - values)[emitted] <= allowed).all())
    if not any(kinds.values()):
        values = right["the processed target's"]
        # NaN is farther than everything.
        apart = np.nan_to_num(np.abs(found - values), nan=np.inf)
        row, place = (int(v) for v in np.argwhere(emitted & ~(apart <= allowed))[0])
        raise ContractError(
            f"reports log-probability {float(found[row, place]):.6g} of token {tokens[row, place]} at place"
            f" {place + 1} of row {row}; the target's is {values[row, place]:.6g}"
        )


def _counts_of_steps(reported: dict[str, Array], drafted: Integers | None, lengths: Integers) -> None:
    _same("accepted", reported, lengths - 1)
    if drafted is not None:
        _same("drafted", reported, (drafted >= 0).sum(axis=1))


def _counts_of_texts(
    reported: dict[str, Array], rounds: list[list[int]] | None, lengths: Integers, draft_length: int
) -> None:
    if rounds is not None:
        _same("accepted", reported, np.array([sum(row) for row in rounds]))
    accepted, drafted = reported.get("accepted"), reported.get("drafted")
    if accepted is not None and drafted is not None and (accepted > drafted).any():
        raise ContractError("reports more accepted tokens than drafted ones")
    if drafted is not None and rounds is not None:
        most = np.array([len(row) for row in rounds]) * draft_length
        if (drafted > most).any():
            raise ContractError(f"reports more drafted tokens than {draft_length} in each round")
    if accepted is not None and (accepted > lengths + draft_length).any():
        raise ContractError("reports more accepted tokens than its texts have")


def _same(name: str, reported: dict[str, Array], right: Integers) -> None:
    if name not in reported:
        return
    wrong = np.flatnonzero(reported[name] != right)
    if len(wrong):
        row = int(wrong[0])
        raise ContractError(f"reports {name} {reported[name][row]} in row {row}; it is {right[row]}")


CHECKS = (_reported,)
