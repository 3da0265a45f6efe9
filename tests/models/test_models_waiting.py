"""A decoding never waits for a GPU inside a round: counted here on the operations, without a GPU."""

from __future__ import annotations

import os
from typing import Any

import pytest

from specsim import Batch, BlockVerification, OverAcceptance, Speculative, tree
from specsim.algorithms import get_rule

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

from specsim.models import LoadedPair, Sampling, decode
from specsim.models.rounds import Rounds

#: Operations whose result has to reach the host before the next one can be launched.
WAITING = (
    "_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "_unique2",
    "allclose", "bincount", "repeat_interleave.Tensor",
)  # fmt: skip


class Counter(TorchDispatchMode):
    """Counts the operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function).removeprefix("aten.")
        self.seen[name] = self.seen.get(name, 0) + 1
        return function(*args, **(kwargs or {}))

    def waiting(self) -> int:
        return sum(
            count
            for name, count in self.seen.items()
            if any(name == kind or name.startswith(f"{kind}.") for kind in WAITING)
        )


def pair() -> LoadedPair:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64, initializer_range=0.3, pad_token_id=None,
        )  # fmt: skip
        made.append(transformers.LlamaForCausalLM(config).eval())
    return LoadedPair(target=made[0], draft=made[1])


@pytest.mark.parametrize(
    "algorithm",
    [
        Speculative(draft_length=3),
        Speculative(),
        OverAcceptance(epsilon=0.1, draft_length=3, bonus=False),
        Batch(drafts=2, draft_length=3, bonus=True),
        BlockVerification(draft_length=3),
        get_rule("match")(drafts=2, draft_length=3),
        get_rule("one-hot")(drafts=2, draft_length=3, drawn="greedy"),
        get_rule("recursive-distinct")(tree=(3, 2, 1)),
        get_rule("k-seq")(tree=(2, 2)),
        get_rule("summed-coin")(tree=tree((-1, 0, 0, 1, 3)), drawn="greedy"),
        get_rule("traversal")(tree=tree((-1, 0, 0, 1, 3))),
    ],
    ids=lambda rule: rule.label,
)
def test_round__asks_for_no_value_on_the_host_but_one_transfer(algorithm, monkeypatch):
    transfers = []
    original = Rounds._write

    def counted(self: Any, *arguments: Any) -> Any:
        transfers.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Rounds, "_write", counted)
    with Counter() as counter:
        decoded = decode(
            pair(), [[1, 2], [3], [4, 5, 6]], algorithm=algorithm, new_tokens=12, seed=1, eos=7,
            sampling=Sampling(temperature=0.8, top_k=20),
        )  # fmt: skip
    assert counter.seen["embedding.default"] > 5
    assert counter.waiting() == 0, counter.seen
    assert len(transfers) == decoded.rounds


def test_counter__sees_a_wait():
    with Counter() as counter:
        if torch.ones(1).sum() > 0:
            torch.ones(3)[torch.tensor([True, False, True])]
    assert counter.waiting() >= 1
