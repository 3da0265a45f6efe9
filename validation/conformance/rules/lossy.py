"""Rules that are lossy by an option: the output law is not the target's, and is known exactly."""

from dataclasses import replace

import numpy as np

from specsim.errors import InputError
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    PositionLaw,
    Rule,
    gap_residual,
    need_draft,
    position_bug,
    position_rule,
    ratio,
    ratio_law,
)

OPTION = "13 lossy by option"


def lenient(lenience: float, name: str = "lenience") -> Rule:
    """Return the rule that accepts with min(1, target / (lenience * draft)) (2211.17192, Appendix A.5).

    lenience: above 0 and at most 1, which is the ratio rule.
    name: of the rule.
    """
    if not 0 < lenience <= 1:
        raise InputError(f"lenience is {lenience}; give a number above 0 and at most 1")

    def acceptance(target: Floats, draft: Floats | None) -> Floats:
        return np.minimum(1.0, ratio(target, lenience * need_draft(draft, name)))

    return position_rule(
        name=name,
        title=f"accept with min(1, target / ({lenience:g} draft)), replace as in the ratio rule",
        source="2211.17192, Appendix A.5",
        lossless=lenience == 1,
        acceptance=acceptance,
        residual=gap_residual,
        bug_class=OPTION,
    )


def over_accepting(epsilon: float, residual: str = "optimal", name: str | None = None) -> Rule:
    """Return the rule that accepts with min(1, (target + epsilon) / draft) (2411.00841, section 4.2).

    epsilon: at least 0.
    residual: ``"optimal"``: the normalised positive part of target - draft; ``"target"`` or ``"draft"``: that
        row.
    name: defaults to None: ``over-acceptance`` and the residual.
    """
    if not epsilon >= 0:
        raise InputError(f"epsilon is {epsilon}; give a number of at least 0")
    residuals: dict[str, PositionLaw] = {
        "optimal": gap_residual,
        "target": lambda target, draft: target,
        "draft": lambda target, draft: need_draft(draft, "over-acceptance"),
    }
    if residual not in residuals:
        raise InputError(f"residual is {residual!r}; give one of {', '.join(residuals)}")

    def acceptance(target: Floats, draft: Floats | None) -> Floats:
        return np.minimum(1.0, ratio(target + epsilon, need_draft(draft, "over-acceptance")))

    replaced = {
        "optimal": "the positive part of target - draft",
        "target": "the target",
        "draft": "the draft",
    }
    return position_rule(
        name=name or f"over-acceptance-{residual}",
        title=f"accept with min(1, (target + {epsilon:g}) / draft), replace from {replaced[residual]}",
        source="2411.00841, section 4.2",
        lossless=epsilon == 0 and residual == "optimal",
        acceptance=acceptance,
        residual=residuals[residual],
        bug_class=OPTION,
    )


