"""vLLM V1: after a draft row of NaN the emitted token is token 0, even where the target gives it no mass.

``sample_recovered_tokens_kernel`` takes ``tl.maximum(target - draft, 0)``, which drops a NaN in favour of
the 0; all scores are then 0 and the largest is the first. The class of bug was reported as
vllm-project/vllm#41834.

Needs ``pip install torch triton`` and the folder of an unpacked vllm wheel (``pip download --no-deps
vllm==0.33.0``), named on the command line. Its two kernels are cut out of the file and run in Triton's own
interpreter. Prints how often each token is emitted against the target's law; exits with 1 when a token
without mass is.
"""

import ast
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"

import torch

RUNS = 200
TARGET = torch.tensor([[0.0, 0.5, 0.5]])
ROWS = {
    "uniform": torch.full((1, 3), 1 / 3),
    "NaN": torch.full((1, 3), float("nan")),
}
KERNELS = ("rejection_random_sample_kernel", "sample_recovered_tokens_kernel")


def observed(folder):
    """Run the two kernels as the file defines them; return counts of tokens by draft row."""
    source = Path(folder, "vllm", "v1", "sample", "rejection_sampler.py").read_text()
    lines = source.splitlines()
    parts = ["import triton", "import triton.language as tl"]
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in KERNELS:
            parts.append("\n".join(lines[node.decorator_list[0].lineno - 1 : node.end_lineno]))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "kernels.py")
        file.write_text("\n\n\n".join(parts))
        spec = importlib.util.spec_from_file_location("kernels", file)
        module = importlib.util.module_from_spec(spec)
        sys.modules["kernels"] = module
        spec.loader.exec_module(module)
        # The source is read once more when a kernel first runs.
        return {name: emitted(module, draft) for name, draft in ROWS.items()}


def emitted(module, draft):
    """Return how often each token is emitted; one draft, token 1 or 2 by turns."""
    counts = torch.zeros(3)
    ends, bonus = torch.tensor([1], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    for run in range(RUNS):
        drafted = torch.tensor([1 + run % 2], dtype=torch.int32)
        recovered = torch.zeros(1, dtype=torch.int32)
        noise = torch.empty(1, 3).exponential_().reciprocal()
        module.sample_recovered_tokens_kernel[(1, 1)](
            recovered, ends, drafted, draft, TARGET, noise, 3,
            BLOCK_SIZE=16, NO_DRAFT_PROBS=False, USE_FP64_GUMBEL=False,
        )  # fmt: skip
        out = torch.full((1, 2), -1, dtype=torch.int32)
        coin = torch.rand(1, dtype=torch.float64)
        greedy = torch.tensor([False])
        module.rejection_random_sample_kernel[(1,)](
            out, ends, drafted, draft, TARGET, bonus, recovered, coin, greedy, 1, 3, None,
            NO_DRAFT_PROBS=False, SYNTHETIC_MODE=False,
        )  # fmt: skip
        counts[out[0, 0]] += 1
    return counts


def main():
    """Emit tokens after rows of both kinds and print their counts."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "vllm").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-VLLM-WHEEL")
        return 2
    torch.manual_seed(1)
    version = next(Path(sys.argv[1]).glob("vllm-*.dist-info")).name.removesuffix(".dist-info")
    print(
        f"{version}, V1 kernels: first emitted token, {RUNS} runs; exactly 0, {RUNS / 2:.0f}, {RUNS / 2:.0f}"
    )
    leaks = 0
    for name, counts in observed(sys.argv[1]).items():
        sigma = float((counts[1] - RUNS / 2) / (RUNS / 4) ** 0.5)
        print(f"  draft row {name}: {[int(count) for count in counts]}, token 1 {sigma:+.1f} sigma")
        leaks += int(counts[0])
    print("token 0 is emitted though it has no mass" if leaks else "no token without mass is emitted")
    return int(leaks > 0)


if __name__ == "__main__":
    sys.exit(main())
