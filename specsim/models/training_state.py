"""A model in training: its steps, and all that a checkpoint has to hold of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.models.training_sizes import Architecture

if TYPE_CHECKING:
    from torch import Tensor

#: First steps, in which the learning rate rises; it does not depend on the number of steps there.
WARM_UP = 20
_LAST_RATE = 0.1
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """A GPT-NeoX of bytes with its optimiser, AdamW.

    Parameters
    ----------
    name
        Names its part of a checkpoint.
    architecture, context
        What is trained, on sequences of how many tokens.
    """

    def __init__(self, name: str, architecture: Architecture, context: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.name = name
        self.rate = architecture.rate
        self.model = AutoModelForCausalLM.from_config(architecture.config(context)).float()
        self.model.train()
        self._weights: dict[str, Tensor] = dict(self.model.named_parameters())
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=self.rate, betas=(0.9, 0.95), weight_decay=0.1
        )

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return sum(weight.numel() for weight in self._weights.values())

    def step(self, batch: Tensor, number: int, steps: int) -> float:
        """Learn from a batch and return its loss in nats per token.

        Parameters
        ----------
        batch
            int64 of shape ``(sequences, context + 1)``.
        number, steps
            Which step it is, counted from 0, and of how many.
        """
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * share_of_rate(number, steps)
        logits = self.model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
        self._optimizer.step()
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the model as `transformers` does."""
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        try:
            logging.disable_progress_bar()
            self.model.save_pretrained(folder)
        finally:
            if shown:
                logging.enable_progress_bar()

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights and the optimiser's averages, by name."""
        found = {}
        for name, weight in self._weights.items():
            found[f"{self.name}.weight.{name}"] = weight.detach()
            for moment in _MOMENTS:
                if moment in (state := self._optimizer.state[weight]):
                    found[f"{self.name}.{moment}.{name}"] = state[moment]
        return found

    def restore(self, tensors: Mapping[str, Tensor], number: int) -> None:
        """Go back to what `tensors` returned after `number` steps, at least one.

        Raises
        ------
        KeyError, RuntimeError
            A tensor is missing or has another shape.
        """
        import torch

        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(tensors[f"{self.name}.weight.{name}"])
                state: dict[str, Any] = {"step": torch.tensor(float(number), dtype=torch.float32)}
                for moment in _MOMENTS:
                    state[moment] = torch.empty_like(weight).copy_(tensors[f"{self.name}.{moment}.{name}"])
                self._optimizer.state[weight] = state


def share_of_rate(number: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine wave down to a tenth."""
    if number < WARM_UP:
        return (number + 1) / WARM_UP
    done = (number - WARM_UP) / max(1, steps - WARM_UP)
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
