"""``specsim models table1``: Decoding-OPT against Decoding-UNO, with the uncertainty that the paper omits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.models_arguments import Decoding, decoding_options, end_options, ends
from specsim.cli.models_results import (
    as_document,
    check_figure,
    figure_option,
    p_value,
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

_HELP = """Run the experiment of Table 1 of arXiv 2411.00841 with TARGET and DRAFT.

For every prompt and epsilon, Decoding-OPT and Decoding-UNO each write --comparisons responses. A scorer
prefers one response of each pair; Decoding-OPT wins a prompt if it has more than half of the preferences. UNO
is run in two variants: rejected tokens are replaced by draws from the target (the paper's text) or from the
draft (its listing). The command prints win rates with exact intervals and sign tests, and the mean preference
and score difference over prompts, which are more sensitive; p-values have Holm's correction. The paper's
models are EleutherAI/pythia-2.8b and EleutherAI/pythia-70m.

\b
SCORER is
  log-likelihood        log-likelihood per token under TARGET
  reward:PATH_OR_ID     a Hugging Face reward model (sequence classification, one label)
  module:function       your function, called with a list of prompts and a list of responses (texts)

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
@decoding_options(algorithm=False, new_tokens=128, per="response", batch=128)
@click.option("--limit", type=Count(1), metavar="N", help="Use only the first N prompts. Default: all.")
@click.option(
    "--epsilons", type=_Epsilons(), default="0.1,0.2,0.4,0.8", show_default=True, metavar="E,E,...",
    help="Over-acceptance levels of the two decoders.",
)  # fmt: skip
@click.option(
    "--comparisons",
    type=Count(1),
    default=500,
    show_default=True,
    metavar="N",
    help="Comparisons per prompt and epsilon.",
)
@click.option("--scorer", default="log-likelihood", show_default=True, metavar="SCORER", help="See above.")
@click.option(
    "--draft-length",
    type=Count(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Drafted tokens per call.",
)
@end_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.nc", help="Write the result as netCDF.")
@figure_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    asked: Decoding,
    limit: int | None,
    epsilons: tuple[float, ...],
    comparisons: int,
    scorer: str,
    draft_length: int,
    eos: tuple[int, ...],
    ignore_eos: bool,
    out: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Run the experiment and report."""
    texts = asked.texts[:limit]
    check_figure(figure)
    from specsim.models.opt_uno import opt_against_uno, responses
    from specsim.models.prompt_files import encode
    from specsim.models.scoring import parse_scorer

    with (
        output_file(out) as temporary,
        asked.loaded() as models,
        progress("writing responses", responses(len(texts), len(epsilons), comparisons)) as update,
    ):
        dataset = opt_against_uno(
            models,
            encode(models, texts),
            parse_scorer(scorer, models),
            epsilons=epsilons,
            comparisons=comparisons,
            draft_length=draft_length,
            eos=ends(models, eos, ignore_eos),
            progress=update,
            **asked.options,
        )
        if temporary is not None:
            write_dataset(dataset, temporary)
    if figure is not None:
        from specsim.paper_figures.measured import plot_opt_against_uno

        title = f"Table 1: {asked.target} with {asked.draft}"
        write_figure(plot_opt_against_uno, dataset, figure, title=title)
    if as_json:
        show_json(as_document(dataset, [str(name) for name in dataset.data_vars]))
    else:
        _print(dataset, out, figure)


def _print(dataset: xarray.Dataset, out: Path | None, figure: Path | None) -> None:
    attrs = dataset.attrs
    rates = dict(zip(dataset["decoder"].values.tolist(), dataset["rejection_rate"].values, strict=True))
    count = dataset.sizes["prompt"]
    title = (
        f"Decoding-OPT against Decoding-UNO: {attrs['target']} with {attrs['draft']}, {count} prompts, "
        f"{attrs['comparisons']} comparisons each"
    )
    wins: list[Any] = []
    means: list[Any] = []
    levels = dataset["epsilon_level"].values.tolist()
    for cell in range(dataset.sizes["cell"]):
        one = dataset.isel(cell=cell)
        judge, epsilon = str(one["judge"].values), float(one["epsilon"])
        low, high = 100 * one["clopper_pearson"].values
        rate = float(rates["OPT"][levels.index(epsilon)])
        wins.append(
            (
                judge,
                f"{epsilon:g}",
                *(str(int(one[name])) for name in ("wins", "losses", "ties")),
                f"{float(one['win_rate']):.1f}",
                f"{low:.1f} .. {high:.1f}",
                p_value(float(one["p_value"])),
                p_value(float(one["p_holm"])),
                f"{100 * rate:.2f} %",
            )
        )
        least, most = 100 * one["preference_interval"].values
        below, above = one["score_difference_interval"].values
        means.append(
            (
                judge,
                f"{epsilon:g}",
                f"{100 * float(one['preference']):.2f}",
                f"{least:.2f} .. {most:.2f}",
                p_value(float(one["preference_p_value"])),
                p_value(float(one["preference_p_holm"])),
                f"{float(one['score_difference']):.3g}",
                f"{below:.2g} .. {above:.2g}",
            )
        )
    lossless = float(dataset["lossless_score"].mean())
    lines = [
        f"scorer {attrs['scorer']}; responses of lossless decoding score {lossless:.4g} on average; "
        "'rejected' is Decoding-OPT's share of tokens",
        f"{attrs['new_tokens']} tokens at most, draft length {attrs['draft_length']}, {attrs['sampling']}, "
        f"seed {attrs['seed']}, {attrs['device']}",
    ]
    of_prompts = "won", "lost", "tied", "win rate %", "95 % interval", "p", "p (Holm)", "rejected"
    of_scores = "prefer %", "95 % interval", "p", "p (Holm)", "score", "95 % interval"
    words = "Preferences, and score of OPT minus score of UNO: means over prompts, Student's intervals"
    show(
        table(title, ("against", "epsilon"), of_prompts, wins),
        table(words, ("against", "epsilon"), of_scores, means, no_wrap=True),
        *lines,
        *written(out, figure),
    )
