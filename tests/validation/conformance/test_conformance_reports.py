"""Reports on made-up results: every status as text, JUnit XML, one self-contained page, pictures."""

from __future__ import annotations

import base64
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.conformance import pictures, report_text
from specsim.validation.conformance.documents import report_document, report_of
from specsim.validation.conformance.report_text import report_lines
from specsim.validation.conformance.reports import linked, report_html, report_json, report_junit
from specsim.validation.conformance.results import (
    CheckResult,
    CheckStatus,
    ConformanceReport,
    Deviation,
    Diagnosis,
    Picture,
    Script,
    Suspect,
    Verdict,
)
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

NASTY = "<script>alert('x')</script> & \"quotes\""
SVG = "{http://www.w3.org/2000/svg}"


def picture(cells: int, title: str = "a law") -> Picture:
    rng = np.random.default_rng(cells)
    law = rng.dirichlet(np.ones(cells))
    seen = rng.multinomial(500, law) / 500
    return Picture(
        title=title,
        cells=tuple(f"stratum: text {cell}" for cell in range(cells)),
        observed=tuple(seen),
        expected=tuple(law),
        samples=500,
    )


def check(status: CheckStatus, *, name: str | None = None, kind: str = "output", **fields) -> CheckResult:
    return CheckResult(
        name=name or status.value.replace(" ", "-"),
        title=f"title of {status.value}",
        kind=kind,
        status=status,
        **fields,
    )


DEVIATION = Deviation(
    where="text 0", observed=55, samples=512, expected=0.203125, low=0.0477, high=0.1977, gain=40.0
)


def every_status() -> tuple[CheckResult, ...]:
    numbers = {"samples": 512, "planned": 4096, "log10_threshold": 7.3, "seconds": 1.25}
    return (
        check(CheckStatus.PASSED, log10_e=-1.5, catches=0.05, certified=0.034, **numbers),
        check(
            CheckStatus.FAILED,
            log10_e=12.25,
            deviations=(DEVIATION,),
            looks_like=("recovery-from-target (10^13.0)",),
            command="specsim conform x:y --check failed",
            picture=picture(16, f"a law of {NASTY}"),
            **numbers,
        ),
        check(CheckStatus.UNDECIDED, reason="the time budget ended after 512 of 4096 observations",
              log10_e=-math.inf, **numbers),
        check(CheckStatus.SKIPPED, reason="it takes no option coins"),
        check(CheckStatus.BROKEN, reason=f"KeyError: {NASTY} \x00\x1b[31m", kind="contract"),
        check(CheckStatus.EXPECTED_FAILURE, reason="expected: known"),
        check(CheckStatus.UNEXPECTED_PASS, reason="expected to fail (known), but it passed"),
    )  # fmt: skip


def report(*checks: CheckResult, name: str = "subject", rule=RATIO, **fields) -> ConformanceReport:
    return ConformanceReport(
        subject=Subject(name=name, protocol="step", run=print, rule=rule, notes=NASTY),
        checks=checks,
        alpha=1e-6,
        eps=0.02,
        delta=1e-3,
        effort="quick",
        seed=3,
        seconds=2.0,
        **fields,
    )


SUSPECTS = (
    Suspect(name="ratio", title="t", source="s", lossless=True, log10_ratio=math.inf, fits=True),
    Suspect(
        name="bug",
        title=NASTY,
        source="owner/project#1",
        lossless=False,
        log10_ratio=3.2,
        fits=True,
        change="x",
    ),
    Suspect(name="other", title="t", source="owner/project#2", lossless=False, log10_ratio=1.0, fits=False),
)
DIAGNOSIS = Diagnosis(
    cause="the cause",
    change="the change",
    known="bug",
    source="owner/project#1",
    explains=("failed", "unexpected pass"),
)
SCRIPT = Script(text="import numpy as np\nraise SystemExit(1)\n", sizes="2 tokens, drafts of 1, 1 row")
WHOLE = {"suspects": SUSPECTS, "diagnosis": DIAGNOSIS, "script": SCRIPT}


