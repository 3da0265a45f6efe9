"""`ModelPair`: a draft and a target model whose probabilities are exact multiples of 2^-32."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.support.showing import as_html, as_text

if TYPE_CHECKING:
    from pandas import DataFrame

#: Every probability of a `ModelPair` is an integer divided by this.
UNIT = 2**32

_MAX_HORIZON = 2**24 - 1
#: What is said below the table of a pair.
_TV = "tv: total variation distance of target and draft; a drafted token is accepted with probability 1 - tv"


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What `ModelPair.from_probabilities` changed to make the probabilities multiples of 2^-32.

    Attributes
    ----------
    lost_target, lost_draft, lost_initial
        How many positive probabilities became zero.
    largest_change
        The largest absolute change of one probability (normalisation included).
    """

    lost_target: int
    lost_draft: int
    lost_initial: int
    largest_change: float


class ModelPair:
    """A finite pair of autoregressive models, draft and target, over shared contexts.

    Every probability is a multiple of 2^-32 and every row sums to exactly 1, so float64 holds the rows
    without error, integer kernels sample exactly these laws, and theory reads them as exact rationals.
    Build one with `ModelPair.from_probabilities` or one of the constructors that call it.

    Attributes
    ----------
    target, draft
        Next-token rows, float64 of shape ``(steps, contexts, tokens)``, read-only. ``steps`` is the horizon,
        or 1 when the pair is stationary.
    next_context
        int64 of shape ``(contexts, tokens)``: the context after emitting a token. An order-1 Markov chain is
        ``next_context[c, x] == x``; order-k chains and whole-prefix models on trees are the same type.
    initial
        Law of the first context (the prompt's law), float64 of shape ``(contexts,)``.
    horizon
        Number of tokens to emit after the prompt.
    token_names
        One name per token, or None.
    name
        A short label for reports.
    rounding
        What was changed on construction.

    Examples
    --------
    >>> from specsim import ModelPair
    >>> pair = ModelPair.from_probabilities([[0.5, 0.5]] * 2, [[0.25, 0.75]] * 2, initial=[1, 0], horizon=8)
    >>> pair.tokens, pair.horizon, pair.is_markov
    (2, 8, True)
    """

    __slots__ = (
        "__dict__",
        "draft",
        "horizon",
        "initial",
        "name",
        "next_context",
        "rounding",
        "target",
        "token_names",
    )

    target: NDArray[np.float64]
    draft: NDArray[np.float64]
    next_context: NDArray[np.int64]
    initial: NDArray[np.float64]
    horizon: int
    token_names: tuple[str, ...] | None
    name: str
    rounding: Rounding

    def __init__(self) -> None:
        raise TypeError("build a pair with ModelPair.from_probabilities(...) or one of its constructors")

    @classmethod
    def from_probabilities(
        cls,
        target: ArrayLike,
        draft: ArrayLike,
        *,
        initial: ArrayLike | Literal["uniform", "stationary"] = "uniform",
        next_context: ArrayLike | None = None,
        horizon: int | None = None,
        tolerance: float = 1e-9,
        token_names: tuple[str, ...] | list[str] | None = None,
        name: str = "pair",
    ) -> ModelPair:
        """Validate two tables of next-token rows and round them to multiples of 2^-32.

        Rounding is by largest remainder after dividing each row by its sum; zero stays zero. Arrays that
        already are multiples of 2^-32 with exact row sums are kept unchanged.

        Parameters
        ----------
        target, draft
            Shape ``(steps, contexts, tokens)``, or ``(contexts, tokens)`` for a stationary pair.
        initial
            Law of the first context, which is the prompt's law: shape ``(contexts,)``. Defaults to
            ``"uniform"``, every context alike. ``"stationary"``: the target's stationary law, where the pair
            is stationary and has only one.
        next_context
            Integer, shape ``(contexts, tokens)``. Defaults to None, an order-1 Markov chain, for which
            ``contexts`` must equal ``tokens``.
        horizon
            Tokens to emit. Defaults to None, the number of steps; required when ``steps`` is 1.
        tolerance
            How far a row sum may be from 1.
        token_names
            One name per token. Defaults to None (no names).
        name
            A label for reports.

        Raises
        ------
        InputError
            Wrong shapes, entries that are negative or not finite, row sums off by more than `tolerance`,
            contexts out of range, a horizon below 1 or above the number of steps of a non-stationary pair.
        """
        target_array = _rows("target", target)
        draft_array = _rows("draft", draft)
        if target_array.shape != draft_array.shape:
            raise InputError(
                f"draft has shape {draft_array.shape} and target {target_array.shape}; they must be equal"
            )
        steps, contexts, tokens = target_array.shape
        chosen_horizon = _horizon(horizon, steps)
        transitions = _next_context(next_context, contexts, tokens)
        initial_array = _initial(initial, target_array, transitions)
        if initial_array.shape != (contexts,):
            raise InputError(
                f"initial has shape {initial_array.shape}; give one probability per context: ({contexts},)"
            )
        if not (isinstance(tolerance, int | float) and 0 <= tolerance < 0.5):
            raise InputError(f"tolerance is {tolerance!r}; give a number in [0, 0.5)")
        if token_names is not None:
            token_names = tuple(str(token) for token in token_names)
            if len(token_names) != tokens or len(set(token_names)) != tokens:
                raise InputError(
                    f"token_names has {len(token_names)} entries ({len(set(token_names))} distinct); "
                    f"give {tokens} distinct names"
                )

        rounded_target, lost_target, change_target = _round_rows("target", target_array, tolerance)
        rounded_draft, lost_draft, change_draft = _round_rows("draft", draft_array, tolerance)
        rounded_initial, lost_initial, change_initial = _round_rows(
            "initial", initial_array.reshape(1, 1, contexts), tolerance
        )
        rounding = Rounding(
            lost_target=lost_target,
            lost_draft=lost_draft,
            lost_initial=lost_initial,
            largest_change=max(change_target, change_draft, change_initial),
        )
        pair = object.__new__(cls)
        values: dict[str, Any] = {
            "target": rounded_target,
            "draft": rounded_draft,
            "next_context": transitions,
            "initial": rounded_initial.reshape(contexts),
            "horizon": chosen_horizon,
            "token_names": token_names,
            "name": str(name),
            "rounding": rounding,
        }
        for key, value in values.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(pair, key, value)
        return pair

    @classmethod
    def from_logits(cls, target: ArrayLike, draft: ArrayLike, **options: Any) -> ModelPair:
        """Build a pair by softmax; parameters and errors are those of `specsim.pairs.logits.from_logits`."""
        from specsim.pairs.logits import from_logits

        return from_logits(target, draft, **options)

    @classmethod
    def from_ngrams(cls, source: str | os.PathLike[str], **options: Any) -> ModelPair:
        """Estimate a pair from a text; parameters and errors as in `specsim.pairs.ngrams.from_ngrams`."""
        from specsim.pairs.ngrams import from_ngrams

        return from_ngrams(source, **options)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ModelPair:
        """Read a pair from netCDF and verify its identity; errors are those of `pair_files.read_pair`."""
        from specsim.pairs.files import read_pair

        return read_pair(path)

    @classmethod
    def from_trace(cls, source: Any, **options: Any) -> ModelPair:
        """Build a pair from a trace of real models; parameters and errors: `trace_pairs.from_trace`."""
        from specsim.pairs.trace_pairs import from_trace

        return from_trace(source, **options)

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the pair as netCDF, atomically; errors are those of `specsim.pairs.files.write_pair`."""
        from specsim.pairs.files import write_pair

        write_pair(self, path)

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError(f"ModelPair is immutable: cannot set {key}; build a new pair")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            self.target,
            self.draft,
            self.initial,
            self.next_context,
            self.horizon,
            self.token_names,
            self.name,
            self.rounding,
        )

    @property
    def steps(self) -> int:
        """Number of tables of rows: the horizon, or 1 when stationary."""
        return int(self.target.shape[0])

    @property
    def contexts(self) -> int:
        """Number of contexts."""
        return int(self.target.shape[1])

    @property
    def tokens(self) -> int:
        """Size of the vocabulary."""
        return int(self.target.shape[2])

    @property
    def stationary(self) -> bool:
        """Whether the same rows serve every step."""
        return self.steps == 1

    @cached_property
    def target_weights(self) -> NDArray[np.uint64]:
        """The target rows times 2^32, uint64 of shape ``(steps, contexts, tokens)``."""
        return _weights(self.target)

    @cached_property
    def draft_weights(self) -> NDArray[np.uint64]:
        """The draft rows times 2^32, uint64 of shape ``(steps, contexts, tokens)``."""
        return _weights(self.draft)

    @cached_property
    def initial_weights(self) -> NDArray[np.uint64]:
        """The initial law times 2^32, uint64 of shape ``(contexts,)``."""
        return _weights(self.initial)

    @cached_property
    def identity(self) -> str:
        """SHA-256, in hexadecimal, of everything that defines the two laws and the horizon."""
        digest = hashlib.sha256()
        digest.update(f"specsim-pair-1 {self.steps} {self.contexts} {self.tokens} {self.horizon}\n".encode())
        for array in (self.target_weights, self.draft_weights, self.initial_weights):
            digest.update(np.ascontiguousarray(array, dtype="<u8").tobytes())
        digest.update(np.ascontiguousarray(self.next_context, dtype="<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def is_markov(self) -> bool:
        """Whether the context is the previous token (``next_context[c, x] == x``)."""
        if self.contexts != self.tokens:
            return False
        return bool(np.all(self.next_context == np.arange(self.tokens)))

    def step_index(self, step: int) -> int:
        """Index into the first axis of the tables for the token emitted at `step` (counted from 0)."""
        return 0 if self.stationary else step

    def check_horizon(self, horizon: int | None) -> int:
        """Return the horizon to use: the pair's own when `horizon` is None.

        Raises
        ------
        InputError
            `horizon` is below 1, or above the number of steps of a non-stationary pair.
        """
        if horizon is None:
            return self.horizon
        return _horizon(horizon, self.steps)

    def with_horizon(self, horizon: int) -> ModelPair:
        """Return the same models cut to (or, when stationary, used for) `horizon` tokens."""
        length = _horizon(horizon, self.steps)
        keep = 1 if self.stationary else length
        return _rebuild(
            self.target[:keep],
            self.draft[:keep],
            self.initial,
            self.next_context,
            length,
            self.token_names,
            self.name,
            self.rounding,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelPair) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def to_dataframe(self) -> DataFrame:
        """Return how far draft and target are apart in each context.

        A row for each context (of a pair that is not stationary: for each step and context), with ``tv``, the
        total variation distance of the two rows, and the likeliest token of each, with its probability.
        ``1 - tv`` is the probability that a drafted token is accepted there (2411.00841, Theorem 1).

        Examples
        --------
        >>> from specsim import ModelPair
        >>> pair = ModelPair.from_probabilities([[0.5, 0.5]] * 2, [[0.25, 0.75]] * 2, horizon=8)
        >>> pair.to_dataframe()["tv"].tolist()
        [0.25, 0.25]
        """
        import pandas

        steps, contexts = np.indices(self.target.shape[:2])
        columns: dict[str, Any] = {} if self.stationary else {"step": steps.ravel() + 1}
        columns["context"] = contexts.ravel()
        columns["tv"] = 0.5 * np.abs(self.target - self.draft).sum(axis=-1).ravel()
        for side, rows in (("target", self.target), ("draft", self.draft)):
            tokens = rows.argmax(axis=-1).ravel()
            columns[f"{side}_token"] = (
                tokens if self.token_names is None else np.array(self.token_names, object)[tokens]
            )
            columns[f"{side}_probability"] = rows.max(axis=-1).ravel()
        return pandas.DataFrame(columns)

    @property
    def _heading(self) -> str:
        kind = "stationary" if self.stationary else "non-stationary"
        return f"{self.name}: {self.contexts} contexts, {self.tokens} tokens, horizon {self.horizon}, {kind}"

    def __repr__(self) -> str:
        kind = "stationary" if self.stationary else "non-stationary"
        return (
            f"<ModelPair {self.name!r}: {self.contexts} contexts, {self.tokens} tokens, "
            f"horizon {self.horizon}, {kind}, {self.identity[:12]}>"
        )

    def __str__(self) -> str:
        return as_text(self._heading, self.to_dataframe(), _TV)

    def _repr_html_(self) -> str:
        return as_html(self._heading, self.to_dataframe(), _TV)


def round_to_units(rows: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Round rows that sum to about 1 to integer weights that sum to exactly 2^32, by largest remainder.

    Parameters
    ----------
    rows
        Non-negative, shape ``(..., tokens)``.

    Returns
    -------
    ndarray
        uint64 of the same shape. Zero stays zero.
    """
    flat = np.ascontiguousarray(rows, dtype=np.float64).reshape(-1, rows.shape[-1])
    out = np.empty(flat.shape, dtype=np.uint64)
    block = max(1, 2**22 // flat.shape[1])
    for start in range(0, len(flat), block):
        part = flat[start : start + block]
        # A running sum has one order of additions on every machine; a plain sum has not.
        scaled = part / np.cumsum(part, axis=1)[:, -1:] * float(UNIT)
        whole = np.floor(scaled)
        remainder = np.where(part > 0, scaled - whole, -1.0)
        weights = whole.astype(np.int64)
        missing = UNIT - weights.sum(axis=1)
        order = np.argsort(-remainder, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape).copy(), axis=1)
        weights += (rank < missing[:, None]) & (part > 0)
        # Float rounding may leave a unit or two over; the largest entry takes it.
        left = UNIT - weights.sum(axis=1)
        weights[np.arange(len(weights)), weights.argmax(axis=1)] += left
        out[start : start + block] = weights.astype(np.uint64)
    return out.reshape(rows.shape)


