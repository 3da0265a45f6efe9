"""Reports: everything is said, in every format, and nothing breaks them."""

import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from specsim.validation.claims_model import ExactCheck, Verdict, counterexample, equal
from specsim.validation.mutants import Mutant
from specsim.validation.reports.html import ReportFigure, report_html
from specsim.validation.reports.json import report_json
from specsim.validation.reports.junit import report_junit
from specsim.validation.reports.table import kill_table, list_table, report_renderables
from specsim.validation.reports.words import (
    caught,
    compact,
    conclusion,
    least_p_value,
    number,
    p_value_text,
    sigma_text,
)
from specsim.validation.running.effort import QUICK
from specsim.validation.running.kill_matrix import Kill, KillMatrix
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate
from specsim.validation.statistics import decide_law_by_cells_and_entropy

NASTY = "<script>alert('[bold]')</script> & \x00 \u2603 [/red]"


def render(parts, width=110):
    sheet = io.StringIO()
    console = Console(file=sheet, width=width, highlight=False)
    for part in parts:
        console.print(part)
    return sheet.getvalue()


@pytest.fixture
def report(coins):
    erratum = ExactCheck(
        "erratum",
        lambda witnesses, effort: [counterexample("here", True, "printed 0, really 1/2", printed=0, exact=1)],
    )
    nasty = ExactCheck(
        NASTY, lambda witnesses, effort: [equal(NASTY, 1, 1), counterexample(NASTY, True, NASTY)]
    )

    def crash(witnesses, effort):
        raise RuntimeError(NASTY)

    claims = [
        coins.claim("a.good"),
        coins.claim("a.erratum", erratum, verdict=Verdict.FAILS),
        coins.claim("a.nasty", nasty, verdict=Verdict.CONDITION, condition=NASTY),
        coins.claim("a.bad", *coins.three(coins.pair(1)), coins.exact(ok=False)),
        coins.claim("a.crash", ExactCheck("crash", crash)),
        coins.claim("a.verdict", coins.exact(), verdict=Verdict.FAILS),
    ]
    good, wrong = coins.simulate(), coins.simulate(coins.STEPS + 0.2)

    def simulate(pair, algorithm, **options):
        return (wrong if pair.name == "coins 1" else good)(pair, algorithm, **options)

    return validate(claims, effort="quick", witnesses=coins.witnesses().replace(simulate=simulate))


@pytest.fixture
def matrix():
    mutants = tuple(
        Mutant(name=name, description="Wrong.", cite="here", apply=lambda witnesses: witnesses)
        for name in ("killed", "survivor", "nobody")
    )
    kills = (
        Kill(mutant="killed", claim="a.good", killed=True, status=Status.DISAGREES, evidence=NASTY),
        Kill(
            mutant="survivor", claim="a.good", killed=False, status=Status.AGREES, evidence="nothing noticed"
        ),
    )
    return KillMatrix(kills=kills, unassigned=("nobody",), mutants=mutants)


def test_words():
    assert number(math.nan) == ""
    assert number(-math.inf) == "-inf"
    assert sigma_text(-2.345) == "-2.3"
    assert sigma_text(math.inf) == "> 999"
    assert [compact(value) for value in (7, 9999, 10000, 2500000, 10**10)] == [
        "7",
        "9999",
        "10k",
        "2.5M",
        "10G",
    ]


def test_least_p_value__bounds_the_worst_assertion_of_all(report):
    good, bad = (next(c for c in report.claims if c.claim.id == name) for name in ("a.good", "a.bad"))
    one = good.assertions[0]
    items = [dataclasses.replace(one, p_value=value) for value in (0.5, 0.01, math.nan, 0.9)]
    assert least_p_value(items) == pytest.approx(0.03)
    assert least_p_value([dataclasses.replace(one, p_value=0.8)] * 2) == 1
    assert math.isnan(least_p_value([]))
    assert least_p_value(good.assertions) > 1e-6 > least_p_value(bad.assertions)
    # One run in a cell that expects a hundred-thousandth of a run is 300 standard errors away, and no wonder.
    rare = decide_law_by_cells_and_entropy(
        counts=[999, 1], runs=1000, probabilities=[1 - 1e-8, 1e-8], alpha=1e-9
    )
    assert rare.agrees
    assert rare.sigma > 300
    assert least_p_value([dataclasses.replace(one, p_value=rare.p_value)]) > 1e-5


