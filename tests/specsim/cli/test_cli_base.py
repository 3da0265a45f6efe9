"""The command line: results, exit codes, and one line for everything that goes wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import click
import pytest
import xarray
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import specsim
from specsim import theory
from specsim.cli import group, main
from specsim.cli.arguments import PAIR_KEYS
from specsim.cli.output import plain, spell_exact
from specsim.comparison.beside_theory import compare
from specsim.grammar import PAIRS
from specsim.support.expansion import expand
from specsim.support.showing import aligned

PAIR = "random:contexts=2,horizon=4,seed=1"


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_completion__of_a_misspelt_command_is_silent():
    assert ShellComplete(main, {}, "specsim", "_SPECSIM_COMPLETE").get_completions(["simualte"], "pap") == []


def refused(*arguments):
    """Run, and return the message of what must be one line on standard error and exit code 2."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("specsim: error: ")
    return lines[0]


def test_help__lists_every_command_without_loading_any():
    result = run("--help")
    assert result.exit_code == 0
    for name in ("validate", "figures", "expect", "simulate"):
        assert name in result.stdout
    assert "130 interrupted" in result.stdout


def test_help__says_what_every_key_of_a_pair_means():
    assert {key for entry in PAIRS.values() for key in entry.keys} <= PAIR_KEYS.keys()


def test_help__its_examples_can_be_read():
    for name in ("expect", "simulate", "compare"):
        for line in run(name, "--help").stdout.splitlines():
            words = line.split()
            if words[:2] == ["specsim", name] and ".nc" not in words[2] and ".py" not in line:
                specsim.parse_pair(words[2])
                for text in (word for word in words[3:] if ":" in word and "://" not in word):
                    for expanded in expand(text):
                        specsim.parse_algorithm(expanded)


@pytest.mark.parametrize("name", ["expect", "simulate"])
def test_help__of_a_command_explains_the_grammar_with_examples(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    for word in (
        "paper:N",
        "random:contexts=...",
        "near-equal",
        "over-acceptance:epsilon=...",
        "Examples:",
        "--json",
    ):
        assert word in result.stdout


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert specsim.__version__ in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'; see 'specsim --help'"),
        (["simulat"], "No such command 'simulat' (did you mean simulate?); see 'specsim --help'"),
        (["models", "trane"], "No such command 'trane' (did you mean train?); see 'specsim models --help'"),
        (["--nonsense"], "No such option '--nonsense'"),
        (["expect"], "Missing argument 'PAIR'; see 'specsim expect --help'"),
        (["expect", PAIR], "Missing argument 'ALGORITHM'"),
        (["expect", "papr:50", "speculative"], "pair 'papr:50' is unknown and no file has this name"),
        (["expect", PAIR, "batch"], "drafts is missing"),
        (["expect", PAIR, "speculative", "--horizon", "5"], "horizon is 5 but the pair has rows for 4 steps"),
        (["expect", PAIR, "speculative", "--horizon", "x"], "'x' is not a valid integer"),
        (["simulate", PAIR, "speculative"], "Missing option '--runs'"),
        (["simulate", PAIR, "speculative", "--runs", "0"], "runs is 0"),
        (["simulate", PAIR, "speculative", "--runs", "2.5"], "'2.5' is not a whole number"),
        (["simulate", PAIR, "speculative", "--runs", "many"], "'many' is not a whole number"),
        (["simulate", PAIR, "speculative", "--runs", "9", "--seed", "-1"], "seed is -1"),
        (["simulate", PAIR, "speculative", "--runs", "9", "--engine", "x"], "engine is 'x'"),
        (["simulate", PAIR, "speculative", "--runs", "9", "--threads", "0"], "threads is 0"),
        (["simulate", PAIR, "batch:drafts=inf", "--runs", "9"], "drafts is inf"),
    ],
)
def test_bad_input__is_one_line_and_exit_code_2(arguments, message):
    assert message in refused(*arguments)


def test_expect__prints_what_theory_says():
    result = run("expect", "paper:50", "batch:drafts=4")
    assert result.exit_code == 0
    assert "14.0901" in result.stdout
    assert "2.73864" in result.stdout
    assert "14.8463" in result.stdout
    assert "To see the distributions: --laws" in result.stdout
    assert "error" not in result.stderr


