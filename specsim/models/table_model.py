"""`TableCausalLM`: a transformers language model whose logits are exactly the rows of a `ModelPair`.

It goes through every piece of code that a real checkpoint goes through, so the law of what comes out is
known.
Its key-value cache holds the token ids (as keys) and their positions (as values), and nothing else: the
context of a row is folded from what the cache holds and the mask shows. A cache that is rolled back wrongly,
a mask that shows a rejected token, or one that hides a written one, therefore gives wrong rows, as in a real
model. Contexts that forget (Markov pairs) hide such mistakes; whole-prefix pairs do not.
"""

from dataclasses import fields
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from specsim.errors import InputError
from specsim.pairs import ModelPair

# Newer releases of transformers call the cache ``cache``, older ones ``past_key_values``.
_CACHE_FIELD = (
    "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
)


class TableConfig(PretrainedConfig):
    """Configuration of a `TableCausalLM`.

    Parameters
    ----------
    vocab_size
        Number of tokens.
    contexts
        Number of contexts.
    start
        Context before the first token that counts.
    skip
        How many leading tokens of a sequence do not move the context: 0, or 1 for models of whole prefixes,
        whose sequences need a first token that stands for nothing.
    max_position_embeddings
        Longest sequence.
    check_positions
        Whether a forward raises unless the tokens that each query sees lie at the positions 0, 1, 2, ... up
        to its own, each once. Costs a transfer per forward; meant for tests.
    options
        Of `transformers.PretrainedConfig`.

    Examples
    --------
    >>> from specsim.models import TableConfig
    >>> TableConfig(vocab_size=5, contexts=5).vocab_size
    5
    """

    model_type = "specsim_table"

    def __init__(
        self,
        vocab_size: int = 2,
        contexts: int = 2,
        start: int = 0,
        skip: int = 0,
        max_position_embeddings: int = 2**20,
        check_positions: bool = False,
        **options: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.contexts = contexts
        self.start = start
        self.skip = skip
        self.max_position_embeddings = max_position_embeddings
        self.check_positions = check_positions
        # What generic code asks of a transformer: one layer, with one head of one number.
        self.num_hidden_layers = self.num_attention_heads = self.num_key_value_heads = 1
        self.hidden_size = self.head_dim = 1
        options.setdefault("tie_word_embeddings", False)
        super().__init__(**options)


class TableCausalLM(PreTrainedModel, GenerationMixin):
    """A causal language model given by a table: logits are the logarithms of the rows of the context.

    Works with ``generate``, also as ``assistant_model``, with padding on either side, with 2-D and 4-D
    attention masks, and can be saved and loaded. Make a pair of them with `table_models`.

    Parameters
    ----------
    config
        Sizes and start context. The tables are buffers: set them with `set_tables` or load them.

    Examples
    --------
    >>> import torch
    >>> from specsim.models import TableCausalLM, TableConfig
    >>> model = TableCausalLM(TableConfig(vocab_size=2, contexts=2))
    >>> model.set_tables([[0.5, 0.5], [0.25, 0.75]], next_context=[[0, 1], [0, 1]])
    >>> model(torch.tensor([[1]])).logits.softmax(dim=-1).round(decimals=4).tolist()
    [[[0.25, 0.75]]]
    """

    config_class = TableConfig
    base_model_prefix = "table"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        uniform = torch.zeros(config.contexts, config.vocab_size)
        self.log_rows = torch.nn.Parameter(uniform, requires_grad=False)
        still = torch.zeros(config.contexts, config.vocab_size, dtype=torch.int64)
        self.register_buffer("next_context", still)
        self.post_init()

    def set_tables(self, rows: Any, next_context: Any) -> None:
        """Take rows (contexts, tokens), float64, and the transitions between contexts.

        Logits are kept in float64, so that a softmax in float64 returns the rows to the last bits.
        """
        with torch.no_grad():
            table = torch.as_tensor(rows, dtype=torch.float64)
            self.log_rows = torch.nn.Parameter(table.log(), requires_grad=False)
            self.next_context = torch.as_tensor(next_context, dtype=torch.int64)

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Tables are set or loaded, never drawn."""

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        return_dict: bool | None = None,
        **ignored: Any,
    ) -> Any:
        """Return the logits of the token after each input token.

        Parameters
        ----------
        input_ids
            Shape ``(batch, queries)``.
        attention_mask
            ``(batch, cached + queries)`` where 0 marks padding, or ``(batch, 1, queries, cached + queries)``,
            bool or additive, which says what each query sees.
        position_ids
            Shape ``(batch, queries)``. Defaults to None: counted from what each token sees.
        cache, past_key_values
            A transformers cache, under its newer and its older name.
        use_cache
            Whether to make a cache when none is given. Defaults to None: yes.
        logits_to_keep
            How many of the last queries get logits, 0 for all, or their indices.
        return_dict
            False for a plain tuple.
        ignored
            What generic code passes along.
        """
        if input_ids is None:
            raise InputError("input_ids is missing; a table model has no embeddings to take instead")
        cache = past_key_values if cache is None else cache
        if cache is None and use_cache is not False:
            cache = DynamicCache()
        batch, queries = input_ids.shape
        places = self._positions(input_ids, attention_mask, position_ids, cache)
        keys, values = input_ids[:, None, :, None], places[:, None, :, None]
        if cache is not None:
            keys, values = cache.update(keys, values, 0)
        ids, positions = keys[:, 0, :, 0], values[:, 0, :, 0]
        visible = _visible(attention_mask, batch, queries, ids.shape[1], ids.device)
        if self.config.check_positions:
            _check_positions(visible, positions, places)
        kept = logits_to_keep
        chosen = slice(-kept, None) if isinstance(kept, int) and kept else slice(None)
        contexts = self._fold(ids, visible[:, chosen if isinstance(kept, int) else kept])
        logits = self.log_rows[contexts]
        if return_dict is False:
            return (logits,) if cache is None else (logits, cache)
        return CausalLMOutputWithPast(logits=logits, **{_CACHE_FIELD: cache})

    def _positions(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        batch, queries = input_ids.shape
        if position_ids is not None:
            return position_ids.to(torch.int64).expand(batch, queries)
        past = 0 if cache is None else int(cache.get_seq_length())
        visible = _visible(attention_mask, batch, queries, past + queries, input_ids.device)
        return (visible.sum(dim=-1) - 1).clamp(min=0)

    def _fold(self, ids: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Walk through the slots; a query's context moves at the slots that it sees."""
        contexts = torch.full(visible.shape[:2], self.config.start, dtype=torch.int64, device=ids.device)
        tokens = self.config.vocab_size
        # Slots that are never read may hold anything.
        safe = ids.clamp(0, tokens - 1)
        table = self.next_context.reshape(-1)
        moves = visible if not self.config.skip else visible & (visible.cumsum(dim=-1) > self.config.skip)
        for slot in range(ids.shape[1]):
            after = table[contexts * tokens + safe[:, slot, None]]
            contexts = torch.where(moves[:, :, slot], after, contexts)
        return contexts


# Folders of table models can then be loaded like any other checkpoint.
AutoConfig.register(TableConfig.model_type, TableConfig, exist_ok=True)
AutoModelForCausalLM.register(TableConfig, TableCausalLM, exist_ok=True)


def table_models(
    pair: ModelPair, start: int = 0, *, skip: int = 0, check_positions: bool = False
) -> tuple[TableCausalLM, TableCausalLM]:
    """Return language models whose rows are those of a pair: the target's, then the draft's.

    Parameters
    ----------
    pair
        A stationary pair. Its law of the first context is not used: a sequence begins in `start` and every
        token of the prompt moves the context. For a Markov pair the prompt ``[x]`` gives the context x.
    start
        Context before the first token.
    skip
        Leading tokens that do not move the context; 1 for a prefix pair, whose prompt is any one token.
    check_positions
        As in `TableConfig`.

    Returns
    -------
    tuple
        ``(target_model, draft_model)``, in evaluation mode, in float64.

    Raises
    ------
    InputError
        The pair is not stationary, or `start` or `skip` is out of range.

    Examples
    --------
    >>> import torch
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> target(torch.tensor([[0, 2]])).logits.shape
    torch.Size([1, 2, 3])
    """
    if not pair.stationary:
        raise InputError(
            f"pair {pair.name!r} has rows for {pair.steps} steps; a table model needs a stationary pair"
        )
    if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start < pair.contexts:
        raise InputError(f"start is {start!r}; give a context from 0 to {pair.contexts - 1}")
    if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
        raise InputError(f"skip is {skip!r}; give a number of tokens, at least 0")
    models = []
    for rows in (pair.target[0], pair.draft[0]):
        config = TableConfig(
            vocab_size=pair.tokens,
            contexts=pair.contexts,
            start=start,
            skip=skip,
            check_positions=check_positions,
            dtype="float64",
        )
        model = TableCausalLM(config)
        model.set_tables(rows.copy(), pair.next_context.copy())
        models.append(model.eval())
    return models[0], models[1]


def _visible(
    attention_mask: torch.Tensor | None, batch: int, queries: int, slots: int, device: torch.device
) -> torch.Tensor:
    """Return which slots each query sees, shape ``(batch, queries, slots)``."""
    if attention_mask is not None and attention_mask.ndim == 4:
        mask = attention_mask[:, 0]
        seen = mask if mask.dtype == torch.bool else mask == 0
        return seen.expand(batch, queries, slots)
    own = torch.arange(slots - queries, slots, device=device)
    causal = torch.arange(slots, device=device)[None, :] <= own[:, None]
    if attention_mask is None:
        return causal.expand(batch, queries, slots)
    return causal & (attention_mask[:, None, -slots:] != 0)


def _check_positions(visible: torch.Tensor, positions: torch.Tensor, places: torch.Tensor) -> None:
    """Raise unless what a query sees lies at 0, 1, ... up to the query's own position."""
    last = positions.shape[1]
    hidden = torch.where(visible, positions[:, None, :], last + positions.max())
    ordered = hidden.sort(dim=-1).values
    count = visible.sum(dim=-1)
    wanted = torch.arange(last, device=positions.device)
    good = (ordered == wanted) | (wanted >= count[..., None])
    if not bool(good.all()) or not bool((count == places + 1).all()):
        raise InputError("position_ids do not count the tokens that a query sees; count them from 0")
