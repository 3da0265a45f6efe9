"""`specsim.models.decode` itself: whole texts by every rule for language models, through table models."""

from functools import partial
from typing import Any

import numpy as np

from specsim.algorithms import Verification, get_rule
from specsim.validation.conformance.adapters.libraries import load
from specsim.validation.conformance.rules import get_rule as law_of
from specsim.validation.conformance.subjects import Subject

#: Rules on a chain, and what each is called among the oracle's rules.
CHAINS = {"ratio": "ratio", "block": "block", "one-hot": "one-hot", "match": "match"}
#: Rules on two paths, whose conditional laws the oracle tests on trees only.
PATHS = ("recursive", "one-hot", "match")


def decoded(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    rule: str,
    drafts: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Any:
    """Decode the rows of `prompts` side by side; arguments and result as in protocol ``"decoder"``.

    InputError: transformers or torch is missing.
    """
    load("torch", package="torch")
    load("transformers", package="transformers")
    from specsim.models import LoadedPair, Sampling, decode, table_models

    target, draft = table_models(models.pair, start=models.start)
    algorithm: Verification = get_rule(rule)(draft_length=models.draft_length, drafts=drafts)
    found = decode(
        LoadedPair(target=target, draft=draft),
        np.asarray(prompts).tolist(),
        algorithm=algorithm,
        new_tokens=new_tokens,
        sampling=Sampling(temperature=temperature, top_k=top_k or None, top_p=top_p),
        seed=seed,
    )
    return np.array(found.tokens, dtype=np.int64), found.accepted_lengths


def subjects() -> tuple[Subject, ...]:
    """Return a subject for each rule on a chain, and on two paths where it serves them."""
    given: list[tuple[str, int, Any]] = [(rule, 1, law_of(name)) for rule, name in CHAINS.items()]
    given += [(rule, 2, None) for rule in PATHS]
    return tuple(
        Subject(
            name=f"specsim.models.decode: {rule}{', two paths' if drafts == 2 else ''}",
            protocol="decoder",
            run=partial(decoded, rule=rule, drafts=drafts),
            rule=law,
            framework="torch",
            dtypes=("float64",),
            options=frozenset({"temperature", "top_k", "top_p"}),
        )
        for rule, drafts, law in given
    )
