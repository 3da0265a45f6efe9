"""Model pairs estimated from text: n-gram models of two orders, read through shared contexts."""

import math
import os
import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.pairs.families import check_size
from specsim.support.arrays import Floats, Integers
from specsim.support.checks import whole
from specsim.support.files import read_file

#: What one token of a text is.
Level = Literal["character", "word", "byte"]

#: The name of the token that stands for everything outside the vocabulary.
UNKNOWN = "<unknown>"

#: A text that is more likely meant as the name of a file.
_FILE_NAME = re.compile(r"\S{1,250}\.(txt|md|rst|csv|json|jsonl|py|html|xml|log|tex)", re.IGNORECASE)


def from_ngrams(
    source: str | os.PathLike[str],
    *,
    horizon: int,
    target_order: int = 2,
    draft_order: int = 1,
    level: Level = "character",
    smoothing: float = 1.0,
    vocabulary: int | None = None,
    name: str | None = None,
) -> ModelPair:
    r"""Estimate a stationary pair from a text: the target is an n-gram model of higher order than the draft.

    **Estimate.** With n(c, x) the number of times that the token x follows the context c in the text and
    n(c) = sum over x of n(c, x), the model of order k is interpolated with the models of lower orders,

    .. math:: P_k(x \mid c) = \frac{n(c, x) + s P_{k-1}(x \mid c')}{n(c) + s}, \qquad
              P_{-1}(x) = 1 / \text{tokens},

    where c holds k tokens, c' drops its oldest one, and s is `smoothing`. A context that never occurs has
    the row of the order below. With s = 0 this is the maximum-likelihood model.

    **Contexts.** Both models are read through the same contexts: the strings of at most
    K = max(`target_order`, `draft_order`) tokens that occur in the text with a token after them. The
    context of a history is its longest suffix among these, which is all that either model looks at, so the
    pair is exactly the pair of order-K chains without a table over all tokens^K strings.

    **Initial law.** The empirical law of the strings of K tokens that have a token after them: a prompt is a
    position of the text picked uniformly at random.

    Parameters
    ----------
    source
        The text itself (a `str`) or the path of a file in UTF-8 (a `pathlib.Path`; with ``level="byte"`` of
        any file).
    horizon
        Tokens to emit.
    target_order, draft_order
        How many previous tokens each model looks at, at least 0.
    level
        ``"character"``; ``"word"``, what stands between white space; or ``"byte"``, of the text in UTF-8 or
        of the file.
    smoothing
        The weight s of the order below, in tokens; finite, at least 0.
    vocabulary
        Keep this many of the most frequent tokens (ties in the order of the tokens) and map all others to
        one more, ``<unknown>``. Defaults to None (keep all).
    name
        A label for reports. Defaults to None, the grammar's spelling where `source` is a path.

    Returns
    -------
    ModelPair
        Stationary, with token names (bytes in hexadecimal, unprintable characters escaped). Probabilities
        below about 2^-33 become zero; ``rounding`` counts them.

    Raises
    ------
    InputError
        An argument is out of range; the file cannot be read or is not UTF-8; the text is empty or not longer
        than the orders; or (`TooLargeError`) the tables would not fit.
    """
    horizon = whole("horizon", horizon, 1)
    target_order = whole("target_order", target_order, 0)
    draft_order = whole("draft_order", draft_order, 0)
    if vocabulary is not None:
        vocabulary = whole("vocabulary", vocabulary, 1)
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float | np.floating):
        raise InputError(f"smoothing is {smoothing!r}; give a number, at least 0")
    if not (math.isfinite(smoothing) and smoothing >= 0):
        raise InputError(f"smoothing is {smoothing}; give a finite number, at least 0")
    if isinstance(source, str) and _FILE_NAME.fullmatch(source):
        raise InputError(
            f"source is {source!r}, which looks like the name of a file and would be read as a text; give "
            f"pathlib.Path({source!r})"
        )
    tokens, names = _tokens(source, level, vocabulary)
    order = max(target_order, draft_order)
    if len(tokens) <= order:
        raise InputError(
            f"the text has {len(tokens)} tokens, too few for order {order}; give at least {order + 1} tokens "
            "or lower the orders"
        )
    contexts = _Contexts(tokens, len(names), order)
    target, draft = contexts.rows(target_order, draft_order, float(smoothing))
    if name is None:
        name = "ngrams:" if isinstance(source, str) else f"ngrams:file={_quoted(os.fspath(source))},"
        name += f"horizon={horizon},target_order={target_order},draft_order={draft_order},level={level}"
        name += f",smoothing={float(smoothing)!r}" + (f",vocabulary={vocabulary}" if vocabulary else "")
    return ModelPair.from_probabilities(
        target,
        draft,
        initial=contexts.initial(),
        next_context=contexts.transitions(),
        horizon=horizon,
        token_names=names,
        name=name,
    )


