"""Acceptance logs: all forms tell the same, estimates are right and cover, bad logs are refused in a line."""

import json

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.records.acceptance_estimates import VARIABLES, acceptance_estimates
from specsim.records.acceptance_logs import read_acceptance_log
from specsim.support.intervals import clopper_pearson, holm, mean_over, ratio_over, sign_test
from specsim.support.labelled import check, markdown

#: Accepted tokens of ten rounds of three drafted tokens, by request.
ROUNDS = {"a": [3, 0, 1, 3], "b": [2, 2], "c": [0, 3, 1, 1]}


def as_round_csv():
    lines = ["request,drafted,accepted,when"]
    lines += [f"{name},3,{length},12:00" for name, lengths in ROUNDS.items() for length in lengths]
    return "\n".join(lines)


def as_request_csv():
    return "rid;accepted\n".replace(";", ",") + "".join(
        f"{name},{' '.join(map(str, lengths))}\n" for name, lengths in ROUNDS.items()
    )


def as_request_json():
    return json.dumps([{"request_id": name, "accepted": list(v), "drafted": 3} for name, v in ROUNDS.items()])


def as_histogram_lines():
    """As SGLang's per-request statistics, inside another object, with totals to agree with."""
    lines = []
    for name, lengths in ROUNDS.items():
        histogram = np.bincount(lengths, minlength=4).tolist()
        inner = {
            "spec_verify_ct": len(lengths),
            "spec_num_proposed_drafts": 3 * len(lengths),
            "spec_correct_drafts_histogram": histogram,
        }
        lines.append(json.dumps({"rid": name, "text": "...", "meta_info": inner}))
    return "\n".join(lines)


def as_sparse_histogram():
    parts = []
    for name, lengths in ROUNDS.items():
        cells = {str(length): lengths.count(length) for length in sorted(set(lengths))}
        parts.append({"request": name, "acceptance_histogram": cells})
    return json.dumps(parts)


def as_counters():
    """As vLLM's counters."""
    parts = []
    for name, lengths in ROUNDS.items():
        reached = [sum(length >= place for length in lengths) for place in (1, 2, 3)]
        parts.append(
            {
                "request": name,
                "num_drafts": len(lengths),
                "num_draft_tokens": 3 * len(lengths),
                "num_accepted_tokens": sum(lengths),
                "num_accepted_tokens_per_pos": reached,
            }
        )
    return json.dumps(parts)


def as_detailed_responses():
    """As vLLM's per-request metrics, summary and detail."""
    parts = []
    for name, lengths in ROUNDS.items():
        inner = {
            "acceptance_histogram": np.bincount(lengths, minlength=4).tolist(),
            "num_spec_steps": len(lengths),
            "num_accepted_draft_tokens": sum(lengths),
            "num_draft_tokens": 3 * len(lengths),
            "num_spec_tokens": 3,
            "per_step_accepted": lengths,
            "per_step_drafted": [3] * len(lengths),
        }
        parts.append({"request_id": name, "metrics": {"speculative_decoding": inner}})
    return json.dumps(parts)


def as_summaries():
    parts = json.loads(as_detailed_responses())
    for part in parts:
        inner = part["metrics"]["speculative_decoding"]
        del inner["per_step_accepted"], inner["per_step_drafted"]
        while inner["acceptance_histogram"][-1] == 0:
            inner["acceptance_histogram"].pop()
    return json.dumps(parts)


FORMS = [
    as_detailed_responses,
    as_summaries,
    as_round_csv,
    as_request_csv,
    as_request_json,
    as_histogram_lines,
    as_sparse_histogram,
    as_counters,
]


@pytest.mark.parametrize("form", FORMS)
def test_forms__tell_the_same(form, tmp_path):
    (tmp_path / "log").write_text(form())
    result = read_acceptance_log(tmp_path / "log", draft_length=3)
    check(result, VARIABLES, ("rounds", "requests", "level", "intervals"), "the estimates")
    assert result["accepted_length_count"].values.tolist() == [2, 3, 2, 3]
    assert result["tested_count"].values.tolist() == [10, 8, 5]
    assert result["acceptance"].values.tolist() == [0.8, 5 / 8, 3 / 5]
    assert float(result["mean_accepted"]) == 1.6
    assert float(result["block_efficiency"]) == 2.6
    assert float(result["rejection_rate"]) == 7 / 23
    assert (result.attrs["rounds"], result.attrs["requests"]) == (10, 3)
    without = read_acceptance_log(tmp_path / "log", draft_length=3, bonus=False)
    assert float(without["block_efficiency"]) == 2.3


