"""``specsim models measure``: predictions from the rows, and what decoding does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.models_arguments import Decoding, decoding_options
from specsim.cli.models_results import (
    as_document,
    check_figure,
    figure_option,
    number,
    p_value,
    spelled,
    write_figure,
    written,
)
from specsim.cli.output import (
    JSON_HELP,
    Count,
    output_file,
    progress,
    show,
    show_json,
    table,
    write_dataset,
)

if TYPE_CHECKING:
    import xarray

_HELP = """Decode prompts with TARGET and DRAFT by ALGORITHM and compare the result with theory.

The rows (token probabilities) of both models along plain continuations give the expected rejections by
Theorem 1. The rows along the continuations of ALGORITHM give the probability of a rejection at each position.
The command prints prediction and measurement with 95 % intervals, two tests with a stated false-alarm rate
(of the rejections and of the emitted tokens), accepted lengths, and the wall-clock time compared with plain
decoding by the same code. ALGORITHM: as for 'specsim models decode', with drafts drawn independently or
greedily, on a chain, paths, or a tree with the same number of children at all nodes of a depth. The exit code
is 1 if a test disagrees.

\b
Examples:
  specsim models measure pair/target pair/draft speculative:draft_length=4 --prompts prompts.txt --seed 1
  specsim models measure pair/target pair/draft traversal:tree=3-2-1 --prompts prompts.txt
  specsim models measure big small speculative:draft_length=5,bonus=no --prompts p.jsonl --out run.nc
"""

_LINES = (
    ("Theorem 1: rejections without bonus tokens", "theorem_1_estimate"),
    ("rejections predicted", "predicted_rejections_estimate"),
    ("rejections observed", "rejections_estimate"),
    ("difference, paired by prompt", "difference_estimate"),
    ("difference, paired by continuation", "paired_difference_estimate"),
    ("tokens per target call predicted", "predicted_block_efficiency_estimate"),
    ("tokens per target call observed", "block_efficiency_estimate"),
)


@click.command("measure", help=_HELP)
@decoding_options()
@click.option(
    "--repeats", type=Count(1), default=3, show_default=True, metavar="N",
    help="Continuations of each prompt; each is also timed.",
)  # fmt: skip
@click.option(
    "--alpha", type=float, default=1e-6, show_default=True, metavar="P", help="False-alarm rate of the tests."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.nc", help="Write the result as netCDF.")
@figure_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    asked: Decoding, repeats: int, alpha: float, out: Path | None, figure: Path | None, as_json: bool
) -> int:
    """Measure and report; 1 when a test disagrees."""
    check_figure(figure)
    from specsim.models.measuring import measure, steps
    from specsim.models.prompt_files import encode

    with (
        output_file(out) as temporary,
        asked.loaded() as models,
        progress("measuring", steps(repeats)) as update,
    ):
        prompts = encode(models, asked.texts)
        dataset = measure(models, prompts, repeats=repeats, alpha=alpha, progress=update, **asked.options)
        if temporary is not None:
            write_dataset(dataset, temporary)
    if figure is not None:
        from specsim.paper_figures.measured import plot_measurement

        title = f"{dataset.attrs['algorithm']}: {asked.target} with {asked.draft}"
        write_figure(plot_measurement, dataset, figure, title=title)
    if as_json:
        places = ("repeat", "prompt", "step")
        names = [str(name) for name in dataset.data_vars if dataset[name].dims != places]
        show_json(as_document(dataset, names))
    else:
        _print(dataset, out, figure)
    return 0 if dataset.attrs["agrees"] else 1


def _print(dataset: xarray.Dataset, out: Path | None, figure: Path | None) -> None:
    attrs = dataset.attrs
    title = (
        f"{attrs['algorithm']}: {attrs['target']} with {attrs['draft']}, {attrs['prompts']} prompts x "
        f"{attrs['repeats']} continuations of {attrs['new_tokens']} tokens"
    )
    interval = f"{100 * attrs['confidence']:g} % interval"
    rows = [(text, *spelled(dataset[name].values)) for text, name in _LINES if name in dataset]
    means = table(title, ("per continuation",), ("value", "s.e.", interval), rows)
    renderables: list[Any] = [means, _lengths(dataset), _times(dataset)]
    verdict = "agrees" if attrs["agrees"] else "[bold red]DISAGREES[/bold red]"
    catches = float(dataset["detectable_factor"])
    renderables.append(
        f"{verdict}: rejections p = {p_value(float(dataset['rejection_p_value']))}, tokens p = "
        f"{p_value(float(dataset['token_p_value']))}; false alarms of both tests at most {attrs['alpha']:g}"
    )
    renderables.append(
        f"rejections {number(catches)} times as likely as they should be would have been found; rows of the "
        f"decoder's caches are within {float(dataset['row_difference']):.1e} (TV) of those of whole passes"
    )
    low, high = (float(dataset["speed_up_range"][index]) for index in (2, 3))
    renderables.append(
        f"{float(dataset['speed_up_range'][0]):.3f} times as fast as plain decoding (median of "
        f"{attrs['repeats']}, from {low:.3f} to {high:.3f}); {attrs['device']}, seed {attrs['seed']}"
    )
    show(*renderables, *written(out, figure))


def _lengths(dataset: xarray.Dataset) -> Any:
    predicted = dataset.get("predicted_accepted_length_law")
    rows = []
    for index, length in enumerate(dataset["accepted"].values.tolist()):
        value, _, interval = spelled(dataset["accepted_length_law"].values[index])
        theory = ("", "") if predicted is None else spelled(predicted.values[index])[:2]
        rows.append((length, int(dataset["accepted_length_count"][index]), value, interval, *theory))
    headings = ("tokens", "rounds", "observed", "95 % interval", "predicted", "s.e.")
    return table("Accepted drafted tokens of a round", (), headings, rows)


def _times(dataset: xarray.Dataset) -> Any:
    import numpy as np

    tokens = int(dataset.attrs["new_tokens"]) * int(dataset.attrs["prompts"])
    seconds = 1e3 * dataset["seconds"].values / tokens
    rows = []
    for name, values in zip(("plain", dataset.attrs["algorithm"]), seconds, strict=True):
        medians = [*np.median(values, axis=0), np.median(values.sum(axis=1))]
        rows.append((name, *(f"{value:.4f}" for value in medians)))
    title = "Wall-clock time, milliseconds per token (medians)"
    return table(title, ("decoder",), (*dataset["part"].values.tolist(), "total"), rows)
