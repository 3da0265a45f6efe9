"""Hugging Face transformers: ``_speculative_sampling``, the verification step of assisted generation."""

import inspect
from typing import Any

import numpy as np

from specsim.validation.conformance.adapters.libraries import load, names_version, narrow_seed
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

PACKAGE = "transformers"
MODULE = "transformers.generation.utils"


def speculative_sampling(target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    """Verify with the function as it is in the installed release.

    target, draft: logits, torch tensors of shapes ``(batch, draft_length + 1, vocabulary)`` and ``(batch,
        draft_length, vocabulary)``. The function takes one sequence at a time, so rows of the batch are
        verified one after the other, in one stream of torch's global generator.
    drafted: drafted tokens, integers of shape ``(batch, draft_length)``.
    seed: seeds torch's global generator, whose state is put back afterwards.
    Returns: numPy integers of shapes ``(batch, draft_length + 1)`` and ``(batch,)``.
    InputError: transformers or torch is missing.
    """
    torch = load("torch", package="torch")
    function = load(MODULE, package=PACKAGE)._speculative_sampling
    taken = inspect.signature(function).parameters
    # 4.38 to 4.5x: whether the candidates already ended (a stopping criterion).
    options = {"is_done_candidate": False} if "is_done_candidate" in taken else {}
    target, draft = torch.as_tensor(target), torch.as_tensor(draft)
    ids = torch.as_tensor(drafted, dtype=torch.long, device=target.device)
    batch, length = ids.shape
    tokens = np.zeros((batch, length + 1), np.int64)
    lengths = np.zeros(batch, np.int64)
    prompt = torch.zeros((1, 1), dtype=torch.long, device=target.device)
    state = torch.random.get_rng_state()
    torch.manual_seed(narrow_seed(seed))
    try:
        for row in range(batch):
            candidates = torch.cat((prompt, ids[row : row + 1]), dim=1)
            emitted, matches = function(
                candidates, draft[row : row + 1], length, target[row : row + 1], **options
            )
            lengths[row] = int(matches) + 1
            tokens[row, : emitted.shape[1]] = emitted[0].cpu().numpy()
    finally:
        torch.random.set_rng_state(state)
    return tokens, lengths


def subjects() -> tuple[Subject, ...]:
    """Return the verification step of the installed release."""
    return (
        Subject(
            name=names_version(PACKAGE, "_speculative_sampling"),
            protocol="step",
            run=speculative_sampling,
            rule=RATIO,
            inputs="logits",
            framework="torch",
            dtypes=("float32", "float64"),
            notes="One sequence per call; rows of a batch are verified one after the other.",
        ),
    )