def test_counters_without_requests__are_one_pool(tmp_path):
    (tmp_path / "log.csv").write_text("rounds,accepted_per_position\n100,80 50 20\n")
    result = read_acceptance_log(tmp_path / "log.csv")
    assert result["accepted_length_count"].values.tolist() == [20, 30, 30, 20]
    assert result.attrs["intervals"].startswith("rounds independent; exact")
    low, high = clopper_pearson(80, 100)
    assert result["acceptance_interval"].values[0].tolist() == [float(low), float(high)]


def test_clopper_pearson__is_scipys():
    from scipy.stats import binomtest

    for count, trials in ((0, 7), (7, 7), (3, 10), (250, 500)):
        interval = binomtest(count, trials).proportion_ci(0.9, method="exact")
        low, high = clopper_pearson(count, trials, 0.9)
        assert np.allclose([low, high], [interval.low, interval.high], atol=1e-12)
    assert [float(bound) for bound in clopper_pearson(0, 0)] == [0, 1]


def test_intervals__know_that_rounds_of_one_request_are_alike():
    """Requests that differ much: intervals over rounds would be far too short, those over requests cover.

    400 experiments of 40 requests: coverage of a true 95 % interval is below 0.9 with probability 3e-5.
    """
    rng = np.random.default_rng(5)
    covered = covered_by_rounds = 0
    for _ in range(400):
        rate = rng.beta(2, 2, size=40)
        accepted = rng.random((40, 30)) < rate[:, None]
        request = np.repeat(np.arange(40), 30)
        for named in (True, False):
            result = acceptance_estimates(accepted.ravel().astype(int), 1, request=request if named else None)
            low, high = result["acceptance_interval"].values[0]
            if named:
                covered += low <= 0.5 <= high
            else:
                covered_by_rounds += low <= 0.5 <= high
    assert covered >= 360
    assert covered_by_rounds < 300


def test_ratio_over__equal_denominators_are_the_mean():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    estimate = mean_over(values)
    assert estimate.value == 4
    assert estimate.standard_error == pytest.approx(values.std(ddof=1) / 2)
    assert ratio_over(3 * values, np.full(4, 3.0)).standard_error == pytest.approx(estimate.standard_error)
    assert np.isnan(mean_over([1.0]).low)


