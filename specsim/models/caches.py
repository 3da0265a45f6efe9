"""Key-value caches of sequences that advance by different lengths, and the models that write them.

Every sequence of a batch has its own length in one block of memory that is taken once. New keys are written
after a sequence's own end, whatever the others' ends are, so rolling back is setting lengths: what lies
after the end is hidden by the mask and written over. The nodes of a tree of drafts share the prefix: they
are written after it side by side, each seeing itself and the nodes above it only, and the path that was kept
is moved together.
"""

import inspect
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from specsim.errors import InputError


class _Place:
    """Where the next keys go; shared by the layers of a cache."""

    def __init__(self, batch: int, capacity: int) -> None:
        self.batch, self.capacity = batch, capacity
        self.start: int | None = 0
        self.slots = torch.empty(0)
        self.rows = torch.empty(0)
        self.end = 0


class RaggedLayer(CacheLayerMixin):
    """One layer of a `RaggedCache`: keys and values of shape ``(batch, heads, capacity, size)``."""

    is_sliding = False

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self._place = place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the memory. Zeros: what a mask hides still enters a product, where a NaN would survive."""
        place = self._place

        def room(states: torch.Tensor) -> torch.Tensor:
            return states.new_zeros(place.batch, states.shape[1], place.capacity, states.shape[3])

        self.keys, self.values = room(key_states), room(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values at the places chosen before; return what may be seen."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place, width = self._place, key_states.shape[2]
        if place.start is not None:
            self.keys[:, :, place.start : place.start + width] = key_states
            self.values[:, :, place.start : place.start + width] = value_states
        else:
            self.keys[place.rows, :, place.slots] = key_states.transpose(1, 2)
            self.values[place.rows, :, place.slots] = value_states.transpose(1, 2)
        return self.keys[:, :, : place.end], self.values[:, :, : place.end]

    def move(self, rows: torch.Tensor, source: torch.Tensor, goal: torch.Tensor) -> None:
        """Copy slots (batch, count) onto others."""
        for block in (self.keys, self.values):
            block[rows, :, goal] = block[rows, :, source]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these sequences, in this order."""
        if self.is_initialized:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the length and the offset of what the queries may see."""
        return self._place.end, 0

    def get_seq_length(self, *args: Any) -> int:
        """Return how many slots came before the queries of the running forward."""
        return 0 if self._place.start is None else self._place.start

    def get_max_length(self) -> int:
        """Return the number of slots."""
        return self._place.capacity

    # The name of earlier releases of transformers.
    get_max_cache_shape = get_max_length


class RaggedCache(Cache):
    """A cache whose sequences end where they end.

    layers: number of layers of the model.
    batch: number of sequences.
    capacity: slots per sequence.
    """

    def __init__(self, layers: int, batch: int, capacity: int) -> None:
        self._place = _Place(batch, capacity)
        super().__init__(layers=[RaggedLayer(self._place) for _ in range(layers)])

    def write_at(self, first: torch.Tensor, width: int, longest: int, equal: bool) -> None:
        """Choose where the next forward writes.

        first: first slot of each sequence, shape ``(batch,)``.
        width: number of slots.
        longest: the largest entry of `first`, known on the host.
        equal: whether all entries are `longest`.
        """
        place = self._place
        place.end = longest + width
        if place.end > place.capacity:
            raise AssertionError(f"slot {place.end} of {place.capacity}")
        place.start = longest if equal else None
        if not equal:
            place.slots = first[:, None] + torch.arange(width, device=first.device)
            place.rows = torch.arange(place.batch, device=first.device)[:, None]

    def straighten(self, root: torch.Tensor, path: torch.Tensor) -> None:
        """Move one path of each tree together: its d-th node to slot ``root + d``.

        root: slot of the root, shape ``(batch,)``; node n of the tree is at ``root + n``.
        path: the nodes of the path in order, shape ``(batch, length)``.
        """
        depth = torch.arange(1, 1 + path.shape[1], device=path.device)
        goal, source = root[:, None] + depth, root[:, None] + path
        rows = torch.arange(self._place.batch, device=root.device)[:, None]
        for layer in self.layers:
            layer.move(rows, source, goal)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these sequences, in this order."""
        self._place.batch = len(rows)
        for layer in self.layers:
            layer.keep(rows)


