"""Every kernel from its own text: equal to program and step law draft by draft, lossless where it says so."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm, Rule, Structure, chain, levels, paths, tree
from specsim.theory import stop_law
from specsim.theory.programs import get_program
from specsim.theory.programs.k_seq import least_factor
from specsim.theory.step_laws import step_law_of
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, Verdict, decided, equal, near
from specsim.validation.kernel_text import KernelText
from specsim.validation.kernel_text.bias import random_twelfths, worst_bias
from specsim.validation.kernel_text.catalogue import NOT_ENUMERABLE, enumerable_rules
from specsim.validation.kernel_text.drafts import every_draft
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: How far a law of floats may be from what a text does.
ROUNDING = 1e-9
#: Bisections of K-SEQ's factor; the rule is lossless after any number.
HALVINGS = 5

#: Structures with the number of tokens: small enough for every draft of every rule.
_QUICK = ((chain(2), 3), (paths(2, 2), 2), (tree((-1, 0, 0, 1)), 2))
_STANDARD = (*_QUICK, (chain(3), 3), (levels((2, 2)), 2), (paths(3, 1), 3), (tree((-1, 0, 0, 1)), 3))
_DEEP = (*_STANDARD, (chain(4), 3), (paths(2, 2), 3), (levels((2, 1, 2)), 2), (tree((-1, 0, 0, 1, 1, 2)), 2))


def rational_factors(target: Any, draft: Any, structure: Structure) -> Any:
    """Return what the kernel of K-SEQ reads, with rational factors: by row and number of children."""
    numbers = {len(structure.children(node)) for node in range(len(structure.parents))}
    rows = [
        [tuple(Fraction(int(value.p), int(value.q)) for value in row) for row in table]
        for table in (target, draft)
    ]
    return [
        [
            least_factor(target_row, draft_row, m, HALVINGS) if m in numbers and m > 0 else 1
            for m in range(max(numbers) + 1)
        ]
        for target_row, draft_row in zip(*rows, strict=True)
    ]


def _options(rule: Rule, structure: Structure, tokens: int) -> list[dict[str, Any]]:
    """Return values of the rule's parameters to try; tables by node, in sixteenths."""
    generator = np.random.default_rng(3)
    options: list[dict[str, Any]] = [{}]
    for name, parameter in rule.parameters.items():
        values: tuple[Any, ...] = parameter.choices or (Fraction(1, 8),)
        if parameter.kind == "whole":
            values = parameter.examples
        if parameter.kind == "table":
            cells = generator.integers(0, 17, size=(len(structure.parents), tokens))
            if parameter.law:
                cuts = np.sort(cells[:, 1:], axis=1)
                cells = np.diff(cuts, axis=1, prepend=0, append=16)
            rows = [[Fraction(int(cell), 16) for cell in row] for row in cells]
            values = (np.array(rows, dtype=object),)
        options = [{**chosen, name: value} for chosen in options for value in values]
    return options


def _lists(table: np.ndarray) -> Any:
    return [list(row) for row in table]


def _cases(effort: Effort, rule: Rule) -> Iterator[tuple[Structure, int, Any]]:
    for structure, tokens in effort.pick(quick=_QUICK, standard=_STANDARD, deep=_DEEP):
        if structure.kind in rule.structures:
            for drawing in rule.drawings:
                yield structure, tokens, drawing


def _text(witnesses: Witnesses, rule: Rule) -> KernelText:
    return witnesses.kernel_text(rule, rational_factors if rule.name == "k-seq" else None)


