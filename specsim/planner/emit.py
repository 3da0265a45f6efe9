"""The configuration of an engine for a plan.

Names were read in the engines' sources and documentation; no engine was started with them here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from specsim.support.checks import named

if TYPE_CHECKING:
    from specsim.planner.plan import Plan

_METHOD = "<eagle3, mtp, draft_model, ngram, ...>"


def emit(plan: Plan, engine: str) -> str:
    """Return the configuration, with comments that say what it rests on."""
    writer = named("engine", engine, {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm})
    lengths = {choice.batch: choice.row(choice.best).draft_length for choice in plan.choices}
    comments = [f"from {plan.source}, costs {plan.costs}"]
    for choice in plan.choices:
        if choice.undecided:
            names = ", ".join(choice.undecided)
            best = f"batch {choice.batch}: {choice.best}"
            comments.append(f"{best}, but the data cannot distinguish it from {names}")
    rules = {choice.best.split(":")[0] for choice in plan.choices if ":" in choice.best}
    unusual = sorted(rules - {"speculative", "ratio", "block-verification", "block"})
    if unusual:
        comments.append(f"the best is by {', '.join(unusual)}, which this engine may not have; lengths only")
    if not any(lengths.values()):
        comments.append("plain decoding is best: leave speculation off")
        return "".join(f"# {line}\n" for line in comments)
    block = bool(rules & {"block-verification", "block"})
    return "".join(f"# {line}\n" for line in comments) + writer(dict(sorted(lengths.items())), block)


def _ranges(lengths: dict[int, int]) -> list[list[int]]:
    """Return [first, last, draft length] by batch size; each planned size serves those up to it."""
    found: list[list[int]] = []
    first = 1
    for batch, length in lengths.items():
        if found and found[-1][2] == length:
            found[-1][1] = batch
        else:
            found.append([first, batch, length])
        first = batch + 1
    return found


def _vllm(lengths: dict[int, int], block: bool) -> str:
    config: dict[str, object] = {"method": _METHOD, "num_speculative_tokens": max(lengths.values())}
    if block:
        config["rejection_sample_method"] = "block"
    if len(lengths) > 1:
        config["num_speculative_tokens_per_batch_size"] = _ranges(lengths)
    return f"--speculative-config '{json.dumps(config)}'\n"


def _sglang(lengths: dict[int, int], block: bool) -> str:
    longest = max(lengths.values())
    lines = [
        "--speculative-algorithm <EAGLE3, STANDALONE, ...>",
        f"--speculative-num-steps {longest} --speculative-eagle-topk 1 --speculative-num-draft-tokens "
        f"{longest + 1}",
    ]
    steps = sorted({length for length in lengths.values() if length})
    if len(steps) > 1:
        lines.append("--speculative-adaptive --speculative-adaptive-config adaptive.json")
        lines.append(f"# adaptive.json: {json.dumps({'candidate_steps': steps})}")
    if block:
        lines.append("# block verification: not in the versions read")
    return "\n".join(lines) + "\n"


def _trtllm(lengths: dict[int, int], block: bool) -> str:
    longest = max(lengths.values())
    lines = [
        "speculative_config:",
        "  decoding_type: <Eagle3, MTP, DraftTarget, ...>",
        f"  max_draft_len: {longest}",
    ]
    ranges = _ranges(lengths)
    if len(ranges) > 1:
        schedule = {first: length for first, _, length in ranges}
        if schedule[1] == longest:
            lines.append(
                "  # smallest batch size of each length; later versions may want the largest one instead"
            )
            lines.append(f"  draft_len_schedule: {{{', '.join(f'{b}: {k}' for b, k in schedule.items())}}}")
        else:
            lines.append(
                "  # no draft_len_schedule: it wants the longest draft at batch size 1, which is not best "
                "here"
            )
    if block:
        lines.append("  # block verification: not in the versions read")
    return "\n".join(lines) + "\n"
