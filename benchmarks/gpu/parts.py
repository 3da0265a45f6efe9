"""The parts of the GPU benchmark: from a device and sizes to figures, and whether they are right."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import specsim
from benchmarks.gpu.samplers import samplers
from specsim import Autoregressive, BlockVerification, Speculative, get_rule, parse_pair

#: Drafts of the parts `decode` and `verify`: chains, paths and a tree of 16 tokens.
ALGORITHMS = (
    Speculative(draft_length=4),
    BlockVerification(draft_length=4),
    get_rule("k-seq")(drafts=4, draft_length=4),
    get_rule("recursive")(tree=(4, 2, 1)),
    get_rule("summed-coin")(tree=(4, 2, 1), drawn="greedy"),
    get_rule("traversal")(tree=(4, 2, 1)),
)
#: Pairs of the part `engine`, as in the other benchmarks.
ENGINE_PAIRS = (
    "paper:horizon=50",
    "random:contexts=64,horizon=128,seed=1,stationary=yes",
    "random:contexts=1024,horizon=64,seed=1,stationary=yes",
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large everything is.

    runs: runs that are compared, and that are timed, in the part `engine`; pairs: how many of its pairs.
    sequences: decoded in the part `law`.
    vocabulary, target, draft: tokens, and (width, layers) of the random models.
    batches: sequences side by side.
    new_tokens, prompt: of each.
    repetitions: timings, of which the median is taken.
    oracle: seconds for each sampler under the oracle.
    """

    runs: tuple[int, int]
    pairs: int
    sequences: int
    vocabulary: int
    target: tuple[int, int]
    draft: tuple[int, int]
    batches: tuple[int, ...]
    new_tokens: int
    prompt: int
    repetitions: int
    oracle: float


FULL = Sizes(
    runs=(2**14, 2**22), pairs=3, sequences=50_000, vocabulary=128_256, target=(2048, 16), draft=(512, 4),
    batches=(1, 8, 64), new_tokens=48, prompt=64, repetitions=3, oracle=20.0,
)  # fmt: skip
DRY = Sizes(
    runs=(64, 64), pairs=1, sequences=300, vocabulary=64, target=(16, 1), draft=(16, 1), batches=(2,),
    new_tokens=6, prompt=3, repetitions=1, oracle=1.0,
)  # fmt: skip


def timed(call: Callable[[], Any], device: str, repetitions: int) -> list[float]:
    """Return seconds of calls, after one that is not timed; a GPU has finished before the clock is read."""
    import torch

    found = []
    for _ in range(repetitions + 1):
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begin)
    return found[1:]


def engine(device: str, sizes: Sizes) -> dict[str, Any]:
    """Compare the torch engine's tallies with lockstep's, bit by bit, then time both."""
    compared, many = sizes.runs
    rows = []
    for text in ENGINE_PAIRS[: sizes.pairs]:
        pair, algorithm = parse_pair(text), Speculative()
        engines: dict[str, dict[str, Any]] = {
            "torch": {"engine": "torch", "device": device},
            "lockstep, all cores": {"engine": "lockstep"},
        }
        mine, other = (
            specsim.simulate(pair, algorithm, runs=compared, seed=1, **options)
            for options in engines.values()
        )
        equal = all(np.array_equal(mine[name].values, other[name].values) for name in other.data_vars)
        seconds = {}
        for name, options in engines.items():
            asked: dict[str, Any] = {**options, "runs": many, "seed": 2, "tallies": "rejections"}
            times = timed(partial(specsim.simulate, pair, algorithm, **asked), device, sizes.repetitions)
            seconds[name] = 1e9 * statistics.median(times) / (many * pair.horizon)
        rows.append({"pair": text, "runs": many, "same_bits": equal, "ns_per_token": seconds})
    return {"right": all(row["same_bits"] for row in rows), "rows": rows}


def law(device: str, sizes: Sizes) -> dict[str, Any]:
    """Hold the joint law of whole runs of the decoder on the device against exact theory."""
    from specsim.models import LoadedPair, decode, table_models
    from specsim.theory import enumerate_outcomes
    from specsim.validation.statistics import decide_law_by_cells_and_entropy

    pair = specsim.random_prefix_pair(tokens=2, horizon=4, seed=5)
    target, draft = (model.to(device) for model in table_models(pair, skip=1))
    rows = []
    for algorithm in (
        Speculative(draft_length=2), BlockVerification(draft_length=2),
        get_rule("k-seq")(drafts=2, draft_length=2), get_rule("traversal")(tree=(2, 2)),
        get_rule("summed-coin")(tree=(2, 1), drawn="greedy"),
    ):  # fmt: skip
        known = enumerate_outcomes(pair, algorithm).law
        places: dict[Any, int] = {outcome: place for place, outcome in enumerate(known)}
        decoded = decode(
            LoadedPair(target=target, draft=draft), [[0]] * sizes.sequences, algorithm=algorithm,
            new_tokens=pair.horizon, seed=1,
        )  # fmt: skip
        counts = np.zeros(len(known) + 1, dtype=np.int64)
        for number, tokens in enumerate(decoded.tokens):
            path = int("".join(map(str, tokens)), 2)
            rejected = sum(1 << (position - 1) for position in decoded.rejected_positions[number])
            lengths = tuple(decoded.accepted_lengths[number])
            counts[places.get((path, rejected, len(lengths), lengths), -1)] += 1
        decision = decide_law_by_cells_and_entropy(
            counts=counts, runs=sizes.sequences, alpha=1e-9,
            probabilities=np.array([*map(float, known.values()), 0.0]),
        )  # fmt: skip
        rows.append({"algorithm": algorithm.label, "agrees": bool(decision.agrees)})
    return {"right": all(row["agrees"] for row in rows), "sequences": sizes.sequences, "rows": rows}


