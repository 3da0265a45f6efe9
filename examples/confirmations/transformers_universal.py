"""transformers: universal assisted decoding reads the draft's logits in the wrong order of tokens.

For two vocabularies and ``do_sample=True`` the head of the assistant is cut down to the shared tokens, in the
order in which ``assistant_tokenizer.get_vocab()`` lists them (``_PruneReindexingLMHead``), while
``AssistantToTargetTranslator.get_target_logits`` takes the remaining logits to be in ascending order of ids.
Fast tokenizers list their vocabulary in no particular order, another one in each process. Drafts are then
tested against the probabilities of other tokens. With a vocabulary listed by id, the control below, the law
is right.

Needs only ``pip install torch transformers``. Prints observed counts of the first token against the exact
law, for a vocabulary listed by id, in reverse, and in the order of this process, which may by chance be a
good one. Exits with 1 when the reverse order gives another law.
"""

import sys
from importlib.metadata import version

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

TARGET_WORDS = ["?", "a", "b", "c", "d", "e"]
DRAFT_WORDS = ["?", "e", "x", "c", "b", "a", "d"]
RUNS = 500


def tokenizer(words, step=None):
    """Return a fast tokenizer of whole words; it lists its vocabulary by id (1) or in reverse (-1)."""
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    if step is not None:
        made.get_vocab = lambda: {word: place for place, word in list(enumerate(words))[::step]}
    return made


def language_model(words, seed):
    """Return a random model of one layer."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.6,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return GPTNeoXForCausalLM(config).eval()


def worst(title, step=None):
    """Decode, print the token that is furthest off, and return its distance in standard deviations."""
    target, draft = language_model(TARGET_WORDS, 1), language_model(DRAFT_WORDS, 2)
    draft.generation_config.num_assistant_tokens = 2
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    draft.generation_config.assistant_confidence_threshold = 0.0
    prompt = torch.tensor([[1, 2]])
    with torch.no_grad():
        law = target(prompt).logits[0, -1].double().softmax(-1).numpy()
    options = {
        "attention_mask": torch.ones_like(prompt),
        "assistant_model": draft,
        "tokenizer": tokenizer(TARGET_WORDS),
        "assistant_tokenizer": tokenizer(DRAFT_WORDS, step),
        "do_sample": True,
        "top_k": 0,
        "max_new_tokens": 3,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    counts = np.zeros(len(law))
    for _ in range(RUNS):
        counts[target.generate(prompt, **options)[0, 2]] += 1
    sigmas = (counts - RUNS * law) / np.sqrt(RUNS * law * (1 - law))
    token = int(np.abs(sigmas).argmax())
    print(
        f"{title}: token {token}: {int(counts[token])} of {RUNS}, exactly {RUNS * law[token]:.1f}:"
        f" {sigmas[token]:+.1f} sigma; total variation {np.abs(counts / RUNS - law).sum() / 2:.3f}"
    )
    return abs(sigmas[token])


def main():
    """Compare three orders of the draft's vocabulary with the exact law."""
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    print(f"transformers {version('transformers')}, universal assisted decoding")
    control = worst("vocabulary listed by id        ", 1)
    biased = worst("vocabulary listed in reverse   ", -1)
    worst("vocabulary as the library lists")
    print("biased" if biased > 6 else "no bias seen")
    return 1 if biased > 6 and control < 6 else 0


if __name__ == "__main__":
    sys.exit(main())
