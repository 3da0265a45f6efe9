"""``specsim conform``: tests a sampler."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from specsim.cli import completing
from specsim.cli.output import JSON_HELP, Count, columns, give_json, output_file, show, table
from specsim.errors import InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_EFFORTS = ("quick", "standard", "deep")
#: Options that say something about the subject.
_FIELDS = ("protocol", "rule", "inputs", "framework", "max_batch", "max_vocabulary", "draft", "filters")
_EPILOG = """\b
TARGET is module:callable, path/to/file.py:callable, or a built-in adapter (see --list).
The names of its parameters say how it is called:
  step(target, draft, drafted, seed)               verifies given drafts
  draft_and_verify(models, seed)                   draws its own drafts
  decoder(models, prompts, new_tokens, seed)       writes whole texts
  tree(parents, target, draft, tokens, seed)       verifies a tree of drafts

\b
Examples:
  specsim conform my_sampler.py:step --rule ratio
  specsim conform mypackage.sampling:step --effort deep --eps 0.005 --html report.html
  specsim conform transformers-step --junit conform.xml
  specsim conform my_sampler.py:step --json-file 1.4.json
  specsim conform my_sampler.py:step --baseline 1.4.json
  specsim conform my_sampler.py:step --effort deep --resume deep-run
  specsim conform --mutants --effort quick

