"""JSON with totals: ``vllm bench serve``, TensorRT-LLM iterations, llama.cpp timings, AIPerf summaries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from specsim.records.servers.log import Format, Setting, Source
from specsim.support.intervals import ratio_over


def find(value: Any, name: str) -> list[Any]:
    """Return the values of a name anywhere in a document."""
    found: list[Any] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            found += [item[name]] if name in item else []
            stack += reversed(list(item.values()))
        elif isinstance(item, list):
            stack += reversed(item)
    return found


def _sums(source: Source, rows: Sequence[tuple[int, ...]]) -> tuple[int, int, int]:
    """Return the sums of rounds, drafted and accepted tokens; refuse parts of different draft lengths."""
    for number, (_, drafted, accepted) in enumerate(rows, start=1):
        if accepted > drafted:
            source.refuse(
                f"part {number}: {accepted} accepted of {drafted} drafted tokens; no round accepts more than "
                "it drafts"
            )
    rounds, tokens, accepted = (sum(column) for column in zip(*rows, strict=True))
    length = source.length(rounds, tokens)
    for number, (part, drafted, _) in enumerate(rows, start=1):
        if drafted > part * length:
            source.refuse(
                f"part {number}: {drafted} drafted tokens in {part} rounds are more than {length} each, "
                "which all have on average: draft lengths differ; keep the length fixed"
            )
    return rounds, tokens, accepted


def _one_model(source: Source, documents: list[Any]) -> list[Any]:
    """Return the documents of the model that is selected; refuse those of several."""
    names = [next(iter(find(document, "model_id")), "") for document in documents]
    if source.select is not None:
        documents = [each for each, name in zip(documents, names, strict=True) if name == source.select]
    elif len(set(names)) > 1:
        listed = ", ".join(sorted(map(str, set(names))))
        source.refuse(f"several models: {listed}; choose one with select (--select NAME)")
    if not documents:
        source.refuse(f"no model is called {source.select!r}")
    return documents


def _read_bench(source: Source) -> Iterator[Setting]:
    for document in _one_model(source, source.documents()):
        if not isinstance(document, dict) or "spec_decode_num_drafts" not in document:
            source.refuse("spec_decode_num_drafts is missing; give the JSON of vllm bench serve")
        rounds = source.count("spec_decode_num_drafts", document["spec_decode_num_drafts"])
        drafted = source.count("spec_decode_draft_tokens", document.get("spec_decode_draft_tokens"))
        accepted = source.count("spec_decode_accepted_tokens", document.get("spec_decode_accepted_tokens"))
        rates = document.get("spec_decode_per_position_acceptance_rates")
        source.notes.append(f"{rounds} rounds, {drafted} drafted and {accepted} accepted tokens")
        if not isinstance(rates, list) or not rates:
            yield Setting(
                draft_length=source.length(rounds, drafted), rounds=rounds, mean=accepted / max(rounds, 1)
            )
            continue
        numbers = [source.number("spec_decode_per_position_acceptance_rates", rate) for rate in rates]
        if max(numbers) > 1:
            if max(numbers) > 100:
                source.refuse(f"an acceptance rate is {max(numbers):g}; give fractions or percentages")
            source.notes.append("rates by position are percentages")
            numbers = [rate / 100 for rate in numbers]
        if rounds:
            source.check_drafted(rounds, drafted, len(numbers))
        if abs(sum(numbers) * rounds - accepted) > 0.01 * accepted + 1:
            source.refuse(
                f"rates by position add up to {sum(numbers) * rounds:.0f} accepted tokens but "
                f"spec_decode_accepted_tokens is {accepted}: are they conditional? marginal ones are needed"
            )
        source.notes.append("marginal by position")
        yield source.from_reached(rounds, [rate * rounds for rate in numbers])


def _read_iterations(source: Source) -> Iterator[Setting]:
    rows = []
    for document in source.documents():
        ranks = find(document, "attentionDpRank")
        if ranks and ranks[0] not in (0, None):
            continue
        for stats in find(document, "specDecodingStats"):
            if isinstance(stats, dict):
                rows.append(
                    tuple(
                        source.count(name, stats.get(name))
                        for name in ("numRequestsWithDraftTokens", "numDraftTokens", "numAcceptedTokens")
                    )
                )
    rows = [row for row in rows if row[0]]
    if not rows:
        source.refuse("no iteration has requests with draft tokens; give a log with at least one round")
    rounds, drafted, accepted = _sums(source, rows)
    estimate = ratio_over([row[2] for row in rows], [row[0] for row in rows])
    source.notes.append(
        f"{len(rows)} iterations, {rounds} rounds, {drafted} drafted and {accepted} accepted tokens, bonus "
        "not "
        "counted; a mean and no law"
    )
    yield Setting(
        draft_length=source.length(rounds, drafted),
        rounds=rounds,
        mean=accepted / rounds,
        error=estimate.standard_error,
    )


def _read_timings(source: Source) -> Iterator[Setting]:
    rows = []
    for document in source.documents():
        drafted, accepted = find(document, "draft_n"), find(document, "draft_n_accepted")
        tokens, stated = find(document, "predicted_n"), find(document, "draft_rounds")
        if drafted and accepted and (tokens or stated):
            kept = source.count("draft_n_accepted", accepted[0])
            emitted = source.count("predicted_n", tokens[0]) if tokens else 0
            rounds = source.count("draft_rounds", stated[0]) if stated else emitted - kept
            if rounds < 0:
                source.refuse(f"draft_n_accepted is {kept} of {emitted} tokens; every round emits one more")
            rows.append((rounds, source.count("draft_n", drafted[0]), kept))
    rows = [row for row in rows if row[0]]
    if not rows:
        source.refuse("no timings with drafts; give draft_n, draft_n_accepted and predicted_n")
    rounds, proposed, taken = _sums(source, rows)
    estimate = ratio_over([row[2] for row in rows], [row[0] for row in rows])
    source.notes.append(
        f"{len(rows)} requests, {rounds} rounds (tokens without the accepted ones), {proposed} drafted and "
        f"{taken} accepted tokens; a mean and no law"
    )
    yield Setting(
        draft_length=source.length(rounds, proposed),
        rounds=rounds,
        mean=taken / rounds,
        error=estimate.standard_error,
    )


def _read_sglang(source: Source) -> Iterator[Setting]:
    rows = []
    for document in source.documents():
        calls = find(document, "spec_verify_ct")
        accepted = find(document, "spec_accept_token_num") + find(document, "spec_num_correct_drafts")
        drafted = find(document, "spec_draft_token_num") + find(document, "spec_num_proposed_drafts")
        if calls and accepted and drafted:
            rows.append(
                (
                    source.count("spec_verify_ct", calls[0]),
                    source.count("drafted tokens", drafted[0]),
                    source.count("accepted tokens", accepted[0]),
                )
            )
    rows = [row for row in rows if row[0]]
    if not rows:
        source.refuse("no request has spec_verify_ct with accepted and drafted tokens; give meta_info")
    rounds, drafted_all, kept = _sums(source, rows)
    estimate = ratio_over([row[2] for row in rows], [row[0] for row in rows])
    source.notes.append(
        f"{len(rows)} requests, {rounds} rounds, {drafted_all} drafted and {kept} accepted tokens (rates are "
        "not "
        "used); a mean and no law"
    )
    yield Setting(
        draft_length=source.length(rounds, drafted_all),
        rounds=rounds,
        mean=kept / rounds,
        error=estimate.standard_error,
    )


def _read_aiperf(source: Source) -> Iterator[Setting]:
    document = source.documents()[0]

    def average(name: str) -> float:
        found = find(document, name)
        value = found[0].get("avg") if found and isinstance(found[0], dict) else None
        return source.number(f"{name}.avg", value)

    length = average("spec_decode_token_weighted_acceptance_length")
    share = average("spec_decode_overall_draft_acceptance_rate")
    if length < 1:
        source.refuse(f"acceptance length is {length:g}; it counts the bonus, so that it is at least 1")
    drafted = source.draft_length
    if drafted is None:
        if not 1 < share <= 100 or length == 1:
            source.refuse(
                "the summary does not say the draft length, and a rate of "
                f"{share:g} percent does not contain the draft length; give it (--draft-length)"
            )
        exact = (length - 1) / (share / 100)
        drafted = round(exact)
        if abs(exact - drafted) > 0.05:
            source.refuse(
                f"acceptance length and rate make {exact:.2f} drafted tokens per round: draft lengths differ"
                ", or last rounds were cut short; give the draft length (--draft-length) if it was fixed"
            )
    source.notes.append("acceptance length counts the bonus; the rate is a percentage; a mean and no law")
    yield Setting(draft_length=drafted, mean=length - 1)


def _json_with(*names: str) -> Any:
    pattern = re.compile("|".join(f'"{name}"' for name in names))
    return lambda text: text.lstrip()[:1] in ("{", "[") and pattern.search(text) is not None


def _is_sglang(text: str) -> bool:
    # With a histogram there is a law, which records of rounds are read for.
    return '"spec_verify_ct"' in text and "_histogram" not in text and text.lstrip()[:1] in ("{", "[")


FORMATS = (
    Format("sglang-requests", "meta_info of SGLang without a histogram", _is_sglang, _read_sglang),
    Format("vllm-bench", "JSON of vllm bench serve", _json_with("spec_decode_num_drafts"), _read_bench),
    Format(
        "trtllm-iterations",
        "iteration statistics of TensorRT-LLM",
        _json_with("specDecodingStats"),
        _read_iterations,
    ),
    Format("llamacpp-timings", "timings of llama.cpp", _json_with("draft_n_accepted"), _read_timings),
    Format(
        "aiperf-summary",
        "summary of AIPerf",
        _json_with("spec_decode_token_weighted_acceptance_length"),
        _read_aiperf,
    ),
)
