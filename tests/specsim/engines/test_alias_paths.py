"""All kernels of the alias engine give the same bits, and the fastest that serves is taken."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    OverAcceptance,
    Speculative,
    paper_pair,
    random_pair,
    simulate,
)
from specsim.engines.alias import engine as alias
from specsim.engines.compiled import cpu
from specsim.errors import UnsupportedError

ROOT = Path(__file__).resolve().parents[3]
ENDLESS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=4, bonus=False),
    OverAcceptance(epsilon=0.05, residual="target"),
    Batch(drafts=5),
    BatchAsPrinted(drafts=2, slip="extra-subtraction"),
]
PAIRS = [
    paper_pair(50),
    random_pair(contexts=8, horizon=600, seed=1, stationary=True),
    random_pair(contexts=2, horizon=3, seed=2, family="disjoint"),
    random_pair(contexts=4, horizon=600, seed=2, family="disjoint", stationary=True),
    random_pair(contexts=1, horizon=5, seed=3),
    random_pair(contexts=9, horizon=9, seed=4),
    random_pair(contexts=300, horizon=3, seed=5, family="sparse"),
]
permuting = pytest.mark.skipif(not cpu.permutes_bytes(), reason="this processor cannot permute bytes")


def run(path, pair, algorithm, monkeypatch, **options):
    monkeypatch.setenv(alias.PATH_VARIABLE, path)
    settings = {"runs": 2500, "seed": 7, "threads": 1, "per_run": True, "tallies": "rejections", **options}
    return simulate(pair, algorithm, engine="alias", **settings)


def assert_equal(one, two):
    assert set(one.data_vars) == set(two.data_vars)
    for name in one.data_vars:
        assert np.array_equal(one[name].values, two[name].values), name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
@pytest.mark.parametrize("algorithm", ENDLESS, ids=lambda a: a.label)
def test_paths__give_the_same_bits(pair, algorithm, monkeypatch):
    for runs, first in ((2500, 0), (2064, 2**32 - 1000), (1, 12)):
        options = {"runs": runs, "first_run": first}
        gather = run("gather", pair, algorithm, monkeypatch, **options)
        assert_equal(gather, run("rounds", pair, algorithm, monkeypatch, **options))
        if pair.tokens <= 8 and cpu.permutes_bytes():
            assert_equal(gather, run("permute", pair, algorithm, monkeypatch, **options))


@permuting
@pytest.mark.parametrize("algorithm", [Speculative(), Batch(drafts=3)], ids=lambda a: a.label)
def test_permute__does_not_depend_on_threads_chunks_or_stages(algorithm, monkeypatch):
    pair = random_pair(contexts=6, horizon=21, seed=1)
    whole = run("permute", pair, algorithm, monkeypatch, runs=5000)
    monkeypatch.setattr(alias, "_chunk_runs", lambda *_: 777)
    assert_equal(whole, run("permute", pair, algorithm, monkeypatch, runs=5000, threads=3))
    step_bytes = 6 * 64 * (2 if isinstance(algorithm, Batch) else 1)
    monkeypatch.setattr(alias, "_STAGED_STATE_BYTES", 16 * 777 * 2)
    monkeypatch.setattr(alias, "run", partial(alias.run, table_bytes=5 * step_bytes))
    assert_equal(whole, run("permute", pair, algorithm, monkeypatch, runs=5000, threads=2))


@permuting
@pytest.mark.parametrize("rooted", [False, True])
def test_permute__compares_every_bit_of_the_threshold(compiled, rooted):
    """Words just below, at and just above thresholds whose bytes are extreme, against the gathering step."""
    import numba

    from specsim.engines.alias.kernels import permute
    from specsim.engines.alias.kernels.rejections import step_plain
    from specsim.engines.alias.tables import Layout, byte_planes

    emit = permute.step_rooted if rooted else permute.step_plain

    @numba.njit
    def step(words, planes, base, marks, met, groups, tail):
        return emit(words, planes, base, marks, met, groups, tail)

    generator = np.random.default_rng(1)
    rows = 16 if rooted else 8
    layout = Layout(bits=4, rows=rows, root=8 if rooted else 0, bonus=0)
    extremes = np.array([0, 1, 2**28 - 1, *(2 ** np.arange(4, 28, 4)), *(2 ** np.arange(4, 28, 4) - 1)])
    for _ in range(200):
        thresholds = generator.choice(extremes, size=rows * 16) ^ generator.choice(extremes, size=rows * 16)
        aliases = generator.integers(0, 16, size=rows * 16)
        entries = (thresholds << 4 | aliases).astype(np.uint32)
        row = generator.integers(0, rows, size=128).astype(np.uint32)
        column = generator.integers(0, 16, size=128)
        fraction = np.clip(thresholds[row * 16 + column] + generator.integers(-1, 2, size=128), 0, 2**28 - 1)
        words = (fraction << 4 | column).astype(np.uint32)
        base, marks, met = np.zeros(32, np.uint32), np.zeros(32, np.uint32), np.zeros(8, np.int64)
        compiled(permute.to_lanes)(row, base)
        total = step(words, byte_planes(entries[None], layout)[0], base, marks, met, 2, np.uint64(0))
        token, counts = np.zeros(128, np.uint32), np.zeros(128, np.uint32)
        root = np.uint32(layout.root)
        assert total == compiled(step_plain)(words, entries, np.uint32(4), root, row, token, counts)
        got_row, got_counts = np.zeros(128, np.uint32), np.zeros(128, np.uint32)
        compiled(permute.from_lanes)(base, np.uint32(4), got_row)
        compiled(permute.from_lanes)(marks, np.uint32(0), got_counts)
        assert np.array_equal(got_row, row)
        assert np.array_equal(got_counts, counts)
        assert np.array_equal(met[:7], np.bincount(token, minlength=8)[:7])


def served(pair, algorithm, monkeypatch, **options):
    """Names of the kernels that serve, as the message lists them."""
    with pytest.raises(UnsupportedError, match="SPECSIM_ALIAS_PATH is 'none'") as caught:
        run("none", pair, algorithm, monkeypatch, **options)
    return str(caught.value).rpartition("give one of ")[2]


@pytest.mark.parametrize("able", [True, False])
def test_choice__by_processor_size_and_request(able, monkeypatch):
    monkeypatch.setattr(alias, "permutes_bytes", lambda: able)
    small, large = paper_pair(5), random_pair(contexts=9, horizon=5, seed=1)
    general = random_pair(contexts=4, tokens=3, horizon=5, seed=1)
    best = "permute, gather, rounds" if able else "gather, rounds"
    for algorithm in (Autoregressive(), Speculative(), Batch(drafts=2)):
        assert served(small, algorithm, monkeypatch) == best
        assert served(large, algorithm, monkeypatch) == "gather, rounds"
        assert served(general, algorithm, monkeypatch) == "rounds"
        assert served(small, algorithm, monkeypatch, tallies="all") == "rounds"
        assert served(small, algorithm, monkeypatch, outcomes=True, horizon=2) == "rounds"
    assert served(small, Speculative(draft_length=4), monkeypatch) == "rounds"
    assert served(small, Speculative(draft_length=4, bonus=False), monkeypatch) == best
    assert served(small, Batch(drafts=2, draft_length=4, bonus=False), monkeypatch) == "rounds"
    assert served(small, Batch(drafts=2, draft_length=6, bonus=False), monkeypatch) == best


def test_features__follow_the_settings_of_numba():
    script = "from specsim.engines.compiled import cpu; print(sorted(cpu.features()), cpu.permutes_bytes())"
    for settings, expected in (
        ({"NUMBA_CPU_NAME": "generic"}, "[] False"),
        ({"NUMBA_CPU_FEATURES": "+avx2,-avx512f"}, "['avx2'] False"),
    ):
        environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


@pytest.mark.slow
def test_results__on_a_generic_processor_are_the_same_bits(tmp_path):
    script = (
        "from specsim import *\n"
        "for tallies in ('all', 'rejections'):\n"
        "    result = simulate(paper_pair(9), Batch(drafts=3), runs=3001, seed=1, engine='alias',"
        " tallies=tallies, threads=1)\n"
        "    print([result[name].values.tolist() for name in result])\n"
    )
    printed = []
    for settings in ({}, {"NUMBA_CPU_NAME": "generic", "SPECSIM_CACHE_DIR": str(tmp_path)}):
        environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        printed.append(done.stdout)
    assert printed[0] == printed[1]