class Page(HTMLParser):
    """Collects tags, links and what is open."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href", "action", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def read(page: str) -> Page:
    found = Page()
    found.feed(page)
    found.close()
    return found


def test_html__is_self_contained_closed_and_escaped():
    page = report_html([report(*every_status(), name=NASTY, **WHOLE), report(name="second")])
    found = read(page)
    assert found.open == []
    assert "script" not in found.tags
    assert "iframe" not in found.tags
    issue = "https://github.com/owner/project/issues/1"
    assert all(link.startswith("data:") or link == issue for link in found.links), found.links
    assert issue in found.links
    assert "@import" not in page
    assert not re.search(r"url\(\s*['\"]?(?!data:)", page)
    assert "<script>" not in page
    text = " ".join(found.text)
    parts = (NASTY, "second", "owner/project#1", "title of unexpected pass", "infinite", "10^3.2")
    for part in (
        *parts,
        "most likely: the cause (known bug bug",
        "what to change: the change",
        SCRIPT.text.strip(),
    ):
        assert part in text
    assert "owner/project#2" not in text
    assert found.tags.count("details") == len(every_status())
    for item in every_status():
        assert item.name in text
        assert item.title in text


def test_html__pictures_are_svg_that_can_be_parsed():
    page = report_html([report(*every_status())])
    uris = [link for link in read(page).links if link.startswith("data:image/svg+xml;base64,")]
    assert len(uris) == 1
    sheet = base64.b64decode(uris[0].partition(",")[2])
    assert ElementTree.fromstring(sheet).tag == f"{SVG}svg"


def test_html__says_what_was_run_and_with_what():
    page = report_html([report(*every_status())], "specsim conform <mine>")
    assert "specsim conform &lt;mine&gt;" in page
    for words in ("specsim ", "Python ", "NumPy "):
        assert words in page.partition("<footer")[2]


def test_html__of_a_right_sampler_accuses_nobody():
    page = report_html([report(check(CheckStatus.PASSED), name="mine")])
    for words in ("most likely", "bug", "what to change", 'class="fail"'):
        assert words not in page.partition("<main>")[2]


def test_linked__links_issues_and_papers_and_escapes_the_rest():
    made = str(linked("a-b/c.d#12 <i>; 2211.17192, 0.12345"))
    assert made == (
        '<a href="https://github.com/a-b/c.d/issues/12">a-b/c.d#12</a> &lt;i&gt;; '
        '<a href="https://arxiv.org/abs/2211.17192">2211.17192</a>, 0.12345'
    )


def test_html__is_the_same_every_time():
    reports = [report(*every_status())]
    assert report_html(reports) == report_html(reports)


def test_junit__counts_agree_with_its_cases():
    reports = [report(*every_status(), name=NASTY), report(check(CheckStatus.PASSED), name="second")]
    root = ElementTree.fromstring(report_junit(reports).encode())
    assert [root.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["8", "2", "1", "3"]
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == [NASTY, "second"]
    for suite, item in zip(suites, reports, strict=True):
        assert len(suite.findall("testcase")) == len(item.checks) == int(suite.get("tests"))
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(key))
    failure = suites[0].find("testcase[@name='failed']/failure")
    assert "observed 55 of 512" in failure.text
    assert "specsim conform x:y --check failed" in failure.text
    error = suites[0].find("testcase[@name='broken']/error")
    assert "KeyError" in error.text
    assert "\x1b" not in error.text
    assert (
        suites[0].find("testcase[@name='undecided']/skipped").get("message").startswith("undecided: the time")
    )


def test_json__is_a_document_with_every_field():
    document = report_json([report(*every_status(), **WHOLE)])
    again = json.loads(json.dumps(document))
    subject = again["subjects"][0]
    assert subject["rule"] == "ratio"
    assert [item["status"] for item in subject["checks"]] == [status.value for status in CheckStatus]
    assert subject["checks"][1]["deviations"][0]["observed"] == 55
    assert subject["suspects"][1]["title"] == NASTY
    assert subject["diagnosis"]["change"] == "the change"
    assert subject["script"]["text"] == SCRIPT.text
    assert subject["exit_code"] == 1


def test_documents__give_the_same_report_back():
    made = report(*every_status(), **WHOLE)
    again = report_of(json.loads(json.dumps(report_document(made))))
    assert report_lines(again) == report_lines(made)
    assert report_html([again]) == report_html([made])
    assert again.verdict is made.verdict
    with pytest.raises(InputError):
        again.subject.run(1)


@pytest.mark.parametrize("cells", [1, 2, 20, 21, 64, 65, 1000])
def test_picture__of_any_size_shows_observed_beside_expected(cells):
    root = ElementTree.fromstring(pictures.draw(picture(cells)))
    text = " ".join(element.text or "" for element in root.iter(f"{SVG}text"))
    assert "observed" in text
    assert "expected" in text
    assert ("cells that differ most" in text) == (cells > pictures.MOST_CELLS)
    if cells <= 20:
        assert f"text {cells - 1}" in text


def test_picture__shows_the_cells_that_differ_most():
    law = np.full(1000, 1e-3)
    seen = law.copy()
    seen[777] = 0.05
    made = Picture(
        title="x",
        cells=tuple(map(str, range(1000))),
        observed=tuple(seen),
        expected=tuple(law),
        samples=1000,
    )
    drawn = pictures.draw(made)
    seen[777] = 1e-3
    assert drawn != pictures.draw(Picture(**{**vars(made), "observed": tuple(seen)}))


@pytest.mark.parametrize("law", [(1.0,), (0.0, 1.0), (0.5, 0.5)])
def test_picture__of_certain_and_impossible_cells(law):
    seen = tuple(reversed(law))
    made = Picture(title="x", cells=("a",) * len(law), observed=seen, expected=law, samples=0)
    assert ElementTree.fromstring(pictures.draw(made)).tag == f"{SVG}svg"


def test_text__has_a_sign_and_lines_for_every_status():
    assert set(report_text.SIGNS) == set(CheckStatus)
    for item in every_status():
        lines = report_text.check_lines(item)
        assert lines[0].startswith(f"{report_text.SIGNS[item.status]} {item.name}: ")
        assert lines[0].endswith(item.status.value)
        if item.reason:
            assert item.reason in lines[1]
    failed = "\n".join(report_text.check_lines(every_status()[1]))
    assert "evidence 10^12.2 after 512 observations; rejects at 10^7.3" in failed
    assert "text 0: observed 55 of 512 = 0.10742 [0.04770, 0.19770], expected 0.20312" in failed
    assert "again: specsim conform x:y --check failed" in failed


def test_text__begins_with_what_is_likely_and_tells_what_is_bad_once():
    lines = report_text.report_lines(report(*every_status(), **WHOLE))
    assert lines[0] == "most likely: the cause (known bug bug; owner/project#1)"
    assert lines[1] == "what to change: the change"
    assert lines[2].startswith("subject: biased: failed, broken, unexpected-pass")
    text = "\n".join(lines)
    for status in (CheckStatus.FAILED, CheckStatus.BROKEN, CheckStatus.UNEXPECTED_PASS):
        assert text.count(f"title of {status.value}") == 1
    for status in (CheckStatus.PASSED, CheckStatus.SKIPPED, CheckStatus.EXPECTED_FAILURE):
        assert f"title of {status.value}" not in text
    assert "undecided: undecided" in text
    assert "the data also agree with ratio" in text
    assert "a script that shows it, without specsim (2 tokens, drafts of 1, 1 row):\n    import numpy" in text
    assert "false alarm: at most 1e-06" in lines[-1]


def test_text__folds_what_follows():
    many = [check(CheckStatus.FAILED, name=f"f{i}", deviations=(DEVIATION,), log10_e=9.0) for i in range(6)]
    found = Diagnosis(cause="c", change="", explains=("f1", "f0", "f3"))
    text = "\n".join(report_text.report_lines(report(*many, diagnosis=found)))
    assert text.index("f1: title") < text.index("f2: title")
    assert "also failed, as a consequence: f0, f3" in text
    assert "f0: title" not in text


def test_text__of_a_broken_subject_says_it_once():
    broken = check(
        CheckStatus.BROKEN,
        name="contract",
        kind="contract",
        reason="returned a NoneType; return (tokens, lengths)",
    )
    found = Diagnosis(cause="returned a NoneType", change="return (tokens, lengths)", explains=("contract",))
    made = report(broken, diagnosis=found)
    assert made.exit_code == 4
    assert "\n".join(report_text.report_lines(made)).count("returned a NoneType") == 1


def test_text__tells_the_first_failures_in_full_and_the_rest_in_short():
    many = [check(CheckStatus.FAILED, name=f"f{i}", deviations=(DEVIATION,), log10_e=9.0) for i in range(6)]
    text = "\n".join(report_text.report_lines(report(*many)))
    assert text.count("observed 55 of 512") == report_text.FULL_REPORTS
    assert all(f"f{i}: title" in text for i in range(6))


@pytest.mark.parametrize(
    ("exponent", "text"),
    [(math.nan, ""), (math.inf, "impossible"), (-math.inf, "0"), (12.04, "10^12.0"), (-0.3, "10^-0.3")],
)
def test_power_of_ten__spells(exponent, text):
    assert report_text.power_of_ten(exponent) == text


CASES = {
    Verdict.LOSSLESS: ((CheckStatus.PASSED, "output"), (CheckStatus.PASSED, "contract")),
    Verdict.BIASED: ((CheckStatus.FAILED, "output"), (CheckStatus.BROKEN, "contract")),
    Verdict.DEPENDENT: ((CheckStatus.FAILED, "output"), (CheckStatus.FAILED, "independence")),
    Verdict.BROKEN: ((CheckStatus.PASSED, "output"), (CheckStatus.FAILED, "contract")),
    Verdict.UNGUARDED: ((CheckStatus.PASSED, "output"), (CheckStatus.FAILED, "guard")),
    Verdict.OTHER_RULE: ((CheckStatus.PASSED, "output"), (CheckStatus.FAILED, "rule")),
    Verdict.UNDECIDED: ((CheckStatus.PASSED, "output"), (CheckStatus.UNDECIDED, "output")),
}


@pytest.mark.parametrize("verdict", list(CASES), ids=lambda verdict: verdict.name)
def test_verdict__its_sentence_and_its_exit_code(verdict):
    checks = [
        check(status, kind=kind, certified=0.0312 if kind == "output" else math.nan)
        for status, kind in CASES[verdict]
    ]
    made = report(*checks)
    assert made.verdict is verdict
    codes = {Verdict.LOSSLESS: 0, Verdict.UNDECIDED: 3, Verdict.BROKEN: 4, Verdict.UNGUARDED: 4}
    assert made.exit_code == codes.get(verdict, 1)
    start = {
        Verdict.LOSSLESS: "lossless to within TV 0.031 at confidence 0.999",
        Verdict.BIASED: "biased: failed",
        Verdict.DEPENDENT: "not independent: failed, failed; random numbers are shared",
        Verdict.UNGUARDED: "not guarded: tokens come out of rows with NaN or infinity (failed); nothing",
        Verdict.BROKEN: "broken: failed; nothing found against its output to within TV 0.031",
        Verdict.OTHER_RULE: "does not follow its declared rule (failed); nothing found against its output",
        Verdict.UNDECIDED: "undecided: undecided",
    }
    assert made.sentence.startswith(start[verdict])
    assert made.sentence in report_html([made])


def test_verdict__of_nothing_judged_or_interrupted_is_undecided():
    assert report().verdict is Verdict.UNDECIDED
    assert report().sentence == "undecided: no check tested its output"
    stopped = report(check(CheckStatus.PASSED), interrupted=True)
    assert stopped.sentence == "undecided: interrupted"
    assert report(check(CheckStatus.UNEXPECTED_PASS)).exit_code == 1
