"""What most likely is wrong with a subject, and what to change."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import ContractError, NotApplicable, SubjectError
from specsim.validation.conformance.checks.base import FITS, Statistical
from specsim.validation.conformance.checks.batches import PLACES
from specsim.validation.conformance.checks.contract import SEED_IGNORED
from specsim.validation.conformance.checks.step import STEPS, main_probe
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.remedies import BY_CHECK, FEW_TOKENS, change_for, guard_line
from specsim.validation.conformance.results import CheckResult, CheckStatus, Diagnosis, Script, Suspect
from specsim.validation.conformance.rules import Rule, all_rules, all_tree_rules
from specsim.validation.conformance.suspects import Known, known_laws, suspects_of

#: Seconds that a diagnosis may take, and a search for a smaller failure after it.
SECONDS = 15.0

#: The checks of the main experiment of steps.
MAIN = frozenset(
    ("first-token", "joint-law", "draft-law", "acceptance", "residual", "accepted-length", "bonus")
)

#: Checks in whose calls rows have different pairs of models, or many options.
ROWS_DIFFER = frozenset(
    ("batch-rows", "ragged", "sizes", "combinations", "mixed-temperatures", "wide-vocabulary", "reported")
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is said about failures: known laws, and the diagnosis."""

    suspects: tuple[Suspect, ...] = ()
    diagnosis: Diagnosis | None = None


def diagnose(lab: Laboratory, failed: Sequence[CheckResult]) -> Findings:
    """Return the most likely cause of the failed checks.

    lab: with the experiments in which they did.
    failed: results with status FAILED or BROKEN.
    """
    if not failed:
        return Findings()
    for caller in lab.callers:
        caller.deadline = time.monotonic() + SECONDS
    known: list[Known] = []
    try:
        found = _without_laws(lab, failed)
        if found is None:
            known = known_laws(lab)
            found = _by_laws(lab, failed, known)
        if len(failed) > 1 and any(check.name == "determinism" for check in failed):
            found = _with_state(found, next(c.reason for c in failed if c.name == "determinism"))
    except (ContractError, SubjectError, NotApplicable) as error:
        # What failed before may well break now.
        found = _first(failed, f"it fails, and breaks when it is looked at again: {error}", "")
    return Findings(suspects=suspects_of(lab, known) if known else (), diagnosis=found)


def script_of(
    lab: Laboratory, failed: Sequence[CheckResult], found: Diagnosis | None, origin: str
) -> Script | None:
    """Return a script that shows a failure without specsim, or None.

    lab, failed: as in `diagnose`.
    found: the diagnosis; what it begins with is tried first.
    origin: what names the subject on the command line.
    """
    from specsim.validation.conformance.shrinking import shrunk

    if not failed:
        return None
    first = [check for check in failed if found is not None and check.name in found.explains[:1]]
    return shrunk(lab, [*first, *(check for check in failed if check not in first)], origin)


def _without_laws(lab: Laboratory, failed: Sequence[CheckResult]) -> Diagnosis | None:
    """Return the diagnosis of failures that laws say nothing about."""
    names = [check.name for check in failed]
    kinds = {check.kind for check in failed}
    broken = next((check for check in failed if check.status is CheckStatus.BROKEN), None)
    if broken is not None and not kinds & {"output", "independence"} - {broken.kind}:
        cause, _, change = broken.reason.partition("; ")
        return Diagnosis(
            cause=cause, change=change or "make the call work on such input", explains=(broken.name,)
        )
    shared = [check for check in failed if check.kind == "independence"]
    if shared:
        # What is shared within a call shows a little between calls, and the other way round.
        chosen = max(shared, key=lambda check: check.log10_e / max(check.samples, 1))
        follow = [c.name for c in failed if c is not chosen and c.kind in ("output", "rule", "independence")]
        follow.insert(0, chosen.name)
        ways = f" ({chosen.looks_like[0]})" if chosen.looks_like else ""
        cause, change = _shared(ways) if chosen.name == "seed-independence" else BY_CHECK[chosen.name]
        return Diagnosis(cause=cause + ways, change=change, explains=tuple(follow))
    if names == ["repeated-draws"]:
        return _first(failed, f"{FEW_TOKENS[0]} ({failed[0].looks_like[0]})", FEW_TOKENS[1])
    if names == ["rounds"]:
        # Texts are as they should be: the known bugs that they agree with are those that hardly change any.
        cause, change = BY_CHECK["rounds"]
        like = f" (as with {failed[0].looks_like[0]})" if failed[0].looks_like else ""
        return _first(failed, cause + like, change)
    if kinds <= {"contract", "guard"}:
        if names == ["not-finite"]:
            line = guard_line(lab.subject.framework, lab.subject.inputs, draft=lab.subject.draft != "never")
            return _first(failed, "rows with NaN or infinity are not refused", f"add this line: {line}")
        return _first(failed, *BY_CHECK.get(names[0], (failed[0].reason, "")))
    return None


