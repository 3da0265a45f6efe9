"""Verification steps with everything that a request may ask for, and the slips of each."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo import asked
from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, at, draw, emit_count, finals, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject


def step(
    target: Any,
    draft: Any,
    drafted: Any,
    seed: int,
    *,
    slip: str = "",
    processing: bool = False,
    draft_lengths: Any = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    temperatures: Any = None,
    seeds: Any = None,
    noise: Any = None,
    words: Any = None,
    eos: int | None = None,
    d2t: Any = None,
) -> Any:
    """Follow the ratio rule, with every option; `slip` names what is done wrong."""
    raw, read, drafted = floats(target), floats(draft), np.asarray(drafted)
    if not (np.isfinite(raw).all() and np.isfinite(read).all()):
        raise ValueError("rows must be finite")
    batch, length = drafted.shape
    ends = np.full(batch, length) if draft_lengths is None else np.asarray(draft_lengths)
    if d2t is not None:
        ids = np.arange(len(d2t)) if slip == "ids-of-the-draft" else d2t
        read = asked.scattered(read, ids, raw.shape[-1])
    rows, read = raw.copy(), read.copy()
    if processing:
        _process(rows, read, drafted, ends, slip)
    if temperatures is not None:
        own = np.repeat(temperatures[:1], batch) if slip == "temperature-of-row-0" else temperatures
        if slip == "temperatures-at-most-1":
            own = np.minimum(own, 1.0)
        if slip == "low-temperatures-greedy":
            own = np.where(np.asarray(own) < 0.3, 0.0, own)
        rows, read = asked.tempered(rows, own), asked.tempered(read, own)
    tops = None
    if slip == "min-p-of-the-draft":
        tops = np.concatenate([read.max(axis=-1), rows[:, -1:].max(axis=-1)], axis=1)
    read = asked.kept(read, min_p, typical_p)
    bonus = rows[:, -1:]
    rows = asked.kept(rows, None if slip == "min-p-dropped" else min_p, typical_p, tops)
    if slip == "typical-p-not-on-bonus":
        rows[:, -1:] = asked.kept(bonus, min_p)
    if seeds is None:
        uniforms = np.random.default_rng(seed).random((batch, length + 1))
    else:
        own = _ranked(seeds, temperatures) if slip == "seeds-by-rank" else seeds
        uniforms = asked.uniforms_of(_streams(own, slip), length + 1)
        if slip == "seed-and-position":
            columns = [
                asked.uniforms_of(_streams(np.asarray(own) + place, slip), 1) for place in range(length + 1)
            ]
            uniforms = np.concatenate(columns, axis=1)
    tested = rows
    if slip == "greedy-rows-tested-as-sampled" and temperatures is not None:
        tested = np.where((np.asarray(temperatures) == 0)[:, None, None], raw, rows)
    tests = uniforms[:, :-1] < quotient(
        at(tested[:, :-1], np.maximum(drafted, 0)), at(read, np.maximum(drafted, 0))
    )
    tests &= np.arange(length) < ends[:, None]
    count = np.cumprod(tests, axis=1).sum(axis=1)
    weights = finals(gap(rows[:, :-1], read), rows[:, -1])
    whole = count == ends
    weights[whole, ends[whole]] = rows[whole, ends[whole]]
    if noise is None and words is None:
        last = draw(weights, np.repeat(uniforms[:, -1:], length + 1, axis=1))
    elif slip == "hash-over-max":
        with np.errstate(all="ignore"):
            last = asked.race(weights, np.asarray(words) / (2.0**32 - 1))
    elif slip == "inverse-behind-the-end":
        coins = np.asarray(noise, dtype=np.float64)[..., 0] + 2.0**-30
        sums = np.cumsum(weights, axis=-1)
        last = np.minimum((sums <= (coins * sums[..., -1])[..., None]).sum(axis=-1), rows.shape[-1] - 1)
    else:
        last = asked.race(weights, asked.open_uniforms(noise, words))
    tokens, lengths = emit_count(drafted, count, last)
    if eos is not None and slip != "eos-in-draft-passed":
        if slip == "eos-of-the-draft" and d2t is not None:
            eos = int(np.asarray(d2t)[min(eos, len(d2t) - 1)])
        lengths = _ended(tokens, lengths, eos, slip, ends)
    told = rows.copy()
    if slip == "logprobs-of-the-last-place":
        told[np.arange(batch), ends] = rows[:, -1]
    if slip == "logprobs-of-row-0" and temperatures is not None:
        told = np.repeat(rows[:1], batch, axis=0)
    mapped = slip == "logprobs-of-mapped-drafts" and d2t is not None
    if (
        slip == "logprobs-of-the-draft"
        or mapped
        or (slip == "logprobs-of-the-draft-with-min-p" and min_p is not None)
    ):
        told = np.concatenate([read, read[:, -1:]], axis=1)
    accepted = np.minimum(count, lengths)
    if slip in ("accepted-with-last", "accepted-without-end"):
        accepted = lengths if slip == "accepted-with-last" else lengths - 1
    return (
        tokens,
        lengths,
        {
            "logprobs": np.zeros(tokens.shape) if slip == "logprobs-zero" else asked.logarithms(told, tokens),
            "accepted": accepted,
            "drafted": np.full(batch, length) if slip == "drafted-with-padding" else ends,
        },
    )


def _process(rows: Floats, read: Floats, drafted: Integers, ends: Integers, slip: str) -> None:
    length = drafted.shape[1]
    for i in range(length + 1):
        counts = asked.counted(drafted[:, :i], np.full(len(rows), i), rows.shape[-1])
        last = drafted[:, i - 1] if i else np.full(len(rows), -1)
        here = i <= ends
        if slip == "bias-not-verified":
            here &= False
        if slip == "bonus-unmasked-after-padding":
            here &= (i < ends) | (ends == length)
        rows[here, i] = asked.processed(rows[here, i], counts[here], last[here])
        here = i < ends
        if here.any():
            read[here, i] = asked.processed(read[here, i], counts[here], last[here])


def _streams(seeds: Any, slip: str) -> list[np.random.Generator]:
    numbers = np.asarray(seeds)
    if slip == "seed-and-row":
        numbers = numbers + np.arange(len(numbers))
    if slip == "seeds-without-low-bits":
        numbers = numbers >> 3
    if slip == "seeds-small":
        numbers = numbers % 3
    streams = asked.generators(numbers)
    if slip == "one-stream-per-seed":
        kept = dict(zip(numbers.tolist(), streams, strict=True))
        return [kept[number] for number in numbers.tolist()]
    return streams


def _ranked(seeds: Any, temperatures: Any) -> Integers:
    """Read the seeds of rows that are not greedy by their number among these rows."""
    sampled = np.ones(len(seeds), dtype=bool) if temperatures is None else np.asarray(temperatures) > 0
    return np.asarray(np.asarray(seeds)[np.maximum(np.cumsum(sampled) - 1, 0)])


def _ended(tokens: Integers, lengths: Integers, eos: int, slip: str, ends: Integers) -> Integers:
    """Stop at the first accepted end of text."""
    found = lengths.copy()
    for b, size in enumerate(lengths):
        looked = min(int(size), 8) if slip == "eos-in-8-drafts" else int(size)
        if slip == "eos-after-short-drafts" and ends[b] < tokens.shape[1] - 1:
            looked = min(looked, int(ends[b]) - 1)
        if slip == "eos-0-passed" and not eos:
            looked = 0
        for i in range(looked):
            if tokens[b, i] == eos:
                found[b] = i + 1
                break
    return found


OPTIONS = frozenset(
    {
        "draft_lengths",
        "min_p",
        "typical_p",
        "temperatures",
        "seeds",
        "noise",
        "words",
        "eos",
        "d2t",
    }
)


def _subject(
    name: str, options: frozenset[str] = OPTIONS, *, processing: bool = False, slip: str = ""
) -> Subject:
    return Subject(
        name=name,
        protocol="step",
        run=partial(step, slip=slip, processing=processing),
        rule=RATIO,
        options=options,
        process=asked.declared if processing else None,
    )


def _slip(slip: str, bug_class: str, description: str, cite: str, killed_by: str, *options: str) -> Mutant:
    return Mutant(
        name=slip,
        description=description,
        cite=cite,
        bug_class=bug_class,
        subject=_subject(slip, frozenset(options), slip=slip, processing="process" in killed_by.split(":")),
        killed_by=(killed_by.split(":")[0],),
    )


_ASKED, _SEEDS, _NOISE = "5 parameters, history", "4 randomness", "4 randomness"

MUTANTS = (
    _slip(
        "bias-not-verified",
        _ASKED,
        "the bias, the penalty and the mask change the draft's rows and not the target's",
        "vllm-project/vllm#38202",
        "joint-law:process",
    ),
    _slip(
        "bonus-unmasked-after-padding",
        _ASKED,
        "the row of the bonus token after a padded draft is not processed",
        "vllm-project/vllm#44292",
        "ragged:process",
        "draft_lengths",
    ),
    _slip(
        "min-p-dropped",
        _ASKED,
        "min-p is applied to the draft and not in verification",
        "vllm-project/vllm#42802",
        "min-p",
        "min_p",
    ),
    _slip(
        "min-p-of-the-draft",
        _ASKED,
        "min-p compares the target's tokens with the likeliest token of the draft's row",
        "easily made: one mask of filters for both sides; compare vllm-project/vllm#42802",
        "min-p",
        "min_p",
    ),
    _slip(
        "typical-p-not-on-bonus",
        _ASKED,
        "the bonus token is drawn without typical-p",
        "vllm-project/vllm#42802, the same slip with another filter",
        "typical-p",
        "typical_p",
    ),
    _slip(
        "eos-in-draft-passed",
        _ASKED,
        "tokens after an accepted end of text are emitted",
        "huggingface/transformers#47912",
        "ends",
        "eos",
    ),
    _slip(
        "eos-0-passed",
        _ASKED,
        "an end of text with id 0 is taken for none",
        "easily made: `if eos:`",
        "ends",
        "eos",
    ),
    _slip(
        "eos-in-8-drafts",
        _ASKED,
        "an end of text is looked for in the first eight tokens",
        "easily made: a window of fixed size; compare huggingface/transformers#47912",
        "ends",
        "eos",
    ),
    _slip(
        "eos-after-short-drafts",
        _ASKED,
        "an end of text at the last token of a padded draft is not seen",
        "easily made: a mask that ends one token early",
        "ends",
        "eos",
        "draft_lengths",
    ),
    _slip(
        "eos-of-the-draft",
        _ASKED,
        "the end of text is mapped as if it were an id of the draft",
        "easily made: ids that are mapped twice; compare NVIDIA-NeMo/Automodel#2447",
        "ends",
        "eos",
        "d2t",
    ),
    _slip(
        "temperatures-at-most-1",
        _ASKED,
        "temperatures of rows above 1 are read as 1",
        "easily made: a clamp that is meant for probabilities",
        "mixed-temperatures",
        "temperatures",
    ),
    _slip(
        "low-temperatures-greedy",
        "7 greedy at temperature > 0",
        "rows with a temperature below 0.3 are greedy",
        "easily made: a threshold against division by small temperatures",
        "mixed-temperatures",
        "temperatures",
    ),
    _slip(
        "temperature-of-row-0",
        "10 batch, padding",
        "all rows of a batch have the temperature of the first",
        "vllm-project/vllm#35398",
        "mixed-temperatures",
        "temperatures",
    ),
    _slip(
        "greedy-rows-tested-as-sampled",
        "7 greedy at temperature > 0",
        "drafts of greedy rows are tested by the target's row at temperature 1",
        "easily made: tests read the rows before temperatures; compare vllm-project/vllm#35398",
        "mixed-temperatures",
        "temperatures",
    ),
    _slip(
        "seed-and-row",
        _SEEDS,
        "the row's number is added to its seed",
        "vllm-project/vllm#9441",
        "request-seeds",
        "seeds",
    ),
    _slip(
        "seeds-by-rank",
        _SEEDS,
        "beside greedy rows, the seed of a row is read at its number among the sampled rows",
        "easily made: rows that are sampled are gathered, and their seeds are not",
        "request-seeds",
        "seeds",
        "temperatures",
    ),
    _slip(
        "one-stream-per-seed",
        _SEEDS,
        "rows with the same seed go on with one stream",
        "easily made: generators in a dictionary by seed",
        "request-seeds",
        "seeds",
    ),
    _slip(
        "seed-and-position",
        _SEEDS,
        "the position is added to the row's seed",
        "vllm-project/vllm#9441, by positions",
        "request-independence",
        "seeds",
    ),
    _slip(
        "seeds-without-low-bits",
        _SEEDS,
        "the lowest bits of a row's seed are lost",
        "easily made: a seed that is turned into a float32",
        "request-independence",
        "seeds",
    ),
    _slip(
        "seeds-small",
        _SEEDS,
        "there are three streams for all seeds",
        "easily made: a table of streams",
        "request-law",
        "seeds",
    ),
    _slip(
        "hash-over-max",
        _NOISE,
        "uniforms are a hash over its largest value, so that noise can be infinite",
        "sgl-project/sglang#25133",
        "forced-noise",
        "words",
    ),
    _slip(
        "inverse-behind-the-end",
        _NOISE,
        "a uniform just below 1 falls after the last token that has mass",
        "sgl-project/sglang#22643",
        "forced-noise",
        "noise",
    ),
    _slip(
        "ids-of-the-draft",
        "12 vocabulary map",
        "ids of the smaller draft vocabulary are used as the target's",
        "NVIDIA-NeMo/Automodel#2447",
        "draft-vocabulary",
        "d2t",
    ),
    _slip(
        "logprobs-zero",
        "14 reports",
        "the log-probability of every token is 0",
        "ggml-org/llama.cpp#27972",
        "reported",
    ),
    _slip(
        "logprobs-of-the-draft",
        "14 reports",
        "log-probabilities are the draft's",
        "easily made: the rows that are at hand when a token is accepted",
        "reported",
    ),
    _slip(
        "accepted-with-last",
        "14 reports",
        "the replacement and the bonus token are counted as accepted",
        "easily made: the length in place of the number of drafts",
        "reported",
    ),
    _slip(
        "accepted-without-end",
        "14 reports",
        "an accepted end of text is not counted as accepted",
        "easily made: the length less 1",
        "reported",
        "eos",
    ),
    _slip(
        "drafted-with-padding",
        "14 reports",
        "padding is counted as drafted",
        "easily made: the width in place of the draft's length",
        "reported",
        "draft_lengths",
    ),
    _slip(
        "logprobs-of-the-last-place",
        "14 reports",
        "the log-probability of the bonus token after a padded draft is that of the last row",
        "easily made: the bonus token's row is the last one of whole drafts",
        "reported",
        "draft_lengths",
    ),
    _slip(
        "logprobs-of-the-draft-with-min-p",
        "14 reports",
        "with min-p, log-probabilities are the draft's",
        "easily made: the filtered rows that are at hand",
        "reported",
        "min_p",
    ),
    _slip(
        "logprobs-of-mapped-drafts",
        "14 reports",
        "with a smaller draft vocabulary, log-probabilities are the draft's",
        "easily made: the rows that were mapped are at hand",
        "reported",
        "d2t",
    ),
    _slip(
        "logprobs-of-row-0",
        "14 reports",
        "in a batch with temperatures, log-probabilities are those of the first row's rows",
        "easily made: one broadcast too many",
        "reported",
        "temperatures",
    ),
)  # fmt: skip

CONTROLS = (
    Control(
        name="asked-step",
        description="the ratio rule with seeds, temperatures, noise per row, filters, ends, narrow drafts",
        source="2211.17192, Algorithm 1",
        subject=_subject("asked-step"),
    ),
    Control(
        name="processed-step",
        description="rows with a bias, a penalty on frequency, and no token twice running, on ragged drafts",
        source="2211.17192, Algorithm 1",
        subject=_subject("processed-step", frozenset({"draft_lengths", "eos"}), processing=True),
    ),
)
