"""Records of rounds or requests, in any form that `specsim.records.acceptance_logs` reads.

vLLM's per-request metrics, SGLang's ``meta_info``, AIPerf's ``profile_export.jsonl``, plain CSV and JSON.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specsim.records.acceptance_logs import Rounds, records_of
from specsim.records.servers.log import Format, Setting, Source

#: Names that say that acceptance was not decided by the models.
_SYNTHETIC = re.compile(
    r"synthetic_acceptance|SIMULATE_ACC_LEN|FORCE_NUM_ACCEPTED_TOKENS|rejection_sample_method\W+synthetic|"
    r"--spec-decode-acceptance-length"
)


def is_synthetic(text: str) -> bool:
    """Whether a text names an option that fakes acceptance."""
    return _SYNTHETIC.search(text) is not None


def _read(source: Source) -> Iterator[Setting]:
    place = Path(source.place)
    rounds = Rounds(place, source.draft_length)
    warm = 0
    models: set[str] = set()
    for number, record in enumerate(records_of(place, source.text), start=1):
        if _phase(record) == "warmup":
            warm += 1
            continue
        model = _model(record)
        models.add(model)
        if source.select is not None and model != source.select:
            continue
        rounds.add(number, record)
    if source.select is None and len(models) > 1:
        listed = ", ".join(sorted(models))
        source.refuse(f"records of several models: {listed}; choose one with select (--select NAME)")
    if source.select is not None and source.select not in models:
        source.refuse(f"no record is of model {source.select!r}; there are {', '.join(sorted(models))}")
    if warm:
        source.notes.append(f"{warm} warm-up records ignored")
    if not rounds.accepted:
        source.refuse("there are no rounds; give a log with at least one")
    histograms: dict[int, dict[Any, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    lengths: dict[Any, set[int]] = defaultdict(set)
    for accepted, drafted, request, count in zip(
        rounds.accepted, rounds.drafted, rounds.request, rounds.count, strict=True
    ):
        histograms[drafted][request][accepted] += count
        lengths[request].add(drafted)
    totals = {length: sum(sum(h.values()) for h in parts.values()) for length, parts in histograms.items()}
    plain = totals.pop(0, 0)
    if plain:
        source.warnings.append(
            f"{plain} rounds drafted nothing and are ignored; did a rule switch drafting off?"
        )
    if not totals:
        source.refuse("no round drafted anything; give a log with drafts")
    _check_lengths(source, totals, any(len(found - {0}) > 1 for found in lengths.values()))
    source.notes.append(f"{sum(totals.values())} rounds, one by one or as histograms")
    for length in sorted(totals):
        parts = [[part[k] for k in range(length + 1)] for part in histograms[length].values()]
        sums = [sum(column) for column in zip(*parts, strict=True)]
        reached = [sum(sums[place:]) for place in range(1, length + 1)]
        named = all(request is not None for request in histograms[length])
        yield source.from_reached(totals[length], reached, requests=tuple(map(tuple, parts)) if named else ())


def _check_lengths(source: Source, totals: dict[int, int], mixed: bool) -> None:
    """Leave rounds that were cut short out; warn of lengths that change within a request."""
    longest, everything = max(totals), sum(totals.values())
    cut = sum(count for length, count in totals.items() if length < longest)
    if not mixed or not cut:
        return
    if cut <= 0.05 * everything:
        for length in [length for length in totals if length < longest]:
            del totals[length]
        source.warnings.append(
            f"{cut} of {everything} rounds drafted fewer than {longest} tokens, as last rounds do; they are "
            "ignored"
        )
        return
    source.warnings.append(
        "draft lengths change within requests: if the server chose them by what it expected, acceptance of "
        "one "
        "length does not hold for another"
    )


def _model(record: Any) -> str:
    """Return the model that a record names, itself or in its metadata; empty where none is named."""
    if not isinstance(record, dict):
        return ""
    inner = record.get("metadata", {})
    for part in (record, inner if isinstance(inner, dict) else {}):
        for name in ("model", "model_name", "model_id"):
            if name in part:
                return str(part[name])
    return ""


def _phase(record: Any) -> str:
    if not isinstance(record, dict):
        return ""
    inner = record.get("metadata", {})
    found = record.get("phase", record.get("benchmark_phase", ""))
    if not found and isinstance(inner, dict):
        found = inner.get("benchmark_phase", inner.get("phase", ""))
    return str(found)


def _is_rounds(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[") or "," in text.lstrip().split("\n", 1)[0]


FORMATS = (Format("rounds", "records of rounds or requests, CSV or JSON", _is_rounds, _read),)