def _with_state(found: Diagnosis, reason: str) -> Diagnosis:
    """Return a diagnosis that begins with the dependence on earlier calls, which may explain all else.

    found: of all failures.
    reason: why the check of determinism failed.
    """
    cause, change = BY_CHECK["determinism"]
    explains = ("determinism", *(name for name in found.explains if name != "determinism"))
    if reason.startswith(SEED_IGNORED):
        return dataclasses.replace(found, cause=SEED_IGNORED, change=change, explains=explains)
    cause += ": it depends on earlier calls or on hidden state"
    if found.explains[:1] == ("batch-independence",) or found.known:
        cause, change = f"{cause}; besides, {found.cause}", f"{change}; {found.change}"
    return dataclasses.replace(found, cause=cause, change=change, explains=explains)


def _shared(ways: str) -> tuple[str, str]:
    """Return what is wrong with seeds, by the way in which the most telling outcomes were paired."""
    if ways.startswith(" (seeds that differ in bit"):
        return (
            "some bits of the seed change nothing",
            "use all bits of its seed, and refuse a seed that is too wide by an exception",
        )
    if ways.startswith(" (row b"):
        return (
            "a row is seeded with the sum of the call's seed and a multiple of its number: other rows of "
            "neighbouring seeds share its random numbers",
            "make the generator of a row from the pair of seed and row, as in "
            "numpy.random.SeedSequence([seed, row]), not of their sum",
        )
    cause, change = BY_CHECK["seed-independence"]
    if ways.startswith(f" ({PLACES}"):
        return f"{cause}, or some rows of a call have another law than others", change
    return cause, change


def _first(failed: Sequence[CheckResult], cause: str, change: str) -> Diagnosis:
    return Diagnosis(cause=cause, change=change, explains=(failed[0].name,))


def _by_laws(lab: Laboratory, failed: Sequence[CheckResult], known: list[Known]) -> Diagnosis:
    about_laws = [check for check in failed if check.kind in ("output", "rule")]
    explains = tuple(check.name for check in about_laws)
    if "batch-rows" in explains and not MAIN & set(explains):
        # A few wrong rows of large calls show in the main experiment, too, and say nothing there.
        return _elsewhere(lab, about_laws)
    declared = lab.subject.rule
    reference = _reference(lab, known)
    if reference is not None and _follows(reference, declared):
        if declared is not None and reference.rule is not declared:
            names = " or ".join(item.rule.name for item in known if item.agrees and item.rule.lossless)
            return Diagnosis(
                cause=f"it follows the rule {names}, not {declared.name}",
                change=f"declare --rule {reference.rule.name}, or verify by {declared.name}",
                explains=explains,
            )
        return _elsewhere(lab, about_laws)
    # A bug that the data agree with explains nothing where they agree with the right law as well.
    least = -math.inf if reference is None else reference.log_likelihood + math.log(FITS)
    wrong = (item for item in known if item.agrees and not item.rule.lossless)
    likely = next((item for item in wrong if item.log_likelihood >= least), None)
    if likely is not None:
        return Diagnosis(
            cause=likely.rule.title,
            change=change_for(likely.rule),
            known=likely.rule.name,
            source=likely.rule.source,
            explains=explains,
        )
    cause, change = _pattern(lab, reference)
    if lab.subject.protocol in STEPS and any(_impossible(check) for check in about_laws):
        cause += "; tokens that the target gives probability 0 are emitted"
        change += "; add no epsilon to probabilities, and set no lower limit to them"
    return Diagnosis(cause=f"none of the known bugs; {cause}", change=change, explains=explains)


