"""`specsim.compare` and `specsim.check_rule`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import specsim
from specsim.algorithms import chain, levels
from specsim.algorithms.rule_files import read_rules
from specsim.errors import InputError
from specsim.validation.claims.variants import TINY, variants

RULES = '''
import specsim
from specsim.engines.literal.helpers import children, draw_excess, draw_weights


@specsim.rule("plain", source="mine", lossless=True)
def plain(step, nodes):
    """Algorithm 1 of 2211.17192."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1


@specsim.rule("reused-coin", source="mine", lossless=True)
def reused_coin(step, nodes):
    left = step.room[0]
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            for y in range(step.target.shape[1]):
                left[y] = max(step.target[row, y] - step.draft[row, y], 0.0)
            return i - 1, draw_weights(left, step.coin[i])
    return nodes - 1, -1


@specsim.rule("accept-all", source="mine", lossless=False, structures=("chain", "paths", "tree"))
def accept_all(step, nodes):
    node = 0
    while len(children(step, node, nodes)) > 0:
        node = step.first[node]
    return node, -1


@specsim.rule(
    "matching", source="mine", lossless=True, structures=("tree",), drafts=("independent", "distinct")
)
def matching(step, nodes):
    node = 0
    while len(children(step, node, nodes)) > 0:
        drawn = draw_weights(step.target[step.row[node]], step.coin[node])
        for child in children(step, node, nodes):
            if step.token[child] == drawn:
                node = child
                break
        else:
            return node, drawn
    return node, -1


@specsim.rule("two-coins", source="mine", lossless=False)
def two_coins(step, nodes):
    if step.coin[0] < step.coin[1]:
        return nodes - 1, -1
    return 0, 0


def wrong_law(structure, target, draft, tokens):
    import numpy as np

    found = np.full(target.shape, target.flat[0] * 0, dtype=target.dtype)
    found[..., -1, :] = target[..., -1, :]
    return found


@specsim.rule("wrong-law", source="mine", lossless=True, law=wrong_law)
def with_wrong_law(step, nodes):
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1


@specsim.rule("no-node", source="mine", lossless=False)
def no_node(step, nodes):
    return nodes, 0


@specsim.rule("no-token", source="mine", lossless=False)
def no_token(step, nodes):
    return 0, step.target.shape[1]


@specsim.rule("beyond", source="mine", lossless=False)
def beyond(step, nodes):
    return 0, int(step.target[step.row[0], step.target.shape[1]])


@specsim.rule("no-types", source="mine", lossless=False)
def no_types(step, nodes):
    first = step.nothing
    return 0, first
