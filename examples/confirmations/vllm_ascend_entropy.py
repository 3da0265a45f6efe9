"""vllm-ascend: entropy verification is lossy by design, by default also where the target is nearly sure.

Read: vllm-project/vllm-ascend at 05226df, ``vllm_ascend/ops/triton/reject_sample.py``, kernel
``rejection_random_sample_kernel`` with ``ENTROPY_VERIFY``: a drafted token x is accepted when
T(x) / D(x) >= factor * U with factor = min(exp(-0.4 H(T)), 0.95), and replaced from (T - D)_+. That is
lenience (2211.17192, Appendix A.5) with a factor for each row, not typical acceptance (2401.10774). The
factor is at most 0.95, so that nearly sure rows are verified with loss, too. The option says that it trades
precision for acceptance; this script says how much.

Needs NumPy. Prints the exact law of one token on two rows.
"""

import sys

import numpy as np

ALPHA, THRESHOLD = 0.4, 0.95


def emitted(target, draft):
    """Return the law of one token, the acceptance, and the factor."""
    entropy = -np.sum(target * np.log(target + 1e-10))
    factor = min(np.exp(-ALPHA * entropy), THRESHOLD)
    accepted = np.minimum(draft, target / factor)
    residual = np.maximum(target - draft, 0)
    return accepted + (1 - accepted.sum()) * residual / residual.sum(), accepted.sum(), factor


def main():
    """Print laws, acceptances and distances; return 1 when the output is not the target's."""
    lossy = False
    for target, draft in (
        ((1 / 3, 2 / 3), (2 / 3, 1 / 3)),
        ((1.0, 0.0), (0.9, 0.1)),
        ((0.97, 0.03), (0.5, 0.5)),
    ):
        target, draft = np.array(target), np.array(draft)
        law, acceptance, factor = emitted(target, draft)
        distance = abs(law - target).sum() / 2
        print(
            f"target {target.round(3)}, draft {draft.round(3)}: factor {factor:.4f}, "
            f"accepted {acceptance:.4f} "
            f"(ratio rule {np.minimum(target, draft).sum():.4f}), law {law.round(4)}, "
            f"total variation {distance:.4f}"
        )
        lossy |= distance > 1e-9
    return int(lossy)


if __name__ == "__main__":
    sys.exit(main())
