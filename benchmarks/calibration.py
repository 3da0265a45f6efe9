"""Right samplers under many seeds: how often they are accused, and what their e-values are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.zoo.model import Control
from specsim.errors import InputError
from specsim.validation.conformance.laboratory import Effort
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.running import DEFAULT_ALPHA, check_sampler

#: Little work for each seed: about a thousand observations of every experiment.
LIGHT = Effort(name="calibration", eps=0.2, seconds=600.0, widest=251, least_side=500, wide_samples=1000)

#: Thresholds at which the frequency of e-values is compared with its bound.
THRESHOLDS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """E-values of right samplers.

    Attributes
    ----------
    log_e
        Natural logarithms of the e-values at the end of every check, all controls, seeds and checks.
    names
        The check and the control of each.
    sessions
        Pairs of control and seed.
    alarms
        Descriptions of the checks that failed.
    alpha
        False-alarm budget of each session.
    """

    log_e: np.ndarray
    names: tuple[tuple[str, str], ...]
    sessions: int
    alarms: tuple[str, ...]
    alpha: float

    def rows(self) -> list[tuple[float, int, float, float]]:
        """Return, for each threshold, (value, e-values at least so large, their share, 1 / value)."""
        found = []
        for threshold in THRESHOLDS:
            count = int((self.log_e >= math.log(threshold)).sum())
            found.append((threshold, count, count / max(len(self.log_e), 1), 1 / threshold))
        return found

    def svg(self) -> str:
        """Return the picture: share of e-values at least so large, beside Markov's bound."""
        import io

        import matplotlib
        from matplotlib.figure import Figure

        values = np.sort(self.log_e)[::-1] / math.log(10)
        share = np.arange(1, len(values) + 1) / len(values)
        with matplotlib.rc_context({"svg.hashsalt": "specsim", "svg.fonttype": "none", "font.size": 9}):
            figure = Figure(figsize=(6.4, 4), layout="constrained")
            axes = figure.subplots()
            shown = values > -3
            axes.step(
                10 ** values[shown], share[shown], where="post", color="#0072B2", label="right samplers"
            )
            line = np.array([1.0, 10.0 ** max(4.0, float(values.max()) + 0.5)])
            axes.plot(line, 1 / line, color="#222222", ls="--", label="bound: 1 / e")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("e-value at the end of a check")
            axes.set_ylabel("share of checks with at least that")
            axes.legend(frameon=False)
            axes.spines[["top", "right"]].set_visible(False)
            sheet = io.StringIO()
            figure.savefig(sheet, format="svg", metadata={"Date": None})
        return sheet.getvalue()


def calibrate(
    controls: Iterable[Control],
    seeds: Sequence[int],
    *,
    effort: Effort = LIGHT,
    alpha: float = DEFAULT_ALPHA,
    only: Sequence[str] | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Calibration:
    """Run every check on every control under every seed.

    Parameters
    ----------
    controls
        Right samplers.
    seeds
        Distinct.
    effort
        Defaults to `LIGHT`.
    alpha
        Budget of each session.
    only
        Names of checks. Defaults to None: all that apply.
    progress
        Called with a name, the sessions done, and all of them.

    Raises
    ------
    InputError
        A seed is given twice, or nothing is given.
    """
    listed = list(controls)
    if not listed or not seeds or len(set(seeds)) != len(seeds):
        raise InputError("controls and seeds must not be empty, and seeds must be distinct")
    values, names, alarms = [], [], []
    total = len(listed) * len(seeds)
    for number, control in enumerate(listed):
        for place, seed in enumerate(seeds):
            if progress:
                progress(control.name, number * len(seeds) + place, total)
            report = check_sampler(control.subject, effort=effort, alpha=alpha, seed=seed, only=only)
            if report.interrupted:
                raise KeyboardInterrupt
            for check in report.checks:
                if not math.isnan(check.log10_e):
                    values.append(check.log10_e * math.log(10))
                    names.append((check.name, control.name))
                if check.status in (CheckStatus.FAILED, CheckStatus.BROKEN):
                    alarms.append(f"{control.name}, seed {seed}: {check.name}: {check.reason}")
    return Calibration(
        log_e=np.array(values), names=tuple(names), sessions=total, alarms=tuple(alarms), alpha=alpha
    )