'''


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("rules") / "my_rules.py"
    file.write_text(RULES)
    return read_rules(file)


@pytest.fixture(scope="module")
def pair() -> Any:
    return specsim.random_pair(contexts=3, horizon=4, family="uniform", seed=2, stationary=True)


def test_compare__has_theory_beside_simulation(
    rules: dict[str, Any], pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    algorithms = {
        "ratio": specsim.Speculative(draft_length=2),
        "mine": rules["plain"](draft_length=2),
        "reused": rules["reused-coin"](draft_length=2),
        "over": specsim.OverAcceptance(epsilon=0.25, draft_length=2),
        "unknown": rules["two-coins"](draft_length=2),
    }
    found = specsim.compare(pair, algorithms, runs=40_000, seed=3, level=0.9999)
    data = found.data
    assert list(data["algorithm"].values) == list(algorithms)
    for name in ("target_calls", "rejections", "block_efficiency"):
        exact = data[f"exact_{name}"].values
        known = np.isfinite(exact)
        assert known.tolist() == [True, True, True, True, False]
        low, high = data[f"low_{name}"].values, data[f"high_{name}"].values
        assert ((low <= exact) & (exact <= high))[known].all()
        assert np.isclose(exact[0], exact[1], rtol=1e-12)
    assert list(data["description"].values) == ["nodes", "paths", "paths", "nodes", "simulated only"]
    assert list(data["engine"].values[:2]) == ["lockstep", "literal"]
    distance = data["distance"].values
    assert distance[0] < 1e-12
    assert list(data["output"].values[:2]) == ["lossless", "lossless"]
    assert data["output"].values[2] == f"biased by TV {distance[2]:.3g}"
    assert data["output"].values[3] == f"lossy by TV {distance[3]:.3g}"
    assert data["output"].values[4] == "lossy as declared"
    table = str(found)
    assert table.count("\nratio ") >= 2
    assert "biased by TV" in table
    assert "theory: simulated only, optimum: block verification, engine: literal" in table
    # Nothing is exact of the last one; what is simulated of it is shown.
    assert next(line for line in table.splitlines() if line.startswith("unknown ")).split()[4] == "-,"
    exact, low, high = (data[f"{part}_acceptance"].values for part in ("exact", "low", "high"))
    assert ((low <= exact) & (exact <= high))[:4].all()
    assert np.isfinite(data["mean_acceptance"].values[4]).all()
    assert np.isnan(exact[4]).all()


def test_compare__first_round_is_held_against_what_lossless_rules_can_reach(pair: Any) -> None:
    algorithms = {
        "token": specsim.Speculative(draft_length=2),
        "block": specsim.BlockVerification(draft_length=2),
        "greedy": specsim.get_rule("match")(drafts=2, draft_length=1, drawn="greedy"),
        "node": specsim.get_rule("recursive")(drafts=2, draft_length=1),
        "tree": specsim.get_rule("traversal")(tree=levels((2, 1))),
        "lossy": specsim.OverAcceptance(epsilon=0.25, draft_length=2),
        "plain": specsim.Autoregressive(),
    }
    data = specsim.compare(pair, algorithms, runs=100).data
    accepted, optimum, joint = (data[name].values for name in ("accepted", "optimum", "joint_bound"))
    assert np.isclose(accepted[1:3], optimum[1:3], rtol=1e-12).all()
    assert (accepted[[0, 3, 4]] < optimum[[0, 3, 4]]).all()
    assert (optimum[:5] <= joint[:5] + 1e-12).all()
    assert data["optimum_by"].values.tolist() == [
        "block verification", "block verification", "fixed drafts", "transport", "linear programme",
        "block verification", "nothing is drafted",
    ]  # fmt: skip
    assert accepted[5] > optimum[5]
    table = str(specsim.compare(pair, {"lossy": algorithms["lossy"]}, runs=100))
    assert "accepts more than any lossless rule" in table
    wanted = specsim.theory.stationary_block_efficiency(pair, algorithms["block"])
    assert data["stationary_block_efficiency"].values[1] == pytest.approx(wanted)
    assert data["exact_acceptance"].values[1].sum() == pytest.approx(accepted[1])


def test_compare__picture_and_page(rules: dict[str, Any], pair: Any) -> None:
    algorithms = [
        specsim.Speculative(draft_length=2), rules["reused-coin"](draft_length=1),
        specsim.get_rule("transport")(drafts=2, draft_length=1),
    ]  # fmt: skip
    found = specsim.compare(pair, algorithms, runs=100)
    page = found.html()
    assert "<title>specsim compare" in page
    assert all(str(name) in page for name in found.data["algorithm"].values)
    assert "biased by TV" in page
    assert 'name="viewport"' in page
    # Nothing is loaded from anywhere.
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "@import" not in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)
    left, middle, right = found.plot().axes
    assert len(middle.patches) == 3
    assert [text.get_text() for text in right.texts].count("0.000") == 0
    assert len(right.texts) == 4
    assert len(left.get_yticklabels()) == 3


def test_compare__what_no_engine_runs_has_theory_only_and_equal_ones_count_once(pair: Any) -> None:
    limit, ratio = specsim.Batch(drafts=math.inf), specsim.Speculative(draft_length=1)
    found = specsim.compare(pair, [limit, ratio, ratio], runs=100)
    data = found.data
    assert np.isnan(data["mean_target_calls"].values).tolist() == [True, False]
    assert np.isfinite(data["exact_target_calls"].values).all()
    assert list(data["engine"].values) == ["none", "lockstep"]
    assert "nan" not in str(found)
    assert specsim.compare(pair, ratio, runs=100).data.sizes["algorithm"] == 1
    only = specsim.compare(pair, [limit], runs=100).data
    assert only["exact_target_calls"].item() == data["exact_target_calls"].values[0]
    assert np.isnan(only["mean_acceptance"].values).all()


@pytest.mark.slow
def test_compare__takes_every_rule() -> None:
    pair = specsim.random_pair(contexts=3, horizon=3, family="uniform", seed=2)
    algorithms = [variants(rule, pair, TINY)[1] for rule in specsim.catalogue().values()]
    data = specsim.compare(pair, algorithms, runs=100).data
    assert data.sizes["algorithm"] == len(algorithms)
    for name in ("exact_target_calls", "mean_target_calls", "distance"):
        assert np.isfinite(data[name].values).all(), name


def test_compare__takes_texts() -> None:
    found = specsim.compare("paper:3", ["ratio:draft_length=2"], runs=1e2)
    assert found.data.attrs["runs"] == 100
    assert found.data["algorithm"].item() == "ratio:draft_length=2,bonus=yes"


def test_compare__distance_is_that_of_the_whole_sequence(rules: dict[str, Any], pair: Any) -> None:
    algorithm = rules["reused-coin"](draft_length=2)
    law = specsim.theory.enumerate_outcomes(pair, algorithm).output_law().astype(float)
    wanted = abs(law - specsim.theory.target_law(pair)).sum() / 2
    found = specsim.compare(pair, [algorithm], runs=100)
    assert np.isclose(found.data["distance"].item(), wanted, rtol=1e-9)


def test_compare__bad_input_is_refused(pair: Any) -> None:
    with pytest.raises(InputError, match="level is 2; give a number between 0 and 1"):
        specsim.compare(pair, [specsim.Speculative()], level=2)
    with pytest.raises(InputError, match="algorithms"):
        specsim.compare(pair, [])


def test_check_rule__right_rules_are_as_stated(rules: dict[str, Any]) -> None:
    report = specsim.check_rule(rules["plain"], oracle_seconds=0, runs=20_000)
    assert report.ok
    assert [finding.verdict for finding in report.findings] == ["agrees", "agrees"]
    assert "rule plain: as stated" in str(report)
    report = specsim.check_rule(rules["accept-all"], structures=[chain(2), levels((2, 1))], runs=20_000)
    assert report.ok
    report = specsim.check_rule(rules["matching"], structures=[levels((2, 2))], oracle_seconds=0, runs=20_000)
    assert report.ok
    assert len(report.findings) == 4


def test_check_rule__bias_is_reported_with_its_instance(rules: dict[str, Any]) -> None:
    report = specsim.check_rule(rules["reused-coin"], oracle_seconds=0, runs=20_000)
    assert not report.ok
    bias, loop = report.findings
    assert (bias.verdict, loop.verdict) == ("disagrees", "agrees")
    assert f"bias {rules['reused-coin'].bias(chain(2))} = " in bias.detail
    assert "at the start: " in bias.detail
    assert "NOT as stated" in str(report)


def test_check_rule__loop_is_compared_with_the_text(
    rules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = specsim.simulate
    other = specsim.Speculative(draft_length=2)

    def wrong(pair: Any, algorithm: Any, **options: Any) -> Any:
        return simulate(pair, other, **{**options, "engine": "auto"})

    monkeypatch.setattr(specsim, "simulate", wrong)
    report = specsim.check_rule(rules["reused-coin"], oracle_seconds=0, runs=20_000)
    assert report.findings[-1].verdict == "disagrees"
    assert specsim.check_rule(rules["plain"], oracle_seconds=0, runs=20_000).ok


def test_check_rule__given_law_is_compared_with_the_text(rules: dict[str, Any]) -> None:
    report = specsim.check_rule(rules["wrong-law"], oracle_seconds=0, runs=20_000)
    law = next(finding for finding in report.findings if finding.name.startswith("step law"))
    assert law.verdict == "disagrees"
    assert "the law that was given has" in law.detail


def test_check_rule__what_cannot_be_enumerated_is_not_done(rules: dict[str, Any]) -> None:
    report = specsim.check_rule(rules["two-coins"], oracle_seconds=0)
    assert not report.ok
    assert {finding.verdict for finding in report.findings} == {"not done"}
    assert "compares or adds two coins" in report.findings[0].detail


@pytest.mark.slow
def test_check_rule__oracle_rejects_a_biased_rule(rules: dict[str, Any]) -> None:
    report = specsim.check_rule(rules["reused-coin"], oracle_seconds=30, runs=1000, instances=1)
    assert report.findings[-1].name == "oracle on chains, independent drafts"
    assert report.findings[-1].verdict == "disagrees"


def test_check_rule__takes_own_rules_only(rules: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"give a rule that .* has made"):
        specsim.check_rule(specsim.get_rule("block"))
    with pytest.raises(InputError, match="rule plain verifies chain, not a tree"):
        specsim.check_rule(rules["plain"], structures=[levels((2, 2))])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-node", r"rule no-node \(.*my_rules.py, line \d+\) returned \(\d, 0\), but the nodes are 0 to"),
        (
            "no-token",
            r"rule no-token \(.*my_rules.py, line \d+\) returned \(0, 3\), but the tokens are 0 to 2",
        ),
        ("beyond", r"rule beyond \(.*my_rules.py, line \d+\)"),
        ("no-types", r"rule no-types does not compile \(.*my_rules.py, line \d+\)"),
    ],
)
def test_simulate__faulty_rules_are_refused(
    name: str, message: str, rules: dict[str, Any], pair: Any
) -> None:
    with pytest.raises(InputError, match=message):
        specsim.simulate(pair, rules[name](draft_length=2), runs=10, seed=1)


def test_simulate__is_remembered_by_file(rules: dict[str, Any], pair: Any, tmp_path: Path) -> None:
    # A changed file is another rule, although name and lines are the same.
    changed = tmp_path / "my_rules.py"
    changed.write_text(RULES.replace('"plain"', '"plane"').replace("step.target[row, x]:", "0.0:"))
    other = read_rules(changed)["plane"]
    found = specsim.simulate(pair, other(draft_length=2), runs=10, seed=1)
    assert found["first_accepted_length_count"].values.tolist()[0] == 10
    assert specsim.theory.expected_target_calls(pair, other(draft_length=2)) == pytest.approx(4)
