"""Weights of a Llama whose next-token rows are those of a pair, for libraries that run nothing else.

The construction is exact up to float32. A first token stands for the start of a text. Heads of attention
copy the tokens 1, 2, ... places back into the residual stream, by rotary angles that single out one
distance; where the text is shorter, they find its first token. One unit of the feed-forward layer lights up
per window of last tokens, and writes the logits of that window. All vectors that are normalised have one
known length, so that normalisation is a known factor. The rows of a draft and of a target are then read
from real key-value caches: a cache that is rolled back wrongly gives wrong rows.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError

Floats = NDArray[np.float64]

#: Most tokens that a row may depend on.
LONGEST_WINDOW = 3
#: Most windows, which is the number of units of the feed-forward layer.
MOST_WINDOWS = 4096
#: Logit of a token that must not occur.
NEVER = -80.0

# Two rotary frequencies are used, which turn by 0.1 and 0.01 per place. The score of a place next to the
# wanted one is lower by 4000 * (1 - cos(0.1)) = 20; the slow frequency tells places apart that the fast one
# mixes up, which are 63 apart.
_HEAD = 16
_BASE = 10_000.0
_PAIRS = (2, 4)
_SHARPNESS = 16_000.0
_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class Llama:
    """Sizes and weights of a one-layer Llama; all matrices as ``(out, in)``.

    Attributes
    ----------
    vocabulary
        Tokens of the pair; the token that starts a text is this number, so the model has one token more.
    hidden, intermediate, heads, head_dim, epsilon, base
        Sizes, the constant of the RMS norms, and the base of the rotary angles.
    weights
        By the names of Hugging Face's ``LlamaForCausalLM``.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    heads: int
    head_dim: int
    epsilon: float
    base: float
    weights: dict[str, NDArray[np.float32]]


def windows_of(next_context: NDArray[np.int64], start: int) -> dict[tuple[int, ...], int]:
    """Return the context of every window of last tokens, -1 standing for the start of the text.

    Raises
    ------
    InputError
        Contexts depend on more than `LONGEST_WINDOW` last tokens, or there are too many windows.
    """
    contexts, vocabulary = next_context.shape
    for length in range(1, LONGEST_WINDOW + 1):
        if (vocabulary + 1) ** length > MOST_WINDOWS:
            break
        ends = np.arange(contexts)[:, None]
        for _ in range(length):
            ends = next_context[ends].reshape(contexts, -1)
        if (ends == ends[0]).all():
            found = {}
            for kept in range(length + 1):
                for word in itertools.product(range(vocabulary), repeat=kept):
                    context = start
                    for token in word:
                        context = int(next_context[context, token])
                    found[(-1,) * (length - kept) + word] = context
            return found
    raise InputError(
        f"next_context of {contexts} contexts depends on more than the last {LONGEST_WINDOW} tokens, or has"
        f" more than {MOST_WINDOWS} windows; give a pair whose rows depend on few last tokens"
    )


