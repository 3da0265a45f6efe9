"""Right samplers under many seeds: how often they are accused, and what their e-values are.

``python -m benchmarks.calibration ratio --seeds 1000 --check sizes --keep sessions.jsonl`` runs sessions,
each a line of the file, and goes on where an earlier run of the same command was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, code_digest, get_controls
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
        """Return the picture: share of e-values at least as large, with Markov's bound."""
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
    keep: Path | None = None,
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
    keep
        File of finished sessions, which are not run again. Defaults to None: none are kept.

    Raises
    ------
    InputError
        A seed is given twice, or nothing is given.
    """
    listed = list(controls)
    if not listed or not seeds or len(set(seeds)) != len(seeds):
        raise InputError("controls and seeds must not be empty, and seeds must be distinct")
    values, names, alarms = [], [], []
    settings = {
        "effort": effort.name,
        "alpha": alpha,
        "only": sorted(only) if only else None,
        "source": code_digest(),
    }
    kept = _kept(keep, settings) if keep else {}
    total = len(listed) * len(seeds)
    for number, control in enumerate(listed):
        for place, seed in enumerate(seeds):
            if progress:
                progress(control.name, number * len(seeds) + place, total)
            found = kept.get((control.name, seed))
            if found is None:
                found = _session(control, seed, effort=effort, alpha=alpha, only=only)
                if keep:
                    line = {"control": control.name, "seed": seed, "settings": settings, **found}
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
            for check, value in found["log_e"].items():
                values.append(value)
                names.append((check, control.name))
            alarms += found["alarms"]
    return Calibration(
        log_e=np.array(values), names=tuple(names), sessions=total, alarms=tuple(alarms), alpha=alpha
    )


def _session(control: Control, seed: int, **settings: Any) -> dict[str, Any]:
    """Return the e-values of the checks and the alarms of one session."""
    report = check_sampler(control.subject, seed=seed, **settings)
    if report.interrupted:
        raise KeyboardInterrupt
    values = {c.name: c.log10_e * math.log(10) for c in report.checks if not math.isnan(c.log10_e)}
    bad = (c for c in report.checks if c.status in (CheckStatus.FAILED, CheckStatus.BROKEN))
    return {"log_e": values, "alarms": [f"{control.name}, seed {seed}: {c.name}: {c.reason}" for c in bad]}


def _kept(file: Path, settings: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the sessions of a file that had these settings; a line that was cut short is none."""
    found = {}
    for line in file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else ():
        item = json.loads(line)
        if item["settings"] == settings:
            found[item["control"], item["seed"]] = item
    return found


def main() -> None:
    """Calibrate controls by name, and print means and tails."""
    parser = argparse.ArgumentParser(description="Right samplers under many seeds.")
    parser.add_argument("controls", nargs="+", metavar="CONTROL")
    parser.add_argument("--seeds", type=int, required=True, help="seeds 1 to this")
    parser.add_argument("--check", action="append", metavar="NAME", help="may be repeated; default: all")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="finished sessions, one a line")
    given = parser.parse_args()
    found = calibrate(
        get_controls(given.controls), range(1, given.seeds + 1), only=given.check, keep=given.keep
    )
    print(
        f"{found.sessions} sessions, {len(found.log_e)} checks, {len(found.alarms)} alarms",
        *found.alarms,
        sep="\n",
    )
    of = np.array([name for name, _ in found.names])
    for name in sorted(set(of)):
        values = np.exp(found.log_e[of == name])
        print(f"{name}: {len(values)} e-values, mean {values.mean():.3g}, largest {values.max():.3g}")
    for threshold, count, share, bound in found.rows():
        print(f"e-value at least {threshold:g}: {count} checks, share {share:.5f}, bound {bound:.5f}")


if __name__ == "__main__":
    main()
