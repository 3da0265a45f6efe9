"""mlx-lm: whole texts by ``speculative_generate_step``."""

from typing import Any

import numpy as np

from specsim.validation.conformance.adapters.libraries import load, names_version
from specsim.validation.conformance.rules.lossless import MATCH
from specsim.validation.conformance.subjects import Subject

PACKAGE = "mlx-lm"


def speculative_generate(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 0.0,
) -> Any:
    """Decode with a target and a draft whose logits are the rows of the pair, in the library's own KV caches.

    models, prompts, new_tokens, seed: of the protocol ``"decoder"``; the rows of `prompts` are decoded one
        after the other.
    temperature, top_k, top_p: given to ``mlx_lm.sample_utils.make_sampler``, whose order is top-p, top-k,
        temperature.
    Returns: tokens of shape ``(batch, new_tokens)``, and the accepted lengths of the rounds of each row.
    InputError: mlx-lm is missing.
    """
    mx = load("mlx.core", package=PACKAGE)
    generation = load("mlx_lm.generate", package=PACKAGE)
    sampling = load("mlx_lm.sample_utils", package=PACKAGE)
    target = _table_model(models.pair.target[0], models.pair.next_context, models.start)
    draft = _table_model(models.pair.draft[0], models.pair.next_context, models.start)
    sampler = sampling.make_sampler(temp=temperature, top_p=top_p, top_k=top_k)
    mx.random.seed(seed)
    prompts = np.asarray(prompts)
    tokens = np.zeros((len(prompts), new_tokens), np.int64)
    accepted = []
    for row, prompt in enumerate(prompts):
        steps = generation.speculative_generate_step(
            mx.array(prompt.astype(np.uint32)),
            target,
            draft,
            num_draft_tokens=models.draft_length,
            max_tokens=new_tokens,
            sampler=sampler,
        )
        rounds = [0]
        for place, (token, _, from_draft) in enumerate(steps):
            tokens[row, place] = int(token)
            if from_draft:
                rounds[-1] += 1
            else:
                rounds.append(0)
        accepted.append(rounds if rounds[-1] else rounds[:-1])
    return tokens, accepted


def _table_model(rows: Any, next_context: Any, start: int) -> Any:
    """Return a model for mlx-lm whose keys are the token ids, folded to contexts from the cache."""
    mx = load("mlx.core", package=PACKAGE)
    with np.errstate(divide="ignore"):
        logits = np.log(np.asarray(rows)).astype(np.float32)

    class TableModel:
        layers = (None,)

        def __call__(self, inputs: Any, cache: Any = None) -> Any:
            ids = inputs[:, None, :, None].astype(mx.float32)
            if cache is not None:
                ids, _ = cache[0].update_and_fetch(ids, ids)
            history = np.array(ids[0, 0, :, 0]).astype(np.int64)
            first = len(history) - inputs.shape[1]
            context, found = start, np.empty(inputs.shape[1], np.int64)
            for place, token in enumerate(history):
                context = next_context[context, token]
                if place >= first:
                    found[place - first] = context
            return mx.array(logits[found])[None]

    return TableModel()


def subjects() -> tuple[Subject, ...]:
    """Return speculative generation with the library's samplers."""
    return (
        Subject(
            name=names_version(PACKAGE, "speculative_generate_step"),
            protocol="decoder",
            run=speculative_generate,
            rule=MATCH,
            dtypes=("float32",),
            options=frozenset({"temperature", "top_k", "top_p"}),
            notes="Penalties and XTC are not covered: see examples/confirmations/mlx_lm_*.py.",
        ),
    )
