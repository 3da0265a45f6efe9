"""``specsim sweep``, and ``--resume``, ``--cluster`` and ``--chunk-runs`` of ``specsim simulate``."""

import json
import math

import pytest
import xarray
from click.testing import CliRunner

from specsim import Batch, paper_pair, simulate, theory
from specsim.cli import main

SWEEP = (
    "sweep --pair paper:{5,12} --algorithm batch:drafts={1,2} --algorithm speculative --runs 2000 --seed 3"
)


def call(text, code=0):
    result = CliRunner().invoke(main, text.split(), prog_name="specsim")
    assert result.exit_code == code, result.output + str(result.exception)
    return result


def test_sweep__table_has_theory_beside_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    output = call(SWEEP).stdout
    assert "paper:5, horizon 5" in output
    assert "paper:12, horizon 12" in output
    assert output.count("batch:drafts=2") == 2
    assert f"{theory.expected_rejections(paper_pair(12), Batch(drafts=2)):.6g}" in output
    assert "6 combinations, 2000 runs each, seed 3, engine lockstep" in output


def test_sweep__json_and_file_say_the_same(tmp_path):
    document = json.loads(call(f"{SWEEP} --out {tmp_path / 's.nc'} --json").stdout)
    assert len(document["cells"]) == 6
    with xarray.open_dataset(tmp_path / "s.nc", engine="h5netcdf") as dataset:
        for cell in document["cells"]:
            stored = dataset.sel(pair=cell["pair"], algorithm=cell["algorithm"])
            for name in ("mean_rejections", "expected_target_calls", "rejections_sigma", "seed"):
                assert stored[name].item() == cell[name]
            assert len(cell["rejection_law"]) == cell["horizon"] + 1
    cell = document["cells"][1]
    whole = simulate(paper_pair(5), Batch(drafts=2), runs=2000, seed=cell["seed"])
    assert cell["mean_rejections"] == pytest.approx(int(whole.rejections_by_step.sum()) / 2000)
    law = theory.rejection_law(paper_pair(5), Batch(drafts=2))
    mean = sum(n * p for n, p in enumerate(law))
    error = math.sqrt(sum((n - mean) ** 2 * p for n, p in enumerate(law)) / 2000)
    assert cell["rejections_sigma"] == pytest.approx((cell["mean_rejections"] - mean) / error, rel=1e-9)
    assert max(abs(cell["rejections_sigma"]) for cell in document["cells"]) < 6


def test_sweep__says_where_theory_is_silent(monkeypatch):
    from specsim.errors import TooLargeError

    def refuse(pair, algorithm, **options):
        raise TooLargeError("far too large; use less")

    monkeypatch.setattr(theory, "expected_rejections", refuse)
    output = call(SWEEP).stdout
    assert "No exact values of batch:drafts=1 on paper:5: far too large; use less" in " ".join(output.split())
    document = json.loads(call(f"{SWEEP} --json").stdout)
    assert document["theory_silent"]["speculative on paper:12"] == "far too large; use less"
    assert document["cells"][0]["expected_rejections"] is None
    assert document["cells"][0]["expected_target_calls"] is not None


def test_sweep__resumes_and_counts_less(tmp_path):
    command = f"{SWEEP} --tallies rejections --engine alias --resume {tmp_path} --chunk-runs 700 --json"
    first = json.loads(call(command).stdout)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}
    assert len(files) == 18
    assert "mean_target_calls" not in first["cells"][0]
    assert json.loads(call(command).stdout) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")} == files


def test_simulate__resume_notes_damage_on_standard_error(tmp_path):
    command = f"simulate paper:5 speculative --runs 500 --seed 1 --resume {tmp_path} --chunk-runs 100 --json"
    first = call(command)
    assert "damaged" not in first.stderr
    victim = next(tmp_path.glob("*/100-200.npz"))
    victim.write_bytes(victim.read_bytes()[:100])
    again = call(command)
    assert again.stdout == first.stdout
    (line,) = [line for line in again.stderr.splitlines() if "note" in line]
    assert line.startswith(f"specsim: note: stored chunk {victim} is damaged")
    assert call(command.replace("--chunk-runs 100", "")).stdout == first.stdout
    assert call(command.replace(f"--resume {tmp_path}", "")).stdout == first.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simulate paper:5 speculative --runs 10 --resume {}", "--resume needs --seed"),
        ("simulate paper:5 speculative --runs 10 --seed 1 --cluster nowhere", "no Dask scheduler answers"),
        ("simulate paper:5 speculative --runs 10 --seed 1 --chunk-runs 0", "chunk_runs is 0"),
        ("simulate paper:5 speculative --runs 10 --seed 1 --cluster x:1 --threads 2", "threads is 2"),
        ("sweep --pair paper:5 --algorithm speculative --runs 10", "Missing option '--seed'"),
        ("sweep --pair paper:{{5 --algorithm speculative --runs 10 --seed 1", "without its partner"),
        ("sweep --pair paper:5 --algorithm nonsense --runs 10 --seed 1", "unknown algorithm 'nonsense'"),
        (
            "sweep --pair paper:5 --algorithm block-verification --engine alias --runs 10 --seed 1",
            "block-verification on paper:5: algorithm is block-verification",
        ),
        (
            "sweep --pair paper:5 --algorithm speculative --runs 10 --seed 1 --resume /dev/null",
            "it is a file",
        ),
    ],
)
def test_bad_input__exits_2_with_one_line(text, message, tmp_path):
    result = call(text.format(tmp_path / "store"), code=2)
    assert message in " ".join(result.stderr.split())
    assert len(result.stderr.splitlines()) == 1
