"""The published tests of other projects: right samplers pass them, and what each of them sees and misses."""

import math

import numpy as np
import pytest

from benchmarks.peers.bench import PeerOutcome
from benchmarks.peers.table import OURS, compare_with_peers, oracle
from benchmarks.peers.tests_of_others import PEERS
from benchmarks.peers.vllm import vllm_v2_wide
from benchmarks.zoo import get_controls, get_mutants
from specsim.errors import InputError
from specsim.validation.conformance.subjects import Subject

# Seeds are fixed. With other seeds a right sampler fails the smell tester with probability 5e-6 (46 tests at
# 1e-7), DeepSpec's 4e-9, vLLM's second tests far below that, and vLLM's first with one that nobody states:
# it was 0 in 40 seeds.
SEED = 1
QUICK = [name for name in PEERS if name != "vLLM V2 wide"]
CHEAP = [name for name in QUICK if name not in ("vLLM V1", "vLLM V2 narrow")]
RIGHT = ["ratio", "one-hot", "match", "block", "draft-ratio", "argmax-one-hot", "gumbel-match"]


def control(name):
    return get_controls([name])[0].subject


def mutant(name):
    return get_mutants([name])[0].subject


@pytest.mark.parametrize("name", RIGHT)
def test_right_samplers_pass(name):
    subject = control(name)
    for peer in QUICK if name == "draft-ratio" else CHEAP:
        outcome = PEERS[peer](subject, SEED)
        if peer == "vLLM V1 top-k/p" and not subject.options & {"top_k", "top_p"}:
            assert outcome.rejected is None, (peer, outcome)
            continue
        assert outcome.rejected is False, (peer, outcome)
        assert outcome.samples >= 600
        assert outcome.seconds > 0
        assert math.isfinite(outcome.statistic)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rejected"), [("ratio", False), ("drafts-argmax", True), ("shared-gumbel", False)]
)
def test_the_wide_test(name, rejected):
    """It does not see shared noise, as its authors found; draft rows of temperature 1 are enough here."""
    subject = control(name) if name == "ratio" else mutant(name)
    assert vllm_v2_wide(subject, SEED, cases=((1, 1.0),)).rejected is rejected


@pytest.mark.parametrize(
    ("name", "seen_by", "missed_by"),
    [
        ("recovery-from-target", ("smell tester", "DeepSpec", "vLLM V1"), ("transformers ordering",)),
        ("always-accept", ("transformers ordering",), ()),
        ("drafts-argmax", ("smell tester", "DeepSpec"), ("transformers ordering",)),
        # Same rows at every position: nobody but the tester of whole texts sees that they are mixed up.
        ("target-row-after", ("smell tester",), ("DeepSpec", "vLLM V1")),
        # The bonus token is mocked, or cut off.
        ("bonus-from-draft", ("DeepSpec",), ("smell tester", "vLLM V1", "transformers ordering")),
        ("shared-gumbel", ("DeepSpec",), ("smell tester",)),
        ("top-p-skipped", ("vLLM V1 top-k/p",), ("smell tester",)),
        ("top-p-not-normalised", (), ("vLLM V1 top-k/p",)),
        ("paired-rows", (), ("smell tester", "DeepSpec")),
    ],
)
def test_what_peers_see_and_miss(name, seen_by, missed_by):
    for peer in seen_by:
        outcome = PEERS[peer](mutant(name), SEED)
        assert outcome.rejected is True, (peer, outcome)
        assert outcome.reason
    for peer in missed_by:
        assert PEERS[peer](mutant(name), SEED).rejected is False, peer


def test_numbers_of_the_original_of_the_narrow_test():
    """vLLM reports a chi-square of about 1500 with shared noise, and a limit of about 70."""
    outcome = PEERS["vLLM V2 narrow"](mutant("shared-gumbel"), SEED)
    assert outcome.rejected is True
    assert "limit 69.8" in outcome.reason
    assert 700 < 15 + outcome.statistic * math.sqrt(30) < 2500


