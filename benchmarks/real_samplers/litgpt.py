"""litgpt: ``speculative_decoding`` (a round) and ``generate`` of ``litgpt/generate/speculative_decoding.py``.

Needs an unpacked wheel of litgpt (0.5.13 was tried) and torch; lightning and the rest are stubbed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers import torch_calls
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_LITGPT_WHEEL"
_MODULE = "litgpt.generate.speculative_decoding"


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("litgpt", "litgpt", VARIABLE)


@functools.cache
def _module(library: Library) -> Any:
    libraries.load("torch", package="torch")
    return load(library, _MODULE, real=("litgpt.generate.base",), stubbed=("lightning",))


class _Table:
    """A model whose logits are looked up; it keeps the tokens that a cache would hold, by their positions."""

    max_seq_length = 10**6

    def __init__(self, torch: Any, rows: Any) -> None:
        self._torch = torch
        self._rows = rows
        self._ids: dict[int, int] = {}

    def modules(self) -> list[Any]:
        return [self]

    def __call__(self, idx: Any, input_pos: Any, input_pos_maxp1: Any = None) -> Any:
        positions = [int(position) for position in input_pos]
        for position, token in zip(positions, idx[0].tolist(), strict=True):
            self._ids[position] = token
        before = [self._ids[position] for position in range(positions[-1] + 1)]
        rows = self._rows(before, len(positions))
        return self._torch.as_tensor(np.array(rows)).to(self._torch.float32).log()[None]


def _options(temperature: float | None, top_k: int | None, top_p: float | None) -> dict[str, Any]:
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "top_k": top_k,
        "top_p": 1.0 if top_p is None else top_p,
    }


class Round:
    """``speculative_decoding``, by the protocol ``draft-and-verify``; one sequence at a time."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(
        self,
        models: Any,
        seed: int,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> tuple[Any, Any, Any]:
        """Run one round for every row; logits in float32."""
        torch = libraries.load("torch", package="torch")
        module = _module(self.library)
        batch, length = models.batch, models.draft_length

        # Models answer for whole batches; every prefix is asked for once, for all rows.
        @functools.cache
        def draft_rows(before: tuple[int, ...]) -> Any:
            return np.asarray(models.draft(np.tile(np.array(before, np.int64), (batch, 1))))

        @functools.cache
        def target_rows(drafted: tuple[int, ...]) -> Any:
            return np.asarray(models.target(np.tile(np.array(drafted, np.int64), (batch, 1))))

        drafted = np.zeros((batch, length), np.int64)
        tokens = np.full((batch, length + 1), -1, np.int64)
        lengths = np.zeros(batch, np.int64)
        with torch_calls.seeded(torch, seed):
            for row in range(batch):
                seen: tuple[int, ...] = ()

                # Position 0 holds the last emitted token, which the rows take for granted.
                def draft(before: list[int], count: int, row: int = row) -> Any:
                    # The call after a whole accepted draft only fills the cache.
                    return draft_rows(tuple(before[1:length]))[row][None]

                def target(before: list[int], count: int, row: int = row) -> Any:
                    nonlocal seen
                    seen = tuple(before[1:])
                    return target_rows(seen)[row]

                found = module.speculative_decoding(
                    _Table(torch, draft),
                    _Table(torch, target),
                    torch.zeros(1, dtype=torch.long),
                    torch.zeros(1, dtype=torch.long),
                    1,
                    length,
                    **_options(temperature, top_k, top_p),
                )
                drafted[row] = seen
                lengths[row] = len(found)
                tokens[row, : len(found)] = found.numpy()
        return drafted, tokens, lengths


class Decoder:
    """``generate``, by the protocol ``decoder``; one sequence at a time."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(
        self,
        models: Any,
        prompts: Any,
        new_tokens: int,
        seed: int,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Any:
        """Write `new_tokens` tokens after every prompt; tokens are taken as ``generate`` returns them."""
        torch = libraries.load("torch", package="torch")
        module = _module(self.library)
        prompts = torch.as_tensor(np.array(prompts), dtype=torch.long)
        begun = prompts.shape[1]
        out = np.zeros((len(prompts), new_tokens), np.int64)

        def rows_of(model: Any) -> Any:
            return lambda before, count: np.asarray(model(np.array([before], np.int64)))[0, -count:]

        with torch_calls.seeded(torch, seed):
            for row, prompt in enumerate(prompts):
                # Room for more than is wanted, so that the last round is not cut short.
                written, _ = module.generate(
                    _Table(torch, rows_of(models.draft)),
                    _Table(torch, rows_of(models.target)),
                    prompt,
                    begun + new_tokens + models.draft_length + 2,
                    include_prompt=False,
                    speculative_k=models.draft_length,
                    **_options(temperature, top_k, top_p),
                )
                out[row] = written[:new_tokens].numpy()
        return out


def subjects() -> tuple[Subject, ...]:
    """Return the round and the decoder."""
    found = library()
    options = frozenset({"temperature", "top_k", "top_p"})
    shared: dict[str, Any] = {"options": options, "dtypes": ("float32", "float64")}
    return (
        Subject(
            name=f"litgpt {found.version}: speculative_decoding",
            protocol="draft-and-verify",
            run=Round(found),
            rule=RATIO,
            notes="One sequence per call.",
            **shared,
        ),
        Subject(
            name=f"litgpt {found.version}: generate",
            protocol="decoder",
            run=Decoder(found),
            notes="One sequence per call.",
            **shared,
        ),
    )