def _laws(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Compare text, program and step law, draft by draft."""
    for rule in enumerable_rules():
        text, law = _text(witnesses, rule), step_law_of(rule).law
        # K-SEQ has a rational factor here; other laws with roots or logarithms are laws of floats.
        floats = bool(rule.inexact) and rule.name != "k-seq"
        extra = {"halvings": HALVINGS} if rule.name == "k-seq" else {}
        for structure, tokens, drawing in _cases(effort, rule):
            # Tables are given by node below; the descriptor is wanted for its structure and drafts alone.
            drafting = replace(rule, parameters={})(tree=structure, drawn=drawing)
            found: list[list[Any]] = [[], [], []]
            count = effort.pick(quick=1, standard=2, deep=4)
            for pair in random_twelfths(tokens, structure.depth, count, len(structure.parents)):
                for target, draft, words in every_draft(pair, drafting):
                    for options in _options(rule, structure, tokens):
                        given = (structure, target, draft, words)
                        found[0] += text.law(*given, **options).ravel().tolist()
                        if floats:
                            rows = (target.astype(np.float64), draft.astype(np.float64))
                            numbers = {
                                name: float(value) if isinstance(value, Fraction) else value
                                for name, value in options.items()
                            }
                            found[1] += law(structure, *rows, words, **numbers).ravel().tolist()
                        else:
                            found[1] += law(*given, **options, **extra).ravel().tolist()
                        by_node = {
                            name: _lists(value) if isinstance(value, np.ndarray) else value
                            for name, value in {**options, **extra}.items()
                        }
                        program = stop_law(
                            rule, structure, _lists(target), _lists(draft), words.tolist(), **by_node
                        )
                        found[2] += program.ravel().tolist()
            label = f"{drafting.label}, {drawing} drafts, {tokens} tokens"
            for name, other in (("step law", found[1]), ("program", found[2])):
                if floats:
                    yield near(f"{name} of {label}", found[0], other, ROUNDING)
                else:
                    yield equal(f"{name} of {label}", found[0], other)


def _lossless(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Show that what a round emits has the target's law, from the text alone."""
    for rule in enumerable_rules():
        if not rule.lossless:
            continue
        text, program = _text(witnesses, rule), vars(get_program(rule))
        proposing = SimpleNamespace(program=text.program, propose=program.get("propose"))
        from_text = replace(rule, own_text=proposing)
        for structure, tokens, drawing in _cases(effort, rule):
            algorithm: Algorithm = from_text(tree=structure, drawn=drawing)
            pairs = random_twelfths(tokens, structure.depth, 2, 20 + len(structure.parents))
            yield equal(f"bias of {algorithm.label}, {tokens} tokens", worst_bias(pairs, algorithm).value, 0)


def _factors(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Compare the factors that K-SEQ's kernel computes in floats with the rational ones."""
    (rule,) = (rule for rule in enumerable_rules() if rule.name == "k-seq")
    structure = levels((3, 2))
    for pair in random_twelfths(3, 3, effort.pick(quick=2, standard=6, deep=20), 5):
        target, draft = (np.array(table[0], dtype=float) for table in (pair.target, pair.draft))
        prepared = rule.text("kernel").prepare(target, draft, structure)
        gaps = [
            abs(
                Fraction(float(prepared[row, m]))
                - least_factor(pair.target[0][row], pair.draft[0][row], m, 60)
            )
            for row in range(len(target))
            for m in (2, 3)
        ]
        yield decided(
            "factors in float64", max(gaps) < Fraction(1, 10**6), observed=max(gaps), expected="< 1e-6"
        )


CLAIMS = (
    Claim(
        id="specsim.kernel-texts",
        title="Kernels, programs and step laws",
        statement=(
            "What the literal engine runs is, read as real arithmetic, the published program and the step "
            "law for every draft, and lossless where the rule is; except "
            + "; ".join(f"{name}, as {reason}" for name, reason in NOT_ENUMERABLE.items())
            + "."
        ),
        source="2211.17192; 2403.10444; 2310.15141; 2505.12398; the sources of the other rules",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("draft by draft", _laws),
            ExactCheck("lossless", _lossless),
            ExactCheck("factors of K-SEQ", _factors),
        ),
        mutants=(
            "kernel-reuses-coin",
            "k-seq-one-factor-per-row",
            "block-stops-early",
            "traversal-weight-ignored",
        ),
    ),
)
