"""vLLM's V2 model runner: ``rejection_sample`` with drafts from its own ``gumbel_sample``, kernels on NumPy.

Both draw from generators keyed by a request's seed and a position. So the step alone, with drafts drawn
elsewhere, and the pair of them can differ: a draft and its replacement must not share their noise. Seeds and
positions are those that the engine passes. Needs an unpacked wheel of vllm (0.33.0 was tried) and torch.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from benchmarks.real_samplers import triton_numpy
from benchmarks.real_samplers.unpacked import Library, load
from benchmarks.real_samplers.vllm_v1 import VARIABLE, library, triton_modules
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import BLOCK, ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject

_GPU = "vllm.v1.worker.gpu"
_GUMBEL = f"{_GPU}.sample.gumbel"
_REJECTION = f"{_GPU}.spec_decode.rejection_sampler_utils"


@functools.cache
def _modules(library: Library) -> tuple[Any, Any]:
    libraries.load("torch", package="torch")
    given = triton_modules()
    gumbel = load(library, _GUMBEL, given=given)
    rejection = load(library, _REJECTION, given={**given, _GUMBEL: gumbel})
    return gumbel, rejection


def _logits(torch: Any, rows: Any) -> Any:
    return torch.as_tensor(np.array(rows)).to(torch.float32).log()


class Engine:
    """Requests of a batch with a seed each, and the calls that the engine makes for them.

    Parameters
    ----------
    library
        Where vLLM is.
    seed
        Of the whole batch; every request gets a 64-bit seed of its own from it.
    batch, draft_length, vocabulary
        Sizes.
    temperature
        Defaults to 1; 0 is greedy.
    """

    def __init__(
        self,
        library: Library,
        seed: int,
        *,
        batch: int,
        draft_length: int,
        vocabulary: int,
        temperature: float = 1.0,
    ) -> None:
        self.torch = torch = libraries.load("torch", package="torch")
        self.gumbel, self.rejection = _modules(library)
        self.batch, self.draft_length, self.vocabulary = batch, draft_length, vocabulary
        words = np.random.SeedSequence(seed).generate_state(batch, np.uint64)
        self.seeds = torch.as_tensor(words.view(np.int64).copy())
        self.temperature = torch.full((batch,), temperature, dtype=torch.float32)
        self.requests = torch.arange(batch, dtype=torch.int32)
        self.draft_logits = torch.zeros((batch, draft_length, vocabulary), dtype=torch.float32)
        self.lanes = max(
            triton_numpy.next_power_of_2(vocabulary), triton_numpy.next_power_of_2(draft_length + 1)
        )

    def sample(self, rows: Any, positions: Any) -> Any:
        """Draw a token per request from the target's rows, as in a step without drafts."""
        with triton_numpy.lanes(self.lanes):
            return self.gumbel.gumbel_sample(
                _logits(self.torch, rows),
                self.requests,
                self.temperature,
                self.seeds,
                positions,
                apply_temperature=True,
                **self._drafting(False),
            )

    def draft(self, rows: Any, positions: Any, step: int) -> Any:
        """Draw draft number `step` per request; `positions` are those of the last emitted tokens."""
        with triton_numpy.lanes(self.lanes):
            return self.gumbel.gumbel_sample(
                _logits(self.torch, rows),
                self.requests,
                self.temperature,
                self.seeds,
                positions + step,
                apply_temperature=True,
                **{name: value for name, value in self._cache(step).items() if name in self._taken},
                **self._drafting(True),
            )

    @property
    def _taken(self) -> Any:
        return inspect.signature(self.gumbel.gumbel_sample).parameters

    def _cache(self, step: int) -> dict[str, Any]:
        """Return where the draft's logits are kept, as 0.24 and as later versions name it."""
        column = self.torch.tensor(step)
        return {
            "logits_cache": self.draft_logits,
            "logits_cache_col": column,
            "output_processed_logits": self.draft_logits,
            "output_processed_logits_col": column,
        }

    def _drafting(self, drafting: bool) -> dict[str, bool]:
        # 0.24 draws drafts and replacements alike.
        return {"is_drafting": drafting} if "is_drafting" in self._taken else {}

    def verify(
        self, target: Any, drafted: Any, positions: Any, *, draft_rows: bool = True, block: bool = False
    ) -> tuple[Any, Any]:
        """Verify the drafts; returns tokens and lengths as NumPy integers."""
        torch = self.torch
        slots = self.draft_length + 1
        logits = _logits(torch, target).reshape(self.batch * slots, self.vocabulary).contiguous()
        expanded = self.requests.repeat_interleave(slots)
        local = torch.arange(slots, dtype=torch.int32).repeat(self.batch)
        at = (positions[:, None] + torch.arange(slots)[None, :]).reshape(-1)
        ids = torch.cat(
            (torch.zeros((self.batch, 1), dtype=torch.int32), drafted.to(torch.int32)), dim=1
        ).reshape(-1)
        with triton_numpy.lanes(self.lanes):
            self.gumbel.apply_temperature(logits, expanded, self.temperature)
            tokens, lengths = self.rejection.rejection_sample(
                logits,
                self.draft_logits if draft_rows else None,
                ids,
                torch.arange(self.batch + 1, dtype=torch.int32) * slots,
                at,
                self.requests,
                expanded,
                local,
                self.temperature,
                self.seeds,
                self.draft_length,
                **({"use_block_verification": True} if block else {}),
            )
        return tokens.numpy().astype(np.int64), lengths.numpy().astype(np.int64)


