"""What the checks of one subject share: instances, experiments, laws, and how much work to do."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.support.checks import named
from specsim.support.hashes import derived_seed
from specsim.validation.conformance.calling import SEED_RANGE, Caller, widest
from specsim.validation.conformance.evidence import samples_for_bound
from specsim.validation.conformance.histories import NoMassError, effective
from specsim.validation.conformance.instances import Instance, chain_instance, tree_instance
from specsim.validation.conformance.rules import Rule, all_rules
from specsim.validation.conformance.rules.lossless import ONE_HOT
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.surroundings import numpy_errors
from specsim.validation.conformance.tables import completed_law, is_law, path_law, step_table

#: Relative error that rows of a type may have, rounding and normalisation together.
TOLERANCES = {"float64": 1e-12, "float32": 2.0**-21, "float16": 2.0**-9, "bfloat16": 2.0**-6}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard to look.

    name: ``"quick"``, ``"standard"`` or ``"deep"``.
    eps: total variation distance to certify, unless another is asked for.
    seconds: time for one subject, unless another is given; what is not decided then is undecided.
    widest: tokens of the widest vocabulary.
    least_side, wide_samples: observations of every experiment but the main one, at least; and of the one on
        the widest vocabulary.
    """

    name: str
    eps: float
    seconds: float
    widest: int
    least_side: int = 2000
    wide_samples: int = 8000


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort(name="quick", eps=0.05, seconds=240.0, widest=2003, wide_samples=4000),
        Effort(name="standard", eps=0.02, seconds=900.0, widest=40009),
        Effort(name="deep", eps=0.005, seconds=7200.0, widest=128259, wide_samples=6000),
    )
}


def get_effort(effort: str | Effort) -> Effort:
    """Return the effort of this name; `InputError` if there is none."""
    return named("effort", effort, EFFORTS)


#: Laws of all rules on an instance; instances are the same for every subject and seed.
_KNOWN_LAWS: dict[tuple[str, bool, bool], dict[str, tuple[Rule, Floats]]] = {}
_KNOWN_TEXT_LAWS: dict[tuple[str, int, bool, bool], dict[str, Floats]] = {}


def _identity(instance: Instance) -> str:
    digest = hashlib.sha256()
    for array in (instance.target, instance.draft, instance.next_context):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{digest.hexdigest()} {instance.target.shape} {instance.start} {instance.draft_length}"


