"""Logs of inference servers: all formats tell the same, and what contradicts itself is refused in a line.

The fixtures are written from the names that the servers' sources use; none was recorded from a running
server.
"""

import json

import pytest

from specsim import InputError, read_server_log
from specsim.records.servers import FORMATS

#: Of 1000 rounds of three drafted tokens, how many accepted the first, second, third.
REACHED = (800, 560, 336)
ACCEPTED, DRAFTED, ROUNDS = sum(REACHED), 3000, 1000
HISTOGRAM = [200, 240, 224, 336]


def prometheus(prefix, scale=1, extra=""):
    lines = [
        f"# HELP {prefix}:spec_decode_num_drafts Number of drafts.",
        f'{prefix}:spec_decode_num_drafts_total{{engine="0",model_name="m"}} {ROUNDS * scale}.0',
        f'{prefix}:spec_decode_num_drafts_created{{engine="0",model_name="m"}} 1.7e+09',
        f'{prefix}:spec_decode_num_draft_tokens_total{{engine="0",model_name="m"}} {DRAFTED * scale}.0',
        f'{prefix}:spec_decode_num_accepted_tokens_total{{engine="0",model_name="m"}} {ACCEPTED * scale}.0',
    ]
    for place, count in enumerate(REACHED):
        labels = f'engine="0",model_name="m",position="{place}"'
        lines.append(f"{prefix}:spec_decode_num_accepted_tokens_per_pos_total{{{labels}}} {count * scale}")
    return "\n".join(lines) + "\n" + extra


VLLM_LINE = (
    "INFO 11-02 10:00:00 [metrics.py:96] SpecDecoding metrics: Mean acceptance length: 2.70, Accepted "
    "throughput: "
    f"10.00 tokens/s, Drafted throughput: 20.00 tokens/s, Accepted: {ACCEPTED} tokens, Drafted: {DRAFTED} "
    "tokens, "
    "Per-position acceptance rate: 0.800, 0.560, 0.336, Avg Draft acceptance rate: 56.5%"
)
LLAMA_LINE = (
    f"slot print_timing: draft acceptance = 0.56533 ( {ACCEPTED} accepted / {DRAFTED} generated), mean "
    "acceptance "
    "length = 2.70, acceptance rate per position = (0.800, 0.560, 0.336)"
)
BENCH = {
    "spec_decode_acceptance_rate": 56.5,
    "spec_decode_acceptance_length": 2.696,
    "spec_decode_num_drafts": ROUNDS,
    "spec_decode_draft_tokens": DRAFTED,
    "spec_decode_accepted_tokens": ACCEPTED,
    "spec_decode_per_position_acceptance_rates": [0.8, 0.56, 0.336],
}
REQUEST = {
    "mean_acceptance_length": 2.696,
    "acceptance_histogram": HISTOGRAM,
    "num_spec_steps": ROUNDS,
    "num_accepted_draft_tokens": ACCEPTED,
    "num_draft_tokens": DRAFTED,
    "num_spec_tokens": 3,
}
ITERATION = {"numRequestsWithDraftTokens": ROUNDS, "numDraftTokens": DRAFTED, "numAcceptedTokens": ACCEPTED}
WITH_LAW = {
    "vllm-metrics": prometheus("vllm"),
    "vllm-metrics of llama.cpp": prometheus("llamacpp"),
    "vllm-log": VLLM_LINE,
    "llamacpp-log": LLAMA_LINE,
    "vllm-bench": json.dumps(BENCH),
    "rounds of vLLM": json.dumps({"id": "r", "metrics": {"speculative_decoding": REQUEST}}),
    "rounds of SGLang": json.dumps(
        {
            "meta_info": {
                "id": "a", "spec_verify_ct": ROUNDS, "spec_num_proposed_drafts": DRAFTED,
                "spec_correct_drafts_histogram": HISTOGRAM,
            }
        }
    ),
    "rounds of older SGLang": json.dumps({"spec_verify_ct": ROUNDS, "spec_accept_histogram": HISTOGRAM}),
    "rounds of AIPerf": "\n".join(
        json.dumps({"metadata": {"benchmark_phase": phase}, "spec_decode_acceptance": counts})
        for phase, counts in (
            ("warmup", {"acceptance_histogram": {"0": 50}, "num_spec_tokens": 3}),
            ("profiling", {"acceptance_histogram": dict(enumerate(HISTOGRAM)), "num_spec_tokens": 3}),
        )
    ),
    "rounds in CSV": "accepted,drafted,count\n" + "".join(f"{k},3,{n}\n" for k, n in enumerate(HISTOGRAM)),
}  # fmt: skip
MEANS = {
    "sglang-metrics": 'sglang:spec_verify_calls_total{model_name="m"} 1000\n'
    'sglang:generation_tokens_total{model_name="m"} 2696\nsglang:spec_accept_length{model_name="m"} 9\n',
    "sglang-log": "Decode batch, #running-req: 3, accept len: 2.69, accept rate: 0.9, gen throughput: 1\n"
    "Decode batch, #running-req: 3, accept len: 2.702, accept rate: 0.9, gen throughput: 1\n",
    "trtllm-metrics": f"trtllm_spec_decode_num_draft_tokens_total {DRAFTED}\n"
    f"trtllm_spec_decode_num_accepted_tokens_total {ACCEPTED}\n",
    "trtllm-iterations": "\n".join(
        json.dumps({"attentionDpRank": rank, "specDecodingStats": ITERATION}) for rank in (0, 1, 0)
    ),
    "llamacpp-log": f"draft acceptance rate = 0.56533 ( {ACCEPTED} accepted / {DRAFTED} generated)",
    "llamacpp-timings": json.dumps(
        {"timings": {"draft_n": DRAFTED, "draft_n_accepted": ACCEPTED, "predicted_n": ROUNDS + ACCEPTED}}
    ),
    "sglang-requests": json.dumps(
        [
            {
                "meta_info": {
                    "spec_verify_ct": ROUNDS,
                    "spec_accept_token_num": ACCEPTED,
                    "spec_draft_token_num": DRAFTED,
                }
            }
        ]
    ),
    "aiperf-summary": json.dumps(
        {
            "spec_decode_token_weighted_acceptance_length": {"avg": 2.696, "unit": "tokens"},
            "spec_decode_overall_draft_acceptance_rate": {"avg": 56.53},
        }
    ),
}


