"""``specsim models table1``: Decoding-OPT against Decoding-UNO, with the uncertainty that the paper omits."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.models_arguments import (
    chosen_prompts,
    chosen_sampling,
    loaded,
    prompt_options,
    sampling_options,
    seed_option,
    target_and_draft,
)
from specsim.cli.models_results import as_document, check_figure, p_value, write_figure
from specsim.cli.output import JSON_HELP, Count, output_file, progress, show, show_json, write_dataset

if TYPE_CHECKING:
    import xarray

_HELP = """Run the experiment behind Table 1 of arXiv 2411.00841 with TARGET and DRAFT.

For every prompt and epsilon, Decoding-OPT and Decoding-UNO each write --comparisons responses, a scorer
prefers one of each pair, and Decoding-OPT wins the prompt with more than half of the preferences. UNO is run
in both readings: replacing rejected tokens by draws from the target (the paper's text) and from the draft
(its listing). Printed are win rates with exact intervals and sign tests, and, far more telling, the mean
preference and score difference over prompts, all with Holm's correction. The paper's models are
EleutherAI/pythia-2.8b and EleutherAI/pythia-70m.

\b
SCORER is
  log-likelihood        the target's own, per token
  reward:PATH_OR_ID     a Hugging Face reward model (sequence classification, one label)
  module:function       called with lists of prompts and of responses, as texts

\b
Examples:
  specsim models table1 pair/target pair/draft --prompts prompts.txt --seed 1
  specsim models table1 EleutherAI/pythia-2.8b EleutherAI/pythia-70m --prompts alpaca.jsonl --scorer reward:rm
"""


class _Epsilons(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the numbers, or fail with a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            return self.fail(f"{value!r} is not a list of numbers; write 0.1,0.2", param, ctx)


@click.command("table1", help=_HELP)
@target_and_draft
@prompt_options
@click.option("--limit", type=Count(1), metavar="N", help="Number of prompts taken. Default: all.")
@click.option(
    "--epsilons", type=_Epsilons(), default="0.1,0.2,0.4,0.8", show_default=True, metavar="E,E,...",
    help="Of the over-acceptance.",
)  # fmt: skip
@click.option(
    "--comparisons", type=Count(1), default=500, show_default=True, metavar="N", help="Per prompt and cell."
)
@click.option("--scorer", default="log-likelihood", show_default=True, metavar="SCORER", help="See above.")
@click.option(
    "--new-tokens", type=Count(1), default=128, show_default=True, metavar="N", help="Tokens per response."
)
@click.option(
    "--draft-length",
    type=Count(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Drafted tokens per call.",
)
@sampling_options
@click.option("--eos", type=int, metavar="ID", help="Token that ends a response. Default: the target's own.")
@click.option("--ignore-eos", is_flag=True, help="No token ends a response.")
@seed_option
@click.option(
    "--batch",
    type=Count(1),
    default=128,
    show_default=True,
    metavar="N",
    help="Responses written side by side.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.nc", help="Write the result as netCDF.")
@click.option(
    "--figure", type=click.Path(path_type=Path), metavar="FILE", help="Draw the table, as .png or .svg."
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    target: str,
    draft: str,
    device: str | None,
    dtype: str | None,
    threads: int | None,
    prompt: tuple[str, ...],
    prompts: Path | None,
    limit: int | None,
    epsilons: tuple[float, ...],
    comparisons: int,
    scorer: str,
    new_tokens: int,
    draft_length: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    eos: int | None,
    ignore_eos: bool,
    seed: int | None,
    batch: int,
    out: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Run the experiment and report."""
    sampling = chosen_sampling(temperature, top_k, top_p)
    texts = chosen_prompts(prompt, prompts)[:limit]
    check_figure(figure)
    from specsim.cli.models_decode import end_tokens
    from specsim.models.opt_uno import opt_against_uno, responses
    from specsim.models.prompt_files import encode
    from specsim.models.scoring import parse_scorer

    with (
        output_file(out) as temporary,
        loaded(target, draft, device=device, dtype=dtype, threads=threads) as models,
        progress("writing responses", responses(len(texts), len(epsilons), comparisons)) as update,
    ):
        ends = [] if ignore_eos else end_tokens(models) if eos is None else [eos]
        dataset = opt_against_uno(
            models,
            encode(models, texts),
            parse_scorer(scorer, models),
            new_tokens=new_tokens,
            epsilons=epsilons,
            comparisons=comparisons,
            draft_length=draft_length,
            sampling=sampling,
            eos=ends,
            seed=secrets.randbits(64) if seed is None else seed,
            batch=batch,
            progress=update,
        )
        if temporary is not None:
            write_dataset(dataset, temporary)
    if figure is not None:
        from specsim.paper_figures.measured import plot_opt_against_uno

        write_figure(plot_opt_against_uno, dataset, figure, title=f"Table 1: {target} with {draft}")
    if as_json:
        show_json(as_document(dataset, [str(name) for name in dataset.data_vars]))
    else:
        _print(dataset, out, figure)


def _print(dataset: xarray.Dataset, out: Path | None, figure: Path | None) -> None:
    from rich.table import Table

    attrs = dataset.attrs
    rates = dict(zip(dataset["decoder"].values.tolist(), dataset["rejection_rate"].values, strict=True))
    count = dataset.sizes["prompt"]
    title = (
        f"Decoding-OPT against Decoding-UNO: {attrs['target']} with {attrs['draft']}, {count} prompts, "
        f"{attrs['comparisons']} comparisons each"
    )
    wins = Table(title=title, title_justify="left")
    for heading in ("against", "epsilon"):
        wins.add_column(heading)
    for heading in ("won", "lost", "tied", "win rate %", "95 % interval", "p", "p (Holm)", "rejected"):
        wins.add_column(heading, justify="right")
    means = Table(
        title="Preferences, and score of OPT minus score of UNO: means over prompts, Student's intervals",
        title_justify="left",
    )
    for heading in ("against", "epsilon"):
        means.add_column(heading, no_wrap=True)
    for heading in ("prefer %", "95 % interval", "p", "p (Holm)", "score", "95 % interval"):
        means.add_column(heading, justify="right", no_wrap=True)
    levels = dataset["epsilon_level"].values.tolist()
    for cell in range(dataset.sizes["cell"]):
        one = dataset.isel(cell=cell)
        judge, epsilon = str(one["judge"].values), float(one["epsilon"])
        low, high = 100 * one["clopper_pearson"].values
        rate = float(rates["OPT"][levels.index(epsilon)])
        wins.add_row(
            judge,
            f"{epsilon:g}",
            *(str(int(one[name])) for name in ("wins", "losses", "ties")),
            f"{float(one['win_rate']):.1f}",
            f"{low:.1f} .. {high:.1f}",
            p_value(float(one["p_value"])),
            p_value(float(one["p_holm"])),
            f"{100 * rate:.2f} %",
        )
        least, most = 100 * one["preference_interval"].values
        below, above = one["score_difference_interval"].values
        means.add_row(
            judge,
            f"{epsilon:g}",
            f"{100 * float(one['preference']):.2f}",
            f"{least:.2f} .. {most:.2f}",
            p_value(float(one["preference_p_value"])),
            p_value(float(one["preference_p_holm"])),
            f"{float(one['score_difference']):.3g}",
            f"{below:.2g} .. {above:.2g}",
        )
    lossless = float(dataset["lossless_score"].mean())
    lines = [
        f"scorer {attrs['scorer']}; responses of lossless decoding score {lossless:.4g} on average; "
        "'rejected' is Decoding-OPT's share of tokens",
        f"{attrs['new_tokens']} tokens at most, draft length {attrs['draft_length']}, {attrs['sampling']}, "
        f"seed {attrs['seed']}, {attrs['device']}",
    ]
    lines += [f"{what}: {path}" for what, path in (("result", out), ("figure", figure)) if path]
    show(wins, means, *lines)