def test_p_value_text():
    assert [p_value_text(value) for value in (math.nan, 0.0, 1e-120, 0.0123, 1.0)] == [
        "",
        "< 1e-99",
        "< 1e-99",
        "0.012",
        "1",
    ]


def test_json__undecided_establishes_nothing(coins):
    tiny = dataclasses.replace(QUICK, max_runs=200)
    found = validate([coins.claim()], effort=tiny, witnesses=coins.witnesses())
    (claim,) = json.loads(report_json(found))["claims"]
    assert claim["status"] == "undecided"
    assert claim["established"] is None


def test_caught__is_the_largest_that_a_demanding_assertion_catches(report):
    good = report.claims[0]
    for item in good.assertions:
        assert caught(good.assertions)[item.unit] >= item.detectable
    free = [dataclasses.replace(item, wanted=None) for item in good.assertions if item.unit == "probability"]
    assert caught([*free, dataclasses.replace(free[0], detectable=9.0)])["probability"] < 9


def test_table__says_everything(report):
    text = render(report_renderables(report, errata=True))
    assert "  good" in text
    assert "printed 0, really 1/2" in text
    assert "printed: 0   computed: 1" in text
    assert "NOT CONFIRMED" in text
    for words in (
        "observed",
        "expected",
        "sigma",
        "tested at",
        "runs, seed",
        "finds an error of",
        "to repeat:",
    ):
        assert words in text
    assert "one and one: observed 3, expected 2" in text
    assert "RuntimeError" in text
    assert "not the verdict expected" in text
    assert "3 of 6 findings confirmed." in text
    assert "Result: disagrees." in text
    assert "[bold]" in text


def test_table__fits_its_width(report):
    for width in (80, 110, 160):
        assert (
            max(len(line) for line in render(report_renderables(report, width), width).splitlines()) <= width
        )


def test_failures__the_first_in_full_the_rest_counted(coins):
    many = ExactCheck("many", lambda witnesses, effort: [equal(f"number {n}", n, -1) for n in range(50)])
    found = validate([coins.claim("a.a", many)], effort="quick", witnesses=coins.witnesses())
    text = render(report_renderables(found))
    assert "number 0: observed 0, expected -1" in text
    assert "number 40" not in text
    assert "and 44 more comparisons" in text


def test_table__is_the_same_for_the_same_report(report):
    assert render(report_renderables(report)) == render(report_renderables(report))


def test_list_and_kill_tables(report, matrix):
    text = render([list_table([claim.claim for claim in report.claims])])
    assert "a.erratum" in text
    assert "fails as printed" in text
    text = render(kill_table(matrix))
    assert "SURVIVES" in text
    assert "No claim must find: nobody." in text
    assert "1 of 3 mutants" in text


def test_json__holds_everything_and_is_strict(report, matrix):
    document = json.loads(report_json(report, matrix), parse_constant=pytest.fail)
    assert document["result"] == "disagrees"
    assert document["exit_code"] == 1
    assert document["budget"]["assertions"] == 6
    assert document["budget"]["each"] * 6 == pytest.approx(1e-6)
    claims = {claim["id"]: claim for claim in document["claims"]}
    assert claims["a.good"]["established"] == claims["a.good"]["expected"] == "holds"
    assert claims["a.erratum"]["counterexamples"][0]["text"] == "printed 0, really 1/2"
    assertion = claims["a.bad"]["checks"][0]["assertions"][0]
    assert assertion["status"] == "disagrees"
    assert {"observed", "standard_error", "expected", "sigma", "runs", "seed", "command"} <= set(assertion)
    assert claims["a.verdict"]["established"] == "holds"
    assert claims["a.verdict"]["status"] == "disagrees"
    assert set(document["provenance"]["versions"]) >= {"specsim", "python", "numpy"}
    assert [kill["rejected"] for kill in document["mutants"]["kills"]] == [True, False]