class CachedModel:
    """A causal language model with the cache of a batch of sequences.

    model: a transformers causal language model that `check_model` accepts.
    batch, capacity: sequences, and slots for each.
    limit: number of positions that the model knows, or None.
    lengths: int64, shape ``(batch,)``: slots of each sequence that hold written tokens. Reading adds to it.
    """

    def __init__(self, model: Any, batch: int, capacity: int, limit: int | None) -> None:
        self.model = model
        self.device = model.device
        self.cache = RaggedCache(model.config.get_text_config().num_hidden_layers, batch, capacity)
        self.lengths = torch.zeros(batch, dtype=torch.int64, device=self.device)
        # What the host knows of the lengths, so that no shape has to be asked for on a GPU.
        self._longest, self._equal = 0, True
        self._last_position = None if limit is None else limit - 1
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self._keeps = "logits_to_keep" in parameters
        # Only this implementation reads a mask of truth values; others add it.
        self._adds_mask = getattr(model.config, "_attn_implementation", "eager") != "sdpa"

    def roll_back(self, lengths: torch.Tensor, longest: int, equal: bool) -> None:
        """Forget what lies after the given lengths.

        lengths: shape ``(batch,)``.
        longest: the largest of them, known on the host.
        equal: whether all are `longest`.
        """
        self.lengths, self._longest, self._equal = lengths, longest, equal

    def prefill(self, prompts: torch.Tensor) -> None:
        """Read prompts, padded on the right, shape ``(batch, width)``; `roll_back` then cuts the padding off.

        Nothing but padding sees a padded slot.
        """
        steps = torch.arange(prompts.shape[1], device=self.device)
        self.read(prompts, steps.expand(prompts.shape), keep=1)

    def read(self, tokens: torch.Tensor, positions: torch.Tensor, keep: int) -> torch.Tensor:
        """Read the next tokens of each sequence.

        tokens, positions: shape ``(batch, width)``; positions count from 0.
        keep: how many logits are wanted.
        Returns: the logits after the last `keep` tokens, shape ``(batch, keep, vocabulary)``.
        """
        width = tokens.shape[1]
        ends = self.lengths[:1] if self._equal else self.lengths
        own = ends[:, None] + torch.arange(width, device=self.device)
        slots = torch.arange(self._longest + width, device=self.device)
        return self._forward(tokens, positions, slots <= own[:, :, None], keep)

    def read_tree(self, tokens: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
        """Read nodes of a tree of drafts.

        tokens, positions: shape ``(batch, width)``; positions count from 0.
        sees: which slots each node sees among the newest ones, the last of which are its own and its
            neighbours', bool, shape ``(width, newest)``. All slots before those are seen.
        Returns: the logits after each node, shape ``(batch, width, vocabulary)``.
        """
        width, newest = sees.shape
        ends = self.lengths[:1] if self._equal else self.lengths
        slots = torch.arange(self._longest + width, device=self.device)
        offset = slots - (ends[:, None] + (width - newest))
        own = sees[:, offset.clamp(0, newest - 1)].transpose(0, 1) & (offset < newest)[:, None, :]
        return self._forward(tokens, positions, (offset < 0)[:, None, :] | own, width)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these sequences, in this order."""
        self.lengths = self.lengths[rows]
        self.cache.keep(rows)

    def _forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, keep: int
    ) -> torch.Tensor:
        width = tokens.shape[1]
        self.cache.write_at(self.lengths, width, self._longest, self._equal)
        self.lengths = self.lengths + width
        self._longest += width
        mask = seen[:, None]
        if self._adds_mask:
            lowest = torch.finfo(self.model.dtype).min
            mask = torch.zeros(mask.shape, dtype=self.model.dtype, device=self.device).masked_fill(
                ~mask, lowest
            )
        if self._last_position is not None:
            # Only drafts beyond a sequence's end get there; they are not used.
            positions = positions.clamp(max=self._last_position)
        options: dict[str, Any] = {self._cache_name: self.cache}
        if self._keeps:
            options["logits_to_keep"] = keep
        logits = self.model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=True, **options
        ).logits
        return logits[:, -keep:]


def check_model(model: Any, role: str) -> None:
    """Raise `InputError` unless batched decoding knows how to roll this model's cache back."""
    config = model.config.get_text_config()
    kind = type(model).__name__
    reason = None
    layer_types = set(getattr(config, "layer_types", None) or ())
    if getattr(model.config, "is_encoder_decoder", False):
        reason = "it has an encoder"
    elif getattr(model, "_is_stateful", False) or layer_types - {"full_attention", "sliding_attention"}:
        reason = "its state cannot be rolled back"
    elif "local" in (getattr(config, "attention_layers", None) or ()):
        reason = "its local attention takes a slot of the cache for a position"
    elif "position_ids" not in inspect.signature(model.forward).parameters or getattr(config, "alibi", False):
        reason = "it counts positions by itself, which parallel sequences of different lengths do not allow"
    elif getattr(model.config, "_attn_implementation", "eager") not in ("sdpa", "eager"):
        reason = f"its attention is {model.config._attn_implementation}; load it with sdpa or eager"
    if reason:
        raise InputError(f"{role} {kind} cannot be decoded: {reason}; give a plain causal language model")


def context_limit(model: Any) -> int | None:
    """Return the longest sequence that a model can read, None where it does not say."""
    config = model.config.get_text_config()
    # The masks here show everything, which is the same up to the width of a sliding window.
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window")]
    known = [int(limit) for limit in limits if limit]
    return min(known) if known else None
