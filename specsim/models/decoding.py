"""`decode`: batched speculative decoding of transformers language models."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from specsim.algorithms import Algorithm
from specsim.engines.running.memory import available_bytes
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.models.caches import context_limit
from specsim.models.coins import check_seed
from specsim.models.loading import LoadedPair
from specsim.models.results import Clock, Decoded, Memory, RoundRecord
from specsim.models.rounds import Rounds, capacity
from specsim.models.sampling import Sampling
from specsim.models.verification import Verifier, most_children, verifier
from specsim.support.checks import whole

_MOST_TOKENS = 2**24 - 1


def decode(
    models: LoadedPair,
    prompts: Sequence[str | Sequence[int]],
    *,
    algorithm: Algorithm,
    new_tokens: int,
    sampling: Sampling | None = None,
    seed: int,
    eos: int | Sequence[int] | None = None,
    batch: int | None = None,
    first_sequence: int = 0,
    record: Callable[[RoundRecord], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Decoded:
    """Decode every prompt with a draft and a target model.

    The same seed gives a sequence the same coins in every batch; its tokens can differ between batches only
    where a model's rows do, by rounding.

    Parameters
    ----------
    models
        Target and draft.
    prompts
        Token ids, or texts where `models` has a tokenizer.
    algorithm
        One whose rule is among `specsim.models.torch_rules`, on a chain, paths or a tree. A draft length of
        None drafts up to the last position.
    new_tokens
        Tokens to emit per prompt, at least 1.
    sampling
        Temperature, top-k and top-p, of both models. Defaults to None, all of the models' own rows.
    seed
        From 0 to 2^64 - 1.
    eos
        Token or tokens that end a sequence; the token is kept. Defaults to None: no token does.
    batch
        Sequences decoded side by side, at most. Defaults to None, all.
    first_sequence
        Number of the first prompt's sequence, which names its coins; the others follow.
    record
        Called with a `RoundRecord` after every round of every batch.
    progress
        Called after every round with the number of tokens emitted so far.

    Raises
    ------
    InputError
        No or empty prompts, token ids out of range, prompts that leave no room in the context, options out of
        range, or models whose logits are not finite.
    TooLargeError
        Caches and rows of a batch do not fit in memory.
    UnsupportedError
        As `specsim.models.verification.verifier`.

    Examples
    --------
    >>> from specsim import Speculative, models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> decoded = models.decode(pair, [[0]], algorithm=Speculative(draft_length=3), new_tokens=5, seed=1)
    >>> [len(tokens) for tokens in decoded.tokens]
    [5]
    """
    new_tokens = whole("new_tokens", new_tokens, 1, _MOST_TOKENS)
    rule = verifier(algorithm, new_tokens)
    most = most_children(rule.structure)
    if rule.drawing != "independent" and most > models.vocabulary:
        raise UnsupportedError(
            f"{algorithm.label} drafts {most} tokens that differ after one text and the vocabulary has "
            f"{models.vocabulary}; give fewer"
        )
    sampling = Sampling() if sampling is None else sampling
    if not isinstance(sampling, Sampling):
        raise InputError(f"sampling is {sampling!r}; give a specsim.models.Sampling")
    check_seed(seed)
    ids = _token_ids(models, prompts)
    size = len(ids) if batch is None else min(whole("batch", batch, 1, 2**31), len(ids))
    whole("first_sequence", first_sequence, 0, 2**63 - len(ids))
    ends = _ends(models, eos)
    limit = _check_context(models, ids, new_tokens)
    memory = _check_memory(models, rule, max(map(len, ids)), new_tokens, size)
    clock = Clock(models.device)
    on_gpu = torch.device(models.device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(models.device)
    decoded = Decoded(
        tokens=[[] for _ in ids],
        accepted_lengths=[[] for _ in ids],
        drafted_lengths=[[] for _ in ids],
        first_positions=[[] for _ in ids],
        rejected_positions=[[] for _ in ids],
        bonus_positions=[[] for _ in ids],
        rounds=0,
        times=clock.times,
        memory=memory,
        algorithm=algorithm.label,
        seed=seed,
    )
    with torch.inference_mode(), _fitting(size, models.device):
        for start in range(0, len(ids), size):
            rows = list(range(start, min(start + size, len(ids))))
            part = Rounds(
                models,
                rule,
                sampling,
                [ids[row] for row in rows],
                [first_sequence + row for row in rows],
                new_tokens=new_tokens,
                seed=seed,
                eos=ends,
                limit=limit,
                record=record,
                clock=clock,
            )
            part.rows = rows
            part.run(decoded, progress)
            decoded.rounds += part.rounds
    if on_gpu:
        memory.peak = int(torch.cuda.max_memory_allocated(models.device))
    return decoded


def _token_ids(models: LoadedPair, prompts: Sequence[str | Sequence[int]]) -> list[list[int]]:
    """Return checked prompts as lists of token ids."""
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise InputError(
            f"prompts is {type(prompts).__name__}; give a list of texts or of lists of token ids"
        )
    if not prompts:
        raise InputError("prompts is empty; give at least one prompt")
    out = []
    tokens = models.vocabulary
    for number, prompt in enumerate(prompts):
        if isinstance(prompt, str):
            if models.tokenizer is None:
                raise InputError(f"prompts[{number}] is a text but there is no tokenizer; give token ids")
            prompt = models.tokenizer(prompt)["input_ids"]
        try:
            ids = [int(token) for token in prompt]
            whole = all(token == given for token, given in zip(ids, prompt, strict=True))
        except (TypeError, ValueError):
            whole = False
        if not whole:
            raise InputError(f"prompts[{number}] is not a text or a list of token ids; give one of these")
        if not ids:
            raise InputError(f"prompts[{number}] is empty; give at least one token")
        for place, token in enumerate(ids):
            if not 0 <= token < tokens:
                raise InputError(
                    f"prompts[{number}][{place}] is {token}; give token ids from 0 to {tokens - 1}"
                )
        out.append(ids)
    return out


def _ends(models: LoadedPair, eos: int | Sequence[int] | None) -> list[int]:
    if eos is None:
        return []
    tokens = [eos] if isinstance(eos, int) else list(eos)
    for token in tokens:
        whole("eos", token, 0, models.vocabulary - 1)
    return tokens


def _check_context(models: LoadedPair, ids: list[list[int]], new_tokens: int) -> int | None:
    """Return the number of positions that both models know."""
    limits = [context_limit(model) for model in (models.target, models.draft)]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    limit = min(known)
    for number, prompt in enumerate(ids):
        if len(prompt) + new_tokens > limit:
            remedy = "shorten the prompt"
            if len(prompt) < limit:
                remedy += f" or ask for at most {limit - len(prompt)}"
            raise InputError(
                f"prompts[{number}] has {len(prompt)} tokens, with new_tokens {new_tokens} more than the "
                f"context of {limit}; {remedy}"
            )
    return limit


def _check_memory(models: LoadedPair, rule: Verifier, longest: int, new_tokens: int, batch: int) -> Memory:
    """Return what a batch takes; raise before anything is allocated when that is more than there is."""
    nodes = 1 + rule.drafted
    slots = capacity(longest, new_tokens, rule.drafted)
    memory = Memory(weights=models.weight_bytes)
    for model in (models.target, models.draft) if rule.drafted else (models.target,):
        memory.caches += batch * slots * bytes_per_slot(model)
    # Logits of the target, rows of both, and two more copies on the way; distribution functions in float64.
    width = max(4, torch.empty(0, dtype=models.target.dtype).element_size())
    memory.rows = batch * models.vocabulary * (5 * nodes * width + 2 * 8)
    # What each node sees: as truth values, and once more as numbers for models that add them.
    memory.rows += batch * nodes * slots * (1 + width)
    memory.peak = memory.weights + memory.caches + memory.rows
    device = torch.device(models.device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    wanted = memory.caches + memory.rows
    if wanted > free:
        raise TooLargeError(
            f"a batch of {batch} takes {wanted} bytes for caches and rows and {free} are free on {device}; "
            "give a smaller batch"
        )
    return memory


@contextmanager
def _fitting(batch: int, device: Any) -> Iterator[None]:
    """Say in one line that memory ran out: other programs may have taken it since it was counted."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise TooLargeError(
            f"a batch of {batch} ran out of memory on {device}; give a smaller batch"
        ) from None


def bytes_per_slot(model: Any) -> int:
    """Return the bytes of keys and values that a model caches per token of a sequence."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = torch.empty(0, dtype=model.dtype).element_size()
    return int(2 * config.num_hidden_layers * heads * size * width)
