"""The check of what a sampler reports of itself: log-probabilities, and counts of drafts."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from specsim.support.arrays import Array, Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller, ContractError, NotApplicable
from specsim.validation.conformance.checks.base import Exact, check
from specsim.validation.conformance.checks.options import VALUES, distinct_rows, option_instance
from specsim.validation.conformance.checks.texts import text_instance
from specsim.validation.conformance.filters import FILTERS, filtered, tempered
from specsim.validation.conformance.histories import processed
from specsim.validation.conformance.instances import Instance, padded
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.ranked import ranked_instance
from specsim.validation.conformance.sizes import equal_share

#: Calls without options, calls with each setting of them, and rows of each.
CALLS, MORE_CALLS, ROWS = 8, 4, 32
#: Rows, drafted tokens and vocabularies of further calls: one row, and more of everything.
SIZES = ((1, 3, 4), (97, 12, 384))
#: Stands among the options of a call for draft rows that are left out.
NO_ROWS = "no draft rows"
#: Rows that end at an accepted end of text, of which a report that never counts it is wrong.
SEEN = 20
#: Temperatures of rows. None is 0: what the probability of a greedy row's token is can be argued about.
TEMPERATURES = (0.7, 1.0, 1.5)


@check(
    "reported",
    "what it reports: log-probabilities of emitted tokens, numbers of drafted and accepted ones",
    kind="contract",
    protocols=("step", "draft-and-verify", "decoder"),
    catches="log-probabilities of the draft, of another row, or 0; counts that include the last token or"
    " padding; reports that are wrong with an option only",
)
def _reported(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run(lab))


@dataclass
class _Seen:
    """What all calls together say.

    kinds: what log-probabilities may be, and whether all calls agreed with it so far. It is the same always.
    ends: rows that ended at an accepted end of text.
    counted: those of them whose report counts it as accepted.
    """

    kinds: dict[str, bool] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "the target's",
                "the processed target's",
                "the target's at the temperature",
                "the target's after all options",
            ),
            True,
        )
    )
    ends: int = 0
    counted: int = 0


def _run(lab: Laboratory) -> int:
    caller, rng, subject = lab.caller("reported"), lab.rng("reported"), lab.subject
    size = max(1, min(subject.max_batch or ROWS, ROWS))
    seen, cases = _Seen(), 0
    for number, (instance, options) in enumerate(_settings(lab, rng, size)):
        for _ in range(MORE_CALLS if number else CALLS):
            _one(lab, caller, rng, instance, size, options, seen)
            cases += size
    for rows, drafts, tokens in SIZES if subject.process is None and subject.protocol != "decoder" else ():
        rows = min(rows, subject.max_batch or rows)
        instance = ranked_instance(
            lab.instance_seed,
            vocabulary=min(tokens, subject.max_vocabulary or tokens),
            draft_length=min(drafts, subject.max_draft_length or drafts),
            equal=equal_share(drafts),
        ).instance
        for _ in range(CALLS):
            _one(lab, caller, rng, instance, rows, {}, seen)
            cases += rows
    if seen.ends >= SEEN and seen.counted == 0:
        raise ContractError(
            f"reports accepted without the end of text in all {seen.ends} rows that end at an accepted one;"
            " it was drafted and accepted, count it"
        )
    return cases


def _settings(lab: Laboratory, rng: np.random.Generator, size: int) -> list[tuple[Instance, dict[str, Any]]]:
    """Return the options of the calls, and rows on which every reading of them keeps the same tokens."""
    main, taken = lab.main_instance, lab.subject.options
    found: list[tuple[Instance, dict[str, Any]]] = [(main, {})]
    each: dict[str, Any] = {}
    if "eos" in taken:
        each["eos"] = int(main.target.sum(axis=0).argmax())
    if "draft_lengths" in taken and lab.subject.protocol == "step":
        each["draft_lengths"] = rng.integers(0, main.draft_length + 1, size)
    if "temperatures" in taken:
        each["temperatures"] = np.resize(TEMPERATURES, size)
    found += [(main, {name: value}) for name, value in each.items()]
    if (lab.subject.max_vocabulary or 4) >= 3:
        for name in FILTERS:
            if name in taken:
                found.append((_distinct(lab, name), {name: VALUES[name][0]}))
    if len(each) > 1:
        found.append((main, each))
    if lab.subject.protocol == "step":
        if lab.subject.draft == "optional":
            found.append((main, {NO_ROWS: True}))
        if "d2t" in taken and lab.subject.draft != "never" and lab.vocabulary >= 3:
            ids = np.delete(np.arange(lab.vocabulary), 1)
            drafts = np.where(np.arange(lab.vocabulary) == 1, 0.0, main.draft)
            drafts = drafts / drafts.sum(axis=1, keepdims=True)
            found.append((replace(main, draft=drafts), {"d2t": ids}))
    return found


def _distinct(lab: Laboratory, option: str) -> Instance:
    if lab.subject.protocol == "decoder":
        return distinct_rows(option, lambda seed: text_instance(lab, 300 + seed))
    return option_instance(lab, option)


def _one(
    lab: Laboratory,
    caller: Caller,
    rng: np.random.Generator,
    instance: Instance,
    size: int,
    options: dict[str, Any],
    seen: _Seen,
) -> None:
    """Make one call and compare what it reports."""
    prompts = np.zeros((size, 0), dtype=np.int64)
    rounds: list[list[int]] | None = None
    drafted: Integers | None = None
    protocol = lab.subject.protocol
    if protocol == "decoder":
        from specsim.validation.conformance.checks.decoder import DecoderModels

        prompts = rng.integers(0, instance.vocabulary, size=(size, 3))
        models = DecoderModels(caller, instance)
        tokens, rounds = caller.decode(models, prompts, instance.draft_length + 3, options=options)
        lengths = (tokens >= 0).sum(axis=1)
    elif protocol == "step":
        drafted = lab.lawful(instance).draw_drafted(rng, size)
        target, draft = instance.rows(drafted)
        if "draft_lengths" in options:
            drafted, target, draft = padded(options["draft_lengths"], drafted, target, draft)
        draft = draft[..., options["d2t"]] if "d2t" in options else draft
        rowless = lab.subject.draft == "never" or NO_ROWS in options
        given = {name: value for name, value in options.items() if name != NO_ROWS}
        tokens, lengths = caller.step(target, None if rowless else draft, drafted, options=given)
    else:
        alike = Models(caller, [instance], np.zeros(size, dtype=np.int64))
        drafted, tokens, lengths = caller.draft_and_verify(alike, options=options)
    if not caller.reported:
        raise NotApplicable("the sampler reports no log-probabilities or counts")
    if "logprobs" in caller.reported:
        _compare(lab, instance, caller.reported["logprobs"], prompts, tokens, lengths, options, seen.kinds)
    if protocol == "decoder":
        _counts_of_texts(caller.reported, rounds, lengths, instance.draft_length)
    else:
        _counts_of_steps(caller.reported, drafted, tokens, lengths, options.get("eos"), seen)


def _compare(
    lab: Laboratory,
    instance: Instance,
    found: Array,
    prompts: Integers,
    tokens: Integers,
    lengths: Integers,
    options: dict[str, Any],
    kinds: dict[str, bool],
) -> None:
    emitted = np.arange(tokens.shape[1]) < lengths[:, None]
    texts = np.concatenate([prompts, np.where(emitted, tokens, 0)], axis=1)
    right = _log_probabilities(lab, instance, texts, prompts.shape[1], options)
    # Logits of hundreds in float32 are rounded by some 1e-5.
    allowed = max(1e-4 if lab.subject.inputs == "logits" else 1e-5, 8 * lab.tolerance)
    values = np.asarray(found, dtype=np.float64)
    agreeing = dict(kinds)
    for name in kinds:
        kinds[name] &= bool((np.abs(values - right[name])[emitted] <= allowed).all())
    if not any(kinds.values()):
        name = next(name for name in reversed(agreeing) if agreeing[name])
        # NaN is farther than everything.
        apart = np.nan_to_num(np.abs(values - right[name]), nan=np.inf)
        row, place = (int(v) for v in np.argwhere(emitted & ~(apart <= allowed))[0])
        given = ", ".join(options)
        raise ContractError(
            f"reports log-probability {float(values[row, place]):.6g} of token {tokens[row, place]} at place"
            f" {place + 1} of row {row}{f', with {given}' if given else ''}; {name} is"
            f" {right[name][row, place]:.6g}"
        )


def _log_probabilities(
    lab: Laboratory, instance: Instance, texts: Integers, begun: int, options: dict[str, Any]
) -> dict[str, Floats]:
    """Return the logarithms of what each token of texts after the first `begun` has, by kind of row."""
    filters = {name: options[name] for name in FILTERS if name in options and name != "temperature"}
    temperatures = options.get("temperatures", np.full(len(texts), options.get("temperature", 1.0)))
    contexts = instance.contexts(texts)
    columns: dict[str, list[Floats]] = {name: [] for name in _Seen().kinds}
    every = np.arange(len(texts))
    for place in range(begun, texts.shape[1]):
        raw = instance.target[contexts[:, place]]
        ready = processed(lab.subject, texts[:, :place], raw)
        warm = np.stack([tempered(row, value) for row, value in zip(ready, temperatures, strict=True)])
        for name, rows in zip(columns, (raw, ready, warm, filtered(warm, filters)), strict=True):
            columns[name].append(rows[every, texts[:, place]])
    with np.errstate(divide="ignore"):
        return {name: np.log(np.stack(column, axis=1)) for name, column in columns.items()}


def _counts_of_steps(
    reported: dict[str, Array],
    drafted: Integers | None,
    tokens: Integers,
    lengths: Integers,
    eos: int | None,
    seen: _Seen,
) -> None:
    ending = _ending(drafted, tokens, lengths, eos)
    if "accepted" in reported:
        # A replacement that is the drafted token looks like an accepted end.
        counted = ending & (reported["accepted"] == lengths)
        seen.ends += int(ending.sum())
        seen.counted += int(counted.sum())
        _same("accepted", reported, lengths - 1 + counted)
    if drafted is not None:
        _same("drafted", reported, (drafted >= 0).sum(axis=1))


def _ending(drafted: Integers | None, tokens: Integers, lengths: Integers, eos: int | None) -> Bools:
    """Return which rows end at an end of text that was drafted."""
    if drafted is None or eos is None:
        return np.zeros(len(tokens), dtype=bool)
    every = np.arange(len(tokens))
    behind = np.concatenate([drafted, np.full((len(drafted), 1), -1)], axis=1)
    found: Bools = (tokens[every, lengths - 1] == eos) & (behind[every, lengths - 1] == eos)
    return found


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
