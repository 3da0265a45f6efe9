"""Two printed drafters of one size imply a draft length of 8: wide with 12 layers, deep with 24.

2402.01528 (as secondary sources report its table) has, for two drafters of 1.3 billion parameters: 3.70 and
3.81 tokens per target call, 6.69 and 13.13 ms per draft step, 32.59 and 23.10 tokens per second. If a round
takes K draft steps and a target call, tokens / rate = K step + call for both, so that K and call follow. Each
number is rounded to two digits; the solution is monotone in each, so that its extremes are at the corners.
Needs nothing but Python; exits with 1 when a number is another one.
"""

from fractions import Fraction
from itertools import product

WIDE = ("3.70", "6.69", "32.59")
DEEP = ("3.81", "13.13", "23.10")
HALF = Fraction(1, 200)


def solution(tokens, step, rate, other_tokens, other_step, other_rate):
    """Return the draft length and the milliseconds of a target call."""
    time, other_time = 1000 * tokens / rate, 1000 * other_tokens / other_rate
    length = (other_time - time) / (other_step - step)
    return length, time - length * step


printed = [Fraction(number) for number in (*WIDE, *DEEP)]
length, call = solution(*printed)
lengths = [solution(*corner)[0] for corner in product(*((value - HALF, value + HALF) for value in printed))]
whole = [n for n in range(1, 100) if min(lengths) <= n <= max(lengths)]
print(f"draft length {float(length):.3f}, target call {float(call):.2f} ms")
print(f"rounding allows {float(min(lengths)):.3f} to {float(max(lengths)):.3f}: whole numbers {whole}")
wrong = whole != [8]
for name, (tokens, step, rate) in (("wide", WIDE), ("deep", DEEP)):
    ours = 1000 * Fraction(tokens) / (8 * Fraction(step) + 60)
    print(f"{name}: {float(ours):.2f} tokens per second with 8 drafted and 60 ms, printed {rate}")
    wrong |= abs(ours / Fraction(rate) - 1) > Fraction(2, 1000)
raise SystemExit(wrong)