def test_expect__json_is_the_whole_of_it():
    pair, algorithm = specsim.parse_pair(PAIR), specsim.Speculative(draft_length=2)
    document = json.loads(run("expect", PAIR, algorithm.label, "--json").stdout)
    assert document["pair"]["identity"] == pair.identity
    assert (document["algorithm"], document["horizon"], document["exact"]) == (algorithm.label, 4, False)
    assert document["expected_rejections"] == pytest.approx(theory.expected_rejections(pair, algorithm))
    assert document["expected_target_calls"] == pytest.approx(theory.expected_target_calls(pair, algorithm))
    assert document["block_efficiency"] == pytest.approx(4 / document["expected_target_calls"])
    assert sum(document["rejections_by_step"]) == pytest.approx(document["expected_rejections"])
    for law in ("rejection_law", "target_call_law", "accepted_length_law"):
        assert len(document[law]) == 5
        assert sum(document[law]) == pytest.approx(1)
    mean = document["expected_rejections"]
    variance = sum((n - mean) ** 2 * share for n, share in enumerate(document["rejection_law"]))
    assert document["rejection_variance"] == pytest.approx(variance)
    assert document["bias"] == pytest.approx(0, abs=1e-12)


def test_expect__exact_gives_rationals(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    pair, algorithm = specsim.parse_pair(PAIR), specsim.Speculative()
    document = json.loads(run("expect", PAIR, "speculative", "--exact", "--json").stdout)
    exact = Fraction(document["expected_rejections"])
    assert exact == theory.expected_rejections(pair, algorithm, exact=True)
    assert document["decimal"]["expected_rejections"] == float(exact)
    assert sum(map(Fraction, document["rejection_law"])) == 1
    assert "all digits: --json" in run("expect", PAIR, "speculative", "--exact").stdout


def test_expect__horizon_and_laws():
    shorter = json.loads(run("expect", PAIR, "speculative", "--horizon", "2", "--json").stdout)
    assert shorter["horizon"] == 2
    assert len(shorter["rejections_by_step"]) == 2
    assert "n target calls" in run("expect", PAIR, "speculative").stdout
    assert "n target calls" not in run("expect", "paper:50", "speculative").stdout
    assert "n target calls" in run("expect", "paper:50", "speculative", "--laws").stdout


def test_expect__states_the_bias_of_a_biased_rule():
    document = json.loads(run("expect", PAIR, "over-acceptance:epsilon=1/10", "--json").stdout)
    assert document["bias"] > 1e-3


def test_simulate__prints_observed_beside_theory(tmp_path):
    out = tmp_path / "new" / "tallies.nc"
    result = run("simulate", PAIR, "speculative", "--runs", "2e4", "--seed", "5", "--out", str(out))
    assert result.exit_code == 0
    assert "20000 runs, seed 5, engine lockstep" in result.stdout
    assert "rejection of each position" in result.stdout
    with xarray.open_dataset(out, engine="h5netcdf") as dataset:
        assert int(dataset["rejection_count"].sum()) == 20000
        assert dataset.attrs["pair_identity"] == specsim.parse_pair(PAIR).identity
    assert list(out.parent.iterdir()) == [out]


def test_simulate__json_does_not_depend_on_threads():
    command = ["simulate", PAIR, "batch:drafts=2", "--runs", "20000", "--seed", "5", "--json", "--threads"]
    first, second = run(*command, "1").stdout, run(*command, "2").stdout
    assert first == second
    document = json.loads(first)
    means = {line["quantity"]: line for line in document["means"]}
    rejections = means["rejections per run"]
    expected = theory.expected_rejections(specsim.parse_pair(PAIR), specsim.Batch(drafts=2))
    assert rejections["expected"] == pytest.approx(expected)
    assert abs(rejections["sigma"]) < 6
    deviation = rejections["observed"] - rejections["expected"]
    assert rejections["sigma"] == pytest.approx(deviation / rejections["standard_error"])
    assert means["target calls per run"]["observed"] < 4
    assert all(extreme["sigma"] < 6 for extreme in document["largest_deviations"])
    assert document["theory_silent"] is None


def test_simulate__a_seed_that_was_drawn_is_stated():
    seeds = {
        json.loads(run("simulate", PAIR, "speculative", "--runs", "10", "--json").stdout)["seed"]
        for _ in range(2)
    }
    assert len(seeds) == 2


def test_comparison__sees_a_wrong_simulation():
    pair = specsim.parse_pair(PAIR)
    wrong = specsim.simulate(pair, specsim.OverAcceptance(epsilon=0.05), runs=200_000, seed=1)
    lines, extremes, silence = compare(wrong, pair, specsim.Speculative(), 4)
    assert silence is None
    assert abs(lines[0].sigma) > 10
    assert max(extreme.sigma for extreme in extremes) > 10


def test_comparison__where_theory_says_impossible_nothing_is_typical():
    pair = specsim.parse_pair("random:contexts=2,horizon=3,seed=1,family=disjoint")
    agreed = specsim.simulate(pair, specsim.Speculative(), runs=1000, seed=1)
    lines, _, _ = compare(agreed, pair, specsim.Speculative(), 3)
    assert lines[0].observed == 3
    assert lines[0].sigma == 0
    equal = specsim.ModelPair.from_probabilities(pair.target, pair.target, initial=pair.initial, horizon=3)
    lines, extremes, _ = compare(agreed, equal, specsim.Speculative(), 3)
    assert lines[0].sigma == float("inf")
    assert extremes[0].sigma == float("inf")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs rights that can be taken away")
def test_simulate__an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    message = refused("simulate", PAIR, "speculative", "--runs", "9", "--out", str(tmp_path / "x.nc"))
    assert "cannot write" in message


def test_simulate__an_impossible_output_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(specsim, "simulate", None)
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file" / "x.nc")
    assert "choose a writable folder" in refused(
        "simulate", PAIR, "speculative", "--runs", "9", "--out", place
    )
    assert "it is a folder" in refused("simulate", PAIR, "speculative", "--runs", "9", "--out", str(tmp_path))


def test_simulate__a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", fail)
    out = tmp_path / "x.nc"
    message = refused("simulate", PAIR, "speculative", "--runs", "9", "--out", str(out))
    assert "No space left on device; free some space" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "specsim: interrupted"),
        (specsim.InputError("a\nb"), 2, "specsim: error: a b"),
        (MemoryError(), 2, "specsim: error: not enough memory; ask for less, or use a larger machine"),
        (PermissionError(13, "Permission denied", "x"), 2, "specsim: error: x: Permission denied; check"),
        (OSError(28, "No space left on device"), 2, "specsim: error: No space left on device; free some"),
        (click.ClickException("no"), 2, "specsim: error: no"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
    ],
)
def test_failures__have_their_codes_and_no_traceback(error, code, message, monkeypatch):
    def fail(text):
        raise error

    monkeypatch.setattr("specsim.cli.expect.parse_pair", fail)
    result = run("expect", PAIR, "speculative")
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 1


