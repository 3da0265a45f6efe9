"""`specsim.check_rule`: is a rule what it is said to be, from its own text and from its compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import specsim
from specsim.algorithms import Algorithm, Rule, Structure, chain, levels, paths, tree
from specsim.errors import InputError
from specsim.support.showing import as_html
from specsim.theory import RationalPair, enumerate_outcomes
from specsim.validation.kernel_text import CannotEnumerate
from specsim.validation.kernel_text.bias import random_twelfths, worst_bias
from specsim.validation.kernel_text.drafts import every_draft
from specsim.validation.statistics import decide_law_by_cells_and_entropy

if TYPE_CHECKING:
    from pandas import DataFrame

#: What is looked at unless other structures are given.
STRUCTURES = (chain(2), paths(2, 2), levels((2, 2)), tree((-1, 0, 0, 1)))

#: Deeper than any structure that can be enumerated.
_DEEPEST = 64

#: Ways of drawing as the oracle calls them.
_DRAWINGS = {"independent": "with", "distinct": "without"}

Verdict = Literal["agrees", "disagrees", "not done"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison.

    name: what was compared.
    verdict: how it came out.
    detail: the numbers, or why it was not done.
    """

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, kw_only=True, repr=False)
class RuleReport:
    """What `check_rule` found.

    rule: its name.
    findings: one for each comparison.
    """

    rule: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees, and something agrees."""
        verdicts = {finding.verdict for finding in self.findings}
        return "disagrees" not in verdicts and "agrees" in verdicts

    @property
    def _heading(self) -> str:
        return f"rule {self.rule}: {'as stated' if self.ok else 'NOT as stated'}"

    def _repr_html_(self) -> str:
        return as_html(self._heading, self.to_dataframe())

    def __repr__(self) -> str:
        return f"<RuleReport: {self._heading}>"

    def to_dataframe(self) -> DataFrame:
        """Return a row for each comparison: ``name``, ``verdict`` and ``detail``."""
        import pandas

        return pandas.DataFrame([vars(finding) for finding in self.findings])

    def __str__(self) -> str:
        lines = [self._heading]
        for finding in self.findings:
            detail = finding.detail.replace("\n", "\n" + 12 * " ")
            lines.append(f"  {finding.verdict:9} {finding.name}: {detail}")
        return "\n".join(lines)


def check_rule(
    rule: Rule,
    *,
    structures: Sequence[Structure] | None = None,
    tokens: int = 3,
    instances: int = 3,
    seed: int = 0,
    runs: int = 200_000,
    alpha: float = 1e-6,
    oracle_seconds: float = 20.0,
    **parameters: Any,
) -> RuleReport:
    """Check a rule of one's own: is it lossless as it says, and does what is compiled do what is written.

    For each structure and way of drawing: the bias of the text, exactly, against what the rule states; the
    step law that was given with the rule, if any, against the text, exactly; the compiled loop against the
    text, by the joint law of tokens and rejections on a small pair. For a rule that is meant to be lossless,
    the oracle (`specsim.testing`) then tests the function on floats as a sampler.

    Parameters
    ----------
    rule
        Made by `specsim.rule`.
    structures
        What to draft. Defaults to None, those of `STRUCTURES` that the rule serves.
    tokens, instances, seed
        Vocabulary, number and seed of the random instances, as in `OwnRule.bias`.
    runs
        Simulated for each structure.
    alpha
        Probability that a right rule fails any statistical comparison, at most.
    oracle_seconds
        Seconds of the conformance test for each kind of structure; 0 skips it.
    parameters
        Parameters of the rule.

    Raises
    ------
    InputError
        No rule of one's own, or no structure that it serves.

    Examples
    --------
    >>> import specsim
    >>> @specsim.rule("accept-none", source="example", lossless=False)
    ... def accept_none(step, nodes):
    ...     "Write the first token."
    ...     return 0, 0
    >>> report = specsim.check_rule(accept_none, structures=[specsim.chain(1)], runs=1000)
    >>> [(finding.verdict, finding.name.split(" of ")[0]) for finding in report.findings]
    [('agrees', 'bias'), ('agrees', 'compiled loop')]
    """
    if not isinstance(rule, Rule) or rule.own is None:
        raise InputError(f"rule is {rule!r}; give a rule that specsim.rule has made")
    chosen = structures or [structure for structure in STRUCTURES if structure.kind in rule.structures]
    if not chosen:
        raise InputError(f"rule {rule.name} serves none of the usual structures; give structures=")
    algorithms = [
        rule(tree=structure, drawn=drawn, **parameters) for structure in chosen for drawn in rule.drawings
    ]
    findings: list[Finding] = []
    for algorithm in algorithms:
        findings += _of_text(algorithm, tokens, instances, seed)
        findings.append(_of_loop(algorithm, runs, seed, alpha / (2 * len(algorithms))))
    if oracle_seconds > 0 and rule.lossless:
        kinds = [kind for kind in ("chain", "tree") if kind in rule.structures]
        asked = [(kind, drawing) for kind in kinds for drawing in rule.drawings if drawing in _DRAWINGS]
        for kind, drawing in asked:
            level = alpha / (2 * len(asked))
            findings.append(_of_oracle(rule, parameters, kind, drawing, oracle_seconds, level, seed))
    return RuleReport(rule=rule.name, findings=tuple(findings))


def _of_text(algorithm: Algorithm, tokens: int, instances: int, seed: int) -> Iterator[Finding]:
    rule = algorithm.rule
    depth = algorithm.structure(_DEEPEST).depth
    name = f"bias of {algorithm.label}"
    pairs = list(random_twelfths(tokens, depth, instances, seed))
    try:
        worst = worst_bias(pairs, algorithm)
    except CannotEnumerate as error:
        yield Finding(name=name, verdict="not done", detail=str(error))
        return
    if rule.lossless:
        detail = str(worst) if worst.value else f"0 on {instances} random instances, exactly"
        yield Finding(name=name, verdict="disagrees" if worst.value else "agrees", detail=detail)
    else:
        detail = f"{worst.value} on {instances} random instances; the rule is not meant to be lossless"
        yield Finding(name=name, verdict="agrees", detail=detail)
    if rule.own_law is not None:
        yield _of_law(algorithm, pairs)


def _of_law(algorithm: Algorithm, pairs: Sequence[RationalPair]) -> Finding:
    rule, compared = algorithm.rule, 0
    assert rule.own_law is not None
    name = f"step law of {algorithm.label}"
    for pair in pairs:
        structure = algorithm.structure(pair.horizon)
        for target, draft, tokens in every_draft(pair, algorithm):
            given, found = (
                law(structure, target, draft, tokens, **algorithm.parameters)
                for law in (rule.own_law, rule.own_text.law)
            )
            compared += 1
            if (given != found).any():
                node, token = (int(at[0]) for at in np.nonzero(given != found))
                detail = (
                    f"after the drafted tokens {' '.join(map(str, tokens[1:]))} the law that was given has "
                    f"{given[node, token]} for stopping at node {node} with token {token}, the text "
                    f"{found[node, token]}"
                )
                return Finding(name=name, verdict="disagrees", detail=detail)
    return Finding(name=name, verdict="agrees", detail=f"equal to the text's, exactly, for {compared} drafts")


def _of_loop(algorithm: Algorithm, runs: int, seed: int, alpha: float) -> Finding:
    name = f"compiled loop of {algorithm.label}"
    structure = algorithm.structure(_DEEPEST)
    tokens = 3 if len(structure.parents) <= 4 else 2
    # One position more than is drafted, so that rounds are cut at the horizon as well.
    pair = specsim.random_pair(
        contexts=tokens, horizon=structure.depth + 1, family="uniform", seed=seed, stationary=True
    )
    try:
        law = enumerate_outcomes(pair, algorithm).joint_law().astype(float).ravel()
    except CannotEnumerate as error:
        return Finding(name=name, verdict="not done", detail=str(error))
    found = specsim.simulate(pair, algorithm, runs=runs, seed=seed, engine="literal", outcomes=True)
    decision = decide_law_by_cells_and_entropy(
        counts=found["outcome_count"].values.ravel(), runs=runs, probabilities=law, alpha=alpha
    )
    return Finding(
        name=name,
        verdict="agrees" if decision.agrees else "disagrees",
        detail=f"joint law of tokens and rejections from {runs} runs, {decision.detail}, "
        f"p-value at most {decision.p_value:.2g}",
    )


def _of_oracle(
    rule: Rule,
    parameters: dict[str, Any],
    kind: str,
    drawing: str,
    seconds: float,
    alpha: float,
    seed: int,
) -> Finding:
    from specsim.validation.conformance.results import Verdict as Judged
    from specsim.validation.conformance.running import check_sampler

    on_tree = _sampler(rule, parameters)

    def step(target: Any, draft: Any, drafted: Any, seed: int) -> Any:
        structure = chain(drafted.shape[1])
        # The root has no token, and after a leaf nothing is drafted.
        tokens = np.pad(drafted, ((0, 0), (1, 0)))
        return on_tree(structure.parents, target, np.pad(draft, ((0, 0), (0, 1), (0, 0))), tokens, seed)

    report = check_sampler(
        step if kind == "chain" else on_tree,
        protocol="step" if kind == "chain" else "tree",
        name=rule.name,
        effort="quick",
        budget=seconds,
        alpha=alpha,
        seed=seed,
        dtypes=("float64",),
        max_vocabulary=255,
        drawing=_DRAWINGS[drawing],
    )
    verdicts: dict[Judged, Verdict] = {Judged.LOSSLESS: "agrees", Judged.UNDECIDED: "not done"}
    return Finding(
        name=f"oracle on {kind}s, {drawing} drafts",
        verdict=verdicts.get(report.verdict, "disagrees"),
        detail=report.sentence,
    )


def _sampler(rule: Rule, parameters: dict[str, Any]) -> Callable[..., Any]:
    """Return the function as a sampler of the oracle's tree protocol: its own text, on floats."""
    from specsim.engines.literal.state import Step, Table

    assert rule.own is not None
    verify, prepare = rule.own, rule.own_prepare
    values = {name: parameters.get(name, entry.default) for name, entry in rule.parameters.items()}

    def run(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Any:
        if not (np.isfinite(target).all() and np.isfinite(draft).all()):
            raise ValueError("rows have entries that are not finite; give probabilities")
        structure = tree([int(parent) for parent in parents])
        batch, nodes, width = target.shape
        rng = np.random.default_rng(seed)
        rows = [table.reshape(-1, width) for table in (target, draft)]
        param = (
            np.zeros((0, 0)) if prepare is None else np.asarray(prepare(*rows, structure, **values), float)
        )
        coins, last = rng.random((batch, nodes)), rng.random(batch)
        room, weight = np.zeros((structure.depth + 2, width)), np.zeros(nodes)
        fixed = {"parent": np.array(structure.parents), "first": np.array(structure.first), "param": param}
        found = np.zeros((batch, structure.depth + 1), np.int64)
        lengths = np.zeros(batch, np.int64)
        for b in range(batch):
            step = Step(
                **fixed, row=np.arange(b * nodes, (b + 1) * nodes), token=tokens[b], coin=coins[b],
                target=rows[0], draft=rows[1], room=room, weight=weight, profile=np.zeros((0, 3, 1)),
                # Random words are for wide rows, which are not asked for here.
                key=None, table=Table(None, None, None),
            )  # fmt: skip
            stop, final = verify(step, nodes)
            if final < 0:
                # Not by the last cumulated sum, which rounding may leave below 1.
                sums = np.cumsum(target[b, stop])
                final = np.searchsorted(sums, last[b] * sums[-1], side="right")
            emitted = [*(tokens[b, node] for node in structure.path(stop)), final]
            found[b, : len(emitted)], lengths[b] = emitted, len(emitted)
        return found, lengths

    return run
