"""Train a draft and a target on a text, decode with them, and hold what happens against theory.

    python examples/train_pair.py README.md pair --size tiny

Needs the extra: pip install 'specsim-decoding[torch]'. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from specsim import Speculative
from specsim.algorithms import get_rule
from specsim.models import decode, load_pair, measure, train_pair


def main() -> None:
    """Print losses, a text, and one line per algorithm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("text", help="a text file")
    parser.add_argument("out", help="the folder to make")
    parser.add_argument("--size", default="small", help="tiny (seconds) or small (minutes)")
    arguments = parser.parse_args()

    trained = train_pair(arguments.text, arguments.out, size=arguments.size)
    print(f"held-out loss: draft {trained.draft_loss:.3f}, target {trained.target_loss:.3f} nats per byte")
    models = load_pair(Path(arguments.out, "target"), Path(arguments.out, "draft"), device="cpu")
    written = decode(models, ["The "], algorithm=Speculative(draft_length=4), new_tokens=40, seed=1)
    print("The " + models.tokenizer.decode(written.tokens[0]))
    prompts = [models.tokenizer(word)["input_ids"] for word in ("The ", "a ", "It ", "of ")]
    for algorithm in (Speculative(draft_length=4), get_rule("one-hot")(draft_length=4)):
        result = measure(models, prompts * 4, algorithm=algorithm, new_tokens=32, seed=1)
        predicted, observed = (
            float(result[f"{name}_estimate"][0]) for name in ("predicted_rejections", "rejections")
        )
        print(f"{algorithm.label}: rejections {observed:.2f}, predicted {predicted:.2f}")


if __name__ == "__main__":
    main()
