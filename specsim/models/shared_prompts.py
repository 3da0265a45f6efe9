"""Log-likelihoods of many continuations of few prompts; each prompt is read once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from specsim.errors import InputError
from specsim.models.caches import CachedModel, context_limit
from specsim.models.rounds import distinct
from specsim.support.arrays import Floats

#: Logits held at once: 16 Mi numbers.
_MOST_LOGITS = 2**24


def log_likelihoods(
    model: Any, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Floats:
    """Return the mean log-probability per token of each continuation under a model, in nats.

    model: a causal language model of transformers that can be decoded here.
    prompts, continuations: token ids; none is empty.
    Returns: shape ``(sequences,)``.
    InputError: a prompt or a continuation is empty.
    """
    if not continuations:
        return np.empty(0)
    if min(map(len, prompts)) < 1 or min(map(len, continuations)) < 1:
        raise InputError("a prompt or a continuation is empty; give at least one token of each")
    out = np.empty(len(prompts))
    # Equal prompts together, and each group padded little.
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), tuple(prompts[index])))
    width = max(map(len, continuations))
    size = max(1, _MOST_LOGITS // (width * int(model.config.get_text_config().vocab_size)))
    for start in range(0, len(order), size):
        group = order[start : start + size]
        out[group] = _of_group(
            model, [prompts[index] for index in group], [continuations[index] for index in group]
        )
    return out


def _of_group(model: Any, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]) -> Floats:
    device = next(model.parameters()).device
    read, width = [len(prompt) - 1 for prompt in prompts], max(map(len, continuations))
    longest = max(read)
    places, equals = distinct(prompts)
    cached = CachedModel(model, len(places), longest + width, context_limit(model))
    lengths = torch.tensor([len(rest) for rest in continuations], device=device)
    begin = torch.tensor(read, device=device)
    last = _padded([prompt[-1:] for prompt in prompts], 1, device)
    rest = _padded(continuations, width, device)
    with torch.inference_mode():
        if longest:
            cached.prefill(_padded([prompts[place][:-1] for place in places], longest, device))
        cached.keep(torch.tensor(equals, device=device))
        cached.roll_back(begin, longest, len(set(read)) == 1)
        # The last token of a continuation is asked for, not read.
        steps = torch.arange(width, device=device)
        logits = cached.read(torch.cat([last, rest[:, :-1]], dim=1), begin[:, None] + steps, keep=width)
        logits = logits.double()
        of_token = logits.gather(-1, rest[..., None])[..., 0] - logits.logsumexp(dim=-1)
        of_token = of_token.masked_fill(steps >= lengths[:, None], 0.0)
        return (of_token.sum(dim=1) / lengths).cpu().numpy()


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> torch.Tensor:
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
    return torch.from_numpy(ids).to(device)
