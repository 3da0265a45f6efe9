"""litgpt: speculative ``generate`` leaves out the first token, and with ``top_p`` below 1 it can raise.

``generate`` of ``litgpt/generate/speculative_decoding.py`` draws a token from the prompt and goes on from
it, but never puts it into what it returns: the text lacks its first token. And a residual is handed to
``sample`` as probabilities, which ``top_p`` takes for logits; the tokens it takes out get the weight -inf,
at which ``torch.multinomial`` raises.

Needs ``pip install torch`` and the folder of an unpacked litgpt wheel (``pip download --no-deps litgpt``),
named on the command line; lightning and the rest of litgpt are stubbed. Prints observed counts of the first
returned token against the exact law and exits with 1 when they disagree.
"""

import importlib
import sys
import types
from pathlib import Path

import torch

RUNS = 2000
# Laws of the next token after each token; the prompt is token 0.
TARGET = torch.tensor(
    [[0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.2, 0.6], [0.5, 0.1, 0.1, 0.3], [0.4, 0.3, 0.2, 0.1]]
)
DRAFT = torch.full((4, 4), 0.25)


class Table:
    """A model whose logits are rows of a table."""

    max_seq_length = 1000

    def __init__(self, rows):
        self.logits = rows.log()

    def modules(self):
        """Name no parts."""
        return [self]

    def __call__(self, idx, input_pos, input_pos_maxp1=None):
        """Return the logits after each token."""
        return self.logits[idx]


class Stub(types.ModuleType):
    """A module of which any name can be imported."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_from(folder):
    """Import the module, with stubs for lightning and for the rest of litgpt."""
    names = ("config", "constants", "model", "prompts", "tokenizer", "utils")
    stubs = [f"litgpt.{name}" for name in names]
    stubs += ["lightning", "lightning.fabric", "lightning.fabric.plugins"]
    sys.modules.update({name: Stub(name) for name in stubs})
    for name in ("litgpt", "litgpt.generate"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(Path(folder, *name.split(".")))]
    return importlib.import_module("litgpt.generate.speculative_decoding")


def main():
    """Compare the first returned token with the target's law of the token after the prompt."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "litgpt").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-LITGPT-WHEEL")
        return 2
    module = import_from(sys.argv[1])
    torch.manual_seed(1)

    def first(**options):
        text, _ = module.generate(
            Table(DRAFT),
            Table(TARGET),
            torch.tensor([0]),
            6,
            include_prompt=False,
            speculative_k=2,
            **options,
        )
        return int(text[0])

    counts = torch.zeros(4)
    for _ in range(RUNS):
        counts[first()] += 1
    law = TARGET[0].double()
    second = law @ TARGET.double()
    sigmas = (counts - RUNS * law) / (RUNS * law * (1 - law)).sqrt()
    version = next(Path(sys.argv[1]).glob("litgpt-*.dist-info")).name.removesuffix(".dist-info")
    print(f"{version}, generate(speculative_k=2): first returned token, {RUNS} runs")
    for token in range(4):
        print(
            f"  {token}: {int(counts[token])}, exactly {RUNS * law[token]:.1f}: {sigmas[token]:+.1f} sigma"
            f" (law of the second token: {RUNS * second[token]:.1f})"
        )
    try:
        for _ in range(100):
            first(top_p=0.7)
        print("  top_p=0.7: no exception in 100 runs")
    except RuntimeError as error:
        print(f"  top_p=0.7: {type(error).__name__}: {error}")
    biased = bool(sigmas.abs().max() > 6)
    print("biased" if biased else "no bias seen")
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
