"""vLLM 0.24's V2 model runner: a draft and the token that replaces it share their Gumbel noise.

``gumbel_sample`` draws a draft, and ``rejection_sample`` the token after a rejection, by the largest logit
plus noise; the noise is keyed by the request's seed and the position alone, the same for both. Given that a
draft was rejected, its noise is not that of a fresh draw, and the output law is not the target's. Reported
for vLLM as vllm-project/vllm#54282; 0.33 draws drafts from a stream of their own, and the script finds no
bias there.

Needs ``pip install torch numpy`` and the folder of an unpacked vllm wheel (``pip download --no-deps
vllm==0.24.0``), named on the command line. vLLM's two files run as they are; Triton is stood in for by the
few functions below, on NumPy. Prints observed counts against the target's law, exits with 1 when they
disagree.
"""

import importlib.util
import inspect
import sys
import types
from pathlib import Path

import numpy as np
import torch

RUNS, BATCH, POSITION = 8192, 1024, 7
DRAFT = torch.tensor([0.48, 0.01, 0.51])
TARGET = torch.tensor([0.72, 0.27, 0.01])
BONUS = torch.full((3,), 1 / 3)
LANES = 16  # A block of 1024 or 8192 lanes over 3 tokens: the lanes after the vocabulary are masked out.
PROGRAM = [0, 0, 0]


class Value(np.ndarray):
    """A block or a scalar of a kernel."""

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """Keep scalars as arrays, for the sake of `to`."""
        return np.asarray(array).view(Value)

    def to(self, kind, bitcast=False):
        """Convert, or read the bits as another type."""
        return value(np.asarray(self).view(kind) if bitcast else np.asarray(self).astype(kind))

    # Blocks are values: "a *= b" must not change the block that a came from.
    __imul__, __ixor__ = np.ndarray.__mul__, np.ndarray.__xor__


def value(thing):
    """Make a block or a scalar."""
    return np.asarray(thing).view(Value)


class Pointer:
    """An array and an offset into it."""

    def __init__(self, array, offset=0):
        self.array, self.offset = array, offset

    def __add__(self, more):
        return Pointer(self.array, self.offset + more)


def load(pointer, mask=True, other=0):
    """Read what the mask lets through."""
    mask, offset = np.broadcast_arrays(mask, pointer.offset)
    out = np.full(offset.shape, other, pointer.array.dtype)
    out[mask] = pointer.array[offset[mask]]
    return value(out)


def store(pointer, what, mask=True):
    """Write what the mask lets through."""
    mask, offset = np.broadcast_arrays(mask, pointer.offset)
    pointer.array[offset[mask]] = np.broadcast_to(what, mask.shape)[mask]


def randint4x(seed, offset):
    """Return Philox4x32-10 of key `seed` and counters `offset`, all four words."""
    offset, word = np.asarray(offset).astype(np.uint64), np.uint64(0xFFFFFFFF)
    seed, half = np.asarray(seed).astype(np.uint64), np.uint64(32)
    c = [offset & word, offset >> half, offset & np.uint64(0), offset & np.uint64(0)]
    k = [seed & word, seed >> half]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> half) ^ c[1] ^ k[0], b & word, (a >> half) ^ c[3] ^ k[1], a & word]
        k = [(k[0] + np.uint64(0x9E3779B9)) & word, (k[1] + np.uint64(0xBB67AE85)) & word]
    return [value(entry.astype(np.uint32)) for entry in c]


def rand(seed, offset):
    """Return uniforms as tl.rand does."""
    word = randint4x(seed, offset)[0].to(np.int32, bitcast=True)
    return value(np.where(word < 0, ~word, word).astype(np.float32) * np.float32(4.6566127342e-10))


