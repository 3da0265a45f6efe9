"""Log lines: vLLM, SGLang, llama.cpp.

vLLM and llama.cpp print marginal rates by position, rounded to three digits; counts are recovered from the
totals in the same line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from specsim.records.servers.log import Format, Setting, Source, add_settings
from specsim.support.intervals import ratio_over

_VLLM = "SpecDecoding metrics:"
_VLLM_FIELDS = {
    "mean": re.compile(r"Mean acceptance length:\s*([\d.]+)"),
    "accepted": re.compile(r"Accepted:\s*(\d+) tokens"),
    "drafted": re.compile(r"Drafted:\s*(\d+) tokens"),
    "rates": re.compile(r"Per-position acceptance rate:\s*([\d., ]+?)(?:,\s*Avg|\s*$)"),
}
_SGLANG = re.compile(r"Decode batch.*?accept len:\s*([\d.]+)")
_LLAMA = re.compile(
    r"draft acceptance(?: rate)?\s*=\s*([\d.]+)\s*\(\s*(\d+) accepted\s*/\s*(\d+) generated\)"
    r"(?:.*?mean acceptance length\s*=\s*([\d.]+))?(?:.*?acceptance rate per position\s*=\s*\(([^)]*)\))?"
)
_LLAMA_DRAFT = re.compile(r"#gen tokens\s*=\s*(\d+).*?dur\(b,g,a\)\s*=\s*[\d.]+,\s*([\d.]+),")


def _read_vllm(source: Source) -> Iterator[Setting]:
    lines = [line for line in source.text.splitlines() if _VLLM in line]
    means, parts = [], []
    for number, line in enumerate(lines, start=1):
        found = {name: pattern.search(line) for name, pattern in _VLLM_FIELDS.items()}
        missing = [name for name, match in found.items() if match is None]
        if missing:
            source.refuse(f"SpecDecoding line {number} has no {missing[0]}; give the whole line")
        text = {name: match[1] for name, match in found.items() if match is not None}
        rates = [source.rate(f"line {number}, rate", part) for part in re.findall(r"[\d.]+", text["rates"])]
        _check_mean(source, source.number(f"line {number}, mean", text["mean"]), rates)
        accepted, drafted = (source.count(name, text[name]) for name in ("accepted", "drafted"))
        if drafted == 0:
            continue
        # By the definition of the mean; rates are rounded more coarsely than tokens are counted.
        rounds = round(accepted / sum(rates)) if sum(rates) else round(drafted / len(rates))
        source.check_drafted(rounds, min(drafted, rounds * len(rates)), len(rates))
        means.append((accepted / rounds, rounds))
        parts.append(source.from_reached(rounds, [rate * rounds for rate in rates]))
    if not parts:
        source.refuse("no line has drafted tokens; give a log with at least one round")
    _warm_up(source, means)
    source.notes.append(
        f"{len(parts)} windows; mean acceptance length counts the bonus; marginal by position"
    )
    yield from add_settings(parts)


def _check_mean(source: Source, mean: float, rates: list[float]) -> None:
    """Refuse a mean acceptance length that is not one more than the sum of the rates by position."""
    if abs(mean - 1 - sum(rates)) > 0.01 + 0.001 * len(rates):
        source.refuse(
            f"mean acceptance length is {mean:g}, but one more than the sum of the rates by position is "
            f"{1 + sum(rates):.2f}: are the rates conditional? give marginal ones, of the same rounds"
        )


def _warm_up(source: Source, means: list[tuple[float, int]]) -> None:
    """Warn if the first window is not like the others."""
    if len(means) < 6:
        return
    values = np.array([mean for mean, _ in means])
    rest = values[1:]
    spread = float(rest.std(ddof=1))
    if spread > 0 and abs(values[0] - rest.mean()) > 4 * spread:
        source.warnings.append(
            f"the first window accepts {values[0]:.2f} tokens per round, the others {rest.mean():.2f}: leave "
            "warm-up out"
        )


def _read_sglang(source: Source) -> Iterator[Setting]:
    values = np.array([source.number("accept len", match) for match in _SGLANG.findall(source.text)])
    if source.draft_length is None:
        source.refuse("the lines do not say the draft length; give it (--draft-length)")
    if values.min() < 1 - 1e-9 or values.max() > source.draft_length + 1 + 1e-9:
        source.refuse(
            f"accept len is {values.min():g} to {values.max():g}, not within 1 to {source.draft_length + 1}; "
            "check "
            "the draft length"
        )
    _warm_up(source, [(float(value), 1) for value in values])
    source.notes.append(
        f"{len(values)} windows of accept len, which counts the bonus; accept rate is not used (its "
        "denominator "
        "changed between versions); a mean and no law"
    )
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    yield Setting(draft_length=source.draft_length, mean=float(values.mean()) - 1, error=error)


def _read_llama(source: Source) -> Iterator[Setting]:
    parts, totals = [], []
    for match in _LLAMA.finditer(source.text):
        accepted, drafted = source.count("accepted", match[2]), source.count("generated", match[3])
        if accepted > drafted:
            source.refuse(
                f"{accepted} accepted of {drafted} generated tokens; no round accepts more than it drafts"
            )
        if match[5]:
            rates = [source.rate("rate per position", part) for part in re.findall(r"[\d.]+", match[5])]
            if match[4]:
                _check_mean(source, source.number("mean acceptance length", match[4]), rates)
            rounds = round(accepted / sum(rates)) if sum(rates) else round(drafted / len(rates))
            source.check_drafted(rounds, min(drafted, rounds * len(rates)), len(rates))
            parts.append(source.from_reached(rounds, [rate * rounds for rate in rates]))
        elif drafted:
            totals.append((accepted, drafted))
    for match in _LLAMA_DRAFT.finditer(source.text):
        tokens = source.count("#gen tokens", match[1])
        if tokens:
            source.notes.append(
                f"drafting took {source.number('dur', match[2]) / tokens:.3f} ms per drafted token"
            )
    if parts:
        source.notes.append(
            f"{len(parts)} statistics; mean acceptance length counts the bonus; marginal by position"
        )
        yield from add_settings(parts)
        return
    if not totals:
        source.refuse("nothing was drafted; give a log with at least one round")
    if source.draft_length is None:
        source.refuse("totals do not say how many rounds there were; give the draft length (--draft-length)")
    accepted, drafted = (sum(column) for column in zip(*totals, strict=True))
    length = source.draft_length
    estimate = ratio_over([a for a, _ in totals], [d / length for _, d in totals])
    source.notes.append(f"{accepted} accepted of {drafted} drafted tokens; a mean and no law")
    yield Setting(
        draft_length=length,
        rounds=drafted // length,
        mean=accepted * length / drafted,
        error=estimate.standard_error,
    )


FORMATS = (
    Format("vllm-log", "log lines of vLLM", lambda text: _VLLM in text, _read_vllm),
    Format("sglang-log", "log lines of SGLang", lambda text: _SGLANG.search(text) is not None, _read_sglang),
    Format(
        "llamacpp-log", "log lines of llama.cpp", lambda text: _LLAMA.search(text) is not None, _read_llama
    ),
)
