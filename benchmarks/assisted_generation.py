"""CPU time per target call of `specsim.models.decode` and transformers' own assisted generation.

    python -m benchmarks.assisted_generation                       a random pair
    python -m benchmarks.assisted_generation TARGET DRAFT          two checkpoints, by folder or hub id
    python -m benchmarks.assisted_generation --vocabulary 50304 --json figures.json

Both decode the same prompts with the same models, draft length and number of new tokens, in one process on
one thread, in turn; the figure is CPU time of the process. transformers decodes one sequence at a time;
specsim also decodes several copies side by side. A target call is one target forward of one sequence; what
reads the prompt is counted in the time of both, and as a call for transformers, which verifies a draft in it.
Ratios are medians of quotients within one repetition. Nothing is timed before the tokens per call of both
have been seen to agree.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import specsim
from benchmarks.timing import pinned
from specsim.errors import InputError
from specsim.support.files import write_text

#: Sequences decoded side by side.
BATCHES = (1, 4, 16, 32)
#: The most that one target call at batch 1 may take, in units of transformers' own.
GOAL = 1.15


def random_checkpoints(vocabulary: int) -> Any:
    """Return a pair of random GPT-NeoX models: 6 layers of width 256, and 2 of width 128."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from specsim.models import LoadedPair

    torch.manual_seed(0)
    made = []
    for width, layers, heads in ((256, 6, 8), (128, 2, 4)):
        config = GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            max_position_embeddings=1024,
        )
        made.append(GPTNeoXForCausalLM(config).eval())
    return LoadedPair(target=made[0], draft=made[1], names=("random 6 x 256", "random 2 x 128"))


class Assisted:
    """transformers' ``generate(assistant_model=...)`` with a constant draft length, and its target calls."""

    def __init__(self, models: Any, draft_length: int, new_tokens: int) -> None:
        self.models, self.new_tokens = models, new_tokens
        settings = models.draft.generation_config
        settings.num_assistant_tokens = draft_length
        settings.num_assistant_tokens_schedule = "constant"
        settings.assistant_confidence_threshold = 0
        self.calls = 0
        models.target.register_forward_pre_hook(self._count)

    def _count(self, *ignored: Any) -> None:
        self.calls += 1

    def __call__(self, prompt: list[int], seed: int) -> tuple[int, int]:
        """Decode; return new tokens and target calls."""
        import torch

        torch.manual_seed(seed)
        before = self.calls
        ids = torch.tensor([prompt])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = self.models.target.generate(
                ids,
                assistant_model=self.models.draft,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                temperature=1.0,
                max_new_tokens=self.new_tokens,
                min_new_tokens=self.new_tokens,
                eos_token_id=None,
                pad_token_id=0,
            )
        return int(out.shape[1] - ids.shape[1]), self.calls - before


class Ours:
    """`specsim.models.decode` of copies of a prompt."""

    def __init__(self, models: Any, draft_length: int, new_tokens: int, copies: int) -> None:
        self.models, self.new_tokens, self.copies = models, new_tokens, copies
        self.algorithm = specsim.Speculative(draft_length=draft_length)
        self.times: dict[str, float] = {}

    def __call__(self, prompt: list[int], seed: int) -> tuple[int, int]:
        """Decode; return new tokens and target calls."""
        from specsim.models import decode

        decoded = decode(
            self.models,
            [prompt] * self.copies,
            algorithm=self.algorithm,
            new_tokens=self.new_tokens,
            seed=seed,
        )
        for part in ("prefill", "draft", "verify", "overhead"):
            self.times[part] = self.times.get(part, 0.0) + getattr(decoded.times, part)
        return int(decoded.lengths.sum()), int(decoded.target_calls.sum())


def agree(
    theirs: Callable[..., Any], ours: Callable[..., Any], prompts: list[list[int]]
) -> tuple[float, float]:
    """Return the tokens per target call of both over some sequences.

    Raises
    ------
    SystemExit
        They differ by more than five standard errors and a call per sequence.
    """
    samples = []
    for decoder in (theirs, ours):
        counted = [decoder(prompt, seed) for seed, prompt in enumerate(prompts)]
        samples.append(np.array([tokens / calls for tokens, calls in counted]))
    means = [float(values.mean()) for values in samples]
    errors = [float(values.std(ddof=1)) / math.sqrt(len(values)) for values in samples]
    # One call more or less at either end of a sequence is a matter of counting.
    slack = means[0] ** 2 / float(ours.new_tokens)  # type: ignore[attr-defined]
    if abs(means[0] - means[1]) > 5 * math.hypot(*errors) + slack:
        sys.exit(f"tokens per call differ: {means[0]:.3f} and {means[1]:.3f}; nothing is timed")
    return means[0], means[1]


