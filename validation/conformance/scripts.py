"""Failures as short programs that need NumPy (or torch) and the sampler, and nothing of specsim."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from specsim.support.arrays import Floats
from specsim.validation.conformance.logits import OFFSETS
from specsim.validation.conformance.subjects import Subject

#: Drafted tokens per round of a decoder.
DECODED = 2
#: Standard errors at which a script says that the failure is there.
SURE = 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """A small input on which a subject fails.

    target, draft: rows by batch row and position, ``(batch, K + 1, V)`` and ``(batch, K, V)``; of decoders,
        by the last two tokens ``(1, V * V, V)``; of trees, by depth.
    law: the target's rows after options.
    drawn: what drafts are drawn from.
    options: given to the subject.
    parents: of trees.
    """

    target: Floats
    draft: Floats
    law: Floats
    drawn: Floats
    options: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[int, ...] = ()

    @property
    def batch(self) -> int:
        """Rows of a call."""
        return len(self.target)

    @property
    def vocabulary(self) -> int:
        """Tokens."""
        return int(self.target.shape[-1])

    @property
    def length(self) -> int:
        """Drafted tokens of a step; depth of a tree."""
        return int(self.draft.shape[-2])

    @property
    def sizes(self) -> str:
        """The sizes in words."""
        rows = "1 row" if self.batch == 1 else f"{self.batch} rows"
        drafts = f"drafts of {self.length}" if not self.parents else f"{len(self.parents) - 1} drafted nodes"
        return f"{self.vocabulary} tokens, {drafts}, {rows}"


def import_lines(subject: Subject, origin: str) -> list[str] | None:
    """Return the lines that import the subject's callable as ``sampler``; None when it cannot be imported.

    origin: what names it on the command line; empty: it is looked for by its own name.
    """
    target = origin.split(" --")[0].strip("'")
    source, _, attribute = target.rpartition(":")
    name = f"_subject_{Path(source).stem}" if source.endswith(".py") else source
    if not source:
        name = source = getattr(subject.run, "__module__", "") or ""
        attribute = getattr(subject.run, "__qualname__", "")
    module: Any = sys.modules.get(name)
    thing = getattr(module, attribute, None)
    if thing is not subject.run and not (isinstance(thing, Subject) and thing.run is subject.run):
        return None
    lines = []
    if source.endswith(".py"):
        path = Path(source).resolve()
        lines = [f"import sys; sys.path.append({str(path.parent)!r})"]
        source = path.stem
    if not all(part.isidentifier() for part in source.split(".")) or name == "__main__":
        return None
    lines.append(f"from {source} import {attribute} as sampler")
    return [*lines, "sampler = sampler.run"] if isinstance(thing, Subject) else lines


def given(subject: Subject, name: str) -> str:
    """Return the expression of rows as the subject takes them."""
    text = f"logits({name})" if subject.inputs == "logits" else name
    kind = subject.dtypes[0]
    if subject.framework == "torch":
        moved = "" if subject.device == "cpu" else f".to({subject.device!r})"
        return f"torch.tensor({text}, dtype=torch.{kind}){moved}"
    return text if kind == "float64" else f"{text}.astype({kind!r})"


def given_integers(subject: Subject, name: str) -> str:
    """Return the expression of tokens as the subject takes them."""
    if subject.framework == "numpy":
        return name
    return f"torch.tensor({name})" + ("" if subject.device == "cpu" else f".to({subject.device!r})")


def taken(subject: Subject, call: str) -> str:
    """Return the expression of what the subject returned, as arrays."""
    if subject.framework == "torch":
        return f"(np.asarray(x.cpu()) for x in {call})"
    return call


def rows_text(rows: Floats) -> str:
    """Spell rows as an array; equal rows of a batch once."""
    if len(rows) > 2 and (rows == rows[0]).all():
        return f"np.tile({_spelled(rows[0])}, ({len(rows)}, 1, 1))"
    return f"np.array({_spelled(rows)})"


def _spelled(rows: Floats) -> str:
    return str(rows.tolist()).replace("nan", "np.nan")


def opening(subject: Subject, imports: Sequence[str], case: Case, cause: str) -> list[str]:
    """Return the lines that every script begins with."""
    torch = ["import torch"] if subject.framework == "torch" else []
    return [
        f"# {cause}",
        "import numpy as np",
        *torch,
        *imports,
        *(_logits_lines(subject.dtypes[0]) if subject.inputs == "logits" else []),
        f"target = {rows_text(case.target)}",
        f"draft = {rows_text(case.draft)}",
    ]


def _logits_lines(kind: str) -> list[str]:
    """Return the lines that define the logits that the sampler was called with."""
    return [
        f"offsets = np.array({list(OFFSETS[kind])})  # of rows by their likeliest token; they change no law",
        "def logits(rows): return np.log(rows) + offsets[rows.argmax(-1) % len(offsets)][..., None]",
    ]


def arguments(subject: Subject, case: Case) -> str:
    """Return the arguments of a call of a step, but for the seed."""
    rows = "None" if subject.draft == "never" else given(subject, "draft")
    return f"{given(subject, 'target')}, {rows}, {given_integers(subject, 'drafted')}"


def options_text(case: Case) -> str:
    """Spell the options of a call."""
    return "".join(f", {name}={value!r}" for name, value in case.options.items())


def drafting(case: Case) -> list[str]:
    """Return the line that draws the drafts of a step."""
    rows = "draft"
    lines = []
    if not np.array_equal(case.drawn, case.draft):
        lines, rows = [f"drawn = {rows_text(case.drawn)}"], "drawn"
    return [
        *lines,
        f"    drafted = np.array([[rng.choice({case.vocabulary}, p=p) for p in rows] for rows in {rows}])",
    ]


def call_lines(subject: Subject, case: Case) -> tuple[list[str], list[str]]:
    """Return the lines before the loop over seeds, and those in it that set ``tokens`` and ``lengths``."""
    options = options_text(case)
    if subject.protocol == "step":
        *before, drafted = drafting(case)
        call = taken(subject, f"sampler({arguments(subject, case)}, seed{options})")
        return before, [drafted, f"    tokens, lengths = {call}"]
    if subject.protocol == "tree":
        depth_of = "np.array([0" + "".join(f", {d}" for d in _depths(case.parents)[1:]) + "])"
        before = [f"parents, depth = np.array({list(case.parents)}), {depth_of}"]
        children = [len([p for p in case.parents[1:] if p == node]) for node in range(len(case.parents))]
        body = ["    drawn = np.full((1, len(parents)), -1)"]
        first = 1
        for node, count in enumerate(children):
            if count:
                kept = ", replace=False" if subject.drawing == "without" else ""
                body.append(
                    f"    drawn[0, {first}:{first + count}] = rng.choice({case.vocabulary}, {count}, "
                    f"p=draft[0, depth[{node}]]{kept})"
                )
            first += count
        drafts = f"draft[:, np.minimum(depth, {case.length - 1})]"
        rows = f"{given(subject, 'target[:, depth]')}, {given(subject, drafts)}"
        call = f"sampler(parents, {rows}, {given_integers(subject, 'drawn')}, seed)"
        return before, [*body, f"    tokens, lengths = {taken(subject, call)}"]
    if subject.protocol == "draft-and-verify":
        before = [
            "class Models:",
            f"    batch, draft_length, vocabulary = {case.batch}, {case.length}, {case.vocabulary}",
            f"    def draft(self, tokens): return {given(subject, 'draft[:, np.shape(tokens)[1]]')}",
            f"    def target(self, drafted): return {given(subject, 'target[:, :np.shape(drafted)[1] + 1]')}",
        ]
        call = taken(subject, f"sampler(Models(), seed{options})")
        return before, [f"    drafted, tokens, lengths = {call}"]
    before = [
        "class Models:",
        f"    vocabulary, draft_length, start = {case.vocabulary}, {DECODED}, 0",
        "    def last_two(self, tokens):",
        "        tokens = np.asarray(tokens)",
        f"        return np.pad(tokens[:, :-1], ((0, 0), (1, 0))) * {case.vocabulary} + tokens",
        f"    def target(self, tokens): return {given(subject, 'target[0][self.last_two(tokens)]')}",
        f"    def draft(self, tokens): return {given(subject, 'draft[0][self.last_two(tokens)]')}",
    ]
    prompt = given_integers(subject, "np.zeros((1, 2), dtype=int)")
    return before, [
        f"    tokens = sampler(Models(), {prompt}, 4, seed{options})",
        "    tokens = np.asarray(tokens[0] if isinstance(tokens, tuple) else tokens)",
    ]


def _depths(parents: Sequence[int]) -> list[int]:
    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    return depths


def law_script(
    subject: Subject,
    imports: Sequence[str],
    case: Case,
    *,
    cause: str,
    text: Sequence[int],
    rows: Sequence[int],
    expected: float,
    calls: int,
) -> str:
    """Return the script that counts a text of the first tokens.

    text: tokens whose probability is wrong.
    rows: batch rows in which they are counted.
    expected: their probability.
    calls: enough to see it.
    """
    before, body = call_lines(subject, case)
    names = "range(len(target))" if len(rows) == case.batch > 1 else f"({', '.join(map(str, rows))},)"
    if subject.protocol == "decoder":
        names = "(0,)"
    begun = ["rng, seen = np.random.default_rng(0), 0"]
    if len(text) == 1 or subject.protocol == "decoder":
        count = [f"        seen += tokens[b, :{len(text)}].tolist() == {list(map(int, text))}"]
    else:
        law = "target"
        if not np.array_equal(case.law, case.target):
            law = "law"
            before = [*before, f"law = {rows_text(case.law)}  # the target after the options"]
        count = [
            "        text = [tokens[b, i] if i < lengths[b]",
            f"                else rng.choice({case.vocabulary}, p={law}[b, i])",
            f"                for i in range({len(text)})]  # the target goes on where the call stops",
            f"        seen += list(map(int, text)) == {list(map(int, text))}",
        ]
    total = calls * (1 if subject.protocol == "decoder" else len(rows))
    words = "the first token is " if len(text) == 1 else "the text begins with "
    return "\n".join(
        [
            *opening(subject, imports, case, cause),
            *before,
            *begun,
            f"for seed in range({calls}):",
            *body,
            f"    for b in {names}:",
            *count,
            f"share, expected = seen / {total}, {expected!r}",
            f"z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1e-9) / {total})",
            f'print(f"{words}{" ".join(map(str, map(int, text)))} with frequency {{share:.4f}}, '
            f'expected {{expected:.4f}}: {{z:.1f}} standard errors")',
            f"raise SystemExit(int(abs(z) > {SURE}))",
            "",
        ]
    )


def acceptance_script(
    subject: Subject,
    imports: Sequence[str],
    case: Case,
    *,
    cause: str,
    token: int,
    expected: float,
    calls: int,
) -> str:
    """Return the script that counts how often a first drafted token is accepted."""
    before, body = call_lines(subject, case)
    return "\n".join(
        [
            *opening(subject, imports, case, cause),
            *before,
            "rng, accepted = np.random.default_rng(0), []",
            f"for seed in range({calls}):",
            *body,
            f"    accepted += [lengths[b] > 1 for b in range(len(target)) if drafted[b, 0] == {token}]",
            f"share, expected = np.mean(accepted), {expected!r}",
            "z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1e-9) / len(accepted))",
            f'print(f"first drafted token {token} accepted with frequency {{share:.4f}}, '
            f'expected {{expected:.4f}}: {{z:.1f}} standard errors")',
            f"raise SystemExit(int(abs(z) > {SURE}))",
            "",
        ]
    )


def pairs_script(
    subject: Subject,
    imports: Sequence[str],
    case: Case,
    *,
    cause: str,
    seeds: int,
    rows: int,
    expected: float,
    calls: int,
) -> str:
    """Return the script that counts how often two first tokens that must be independent are equal.

    seeds, rows: of the later one, less those of the earlier one.
    expected: how often equal ones are if they are independent.
    calls: enough to see it.
    """
    before, body = call_lines(subject, case)
    earlier, later = max(0, -rows), max(0, rows)
    if seeds:
        again = [line.replace(", seed", f", seed + {seeds}") for line in body]
        count = [
            *body,
            f"    first = tokens[{earlier}, 0]",
            *again,
            f"    equal.append(tokens[{later}, 0] == first)",
        ]
        words = f"row {earlier} under seed s and row {later} under seed s + {seeds}"
    else:
        count = [*body, f"    equal.append(tokens[{earlier}, 0] == tokens[{later}, 0])"]
        words = f"rows {earlier} and {later} of a call"
    step = max(1, 2 * seeds)
    return "\n".join(
        [
            *opening(subject, imports, case, cause),
            *before,
            "rng, equal = np.random.default_rng(0), []",
            f"for seed in range(0, {calls * step}, {step}):",
            *count,
            f"share, expected = np.mean(equal), {expected!r}",
            "z = (share - expected) / np.sqrt(expected * (1 - expected) / len(equal))",
            f'print(f"{words} begin alike with frequency {{share:.4f}}, independent ones '
            f'{{expected:.4f}}: {{z:.1f}} standard errors")',
            f"raise SystemExit(int(abs(z) > {SURE}))",
            "",
        ]
    )


def contract_script(
    subject: Subject, imports: Sequence[str], case: Case, drafted: Any, *, cause: str, kind: str
) -> str:
    """Return the script of one call of a step that violates the contract.

    kind: ``"protocol"``, ``"determinism"``, ``"inputs"`` or ``"finite"``.
    """
    call = f"sampler({arguments(subject, case)}, 1{options_text(case)})"
    head = [*opening(subject, imports, case, cause), f"drafted = np.array({drafted.tolist()})"]
    width, batch = case.length + 1, case.batch
    unpacked = f"tokens, lengths = {taken(subject, call)}"
    if kind == "determinism":
        rest = [
            f"outputs = {{str([np.asarray(x).tolist() for x in {call}]) for _ in range(30)}}",
            'print("30 calls with the same seed gave different outputs:", len(outputs))',
            "raise SystemExit(int(len(outputs) > 1))",
        ]
    elif kind == "inputs":
        rest = [
            "before = target.copy(), draft.copy(), drafted.copy()",
            call,
            "same = [np.array_equal(x, y) for x, y in zip(before, (target, draft, drafted))]",
            'print("target, draft, drafted are unchanged:", same)',
            "raise SystemExit(int(not all(same)))",
        ]
    elif kind == "finite":
        rest = [
            unpacked,
            "shown = [(b, i) for b in range(len(tokens)) for i in range(lengths[b])]",
            f"wrong = [(b, i) for b, i in shown if not 0 <= tokens[b, i] < {case.vocabulary} "
            "or target[b, i, tokens[b, i]] == 0]",
            'print("tokens that the target gives probability 0, as (row, position):", wrong)',
            "raise SystemExit(int(bool(wrong)))",
        ]
    else:
        rest = [
            unpacked,
            "tokens, lengths = np.asarray(tokens), np.asarray(lengths)",
            f"assert (tokens.shape, lengths.shape) == (({batch}, {width}), ({batch},)), tokens.shape",
            "assert tokens.dtype.kind in 'iu' and lengths.dtype.kind in 'iu', (tokens.dtype, lengths.dtype)",
            f"assert ((lengths >= 1) & (lengths <= {width})).all(), lengths",
            f"emitted = np.arange({width}) < lengths[:, None]",
            f"assert ((tokens >= 0) & (tokens < {case.vocabulary}))[emitted].all(), tokens",
            "assert (tokens[:, :-1] == drafted)[emitted[:, 1:]].all(), (tokens, drafted)",
        ]
    return "\n".join([*head, *rest, ""])
