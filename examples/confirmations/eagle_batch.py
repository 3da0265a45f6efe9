"""eagle-llm for batches: a draft whose siblings failed is followed by a token from a wrong row.

``evaluate_posterior`` of ``eagle/modelbsne1/utils.py`` compares the accepted length with
``candidates.shape[1]``. There that is the number of paths (the batch is in front), where the length of a
path is meant. So a path that was accepted to its end, after siblings of its last node had failed, is
followed by a token from the residual of those siblings and not from the target's row after the path.

Needs ``pip install torch transformers`` and the folder of an unpacked eagle-llm wheel (``pip download
--no-deps eagle-llm``), named on the command line. Prints observed counts of the first two tokens against
the exact law and exits with 1 when they disagree.
"""

import importlib.util
import random
import sys
from pathlib import Path

import torch

RUNS = 3000
DRAFT = torch.tensor([0.1, 0.2, 0.3, 0.4])
FIRST = torch.tensor([0.4, 0.3, 0.2, 0.1])
SECOND = torch.tensor(
    [[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.2, 0.3], [0.3, 0.4, 0.1, 0.2], [0.2, 0.3, 0.4, 0.1]]
)
CHILDREN = 3


def main():
    """Verify trees of three drafts for one position; compare the first two tokens with their law."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "eagle").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-EAGLE-LLM-WHEEL")
        return 2
    path = Path(sys.argv[1], "eagle", "modelbsne1", "utils.py")
    spec = importlib.util.spec_from_file_location("eagle_utils", path)
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    random.seed(1)
    torch.manual_seed(1)
    processor = utils.prepare_logits_processor(temperature=1.0)
    buffers = utils.generate_tree_buffers([[child] for child in range(CHILDREN)], device="cpu")
    counts = torch.zeros(4, 4)
    for _ in range(RUNS):
        # Drafts without replacement, with the probabilities that Model.sample gives them, filled up to ten.
        tokens = torch.multinomial(DRAFT, CHILDREN)
        before = torch.cat((torch.zeros(1), DRAFT[tokens].cumsum(0)[:-1]))
        drafts = (
            torch.cat((tokens, torch.zeros(10 - CHILDREN, dtype=torch.long)))[None, None],
            torch.cat((DRAFT[tokens] / (1 - before), torch.zeros(10 - CHILDREN)))[None, None],
            [DRAFT[None, None]],
        )
        candidates, chances, tree = utils.generate_candidates(
            drafts, buffers["tree_indices"], buffers["retrieve_indices"], torch.zeros(1, 1).long(), processor
        )
        logits = torch.cat((FIRST[None], SECOND[tokens])).log()[buffers["retrieve_indices"]][None]
        best, accepted, after = utils.evaluate_posterior(
            logits,
            candidates,
            processor,
            chances,
            drafts[2],
            buffers["p_indices"],
            tree,
            buffers["b_indices"],
            [False],
        )
        final = torch.multinomial(after[0], 1)
        if accepted[0] == 1:
            counts[candidates[0, best[0], 1], final] += 1
        else:
            counts[final, torch.multinomial(SECOND[final[0]], 1)] += 1
    exact = (FIRST[:, None] * SECOND).double()
    sigmas = (counts - RUNS * exact) / (RUNS * exact * (1 - exact)).sqrt()
    version = next(Path(sys.argv[1]).glob("eagle_llm-*.dist-info")).name.removesuffix(".dist-info")
    print(f"{version}, modelbsne1, {CHILDREN} drafts for one position: first two tokens, {RUNS} runs")
    for first in range(4):
        for second in range(4):
            print(
                f"  {first} {second}: {int(counts[first, second])}, exactly"
                f" {RUNS * float(exact[first, second]):.1f}: {float(sigmas[first, second]):+.1f} sigma"
            )
    worst = float(sigmas.abs().max())
    print("biased" if worst > 6 else "no bias seen")
    return int(worst > 6)


if __name__ == "__main__":
    sys.exit(main())