def measure(
    models: Any, prompts: list[list[int]], *, draft_length: int, new_tokens: int, repetitions: int
) -> dict[str, Any]:
    """Time both in turn.

    Parameters
    ----------
    models
        A `specsim.models.LoadedPair` on the CPU.
    prompts
        Token ids; repetition i decodes prompt i modulo their number.
    draft_length, new_tokens, repetitions
        At least 1.

    Returns
    -------
    dict
        Tokens per call, and for each contender CPU milliseconds per target call of each repetition, their
        median, and the median ratio to transformers with its smallest and largest value.
    """
    theirs = Assisted(models, draft_length, new_tokens)
    ours = {batch: Ours(models, draft_length, new_tokens, batch) for batch in BATCHES}
    contenders: dict[str, Callable[..., Any]] = {"transformers, batch 1": theirs}
    contenders |= {f"specsim, batch {batch}": run for batch, run in ours.items()}
    tokens_per_call = agree(theirs, ours[1], [prompts[i % len(prompts)] for i in range(6)])
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for run in ours.values():
        run(prompts[0], 0)
        run.times.clear()
    for repetition in range(repetitions):
        names = list(contenders)
        turn = repetition % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.process_time()
            _, calls = contenders[name](prompts[repetition % len(prompts)], 1000 + repetition)
            spent[name].append((time.process_time() - start) * 1e3 / calls)
    reference = spent["transformers, batch 1"]
    rows = {}
    for name, values in spent.items():
        ratios = [value / other for value, other in zip(values, reference, strict=True)]
        rows[name] = {
            "ms_per_target_call": values,
            "median_ms": statistics.median(values),
            "ratio": statistics.median(ratios),
            "least_ratio": min(ratios),
            "most_ratio": max(ratios),
        }
    shares = {f"specsim, batch {batch}": run.times for batch, run in ours.items()}
    return {"tokens_per_call": tokens_per_call, "rows": rows, "seconds": shares}


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; exit with 1 where the goals are missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?")
    parser.add_argument("draft", nargs="?")
    parser.add_argument("--vocabulary", type=int, default=512, help="of the random pair")
    parser.add_argument("--draft-length", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    chosen = parser.parse_args(arguments)
    import torch
    import transformers

    from specsim.models import load_pair

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    if chosen.target is None:
        models = random_checkpoints(chosen.vocabulary)
    elif chosen.draft is None:
        parser.error("give both TARGET and DRAFT, or neither")
    else:
        models = load_pair(chosen.target, chosen.draft, device="cpu")
    generator = np.random.default_rng(1)
    shape = (8, chosen.prompt_tokens)
    prompts = generator.integers(models.vocabulary, size=shape).tolist()
    with pinned():
        found = measure(
            models,
            prompts,
            draft_length=chosen.draft_length,
            new_tokens=chosen.new_tokens,
            repetitions=chosen.repetitions,
        )
    print(f"{models.names[0]} with {models.names[1]}, {models.vocabulary} tokens, draft length "
          f"{chosen.draft_length}, {chosen.new_tokens} new tokens, torch {torch.__version__}, "
          f"transformers {transformers.__version__}")  # fmt: skip
    print("tokens per target call: transformers {:.3f}, specsim {:.3f}".format(*found["tokens_per_call"]))
    print(f"{'':24}{'CPU ms per call':>16}{'ratio':>8}{'from':>8}{'to':>8}")
    for name, row in found["rows"].items():
        print(f"{name:24}{row['median_ms']:16.2f}{row['ratio']:8.3f}{row['least_ratio']:8.3f}"
              f"{row['most_ratio']:8.3f}")  # fmt: skip
    if chosen.json:
        write_text(Path(chosen.json), json.dumps(found, indent=1) + "\n")
    single, wide = (found["rows"][f"specsim, batch {batch}"]["ratio"] for batch in (1, 16))
    missed = [f"batch 1: {single:.2f} above {GOAL}"] * (single > GOAL) + [f"batch 16: {wide:.2f}"] * (
        wide >= 1
    )
    print("goals met" if not missed else "missed: " + "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