def _impossible(check: CheckResult) -> bool:
    """Return whether emitted tokens have no probability."""
    return check.kind == "output" and any(cell.expected == 0 < cell.observed for cell in check.deviations)


def _reference(lab: Laboratory, known: list[Known]) -> Known | None:
    """Return the law to compare with: the declared one, unless another lossless one is followed exactly.

    Without a declared rule: the lossless one that most views agree with.
    """
    lossless = [item for item in known if item.rule.lossless]
    exact = next((item for item in lossless if item.agrees), None)
    declared = next((item for item in known if item.rule is lab.subject.rule), None)
    if declared is not None and (declared.agrees or exact is None):
        return declared
    return exact or max(lossless, key=lambda i: (sum(i.fits.values()), i.log_likelihood), default=None)


def _follows(reference: Known, declared: Rule | None) -> bool:
    """Return whether the main experiment is as the reference says; without a rule, lengths may be others."""
    wrong = {name for name, agrees in reference.fits.items() if not agrees}
    return wrong <= (set() if declared is not None else {"accepted lengths"})


def _elsewhere(lab: Laboratory, failed: Sequence[CheckResult]) -> Diagnosis:
    """Return the diagnosis when the main experiment is right: what the most telling failed check is for.

    A known bug is named if it explains every failed check that knows its law.
    """
    explains = tuple(check.name for check in failed)
    rules = {
        rule.name: rule for rule in (all_tree_rules() if lab.subject.protocol == "tree" else all_rules())
    }
    for name in dict.fromkeys(name for check in failed for name in check.looks_like):
        rule = rules.get(name)
        if rule is not None and not rule.lossless and _explained(lab, failed, name):
            return Diagnosis(
                cause=rule.title, change=change_for(rule), known=name, source=rule.source, explains=explains
            )
    # A batch of different pairs that fails where one pair is right says more than other checks of such calls.
    of_batches = [check for check in failed if check.name == "batch-rows"]
    first = failed[0]
    if of_batches:
        others = (c for c in failed if c.kind == "output" and c.name not in ROWS_DIFFER)
        first = next(others, of_batches[0])
    if first.name == "repeated-draws" and len(failed) > 1:
        first = failed[1]
    cause, change = BY_CHECK[first.name]
    explains = (first.name, *(name for name in explains if name != first.name))
    procedure = _procedure(lab, first)
    if procedure is None:
        return Diagnosis(cause=f"none of the known bugs; {cause}", change=change, explains=explains)
    # Which pair of a mixed batch is wrong says nothing: many rows have each.
    where = "" if first.name == "batch-rows" else procedure.where_wrong()
    levels = any(look.levels for look in procedure.looks)
    like = next((n for n in first.looks_like if procedure.explained_by(n, where_wrong=bool(where))), "")
    if where:
        cause += f": {where}"
    if like and not (where and levels):
        cause += f" (as with {like})"
    elif not where:
        cause = f"none of the known bugs; {cause}"
    return Diagnosis(cause=cause, change=change, explains=explains)


def _explained(lab: Laboratory, failed: Sequence[CheckResult], name: str) -> bool:
    """Return whether a law explains one of the failed checks, and no other contradicts it."""
    found = []
    for check in failed:
        procedure = _procedure(lab, check)
        # Of a check that was run before only the names of laws are kept that it agrees with.
        known = (name in check.looks_like or None) if procedure is None else procedure.explained_by(name)
        found.append(known)
    return any(found) and False not in found


def _procedure(lab: Laboratory, check: CheckResult) -> Statistical | None:
    """Return what a check did in this run, if it has counts."""
    kept = lab.kept(f"check {check.name}")
    return kept if isinstance(kept, Statistical) and kept.probe.total else None


def _pattern(lab: Laboratory, reference: Known | None) -> tuple[str, str]:
    """Return the class of an unknown bug by what fails and what does not, and what to look at."""
    if reference is None:
        return (
            "its outcomes are impossible under every lossless rule",
            "compare the call with the published rule",
        )
    bad = {name for name, agrees in reference.fits.items() if not agrees}
    rule = reference.rule.name
    if lab.subject.protocol in STEPS:
        return _pattern_of_steps(lab, bad, rule)
    if lab.subject.protocol == "decoder":
        return _pattern_of_decoders(bad, rule)
    if "stops" in bad:
        return (
            f"children are not accepted as by rule {rule}",
            "look at the test of a child, at rows by node, and at how children are drawn",
        )
    return (
        "accepted lengths are right, the emitted tokens are not",
        "look at the final token: residual, bonus, rows",
    )