class _Run:
    def __init__(
        self, library: Library, *, block: bool = False, draft_rows: bool = True, greedy_drafts: bool = False
    ) -> None:
        self.library = library
        self.block = block
        self.draft_rows = draft_rows
        self.greedy_drafts = greedy_drafts


#: Position of the last token of a prompt, for requests without one.
_START = 7


class Step(_Run):
    """``rejection_sample`` alone, drafts drawn elsewhere; protocol ``step``."""

    def __call__(
        self, target: Any, draft: Any, drafted: Any, seed: int, *, temperature: float | None = None
    ) -> tuple[Any, Any]:
        """Verify drafts given with their probabilities; computed with in float32."""
        drafted = np.asarray(drafted)
        engine = Engine(
            self.library,
            seed,
            batch=len(drafted),
            draft_length=drafted.shape[1],
            vocabulary=np.shape(target)[-1],
            temperature=1.0 if temperature is None else temperature,
        )
        torch = engine.torch
        if self.draft_rows:
            engine.draft_logits[:] = _logits(torch, draft)
        positions = torch.full((engine.batch,), _START, dtype=torch.long)
        ids = torch.as_tensor(np.array(drafted), dtype=torch.long)
        return engine.verify(target, ids, positions, draft_rows=self.draft_rows, block=self.block)


class DraftAndVerify(_Run):
    """A round of the engine: drafts from ``gumbel_sample``, then ``rejection_sample``."""

    def __call__(self, models: Any, seed: int, *, temperature: float | None = None) -> tuple[Any, Any, Any]:
        """Run one round from the start of a text."""
        engine = Engine(
            self.library,
            seed,
            batch=models.batch,
            draft_length=models.draft_length,
            vocabulary=models.vocabulary,
            temperature=1.0 if temperature is None else temperature,
        )
        positions = engine.torch.full((engine.batch,), _START, dtype=engine.torch.long)
        drafted = _drafts(engine, models.draft, np.zeros((models.batch, 0), np.int64), positions, self)
        target = models.target(drafted)
        tokens, lengths = engine.verify(
            target, engine.torch.as_tensor(drafted), positions, draft_rows=self.draft_rows, block=self.block
        )
        return drafted, tokens, lengths


def _drafts(engine: Engine, draft: Any, begun: Any, positions: Any, run: _Run) -> Any:
    drafted = begun
    for step in range(engine.draft_length):
        rows = draft(drafted)
        if run.greedy_drafts:
            token = np.asarray(rows).argmax(axis=-1)
        else:
            token = engine.draft(rows, positions, step).numpy()
        drafted = np.concatenate((drafted, token[:, None].astype(np.int64)), axis=1)
    return drafted[:, begun.shape[1] :]


