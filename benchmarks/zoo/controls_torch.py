"""The ratio rule in torch, which is imported when it is called."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.model import Control
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject


def torch_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    """Apply the ratio rule to tensors, in float64."""
    import torch

    target, draft = target.double(), draft.double()
    if not (torch.isfinite(target).all() and torch.isfinite(draft).all()):
        raise ValueError("rows have an entry that is not finite")
    # The generator of a processor reads 32 bits of a seed and would drop the others.
    if seed >= 2**32:
        raise ValueError("seed is too large; give at most 32 bits")
    generator = torch.Generator(device=target.device).manual_seed(seed)
    batch, length = drafted.shape
    index = drafted.unsqueeze(-1)
    own = target[:, :-1].gather(-1, index).squeeze(-1)
    drafts = draft.gather(-1, index).squeeze(-1)
    coins = torch.rand((batch, length), generator=generator, dtype=torch.float64, device=target.device)
    # Strictly below: a coin of 0 accepts nothing that has no mass.
    accepted = coins * drafts < own
    count = accepted.long().cumprod(dim=1).sum(dim=1)
    part = (target[:, :-1] - draft).clamp(min=0)
    rows = torch.cat(
        [torch.where(part.sum(-1, keepdim=True) > 0, part, target[:, :-1]), target[:, -1:]], dim=1
    )
    chosen = rows[torch.arange(batch, device=target.device), count]
    last = torch.multinomial(chosen, 1, generator=generator)
    tokens = torch.cat([drafted, torch.full_like(drafted[:, :1], -1)], dim=1)
    tokens.scatter_(1, count.unsqueeze(1), last)
    return tokens, count + 1


CONTROLS = (
    Control(
        name="torch-ratio",
        description="the published rule in torch",
        source="2211.17192, Algorithm 1",
        subject=Subject(
            name="torch-ratio",
            protocol="step",
            run=torch_ratio,
            rule=RATIO,
            framework="torch",
            dtypes=("float64", "float32", "bfloat16", "float16"),
        ),
    ),
)
