"""lucidrains' speculative-decoding: ``speculative_decoding``, whole texts in batches."""

from typing import Any

import numpy as np

from specsim.validation.conformance.adapters.libraries import load, names_version, narrow_seed
from specsim.validation.conformance.subjects import Subject

PACKAGE = "speculative-decoding"
MODULE = "speculative_decoding.speculative_decoding"


def decode(models: Any, prompts: Any, new_tokens: int, seed: int, *, temperature: float = 1.0) -> Any:
    """Decode a batch of prompts of one length.

    The models keep the token ids in the cache that the function cuts and shifts, and skip what it says is
    padding (``seq_start_pos``). The library's own ``Decoder`` does not skip it: see
    ``examples/confirmations/lucidrains_batch.py``.

    Parameters
    ----------
    models, prompts, new_tokens, seed
        Parameters of the protocol ``"decoder"``.
    temperature
        Given to the function.

    Raises
    ------
    InputError
        The library or torch is missing.
    """
    torch = load("torch", package="torch")
    library = load(MODULE, package=PACKAGE)
    ids = torch.as_tensor(np.asarray(prompts), dtype=torch.long)
    nets = [_Table(rows[0], models.pair.next_context, models.start) for rows in _tables(models.pair)]
    state = torch.random.get_rng_state()
    torch.manual_seed(narrow_seed(seed))
    try:
        tokens, _ = library.speculative_decoding(
            *nets,
            ids,
            ids.shape[1] + new_tokens,
            gamma=models.draft_length,
            temperature=temperature,
            filter_thres=0.0,
        )
    finally:
        torch.random.set_rng_state(state)
    return tokens.numpy()


def _tables(pair: Any) -> tuple[Any, Any]:
    return pair.target, pair.draft


class _Table:
    """A network for the library: its cache holds the token ids, of shape (batch, 1, length, 1)."""

    def __init__(self, rows: Any, next_context: Any, start: int) -> None:
        with np.errstate(divide="ignore"):
            self.logits = np.log(np.asarray(rows, np.float64))
        self.next_context, self.start = np.asarray(next_context), start

    def __call__(self, x: Any, seq_start_pos: Any, cache: Any = None, return_cache: bool = True) -> Any:
        torch = load("torch", package="torch")
        cached = 0 if cache is None else cache[0].shape[2]
        ids = x[:, cached:, None].float()[:, None]
        if cache is not None:
            ids = torch.cat((cache[0], ids), dim=2)
        history = ids[:, 0, :, 0].numpy().astype(np.int64)
        begins = seq_start_pos.numpy()
        context = np.full(len(history), self.start)
        logits = np.empty((len(history), history.shape[1] - cached, self.logits.shape[1]), np.float32)
        for place in range(history.shape[1]):
            written = place >= begins
            context = np.where(written, self.next_context[context, history[:, place]], context)
            if place >= cached:
                logits[:, place - cached] = self.logits[context]
        return torch.from_numpy(logits), (ids, None)


def subjects() -> tuple[Subject, ...]:
    """Return batched decoding."""
    return (
        Subject(
            name=names_version(PACKAGE, "speculative_decoding"),
            protocol="decoder",
            run=decode,
            framework="torch",
            dtypes=("float32",),
            options=frozenset({"temperature"}),
            notes="With models that skip padding; the library's own Decoder does not.",
        ),
    )
