"""``specsim conform`` as its users call it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from specsim.cli import main

SAMPLER = '''
import numpy as np
from specsim.testing import Subject

def step(target, draft, drafted, seed):
    """Draw from the target; accept when the draft is the draw."""
    if not np.isfinite(target).all():
        raise ValueError("not finite")
    rng = np.random.default_rng(seed)
    batch, width, vocabulary = target.shape
    sums = np.cumsum(target, axis=2)
    draws = (sums <= rng.random((batch, width, 1)) * sums[..., -1:]).sum(axis=2)
    last = vocabulary - 1 - np.argmax(target[..., ::-1] > 0, axis=2)
    draws = np.minimum(draws, last)
    same = np.cumprod(draws[:, :-1] == drafted, axis=1).sum(axis=1)
    return draws, same + 1

def biased(target, draft, drafted, seed):
    tokens, lengths = step(target, draft, drafted, seed)
    tokens[:, 0] = drafted[:, 0]
    return tokens, lengths

def crashing(target, draft, drafted, seed):
    raise RuntimeError("boom")

def nothing_returned(target, draft, drafted, seed):
    return None

def unguarded(target, draft, drafted, seed):
    tokens, lengths = step(np.nan_to_num(target, posinf=0.0), draft, drafted, seed)
    return np.where(np.isnan(draft).any(), 0, tokens), lengths

both = [step, Subject(name="second", protocol="step", run=biased)]
nothing = []
'''


SAMPLERS = (":step", ":biased", ":crashing", ":both", ":nothing")


@pytest.fixture
def sampler(tmp_path):
    path = tmp_path / "sampler.py"
    path.write_text(SAMPLER, encoding="utf-8")
    return path


def run(capsys, *arguments):
    """Run the command; a process of the sampler's own is tested in test_cli_conform_process.py."""
    if arguments and str(arguments[0]).endswith(SAMPLERS) and "--in-process" not in arguments:
        arguments = (*arguments, "--in-process")
    with pytest.raises(SystemExit) as caught:
        main(["conform", *map(str, arguments)])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def test_right_sampler__exits_with_0_and_says_what_it_certifies(sampler, capsys):
    code, out, err = run(
        capsys, f"{sampler}:step", "--effort", "quick", "--check", "joint-law", "--check", "ragged"
    )
    assert code == 0, out + err
    assert "step: lossless to within TV" in out
    assert "not checked (the sampler has no such option): ragged" in out


def test_wrong_sampler__exits_with_1_and_can_be_repeated(sampler, capsys):
    code, out, _ = run(capsys, f"{sampler}:biased", "--effort", "quick", "--check", "first-token")
    assert code == 1
    assert out.startswith("most likely: ")
    assert out.splitlines()[1].startswith("what to change: ")
    assert "biased: biased: first-token" in out
    line = next(line for line in out.splitlines() if "again: " in line)
    command = line.partition("again: specsim conform ")[2]
    again, repeated, _ = run(capsys, *command.split())
    assert again == 1
    evidence = [line for line in out.splitlines() if "evidence" in line and "after" in line]
    assert evidence[0].split(";")[0] in repeated


def test_reports__json_junit_and_one_page(sampler, tmp_path, capsys):
    page, xml = tmp_path / "r.html", tmp_path / "r.xml"
    code, out, _ = run(
        capsys, f"{sampler}:both", "--effort", "quick", "--check", "contract", "--check", "joint-law",
        "--json", "--html", page, "--junit", xml,
    )  # fmt: skip
    assert code == 1
    document = json.loads(out)
    assert [item["verdict"] for item in document["subjects"]] == ["lossless", "biased"]
    root = ElementTree.parse(xml).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "0")
    text = page.read_text(encoding="utf-8")
    assert "data:image/svg+xml;base64," in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


def test_known_failures__are_expected(sampler, capsys):
    known = ("--expect-failure", "first-token=always takes the draft")
    checks = ("--check", "first-token", "--check", "batch-independence")
    code, _, _ = run(capsys, f"{sampler}:biased", "--effort", "quick", *checks, *known)
    assert code == 0
    code, out, _ = run(capsys, f"{sampler}:step", "--effort", "quick", "--check", "first-token", *known)
    assert code == 1
    assert "remove it from expected_failures" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [("crashing", "RuntimeError: boom (crashing, line"), ("nothing_returned", "returned a NoneType")],
)
def test_broken_sampler__exits_with_4_says_it_once_and_is_not_run_again(name, message, sampler, capsys):
    code, out, _ = run(capsys, f"{sampler}:{name}", "--in-process", "--effort", "quick", "--rule", "match")
    assert code == 4
    assert out.startswith(f"most likely: {message}")
    assert out.count(message) == 1
    assert f"{name}: broken: contract" in out
    assert "not run: the sampler broke in contract" in out
    assert "biased" not in out


def test_missing_guard__is_no_bias_and_has_a_line_to_add(sampler, capsys):
    checks = ("--check", "not-finite", "--check", "joint-law")
    code, out, _ = run(capsys, f"{sampler}:unguarded", "--in-process", "--effort", "quick", *checks)
    assert code == 4
    assert (
        "what to change: add this line: if not all(np.isfinite(x).all() for x in (target, draft)): raise"
        in out
    )
    assert (
        "not guarded: tokens come out of rows with NaN or infinity (not-finite); nothing found against" in out
    )
    assert "biased" not in out
    known = ("--expect-failure", "not-finite=rows are checked by the caller")
    code, out, _ = run(capsys, f"{sampler}:unguarded", "--in-process", "--effort", "quick", *checks, *known)
    assert code == 0


