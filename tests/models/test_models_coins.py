"""Coins are Philox words of a counter, and rows are what transformers' own filters leave."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from specsim.errors import InputError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from specsim.engines.torch.words import philox
from specsim.models import Sampling
from specsim.models.coins import Coins, uniforms
from specsim.models.sampling import draw
from specsim.validation.statistics import decide_law_by_cells_and_entropy


def one(*words: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([word], dtype=torch.int64) for word in words)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    # The known answers that come with the generator's reference implementation.
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox__known_answers(counter, key, words):
    assert tuple(int(word) for word in philox(*one(*counter), seed=key)) == words


def test_philox__has_the_words_of_the_engines():
    from specsim.engines.compiled.philox import philox as compiled

    generator = np.random.default_rng(2)
    for _ in range(20):
        words = generator.integers(0, 2**32, size=6, dtype=np.uint64)
        ours = philox(*one(*map(int, words[:4])), seed=int(words[4]) | int(words[5]) << 32)
        assert [int(word) for word in ours] == [int(word) for word in compiled.py_func(*words)]


def test_uniforms__use_53_bits_and_lie_below_one():
    values = uniforms(3, torch.tensor([2**40 + 1]), torch.arange(1, 2001), torch.tensor([0]))
    assert values.shape == (2000, 2)
    assert values.dtype == torch.float64
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1
    assert torch.equal(values * 2**53, (values * 2**53).round())
    assert bool(((values * 2**53) % 2 == 1).any())


def test_coins__table_and_single_rounds_agree_and_rows_can_be_dropped(monkeypatch):
    numbers = torch.tensor([5, 2**33, 7])
    first = torch.tensor([1, 4, 2])
    kept = torch.tensor([2, 0])

    def all_of(coins: Coins) -> list[torch.Tensor]:
        before = coins.of_round(first)
        coins.keep(kept)
        return [*before, *coins.of_round(first[kept])]

    table = all_of(Coins(9, numbers, positions=6, nodes=7))
    monkeypatch.setattr("specsim.models.coins._TABLE", 0)
    single = all_of(Coins(9, numbers, positions=6, nodes=7))
    assert [tuple(part.shape) for part in table[:3]] == [(3, 7), (3, 7), (3,)]
    for mine, yours in zip(table, single, strict=True):
        assert torch.equal(mine, yours)
    for before, after in zip(table[:3], table[3:], strict=True):
        assert torch.equal(before[kept], after)


def test_coins__are_all_different_and_do_not_depend_on_the_size_of_the_round():
    numbers = torch.arange(4)
    wide = Coins(1, numbers, positions=5, nodes=7)
    narrow = Coins(1, numbers, positions=9, nodes=3)
    seen = []
    for position in range(1, 6):
        first = torch.full((4,), position)
        coins = wide.of_round(first)
        assert torch.equal(coins.last, coins.draft[:, 0])
        seen += torch.cat([coins.draft, coins.accept], dim=1).flatten().tolist()
        for mine, yours in zip(narrow.of_round(first)[:2], coins[:2], strict=True):
            assert torch.equal(mine, yours[:, :3])
        assert torch.equal(narrow.of_round(first).last, coins.last)
    assert len(set(seen)) == len(seen) == 5 * 4 * 7 * 2


def test_draw__has_the_law_of_the_weights_and_never_a_zero_weight():
    weights = torch.tensor([0.0, 3.0, 0.0, 1.0, 4.0, 0.0])
    coins = uniforms(1, torch.tensor(0), torch.arange(1, 20_001), torch.tensor(0))[:, 0]
    counts = np.bincount(draw(weights, coins).numpy(), minlength=6)
    law = (weights / 8).numpy()
    assert decide_law_by_cells_and_entropy(counts=counts, runs=20_000, probabilities=law, alpha=1e-9).agrees
    extremes = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    assert draw(weights, extremes).tolist() == [1, 4]
    assert draw(weights * 1e-30, extremes).tolist() == [1, 4]


def test_draw__reaches_the_tail_of_a_large_vocabulary():
    # Half the mass in one token, the other half spread evenly: each half must be met half the time.
    weights = torch.full((200_000,), 0.5 / 199_999)
    weights[0] = 0.5
    coins = uniforms(1, torch.tensor(0), torch.arange(1, 101), torch.tensor(0))[:, 0]
    tokens = draw(weights, coins)
    expected = torch.where(coins < 0.5, 0, 1 + ((coins - 0.5) * 2 * 199_999).long())
    assert (tokens - expected).abs().max() <= 1


LOGITS = torch.as_tensor(np.random.default_rng(4).normal(size=(3, 2, 50)) * 3)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2])
@pytest.mark.parametrize("top_k", [None, 1, 7, 50, 99])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.4, 1e-9])
def test_rows__are_those_of_transformers_filters(temperature, top_k, top_p):
    expected = LOGITS.flatten(0, 1)
    expected = TemperatureLogitsWarper(float(temperature))(None, expected)
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    rows = Sampling(temperature=temperature, top_k=top_k, top_p=top_p).rows(LOGITS)
    torch.testing.assert_close(rows.flatten(0, 1), expected.softmax(-1), atol=1e-14, rtol=0)


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.9999])
def test_rows__of_a_large_vocabulary__nucleus_found_without_sorting_it(top_p):
    logits = torch.as_tensor(np.random.default_rng(5).normal(size=(2, 20_000)) * 2)
    expected = TopPLogitsWarper(top_p)(None, logits).softmax(-1)
    torch.testing.assert_close(Sampling(top_p=top_p).rows(logits), expected, atol=1e-13, rtol=0)


def test_rows__ties_at_the_border_stay():
    logits = torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0])
    kept = [True, True, True, True, False]
    assert (Sampling(top_k=2).rows(logits) > 0).tolist() == kept
    assert (Sampling(top_p=0.6).rows(logits) > 0).tolist() == kept


def test_rows__precision_and_the_logits_themselves():
    before = LOGITS.clone()
    assert Sampling(temperature=0.5, top_k=3, top_p=0.5).rows(LOGITS).dtype == torch.float64
    assert torch.equal(LOGITS, before)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert Sampling().rows(LOGITS.to(dtype)).dtype == torch.float32
    greedy = Sampling(temperature=0).rows(torch.tensor([1.0, 3.0, 3.0, -math.inf]))
    assert greedy.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0), Sampling(top_k=2), Sampling(top_p=0.5)], ids=str
)
def test_rows__of_bad_logits_are_nan(bad, sampling):
    assert sampling.rows(torch.tensor([0.0, bad, 1.0])).isnan()[0]
    assert sampling.rows(torch.full((3,), -math.inf)).isnan()[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": True}, "temperature is True"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": None}, "top_p is None"),
    ],
)
def test_sampling__refuses(options, words):
    with pytest.raises(InputError, match=words):
        Sampling(**options)
