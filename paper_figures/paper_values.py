"""What arXiv 2411.00841 prints or plots, as data with provenance.

Values are either printed in the text or a table, or read off a figure; `PaperValue.precision` is the half
width of the rounding or of the reading. No value here was computed.
"""

from dataclasses import dataclass
from typing import Literal

Provenance = Literal["printed", "read off the figure"]


@dataclass(frozen=True, kw_only=True)
class PaperValue:
    """One number of the paper.

    value: as printed or read.
    precision: half width: the exact number lies within ``value - precision .. value + precision``.
    provenance: ``"printed"`` or ``"read off the figure"``.
    where: place in the paper.
    """

    value: float
    precision: float
    provenance: Provenance
    where: str


def _read(value: float, precision: float, where: str) -> PaperValue:
    return PaperValue(value=value, precision=precision, provenance="read off the figure", where=where)


def _printed(value: float, precision: float, where: str) -> PaperValue:
    return PaperValue(value=value, precision=precision, provenance="printed", where=where)


#: Expected rejections of speculative decoding over 50 tokens, and horizon over rejections.
FIGURE_2A_PRINTED = _printed(16.41, 0.005, "text")
FIGURE_2A_ACCELERATION = _printed(3.05, 0.005, "text")
FIGURE_2A_LINE = _read(16.406, 0.002, "Figure 2a")

#: By number of drafts: the lines, and the means of the paper's own simulation after 20,000 runs.
FIGURE_2B_LINES = {4: _read(14.2207, 0.0015, "Figure 2b"), 5: _read(14.0126, 0.0015, "Figure 2b")}
FIGURE_2B_ENDS = {
    4: _read(14.222, 0.004, "Figure 2b, end"),
    5: _read(14.000, 0.004, "Figure 2b, end"),
}
FIGURE_2C = {
    1: _printed(16.41, 0.005, "Figure 2c, dot"),
    50: _read(12.75, 0.03, "Figure 2c"),
    100: _read(12.60, 0.03, "Figure 2c"),
    500: _read(12.42, 0.03, "Figure 2c"),
    2000: _read(12.35, 0.03, "Figure 2c"),
}

FIGURE_5A_LINE = _read(33.535, 0.002, "Figure 5a")
FIGURE_5B_LINES = {2: _read(30.959, 0.0015, "Figure 5b")}
FIGURE_5B_ENDS = {2: _read(30.95, 0.02, "Figure 5b, end")}
FIGURE_5C = {
    1: _read(33.535, 0.002, "Figure 5c"),
    2: _read(30.959, 0.002, "Figure 5c"),
    5: _read(28.73, 0.02, "Figure 5c"),
    10: _read(27.60, 0.02, "Figure 5c"),
    20: _read(26.75, 0.02, "Figure 5c"),
    50: _read(25.98, 0.02, "Figure 5c"),
    150: _read(25.47, 0.02, "Figure 5c"),
    200: _read(25.40, 0.02, "Figure 5c"),
    400: _read(25.27, 0.02, "Figure 5c"),
    1000: _read(25.16, 0.02, "Figure 5c"),
    2000: _read(25.13, 0.02, "Figure 5c"),
}

#: Success probability of the target, and by that of the draft the limit of the curve so labelled.
FIGURE_3_BERNOULLI_TARGET = 0.5
FIGURE_3_BERNOULLI = {
    0.1: _read(0.40, 0.005, "Figure 3, upper"),
    0.2: _read(0.30, 0.005, "Figure 3, upper"),
    0.3: _read(0.10, 0.005, "Figure 3, upper"),
    0.65: _read(0.15, 0.005, "Figure 3, upper"),
    0.85: _read(0.35, 0.005, "Figure 3, upper"),
    0.95: _read(0.45, 0.005, "Figure 3, upper"),
}
#: By the ratio of the sizes of the supports, the limit of the curve.
FIGURE_3_UNIFORM = {
    2: _read(0.5, 0.005, "Figure 3, lower"),
    5: _read(0.8, 0.005, "Figure 3, lower"),
    10: _read(0.9, 0.005, "Figure 3, lower"),
    15: _read(0.933, 0.005, "Figure 3, lower"),
    20: _read(0.95, 0.005, "Figure 3, lower"),
    50: _read(0.98, 0.005, "Figure 3, lower"),
}

#: Both intercepts of the front, and the rejection probability by epsilon; the instance is not known.
FIGURE_4_TV = _read(0.407, 0.002, "Figure 4b, ends")
FIGURE_4C_EPSILONS = (0.0, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.45)
FIGURE_4C_REJECTION = {
    0.0: _read(0.407, 0.002, "Figure 4c"),
    0.05: _read(0.265, 0.003, "Figure 4c"),
    0.1: _read(0.18, 0.003, "Figure 4c"),
    0.15: _read(0.122, 0.003, "Figure 4c"),
    0.2: _read(0.079, 0.003, "Figure 4c"),
    0.3: _read(0.021, 0.003, "Figure 4c"),
    0.35: _read(0.0, 0.003, "Figure 4c"),
    0.45: _read(0.0, 0.003, "Figure 4c"),
}

#: Prompts for every win rate; a prompt is won with more than 250 of 500 comparisons.
PROMPTS = 200
#: Win rate in percent of Decoding-OPT over Decoding-UNO, by judge and epsilon.
TABLE_1: dict[tuple[str, float | None], PaperValue] = {
    ("RM-Mistral-7B", 0.1): _printed(53.0, 0.25, "Table 1"),
    ("RM-Mistral-7B", 0.2): _printed(53.5, 0.25, "Table 1"),
    ("RM-Mistral-7B", 0.4): _printed(57.5, 0.25, "Table 1"),
    ("RM-Mistral-7B", 0.8): _printed(52.5, 0.25, "Table 1"),
    ("GPT-4", 0.1): _printed(54.5, 0.25, "Table 1"),
    ("GPT-4", 0.2): _printed(53.0, 0.25, "Table 1"),
    ("GPT-4", 0.4): _printed(53.5, 0.25, "Table 1"),
    ("GPT-4", 0.8): _printed(55.0, 0.25, "Table 1"),
}
#: Win rate in percent of pythia-2.8b over pythia-70m, by judge.
TABLE_2: dict[tuple[str, float | None], PaperValue] = {
    ("RM-Mistral-7B", None): _printed(64.5, 0.25, "Table 2"),
    ("GPT-4", None): _printed(69.0, 0.25, "Table 2"),
}
