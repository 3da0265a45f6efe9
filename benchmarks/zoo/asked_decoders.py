"""A decoder with everything that a request may ask for, and the slips of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo import asked
from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, at, draw, filtered, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Tokens, prompt and all, from which on a penalty is lost; uniforms of a row that are used again and again.
PENALISED, POOL = 24, 70


def decode(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    slip: str = "",
    processing: bool = False,
    grammar: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    temperatures: Any = None,
    seeds: Any = None,
    samples: int = 1,
    eos: int | None = None,
    stop: Sequence[Sequence[int]] = (),
    d2t: Any = None,
) -> Any:
    """Write texts by rounds of the ratio rule; `slip` names what is done wrong."""
    begun = np.repeat(np.asarray(prompts, dtype=np.int64), samples, axis=0)
    batch, length = begun.shape
    drafts, places = models.draft_length, np.arange(models.draft_length + 1)
    text = np.zeros((batch, length + new_tokens + 2 * drafts + 2), dtype=np.int64)
    text[:, :length] = begun
    ends = np.full(batch, length)
    over = np.zeros(batch, dtype=bool)
    if slip == "eos-in-the-prompt" and eos is not None:
        over = (begun == eos).any(axis=1)
    logs, rounds = np.zeros(text.shape), [[] for _ in range(batch)]  # type: ignore[var-annotated]
    streams = _streams(seed, seeds, batch, samples, slip)
    own = None if temperatures is None else np.repeat(temperatures, samples)
    if own is not None and slip == "decoder-temperature-of-row-0":
        own = np.repeat(own[:1], batch)
    rejected = np.zeros((batch, models.vocabulary))
    at_row = np.arange(batch)

    def law(rows: Floats, side: str, ahead: int) -> Floats:
        if processing and not (slip == "decoder-bias-not-verified" and side == "target" and ahead < drafts):
            counts = asked.counted(text, ends + ahead, models.vocabulary) + rejected
            if slip == "prompt-not-counted":
                counts = counts - asked.counted(text, np.full(batch, length), models.vocabulary)
            penalised = asked.processed(rows, counts, text[at_row, ends + ahead - 1])
            lost = (ends + ahead >= PENALISED) & (slip == "penalty-of-short-texts")
            rows = np.where(lost[:, None], rows, penalised)
        if grammar and side == "target":
            last = ends if slip == "grammar-of-the-round" else ends + ahead
            rows = asked.masked(rows, asked.counted(text, last, models.vocabulary)[:, 0])
            rows /= rows.sum(axis=1, keepdims=True)
        if own is not None:
            rows = asked.tempered(rows, own)
        if slip == "bonus-nucleus-first" and ahead == drafts and temperature is not None:
            return filtered(filtered(rows, top_p=top_p), temperature)
        if temperature is not None and slip == "decoder-temperature-at-least-half":
            rows = filtered(rows, max(temperature, 0.5))
        else:
            rows = filtered(rows, temperature)
        rows = filtered(rows, top_k=top_k, top_p=top_p)
        if slip == "decoder-filters-of-the-draft" and side == "target":
            return rows
        return asked.kept(rows, min_p, typical_p)

    while not over.all():
        if slip == "decoder-seeds-every-round":
            streams = _streams(seed, seeds, batch, samples, slip)
        uniforms = streams(2 * drafts + 1)
        if slip == "streams-by-slot":
            uniforms[~over] = uniforms[: (~over).sum()].copy()
        reads: list[Floats] = []
        for i in range(drafts):
            wide = floats(models.draft(text[:, : int(ends.max()) + i]))
            if d2t is not None:
                wide = asked.scattered(wide, d2t, models.vocabulary)
            reads.append(law(wide[at_row, ends + i - 1], "draft", i))
            text[at_row, ends + i] = draw(reads[-1], uniforms[:, i])
        whole = floats(models.target(text[:, : int(ends.max()) + drafts]))
        raw = whole[at_row[:, None], ends[:, None] - 1 + places]
        rows = np.stack([law(raw[:, i].copy(), "target", i) for i in range(drafts + 1)], axis=1)
        drafted = text[at_row[:, None], ends[:, None] + places[:-1]]
        read = np.stack(reads, axis=1)
        if slip == "decoder-ids-of-the-draft" and d2t is not None:
            read = np.roll(read, -1, axis=2)
        tests = uniforms[:, drafts:-1] < quotient(at(rows[:, :-1], drafted), at(read, drafted))
        count = np.cumprod(tests, axis=1).sum(axis=1)
        weights = np.concatenate([gap(rows[:, :-1], read), rows[:, -1:]], axis=1)[at_row, count]
        last = draw(weights, uniforms[:, -1])
        if slip == "first-sample-greedy":
            last = np.where((at_row % samples == 0) & (samples > 1), weights.argmax(axis=1), last)
        if slip == "rejected-tokens-counted":
            for i in range(drafts):
                rejected[at_row, drafted[:, i]] += i >= count
        text[at_row, ends + count] = last
        emitted = text[at_row[:, None], ends[:, None] + places]
        logs[at_row[:, None], ends[:, None] + places] = asked.logarithms(raw, emitted)
        for b in np.flatnonzero(~over):
            size = int(count[b]) + 1
            rounds[b].append(int(count[b]))
            begin = int(ends[b]) if slip == "stop-within-a-round" else length
            first = _end(text[b], begin, int(ends[b]), size, eos, stop)
            if slip == "decoder-eos-in-draft-passed" and first is not None and first < size:
                first = None
            ends[b] += size if first is None else first
            over[b] = first is not None or ends[b] >= length + new_tokens
    ended = np.minimum(ends, length + new_tokens)
    kept = np.where(np.arange(text.shape[1]) < ended[:, None], text, -1)[:, length : length + new_tokens]
    report = {
        "logprobs": logs[:, length : length + new_tokens],
        "accepted": np.array([sum(row) for row in rounds]) + (slip == "decoder-accepted-one-more"),
        "drafted": np.array([len(row) * drafts for row in rounds]),
    }
    return kept, rounds, report


def _end(
    text: Integers, begin: int, written: int, size: int, eos: int | None, stop: Sequence[Sequence[int]]
) -> int | None:
    """Return how many of `size` tokens after `written` the text has, with its end; None for no end."""
    for count in range(1, size + 1) if stop or eos is not None else ():
        words = text[begin : written + count].tolist()
        if words[-1] == eos or any(words[-len(last) :] == list(last) for last in stop):
            return count
    return None


def _streams(seed: int, seeds: Any, batch: int, samples: int, slip: str) -> Callable[[int], Floats]:
    """Return what draws a number of uniforms for every row."""
    if seeds is None:
        generator = np.random.default_rng(seed)
        if slip == "uniforms-of-a-pool":
            pool, used = generator.random((batch, POOL)), itertools.count()
            return lambda size: pool[:, [next(used) % POOL for _ in range(size)]]
        if slip == "samples-are-copies":
            return lambda size: np.repeat(generator.random((batch // samples, size)), samples, axis=0)
        return lambda size: generator.random((batch, size))
    which = np.arange(batch) % samples
    own = np.repeat(np.asarray(seeds), samples)
    if slip == "later-samples-unseeded":
        own = np.where(which > 0, 77, own)
    if slip == "sample-added-to-the-seed":
        own, which = own + which, np.zeros_like(which)
    rows = asked.generators(np.stack([own, which], axis=1))
    return lambda size: asked.uniforms_of(rows, size)


_FILTERS = frozenset({"temperature", "top_k", "top_p", "min_p", "typical_p"})
_ROWS = frozenset({"temperatures", "seeds", "samples", "eos", "stop", "d2t"})


def _subject(
    name: str,
    options: frozenset[str] = frozenset(),
    *,
    processing: bool = False,
    grammar: bool = False,
    slip: str = "",
) -> Subject:
    """Return the decoder; a grammar is for the target alone, so that what it forbids is drafted."""
    process = asked.grammar if grammar else asked.declared if processing else None
    return Subject(
        name=name,
        protocol="decoder",
        run=partial(decode, slip=slip, processing=processing, grammar=grammar),
        rule=RATIO,
        options=options,
        process=process,
        filters="target" if grammar else "both",
    )


def _slip(
    slip: str,
    bug_class: str,
    description: str,
    cite: str,
    killed_by: str,
    *options: str,
    processing: bool = False,
    grammar: bool = False,
) -> Mutant:
    return Mutant(
        name=slip,
        description=description,
        cite=cite,
        bug_class=bug_class,
        subject=_subject(slip, frozenset(options), slip=slip, processing=processing, grammar=grammar),
        killed_by=(killed_by,),
    )


_ASKED, _SEEDS, _REPORTS = "5 parameters, history", "4 randomness", "14 reports"

MUTANTS = (
    _slip(
        "decoder-bias-not-verified",
        _ASKED,
        "rows at drafted tokens are verified without bias, penalty and mask",
        "vllm-project/vllm#38202",
        "processing",
        processing=True,
    ),
    _slip(
        "rejected-tokens-counted",
        _ASKED,
        "rejected drafts count in the penalty on frequency",
        "vllm-project/vllm#33251",
        "processing",
        processing=True,
    ),
    _slip(
        "prompt-not-counted",
        _ASKED,
        "the penalty on frequency counts what was written, and not the prompt",
        "ml-explore/mlx-lm: penalties see the prompt's last token only",
        "processing",
        processing=True,
    ),
    _slip(
        "grammar-of-the-round",
        _ASKED,
        "all rows of a round have the mask of its first token; a token that opens a constraint counts later",
        "vllm-project/vllm#44297",
        "processing",
        grammar=True,
    ),
    _slip(
        "penalty-of-short-texts",
        _ASKED,
        f"bias, penalty and mask are lost once the text has {PENALISED} tokens",
        "easily made: counts in a buffer of a fixed size",
        "combinations",
        processing=True,
    ),
    _slip(
        "bonus-nucleus-first",
        _ASKED,
        "with a temperature, top-p is applied to bonus tokens before it",
        "easily made: another path of the code for the bonus token",
        "combinations",
        "temperature",
        "top_p",
    ),
    _slip(
        "eos-in-the-prompt",
        _ASKED,
        "a prompt that contains the end of text gets an empty text",
        "easily made: ends that are searched in the whole text",
        "ends",
        "eos",
    ),
    _slip(
        "uniforms-of-a-pool",
        _SEEDS,
        f"each row has {POOL} uniforms, which are used again from the first when they are used up",
        "easily made: random numbers that are drawn before the text, as many as were enough in a test",
        "sizes",
    ),
    _slip(
        "decoder-filters-of-the-draft",
        _ASKED,
        "min-p and typical-p filter the draft and not the target",
        "vllm-project/vllm#42802",
        "min-p",
        "min_p",
        "typical_p",
    ),
    _slip(
        "decoder-temperature-at-least-half",
        _ASKED,
        "temperatures below 0.5 are raised to it",
        "easily made: a guard against division by small numbers",
        "option-values",
        "temperature",
    ),
    _slip(
        "decoder-eos-in-draft-passed",
        _ASKED,
        "an end of text is noticed as the last token of a round only",
        "LostRuins/koboldcpp#1276",
        "ends",
        "eos",
    ),
    _slip(
        "stop-within-a-round",
        _ASKED,
        "a stop sequence that begins in one round and ends in the next is passed over",
        "openvinotoolkit/openvino.genai#1951, a neighbour of it",
        "ends",
        "stop",
    ),
    _slip(
        "decoder-temperature-of-row-0",
        "10 batch, padding",
        "all rows of a batch have the temperature of the first",
        "vllm-project/vllm#35398",
        "mixed-temperatures",
        "temperatures",
    ),
    _slip(
        "decoder-seeds-every-round",
        _SEEDS,
        "the generator of a row begins anew in each round",
        "vllm-project/vllm#6034",
        "request-law",
        "seeds",
    ),
    _slip(
        "streams-by-slot",
        _SEEDS,
        "rows that go on take the random streams of the batch slots that ended rows leave",
        "easily made: states of a batch that are not moved with its rows; compare vllm-project/vllm#41044",
        "request-seeds",
        "seeds",
        "eos",
    ),
    _slip(
        "first-sample-greedy",
        _ASKED,
        "the first of several samples is greedy in its replacements and bonus tokens",
        "easily made: the sample that is shown first",
        "samples",
        "samples",
    ),
    _slip(
        "samples-are-copies",
        _SEEDS,
        "the samples of a prompt share their generator's seed",
        "easily made: a seed per request",
        "sample-independence",
        "samples",
    ),
    _slip(
        "sample-added-to-the-seed",
        _SEEDS,
        "sample i of a request with seed s is sample 0 of one with seed s + i",
        "vllm-project/vllm#9441",
        "sample-independence",
        "samples",
        "seeds",
    ),
    _slip(
        "later-samples-unseeded",
        _SEEDS,
        "of several samples only the first is made from its request's seed",
        "easily made: generators of samples that are made from their number alone",
        "repeated-draws",
        "samples",
        "seeds",
    ),
    _slip(
        "decoder-ids-of-the-draft",
        "12 vocabulary map",
        "the probabilities of a narrower draft are read at other ids than its tokens",
        "alibaba/rtp-llm#1311",
        "draft-vocabulary",
        "d2t",
    ),
    _slip(
        "decoder-accepted-one-more",
        _REPORTS,
        "the number of accepted tokens is one more than in its rounds",
        "easily made: a counter that begins at 1",
        "reported",
    ),
)  # fmt: skip

CONTROLS = (
    Control(
        name="asked-decoder",
        description="a decoder with seeds, temperatures and samples per row, ends, a narrow draft, reports",
        source="2211.17192, Algorithm 1",
        subject=_subject("asked-decoder", _ROWS | {"min_p", "typical_p"}),
    ),
    Control(
        name="processed-decoder",
        description="a decoder whose rows have a bias, a penalty on frequency, and no token twice running",
        source="2211.17192, Algorithm 1",
        subject=_subject("processed-decoder", frozenset({"eos"}), processing=True),
    ),
    Control(
        name="grammar-decoder",
        description="a grammar on the target alone: what it forbids is drafted, and rejected by the ratio",
        source="vllm-project/vllm, structured output with drafts that are not filtered",
        subject=_subject("grammar-decoder", grammar=True),
    ),
)