def read(folder, text, **options):
    place = folder / "log.txt"
    place.write_text(text)
    return read_server_log(place, **options)


@pytest.mark.parametrize("name", WITH_LAW)
def test_formats_with_a_law__tell_the_same(tmp_path, name):
    log = read(tmp_path, WITH_LAW[name])
    assert log.format == FORMATS[name.split()[0]].title
    (setting,) = log.settings
    assert (setting.draft_length, setting.rounds) == (3, ROUNDS)
    assert setting.reached == pytest.approx(REACHED)
    assert setting.mean == pytest.approx(1.696)
    assert log.understood


@pytest.mark.parametrize("name", MEANS)
def test_formats_without_a_law__tell_the_same_mean(tmp_path, name):
    log = read(tmp_path, MEANS[name], draft_length=3)
    assert log.format == FORMATS[name].title
    assert log.settings[0].draft_length == 3
    assert log.settings[0].reached is None
    assert log.settings[0].mean == pytest.approx(1.696, abs=1e-3)


def test_every_format__has_a_fixture():
    known = {name.split()[0] for name in (*WITH_LAW, *MEANS)} | {"inferencex", "table"}
    assert known == set(FORMATS)


def test_tables__are_selected_by_name(tmp_path):
    text = "# key = num_speculative_tokens; value = golden AL\nmini-3:\n  thinking_on: {1: 1.78, 2: 2.38}\n"
    text += "  thinking_off:\n    1: 1.84\n    2: 2.52\n_metadata:\n  draft-model: x\n"
    with pytest.raises(
        InputError, match="several tables: mini-3/thinking_on, mini-3/thinking_off; choose one"
    ):
        read(tmp_path, text)
    log = read(tmp_path, text, select="mini-3/thinking_off")
    assert [(s.draft_length, round(s.mean, 2)) for s in log.settings] == [(1, 0.84), (2, 1.52)]
    with pytest.raises(InputError, match="no table is called"):
        read(tmp_path, text, select="other")
    csv = "scope,K,net_speedup,accept_len\nMIXED,1,1.3,1.5\nMIXED,2,1.4,1.7\n"
    assert read(tmp_path, csv).settings[1].speed_up == 1.4