def test_tests__are_the_known_ones():
    assert sign_test(115, 85) == pytest.approx(0.0400, abs=5e-5)
    assert sign_test(0, 0) == 1
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_markdown__has_a_line_for_each_variable():
    assert markdown(VARIABLES).count("\n") == len(VARIABLES) + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("hello world\n1,2\n", "is not an acceptance log: its first line is 'hello world'"),
        ("accepted,drafted\n", "has no rounds"),
        ("accepted\n3\n", "record 1: drafted is missing; add it, or give draft_length"),
        ("accepted,drafted\n1,4\n5,4\n", "record 2: accepted is 5 but drafted 4"),
        ("accepted,drafted\n1,4\nx,4\n", "record 2: accepted is 'x'; give whole numbers"),
        ("accepted,drafted\n-1,4\n", "record 1: accepted is '-1'"),
        ("accepted,drafted\n1.5,4\n", "record 1: accepted is '1.5'"),
        ("accepted,drafted,count\n1,4,-2\n", "record 1: count is '-2'"),
        (
            "rounds,accepted_per_position\n5,3 4\n",
            "record 1: accepted_per_position .3, 4. of 5 rounds increases",
        ),
        ("rounds,accepted_per_position\n5,6 4\n", "increases; it never can"),
        ("accepted_per_position\n3 2\n", "record 1: accepted_per_position needs rounds"),
        (
            '{"rounds": 5, "accepted_per_position": [3, 2], "drafted": 9}',
            "drafted is 9 but the counters make 10",
        ),
        (
            '{"rounds": 5, "accepted_per_position": [3, 2], "accepted": 4}',
            "accepted is 4 but the counters make 5",
        ),
        ('{"accepted_histogram": [3, 2], "rounds": 4}', "rounds is 4 but accepted_histogram sums to 5"),
        ('{"accepted_histogram": [3, 2], "drafted": 4}', "drafted is 4 but 5 rounds of 1 are 5"),
        ('{"accepted_histogram": {"x": 2}}', "accepted_histogram has the keys .'x'."),
        ('[{"accepted": [1, 2], "drafted": [3]}]', "accepted has 2 rounds and drafted 1"),
        ("[1, 2]", "record 1: 1 is not an object"),
        ('{"accepted": 1,', "line 1: Expecting property name"),
        ('{"accepted": 1, "drafted": 2}\n{"accepted": ', "line 2: Expecting value"),
        ("num_drafts,num_draft_tokens,num_accepted_tokens\n43,215,63\n", "totals over rounds have no law"),
        ('{"per_step_accepted": [1, 4], "per_step_drafted": [3, 3]}', "accepted is 4 but drafted 3"),
        ('{"tokens": 5}', "record 1: no accepted, accepted_histogram or accepted_per_position"),
    ],
)
def test_bad_logs__are_refused_in_one_line(content, message, tmp_path):
    (tmp_path / "log").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_acceptance_log(tmp_path / "log")
    assert "\n" not in str(caught.value)


def test_bad_logs__of_another_kind(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_acceptance_log(tmp_path / "none.csv")
    (tmp_path / "log").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_acceptance_log(tmp_path / "log")
    (tmp_path / "log").write_text(as_round_csv())
    with pytest.raises(InputError, match="draft_length is 0"):
        read_acceptance_log(tmp_path / "log", draft_length=0)
    with pytest.raises(InputError, match="level is 95"):
        read_acceptance_log(tmp_path / "log", level=95)
    with pytest.raises(InputError, match="round 2 accepts 3 of 2 drafted"):
        acceptance_estimates([1, 3], 2)


def test_command__loads_no_torch(tmp_path):
    """A log is read where the extra is not installed."""
    import subprocess
    import sys

    (tmp_path / "log.csv").write_text(as_round_csv())
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from specsim.cli import main\n"
        f"main(['models', 'trace', 'log', {str(tmp_path / 'log.csv')!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "tokens per target call: 2.6" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"accepted": 1, "drafted": 2, "count": 9000000000000000000}] ', "give whole numbers from 0 to"),
        (
            '[{"accepted": 1, "drafted": 2, "count": 4000000000000000000},'
            ' {"accepted": 1, "drafted": 2, "count": 4000000000000000000}]',
            "give a log of fewer than 2\\^62",
        ),
        ("accepted,drafted,count\n1,2,1e30\n", "count is '1e30'"),
        ("accepted,drafted,count\n1,2,1e999\n", "count is '1e999'"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"accepted": 1, "drafted": ' + "9" * 5000 + "}]", "Exceeds the limit"),
        ("accepted,drafted\n1,100000000\n", "drafted is 100000000 in one round"),
    ],
)
def test_numbers_beyond_bounds__are_refused(text, message, tmp_path):
    (tmp_path / "log").write_text(text)
    with pytest.raises(InputError, match=message):
        read_acceptance_log(tmp_path / "log")


def test_draft_length_beyond_bounds__is_refused(tmp_path):
    (tmp_path / "log").write_text('[{"accepted": 1}]')
    with pytest.raises(InputError, match="draft_length is 100000000000000000000"):
        read_acceptance_log(tmp_path / "log", draft_length=10**20)


def test_counts_above_2_to_the_53__stay_exact(tmp_path):
    count = 2**53 + 1
    (tmp_path / "log").write_text(f'[{{"accepted": 1, "drafted": 1, "count": {count}}}]')
    assert read_acceptance_log(tmp_path / "log").attrs["rounds"] == count