def test_failures__a_bug_is_reported_as_one_and_shows_its_traceback_on_request(monkeypatch):
    def fail(text):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("specsim.cli.expect.parse_pair", fail)
    result = run("expect", PAIR, "speculative")
    assert result.exit_code == group.INTERNAL
    assert result.stderr.startswith("specsim: internal error: ZeroDivisionError: a fault (test_cli_base.py:")
    assert len(result.stderr.strip().splitlines()) == 1
    result = run("--debug", "expect", PAIR, "speculative")
    assert result.exit_code == group.INTERNAL
    assert "Traceback (most recent call last)" in result.stderr


@pytest.mark.parametrize("code", [0, 1, 3])
def test_exit_codes__of_a_command_reach_the_shell(code, monkeypatch):
    def stop(text):
        click.get_current_context().exit(code)

    monkeypatch.setattr("specsim.cli.expect.parse_pair", stop)
    assert run("expect", PAIR, "speculative").exit_code == code


def test_plain__makes_json_of_everything():
    assert plain({"a": Fraction(1, 3), "b": (float("inf"), 2)}) == {"a": "1/3", "b": [None, 2]}
    digits = sys.get_int_max_str_digits()
    assert len(spell_exact(Fraction(1, 10**9999))) > 9999
    assert sys.get_int_max_str_digits() == digits


COMMAND = [sys.executable, "-W", "error", "-m", "specsim"]
ROOT = Path(specsim.__file__).resolve().parent.parent