\b
Exit codes: 0 lossless, or lossy as declared; 1 biased, not independent, or not the
declared rule; 2 usage or bad input; 3 undecided within the budget; 4 the sampler broke
(an exception, a violated contract, a process that ended or hung), or emits tokens from
rows with NaN; 70 an error in specsim, which says nothing about the sampler; 130
interrupted, 143 by SIGTERM. With --baseline: 0 when nothing got worse, else 1, 3 or 4 by
what did.
"""


@click.command("conform", epilog=_EPILOG)
@click.argument("target", required=False)
@click.option("--protocol", type=click.Choice(("step", "draft-and-verify", "decoder", "tree")),
              help="How the sampler is called. Default: by its parameters, see below.")  # fmt: skip
@click.option(
    "--rule",
    metavar="NAME",
    shell_complete=completing.conformance_rules,
    help="The rule that the sampler claims to follow (--list). Default: only its output is tested.",
)
@click.option("--effort", type=click.Choice(_EFFORTS), default="standard", show_default=True,
              help="How much is tested.")  # fmt: skip
@click.option(
    "--eps",
    type=float,
    metavar="TV",
    help="Total variation distance to certify. Default: by effort, 0.02 for standard.",
)
@click.option(
    "--alpha",
    type=float,
    default=1e-6,
    show_default=True,
    help="Probability of a false alarm, over all checks.",
)
@click.option(
    "--delta", type=float, default=1e-3, show_default=True, help="Probability that the certificate is wrong."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the tests.")
@click.option("--budget", type=float, metavar="SECONDS", help="Time for each sampler. Default: by effort.")
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.checks,
    help="Run only this check (--list); repeatable.",
)
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="TYPE",
    help="Type of the rows that the sampler takes; repeatable.",
)
@click.option("--inputs", type=click.Choice(("probabilities", "logits")),
              help="What the rows contain. Default: probabilities.")  # fmt: skip
@click.option("--framework", type=click.Choice(("numpy", "torch")),
              help="Arrays that the sampler takes. Default: numpy.")  # fmt: skip
@click.option("--max-batch", type=Count(), metavar="N", help="Largest batch that the sampler takes.")
@click.option("--max-vocabulary", type=Count(), metavar="N", help="Largest vocabulary that it takes.")
@click.option(
    "--draft",
    type=click.Choice(("required", "optional", "never")),
    help="Whether the sampler takes draft rows.",
)
@click.option("--filters", type=click.Choice(("both", "target")),
              help="Models to which top-k, top-p and so on apply. Default: both.")  # fmt: skip
@click.option("--expect-failure", "expected", multiple=True, metavar="CHECK=REASON",
              help="A known failure; if the check passes, this is an error.")  # fmt: skip
@click.option(
    "--plan", is_flag=True, help="Print what would be checked and which errors it would find; call nothing."
)
@click.option("--list", "listing", is_flag=True, help="List checks, rules and built-in adapters.")
@click.option("--mutants", is_flag=True, help="In a checkout: test the checks with wrong and right samplers.")
@click.option(
    "--every-check", is_flag=True, help="With --mutants: also run checks that need not find the error."
)
@click.option("--markdown", type=_FILE, metavar="FILE", help="With --mutants: write the matrix as a page.")
@click.option("--baseline", type=_FILE, metavar="FILE",
              help="A report of an earlier release, from --json-file: say what got worse.")  # fmt: skip
@click.option(
    "--resume", "resume_dir", metavar="DIR", help="Keep finished checks in DIR and continue from them."
)
@click.option("--in-process", is_flag=True, help="Run the sampler in this process: faster, for debugging.")
@click.option("--time-limit", type=float, metavar="SECONDS",
              help="Longest time of a call; then the process is stopped. Default: 60.")  # fmt: skip
@click.option("--memory-limit", type=float, metavar="GIB",
              help="Memory of its process (not on Windows). Default: 0.8 of all memory.")  # fmt: skip
@click.option("--html", type=_FILE, metavar="FILE", help="Write the report as a web page.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--json-file", "json_path", type=_FILE, metavar="FILE", help="Also write the report as JSON.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def conform(target: str | None, **options: Any) -> int:
    """Test whether a sampler is lossless, or follows the rule that it declares.

    The result is *biased* (how, by how much, and which known bug it looks like), or *lossless to within TV
    eps at confidence 1 - delta* on the inputs that were tried.
    """
    if options["listing"]:
        return _list(options)
    if options["mutants"]:
        return _mutants(target, options)
    if not target:
        raise click.UsageError("Missing argument 'TARGET': give module:callable, or one of --list, --mutants")
    return _conform(target, options)


def _conform(target: str, options: dict[str, Any]) -> int:
    from specsim.validation.conformance.baseline import compared, comparison_lines, read_baseline
    from specsim.validation.conformance.reports import report_html, report_json, report_junit
    from specsim.validation.conformance.requests import Request

    expected = dict(_expected(text) for text in options["expected"])
    request = Request(
        target=target,
        fields=_fields(options),
        settings=_settings(options),
        expected=expected,
        origin=_origin(target, options),
    )
    if options["plan"]:
        return _plan(request, options)
    baseline = None if options["baseline"] is None else read_baseline(options["baseline"])
    with (
        output_file(options["html"]) as page,
        output_file(options["junit"]) as xml,
        output_file(options["json_path"]) as data,
    ):
        reports = _reports(request, options)
        comparisons = [] if baseline is None else [compared(report, baseline) for report in reports]
        if not options["as_json"]:
            for report in reports:
                _show_report(report)
            for line in comparison_lines(comparisons):
                click.echo(line)
        if page is not None:
            page.write_text(report_html(reports, _command(request)), encoding="utf-8")
        if xml is not None:
            xml.write_text(report_junit(reports), encoding="utf-8")
        document = report_json(reports)
        if baseline is not None:
            document["baseline"] = [{**vars(item), "sentence": item.sentence} for item in comparisons]
        give_json(document, data, shown=options["as_json"])
    if any(report.interrupted for report in reports):
        raise KeyboardInterrupt
    codes = [item.exit_code for item in comparisons or reports]
    # What was found counts more than what broke, and that more than what is open.
    return next((code for code in (1, 4, 3) if code in codes), 0)


def _reports(request: Any, options: dict[str, Any]) -> list[Any]:
    """Return the reports; on a terminal, print a line when a check ends."""
    from dataclasses import replace

    from specsim.validation.conformance.isolation import in_own_process, in_this_process
    from specsim.validation.conformance.resuming import FinishedChecks

    for name in ("time_limit", "memory_limit"):
        if options[name] is not None and not options[name] > 0:
            raise InputError(f"{name.replace('_', '-')} is {options[name]:g}; give a positive number")
    kept = FinishedChecks(options["resume_dir"], request) if options["resume_dir"] else None
    if kept is not None:
        request = replace(request, done=kept.checks)

    def tell(subject: str, result: Any) -> None:
        if kept is not None:
            kept.add(subject, result)
        _tell(result)

    if options["in_process"]:
        return in_this_process(request, tell)
    limits = {"call_seconds": options["time_limit"], "memory_gib": options["memory_limit"]}
    return in_own_process(request, tell, **limits)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options say about the subject."""
    fields = {key: options[key] for key in _FIELDS if options[key] is not None}
    return {**fields, "dtypes": tuple(options["dtypes"])} if options["dtypes"] else fields


