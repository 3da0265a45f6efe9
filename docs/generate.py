"""Pages of the site that are made from the code: rules, statements, names, figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import specsim
from specsim.algorithms import Rule
from specsim.algorithms.rule import REQUIRED, TEXTS
from specsim.validation.claims_model import Claim, Verdict
from specsim.validation.mutants import get_mutants
from specsim.validation.registry import all_claims

#: Namespaces of the reference, with what each is for.
NAMESPACES = {
    "specsim": "Definitions, simulation, comparison.",
    "specsim.theory": "Exact laws, published statements, certificates.",
    "specsim.theory.symbolic": "Closed forms as formulas.",
    "specsim.plot": "Pictures of results.",
    "specsim.testing": "Testing samplers.",
    "specsim.validation": "Claims, mutants, and running them.",
    "specsim.paper_figures": "The paper's figures.",
    "specsim.models": "Decoding with real language models (extra `torch`).",
}
_VERDICTS = {
    Verdict.HOLDS: "Statements that hold",
    Verdict.CONDITION: "Statements that hold under a condition that is not printed",
    Verdict.FAILS: "Statements that need a correction",
}


#: What the planner's page plans for, and the costs that it begins with.
PLANNED = "random:contexts=7,horizon=50,seed=1,stationary=yes"
COSTS = "draft=0.1,overhead=0.02,token=0.01,free=8"


def write_pages(folder: Path, *, run: bool) -> None:
    """Write all pages below `folder`; pages that have not changed keep their time.

    run: whether to run what they show, too: the examples of the rules, and the planner's page, which goes to
        ``extra/planner-page.html``.
    """
    rules = specsim.catalogue()
    pages = {
        **dict(_rule_pages(rules, pictures=run)),
        **dict(_claim_pages(all_claims())),
        **dict(_name_pages()),
    }
    for name, text in pages.items():
        file = folder / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for file in folder.rglob("*.md"):
        if file.relative_to(folder).with_suffix("").as_posix() not in pages:
            file.unlink()
    (folder / "extra").mkdir(exist_ok=True)
    if run:
        for rule in rules.values():
            if code := _example(rule):
                _draw(code, folder / "rules" / f"{rule.name}.png")
        plan = specsim.plan(PLANNED, costs=COSTS, batch=[1, 8, 32])
        (folder / "extra" / "planner-page.html").write_text(plan.html(), encoding="utf-8")


def _draw(code: str, file: Path) -> None:
    """Run an example and write the figure that it ends with, unless that was done before."""
    written = file.with_suffix(".txt")
    if file.exists() and written.exists() and written.read_text(encoding="utf-8") == code:
        return
    *lines, last = code.splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    specsim.plot.save(eval(last, names), file)
    written.write_text(code, encoding="utf-8")


def _rule_pages(rules: dict[str, Rule], *, pictures: bool) -> Iterator[tuple[str, str]]:
    listed = "\n".join(f"rules/{name}" for name in rules)
    rows = "\n".join(
        f"| [{rule.name}](rules/{rule.name}.md) | {'yes' if rule.lossless else 'no'} | "
        f"{', '.join(rule.structures)} | {_cell(rule.title)} |"
        for rule in rules.values()
    )
    yield (
        "rules",
        "# Rules\n\nEvery verification rule that specsim knows. A rule decides which drafted tokens are kept "
        "and what is written in place of the first one that is not.\n\n"
        "| rule | lossless | draft structures | what it does |\n|---|---|---|---|\n"
        f"{rows}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n",
    )
    for rule in rules.values():
        yield f"rules/{rule.name}", _rule_page(rule, pictures)


def _rule_page(rule: Rule, pictures: bool) -> str:
    shown = [(name, text) for name, text in rule.described().items() if not name.startswith("parameter ")]
    facts = [(name, text) for name, text in shown if name.replace(" ", "_") not in TEXTS]
    table = "\n".join(f"| {name.capitalize()} | {_cell(text)} |" for name, text in facts)
    parts = [
        f"# {rule.name}",
        f"{rule.title[0].upper()}{rule.title[1:]}.",
        f"| | |\n|---|---|\n{table}",
    ]
    if rule.parameters:
        rows = []
        for name, entry in rule.parameters.items():
            choices = f" One of {', '.join(entry.choices)}." if entry.choices else ""
            default = "required" if entry.default is REQUIRED else f"default {entry.default}"
            rows.append(f"| `{name}` | {_cell(entry.meaning + choices)} | {default} |")
        parts.append("## Parameters\n\n| name | meaning | |\n|---|---|---|\n" + "\n".join(rows))
    if code := _example(rule):
        picture = f"\n\n![Laws of {rule.name}]({rule.name}.png)" if pictures else ""
        parts.append(f"## Example\n\n```python\n{code}\n```{picture}")
    root = Path(specsim.__file__).resolve().parent
    titles = {
        "program": ("Published steps", "Each `yield` draws from a law; drafted tokens are given."),
        "step_law": ("Law of a step", "On floats and on rational numbers alike."),
        "kernel": ("Kernel", "What the engine `literal` runs, compiled by Numba."),
    }
    for text, (title, words) in titles.items():
        if text in rule.texts:
            source = (root / TEXTS[text] / f"{rule.module}.py").read_text(encoding="utf-8")
            parts.append(f"## {title}\n\n{words}\n\n```python\n{source.strip()}\n```")
        else:
            parts.append(f"## {title}\n\nThere is none: {rule.absent.get(text, 'not written yet')}.")
    return "\n\n".join(parts) + "\n"


def _example(rule: Rule) -> str:
    """Return code that draws the rule's laws, where it can be called without more being said."""
    required = [name for name, entry in rule.parameters.items() if entry.default is REQUIRED]
    if required or "kernel" not in rule.texts or rule.absent.get("step_law"):
        return ""
    options = "draft_length=2" if "paths" not in rule.structures else "drafts=2,draft_length=2"
    return textwrap.dedent(
        f"""\
        import specsim

        pair, algorithm = "random:contexts=3,horizon=6,seed=1", "{rule.name}:{options}"
        result = specsim.simulate(pair, algorithm, runs=20000, seed=1)
        specsim.plot.laws(pair, algorithm, simulated=result)"""
    )