def shell(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_process__bad_input():
    result = shell("expect", "papr:50", "speculative")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("specsim: error: pair 'papr:50' is unknown")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_process__a_full_disk_behind_standard_output():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "expect", PAIR, "speculative"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr == "specsim: error: No space left on device; free some space\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_process__a_full_disk_that_is_noticed_only_at_the_end():
    code = (
        "import sys, click, specsim.cli.expect as command; from specsim.cli import main\n"
        "command.parse_pair = lambda text: (print('buffered'), click.get_current_context().exit(0))\n"
        "main(['expect', 'paper:2', 'speculative'])"
    )
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr == "specsim: error: No space left on device; free some space\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes and signals")
@pytest.mark.parametrize("arguments", [["expect", PAIR, "speculative"], ["--help"]])
def test_process__a_reader_that_goes_away(arguments):
    read, write = os.pipe()
    os.close(read)
    try:
        result = subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write)
    assert result.returncode == group.BROKEN_PIPE
    assert "error" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_process__ctrl_c(tmp_path):
    out = tmp_path / "x.nc"
    process = subprocess.Popen(
        # Without warnings: a file that is being imported when the signal comes is left to the collector.
        [
            sys.executable,
            "-m",
            "specsim",
            "simulate",
            "paper:50",
            "speculative",
            "--runs",
            "1e12",
            "--out",
            str(out),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    finally:
        killer.cancel()
    assert process.returncode == 130
    assert output == ""
    # A slow machine says before what it is doing.
    assert errors.strip().splitlines()[-1] == "specsim: interrupted"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX shells")
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("expect paper:3 speculative >&-", group.LOST_OUTPUT, "specsim: error: standard output is closed"),
        ("expect paper:3 speculative 2>&- >/dev/null", 0, ""),
        ("expect paper:3 nonsense 2>&-", 2, ""),
        ("expect paper:3 speculative <&- >&- 2>&-", group.LOST_OUTPUT, ""),
        ("simulate paper:3 speculative --runs 9 --seed 1 --out {out} >&-", 0, ""),
        ("--help >&-", group.LOST_OUTPUT, "specsim: "),
    ],
)
def test_process__closed_streams(command, code, message, tmp_path):
    out = tmp_path / "x.nc"
    line = f"{sys.executable} -W error -m specsim {command.format(out=out)}"
    result = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == code
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") <= 1
    assert "--out" not in command or xarray.open_dataset(out, engine="h5netcdf").attrs["runs"] == 9