class Laboratory:
    """Builds experiments for one subject and keeps those that several checks look at.

    subject: what is tested.
    effort: how hard.
    eps, delta: the distance to certify, and the probability that the certificate is wrong.
    seed: everything random follows from it.
    least_samples: observations that the main experiment makes at least; more than the certificate needs, for
        more power.
    """

    def __init__(
        self,
        subject: Subject,
        effort: Effort,
        *,
        eps: float,
        delta: float,
        seed: int,
        least_samples: int = 0,
    ) -> None:
        self.subject = subject
        self.effort = effort
        self.eps = eps
        self.delta = delta
        self.seed = seed
        self.least_samples = least_samples
        self.callers: list[Caller] = []
        self._errors = numpy_errors()
        #: Called before every call of the subject.
        self.on_call: Callable[[], object] = bool
        #: Called in a copy of the process that the subject made and did not end.
        self.on_copy: Callable[[], object] = bool
        self._kept: dict[str, Any] = {}

    def rng(self, label: str) -> np.random.Generator:
        """Return a separate generator for each label."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, *label.encode()])))

    def caller(self, label: str) -> Caller:
        """Return a caller whose seeds are its own."""
        seed = derived_seed(self.seed, label) % SEED_RANGE
        caller = Caller(subject=self.subject, seed=seed, errors=self._errors, on_call=lambda: self.on_call())
        caller.on_copy = lambda: self.on_copy()
        self.callers.append(caller)
        return caller

    def reached(self) -> dict[str, tuple[int, int]]:
        """Return the least and the most of every size that the subject was called with."""
        return widest(caller.reached for caller in self.callers)

    def keep(self, label: str, build: Callable[[], Any]) -> Any:
        """Return what `build` made for this label, the first time it was asked for."""
        if label not in self._kept:
            self._kept[label] = build()
        return self._kept[label]

    def kept(self, label: str) -> Any:
        """Return what is kept under this label, or None."""
        return self._kept.get(label)

    @property
    def tolerance(self) -> float:
        """Relative error of rows in the subject's first type."""
        return self.tolerance_of(self.subject.dtypes[0])

    def tolerance_of(self, dtype: str) -> float:
        """Return the relative error of rows in a type."""
        base = TOLERANCES[dtype]
        # Logits of a narrow type lose more: the logarithm's absolute error is the probability's relative one.
        return 8 * base if self.subject.inputs == "logits" else base

    @cached_property
    def vocabulary(self) -> int:
        """Tokens of the small instances."""
        return min(4, self.subject.max_vocabulary or 4)

    @cached_property
    def draft_length(self) -> int:
        """Drafted tokens of the main instance."""
        return min(3, self.subject.max_draft_length or 3)

    @cached_property
    def main_instance(self) -> Instance:
        """Rows that depend on the whole prefix, half of them with zeros; decoders get a chain of order 2.

        Processing that forbids tokens could leave nothing of a row with zeros.
        """
        seed, vocabulary, draft_length = self.instance_seed, self.vocabulary, self.draft_length
        if self.subject.protocol == "decoder":
            return chain_instance(seed, vocabulary=vocabulary, draft_length=draft_length)
        return tree_instance(
            seed, vocabulary=vocabulary, draft_length=draft_length, zeros=self.subject.process is None
        )

    def lawful(self, instance: Instance, **options: Any) -> Instance:
        """Return what the subject makes of an instance: its law is about these rows."""
        return effective(instance, self.subject, options)

    def possible(self, instances: Iterable[Instance]) -> list[Instance]:
        """Return the instances in every row of which the subject's processing leaves a token."""
        found = []
        for instance in instances:
            with suppress(NoMassError):
                self.lawful(instance)
                found.append(instance)
        return found

    @property
    def instance_seed(self) -> int:
        """Seed of the instances. It does not depend on the seed of the sampling: laws are always the same."""
        return 20240817

    @property
    def main_samples(self) -> int:
        """Observations of the main experiment."""
        cells = self.vocabulary ** min(self.draft_length + 1, 3)
        return max(self.least_samples, samples_for_bound(cells, self.eps, self.delta))

    @property
    def side_samples(self) -> int:
        """Observations of every other experiment."""
        return max(self.effort.least_side, self.main_samples // 4)

    @property
    def per_level(self) -> int:
        """Rows that every level of a size gets."""
        return max(32, self.side_samples // 20)

    @property
    def rule(self) -> Rule | None:
        """The declared rule of a chain subject."""
        return None if self.subject.protocol == "tree" else self.subject.rule

    def rule_or_none(self, *, one_hot: bool = False) -> Rule | None:
        """Return the rule to expect; without draft rows some are the one-hot rule."""
        rule = self.rule
        if rule is None or not one_hot or rule.any_draft:
            return rule
        return ONE_HOT if rule.one_hot else None

    def joint(self, rule: Rule, instance: Instance, *, one_hot: bool = False, own: bool = False) -> Floats:
        """Return the joint law of (path, accepted length, final token): ``(paths, K + 1, V)``.

        rule: the rule.
        instance: rows as the rule sees them.
        one_hot: whether draft rows are withheld.
        own: whether the subject draws the drafts (the rule's draft law counts then).
        """
        paths = path_law(instance, rule if own else None)
        return step_table(rule, instance, one_hot=one_hot) * paths[:, None, None]

    def known_laws(
        self, instance: Instance, *, one_hot: bool = False, own: bool = False
    ) -> dict[str, tuple[Rule, Floats]]:
        """Return the joint law of every rule that has one on this instance, by name."""
        key = (_identity(instance), one_hot, own)
        if key not in _KNOWN_LAWS:
            self.learn([instance], one_hot=one_hot, own=own)
        return _KNOWN_LAWS[key]

    def learn(self, instances: Sequence[Instance], *, one_hot: bool = False, own: bool = False) -> None:
        """Compute the known laws of instances of one size, all at little more than the cost of one."""
        sides = [instance.rows(instance.paths) for instance in instances]
        target, draft = (np.concatenate(rows) for rows in zip(*sides, strict=True))
        drafted = np.concatenate([instance.paths for instance in instances])
        found: list[dict[str, tuple[Rule, Floats]]] = [{} for _ in instances]
        for rule in all_rules():
            if rule.draw is not None and not own:
                # The subject does not draw the drafts: the rule is one of the others.
                continue
            try:
                with np.errstate(all="ignore"):
                    tables = rule.law(target, None if one_hot else draft, drafted)
            except InputError:
                continue
            for laws, instance, table in zip(found, instances, np.split(tables, len(instances)), strict=True):
                joint = table * path_law(instance, rule if own else None)[:, None, None]
                if is_law(joint.ravel()):
                    laws[rule.name] = (rule, np.clip(joint, 0.0, None))
        for instance, laws in zip(instances, found, strict=True):
            _KNOWN_LAWS[(_identity(instance), one_hot, own)] = laws

    def known_text_laws(
        self, instance: Instance, length: int, *, one_hot: bool = False, own: bool = False
    ) -> dict[str, Floats]:
        """Return the law of the first `length` tokens, continued by the target, of every known rule."""
        key = (_identity(instance), length, one_hot, own)
        if key not in _KNOWN_TEXT_LAWS:
            laws = self.known_laws(instance, one_hot=one_hot, own=own)
            _KNOWN_TEXT_LAWS[key] = {
                name: completed_law(table, np.ones(len(table)), instance, length)
                for name, (_, table) in laws.items()
            }
        return _KNOWN_TEXT_LAWS[key]

    def log_threshold(self, alpha: float, checks: int) -> float:
        """Return the logarithm of the e-value that rejects when that number of checks share `alpha`."""
        return math.log(checks / alpha)