class Decoder(_Run):
    """Whole texts: a token from the prompt, then rounds of drafts and verification; protocol ``decoder``.

    Every request goes at its own pace, as in the engine's batches; positions go on from round to round.
    """

    def __call__(
        self, models: Any, prompts: Any, new_tokens: int, seed: int, *, temperature: float | None = None
    ) -> Any:
        """Write `new_tokens` tokens after every prompt, shape ``(batch, m)``."""
        prompts = np.asarray(prompts)
        batch, begun = prompts.shape
        engine = Engine(
            self.library,
            seed,
            batch=batch,
            draft_length=models.draft_length,
            vocabulary=models.vocabulary,
            temperature=1.0 if temperature is None else temperature,
        )
        torch, length = engine.torch, models.draft_length
        texts = np.zeros((batch, begun + new_tokens + 2 * length + 2), np.int64)
        texts[:, :begun] = prompts
        ends = np.full(batch, begun)
        rows = np.asarray(models.target(prompts))[:, -1]
        texts[:, begun] = engine.sample(rows, torch.full((batch,), begun - 1, dtype=torch.long)).numpy()
        ends += 1
        everyone = np.arange(batch)
        while (ends < begun + new_tokens).any():
            positions = torch.as_tensor(ends - 1)
            drafted = np.zeros((batch, length), np.int64)
            for step in range(length):
                known = np.asarray(models.draft(texts[:, : int(ends.max()) + step]))
                row = known[everyone, ends + step - 1]
                token = (
                    row.argmax(axis=-1) if self.greedy_drafts else engine.draft(row, positions, step).numpy()
                )
                drafted[:, step] = token
                texts[everyone, ends + step] = token
            known = np.asarray(models.target(texts[:, : int(ends.max()) + length]))
            target = known[everyone[:, None], ends[:, None] - 1 + np.arange(length + 1)[None, :]]
            tokens, lengths = engine.verify(
                target, torch.as_tensor(drafted), positions, draft_rows=self.draft_rows, block=self.block
            )
            for row in everyone[ends < begun + new_tokens]:
                count = int(lengths[row])
                texts[row, ends[row] : ends[row] + count] = tokens[row, :count]
                ends[row] += count
        return texts[:, begun : begun + new_tokens]


def subjects(variable: str = VARIABLE) -> tuple[Subject, ...]:
    """Return the step, the round and the decoder, for standard and block verification and greedy drafts.

    Parameters
    ----------
    variable
        Environment variable that names the folder of the unpacked wheel.
    """
    found = library(variable)
    name = f"vllm {found.version}: V2 rejection_sample"
    notes = "Kernels on a NumPy stand-in for Triton; a 64-bit seed per request, positions as in the engine."
    shared: dict[str, Any] = {"dtypes": ("float32", "float64"), "notes": notes}
    rounds: tuple[tuple[str, dict[str, Any], Any], ...] = (
        ("standard", {}, RATIO),
        ("block", {"block": True}, BLOCK),
        ("greedy drafts", {"draft_rows": False, "greedy_drafts": True}, ONE_HOT),
        ("greedy drafts, block", {"draft_rows": False, "greedy_drafts": True, "block": True}, ONE_HOT),
    )
    made = []
    has_block = "use_block_verification" in inspect.signature(_modules(found)[1].rejection_sample).parameters
    for text, options, rule in rounds:
        if options.get("block") and not has_block:
            continue
        greedy = bool(options.get("greedy_drafts"))
        made.append(
            Subject(
                name=f"{name}, {text}, drafts drawn elsewhere",
                protocol="step",
                run=Step(found, **options),
                rule=rule,
                draft="never" if greedy else "required",
                **shared,
            )
        )
        made.append(
            Subject(
                name=f"{name}, {text}, with gumbel_sample" if not greedy else f"{name}, {text}, as a round",
                protocol="draft-and-verify",
                run=DraftAndVerify(found, **options),
                rule=None if greedy else rule,
                **shared,
            )
        )
        made.append(
            Subject(
                name=f"{name}, {text}, as a decoder",
                protocol="decoder",
                run=Decoder(found, **options),
                **shared,
            )
        )
    return tuple(made)