def test_process__a_users_files_do_not_stand_for_libraries(tmp_path):
    for name in ("scipy", "click", "numpy", "xarray", "rich"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    (tmp_path / "click.py").write_text("raise RuntimeError('the wrong module')\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*COMMAND, "expect", PAIR, "speculative"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_subject__its_folder_does_not_stand_for_libraries(tmp_path):
    for name in ("scipy", "jinja2"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    (tmp_path / "helper.py").write_text("from numpy import *\n")
    (tmp_path / "click.py").write_text("import helper\n\ndef step(): ...\n")
    code = (
        "import sys; from specsim.validation.conformance.subjects import _import\n"
        "module = _import(sys.argv[1])\n"
        "import scipy.stats, jinja2, click; click.echo(module.helper.pi > 3)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "click.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


@pytest.mark.parametrize("arguments", [(), ("models",), ("models", "trace")])
def test_no_arguments__print_the_help(arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: specsim")
    assert "Commands:" in result.stdout


def test_plain__is_ascii_everywhere(monkeypatch):
    for arguments in (
        ("expect", "paper:3", "speculative", "--plain"),
        ("rules", "--plain"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0
        assert result.stdout.isascii()
        assert "|" in result.stdout
    monkeypatch.setenv("SPECSIM_PLAIN", "1")
    assert run("rules").stdout.isascii()


def test_info__says_what_a_report_needs():
    found = json.loads(run("info", "--json").stdout)
    assert found["specsim"] == specsim.__version__
    assert found["packages"]["numpy"]
    assert found["processors"] >= 1
    assert "numpy" in run("info").stdout


def test_foreign_distribution__is_said_in_one_line(tmp_path, monkeypatch):
    """Another project installs an import package of our name."""
    from specsim.support.distributions import foreign_distribution

    assert foreign_distribution() == ""
    folder = tmp_path / "site-packages"
    (folder / "specsim-0.0.3.dist-info").mkdir(parents=True)
    (folder / "specsim-0.0.3.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: specsim\nVersion: 0.0.3\n"
    )
    monkeypatch.syspath_prepend(folder)
    assert "another project" in foreign_distribution()
    result = run("rules", "ratio")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "pip uninstall specsim" in result.stderr


def test_simulate__takes_texts_and_whole_floats():
    seen = specsim.simulate("paper:3", "speculative:gamma=2", runs=1e2, seed=1)
    same = specsim.simulate(specsim.paper_pair(3), specsim.Speculative(draft_length=2), runs=100, seed=1)
    assert seen.identical(same)
    swept = specsim.sweep("paper:3", ["speculative", "block-verification:k=2"], runs=1e2, seed=1)
    assert swept.sizes["algorithm"] == 2


def test_long_work__says_what_it_does(monkeypatch):
    monkeypatch.setattr("specsim.cli.output._PATIENCE", 0.05)

    def slowly(text):
        time.sleep(0.3)
        return specsim.parse_pair(text)

    monkeypatch.setattr("specsim.cli.expect.parse_pair", slowly)
    result = run("expect", "paper:3", "speculative")
    assert "specsim: reading paper:3\n" in result.stderr
    assert "reading" not in result.stdout


@pytest.mark.parametrize(
    ("command", "typed", "expected"),
    [
        ("expect", "pap", "paper:"),
        ("expect", "random:contexts=3,ho", "random:contexts=3,horizon="),
        ("compare", "ran", "random:"),
        ("expect", "restricted:size=3,of=ran", "restricted:size=3,of=random:"),
        (
            "expect",
            "blended:of=restricted:size=3,of=paper:ho",
            "blended:of=restricted:size=3,of=paper:horizon=",
        ),
        ("rules", "blo", "block"),
        ("validate", "yin2024.theorem-2", "yin2024.theorem-2"),
        ("figures", "figure-2", "figure-2b"),
    ],
)
def test_shells_complete(command, typed, expected):
    from click.shell_completion import ShellComplete

    shell = ShellComplete(main, {}, "specsim", "_SPECSIM_COMPLETE")
    assert expected in [item.value for item in shell.get_completions([command], typed)]


def test_shells_complete__algorithms():
    from click.shell_completion import ShellComplete

    shell = ShellComplete(main, {}, "specsim", "_SPECSIM_COMPLETE")
    for typed, expected in (("bat", "batch:"), ("batch:drafts=2,dr", "batch:drafts=2,draft_length=")):
        assert expected in [item.value for item in shell.get_completions(["expect", "paper:3"], typed)]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables__fit_the_width(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    pair = "random:contexts=2,horizon=4,seed=1,stationary=yes"
    for arguments in (
        ("compare", pair, "speculative:draft_length=2", "recursive:tree=2-1", "--runs", "100"),
        ("plan", pair, "--costs", "draft=0.1", "--algorithm", "speculative:draft_length={1..3}"),
        ("expect", pair, "speculative:draft_length=2"),
        ("rules",),
        ("rules", "k-seq"),
        ("validate", "--list"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert max(map(len, result.stdout.splitlines())) <= width, arguments


def test_aligned__folds_long_cells_and_repeats_the_first_column():
    lines = aligned([["name", "value", "more"], ["a:long=1,name=2", "1" * 18, "2" * 18]], 32)
    assert lines == [
        "name          value",
        "a:long=1,     111111111111111111",
        "name=2",
        "",
        "name          more",
        "a:long=1,     222222222222222222",
        "name=2",
    ]


@pytest.mark.parametrize(
    ("arguments", "incomplete", "found"),
    [
        (["conform", "--check"], "joint", "joint-law"),
        (["conform", "--rule"], "rat", "ratio"),
        (["sweep", "--algorithm"], "batch:", "batch:drafts="),
        (["plan"], "random:cont", "random:contexts="),
        (["validate"], "yin2024.theorem-4", "yin2024.theorem-4"),
        (["figures"], "figure-2", "figure-2c"),
        (["rules"], "trav", "traversal"),
    ],
)
def test_completion__of_the_shell(arguments, incomplete, found):
    complete = ShellComplete(main, {}, "specsim", "_SPECSIM_COMPLETE")
    assert found in [item.value for item in complete.get_completions(arguments, incomplete)]