def test_a_test_that_does_not_fit_says_so():
    decoder = get_controls(["decoder-ratio"])[0].subject
    for name, peer in PEERS.items():
        if name == "smell tester":
            continue
        outcome = peer(decoder, SEED)
        assert outcome.rejected is None
        assert outcome.samples == 0
        assert outcome.reason
    small = control("ratio").replace(max_vocabulary=9, max_draft_length=2)
    assert "needs 10 tokens" in PEERS["vLLM V1"](small, SEED).reason
    short = control("ratio").replace(max_draft_length=1)
    assert "drafts of 3 tokens" in PEERS["DeepSpec"](short, SEED).reason
    outcome = PEERS["transformers ordering"](control("uniform-one-hot"), SEED)
    assert outcome.rejected is None
    assert "drafts are 1, 4, 5" in outcome.reason


def test_the_smell_tester_drives_decoders():
    assert PEERS["smell tester"](control("decoder-ratio"), SEED).rejected is False
    outcome = PEERS["smell tester"](mutant("decoder-recovery-from-target"), SEED)
    assert outcome.rejected is True
    assert "texts" in outcome.reason


def ratio_with(change):
    right = control("ratio").run

    def run(target, draft, drafted, seed):
        return change(*right(target, draft, drafted, seed))

    return Subject(name="changed", protocol="step", run=run)


def test_subjects_that_break_are_rejected():
    def raising(tokens, lengths):
        raise RuntimeError("no such kernel")

    outcome = PEERS["DeepSpec"](ratio_with(raising), SEED)
    assert outcome.rejected is True
    assert "no such kernel" in outcome.reason
    outside = PEERS["DeepSpec"](ratio_with(lambda tokens, lengths: (tokens + 12, lengths)), SEED)
    assert outside.rejected is True
    assert "outside of 0..11" in outside.reason
    wrong_shape = PEERS["smell tester"](ratio_with(lambda tokens, lengths: (tokens[:, 1:], lengths)), SEED)
    assert wrong_shape.rejected is True
    too_long = PEERS["smell tester"](ratio_with(lambda tokens, lengths: (tokens, lengths + 9)), SEED)
    assert "length out of range" in too_long.reason


def test_a_limited_batch_changes_nothing_in_the_test():
    limited = control("ratio").replace(max_batch=700)
    assert PEERS["transformers ordering"](limited, SEED).rejected is False
    assert PEERS["DeepSpec"](limited, SEED).samples == 20_000


def test_side_by_side():
    def ours(subject, seed):
        return PeerOutcome(rejected=subject.name == "always-accept", samples=7, seconds=0.5)

    told = []
    comparison = compare_with_peers(
        [*get_mutants(["always-accept"]), *get_controls(["ratio", "decoder-ratio"])],
        seed=SEED,
        peers={"ordering": PEERS["transformers ordering"]},
        ours=ours,
        progress=lambda *what: told.append(what[:2]),
    )
    assert comparison.tests == (OURS, "ordering")
    assert told[:2] == [("always-accept", OURS), ("always-accept", "ordering")]
    assert [row.kind for row in comparison.rows] == ["mutant", "control", "control"]
    assert comparison.rejected("ordering") == comparison.decided("ordering") == 1
    assert comparison.rejected("ordering", "control") == 0
    assert comparison.decided("ordering", "control") == 1
    lines = comparison.lines()
    assert "REJECTED 7 0.50 s" in lines[1]
    assert lines[3].endswith(" -")
    assert lines[-2].startswith("1 mutants")
    assert "0 of 2 rejected" in lines[-1]
    alone = compare_with_peers([control("ratio")], peers={}, ours=ours)
    assert alone.rows[0].kind == "subject"
    with pytest.raises(InputError, match="items has 3"):
        compare_with_peers([3], peers={}, ours=None)


def test_the_oracle_as_a_test():
    right = oracle(control("ratio"), SEED, only=("first-token",))
    assert right.rejected is False
    wrong = oracle(mutant("recovery-from-target"), SEED, only=("first-token",))
    assert wrong.rejected is True
    assert "first-token" in wrong.reason
    assert 0 < wrong.samples < right.samples
    assert np.isfinite(wrong.statistic)