def compile_llama(rows: Any, next_context: Any, start: int) -> Llama:
    """Return a Llama with the given rows.

    Parameters
    ----------
    rows
        Shape ``(contexts, vocabulary)``.
    next_context
        Shape ``(contexts, vocabulary)``.
    start
        The context before a text. Texts must begin with the token ``vocabulary``, which never follows.

    Raises
    ------
    InputError
        As `windows_of`.
    """
    rows, table = np.asarray(rows, np.float64), np.asarray(next_context, np.int64)
    windows = windows_of(table, start)
    vocabulary = rows.shape[1]
    words = vocabulary + 1
    length = len(next(iter(windows)))
    # Residual stream: a one-hot word per place back (0, 1, ...), the logits, one number that evens out
    # lengths, and a constant; padded to what kernels like (multiples of 32).
    heads = max(length - 1, 1)
    logits_at = words * length
    spare, constant = logits_at + words, logits_at + words + 1
    hidden = _padded(constant + 1, 32 if heads * _HEAD <= 32 else heads * _HEAD)
    intermediate = _padded(len(windows), 32)

    embedding = np.zeros((words, hidden))
    embedding[np.arange(words), np.arange(words)] = 1.0
    embedding[:, constant] = 1.0
    first_scale = np.sqrt(hidden / (2.0 + hidden * _EPSILON))

    queries, keys = np.zeros((heads * _HEAD, hidden)), np.zeros((heads * _HEAD, hidden))
    values, output = np.zeros((heads * _HEAD, hidden)), np.zeros((hidden, heads * _HEAD))
    if words > _HEAD:
        raise InputError(f"rows have {vocabulary} tokens; give at most {_HEAD - 1}")
    # Rotary angles pair dimension i with i + _HEAD / 2; pair i turns by base ** (-2 i / _HEAD) per place.
    size = np.sqrt(_SHARPNESS) / first_scale
    for head in range(length - 1):
        back = head + 1
        for pair in _PAIRS:
            angle = _BASE ** (-2.0 * pair / _HEAD)
            low, high = head * _HEAD + pair, head * _HEAD + pair + _HEAD // 2
            keys[low, constant] = size
            # The query at place i turns by i; turned back by `back`, it meets the key of place i - back.
            queries[low, constant] = size * np.cos(-back * angle)
            queries[high, constant] = size * np.sin(-back * angle)
        span = slice(head * _HEAD, head * _HEAD + words)
        values[span, :words] = np.eye(words) / first_scale
        output[words * back : words * (back + 1), span] = np.eye(words)

    # After attention the squared length is one per place, and one for the constant.
    second_scale = np.sqrt(hidden / (length + 1.0 + hidden * _EPSILON))
    gate, up = np.zeros((intermediate, hidden)), np.zeros((intermediate, hidden))
    down = np.zeros((hidden, intermediate))
    lit = 50.0
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(rows), NEVER)
    written = np.full((len(windows), words), NEVER)
    for unit, (window, context) in enumerate(windows.items()):
        for place, token in enumerate(reversed(window)):
            gate[unit, words * place + (vocabulary if token < 0 else token)] = 4 * lit / second_scale
        # All places right: 2 * lit before the activation; one wrong: -2 * lit, which gives exactly nothing.
        gate[unit, constant] = -(4 * length - 2) * lit / second_scale
        up[unit, constant] = 1.0 / second_scale / (2 * lit)
        written[unit, :vocabulary] = logs[context]
    down[logits_at : logits_at + words, : len(windows)] = written.T
    squares = (written**2).sum(axis=1)
    most = squares.max() + 1.0
    down[spare, : len(windows)] = np.sqrt(most - squares)
    last_scale = np.sqrt(hidden / (length + 1.0 + most + hidden * _EPSILON))
    head_matrix = np.zeros((words, hidden))
    head_matrix[np.arange(words), logits_at + np.arange(words)] = 1.0 / last_scale

    ones = np.ones(hidden)
    layer = "model.layers.0."
    weights = {
        "model.embed_tokens.weight": embedding,
        layer + "input_layernorm.weight": ones,
        layer + "self_attn.q_proj.weight": queries,
        layer + "self_attn.k_proj.weight": keys,
        layer + "self_attn.v_proj.weight": values,
        layer + "self_attn.o_proj.weight": output,
        layer + "post_attention_layernorm.weight": ones,
        layer + "mlp.gate_proj.weight": gate,
        layer + "mlp.up_proj.weight": up,
        layer + "mlp.down_proj.weight": down,
        "model.norm.weight": ones,
        "lm_head.weight": head_matrix,
    }
    return Llama(
        vocabulary=vocabulary,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        head_dim=_HEAD,
        epsilon=_EPSILON,
        base=_BASE,
        weights={name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()},
    )


def forward(model: Llama, tokens: Any) -> Floats:
    """Return the logits after each token of a text, in float64, by the definition of the architecture.

    Parameters
    ----------
    tokens
        Shape ``(n,)``, the first being ``model.vocabulary``.

    Returns
    -------
    ndarray
        Shape ``(n, vocabulary + 1)``.
    """
    layer = "model.layers.0."
    weights = {name: values.astype(np.float64) for name, values in model.weights.items()}

    def norm(x: Floats) -> Floats:
        result: Floats = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + model.epsilon)
        return result

    def turned(x: Floats) -> Floats:
        half = model.head_dim // 2
        angles = np.arange(len(x))[:, None] * model.base ** (-2.0 * np.arange(half) / model.head_dim)
        cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
        low, high = x[..., :half], x[..., half:]
        return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)

    ids = np.asarray(tokens, np.int64)
    x = weights["model.embed_tokens.weight"][ids]
    inner = norm(x)
    shape = (len(ids), model.heads, model.head_dim)
    queries = turned((inner @ weights[layer + "self_attn.q_proj.weight"].T).reshape(shape))
    keys = turned((inner @ weights[layer + "self_attn.k_proj.weight"].T).reshape(shape))
    values = (inner @ weights[layer + "self_attn.v_proj.weight"].T).reshape(shape)
    scores = np.einsum("ihd,jhd->hij", queries, keys) / np.sqrt(model.head_dim)
    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed = np.einsum("hij,jhd->ihd", scores, values).reshape(len(ids), -1)
    x = x + mixed @ weights[layer + "self_attn.o_proj.weight"].T
    inner = norm(x)
    gate = inner @ weights[layer + "mlp.gate_proj.weight"].T
    lit = gate / (1 + np.exp(-np.clip(gate, -700, 700))) * (inner @ weights[layer + "mlp.up_proj.weight"].T)
    x = x + lit @ weights[layer + "mlp.down_proj.weight"].T
    logits: Floats = norm(x) @ weights["lm_head.weight"].T
    return logits


def _padded(size: int, step: int) -> int:
    return -(-size // step) * step
