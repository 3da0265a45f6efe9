"""Prometheus counters: vLLM, llama.cpp, SGLang, TensorRT-LLM.

Values per position are marginal: in how many rounds that drafted token was accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from specsim.records.servers.log import Format, Setting, Source

_LINE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?\s*$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SPEC = r"(vllm|llamacpp):spec_decode_num_(?:draft|accepted)"

#: By server (model, and instance where it is named): values by name and position.
Counters = dict[str, dict[tuple[str, int | None], float]]


def counters(source: Source, text: str) -> Counters:
    """Return the counters by server, those of several engines of one server added up."""
    found: Counters = {}
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None or match[1].endswith("_created"):
            continue
        name = match[1].removesuffix("_total")
        if "spec" not in name and not name.startswith("sglang:generation_tokens"):
            continue
        labels = dict(_LABEL.findall(match[2] or ""))
        if (series := f"{name}{sorted(labels.items())}") in seen:
            source.refuse(f"line {number}: {name} is given twice with the same labels; give one scrape")
        seen.add(series)
        named = (labels.get("model_name", labels.get("model", "")), labels.get("instance", ""))
        server = " at ".join(filter(None, named))
        value = source.number(f"line {number}, {name}", match[3])
        place = source.count(f"line {number}, position", labels["position"]) if "position" in labels else None
        table = found.setdefault(server, {})
        table[name, place] = table.get((name, place), 0.0) + value
    return found


def _chosen(source: Source) -> dict[tuple[str, int | None], float]:
    servers = counters(source, source.text)
    if not servers:
        source.refuse("no whole line has a counter of speculative decoding; give the whole scrape")
    if source.select is not None:
        if source.select not in servers:
            names = ", ".join(sorted(servers))
            source.refuse(f"no counters of {source.select!r}; select (--select) one of {names}")
        servers = {source.select: servers[source.select]}
    if len(servers) > 1:
        names = ", ".join(sorted(servers))
        source.refuse(
            f"counters of several models or servers: {names}; choose one with select (--select NAME)"
        )
    (server, table), *_ = servers.items()
    kinds = sorted({re.split("[:_]", name)[0] for name, _ in table})
    if len(kinds) > 1:
        source.refuse(f"counters of several servers: {', '.join(kinds)}; give those of one")
    if source.earlier is None:
        source.warnings.append(
            "counters of one scrape begin when the server did, warm-up included; give an earlier scrape "
            "(--since)"
        )
        return table
    before = counters(source, source.earlier).get(server, {})
    found = {key: value - before.get(key, 0.0) for key, value in table.items()}
    if any(value < 0 for (name, _), value in found.items() if "num_" in name or "calls" in name):
        source.refuse(
            "a counter is smaller than in the earlier scrape: the server was started again between them"
        )
    source.notes.append("differences of two scrapes")
    return found


def _read_vllm(source: Source) -> Iterator[Setting]:
    table = _chosen(source)
    prefix = "vllm" if any(name.startswith("vllm:") for name, _ in table) else "llamacpp"

    def total(name: str) -> int:
        key = f"{prefix}:spec_decode_num_{name}"
        if (key, None) not in table:
            source.refuse(f"{key} is missing; give the whole scrape")
        return source.count(key, table[key, None])

    rounds, drafted, accepted = total("drafts"), total("draft_tokens"), total("accepted_tokens")
    key = f"{prefix}:spec_decode_num_accepted_tokens_per_pos"
    places = sorted(place for name, place in table if name == key and place is not None)
    if not places or places != list(range(len(places))):
        source.refuse(f"{key} has the positions {places}; give the whole scrape")
    reached = [source.count(key, table[key, place]) for place in places]
    if sum(reached) != accepted:
        source.refuse(f"positions add up to {sum(reached)} accepted tokens but the counter says {accepted}")
    if rounds:
        source.check_drafted(rounds, drafted, len(places))
    source.notes.append(
        f"{rounds} rounds, {drafted} drafted and {accepted} accepted tokens; marginal by position"
    )
    yield source.from_reached(rounds, reached)


def _read_sglang(source: Source) -> Iterator[Setting]:
    table = _chosen(source)
    calls = table.get(("sglang:spec_verify_calls", None))
    tokens = table.get(("sglang:generation_tokens", None))
    if not calls or tokens is None:
        source.refuse(
            "sglang:spec_verify_calls_total and sglang:generation_tokens_total are needed; the gauges "
            "spec_accept_length and spec_accept_rate are of the last window only"
        )
    if source.draft_length is None:
        source.refuse("the scrape does not say the draft length; give it (--draft-length)")
    source.notes.append(f"{calls:.0f} verify calls, {tokens:.0f} tokens, bonus counted; a mean and no law")
    yield Setting(draft_length=source.draft_length, rounds=int(calls), mean=tokens / calls - 1)


def _read_trtllm(source: Source) -> Iterator[Setting]:
    table = _chosen(source)
    drafted = table.get(("trtllm_spec_decode_num_draft_tokens", None))
    accepted = table.get(("trtllm_spec_decode_num_accepted_tokens", None))
    if not drafted or accepted is None:
        source.refuse(
            "trtllm_spec_decode_num_draft_tokens_total and ..._num_accepted_tokens_total are needed"
        )
    if source.draft_length is None:
        source.refuse("the scrape does not say the draft length; give it (--draft-length)")
    rounds = drafted / source.draft_length
    source.notes.append(f"{drafted:.0f} drafted and {accepted:.0f} accepted tokens; a mean and no law")
    yield Setting(draft_length=source.draft_length, rounds=int(rounds), mean=accepted / rounds)


FORMATS = (
    Format(
        "vllm-metrics",
        "Prometheus counters of vLLM or llama.cpp",
        lambda text: re.search(rf"^{_SPEC}", text, re.MULTILINE) is not None,
        _read_vllm,
    ),
    Format(
        "sglang-metrics",
        "Prometheus counters of SGLang",
        lambda text: re.search(r"^sglang:(spec|generation_tokens)", text, re.MULTILINE) is not None,
        _read_sglang,
    ),
    Format(
        "trtllm-metrics",
        "Prometheus counters of TensorRT-LLM",
        lambda text: re.search(r"^trtllm_spec_decode", text, re.MULTILINE) is not None,
        _read_trtllm,
    ),
)