def random_pair(device: str, sizes: Sizes) -> Any:
    """Return random Llama models, the target in bfloat16 on a GPU; nothing is downloaded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from specsim.models import LoadedPair

    made = []
    for seed, (width, layers) in enumerate((sizes.target, sizes.draft)):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=sizes.vocabulary, hidden_size=width, num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64), num_key_value_heads=max(1, width // 256),
            intermediate_size=4 * width, max_position_embeddings=4096, pad_token_id=None,
        )  # fmt: skip
        with torch.device(device):
            model = LlamaForCausalLM(config)
        made.append(model.to(torch.bfloat16 if device == "cuda" else torch.float32).eval())
    return LoadedPair(target=made[0], draft=made[1])


def prompts_of(sizes: Sizes, batch: int) -> list[list[int]]:
    """Return different random prompts."""
    generator = np.random.default_rng(1)
    return generator.integers(sizes.vocabulary, size=(batch, sizes.prompt)).tolist()


def decode_loop(device: str, sizes: Sizes) -> dict[str, Any]:
    """Time the decoding loop by part; random models accept little, so that figures are per target call."""
    from specsim.models import decode

    models = random_pair(device, sizes)
    rows = []
    for batch in sizes.batches:
        for algorithm in (Autoregressive(), *ALGORITHMS):

            def once(algorithm: Any = algorithm, batch: int = batch) -> Any:
                return decode(
                    models, prompts_of(sizes, batch), algorithm=algorithm, new_tokens=sizes.new_tokens, seed=1
                )

            # The first call allocates and compiles.
            once()
            found = [once() for _ in range(sizes.repetitions)]
            parts = {
                name: statistics.median(1e3 * asdict(one.times)[name] / one.rounds for one in found)
                for name in ("draft", "verify", "overhead")
            }
            rows.append(
                {
                    "algorithm": algorithm.label,
                    "batch": batch,
                    "ms_per_target_call": parts,
                    "rounds": found[0].rounds,
                    "tokens_per_call": found[0].block_efficiency,
                    "peak_bytes": found[0].memory.peak,
                }
            )
    return {"right": True, "models": _described(sizes), "rows": rows}


def verify(device: str, sizes: Sizes) -> dict[str, Any]:
    """Time rules on random rows beside one target forward over as many tokens.

    The forward has no cache and no text before it, so that a target step takes longer and the rule's share is
    less than printed.
    """
    import torch

    from specsim.models.sampling import Sampling
    from specsim.models.trees import Tree
    from specsim.models.verification import Round, TargetRows, verifier

    target = random_pair(device, sizes).target
    rows = []
    for batch in sizes.batches:
        for algorithm in ALGORITHMS:
            rule = verifier(algorithm, 64)
            tree, nodes = Tree(rule.structure, device), 1 + rule.drafted
            inner = tree.within[rule.structure.depth - 1]
            generator = torch.Generator(device).manual_seed(1)
            ids = torch.randint(sizes.vocabulary, (batch, nodes), generator=generator, device=device)
            logits = torch.randn(batch, nodes, sizes.vocabulary, generator=generator, device=device)
            drafted = torch.randn(batch, inner, sizes.vocabulary, generator=generator, device=device)
            drafted = drafted.softmax(-1)
            coins = torch.rand(batch, nodes, generator=generator, device=device, dtype=torch.float64)
            logits = logits.to(target.dtype)
            lengths = torch.full((batch,), rule.structure.depth, device=device)

            given = partial(
                Round, tree=tree, length=rule.structure.depth, lengths=lengths, tokens=ids, draft=drafted,
                coins=coins,
            )  # fmt: skip

            def decide(given: Any = given, logits: Any = logits, rule: Any = rule) -> Any:
                # The softmax of the target's logits is part of verifying.
                return rule.verify(given(target=TargetRows(logits, Sampling())))

            def forward(ids: Any = ids) -> Any:
                return target(ids, use_cache=False).logits

            with torch.inference_mode():
                ours = statistics.median(timed(decide, device, sizes.repetitions))
                step = statistics.median(timed(forward, device, sizes.repetitions))
            rows.append(
                {
                    "algorithm": algorithm.label, "batch": batch, "nodes": nodes, "verify_ms": 1e3 * ours,
                    "target_ms": 1e3 * step, "share_at_most": ours / (ours + step),
                }
            )  # fmt: skip
    return {"right": True, "models": _described(sizes), "rows": rows}


def _described(sizes: Sizes) -> dict[str, Any]:
    return {"vocabulary": sizes.vocabulary, "target_width_layers": sizes.target, "draft": sizes.draft}


def oracle(device: str, sizes: Sizes) -> dict[str, Any]:
    """Hold samplers that run on the device against the oracle; those that are not installed say so."""
    from specsim.errors import InputError
    from specsim.testing import Verdict, check_sampler

    rows: list[dict[str, Any]] = []
    for name, subjects in samplers(device).items():
        try:
            found = subjects()
        except InputError as error:
            rows.append({"sampler": name, "verdict": "not run", "reason": str(error)})
            continue
        for subject in found:
            report = check_sampler(subject, effort="quick", seed=1, budget=sizes.oracle)
            rows.append({"sampler": subject.name, "verdict": report.verdict.value})
    wrong = {Verdict.BIASED.value, Verdict.OTHER_RULE.value, Verdict.BROKEN.value}
    return {"right": not wrong & {row["verdict"] for row in rows}, "rows": rows}


PARTS: dict[str, Callable[[str, Sizes], dict[str, Any]]] = {
    "engine": engine,
    "law": law,
    "decode": decode_loop,
    "verify": verify,
    "samplers": oracle,
}