def _pattern_of_steps(lab: Laboratory, bad: set[str], rule: str) -> tuple[str, str]:
    counts = main_probe(lab).table[0]
    if "drafted" in bad:
        return (
            "the drafted tokens do not follow the draft rows that it was given",
            "draw every drafted token from the very row that the test divides by",
        )
    if bad & {"first acceptance", "later acceptance"}:
        rate = _acceptance_rates(counts)
        if (rate == 1).all():
            return "every drafted token is accepted", "accept when a fresh uniform is below target / draft"
        if (rate == 0).all():
            return (
                "every drafted token is rejected",
                "look at what the test compares, and at rows changed before it",
            )
        if np.isin(rate, (0, 1)).all():
            return (
                "acceptance is a yes or no by token, not by chance",
                "accept by a uniform, not by comparison with an argmax or a threshold",
            )
        if "first acceptance" not in bad:
            return (
                "the first drafted token is tested rightly, later ones are not",
                "look for rows of another position, and for a uniform that is used for two positions",
            )
        if "bonus" in bad:
            return (
                f"neither acceptance nor the bonus token follows rule {rule}",
                "look at the target's rows: of another position, filtered, or changed",
            )
        return (
            "acceptance is wrong while bonus tokens are right: the draft probabilities that are read are not "
            "those the tokens were drawn from, or the test is another",
            f"compare the probabilities in the test with the given rows, token by token (rule {rule})",
        )
    if "residual" in bad:
        if _depends_on_rejected(counts):
            return (
                "acceptance is right, and the replacement depends on which token was rejected",
                "draw a fresh random number for the replacement (a uniform or noise is used twice), and take "
                "the same residual whichever token was rejected",
            )
        return (
            "acceptance is right, the replacement is not",
            "replace from normalised max(target - draft, 0) of the rejected token's own rows",
        )
    if "bonus" in bad:
        return (
            "all is right but the token after a whole accepted draft",
            "draw it from target row K, unchanged, with a separate random number",
        )
    return (
        "tests, replacements and bonus tokens are right one by one, and not together",
        "look for a random number that is used twice within a step",
    )


def _acceptance_rates(counts: Integers) -> Floats:
    """Return how often each first token was accepted, of those that were drafted."""
    vocabulary = counts.shape[2]
    by_first = counts.sum(axis=2).reshape(vocabulary, -1, counts.shape[1]).sum(axis=1)
    seen = by_first.sum(axis=1)
    return np.asarray(by_first[seen > 0, 1:].sum(axis=1) / seen[seen > 0])


def _depends_on_rejected(counts: Integers) -> bool:
    """Return whether the first token's replacement depends on which token was rejected."""
    from scipy.stats import chi2_contingency

    vocabulary = counts.shape[2]
    table = counts[:, 0, :].reshape(vocabulary, -1, vocabulary).sum(axis=1)
    table = table[table.sum(axis=1) > 0]
    table = table[:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return False
    return bool(chi2_contingency(table).pvalue < 1e-6)


def _pattern_of_decoders(bad: set[str], rule: str) -> tuple[str, str]:
    if bad == {"accepted lengths"}:
        return (
            f"the first tokens are right, and drafted tokens are not accepted as by rule {rule}",
            "look at caches and rows of later rounds",
        )
    if "texts" not in bad and "later tokens" in bad:
        return (
            "the first tokens of a text are right, later ones are not",
            "look at the token after a whole accepted draft, and cut caches and states back to the emitted "
            "tokens after a rejection",
        )
    if "first token" in bad and "later tokens" not in bad:
        return (
            "only the first token after the prompt is wrong",
            "draw it from the target's row after the whole prompt, at the same temperature as the rest",
        )
    if "first token" not in bad:
        return (
            "the first token is right, later ones are not",
            "cut caches and states back to the emitted tokens after a rejection, and feed the last token",
        )
    if "accepted lengths" in bad:
        return (
            f"drafted tokens are not accepted as by rule {rule}",
            "look at the test, and at the rows it reads",
        )
    return (
        "tokens at every position are wrong",
        "look at the test, the replacement, and the rows that are read",
    )