def test_two_scrapes__are_subtracted(tmp_path):
    earlier = tmp_path / "earlier.txt"
    earlier.write_text(prometheus("vllm"))
    log = read(tmp_path, prometheus("vllm", scale=3), since=earlier)
    assert log.settings[0].rounds == 2 * ROUNDS
    assert not log.warnings
    assert "warm-up" in read(tmp_path, prometheus("vllm")).warnings[0]
    earlier.write_text(prometheus("vllm", scale=5))
    with pytest.raises(InputError, match="started again"):
        read(tmp_path, prometheus("vllm"), since=earlier)


def test_engines_of_one_model__are_added_up(tmp_path):
    second = prometheus("vllm").replace('engine="0"', 'engine="1"')
    assert read(tmp_path, prometheus("vllm", extra=second)).settings[0].rounds == 2 * ROUNDS
    other = prometheus("vllm").replace('model_name="m"', 'model_name="n"')
    with pytest.raises(InputError, match="several models or servers: m, n; choose one"):
        read(tmp_path, prometheus("vllm", extra=other))
    assert read(tmp_path, prometheus("vllm", extra=other), select="n").settings[0].rounds == ROUNDS


def test_several_servers__are_refused_until_one_is_selected(tmp_path):
    text = prometheus("vllm").replace('engine="0"', 'instance="a:1"') + prometheus("vllm", scale=2).replace(
        'engine="0"', 'instance="b:1"'
    )
    with pytest.raises(InputError, match="servers: m at a:1, m at b:1; choose one"):
        read(tmp_path, text)
    assert read(tmp_path, text, select="m at b:1").settings[0].rounds == 2 * ROUNDS
    with pytest.raises(InputError, match="no counters of 'c'; select"):
        read(tmp_path, text, select="c")
    benches = json.dumps([{**BENCH, "model_id": name} for name in "ab"])
    requests = "\n".join(
        json.dumps({"model": name, "metrics": {"speculative_decoding": REQUEST}}) for name in "ab"
    )
    for several in (benches, requests):
        with pytest.raises(InputError, match="several models: a, b; choose one"):
            read(tmp_path, several)
        assert read(tmp_path, several, select="a").settings[0].rounds == ROUNDS


def test_means_of_one_length__are_added_up(tmp_path):
    plain = {key: value for key, value in BENCH.items() if "per_position" not in key}
    log = read(tmp_path, json.dumps([plain, {**plain, "spec_decode_accepted_tokens": 0}]))
    assert [(s.rounds, s.mean) for s in log.settings] == [(2 * ROUNDS, pytest.approx(1.696 / 2))]


def test_a_file_that_may_be_cut__is_warned_of(tmp_path):
    cut = MEANS["trtllm-metrics"][:-4]
    assert "does not end with a line end" in " ".join(read(tmp_path, cut, draft_length=3).warnings)
    whole = MEANS["trtllm-metrics"]
    assert "line end" not in " ".join(read(tmp_path, whole, draft_length=3).warnings)


def test_percentages__are_told_from_fractions(tmp_path):
    rates = [80.0, 56.0, 33.6]
    log = read(tmp_path, json.dumps({**BENCH, "spec_decode_per_position_acceptance_rates": rates}))
    assert log.settings[0].reached == pytest.approx(REACHED)
    assert "rates by position are percentages" in log.understood


def test_last_rounds__are_left_out(tmp_path):
    lists = [
        {"request_id": str(n), "accepted": [1, 2, 3] * 10 + [1], "drafted": [3] * 30 + [1]} for n in range(4)
    ]
    log = read(tmp_path, json.dumps(lists))
    assert [(s.draft_length, s.rounds) for s in log.settings] == [(3, 120)]
    assert "4 of 124 rounds drafted fewer" in log.warnings[0]


