"""The table model is the pair it was made from, through every path of transformers that uses a cache."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import specsim
from specsim.errors import InputError
from specsim.validation.statistics import decide_law_by_cells_and_entropy

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import TableCausalLM, table_models

# False alarms of each statistical test below, at most.
ALPHA = 1e-9


def rows_by_hand(pair: specsim.ModelPair, rows: np.ndarray, ids: list[int], start: int) -> np.ndarray:
    context, out = start, []
    for token in ids:
        context = int(pair.next_context[context, token])
        out.append(rows[context])
    return np.array(out)


def softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(-1).numpy()


def test_rows__are_those_of_the_pair_and_of_the_hand_written_fold():
    pair = specsim.random_pair(contexts=5, tokens=3, horizon=4, seed=1, stationary=True)
    ids = [2, 0, 1, 1]
    for model, rows in zip(table_models(pair, 3), (pair.target[0], pair.draft[0]), strict=True):
        logits = model(torch.tensor([ids])).logits
        np.testing.assert_allclose(softmax(logits)[0], rows_by_hand(pair, rows, ids, 3), atol=1e-15)
        one = model(torch.tensor([ids]), logits_to_keep=1).logits
        assert torch.equal(one, logits[:, -1:])
        some = model(torch.tensor([ids]), logits_to_keep=torch.tensor([0, 2])).logits
        assert torch.equal(some, logits[:, [0, 2]])


def test_skip__leaves_the_first_token_out():
    pair = specsim.random_prefix_pair(tokens=2, horizon=3, seed=4)
    model, _ = table_models(pair, skip=1)
    for first in (0, 1):
        out = softmax(model(torch.tensor([[first, 1, 0]])).logits)[0]
        contexts = [0, int(pair.next_context[0, 1])]
        contexts.append(int(pair.next_context[contexts[1], 0]))
        np.testing.assert_allclose(out, pair.target[0, contexts], atol=1e-15)


def test_cache__in_pieces_and_cropped__gives_the_rows_of_an_uncached_forward():
    # Every prefix has a row of its own; the contexts of a Markov pair forget what was not rolled back.
    model, _ = table_models(specsim.random_prefix_pair(tokens=3, horizon=8, seed=2))
    ids = torch.tensor([[2, 0, 1, 1, 0], [1, 1, 2, 0, 2]])
    wrong = torch.tensor([[0, 2], [0, 1]])
    whole = model(ids, use_cache=False).logits
    first = model(ids[:, :2])
    cache = getattr(first, "cache", None) or first.past_key_values
    name = "cache" if hasattr(first, "cache") else "past_key_values"
    model(wrong, **{name: cache})
    cache.crop(-2)
    rest = model(ids[:, 2:], **{name: cache}).logits
    assert torch.equal(torch.cat([first.logits, rest], dim=1), whole)
    # The same without rolling back: other rows.
    first = model(ids[:, :2])
    cache = getattr(first, "cache", None) or first.past_key_values
    model(wrong, **{name: cache})
    assert not torch.allclose(model(ids[:, 2:], **{name: cache}).logits, whole[:, 2:])


def test_masks__hide_padding_on_either_side_and_single_slots():
    model, _ = table_models(specsim.random_prefix_pair(tokens=3, horizon=6, seed=2))
    ids = torch.tensor([[2, 0, 1]])
    whole = model(ids).logits
    left = model(torch.tensor([[0, 0, 2, 0, 1]]), attention_mask=torch.tensor([[0, 0, 1, 1, 1]])).logits
    right = model(torch.tensor([[2, 0, 1, 0]]), attention_mask=torch.tensor([[1, 1, 1, 0]])).logits
    assert torch.equal(left[:, 2:], whole)
    assert torch.equal(right[:, :3], whole)
    for dtype in (torch.bool, torch.float32):
        mask = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
        mask[..., 1] = mask[..., 3] = False
        if dtype != torch.bool:
            mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(dtype).min)
        holes = model(torch.tensor([[2, 1, 0, 1, 1]]), attention_mask=mask).logits
        assert torch.equal(holes[:, [0, 2, 4]], whole)


def test_check_positions__notices_positions_that_do_not_count_what_is_seen():
    model, _ = table_models(markov_stationary(), check_positions=True)
    ids = torch.tensor([[2, 0, 1]])
    model(ids)
    model(ids, position_ids=torch.tensor([[0, 1, 2]]))
    for wrong in ([1, 2, 3], [0, 1, 1], [0, 2, 3]):
        with pytest.raises(InputError, match="position_ids"):
            model(ids, position_ids=torch.tensor([wrong]))


def markov_stationary() -> specsim.ModelPair:
    return specsim.random_pair(contexts=3, horizon=3, seed=11, stationary=True, initial=[0.0, 1.0, 0.0])


def generate(pair: specsim.ModelPair, runs: int, *, batch: int = 1, **options: Any) -> np.ndarray:
    """Sequences of ``generate`` after the prompt [1], as numbers in base tokens."""
    target, draft = table_models(pair)
    if options.pop("assisted", False):
        options["assistant_model"] = draft
        draft.generation_config.num_assistant_tokens = options.pop("draft_length")
        draft.generation_config.num_assistant_tokens_schedule = "constant"
        draft.generation_config.assistant_confidence_threshold = 0
    out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(runs // batch):
            ids = target.generate(
                torch.ones(batch, 1, dtype=torch.int64), do_sample=True, top_k=0,
                max_new_tokens=pair.horizon, attention_mask=torch.ones(batch, 1, dtype=torch.int64),
                pad_token_id=0, **options,
            )  # fmt: skip
            out.append(ids[:, 1:])
    weights = pair.tokens ** np.arange(pair.horizon - 1, -1, -1)
    return np.concatenate(out).astype(np.int64) @ weights


def test_generate__plain__has_the_target_law():
    pair = markov_stationary()
    torch.manual_seed(1)
    paths = generate(pair, 20_000, batch=20_000)
    law = specsim.theory.target_law(pair)
    counts = np.bincount(paths, minlength=27)
    assert decide_law_by_cells_and_entropy(counts=counts, runs=20_000, probabilities=law, alpha=ALPHA).agrees
    draft_law = specsim.theory.target_law(
        specsim.ModelPair.from_probabilities(
            pair.draft, pair.draft, initial=pair.initial, horizon=3, next_context=pair.next_context
        )
    )
    wrong = decide_law_by_cells_and_entropy(counts=counts, runs=20_000, probabilities=draft_law, alpha=ALPHA)
    assert not wrong.agrees


@pytest.mark.parametrize(("draft_length", "runs"), [(3, 150), pytest.param(2, 6000, marks=pytest.mark.slow)])
def test_generate__assisted__has_the_target_law(draft_length, runs):
    pair = markov_stationary()
    torch.manual_seed(2)
    paths = generate(pair, runs, assisted=True, draft_length=draft_length)
    law = specsim.theory.target_law(pair)
    counts = np.bincount(paths, minlength=27)
    assert decide_law_by_cells_and_entropy(counts=counts, runs=runs, probabilities=law, alpha=ALPHA).agrees


def test_saved_and_loaded__is_the_same_model(tmp_path):
    pair = specsim.random_pair(contexts=4, tokens=3, horizon=2, family="sparse", seed=8, stationary=True)
    target, _ = table_models(pair, 2)
    target.save_pretrained(tmp_path)
    again = TableCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    ids = torch.tensor([[0, 2, 1]])
    assert torch.equal(again(ids).logits, target(ids).logits)
    assert again.config.start == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [({"start": 3}, "start is 3"), ({"start": True}, "start is True"), ({"skip": -1}, "skip is -1")],
)
def test_table_models__refuses_what_is_out_of_range(options, words):
    with pytest.raises(InputError, match=words):
        table_models(markov_stationary(), **options)


def test_table_models__refuses_rows_that_change_with_the_step():
    with pytest.raises(InputError, match="stationary"):
        table_models(specsim.paper_pair(3))


def test_forward__without_ids__is_refused():
    model, _ = table_models(markov_stationary())
    with pytest.raises(InputError, match="input_ids"):
        model()
