"""eagle-llm: the token after a whole accepted path ignores the temperature, top-k and top-p.

``evaluate_posterior`` (``eagle/model/utils.py``) tests drafts against the target's row as the logits
processor leaves it, but when nothing was rejected at the last node it returns the softmax of the raw
logits, from which the next token is drawn.

Needs ``pip install torch transformers`` and the folder of an unpacked eagle-llm wheel (``pip download
--no-deps eagle-llm``), named on the command line. Prints observed counts of the token after one accepted
draft against the exact law and exits with 1 when they disagree.
"""

import importlib.util
import random
import sys
from pathlib import Path

import torch

TEMPERATURE, RUNS = 0.5, 4000
# Draft and target agree on the first token, so that every draft is accepted; rows of the target after it.
FIRST = torch.tensor([0.5, 0.3, 0.2])
SECOND = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.25, 0.5, 0.25]])


def main():
    """Verify trees of one draft and compare the token after it with the target's law at the temperature."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "eagle").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-EAGLE-LLM-WHEEL")
        return 2
    path = Path(sys.argv[1], "eagle", "model", "utils.py")
    spec = importlib.util.spec_from_file_location("eagle_utils", path)
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    random.seed(1)
    torch.manual_seed(1)
    processor = utils.prepare_logits_processor(temperature=TEMPERATURE)
    buffers = utils.generate_tree_buffers([[0]], device="cpu")
    row = torch.softmax(FIRST.log() / TEMPERATURE, dim=0)
    exact = torch.softmax(SECOND.double().log() / TEMPERATURE, dim=1)
    counts, accepted_drafts = torch.zeros(3, 3), torch.zeros(3)
    for _ in range(RUNS):
        token = torch.multinomial(row, 1)
        # What Model.sample returns, filled up to the ten drafts per node that the library counts with.
        drafts = (
            torch.cat((token, torch.zeros(9, dtype=torch.long)))[None],
            torch.cat((row[token], torch.zeros(9)))[None],
            [row[None]],
        )
        candidates, chances, tree = utils.generate_candidates(
            drafts, buffers["tree_indices"], buffers["retrieve_indices"], torch.zeros(1, 1).long(), processor
        )
        logits = torch.stack((FIRST, SECOND[token[0]])).log()[buffers["retrieve_indices"]]
        _, accepted, after = utils.evaluate_posterior(
            logits,
            candidates,
            processor,
            chances,
            drafts[2],
            buffers["p_indices"],
            tree,
            buffers["b_indices"],
        )
        if accepted == 1:
            accepted_drafts[token] += 1
            counts[token, torch.multinomial(after, 1)] += 1
    version = next(Path(sys.argv[1]).glob("eagle_llm-*.dist-info")).name.removesuffix(".dist-info")
    print(f"{version}, temperature {TEMPERATURE}: token after an accepted draft")
    worst = 0.0
    for first in range(3):
        for second in range(3):
            expected = float(accepted_drafts[first] * exact[first, second])
            sigma = (float(counts[first, second]) - expected) / (
                expected * (1 - float(exact[first, second]))
            ) ** 0.5
            worst = max(worst, abs(sigma))
            print(f"  {first} {second}: {int(counts[first, second])}, exactly {expected:.1f}: {sigma:+.1f}")
    print("biased" if worst > 6 else "no bias seen")
    return int(worst > 6)


if __name__ == "__main__":
    sys.exit(main())
