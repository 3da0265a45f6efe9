"""`specsim.models.decode` itself: whole texts by every rule for language models, through table models."""

from functools import partial
from typing import Any

import numpy as np

from specsim.algorithms import Verification, get_rule
from specsim.validation.conformance.adapters.libraries import load
from specsim.validation.conformance.rules import get_rule as law_of
from specsim.validation.conformance.subjects import Subject

#: Rules on a chain; the oracle knows the law of their accepted lengths, too.
CHAINS = ("ratio", "block", "one-hot", "match")
#: Children of each node by depth, and the rules that are run on them; a longer draft goes on as a chain.
SHAPES: tuple[tuple[str, tuple[int, ...], tuple[str, ...]], ...] = (
    ("two paths", (2, 1), ("recursive", "k-seq", "one-hot", "match", "traversal")),
    (
        "a binary tree",
        (2, 2),
        ("recursive", "k-seq", "traversal", "recursive-distinct", "traversal-distinct", "summed-coin"),
    ),
)


def decoded(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    rule: str,
    widths: tuple[int, ...] = (),
    device: str = "cpu",
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Any:
    """Decode the rows of `prompts` side by side; arguments and result as in protocol ``"decoder"``.

    rule: name of the rule.
    widths: children of each node by depth; 1 where it says nothing.
    device: where the models are.
    InputError: transformers or torch is missing.
    """
    load("torch", package="torch")
    load("transformers", package="transformers")
    from specsim.models import LoadedPair, Sampling, decode, table_models

    length = models.draft_length
    target, draft = (model.to(device) for model in table_models(models.pair, start=models.start))
    algorithm: Verification = get_rule(rule)(tree=(*widths, *(1,) * length)[:length])
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
    """Return a subject for each rule on a chain, on two paths and on a tree, where it serves them."""
    given: list[tuple[str, str, tuple[int, ...], Any]] = [(rule, rule, (), law_of(rule)) for rule in CHAINS]
    given += [(f"{rule}, {shape}", rule, widths, None) for shape, widths, rules in SHAPES for rule in rules]
    return tuple(
        Subject(
            name=f"specsim.models.decode: {name}",
            protocol="decoder",
            run=partial(decoded, rule=rule, widths=widths),
            rule=law,
            framework="torch",
            dtypes=("float64",),
            options=frozenset({"temperature", "top_k", "top_p"}),
        )
        for name, rule, widths, law in given
    )