class _Contexts:
    """The strings of at most `order` tokens that occur with a token after them, numbered by length.

    first: ``first[k]`` is the number of the first context of length k; ``first[order + 1]`` their count.
    at: ``at[k][i]`` is the number of the context of length k before position i of the text, for i >= k.
    shorter: for each context the number of the one without its oldest token (for the empty one, itself).
    """

    def __init__(self, tokens: Integers, vocabulary: int, order: int) -> None:
        self.tokens = tokens
        self.vocabulary = vocabulary
        self.order = order
        length = len(tokens)
        self.first = [0, 1]
        self.at: list[Integers] = [np.zeros(length, dtype=np.int64)]
        shorter = [np.zeros(1, dtype=np.int64)]
        for size in range(1, order + 1):
            # A string is its first size - 1 tokens, already numbered, and its last token.
            key = self.at[size - 1][size - 1 : length - 1] * vocabulary + tokens[size - 1 : length - 1]
            _, where, number = np.unique(key, return_index=True, return_inverse=True)
            here = np.full(length, -1, dtype=np.int64)
            here[size:] = self.first[size] + number.reshape(-1)
            self.at.append(here)
            shorter.append(self.at[size - 1][where + size])
            self.first.append(self.first[size] + len(where))
        self.shorter = np.concatenate(shorter)
        self.count = self.first[order + 1]
        check_size(1, self.count, vocabulary)

    def rows(self, target_order: int, draft_order: int, smoothing: float) -> tuple[Floats, Floats]:
        """Return the rows of the models of the two orders in every context."""
        rows = np.empty((self.count, self.vocabulary))
        taken: dict[int, Floats] = {}
        for size in range(self.order + 1):
            start, stop = self.first[size], self.first[size + 1]
            key = (self.at[size][size:] - start) * self.vocabulary + self.tokens[size:]
            counts = np.bincount(key, minlength=(stop - start) * self.vocabulary).reshape(stop - start, -1)
            below = 1.0 / self.vocabulary if size == 0 else rows[self.shorter[start:stop]]
            rows[start:stop] = (counts + smoothing * below) / (counts.sum(axis=1, keepdims=True) + smoothing)
            if size in (target_order, draft_order):
                taken[size] = rows.copy()
        for order, table in taken.items():
            for size in range(order + 1, self.order + 1):
                start, stop = self.first[size], self.first[size + 1]
                table[start:stop] = table[self.shorter[start:stop]]
        return taken[target_order], taken[draft_order]

    def transitions(self) -> Integers:
        """Return the context after each token: the longest suffix of context and token that is a context."""
        after = np.zeros((self.count, self.vocabulary), dtype=np.int64)
        for size in range(self.order + 1):
            start, stop = self.first[size], self.first[size + 1]
            if size > 0:
                after[start:stop] = after[self.shorter[start:stop]]
            if size < self.order:
                longer = self.at[size + 1][size + 1 :]
                after[self.at[size][size:-1], self.tokens[size:-1]] = longer
        return after

    def initial(self) -> Floats:
        """Return the empirical law of the longest contexts."""
        counts = np.bincount(self.at[self.order][self.order :], minlength=self.count)
        return counts / counts.sum()


def _tokens(source: str | os.PathLike[str], level: str, vocabulary: int | None) -> tuple[Integers, list[str]]:
    if level not in ("character", "word", "byte"):
        raise InputError(f"level is {level!r}; give 'character', 'word' or 'byte'")
    if isinstance(source, str) and _is_file_name(source):
        raise InputError(f"source is the str {source!r}, which names a file; give pathlib.Path({source!r})")
    content = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else _read(source)
    if level == "byte":
        codes = np.frombuffer(content, dtype=np.uint8).astype(np.int64)
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            label = "the text" if isinstance(source, str) else f"{os.fspath(source)}"
            raise InputError(
                f"{label} is not UTF-8 (byte {error.start}); convert it, or use level='byte'"
            ) from None
        if level == "character":
            codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
        else:
            words = text.split()
            number = {word: index for index, word in enumerate(sorted(set(words)))}
            codes = np.array([number[word] for word in words], dtype=np.int64)
    if len(codes) == 0:
        what = "the text" if isinstance(source, str) else os.fspath(source)
        raise InputError(f"{what} has no {level}s; give a text that is not empty")
    kinds, tokens = np.unique(codes, return_inverse=True)
    if level == "byte":
        names = [f"{code:02x}" for code in kinds.tolist()]
    elif level == "character":
        names = [_visible(chr(code)) for code in kinds.tolist()]
    else:
        names = sorted(number)
    return _restricted(tokens.reshape(-1).astype(np.int64), names, vocabulary)


def _restricted(tokens: Integers, names: list[str], vocabulary: int | None) -> tuple[Integers, list[str]]:
    if vocabulary is None or vocabulary >= len(names):
        return tokens, names
    frequency = Counter(dict(enumerate(np.bincount(tokens, minlength=len(names)).tolist())))
    # most_common sorts by count alone and keeps the order of equal ones.
    kept = sorted(index for index, _ in frequency.most_common(vocabulary))
    renumber = np.full(len(names), len(kept), dtype=np.int64)
    renumber[kept] = np.arange(len(kept))
    unknown = UNKNOWN
    while unknown in {names[index] for index in kept}:
        unknown = f"<{unknown}>"
    return renumber[tokens], [*(names[index] for index in kept), unknown]


def _is_file_name(text: str) -> bool:
    try:
        return len(text) < 4096 and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _read(path: str | os.PathLike[str]) -> bytes:
    return read_file(path, "give a text or a readable file")


def _quoted(path: str) -> str:
    return f'"{path}"' if "," in path else path


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
