"""litgpt: ``speculative_decoding`` (one round) and ``generate`` (whole texts) of its speculative script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specsim.validation.conformance.adapters.libraries import load, names_version
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

PACKAGE = "litgpt"
MODULE = "litgpt.generate.speculative_decoding"


class _Table:
    """Stands for litgpt's GPT: rows are a function of the tokens so far; its cache holds them by position."""

    max_seq_length = 2**20

    def __init__(self, rows: Callable[[Any], Any]) -> None:
        # Tokens (1, n), the first n - 1 or fewer of which are cached, to the logits after each of them.
        self.rows = rows
        self.cached = np.zeros(64, np.int64)
        self.seen: list[Any] = []

    def modules(self) -> list[Any]:
        """Return no parts; litgpt looks for one by name."""
        return []

    def __call__(self, idx: Any, input_pos: Any, **ignored: Any) -> Any:
        torch = load("torch", package="torch")
        places = input_pos.numpy()
        self.cached[places] = idx[0].numpy()
        self.seen.append(idx[0].numpy().copy())
        rows = self.rows(self.cached[None, : int(places[-1]) + 1])
        with np.errstate(divide="ignore"):
            logits = np.log(np.asarray(rows, np.float64))[:, places]
        return torch.as_tensor(logits, dtype=torch.float32)


def one_round(models: Any, seed: int, *, temperature: float = 1.0, top_k: int | None = None) -> Any:
    """Draft and verify by ``speculative_decoding``, one row of the batch after the other.

    Parameters
    ----------
    models, seed
        Of the protocol ``"draft-and-verify"``.
    temperature, top_k
        Given to litgpt, whose order is top-k, temperature.

    Raises
    ------
    InputError
        litgpt is missing.
    """
    torch = load("torch", package="torch")
    library = load(MODULE, package=PACKAGE)
    batch, length = models.batch, models.draft_length
    drafted, tokens = np.zeros((batch, length), np.int64), np.zeros((batch, length + 1), np.int64)
    lengths = np.zeros(batch, np.int64)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        with torch.inference_mode():
            for row in range(batch):
                draft, target = _tables_of(models, row)
                emitted = library.speculative_decoding(
                    draft_model=draft,
                    target_model=target,
                    token=torch.zeros(1, dtype=torch.long),
                    input_pos=torch.zeros(1, dtype=torch.long),
                    input_pos_maxp1=1,
                    speculative_k=length,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=1.0,
                ).numpy()
                lengths[row] = len(emitted)
                tokens[row, : len(emitted)] = emitted
                drafted[row] = target.seen[0][1:]
    finally:
        torch.random.set_rng_state(state)
    return drafted, tokens, lengths


def _tables_of(models: Any, row: int) -> tuple[_Table, _Table]:
    """Return one row's models; the first token of litgpt's text stands for the start."""

    def all_rows(tokens: Any) -> Any:
        return np.repeat(tokens, models.batch, axis=0)

    def draft(tokens: Any) -> Any:
        # litgpt asks for the last position alone.
        last = np.asarray(models.draft(all_rows(tokens[:, 1:])), np.float64)[row]
        return np.broadcast_to(last, (1, tokens.shape[1], len(last)))

    def target(tokens: Any) -> Any:
        return np.asarray(models.target(all_rows(tokens[:, 1:])), np.float64)[row : row + 1]

    return _Table(draft), _Table(target)


def generate(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Any:
    """Decode by ``generate``, one prompt after the other; its surplus tokens are cut off.

    Parameters
    ----------
    models, prompts, new_tokens, seed
        Of the protocol ``"decoder"``.
    temperature, top_k
        As in `one_round`.

    Raises
    ------
    InputError
        litgpt is missing.
    """
    torch = load("torch", package="torch")
    library = load(MODULE, package=PACKAGE)
    prompts = np.asarray(prompts)
    tokens = np.zeros((len(prompts), new_tokens), np.int64)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        for row, prompt in enumerate(prompts):
            found, _ = library.generate(
                _Table(models.draft),
                _Table(models.target),
                torch.as_tensor(prompt, dtype=torch.long),
                # It returns fewer tokens than it is asked for.
                len(prompt) + new_tokens + models.draft_length + 2,
                temperature=temperature,
                top_k=top_k,
                include_prompt=False,
                speculative_k=models.draft_length,
            )
            tokens[row] = found[:new_tokens].numpy()
    finally:
        torch.random.set_rng_state(state)
    return tokens


def subjects() -> tuple[Subject, ...]:
    """Return one round, and whole texts."""
    return (
        Subject(
            name=names_version(PACKAGE, "speculative_decoding"),
            protocol="draft-and-verify",
            run=one_round,
            rule=RATIO,
            dtypes=("float32",),
            options=frozenset({"temperature", "top_k"}),
            notes="top_p below 1 raises an exception after a rejection.",
        ),
        Subject(
            name=names_version(PACKAGE, "generate with a draft model"),
            protocol="decoder",
            run=generate,
            dtypes=("float32",),
            options=frozenset({"temperature", "top_k"}),
        ),
    )