def test_json__numbers_that_are_not_finite(coins):
    # The last step is never rejected; a simulation that rejects there is infinitely far away.
    steps = [*coins.STEPS[:3], 0.3]
    found = validate([coins.claim()], effort="quick", witnesses=coins.witnesses(truth=steps))
    document = json.loads(report_json(found), parse_constant=pytest.fail)
    sigmas = [item["sigma"] for check in document["claims"][0]["checks"] for item in check["assertions"]]
    assert "inf" in sigmas


def test_junit__is_well_formed_and_counts(report):
    root = ElementTree.fromstring(report_junit(report))
    assert root.tag == "testsuites"
    cases = root.findall("./testsuite/testcase")
    assert int(root.get("tests")) == len(cases)
    assert int(root.get("failures")) == len(root.findall(".//failure")) == 5
    assert int(root.get("errors")) == len(root.findall(".//error")) == 1
    assert all("\x00" not in case.get("name") for case in cases)
    failure = root.find("./testsuite[@name='a.bad']/testcase/failure")
    assert "sigma" in failure.text


def test_junit__undecided_and_unfinished_are_skipped(coins):
    tiny = dataclasses.replace(QUICK, max_runs=200)
    found = validate([coins.claim()], effort=tiny, witnesses=coins.witnesses())
    assert conclusion(found) == "undecided"
    assert int(ElementTree.fromstring(report_junit(found)).get("skipped")) == 3


class Page(HTMLParser):
    """Collects the tags, and complains about unbalanced ones."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.ids = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.found.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


FIGURE = ReportFigure(
    name="figure-2a",
    title="Rejections",
    caption="What is seen.",
    svg='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect id="a" width="1" height="1"/></svg>',
    rows=(("mean", "16.41", "16.405", "agrees"),),
)


def test_html__needs_nothing_from_anywhere(report, matrix):
    text = report_html(report, matrix=matrix, figures=[FIGURE], figure_notes=["figure-9 is left out."])
    page = Page(text)
    for tag, attributes in page.found:
        for key in ("src", "href", "data", "action", "poster"):
            if key in attributes:
                assert attributes[key].startswith(("data:", "#")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\(|https?://", text)
    assert len(set(page.ids)) == len(page.ids)
    targets = [a["href"][1:] for tag, a in page.found if tag == "a"]
    assert set(targets) <= set(page.ids)


def test_html__escapes_and_works_without_scripts(report, matrix):
    text = report_html(report, matrix=matrix, figures=[FIGURE])
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    page = Page(text)
    # Claims open without any script; the filter shows only where scripts run.
    assert sum(tag == "details" and a.get("class") == "claim" for tag, a in page.found) == len(report.claims)
    assert ".filter { display: none;" in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_html__says_everything(report, matrix):
    text = report_html(report, matrix=matrix, figures=[FIGURE], figure_notes=["figure-9 is left out."])
    for words in (
        "Result: disagrees", "printed 0, really 1/2", "figure-9 is left out.", "What is seen.", "16.405",
        "no claim must find it", "does not find it", "false alarms",
        report.provenance["source"],
    ):  # fmt: skip
        assert words in text


def test_html__of_a_plain_run(coins):
    found = validate([coins.claim()], effort="quick", witnesses=coins.witnesses())
    text = report_html(found)
    Page(text)
    assert "Mutants" not in text
    assert "Errata" not in text
