"""A replication of speculative speculative decoding: its rates by draft length follow from its times.

Weili-0234/ssd-wl, commit 9a5e165, REPRODUCE.md (Qwen3-32B with 0.6B, H100, greedy, batch 1) has tokens per
second for 4, 5, 6 and 7 drafted tokens on four data sets, and a profile: a target call takes 11.45 ms; the
drafter takes 2.54 ms for each drafted token, and 2.83 + 0.71 + 0.05 ms beside. If every outcome is guessed, a
round takes the longer of the two. With one acceptance a for each data set a round emits 1 + a + ... + a^K
tokens. a is fitted to the rate of K = 4; the other rates are predicted, and that of K = 3, which was not
measured, too. Needs nothing but Python; exits with 1 when a number is another one.
"""

CALL, STEP, REST = 11.45, 2.54, 2.83 + 0.71 + 0.05
RATES = {
    "HumanEval": {4: 224.5, 5: 210.1, 6: 193.9, 7: 169.0},
    "UltraFeedback": {4: 182.0, 5: 162.7, 6: 146.0, 7: 131.4},
    "Alpaca": {4: 192.4, 5: 174.1, 6: 156.9, 7: 141.1},
    "GSM8k": {4: 244.8, 5: 227.5, 6: 204.4, 7: 192.7},
}


def milliseconds(length):
    """Return the time of a round."""
    return max(CALL, REST + STEP * length)


def rate(acceptance, length):
    """Return tokens per second."""
    tokens = sum(acceptance**place for place in range(length + 1))
    return 1000 * tokens / milliseconds(length)


print("rounds:", ", ".join(f"K = {length}: {milliseconds(length):.2f} ms" for length in range(1, 8)))
print(
    f"steps that fit into a call: {CALL // STEP:.0f}, with the time beside them {(CALL - REST) // STEP:.0f}"
)
wrong = False
for name, published in RATES.items():
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle, 4) < published[4] else (low, middle)
    predicted = {length: rate(low, length) for length in range(1, 8)}
    errors = {length: predicted[length] / published[length] - 1 for length in (5, 6, 7)}
    best = max(predicted, key=predicted.get)
    print(
        f"{name}: acceptance {low:.4f};",
        ", ".join(f"K = {length} {100 * error:+.1f} %" for length, error in errors.items()),
        f"; fastest by the model K = {best}, {100 * (predicted[best] / predicted[4] - 1):.1f} % ahead of 4",
    )
    wrong |= max(map(abs, errors.values())) > 0.04 or best != 3 or min(published, key=published.get) != 7
raise SystemExit(wrong)
