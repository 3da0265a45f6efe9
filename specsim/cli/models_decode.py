"""``specsim models decode``: batched speculative decoding of real language models."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.models_arguments import Decoding, decoding_options, end_options, ends
from specsim.cli.output import JSON_HELP, output_file, progress, show, show_json, table

if TYPE_CHECKING:
    from specsim.models import Decoded, LoadedPair

_HELP = """Decode prompts with the checkpoints TARGET and DRAFT, which share a tokenizer.

TARGET and DRAFT are folders or names on the Hugging Face hub. ALGORITHM: see 'specsim expect --help'. It can
draft a chain, paths (drafts=2,draft_length=4) or a tree (tree=2-2-1), with a rule that has a torch rule (see
'specsim rules'). The output has the distribution of TARGET after temperature, top-k and top-p for any DRAFT,
unless the rule is lossy.

\b
Examples:
  specsim models decode pair/target pair/draft speculative:draft_length=4 --prompt "Once" --seed 1
  specsim models decode pair/target pair/draft batch:drafts=3,draft_length=4 --prompts prompts.txt
  specsim models decode pair/target pair/draft traversal:tree=3-2-1 --prompts prompts.txt
  specsim models decode big small speculative:draft_length=5 --prompts prompts.jsonl --out texts.jsonl
"""


@click.command("decode", help=_HELP)
@decoding_options(per="text")
@end_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the texts as JSON Lines.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(asked: Decoding, eos: tuple[int, ...], ignore_eos: bool, out: Path | None, as_json: bool) -> None:
    """Decode and report."""
    from specsim.models import decode

    texts = asked.texts
    with (
        output_file(out) as temporary,
        asked.loaded() as models,
        progress("decoding", asked.new_tokens * len(texts)) as update,
    ):
        decoded = decode(models, texts, eos=ends(models, eos, ignore_eos), progress=update, **asked.options)
        entries = _entries(models, texts, decoded)
        if temporary is not None:
            lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
            temporary.write_text("".join(lines), encoding="utf-8")
    summary = _summary(models, decoded, out)
    if as_json:
        show_json({**summary, "sequences": entries})
    else:
        _print(summary, entries)


def _entries(models: LoadedPair, prompts: list[Any], decoded: Decoded) -> list[dict[str, Any]]:
    entries = []
    for number, (prompt, tokens) in enumerate(zip(prompts, decoded.tokens, strict=True)):
        text = None if models.tokenizer is None else models.tokenizer.decode(tokens)
        entries.append(
            {
                "prompt": prompt,
                "text": text,
                "tokens": tokens,
                "accepted_lengths": decoded.accepted_lengths[number],
                "rejected_positions": decoded.rejected_positions[number],
                "bonus_positions": decoded.bonus_positions[number],
                "target_calls": int(decoded.target_calls[number]),
            }
        )
    return entries


def _summary(models: LoadedPair, decoded: Decoded, out: Path | None) -> dict[str, Any]:
    drafted = sum(map(sum, decoded.drafted_lengths))
    accepted = sum(map(sum, decoded.accepted_lengths))
    return {
        "target": models.names[0],
        "draft": models.names[1],
        "algorithm": decoded.algorithm,
        "seed": decoded.seed,
        "device": str(models.device),
        "tokens": int(decoded.lengths.sum()),
        "target_calls": int(decoded.target_calls.sum()),
        "batched_target_calls": decoded.rounds,
        "rejections": int(decoded.rejections.sum()),
        "drafted_tokens": drafted,
        "accepted_tokens": accepted,
        "tokens_per_target_call": decoded.block_efficiency,
        "seconds": {**asdict(decoded.times), "total": decoded.times.total},
        "bytes": asdict(decoded.memory),
        "out": None if out is None else str(out),
    }


def _print(summary: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    from rich.text import Text

    renderables: list[Any] = []
    for entry in entries:
        given = entry["prompt"]
        made = entry["tokens"] if entry["text"] is None else entry["text"]
        renderables.append(Text.assemble((str(given), "bold"), str(made)))
    title = f"{summary['algorithm']}: {summary['target']} with {summary['draft']}"
    row = (
        summary["tokens"],
        summary["target_calls"],
        f"{summary['tokens_per_target_call']:.3f}",
        summary["rejections"],
        f"{summary['accepted_tokens']} of {summary['drafted_tokens']}",
    )
    headings = ("tokens", "target calls", "tokens per call", "rejections", "accepted of drafted")
    renderables.append(table(title, (), headings, [row]))
    seconds, sizes = summary["seconds"], summary["bytes"]
    parts = ", ".join(f"{name} {seconds[name]:.2f}" for name in ("prefill", "draft", "verify", "overhead"))
    renderables.append(f"seed {summary['seed']}, {summary['device']}, {seconds['total']:.2f} s ({parts})")
    mib = {name: f"{size / 2**20:.1f} MiB" for name, size in sizes.items()}
    renderables.append(
        f"peak memory {mib['peak']} (weights {mib['weights']}, caches {mib['caches']}, rows {mib['rows']})"
    )
    if summary["out"]:
        renderables.append(f"texts: {summary['out']}")
    show(*renderables)