def _claim_pages(claims: tuple[Claim, ...]) -> Iterator[tuple[str, str]]:
    parts = [
        "# Statements",
        "Every published statement that `specsim validate` checks, by what was found of it. "
        "`specsim validate NAME` checks one of them again.",
    ]
    for verdict, heading in _VERDICTS.items():
        found = [claim for claim in claims if claim.verdict is verdict]
        rows = "\n".join(
            f"| [{claim.id}](statements/{claim.id}.md) | {_cell(claim.title)} | {_cell(claim.source)} |"
            for claim in found
        )
        if found:
            parts.append(f"## {heading}\n\n| name | title | source |\n|---|---|---|\n{rows}")
    listed = "\n".join(f"statements/{claim.id}" for claim in claims)
    parts.append(f"```{{toctree}}\n:hidden:\n\n{listed}\n```")
    yield "statements", "\n\n".join(parts) + "\n"
    for claim in claims:
        checks = "\n".join(f"* {check.name} ({check.kind})" for check in claim.checks)
        mutants = "\n".join(f"* `{wrong.name}`: {wrong.description}" for wrong in get_mutants(claim.mutants))
        lines = [
            f"# {claim.title}",
            claim.statement,
            f"Source: {claim.source}. Found: {claim.verdict.value}.",
        ]
        if claim.condition:
            lines.append(f"Condition: {claim.condition}.")
        lines.append(f"## Checks\n\n{checks}")
        if mutants:
            lines.append(
                "## Deliberate mistakes that the checks must notice\n\n"
                f"{mutants}\n\n`specsim validate {claim.id} --mutants` runs the checks on each of them."
            )
        lines.append(f"## Check it yourself\n\n```\nspecsim validate {claim.id} --errata\n```")
        yield f"statements/{claim.id}", "\n\n".join(lines) + "\n"


def _name_pages() -> Iterator[tuple[str, str]]:
    for namespace, words in NAMESPACES.items():
        module = import_module(namespace) if namespace.count(".") else specsim
        names = [name for name in _public(module) if not name.startswith("_")]
        yield (
            f"api/{namespace}",
            f"# {namespace}\n\n{words}\n\n```{{eval-rst}}\n.. currentmodule:: {namespace}\n\n"
            ".. autosummary::\n   :toctree: names\n   :nosignatures:\n\n"
            + "".join(f"   {name}\n" for name in names)
            + "```\n",
        )
    listed = "\n".join(NAMESPACES)
    yield "api/index", f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def _public(module: object) -> list[str]:
    """Return the public names that are no namespaces of their own."""
    given = getattr(module, "__all__", None) or [
        name
        for name, item in vars(module).items()
        if getattr(item, "__module__", None) == module.__name__  # type: ignore[attr-defined]
    ]
    return [name for name in given if not hasattr(getattr(module, name), "__path__") and name != "plot"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
