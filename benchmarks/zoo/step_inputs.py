"""Samplers that read inputs wrongly: logits of any offset, memory in another layout, coins, temperatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo import asked
from benchmarks.zoo.controls_drafting import Result
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.controls_torch import torch_ratio
from benchmarks.zoo.model import Control, mutant_of
from benchmarks.zoo.sampling import Floats, Integers, Step, draft_tokens, draw, floats
from specsim.validation.conformance.rules import bugs
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

# Logits.


def _numbers(logits: Any) -> Floats:
    """Return logits as numbers; minus infinity is one, NaN and infinity are not."""
    found = floats(logits)
    if np.isnan(found).any() or np.isposinf(found).any():
        raise ValueError("a logit is NaN or infinite")
    return found


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


def logits_not_normalised(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take exponentials of logits for probabilities, as if they were log-probabilities."""
    with np.errstate(over="ignore"):
        rows, read = (np.minimum(np.exp(_numbers(logits)), 1e300) for logits in (target, draft))
    return ratio_step(rows, read, drafted, seed)


def logits_without_maximum(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Normalise exponentials in float32, from which the maximum was not taken: above 88 they overflow."""

    def normalised(logits: Any) -> Floats:
        with np.errstate(over="ignore"):
            powers = np.minimum(np.exp(_numbers(logits).astype(np.float32)), np.float32(3e38))
        found = np.maximum(powers.astype(np.float64), 1e-300)
        return np.asarray(found / found.sum(axis=-1, keepdims=True))

    return ratio_step(normalised(target), normalised(draft), drafted, seed)


def logits_clipped(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Clip logits to -30 and 30, so that exponentials stay small."""

    def kept(logits: Any) -> Floats:
        raw = _numbers(logits)
        return _softmax(np.where(np.isneginf(raw), raw, np.clip(raw, -30.0, 30.0)))

    return ratio_step(kept(target), kept(draft), drafted, seed)


def softmax_of_logits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take the maximum from each row of logits before the softmax, in float32."""
    rows, read = (_softmax(_numbers(logits).astype(np.float32)) for logits in (target, draft))
    return ratio_step(rows, read, drafted, seed)


# Memory.


def _as_stored(array: Any) -> Any:
    """Return an array of the same shape whose entries are read as they lie in memory."""
    return np.asarray(array).ravel(order="K").reshape(np.shape(array))


def _behind_the_first(array: Any) -> Any:
    """Return an array of the same shape from the memory that begins at the first entry, as if contiguous."""
    array = np.asarray(array)
    whole = array if array.base is None or not isinstance(array.base, np.ndarray) else array.base
    return whole.reshape(-1, order="A")[: array.size].reshape(array.shape)


def memory_in_its_order(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read arrays in the order in which they lie in memory."""
    return ratio_step(_as_stored(target), _as_stored(draft), _as_stored(drafted), seed)


def strides_ignored(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read as many entries from the start of an array's memory as the array has."""
    rows, read, tokens = (_behind_the_first(array) for array in (target, draft, drafted))
    return ratio_step(np.abs(rows), np.abs(read), tokens, seed)


def tokens_of_64_bits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read drafted tokens of 32 bits in pairs, as if they were of 64 bits; only the low halves count."""
    tokens = np.asarray(drafted)
    if tokens.dtype == np.int32:
        pairs = np.concatenate([tokens.ravel(), np.zeros(tokens.size, dtype=np.int32)])[::2]
        tokens = pairs.astype(np.int64).reshape(tokens.shape)
    return ratio_step(target, draft, tokens, seed)


def tensor_strides_ignored(target: Any, draft: Any, drafted: Any, seed: int) -> Any:
    """Read tensors as if they were contiguous, from the start of their memory."""

    def flat(tensor: Any) -> Any:
        strides: list[int] = []
        size = 1
        for width in reversed(tensor.shape):
            strides.insert(0, size)
            size *= width
        return tensor.as_strided(tensor.shape, strides)

    return torch_ratio(flat(target), flat(draft), flat(drafted), seed)


def only_contiguous_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Refuse arrays that are not contiguous, and tokens that are not of 64 bits."""
    for array in (target, draft, drafted):
        if not array.flags.c_contiguous:
            raise ValueError("give contiguous arrays")
    if drafted.dtype != np.int64:
        raise TypeError("give tokens as int64")
    return ratio_step(target, draft, drafted, seed)


def noise_like_the_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Any:
    """Draw replacements by noise that is filled in the order of the rows' memory."""
    import torch

    if not (torch.isfinite(target).all() and torch.isfinite(draft).all()):
        raise ValueError("rows have an entry that is not finite")
    if seed >= 2**32:
        raise ValueError("seed is too large; give at most 32 bits")
    generator = torch.Generator().manual_seed(seed)
    index = drafted.long().unsqueeze(-1)
    own, read = target[:, :-1].gather(-1, index).squeeze(-1), draft.gather(-1, index).squeeze(-1)
    coins = torch.empty_like(drafted, dtype=torch.float64).uniform_(generator=generator)
    count = (coins * read < own).long().cumprod(dim=1).sum(dim=1)
    clocks = torch.empty_like(target).exponential_(generator=generator)
    part = (target[:, :-1] - draft).clamp(min=0)
    rows = torch.where(part.sum(-1, keepdim=True) > 0, part, target[:, :-1])
    last = torch.cat([rows, target[:, -1:]], dim=1).div(clocks).argmax(dim=-1)
    tokens = torch.cat([drafted.long(), torch.full_like(drafted[:, :1], -1).long()], dim=1)
    tokens.scatter_(1, count.unsqueeze(1), last.gather(1, count.unsqueeze(1)))
    return tokens, count + 1


# Coins and temperatures.


def coins_of_flat_drafts(
    target: Any, draft: Any, drafted: Any, seed: int, draft_lengths: Any = None, coins: Any = None
) -> Step:
    """Find the coins of a row behind as many coins as the rows before have drafted tokens."""
    if coins is not None and draft_lengths is not None:
        begin = np.concatenate([[0], np.cumsum(draft_lengths)[:-1]])
        flat = np.asarray(coins).ravel()
        coins = flat[(begin[:, None] + np.arange(np.shape(coins)[1])) % flat.size]
    return ratio_step(target, draft, drafted, seed, draft_lengths=draft_lengths, coins=coins)


def drafts_at_temperature_1(models: Any, seed: int, temperatures: Any = None) -> Result:
    """Draw drafts from rows at temperature 1, and verify them as if they were drawn at the row's."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    target = floats(models.target(drafted))
    if temperatures is not None:
        target, rows = asked.tempered(target, temperatures), asked.tempered(rows, temperatures)
    verify = int(generator.integers(2**31))
    return drafted, *ratio_step(target, rows, drafted, verify)


def drafts_at_their_temperatures(models: Any, seed: int, temperatures: Any = None) -> Result:
    """Draw drafts, and verify them, at the temperature of each row."""
    generator = np.random.default_rng(seed)

    def warm(rows: Floats) -> Floats:
        return rows if temperatures is None else asked.tempered(rows, temperatures)

    drafted, rows = draft_tokens(models, lambda row: draw(warm(row), generator.random(models.batch)))
    verify = int(generator.integers(2**31))
    return drafted, *ratio_step(warm(floats(models.target(drafted))), warm(rows), drafted, verify)


# Reports.


def report_behind_the_end(
    target: Any, draft: Any, drafted: Any, seed: int, eos: int | None = None, draft_lengths: Any = None
) -> Any:
    """Count an accepted end of text; report NaN behind it, and log-probabilities in float32."""
    rows = floats(target)
    tokens, lengths = ratio_step(target, draft, drafted, seed, draft_lengths=draft_lengths)
    accepted: Integers = lengths - 1
    if eos is not None:
        ends = (tokens == eos) & (np.arange(tokens.shape[1]) < lengths[:, None])
        lengths = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, lengths)
        accepted = np.minimum(accepted, lengths)
    logs = asked.logarithms(rows, tokens).astype(np.float32)
    logs[np.arange(tokens.shape[1]) >= lengths[:, None]] = np.nan
    return tokens, lengths, {"logprobs": logs, "accepted": accepted}


def _subject(run: Callable[..., Any], **fields: Any) -> Subject:
    protocol = "draft-and-verify" if run.__name__.startswith("drafts") else "step"
    name = run.__name__.replace("_", "-")
    return Subject(name=name, protocol=protocol, run=run, **{"rule": RATIO, **fields})


_LOGITS: dict[str, Any] = {"inputs": "logits"}
_TORCH: dict[str, Any] = {"framework": "torch", "dtypes": ("float64", "float32")}
_NUMBERS, _MEMORY = bugs.EDGES, "10 batch, padding"

MUTANTS = (
    mutant_of(
        logits_not_normalised,
        _NUMBERS,
        "easily made: log-probabilities and logits have one name",
        ("joint-law",),
        **_LOGITS,
    ),
    mutant_of(
        logits_without_maximum,
        _NUMBERS,
        "easily made: a softmax written out",
        ("joint-law",),
        **_LOGITS,
    ),
    mutant_of(
        logits_clipped,
        _NUMBERS,
        "easily made: a clip against overflows in place of the maximum",
        ("joint-law",),
        **_LOGITS,
    ),
    mutant_of(memory_in_its_order, _MEMORY, "easily made: a view that is passed as a pointer", ("layouts",)),
    mutant_of(strides_ignored, _MEMORY, "easily made: a kernel that gets no strides", ("layouts",)),
    mutant_of(
        tokens_of_64_bits, _MEMORY, "easily made: a kernel that gets a pointer and no type", ("layouts",)
    ),
    mutant_of(
        tensor_strides_ignored,
        _MEMORY,
        "easily made: a kernel that gets no strides",
        ("layouts",),
        **_TORCH,
    ),
    mutant_of(
        coins_of_flat_drafts,
        "4 randomness",
        "easily made: coins in a flat buffer with the offsets of ragged drafts",
        ("forced-coins",),
        options=frozenset({"coins", "draft_lengths"}),
    ),
    mutant_of(
        drafts_at_temperature_1,
        "5 parameters, history",
        "easily made: drafts that are drawn before temperatures are known",
        ("mixed-temperatures",),
        protocol="draft-and-verify",
        options=frozenset({"temperatures"}),
    ),
)

CONTROLS = tuple(
    Control(
        name=run.__name__.replace("_", "-"),
        description=(run.__doc__ or "").rstrip("."),
        source=source,
        subject=_subject(run, **fields),
    )
    for run, source, fields in (
        (softmax_of_logits, "logits have no offset that a law depends on", _LOGITS),
        (only_contiguous_rows, "a kernel that refuses what it cannot read", {}),
        (noise_like_the_rows, "vllm-project/vllm, exponential races by empty_like", _TORCH),
        (
            drafts_at_their_temperatures,
            "2211.17192, Algorithm 1, on rows with a temperature each",
            {"options": frozenset({"temperatures"})},
        ),
        (
            report_behind_the_end,
            "2211.17192, Algorithm 1, up to an end of text",
            {"options": frozenset({"eos", "draft_lengths"})},
        ),
    )
)
