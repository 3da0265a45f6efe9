"""A plan in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from specsim.support.showing import aligned, as_html, columns, wrapped

if TYPE_CHECKING:
    from specsim.planner.plan import Choice, Plan

#: Characters of the longest bar; where there is room for fewer than the second number, there are none.
_BAR, _SHORTEST_BAR = 30, 8


def report(plan: Plan) -> str:
    """Return what a person reads: the answer first, then the table, limits, what was understood."""
    lines = [answer(plan), ""]
    for choice in plan.choices:
        lines += [*_table(plan, choice), ""]
    lines += wrapped("tokens/call: emitted tokens per target call. time: of a round, in target calls.")
    lines += _limits(plan)
    if plan.survivals:
        shown = ", ".join(
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in zip(plan.survivals, plan.survivals_low, plan.survivals_high, strict=True)
        )
        lines += wrapped(f"At least 1, 2, ... drafted tokens are accepted with probability {shown}.")
    lines += ["", "Input:", *(line for note in plan.understood for line in wrapped(f"- {note}", "  "))]
    lines += wrapped(f"- costs in target calls: {plan.costs}", "  ")
    if plan.warnings:
        lines += ["", "Warnings:", *(line for note in plan.warnings for line in wrapped(f"- {note}", "  "))]
    return "\n".join(lines)


def notebook(plan: Plan) -> str:
    """Return the answer and the table as HTML for a notebook."""
    shown = ["batch", "candidate", "tokens", "time", "speed_up", "low", "high", "best"]
    notes = [*(f"Warning: {warning}" for warning in plan.warnings), f"Costs in target calls: {plan.costs}"]
    return as_html(answer(plan), plan.to_dataframe()[shown], *notes)


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
    return "\n".join(wrapped(found))


def _table(plan: Plan, choice: Choice) -> list[str]:
    heads = ["candidate", "tokens/call", "time", "speed-up", "formula", "error"]
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
        ]
        if measured:
            line.insert(4, "-" if math.isnan(row.measured) else f"{row.measured:.3f}")
        cells.append(line)
    lines = aligned(cells)
    longest = max(map(len, lines))
    room = min(columns() - longest - 2, _BAR)
    if room >= _SHORTEST_BAR and len(lines) == len(cells):
        bars = ["", *("#" * round(room * row.speed_up / top) for row in choice.rows)]
        lines = [f"{line:{longest}}  {bar}".rstrip() for line, bar in zip(lines, bars, strict=True)]
    head = f"Batch {choice.batch} (best: {choice.throughput:.3f} tokens in the time of a target call; * best"
    return [*wrapped(head + (", ? not decided):" if choice.undecided else "):")), *lines]


def _limits(plan: Plan) -> list[str]:
    first = plan.choices[0]
    lines = []
    if plan.break_even_draft is not None and plan.best_to is not None and plan.best_from is not None:
        end = "any cost" if math.isinf(plan.best_to) else f"{plan.best_to:.4f}"
        lines += wrapped(
            f"{first.best} stays best at batch {first.batch} while a draft step costs {plan.best_from:.4f} "
            f"to {end} "
            f"target calls; beyond {plan.break_even_draft:.4f} nothing beats plain decoding."
        )
        if plan.break_even_batch is not None:
            lines += wrapped(f"From batch {plan.break_even_batch} on nothing beats plain decoding.")
        else:
            lines += wrapped(
                "Drafting pays at every batch size up to 2^20, because these costs do not grow with the "
                "tokens in a call; if they do, give the costs token and free."
            )
    else:
        lines += wrapped("The costs are a table, so no break-even cost or batch size is computed.")
    row = first.row(first.best)
    if not math.isnan(row.constant) and row.draft_length:
        lines += wrapped(
            "formula: the usual (1 - a^(K+1)) / (1 - a), as if every token were accepted with the first "
            f"one's probability a = {plan.acceptance:.4f}. For {row.label} it gives {row.constant:.3f} "
            f"tokens per call, an error of {row.constant_error:+.1%}."
        )
    return lines


def _interval(low: float, high: float) -> str:
    return "" if high - low < 1e-9 else f" [{low:.3f}, {high:.3f}]"
