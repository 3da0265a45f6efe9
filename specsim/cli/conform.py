"""``specsim conform``: tests a sampler."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

from specsim.cli.output import JSON_HELP, Count, output_file, show, show_json
from specsim.errors import InputError

_EFFORTS = ("quick", "standard", "deep")
_EPILOG = """\b
TARGET is module:callable, path/to/file.py:callable, or a built-in adapter (see --list).
The callable's parameters tell its protocol:
  step(target, draft, drafted, seed)               verifies given drafts
  draft_and_verify(models, seed)                   draws its own drafts
  decoder(models, prompts, new_tokens, seed)       writes whole texts
  tree(parents, target, draft, tokens, seed)       verifies a tree of drafts

\b
Examples:
  specsim conform my_sampler.py:step --rule ratio
  specsim conform mypackage.sampling:step --effort deep --eps 0.005 --html report.html
  specsim conform transformers-step --junit conform.xml
  specsim conform --mutants --effort quick

Exit codes: 0 lossless (or lossy as declared), 1 biased, broken or not the declared rule, 2 usage or bad
input, 3 undecided within the budget, 130 interrupted.
"""


@click.command("conform", epilog=_EPILOG)
@click.argument("target", required=False)
@click.option("--protocol", type=click.Choice(("step", "draft-and-verify", "decoder", "tree")),
              help="Default: read off the parameters.")  # fmt: skip
@click.option(
    "--rule", metavar="NAME", help="The rule it claims to follow. Default: its output alone is judged."
)
@click.option("--effort", type=click.Choice(_EFFORTS), default="standard", show_default=True)
@click.option(
    "--eps", type=float, metavar="TV", help="Total variation distance to certify. Default: the effort's."
)
@click.option(
    "--alpha", type=float, default=1e-6, show_default=True, help="False alarms of all checks together."
)
@click.option("--delta", type=float, default=1e-3, show_default=True, help="Error of the certificate.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--budget", type=float, metavar="SECONDS", help="Time for each sampler. Default: the effort's.")
@click.option(
    "--check", "checks", multiple=True, metavar="NAME", help="Run only this check; may be repeated."
)
@click.option(
    "--dtype", "dtypes", multiple=True, metavar="TYPE", help="Types of rows it takes; may be repeated."
)
@click.option("--inputs", type=click.Choice(("probabilities", "logits")))
@click.option("--framework", type=click.Choice(("numpy", "torch")))
@click.option("--max-batch", type=Count(), metavar="N", help="The most rows of one call.")
@click.option("--max-vocabulary", type=Count(), metavar="N")
@click.option(
    "--draft", type=click.Choice(("required", "optional", "never")), help="Whether it takes draft rows."
)
@click.option("--expect-failure", "expected", multiple=True, metavar="CHECK=REASON",
              help="A failure that is known; passing is then a failure.")  # fmt: skip
@click.option(
    "--plan", is_flag=True, help="Say what would be checked and what it would catch; sample nothing."
)
@click.option("--list", "listing", is_flag=True, help="List checks, rules and built-in adapters.")
@click.option(
    "--mutants", is_flag=True, help="In a checkout: the kill matrix, wrong samplers and right ones."
)
@click.option("--every-check", is_flag=True, help="With --mutants: also the checks that need not reject.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --mutants: write the matrix as a page.",
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write one page."
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML."
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def conform(target: str | None, **options: Any) -> int:
    """Test whether a sampler is lossless, or follows the rule that it declares.

    Says *biased* (how, by how much, and which known bug it looks like), or *lossless to within TV eps at
    confidence 1 - delta* on the instances tested.
    """
    if options["listing"]:
        return _list(options["as_json"])
    if options["mutants"]:
        return _mutants(target, options)
    if not target:
        raise click.UsageError("Missing argument 'TARGET': give module:callable, or one of --list, --mutants")
    return _conform(target, options)


def _conform(target: str, options: dict[str, Any]) -> int:
    from specsim.validation.conformance.running import check_sampler

    expected = dict(_expected(text) for text in options["expected"])
    subjects = _subjects(target, options)
    if options["plan"]:
        return _plan(subjects, options)
    reports = []
    with output_file(options["html"]) as page, output_file(options["junit"]) as xml:
        for subject in subjects:
            # The lines are the progress: each check is printed when it ends.
            report = check_sampler(
                subject,
                effort=options["effort"],
                alpha=options["alpha"],
                eps=options["eps"],
                delta=options["delta"],
                seed=options["seed"],
                budget=options["budget"],
                only=options["checks"] or None,
                expected_failures=expected,
                callback=_tell,
                origin=_origin(target, subject, subjects, options),
            )
            reports.append(report)
            if not options["as_json"]:
                _show_report(report)
            if report.interrupted:
                break
        from specsim.validation.conformance.reports import report_html, report_json, report_junit

        if page is not None:
            page.write_text(report_html(reports), encoding="utf-8")
        if xml is not None:
            xml.write_text(report_junit(reports), encoding="utf-8")
        if options["as_json"]:
            show_json(report_json(reports))
    if any(report.interrupted for report in reports):
        raise KeyboardInterrupt
    codes = [report.exit_code for report in reports]
    return 1 if 1 in codes else max(codes)


def _subjects(target: str, options: dict[str, Any]) -> tuple[Any, ...]:
    from specsim.validation.conformance.adapters import adapter_names, adapter_subjects
    from specsim.validation.conformance.subjects import load_subjects

    fields = {
        key: options[key]
        for key in ("protocol", "rule", "inputs", "framework", "max_batch", "max_vocabulary", "draft")
        if options[key] is not None
    }
    if options["dtypes"]:
        fields["dtypes"] = tuple(options["dtypes"])
    if ":" in target:
        return load_subjects(target, **fields)
    if target in adapter_names():
        if fields:
            raise InputError(
                f"target {target} is built in and declares its own {', '.join(fields)}; leave these out"
            )
        return adapter_subjects(target)
    names = ", ".join(adapter_names())
    raise InputError(f"target is {target!r}; write module:callable or file.py:callable, or one of {names}")


def _origin(target: str, subject: Any, subjects: tuple[Any, ...], options: dict[str, Any]) -> str:
    words = [target if ":" not in target or " " not in target else f"'{target}'"]
    for name in ("protocol", "rule", "inputs", "framework", "max_batch", "max_vocabulary", "draft"):
        if options[name] is not None:
            words.append(f"--{name.replace('_', '-')} {options[name]}")
    words += [f"--dtype {dtype}" for dtype in options["dtypes"]]
    return " ".join(words)


def _expected(text: str) -> tuple[str, str]:
    name, _, reason = text.partition("=")
    if not name or not reason:
        raise InputError(f"expect-failure is {text!r}; write it as CHECK=REASON")
    return name, reason


def _tell(result: Any) -> None:
    from specsim.validation.conformance.report_text import SIGNS

    if sys.stderr.isatty():
        click.echo(f"{SIGNS[result.status]} {result.name} ({result.seconds:.1f} s)", err=True)


def _show_report(report: Any) -> None:
    from rich.table import Table

    from specsim.validation.conformance.report_text import SIGNS, power_of_ten, report_lines
    from specsim.validation.conformance.results import CheckStatus

    table = Table(title=f"{report.subject.name} ({report.subject.protocol})", title_justify="left")
    for column in ("", "check", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("observations", "evidence", "catches TV", "certified TV", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    left_out: dict[str, list[str]] = {}
    for check in report.checks:
        if check.status is CheckStatus.SKIPPED:
            left_out.setdefault(check.reason, []).append(check.name)
            continue
        table.add_row(
            SIGNS[check.status],
            check.name,
            check.kind,
            f"{check.samples:,}" if check.samples else "",
            power_of_ten(check.log10_e),
            "" if math.isnan(check.catches) else f"{check.catches:.3f}",
            "" if math.isnan(check.certified) else f"{check.certified:.4f}",
            f"{check.seconds:.1f}",
        )
    show(table)
    for reason, names in left_out.items():
        click.echo(f"left out: {', '.join(names)}: {reason}")
    for line in report_lines(report):
        click.echo(line)


def _plan(subjects: tuple[Any, ...], options: dict[str, Any]) -> int:
    from rich.table import Table

    from specsim.validation.conformance.running import Session

    document = []
    for subject in subjects:
        session = Session(
            subject,
            effort=options["effort"],
            alpha=options["alpha"],
            eps=options["eps"],
            delta=options["delta"],
            seed=options["seed"],
            budget=options["budget"],
            only=options["checks"] or None,
        )
        rows = session.plan()
        document.append({
            "subject": subject.name,
            "checks": [
                {"name": item.name, "kind": item.kind, "observations": planned, "catches": power}
                for item, planned, power in rows
            ],
            "skipped": [{"name": check.name, "reason": reason} for check, reason in session.skipped],
        })  # fmt: skip
        if options["as_json"]:
            continue
        table = Table(title=f"{subject.name} ({subject.protocol})", title_justify="left")
        table.add_column("check")
        table.add_column("observations", justify="right")
        table.add_column("catches TV", justify="right")
        table.add_column("what it is for", overflow="fold")
        for check, planned, power in rows:
            caught = "" if math.isnan(power) else f"{power:.3f}"
            table.add_row(check.name, f"{planned:,}" if planned else "exact", caught, check.catches)
        show(table)
        for check, reason in session.skipped:
            click.echo(f"left out: {check.name}: {reason}")
    if options["as_json"]:
        show_json({"plan": document})
    return 0


def _list(as_json: bool) -> int:
    from rich.table import Table

    from specsim.validation.conformance.adapters import adapter_lines
    from specsim.validation.conformance.checks import all_checks
    from specsim.validation.conformance.rules import all_rules, all_tree_rules

    rules = list(dict.fromkeys((*all_rules(), *all_tree_rules())))
    if as_json:
        show_json({
            "checks": [
                {"name": item.name, "title": item.title, "kind": item.kind, "protocols": item.protocols}
                for item in all_checks()
            ],
            "rules": [
                {"name": r.name, "title": r.title, "source": r.source, "lossless": r.lossless} for r in rules
            ],
            "adapters": [{"name": name, "title": title} for name, title in adapter_lines()],
        })  # fmt: skip
        return 0
    checks = Table(title="Checks", title_justify="left")
    for column in ("name", "kind", "protocols", "what it is for"):
        checks.add_column(column, overflow="fold")
    for check in all_checks():
        checks.add_row(check.name, check.kind, ", ".join(check.protocols), check.catches)
    listed = Table(title="Rules (--rule)", title_justify="left")
    for column in ("name", "", "what it does"):
        listed.add_column(column, overflow="fold")
    for rule in rules:
        if rule.lossless:
            listed.add_row(rule.name, "lossless", rule.title)
    for rule in rules:
        if not rule.lossless:
            listed.add_row(rule.name, "biased or lossy", rule.title)
    adapters = Table(title="Built-in adapters", title_justify="left")
    for column in ("name", "what it runs"):
        adapters.add_column(column, overflow="fold")
    for name, title in adapter_lines():
        adapters.add_row(name, title)
    show(checks, listed, adapters)
    return 0


def _mutants(target: str | None, options: dict[str, Any]) -> int:
    from specsim.support.checkout import load_benchmarks

    code: int = load_benchmarks("benchmarks.kill_matrix_report").run_mutants(target, options)
    return code
