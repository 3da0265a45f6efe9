"""Choose a draft length for an n-gram pair estimated from a text, with exact numbers.

    python examples/choose_draft_length.py README.md --cost 0.1

The target is a character model of order 3, the draft one of order 1. The speed-up is over plain decoding when
a draft step costs `--cost` target calls and nothing else costs anything.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import specsim
from specsim import theory


def main() -> None:
    """Print one line per draft length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("text", help="a text file in UTF-8")
    parser.add_argument("--cost", type=float, default=0.1, help="draft step / target call")
    parser.add_argument("--horizon", type=int, default=128, help="tokens to emit")
    arguments = parser.parse_args()

    pair = specsim.ModelPair.from_ngrams(
        Path(arguments.text), horizon=arguments.horizon, target_order=3, draft_order=1, level="character"
    )
    print(pair)
    print("draft length  tokens per target call  speed-up")
    for length in (1, 2, 3, 4, 6, 8):
        efficiency = theory.block_efficiency(pair, specsim.Speculative(draft_length=length))
        print(f"{length:12d}  {efficiency:22.3f}  {efficiency / (1 + arguments.cost * length):8.3f}")


if __name__ == "__main__":
    main()