def _rebuild(
    target: NDArray[np.float64],
    draft: NDArray[np.float64],
    initial: NDArray[np.float64],
    next_context: NDArray[np.int64],
    horizon: int,
    token_names: tuple[str, ...] | None,
    name: str,
    rounding: Rounding,
) -> ModelPair:
    pair = ModelPair.from_probabilities(
        target,
        draft,
        initial=initial,
        next_context=next_context,
        horizon=horizon,
        tolerance=0,
        token_names=token_names,
        name=name,
    )
    object.__setattr__(pair, "rounding", rounding)
    return pair


def real_array(field: str, values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return `values` as a new float64 array.

    InputError: they are not real numbers (complex numbers and texts are none), or their shape is ragged.
    """
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":
            raise TypeError(f"its dtype is {given.dtype}")
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{field} is not an array of real numbers: {error}; give {what}") from None


def _numbers(field: str, values: ArrayLike) -> NDArray[np.float64]:
    array = real_array(field, values, "a float array")
    if array.size == 0:
        raise InputError(f"{field} is empty (shape {array.shape}); give at least one probability")
    return array


def _rows(field: str, values: ArrayLike) -> NDArray[np.float64]:
    array = _numbers(field, values)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise InputError(
            f"{field} has shape {array.shape}; give (steps, contexts, tokens), or (contexts, tokens)"
        )
    return array


def _initial(initial: Any, target: NDArray[np.float64], transitions: NDArray[np.int64]) -> Any:
    """Return the law of the first context, by its name or as it is given."""
    if not isinstance(initial, str):
        return _numbers("initial", initial)
    steps, contexts, tokens = target.shape
    if initial == "uniform":
        return np.full(contexts, 1 / contexts)
    if initial != "stationary":
        raise InputError(
            f"initial is {initial!r}; give 'uniform', 'stationary', or one probability per context"
        )
    if steps > 1:
        raise InputError("initial is 'stationary', but the pair's rows depend on the step; give an array")
    moves = np.zeros((contexts, contexts))
    np.add.at(moves, (np.repeat(np.arange(contexts), tokens), transitions.ravel()), target[0].ravel())
    flow = moves.T - np.eye(contexts)
    if np.linalg.matrix_rank(flow, tol=1e-9) < contexts - 1:
        raise InputError("initial is 'stationary', but the target has several stationary laws; give an array")
    sums = np.vstack([flow, np.ones(contexts)])
    law = np.linalg.lstsq(sums, np.eye(1, contexts + 1, contexts)[0], rcond=None)[0]
    law = np.where(law < 1e-13, 0.0, law)
    return law / law.sum()


def _horizon(horizon: int | None, steps: int) -> int:
    if horizon is None:
        if steps == 1:
            raise InputError("horizon is missing; a stationary pair needs horizon=, the tokens to emit")
        return steps
    horizon = whole("horizon", horizon, 1, _MAX_HORIZON)
    if steps > 1 and horizon > steps:
        raise InputError(f"horizon is {horizon} but the pair has rows for {steps} steps; give at most that")
    return horizon


def _next_context(values: ArrayLike | None, contexts: int, tokens: int) -> NDArray[np.int64]:
    if values is None:
        if contexts != tokens:
            raise InputError(
                f"next_context is missing; with {contexts} contexts and {tokens} tokens the context is not "
                "simply the previous token, so give next_context of shape (contexts, tokens)"
            )
        return np.tile(np.arange(tokens, dtype=np.int64), (contexts, 1))
    array = np.asarray(values)
    if array.shape != (contexts, tokens):
        raise InputError(f"next_context has shape {array.shape}; give ({contexts}, {tokens})")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"next_context has dtype {array.dtype}; give integers")
    if array.min() < 0 or array.max() >= contexts:
        where = np.argwhere((array < 0) | (array >= contexts))[0]
        raise InputError(
            f"next_context[{where[0]}, {where[1]}] is {array[tuple(where)]}; "
            f"give contexts from 0 to {contexts - 1}"
        )
    return array.astype(np.int64)


def _round_rows(
    field: str, rows: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.float64], int, float]:
    def place(index: NDArray[np.intp]) -> str:
        if field == "initial":
            return f"initial[{index[-1]}]"
        return f"{field}[{', '.join(str(i) for i in index)}]"

    if not np.isfinite(rows).all():
        index = np.argwhere(~np.isfinite(rows))[0]
        raise InputError(f"{place(index)} is {rows[tuple(index)]}; probabilities must be finite")
    if (rows < 0).any():
        index = np.argwhere(rows < 0)[0]
        raise InputError(f"{place(index)} is {rows[tuple(index)]}; probabilities must not be negative")
    sums = np.cumsum(rows, axis=-1)[..., -1]
    off = np.abs(sums - 1.0)
    if (off > tolerance).any():
        index = np.unravel_index(int(off.argmax()), off.shape)
        row = "initial" if field == "initial" else f"{field}[{index[0]}, {index[1]}]"
        raise InputError(
            f"{row} sums to {sums[index]:.12g}, not 1 (tolerance {tolerance:g}); "
            "divide the row by its sum or raise tolerance"
        )
    weights = round_to_units(rows)
    rounded = weights.astype(np.float64) / float(UNIT)
    lost = int(np.count_nonzero((rows > 0) & (weights == 0)))
    return rounded, lost, float(np.abs(rounded - rows).max())


def _weights(probabilities: NDArray[np.float64]) -> NDArray[np.uint64]:
    weights = (probabilities * float(UNIT)).astype(np.uint64)
    weights.flags.writeable = False
    return weights