class Kernel:
    """A kernel: called by others, or launched over a grid."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, **options):
        """Call it from a kernel."""
        return self.function(*args, **options)

    def __getitem__(self, grid):
        """Launch it."""
        flat = lambda x: Pointer(x.reshape(-1).numpy()) if isinstance(x, torch.Tensor) else x  # noqa: E731
        names = set(inspect.signature(self.function).parameters)

        def launch(*args, **options):
            options = {key: option for key, option in options.items() if key in names}
            for place in np.ndindex(*grid):
                PROGRAM[: len(place)] = place
                with np.errstate(all="ignore"):
                    self.function(*map(flat, args), **options)

        return launch


def largest(block, axis=0, return_indices=False):
    """Return the largest entry, and where it is."""
    return (value(block.max()), value(block.argmax())) if return_indices else value(block.max())


def triton_stand_in():
    """Return stand-ins for triton, triton.language and libdevice."""
    language = types.SimpleNamespace(
        constexpr=lambda x: x, load=load, store=store, rand=rand, randint4x=randint4x, max=largest,
        randint=lambda seed, offset: randint4x(seed, offset)[0], cast=lambda x, kind: value(x).to(kind),
        program_id=lambda axis: value(np.int32(PROGRAM[axis])), exp=np.exp, log=np.log,
        arange=lambda start, stop: value(np.arange(start, min(stop, LANES), dtype=np.int32)),
        where=lambda *args: value(np.where(*args)), maximum=np.maximum, minimum=np.minimum,
        argmax=lambda block, axis=0: value(block.argmax()), sum=lambda block, axis=0: value(block.sum()),
        full=lambda shape, x, kind: value(np.full(shape, x, kind)),
        zeros=lambda shape, kind: value(np.zeros(shape, kind)),
        float32=np.float32, float64=np.float64, int32=np.int32, int64=np.int64, uint32=np.uint32,
        uint64=np.uint64,
    )  # fmt: skip
    triton = types.SimpleNamespace(
        jit=lambda function=None, **options: Kernel(function) if function else Kernel,
        cdiv=lambda number, size: -(-number // size),
        next_power_of_2=lambda number: 1 << (number - 1).bit_length(),
    )
    return {"triton": triton, "tl": language, "tldevice": types.SimpleNamespace(log1p=np.log1p)}


def import_from(folder):
    """Import the two files, with stubs for what else they import."""
    names = "vllm vllm.triton_utils vllm.v1 vllm.v1.spec_decode vllm.v1.spec_decode.fly vllm.v1.worker"
    names += " vllm.v1.worker.gpu vllm.v1.worker.gpu.sample vllm.v1.worker.gpu.sample.watermark"
    sys.modules.update({name: types.ModuleType(name) for name in names.split()})
    vars(sys.modules["vllm.triton_utils"]).update(triton_stand_in(), HAS_TRITON=True)
    sys.modules["vllm.v1.spec_decode.fly"].compute_fly_entropy = None
    sys.modules["vllm.v1.worker.gpu.sample.watermark"].philox_gumbel_block_argmax = None
    loaded = []
    for name in ("sample.gumbel", "spec_decode.rejection_sampler_utils"):
        full = f"vllm.v1.worker.gpu.{name}"
        spec = importlib.util.spec_from_file_location(full, Path(folder, *full.split(".")).with_suffix(".py"))
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded


def first_tokens(gumbel, rejection, seeds):
    """Return the first emitted tokens of requests: one draft each, verified; positions as in the engine."""
    batch = len(seeds)
    requests = torch.arange(batch, dtype=torch.int32)
    temperature = torch.ones(batch)
    cache = torch.zeros(batch, 1, 3)
    taken = inspect.signature(gumbel.gumbel_sample).parameters
    options = {"is_drafting": True} if "is_drafting" in taken else {}
    later = "logits_cache" in taken
    options["logits_cache" if later else "output_processed_logits"] = cache
    options["logits_cache_col" if later else "output_processed_logits_col"] = torch.tensor(0)
    position = torch.full((batch,), POSITION)
    logits = DRAFT.log().repeat(batch, 1)
    drafted = gumbel.gumbel_sample(
        logits, requests, temperature, seeds, position, apply_temperature=True, **options
    )
    tokens, _ = rejection.rejection_sample(
        torch.stack((TARGET.log(), BONUS.log())).repeat(batch, 1),
        cache,
        torch.stack((torch.zeros(batch, dtype=torch.int64), drafted), dim=1).reshape(-1).to(torch.int32),
        torch.arange(batch + 1, dtype=torch.int32) * 2,
        torch.stack((position, position + 1), dim=1).reshape(-1),
        requests,
        requests.repeat_interleave(2),
        torch.tensor([0, 1], dtype=torch.int32).repeat(batch),
        temperature,
        seeds,
        1,
    )
    return tokens[:, 0]


def main():
    """Compare the first emitted token with the target's law."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "vllm").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-VLLM-WHEEL")
        return 2
    modules = import_from(sys.argv[1])
    version = next(Path(sys.argv[1]).glob("vllm-*.dist-info")).name.removesuffix(".dist-info")
    rng = np.random.default_rng(1)
    counts = np.zeros(3)
    for _ in range(RUNS // BATCH):
        seeds = torch.as_tensor(rng.integers(-(2**63), 2**63 - 1, BATCH))
        counts += np.bincount(first_tokens(*modules, seeds), minlength=3)
    law = TARGET.double().numpy()
    sigmas = (counts - RUNS * law) / np.sqrt(RUNS * law * (1 - law))
    print(f"{version}, V2 model runner, drafts from its own gumbel_sample: first token, {RUNS} runs")
    for token in range(3):
        print(f"  {token}: {int(counts[token])}, exactly {RUNS * law[token]:.1f}: {sigmas[token]:+.1f} sigma")
    biased = np.abs(sigmas).max() > 6
    print("biased" if biased else "no bias seen")
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
