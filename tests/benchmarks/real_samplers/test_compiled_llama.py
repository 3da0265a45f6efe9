"""The weights of a Llama that are computed from a pair give the pair's rows."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.real_samplers.compiled_llama import compile_llama, forward
from specsim.errors import InputError
from specsim.validation.conformance.instances import chain_instance, order_contexts, prefix_contexts


@pytest.mark.parametrize(("vocabulary", "order"), [(4, 1), (4, 2), (3, 3), (8, 2)])
def test_compiled_llama__has_the_rows_of_the_pair(vocabulary, order):
    instance = chain_instance(1, vocabulary=vocabulary, order=order, draft_length=2)
    model = compile_llama(instance.target, instance.next_context, instance.start)
    rng = np.random.default_rng(0)
    for _ in range(5):
        text = rng.integers(vocabulary, size=150)
        logits = forward(model, np.concatenate([[vocabulary], text]))[:, :vocabulary]
        rows = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        np.testing.assert_allclose(rows, instance.target[instance.contexts(text[None])[0]], atol=1e-6)


def test_compiled_llama__refuses_rows_of_long_contexts_and_wide_vocabularies():
    table = prefix_contexts(2, 5)
    rows = np.full(table.shape, 0.5)
    with pytest.raises(InputError, match="last 3 tokens"):
        compile_llama(rows, table, 0)
    table = order_contexts(20, 1)
    with pytest.raises(InputError, match="at most 15"):
        compile_llama(np.full(table.shape, 0.05), table, 0)
