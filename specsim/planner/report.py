"""A plan in words."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from specsim.support.showing import aligned, as_html

if TYPE_CHECKING:
    from specsim.planner.plan import Choice, Plan

_BAR = 30


def report(plan: Plan) -> str:
    """Return what a person reads: the answer first, then the table, limits, what was understood."""
    lines = [answer(plan), ""]
    for choice in plan.choices:
        lines += [*_table(plan, choice), ""]
    lines += _limits(plan)
    if plan.survivals:
        shown = ", ".join(
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in zip(plan.survivals, plan.survivals_low, plan.survivals_high, strict=True)
        )
        lines += _wrapped(f"At least 1, 2, ... drafted tokens are accepted with probability {shown}.")
    lines += ["", "Understood:", *(line for note in plan.understood for line in _wrapped(f"- {note}", "  "))]
    lines += _wrapped(f"- costs in target calls: {plan.costs}", "  ")
    if plan.warnings:
        lines += ["", "Warnings:", *(line for note in plan.warnings for line in _wrapped(f"- {note}", "  "))]
    return "\n".join(lines)


def notebook(plan: Plan) -> str:
    """Return the answer and the table as HTML for a notebook."""
    columns = ["batch", "candidate", "tokens", "time", "speed_up", "low", "high", "best"]
    notes = [*(f"Warning: {warning}" for warning in plan.warnings), f"Costs in target calls: {plan.costs}"]
    return as_html(answer(plan), plan.to_dataframe()[columns], *notes)


def answer(plan: Plan) -> str:
    """Return the answer in two or three sentences."""
    choice, best = plan.choice, plan.best
    at = f" at batch {choice.batch}" if len(plan.choices) > 1 or choice.batch > 1 else ""
    if best.label == "plain":
        found = f"Decode plainly{at}: nothing is faster at these costs."
    else:
        interval = _interval(best.low, best.high)
        found = f"Best{at}: {best.label}, {best.speed_up:.3f} times as fast as plain decoding{interval}"
        found += f", {best.tokens:.3f} tokens per round."
    if choice.runner_up != choice.best:
        found += f" Margin to the runner-up, {choice.runner_up}: {choice.margin:.2%}"
        if choice.margin_low != choice.margin_high:
            found += f" [{choice.margin_low:.2%}, {choice.margin_high:.2%}]"
        found += "."
    if choice.undecided:
        names = [choice.best, *choice.undecided]
        if all(name.startswith("draft_length=") for name in names):
            names = sorted((name.removeprefix("draft_length=") for name in names), key=int)
        found += f" The data cannot decide between {', '.join(names[:-1])} and {names[-1]}."
    return "\n".join(_wrapped(found))


def _table(plan: Plan, choice: Choice) -> list[str]:
    heads = ["candidate", "tokens", "time", "speed-up", "constant a", "error", ""]
    measured = any(not math.isnan(row.measured) for row in choice.rows)
    if measured:
        heads.insert(4, "measured")
    top = max(row.speed_up for row in choice.rows)
    cells = [heads]
    for row in choice.rows:
        known = not math.isnan(row.constant)
        line = [
            ("* " if row.label == choice.best else "? " if row.label in choice.undecided else "  ")
            + row.label,
            f"{row.tokens:.3f}{_interval(row.tokens_low, row.tokens_high)}",
            f"{row.time:.3f}",
            f"{row.speed_up:.3f}{_interval(row.low, row.high)}",
            f"{row.constant:.3f}" if known else "-",
            f"{row.constant_error:+.1%}" if known else "-",
            "#" * round(_BAR * row.speed_up / top),
        ]
        if measured:
            line.insert(4, "-" if math.isnan(row.measured) else f"{row.measured:.3f}")
        cells.append(line)
    head = f"Batch {choice.batch} ({choice.throughput:.3f} tokens per target call with the best; * best"
    return [
        head + (", ? not decided):" if choice.undecided else "):"),
        *aligned(cells),
    ]


def _limits(plan: Plan) -> list[str]:
    first = plan.choices[0]
    lines = []
    if plan.break_even_draft is not None and plan.best_to is not None and plan.best_from is not None:
        end = "any cost" if math.isinf(plan.best_to) else f"{plan.best_to:.4f}"
        lines += _wrapped(
            f"{first.best} stays best at batch {first.batch} while a draft step costs {plan.best_from:.4f} "
            f"to {end} "
            f"target calls; beyond {plan.break_even_draft:.4f} nothing beats plain decoding."
        )
        if plan.break_even_batch is not None:
            lines += _wrapped(f"From batch {plan.break_even_batch} on nothing beats plain decoding.")
        else:
            lines += _wrapped(
                "No batch size up to 2^20 makes drafting useless at these costs; calls that grow with their "
                "tokens "
                "need the costs token and free."
            )
    else:
        lines += _wrapped("Costs are a table: no break-even cost or batch size beyond what was measured.")
    row = first.row(first.best)
    if not math.isnan(row.constant) and row.draft_length:
        lines += _wrapped(
            f"The formula of constant acceptance, with the first token's {plan.acceptance:.4f}, guesses "
            f"{row.constant:.3f} tokens per round for {row.label}: {row.constant_error:+.1%}."
        )
    return lines


def _interval(low: float, high: float) -> str:
    return "" if high - low < 1e-9 else f" [{low:.3f}, {high:.3f}]"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
