"""Results print as tables, show as tables in notebooks, and become DataFrames."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

import specsim
from specsim import theory
from specsim.cli import main
from specsim.cli.output import plain
from specsim.errors import InputError
from specsim.paper_figures import Drawn, Row
from specsim.testing import CheckResult, CheckStatus, check_sampler
from specsim.validation import select_claims, validate
from specsim.validation.conformance.documents import check_document, check_of

PAIR = "random:contexts=3,horizon=4,seed=1"
ALGORITHM = "speculative:draft_length=2"


def _none(target, draft, drafted, seed):
    return None


def _drawn():
    row = Row(
        quantity="rejections", reference=2.0, source="Figure <1>", ours=1.5, difference=-0.5, unit="absolute",
        verdict="differs", required=False, passed=True,
    )  # fmt: skip
    return Drawn(
        name="f", title="A figure", caption="Words.", svg="<svg/>", png=b"\x89PNG", dataset=None,
        comparison=(row,),
    )  # fmt: skip


#: What is shown, a text of its table, and the columns of its DataFrame (None: it has none).
RESULTS = {
    "pair": (lambda: specsim.parse_pair(PAIR), "random:contexts=3", {"context", "tv", "draft_token"}),
    "laws": (lambda: theory.Laws(specsim.parse_pair(PAIR), ALGORITHM), "expected", {"n", "rejections"}),
    "exact laws": (
        lambda: theory.Laws(specsim.parse_pair("paper:3"), ALGORITHM, exact=True),
        "expected",
        {"rejected", "target_calls", "accepted_length"},
    ),
    "rule": (lambda: specsim.get_rule("block"), "2403.10444", None),
    "comparison": (
        lambda: specsim.compare(PAIR, [ALGORITHM], runs=100),
        "tokens per target call",
        {"algorithm", "exact_block_efficiency", "output"},
    ),
    "plan": (
        lambda: specsim.plan(PAIR, algorithms=[specsim.parse_algorithm(ALGORITHM)], batch=[1, 2]),
        ALGORITHM,
        {"batch", "candidate", "speed_up", "best"},
    ),
    "validation": (
        lambda: validate(select_claims(["yin2024.theorem-5"]), effort="quick"),
        "theorem-5",
        {"claim", "status", "p_value"},
    ),
    "conformance": (
        lambda: check_sampler(_none, effort="quick", only=["contract"]), "contract", {"check", "log10_e"}
    ),
    "figure": (_drawn, "Figure", {"quantity", "ours", "verdict"}),
    "simulation": (
        lambda: specsim.summary(specsim.simulate(PAIR, ALGORITHM, runs=100, seed=1), PAIR),
        "rejections per run",
        {"quantity", "observed", "expected"},
    ),
    "sweep": (
        lambda: specsim.summary(specsim.sweep(PAIR, ALGORITHM, runs=100, seed=1)),
        "target calls",
        {"pair", "algorithm", "mean_rejections"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_tables(name):
    make, words, columns = RESULTS[name]
    result = make()
    text, page = str(result), result._repr_html_()
    assert words in text
    assert "\n" in text
    assert "<table" in page
    # What stands in a cell is no markup.
    assert "Figure <1>" not in page
    # In the interpreter, a line.
    if name not in ("simulation", "sweep"):
        assert len(repr(result)) < 250
        assert "\n" not in repr(result)
    if columns is not None:
        assert columns <= set(result.to_dataframe().columns)


def test_pair__distances_of_every_step_and_names_of_tokens():
    pair = specsim.ModelPair.from_probabilities(
        [[[0.5, 0.5]] * 2] * 2, [[[0.25, 0.75]] * 2, [[0.5, 0.5]] * 2], token_names=("a", "b")
    )
    frame = pair.to_dataframe()
    assert frame["step"].tolist() == [1, 1, 2, 2]
    assert frame["tv"].tolist() == [0.25, 0.25, 0, 0]
    assert frame["draft_token"].tolist() == ["b", "b", "a", "a"]


def test_pair__a_large_one_is_cut():
    pair = specsim.parse_pair("random:contexts=40,horizon=3,seed=1")
    more = 40 * pair.steps - 20
    assert str(pair).count("\n") < 60
    assert f"and {more} rows more" in str(pair)
    assert f"and {more} rows more" in pair._repr_html_()


def test_laws__are_those_of_theory():
    pair = specsim.paper_pair(4)
    frame = theory.Laws(pair, ALGORITHM, exact=True).to_dataframe()
    assert frame["rejected"].tolist()[1:] == list(theory.rejections_by_step(pair, ALGORITHM, exact=True))
    for name in ("rejections", "target_calls", "accepted_length"):
        assert sum(frame[name]) == Fraction(1)
    assert list(frame["accepted_length"]) == list(theory.accepted_length_law(pair, ALGORITHM, exact=True))


def test_algorithms__print_as_they_are_spelled():
    for text in ("k-seq:drafts=2,draft_length=2,bonus=yes", "batch:drafts=4", "autoregressive"):
        algorithm = specsim.parse_algorithm(text)
        assert str(algorithm) == text
        assert specsim.parse_algorithm(str(algorithm)) == algorithm
        assert text in algorithm._repr_html_()


def test_conformance__evidence_is_kept_as_it_grew():
    def accept_none(target, draft, drafted, seed):
        coins = np.random.default_rng(seed).random((len(target), 1))
        first = (coins > target[:, 0].cumsum(axis=-1)[:, :-1]).sum(axis=-1)
        return np.column_stack([first, drafted]), np.ones(len(target), int)

    report = check_sampler(accept_none, effort="quick", only=["first-token"])
    (check,) = report.checks
    samples = [seen for seen, _ in check.looks]
    assert samples == sorted(set(samples))
    assert len(samples) > 2
    assert check.looks[-1] == (check.samples, check.log10_e)
    lines = specsim.plot.evidence(report).axes[0].lines
    assert np.array_equal(lines[0].get_xdata(), samples)


def test_conformance__what_is_ruled_out_is_drawn_at_the_edge():
    looks = ((256, 3.0), (512, math.inf))
    result = CheckResult(
        name="x", title="x", kind="output", status=CheckStatus.FAILED, log10_threshold=7.0, looks=looks
    )
    assert check_of(json.loads(json.dumps(plain(check_document(result))))).looks == looks
    line, triangle = specsim.plot.evidence(result).axes[0].lines[:2]
    assert line.get_ydata().tolist() == [3.0, 17.5]
    assert triangle.get_xdata().tolist() == [512]
    for wrong in (CheckResult(name="x", title="x", kind="contract", status=CheckStatus.PASSED), "report"):
        with pytest.raises(InputError, match="no check with samples"):
            specsim.plot.evidence(wrong)
    with pytest.raises(InputError, match=r"not a result of specsim\.plan"):
        specsim.plot.plan(result)


class TestProgress:
    def test_a_line_on_standard_error(self, capsys):
        specsim.simulate(PAIR, ALGORITHM, runs=2000, seed=1, progress=True)
        specsim.sweep(PAIR, ALGORITHM, runs=2000, seed=1, progress=True)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("2,000 of 2,000 runs, 100%, 0 s left\n") == 2
        assert printed.err.startswith("\r")
        assert printed.err.endswith("\n")

    def test_none_unless_it_is_asked_for(self, capsys):
        specsim.simulate(PAIR, ALGORITHM, runs=100, seed=1, progress=False)
        assert capsys.readouterr().err == ""

    def test_refuses_what_cannot_be_called(self):
        with pytest.raises(InputError, match="progress is 'yes'; give True, or a function"):
            specsim.simulate(PAIR, ALGORITHM, runs=100, seed=1, progress="yes")


class TestSummary:
    def test_is_what_the_command_prints(self):
        arguments = ("simulate", PAIR, ALGORITHM, "--runs", "500", "--seed", "3")
        printed = CliRunner().invoke(main, arguments).output
        result = specsim.simulate(PAIR, ALGORITHM, runs=500, seed=3)
        lines = str(specsim.summary(result, PAIR)).splitlines()
        assert printed.splitlines()[: len(lines)] == lines

    def test_of_a_sweep__is_what_the_command_prints(self):
        arguments = ("--pair", PAIR, "--algorithm", ALGORITHM, "--runs", "500", "--seed", "3")
        printed = CliRunner().invoke(main, ("sweep", *arguments)).output
        result = specsim.sweep(PAIR, ALGORITHM, runs=500, seed=3)
        lines = str(specsim.summary(result, PAIR)).splitlines()
        assert printed.splitlines()[: len(lines)] == lines

    def test_rejections_alone(self):
        result = specsim.simulate(PAIR, ALGORITHM, runs=500, seed=3, tallies="rejections")
        assert specsim.summary(result, PAIR).to_dataframe()["quantity"].tolist() == ["rejections per run"]

    def test_of_a_sweep__names_of_ones_own_need_what_they_stand_for(self):
        swept = specsim.sweep({"mine": PAIR}, {"short": ALGORITHM}, runs=50, seed=1)
        silent = specsim.summary(swept, PAIR).to_dataframe()
        assert silent["expected_rejections"].isna().all()
        known = specsim.summary(swept, PAIR, ALGORITHM).to_dataframe()
        exact = theory.expected_rejections(specsim.parse_pair(PAIR), specsim.parse_algorithm(ALGORITHM))
        assert known["expected_rejections"].tolist() == pytest.approx([exact])

    def test_refuses_what_it_is_not(self):
        result = specsim.simulate(PAIR, ALGORITHM, runs=50, seed=1)
        swept = specsim.sweep(PAIR, ALGORITHM, runs=50, seed=1)
        for arguments, words in (
            ((result, "paper:4"), "has the pair identity"),
            ((result, PAIR, "speculative"), "has the algorithm"),
            ((result,), "pair is None; give the pair that was simulated"),
            ((result, PAIR, 3), "algorithm is 3"),
            ((swept, "paper:4"), "pair is .*, which is not in result"),
            ((swept, PAIR, "speculative"), "algorithm is speculative, which is not in result"),
            (({"a": 1}, PAIR), "result is no result"),
            ((swept.drop_vars("pair_identity"), PAIR), "result is no result"),
        ):
            with pytest.raises(InputError, match=words):
                specsim.summary(*arguments)