def typical(ceiling: float = 0.09, scale: float = 0.3) -> Rule:
    """Return typical acceptance (Medusa, 2401.10774): accept iff target > min(ceiling, scale / exp(entropy)).

    A rejected token is replaced by a draw from the target.
    """

    @position_bug(OPTION, "2401.10774", needs_draft=False)
    def typical(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(target > 0, target * np.log(target), 0.0)
        threshold = np.minimum(ceiling, scale * np.exp(terms.sum(axis=-1, keepdims=True)))
        return (target > threshold).astype(np.float64), target

    title = f"accept iff target > min({ceiling:g}, {scale:g} exp(-entropy)), replace from the target"
    return replace(typical, title=title)


def threshold_rule(threshold: float) -> Rule:
    """Return the rule that accepts iff the target's probability is at least `threshold`."""
    source = "acceptance thresholds below 1, such as those of sgl-project/sglang"

    @position_bug(OPTION, source, needs_draft=False)
    def fixed_threshold(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
        return (target >= threshold).astype(np.float64), target

    return replace(fixed_threshold, title=f"accept iff target >= {threshold:g}, replace from the target")


def synthetic(rate: float) -> Rule:
    """Return the rule that accepts every token with probability `rate`, as benchmarks do."""

    @position_bug(OPTION, "vllm-project/vllm#38045", needs_draft=False)
    def synthetic(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
        return np.full_like(target, rate), target

    title = f"accept with probability {rate:g} whatever was drafted, replace from the target"
    return replace(synthetic, title=title)


def aimed_rule(name: str, title: str, source: str, aim: PositionLaw) -> Rule:
    """Return the ratio rule that aims at another law than the target's.

    name, title, source: as in `Rule`.
    aim: of a target row and a draft row: the law aimed at. The bonus token is the target's.
    """

    def law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        rows = need_draft(draft, name)
        length = drafted.shape[-1]
        aimed = aim(target[..., :length, :], rows)
        return ratio_law(np.concatenate([aimed, target[..., length:, :]], axis=-2), rows, drafted)

    return Rule(name=name, title=title, source=source, lossless=False, law=law, bug_class=OPTION)


def ensemble_rule(weight: float) -> Rule:
    """Return the ratio rule that aims at weight * target + (1 - weight) * draft."""
    return aimed_rule(
        "ensemble",
        f"aim at {weight:g} target + {1 - weight:g} draft, with the target's bonus token",
        "huggingface/transformers, assisted generation with an ensemble weight",
        lambda target, draft: weight * target + (1.0 - weight) * need_draft(draft, "ensemble"),
    )


def cascade_rule(alpha: float) -> Rule:
    """Return the speculative cascade that defers to the target by its optimal rule (2405.19261).

    The draft row is kept unless max draft < max target - alpha * TV.
    """

    def aim(target: Floats, draft: Floats | None) -> Floats:
        rows = need_draft(draft, "cascade")
        distance = 0.5 * np.abs(target - rows).sum(axis=-1)
        defer = rows.max(axis=-1) < target.max(axis=-1) - alpha * distance
        return np.where(defer[..., None], target, rows)

    return aimed_rule(
        "cascade", f"aim at the target only where max draft < max target - {alpha:g} TV", "2405.19261", aim
    )


def mentored_law(target: Floats, draft: Floats, divergence: float) -> Floats:
    """Return the law closest to the draft within a Kullback-Leibler divergence of the target.

    It is the draft clipped to between a * target and b * target, a < 1 < b, with total mass 1 and the given
    divergence from the target; the draft itself where it is near enough. a by bisection; given a, b follows
    from the mass that a adds.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = np.where(target > 0, draft / np.where(target > 0, target, 1.0), np.inf)
    order = np.argsort(-quotients, axis=-1, kind="stable")
    top_draft = np.cumsum(np.take_along_axis(draft, order, axis=-1), axis=-1)
    top_target = np.cumsum(np.take_along_axis(target, order, axis=-1), axis=-1)

    def clipped(low: Floats) -> Floats:
        added = np.maximum(low * target - draft, 0.0).sum(axis=-1, keepdims=True)
        # sum (draft - b target)_+ = added is a maximum of linear functions of b, one for each top set.
        reach = np.where(top_target > 0, (top_draft - added) / np.where(top_target > 0, top_target, 1.0), 0.0)
        high = np.maximum(reach.max(axis=-1, keepdims=True), low)
        return np.clip(draft, low * target, high * target)

    def distance(law: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(law > 0, law * np.log(law / target), 0.0)
        # Where draft mass lies on tokens that the target excludes, a low a leaves less than mass 1.
        short = law.sum(axis=-1, keepdims=True) < 1.0 - 1e-9
        return np.where(short, np.inf, terms.sum(axis=-1, keepdims=True))

    near, far = np.ones((*target.shape[:-1], 1)), np.zeros((*target.shape[:-1], 1))
    for _ in range(60):
        middle = 0.5 * (near + far)
        too_far = distance(clipped(middle)) > divergence
        near, far = np.where(too_far, near, middle), np.where(too_far, middle, far)
    law = np.where(distance(draft) <= divergence, draft, clipped(near))
    return law / law.sum(axis=-1, keepdims=True)


def mentored_rule(divergence: float) -> Rule:
    """Return mentored decoding: the ratio rule aimed at `mentored_law`."""
    return aimed_rule(
        "mentored",
        f"aim at the law nearest to the draft within a divergence of {divergence:g} from the target",
        "Tran-Thien, An optimal lossy variant of speculative decoding",
        lambda target, draft: mentored_law(target, need_draft(draft, "mentored"), divergence),
    )


LENIENCE = lenient(0.5)
OVER_ACCEPTANCE = over_accepting(0.1, name="over-acceptance")
OVER_ACCEPTANCE_TARGET = over_accepting(0.1, "target")
OVER_ACCEPTANCE_DRAFT = over_accepting(0.1, "draft")
TYPICAL = typical()
FIXED_THRESHOLD = threshold_rule(0.1)
SYNTHETIC = synthetic(0.7)
ENSEMBLE = ensemble_rule(0.5)
CASCADE = cascade_rule(0.2)
MENTORED = mentored_rule(0.1)
