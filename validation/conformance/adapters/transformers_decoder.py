"""Hugging Face transformers: whole texts by ``generate(assistant_model=..., do_sample=True)``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from specsim.validation.conformance.adapters.libraries import load, names_version, narrow_seed
from specsim.validation.conformance.subjects import Subject

PACKAGE = "transformers"

#: What the report says, settings of the assistant's generation config, and options of ``generate``.
ASSISTED: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("assisted generation", {}, {}),
    (
        "assisted generation, growing draft length, confidence threshold 0.4",
        {"num_assistant_tokens_schedule": "heuristic_transient", "assistant_confidence_threshold": 0.4},
        {},
    ),
    ("assisted generation, assistant set to temperature 0.5", {"temperature": 0.5}, {}),
)

_models: list[tuple[Any, int, Any]] = []


def assisted(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    settings: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Decode with a target and an assistant whose logits are the rows of the pair.

    The models are `specsim.models.table_model.TableCausalLM`: real `PreTrainedModel` objects with the
    library's own key-value cache, so that a cache that is rolled back wrongly gives wrong rows.

    models, prompts, new_tokens, seed: of the protocol ``"decoder"``. Assisted generation takes one sequence
        at a time; the rows of `prompts` are decoded one after the other, in one stream of torch's global
        generator.
    temperature, top_k, top_p: given to ``generate``, which applies them to both sides in this order; a
        `top_k` of 0 is none.
    settings: set on the assistant's generation config. Releases from 5 on ignore its temperature and take the
        target's on both sides; 4.57 drafts at the assistant's.
    options: more arguments of ``generate``.
    InputError: transformers or torch is missing.
    """
    settings = {
        "num_assistant_tokens": models.draft_length,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
        **(settings or {}),
    }
    target, draft = _tables(models)
    defaults = dict(vars(draft.generation_config))
    try:
        for name, value in settings.items():
            setattr(draft.generation_config, name, value)
        return _generate(
            target,
            prompts,
            new_tokens,
            seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            assistant_model=draft,
            **(options or {}),
        )
    finally:
        vars(draft.generation_config).update(defaults)
        for name in set(vars(draft.generation_config)) - set(defaults):
            delattr(draft.generation_config, name)


def prompt_lookup(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Any:
    """Decode with drafts that are copied from the text so far (``prompt_lookup_num_tokens``).

    Parameters and errors are those of `assisted`; the draft model is not used.
    """
    target, _ = _tables(models)
    return _generate(
        target,
        prompts,
        new_tokens,
        seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        prompt_lookup_num_tokens=models.draft_length,
        max_matching_ngram_size=2,
    )


def _tables(models: Any) -> Any:
    load("torch", package="torch")
    load("transformers", package=PACKAGE)
    from specsim.models.table_model import table_models

    if not _models or _models[0][0] is not models.pair or _models[0][1] != models.start:
        _models[:] = [(models.pair, models.start, table_models(models.pair, start=models.start))]
    return _models[0][2]


def _generate(target: Any, prompts: Any, new_tokens: int, seed: int, **options: Any) -> Any:
    torch = load("torch", package="torch")
    ids = torch.as_tensor(np.asarray(prompts), dtype=torch.long)
    tokens = np.zeros((len(ids), new_tokens), np.int64)
    state = torch.random.get_rng_state()
    torch.manual_seed(narrow_seed(seed))
    try:
        for row in range(len(ids)):
            text = target.generate(
                ids[row : row + 1],
                attention_mask=torch.ones_like(ids[row : row + 1]),
                do_sample=True,
                max_new_tokens=new_tokens,
                min_new_tokens=None,
                eos_token_id=None,
                pad_token_id=0,
                **options,
            )
            tokens[row] = text[0, ids.shape[1] :].numpy()
    finally:
        torch.random.set_rng_state(state)
    return tokens


def _subject(text: str, run: Callable[..., Any], notes: str = "") -> Subject:
    return Subject(
        name=names_version(PACKAGE, text),
        protocol="decoder",
        run=run,
        framework="torch",
        dtypes=("float32",),
        options=frozenset({"temperature", "top_k", "top_p"}),
        notes=notes,
    )


def subjects() -> tuple[Subject, ...]:
    """Return assisted generation in several settings, and prompt lookup."""
    return (
        *(
            _subject(text, partial(assisted, settings=settings, options=options))
            for text, settings, options in ASSISTED
        ),
        _subject("prompt lookup", prompt_lookup, "Drafts are copied from the text; the rule is a match."),
    )
