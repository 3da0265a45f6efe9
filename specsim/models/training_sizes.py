"""Architectures and schedules of the pairs that `specsim.models.training` trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from specsim.models.byte_tokenizer import END_OF_TEXT, VOCABULARY

if TYPE_CHECKING:
    from transformers import GPTNeoXConfig


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A GPT-NeoX of bytes.

    Attributes
    ----------
    hidden, layers, heads
        Width, number of layers and of attention heads.
    rate
        Peak learning rate of AdamW.
    """

    hidden: int
    layers: int
    heads: int
    rate: float

    def config(self, context: int) -> GPTNeoXConfig:
        """Return the configuration for sequences of up to `context` tokens."""
        from transformers import GPTNeoXConfig

        return GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            max_position_embeddings=context,
            bos_token_id=END_OF_TEXT,
            eos_token_id=END_OF_TEXT,
            pad_token_id=END_OF_TEXT,
        )


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is trained, and on how much.

    Attributes
    ----------
    draft, target
        The two models.
    context
        Longest sequence, in bytes.
    batch
        Sequences per step.
    steps
        Unless others are asked for.
    """

    draft: Architecture
    target: Architecture
    context: int
    batch: int
    steps: int

    @property
    def least_bytes(self) -> int:
        """Shortest text: its held-out tenth must hold a sequence and the byte after it."""
        return 10 * (self.context + 1)


#: Sizes by name: `tiny` takes seconds and serves tests, `small` takes minutes.
SIZES = {
    "tiny": Size(
        draft=Architecture(hidden=16, layers=1, heads=2, rate=1e-2),
        target=Architecture(hidden=48, layers=2, heads=4, rate=6e-3),
        context=64,
        batch=8,
        steps=60,
    ),
    "small": Size(
        draft=Architecture(hidden=64, layers=1, heads=2, rate=6e-3),
        target=Architecture(hidden=96, layers=6, heads=4, rate=3e-3),
        context=256,
        batch=8,
        steps=600,
    ),
}