def _origin(target: str, options: dict[str, Any]) -> str:
    words = [target if ":" not in target or " " not in target else f"'{target}'"]
    for name in _FIELDS:
        if options[name] is not None:
            words.append(f"--{name.replace('_', '-')} {options[name]}")
    words += [f"--dtype {dtype}" for dtype in options["dtypes"]]
    return " ".join(words)


def _command(request: Any) -> str:
    """Return a command that does the same."""
    words = [f"specsim conform {request.origin}"]
    settings = {name: value for name, value in request.settings.items() if value is not None}
    words += [f"--check {name}" for name in settings.pop("only", ())]
    words += [f"--{name} {value}" for name, value in settings.items()]
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
    from specsim.validation.conformance.report_text import (
        HEADINGS,
        LEGEND,
        body_lines,
        check_rows,
        head_lines,
    )
    from specsim.validation.conformance.results import CheckStatus

    left_out: dict[str, list[str]] = {}
    for check in report.with_status(CheckStatus.SKIPPED):
        left_out.setdefault(check.reason, []).append(check.name)
    for line in head_lines(report):
        click.echo(line)
    title = f"{report.subject.name} ({report.subject.protocol})"
    # Whatever the width, names and evidence are there in full.
    width = columns()
    left_off = set() if width >= 100 else {"kind", "s"} if width >= 76 else {"kind", "s", "certified TV"}
    shown = [number for number, heading in enumerate(HEADINGS) if heading not in left_off]
    headings = [HEADINGS[number] for number in shown]
    texts = sum(number < 3 for number in shown)
    rows = [[row[number] for number in shown] for row in check_rows(report)]
    show(table(title, headings[:texts], headings[texts:], rows, no_wrap=True), LEGEND)
    for reason, names in left_out.items():
        click.echo(f"not checked ({reason}): {', '.join(names)}")
    for line in body_lines(report):
        click.echo(line)


def _unless_nan(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _plan(request: Any, options: dict[str, Any]) -> int:
    from specsim.validation.conformance.requests import requested_subjects
    from specsim.validation.conformance.running import Session

    document = []
    for subject in requested_subjects(request):
        session = Session(subject, **_settings(options))
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
        lines = [
            (check.name, check.catches, f"{planned:,}" if planned else "exact", _unless_nan(power, ".3f"))
            for check, planned, power in rows
        ]
        title = f"{subject.name} ({subject.protocol})"
        show(table(title, ("check", "what it is for"), ("observations", "catches TV"), lines))
        for check, reason in session.skipped:
            click.echo(f"not checked ({reason}): {check.name}")
    give_json({"plan": document}, options["json_path"], shown=options["as_json"])
    return 0


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return what `check_sampler` and `Session` share."""
    names = ("effort", "alpha", "eps", "delta", "seed", "budget")
    return {**{name: options[name] for name in names}, "only": options["checks"] or None}


def _list(options: dict[str, Any]) -> int:
    from specsim.validation.conformance.adapters import adapter_lines
    from specsim.validation.conformance.checks import all_checks
    from specsim.validation.conformance.rules import all_rules, all_tree_rules

    rules = list(dict.fromkeys((*all_rules(), *all_tree_rules())))
    if options["as_json"] or options["json_path"]:
        document = {
            "checks": [
                {"name": item.name, "title": item.title, "kind": item.kind, "protocols": item.protocols}
                for item in all_checks()
            ],
            "rules": [
                {"name": r.name, "title": r.title, "source": r.source, "lossless": r.lossless} for r in rules
            ],
            "adapters": [{"name": name, "title": title} for name, title in adapter_lines()],
        }  # fmt: skip
        give_json(document, options["json_path"], shown=options["as_json"])
    if options["as_json"]:
        return 0
    checks = [(check.name, check.kind, ", ".join(check.protocols), check.catches) for check in all_checks()]
    listed = [
        (rule.name, "lossless" if rule.lossless else "biased or lossy", rule.title)
        for rule in sorted(rules, key=lambda rule: not rule.lossless)
    ]
    show(
        table("Checks", ("name", "kind", "protocols", "what it is for"), rows=checks),
        table("Rules (--rule)", ("name", "", "what it does"), rows=listed),
        table("Built-in adapters", ("name", "what it runs"), rows=adapter_lines()),
    )
    return 0


def _mutants(target: str | None, options: dict[str, Any]) -> int:
    from specsim.support.checkout import load_benchmarks

    return load_benchmarks("benchmarks.kill_matrix_report").run_mutants(target, options)
