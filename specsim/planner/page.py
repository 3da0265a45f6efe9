"""One self-contained page with sliders: the plan's numbers, and their arithmetic once more in the browser."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.clocks import Clock

if TYPE_CHECKING:
    from specsim.planner.plan import Plan, Row

_TEMPLATE = Path(__file__).with_name("page.html")


def page(plan: Plan) -> str:
    """Return the page; it needs no network."""
    # Nothing in the data may end the script.
    text = json.dumps(page_data(plan), allow_nan=False).replace("<", "\\u003c")
    return _TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/null", text)


def page_data(plan: Plan) -> dict[str, Any]:
    """Return what the page computes with."""
    first = plan.choices[0]
    chains = [row for row in first.rows if _is_chain(plan, row)]
    best = first.row(first.best)
    costs = None
    if isinstance(plan.clock, Clock):
        costs = {
            name: float(getattr(plan.clock, name))
            for name in ("draft", "overhead", "token", "free", "context", "prompt")
        }
    tables = None
    if costs is None:
        tables = {choice.batch: {row.label: row.time for row in choice.rows} for choice in plan.choices}
    return {
        "source": plan.source,
        "costs": costs,
        "tables": tables,
        "batches": [choice.batch for choice in plan.choices],
        "acceptance": plan.acceptance,
        "length": best.draft_length if _is_chain(plan, best) else chains[-1].draft_length,
        "candidates": [_candidate(plan, row, chains) for row in first.rows],
        "notes": [
            f"From {plan.source}; costs {plan.costs}; intervals of {plan.level:.0%}.",
            *plan.understood,
            *(f"Warning: {warning}" for warning in plan.warnings),
        ],
    }


def _is_chain(plan: Plan, row: Row) -> bool:
    return all(width == 1 for width in row.levels)


def _candidate(plan: Plan, row: Row, chains: list[Row]) -> dict[str, Any]:
    chain = _is_chain(plan, row)
    return {
        "label": row.label,
        "levels": list(row.levels),
        "size": 1 + sum(row.levels),
        "chain": chain,
        "tokens": row.tokens,
        # Ends of the interval as shares of the speed-up.
        "low": row.low / row.speed_up,
        "high": row.high / row.speed_up,
        "steps": _survivals(row, chains) if chain else None,
    }


def _survivals(row: Row, chains: list[Row]) -> list[float]:
    """Return survivals of a chain from the tokens per round of shorter chains of its rule."""
    rule = row.label.split(":")[0] if ":" in row.label else ""
    known = {0: 1.0, row.draft_length: row.tokens}
    known |= {
        other.draft_length: other.tokens
        for other in chains
        if other.draft_length < row.draft_length and other.label.startswith(rule) and other.label != "plain"
    }
    found: list[float] = []
    for low, high in pairwise(sorted(known)):
        found += [(known[high] - known[low]) / (high - low)] * (high - low)
    return found
