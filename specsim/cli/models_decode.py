"""``specsim models decode``: batched speculative decoding of real language models."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.models_arguments import (
    batch_option,
    chosen_algorithm,
    chosen_prompts,
    chosen_sampling,
    loaded,
    prompt_options,
    sampling_options,
    seed_option,
    target_and_draft,
)
from specsim.cli.output import JSON_HELP, Count, output_file, progress, show, show_json

if TYPE_CHECKING:
    from specsim.models import Decoded, LoadedPair

_HELP = """Decode prompts with the checkpoints TARGET and DRAFT, which share a tokenizer: folders or hub ids.

ALGORITHM is as in 'specsim expect --help', on a chain or on paths, with a rule among block
(block-verification), match, one-hot, over-acceptance, ratio (autoregressive, speculative) and recursive
(batch). The output has the law of TARGET after temperature, top-k and top-p, whatever DRAFT is
(over-acceptance aside).

\b
Examples:
  specsim models decode pair/target pair/draft speculative:draft_length=4 --prompt "Once" --seed 1
  specsim models decode pair/target pair/draft batch:drafts=3,draft_length=4 --prompts prompts.txt
  specsim models decode big small speculative:draft_length=5 --prompts prompts.jsonl --out texts.jsonl
"""


@click.command("decode", help=_HELP)
@target_and_draft
@click.argument("algorithm", metavar="ALGORITHM")
@prompt_options
@click.option(
    "--new-tokens", type=Count(1), default=64, show_default=True, metavar="N", help="Tokens to emit."
)
@sampling_options
@seed_option
@click.option(
    "--eos", type=int, multiple=True, metavar="ID", help="Token that ends a text. Default: the target's own."
)
@click.option("--ignore-eos", is_flag=True, help="No token ends a text.")
@batch_option
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the texts as JSON Lines.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    target: str,
    draft: str,
    algorithm: str,
    device: str | None,
    dtype: str | None,
    threads: int | None,
    prompt: tuple[str, ...],
    prompts: Path | None,
    new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    seed: int | None,
    eos: tuple[int, ...],
    ignore_eos: bool,
    batch: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Decode and report."""
    rule = chosen_algorithm(algorithm, new_tokens)
    sampling = chosen_sampling(temperature, top_k, top_p)
    texts = chosen_prompts(prompt, prompts)
    chosen_seed = secrets.randbits(64) if seed is None else seed
    from specsim.models import decode

    with (
        output_file(out) as temporary,
        loaded(target, draft, device=device, dtype=dtype, threads=threads) as models,
        progress("decoding", new_tokens * len(texts)) as update,
    ):
        ends = [] if ignore_eos else list(eos) or end_tokens(models)
        decoded = decode(
            models,
            texts,
            algorithm=rule,
            new_tokens=new_tokens,
            sampling=sampling,
            seed=chosen_seed,
            eos=ends,
            batch=batch,
            progress=update,
        )
        entries = _entries(models, texts, decoded)
        if temporary is not None:
            lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
            temporary.write_text("".join(lines), encoding="utf-8")
    summary = _summary(models, decoded, out)
    if as_json:
        show_json({**summary, "sequences": entries})
    else:
        _print(summary, entries)


def end_tokens(models: LoadedPair) -> list[int]:
    """Return the tokens that end a text, as the target's configuration says."""
    for source in (getattr(models.target, "generation_config", None), models.target.config):
        ends = getattr(source, "eos_token_id", None)
        if ends is not None:
            return [ends] if isinstance(ends, int) else list(ends)
    return []


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
    from rich.table import Table
    from rich.text import Text

    renderables: list[Any] = []
    for entry in entries:
        given = entry["prompt"]
        made = entry["tokens"] if entry["text"] is None else entry["text"]
        renderables.append(Text.assemble((str(given), "bold"), str(made)))
    title = f"{summary['algorithm']}: {summary['target']} with {summary['draft']}"
    table = Table(title=title, title_justify="left")
    for heading in ("tokens", "target calls", "tokens per call", "rejections", "accepted of drafted"):
        table.add_column(heading, justify="right")
    table.add_row(
        str(summary["tokens"]),
        str(summary["target_calls"]),
        f"{summary['tokens_per_target_call']:.3f}",
        str(summary["rejections"]),
        f"{summary['accepted_tokens']} of {summary['drafted_tokens']}",
    )
    renderables.append(table)
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