def test_mixed_lengths_within_requests__are_warned_of(tmp_path):
    log = read(tmp_path, json.dumps({"request": "a", "accepted": [1, 2, 0, 1], "drafted": [2, 4, 2, 4]}))
    assert [s.draft_length for s in log.settings] == [2, 4]
    assert "change within requests" in log.warnings[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "is empty"),
        ("hello world", "first line is 'hello world'"),
        ("\x00\x01", "first line"),
        ('{"a": 1', "no accepted|line 1"),
        (prometheus("vllm").replace("1000.0", "1e30"), "give a number from 0"),
        (prometheus("vllm").replace("1000.0", "-1"), "spec_decode_num_drafts is -1"),
        (prometheus("vllm").replace("1000.0", "NaN"), "spec_decode_num_drafts is NaN"),
        (prometheus("vllm").replace("1000.0", "0"), "no rounds|of 0 rounds"),
        (prometheus("vllm").replace(f"{ACCEPTED}.0", "17"), "but the counter says 17"),
        (prometheus("vllm").replace(f"{DRAFTED}.0", "2000"), "draft lengths differ"),
        (prometheus("vllm").replace('position="1"', 'position="7"'), r"positions \[0, 2, 7\]"),
        (VLLM_LINE.replace("0.800", "1.2"), "rate is 1.2"),
        (VLLM_LINE.replace("Drafted: 3000", "Drafted: 2000"), "draft lengths differ"),
        (VLLM_LINE[:200], "has no"),
        (json.dumps({**BENCH, "spec_decode_num_drafts": -3}), "spec_decode_num_drafts is -3"),
        (json.dumps({**BENCH, "spec_decode_per_position_acceptance_rates": [0.8, 0.7, 0.6]}), "conditional"),
        (json.dumps({**BENCH, "spec_decode_num_drafts": 10**40}), "give a whole number from 0 to"),
        (
            json.dumps({"specDecodingStats": {**ITERATION, "numAcceptedTokens": 10**6}}),
            "no round accepts more",
        ),
        (json.dumps({"specDecodingStats": {**ITERATION, "numRequestsWithDraftTokens": 0}}), "no iteration"),
        (LLAMA_LINE.replace(f"{ACCEPTED} accepted", "9999 accepted"), "no round accepts more"),
        ("K,accept_len\n2,5\n", "acceptance length 5 at draft length 2"),
        ("K,accept_len\n2,2\n2,2\n", "given twice"),
        ("K,accept_len\n2,x\n", "accept_len is x"),
        ("K,accept_len\n0,1\n", "nothing was drafted"),
        ("K,accept_len,speedup\n2,2,0\n", "speedup is 0"),
        (prometheus("vllm") * 2, "line 10: vllm:spec_decode_num_drafts is given twice"),
        (prometheus("vllm") + prometheus("llamacpp"), "several servers: llamacpp, vllm"),
        ("sglang:spec_accept_", "no whole line|first line"),
        (VLLM_LINE.replace("length: 2.70", "length: 1.90"), "are the rates conditional"),
        (LLAMA_LINE.replace("length = 2.70", "length = 1.90"), "are the rates conditional"),
        ("draft acceptance rate = 0 ( 0 accepted / 0 generated)", "nothing was drafted"),
        ("Decode batch, accept len: 2.6.9, accept rate: 0.9", "accept len is 2.6.9|draft length"),
        (
            "\n".join(
                json.dumps({"specDecodingStats": {**ITERATION, "numDraftTokens": n}})
                for n in (3000, 4000, 2000)
            ),
            "part 2: 4000 drafted tokens in 1000 rounds are more than",
        ),
        (MEANS["aiperf-summary"].replace("56.53", "0.5653"), "a rate of 0.5653 percent"),
        (MEANS["aiperf-summary"].replace("56.53", "50.0"), "make 3.39 drafted tokens per round"),
        (json.dumps({"acceptance_histogram": {"-1": 3, "1": 5}, "num_spec_tokens": 3}), "the key -1"),
        (VLLM_LINE + "\n--spec-decode-acceptance-length 2.5\n", "synthetic"),
        (
            json.dumps({"config": {"synthetic_acceptance_rates": [1, 0.5]}, "accepted": [1], "drafted": 2}),
            "synthetic",
        ),
    ],
)
def test_bad_logs__are_refused_in_one_line(tmp_path, text, word):
    with pytest.raises(InputError, match=word) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    sorted(set(MEANS) - {"aiperf-summary", "llamacpp-timings", "sglang-requests", "trtllm-iterations"}),
)
def test_a_missing_draft_length__is_asked_for(tmp_path, name):
    with pytest.raises(InputError, match=r"draft.length"):
        read(tmp_path, MEANS[name])


def test_a_forced_format__is_used_or_refused(tmp_path):
    assert read(tmp_path, WITH_LAW["vllm-log"], format="vllm-log").settings[0].rounds == ROUNDS
    with pytest.raises(InputError, match=r"log\.txt: no column"):
        read(tmp_path, WITH_LAW["vllm-log"], format="table")
    with pytest.raises(InputError, match="format is 'x'"):
        read(tmp_path, "text", format="x")
    with pytest.raises(InputError, match="draft_length is 0"):
        read(tmp_path, "text", draft_length=0)