def test_baseline__says_what_got_worse(sampler, tmp_path, capsys):
    options = ("--in-process", "--effort", "quick", "--check", "contract", "--check", "first-token")
    _, out, _ = run(capsys, f"{sampler}:step", *options, "--json")
    (tmp_path / "old.json").write_text(out.replace('"name": "step"', '"name": "biased"'), encoding="utf-8")
    code, out, _ = run(capsys, f"{sampler}:biased", *options, "--baseline", tmp_path / "old.json")
    assert code == 1
    assert "biased: worse than the baseline: first-token (passed, now failed)" in out
    code, out, _ = run(capsys, f"{sampler}:biased", *options, "--json")
    (tmp_path / "bad.json").write_text(out, encoding="utf-8")
    code, out, _ = run(capsys, f"{sampler}:biased", *options, "--baseline", tmp_path / "bad.json", "--json")
    assert code == 0
    assert json.loads(out)["baseline"][0]["sentence"] == "no worse than the baseline"
    (tmp_path / "odd.json").write_text("[]", encoding="utf-8")
    code, _, err = run(capsys, f"{sampler}:biased", *options, "--baseline", tmp_path / "odd.json")
    assert code == 2
    assert "is not a report" in err


def test_resume__runs_what_is_left(sampler, tmp_path, capsys):
    calls = tmp_path / "calls"
    count = f'raise ValueError("not finite")\n    open(r"{calls}", "a").write("x")'
    sampler.write_text(SAMPLER.replace('raise ValueError("not finite")', count), encoding="utf-8")
    options = ("--in-process", "--effort", "quick", "--check", "contract", "--check", "first-token")
    folder = ("--resume", tmp_path / "kept")
    code, first, _ = run(capsys, f"{sampler}:step", *options, *folder)
    made = calls.stat().st_size
    assert code == 0
    code, again, _ = run(capsys, f"{sampler}:step", *options, *folder)
    assert code == 0
    assert calls.stat().st_size == made
    # Sizes are those of the calls that were made.
    rows = [[line for line in text.splitlines()[:-1] if "sizes tried" not in line] for text in (first, again)]
    assert rows[0] == rows[1]
    sampler.write_text(sampler.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    run(capsys, f"{sampler}:step", *options, *folder)
    assert calls.stat().st_size > made


def test_time_over__exits_with_3(sampler, capsys):
    code, out, _ = run(
        capsys,
        f"{sampler}:step",
        "--effort",
        "deep",
        "--max-batch",
        "1",
        "--budget",
        "0.2",
        "--check",
        "joint-law",
    )
    assert code == 3
    assert "undecided: joint-law" in out


def test_plan__states_power_and_samples_nothing(sampler, capsys):
    code, out, _ = run(capsys, f"{sampler}:crashing", "--plan", "--json")
    assert code == 0
    checks = {item["name"]: item for item in json.loads(out)["plan"][0]["checks"]}
    assert checks["joint-law"]["observations"] > 10_000
    assert 0 < checks["joint-law"]["catches"] < 0.2
    code, out, _ = run(capsys, f"{sampler}:crashing", "--plan")
    assert "joint-law" in out


def test_list__names_checks_rules_and_adapters(capsys):
    code, out, _ = run(capsys, "--list", "--json")
    document = json.loads(out)
    assert code == 0
    assert {"joint-law", "tree-law"} <= {item["name"] for item in document["checks"]}
    assert {"ratio", "block"} <= {item["name"] for item in document["rules"] if item["lossless"]}
    assert "transformers-step" in {item["name"] for item in document["adapters"]}
    code, out, _ = run(capsys, "--list")
    assert code == 0
    assert "Built-in adapters" in out


def test_mutants__the_named_ones_die_and_controls_live(capsys):
    code, out, err = run(
        capsys, "--mutants", "always-accept,seed-ignored,declared-synthetic", "--effort", "quick", "--json"
    )
    document = json.loads(out)
    assert code == 0, err
    assert [item["killed"] for item in document["mutants"]] == [True, True]
    assert [item["lives"] for item in document["controls"]] == [True]
    code, out, _ = run(capsys, "--mutants", "seed-ignored", "--effort", "quick")
    assert code == 0
    assert "1 of 1 mutants rejected" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'TARGET'"),
        (("nowhere:step",), "target module nowhere cannot be imported"),
        (("missing.py:step",), "target file missing.py is missing"),
        (("json",), "write module:callable"),
        (("json:nothing",), "json has no 'nothing'"),
        (("json:dumps",), "cannot be derived from its parameters"),
        (("transformers-step", "--rule", "ratio"), "declares its own rule"),
        (("--mutants", "nobody"), "mutant 'nobody' is unknown"),
        (("json:dumps", "--expect-failure", "x"), "expect-failure is 'x'"),
    ],
)
def test_bad_input__exits_with_2_and_one_line(arguments, message, capsys):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_bad_names_in_a_file__are_one_line(sampler, capsys):
    for text, message in (
        (f"{sampler}:nothing", "holds no subject"),
        (f"{sampler}:step --check joint-lav", "did you mean joint-law"),
        (f"{sampler}:step --rule ratios", "is unknown; did you mean ratio"),
        (f"{sampler}:step --eps 3", "eps is 3.0"),
        (f"{sampler}:step --dtype bfloat16", "which NumPy lacks"),
    ):
        code, _, err = run(capsys, *text.split())
        assert code == 2, text
        assert message in err
