"""Scorers of responses: the target's own likelihood, a reward model, or any callable.

A scorer is a callable ``scorer(prompts, responses) -> array`` over token ids; higher is better.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from specsim.errors import InputError
from specsim.models import sources
from specsim.support.arrays import Floats

Ids = Sequence[Sequence[int]]


class Scorer(Protocol):
    """What `specsim.models.opt_uno` needs of a scorer."""

    name: str

    def __call__(self, prompts: Ids, responses: Ids) -> Floats:
        """Return one score per response, shape ``(responses,)``."""


class LogLikelihood:
    """Mean log-probability per token under a model, at temperature 1: longer responses are no worse by that.

    Parameters
    ----------
    model
        A causal language model of transformers, as a rule the target.

    Examples
    --------
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> models.LogLikelihood(target)([[0]], [[1, 2]]).round(2)
    array([-3.07])
    """

    name = "log-likelihood"

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, prompts: Ids, responses: Ids) -> Floats:
        """Return one score per response, in nats per token."""
        from specsim.models.shared_prompts import log_likelihoods

        # Responses repeat often where they are short; each is read once.
        keys = [(tuple(prompt), tuple(rest)) for prompt, rest in zip(prompts, responses, strict=True)]
        number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
        scores = log_likelihoods(self._model, [key[0] for key in number], [key[1] for key in number])
        return scores[[number[key] for key in keys]]


class TextScorer:
    """A scorer of texts: prompts and responses are decoded before it is called.

    Parameters
    ----------
    function
        ``function(prompts, responses) -> scores`` over lists of `str`.
    tokenizer
        The tokenizer of the pair, which turns responses into text.
    name
        For reports.

    Examples
    --------
    >>> from specsim.models import TextScorer
    >>> TextScorer(lambda prompts, responses: [0.0] * len(responses), tokenizer=object(), name="none").name
    'none'
    """

    def __init__(self, function: Callable[[list[str], list[str]], Any], tokenizer: Any, name: str) -> None:
        if tokenizer is None:
            raise InputError(f"scorer {name} reads texts, but the pair has no tokenizer; give one that has")
        self._function, self._tokenizer, self.name = function, tokenizer, name

    def __call__(self, prompts: Ids, responses: Ids) -> Floats:
        """Return one score per response."""
        texts = [
            [self._tokenizer.decode(list(ids), skip_special_tokens=True) for ids in side]
            for side in (prompts, responses)
        ]
        scores = np.asarray(self._function(texts[0], texts[1]), dtype=np.float64)
        if scores.shape != (len(responses),) or not np.isfinite(scores).all():
            raise InputError(
                f"scorer {self.name} returned {scores.shape} for {len(responses)} responses, or a score that "
                "is not finite; return one number for each"
            )
        return scores


class RewardModel:
    """A Hugging Face reward model: one number for a prompt and a response, through its own tokenizer.

    Parameters
    ----------
    source
        Hub id or folder of a sequence-classification model with one label.
    device
        Where it runs. Defaults to None, the CPU.
    batch
        Texts at a time.

    Raises
    ------
    InputError
        It cannot be loaded, has more than one label, or lacks weights.

    Examples
    --------
    >>> from specsim.models import RewardModel
    >>> scorer = RewardModel("path/to/reward-model")  # doctest: +SKIP
    """

    def __init__(self, source: str, *, device: Any = None, batch: int = 16) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        origin = sources.source(source, "reward model")
        self._tokenizer = origin.ask(
            lambda: AutoTokenizer.from_pretrained(origin.place, **origin.options), "tokenizer"
        )
        self._model, report = origin.ask(
            lambda: AutoModelForSequenceClassification.from_pretrained(
                origin.place, output_loading_info=True, ignore_mismatched_sizes=True, **origin.options
            ),
            "weights",
        )
        labels = int(self._model.config.num_labels)
        if labels != 1:
            raise InputError(f"reward model {source} has {labels} labels; give one with a single score")
        # A language model has no head for a score; one drawn at random would judge.
        sources.check_whole(origin, report)
        self._model.to(device or "cpu").eval()
        self._batch = batch
        self.name = f"reward:{source}"

    def __call__(self, prompts: list[str], responses: list[str]) -> Floats:
        """Return one score per pair of texts."""
        import torch

        scores = []
        for start in range(0, len(prompts), self._batch):
            here = slice(start, start + self._batch)
            if self._tokenizer.chat_template:
                texts = [
                    self._tokenizer.apply_chat_template(
                        [{"role": "user", "content": one}, {"role": "assistant", "content": other}],
                        tokenize=False,
                    )
                    for one, other in zip(prompts[here], responses[here], strict=True)
                ]
            else:
                texts = [one + other for one, other in zip(prompts[here], responses[here], strict=True)]
            inputs = self._tokenizer(texts, return_tensors="pt", padding=len(texts) > 1, truncation=True)
            with torch.inference_mode():
                logits = self._model(**inputs.to(self._model.device)).logits
            scores.append(logits[:, 0].double().cpu().numpy())
        return np.concatenate(scores)


def parse_scorer(text: str, models: Any) -> Scorer:
    """Return the scorer that `text` spells.

    Parameters
    ----------
    text
        ``log-likelihood`` (the target's own), ``reward:PATH_OR_ID`` (a Hugging Face reward model), or
        ``module:function``, called with lists of prompts and responses as texts.
    models
        The pair.

    Raises
    ------
    InputError
        No such scorer, or it cannot be loaded.
    """
    if text == LogLikelihood.name:
        return LogLikelihood(models.target)
    head, colon, rest = text.partition(":")
    if colon and head == "reward":
        if not rest:
            raise InputError("scorer is 'reward:' without a model; write reward:PATH_OR_ID")
        model = RewardModel(rest)
        return TextScorer(model, models.tokenizer, model.name)
    if colon and head and rest:
        return TextScorer(_load(head, rest), models.tokenizer, text)
    raise InputError(f"scorer is {text!r}; give log-likelihood, reward:PATH_OR_ID or module:function")


def _load(module: str, name: str) -> Callable[[list[str], list[str]], Any]:
    folder = str(Path.cwd())
    added = folder not in sys.path
    if added:
        sys.path.append(folder)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise InputError(f"cannot import the scorer's module {module}: {error}; check its name") from None
    finally:
        if added:
            sys.path.remove(folder)
    if not callable(function):
        raise InputError(f"module {module} has no function {name}; give module:function")
    return function
