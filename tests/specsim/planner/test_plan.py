"""Plans: planted optima are found, traps are refused, and the page has the same numbers."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from specsim import (
    BlockVerification,
    Clock,
    InputError,
    Speculative,
    get_rule,
    parse_pair,
    plan,
    random_pair,
    theory,
)
from specsim.planner.estimates import estimate, fit_means, isotonic
from specsim.planner.page import page_data
from specsim.records.servers import ServerLog, Setting

PAIR = "random:contexts=3,horizon=20,seed=1,stationary=yes"
FIXED_K = """\
scope,K,net_speedup,accept_len
MIXED,1,1.3855,1.4863
MIXED,2,1.5379,1.7413
MIXED,3,1.5217,1.8658
MIXED,5,1.4538,1.9883
MIXED,7,1.3514,2.0291
"""
GOLDEN = (1.84, 2.52, 2.93, 3.41, 3.59, 3.57, 3.85, 4.06)


def write(folder, text, name="log.txt"):
    place = folder / name
    place.write_text(text)
    return place


def rounds_of(rates, rounds, seed=0, requests=40):
    """Return a log by request, of rounds that accept each further token with the next of the rates."""
    source = np.random.default_rng(seed)
    passed = source.random((requests, rounds // requests, len(rates))) < np.array(rates)
    lengths = np.cumprod(passed, axis=2).sum(axis=2)
    return "\n".join(
        json.dumps({"request_id": f"r{n}", "accepted": row.tolist(), "drafted": len(rates)})
        for n, row in enumerate(lengths)
    )


def log_of(*settings):
    return ServerLog(source="made", format="made", settings=settings)


def test_a_planted_optimum__is_found(tmp_path):
    rates = (0.9, 0.85, 0.8, 0.3, 0.2)
    place = write(tmp_path, rounds_of(rates, 12_000))
    found = plan(place, costs="draft=0.15", level=0.999)
    survivals = np.cumprod(rates)
    speeds = (1 + np.cumsum(survivals)) / (1 + 0.15 * np.arange(1, 6))
    assert speeds.argmax() == 2
    assert found.best.label == "draft_length=3"
    assert found.choice.undecided == ()
    assert found.choice.margin_low > 0
    for row, speed in zip(found.choice.rows[1:], speeds, strict=True):
        assert row.low < speed < row.high
        assert row.low < row.speed_up < row.high
        assert row.high - row.low < 0.1
    for low, survival, high in zip(found.survivals_low, survivals, found.survivals_high, strict=True):
        assert low < survival < high
    # The best length stops being best where the next shorter one is as fast.
    at = found.best_to
    assert speeds[2] * 1.45 / (1 + 3 * at) == pytest.approx(speeds[1] * 1.3 / (1 + 2 * at), rel=0.01)


@pytest.mark.slow
def test_intervals__cover(tmp_path):
    rates = (0.7, 0.6, 0.5)
    truth = 1 + np.cumsum(np.cumprod(rates))[1]
    hits = 0
    for seed in range(40):
        found = plan(write(tmp_path, rounds_of(rates, 2000, seed=seed, requests=20)), costs="draft=0")
        row = found.choice.row("draft_length=2")
        hits += row.tokens_low < truth < row.tokens_high
    # 95 % intervals of clustered data: 38 hits of 40 are expected.
    assert hits >= 33


def test_the_published_table__cannot_decide_between_2_and_3(tmp_path):
    found = plan(write(tmp_path, FIXED_K))
    assert found.best.draft_length == 3
    assert found.choice.undecided == ("draft_length=2",)
    assert "The data cannot decide between 2 and 3." in str(found).replace("\n", " ")
    # Constant acceptance from single drafts is too low here.
    assert found.choice.row("draft_length=7").constant_error == pytest.approx(1.941 / 2.0291 - 1, abs=1e-3)
    for costs in ("draft=0.066", "draft=0.072"):
        held = plan(write(tmp_path, FIXED_K), costs=costs)
        # Costs that the measured speed-ups contradict do not make it decide, either.
        assert "draft_length=2" in held.choice.undecided
        assert any("measured speed-ups differ" in note for note in held.understood)
        known = held.choice.row("draft_length=3")
        assert known.speed_up == pytest.approx(1.8658 / (1 + 3 * float(costs[6:])), rel=1e-6)


def test_golden_tables__show_their_noise(tmp_path):
    lines = "".join(f"    {k}: {value}\n" for k, value in enumerate(GOLDEN, start=1))
    found = plan(write(tmp_path, "m:\n  thinking_off:\n" + lines), costs="draft=0.05")
    assert "draft_length=4" in found.choice.undecided
    assert sum("survivals increase" in warning for warning in found.warnings) == 3
    errors = [row.constant_error for row in found.choice.rows[1:]]
    assert max(errors) > 0.2
    assert any("nothing is extrapolated" in warning for warning in found.warnings)
    tokens = [row.tokens for row in found.choice.rows]
    assert (np.diff(np.diff(tokens)) < 1e-9).all()


def test_a_pair__is_planned_exactly():
    pair, clock = parse_pair(PAIR), Clock(draft=0.1, overhead=0.02)
    found = plan(pair, costs=clock)
    assert len(found.choices[0].rows) >= 15
    for row in found.choices[0].rows[1:4]:
        length = row.draft_length
        assert row.speed_up == pytest.approx(
            theory.stationary_speed_up(pair, Speculative(draft_length=length), clock)
        )
        assert row.low == pytest.approx(row.high)
    assert found.choice.undecided == ()
    few = plan(
        pair, costs=clock, algorithms=[Speculative(draft_length=2), get_rule("recursive")(tree=(2, 1))]
    )
    assert [row.label.split(":")[0] for row in few.choice.rows] == ["plain", "speculative", "recursive"]
    short = plan("paper:12", costs=clock, algorithms=[Speculative(draft_length=3)])
    assert short.best.tokens == pytest.approx(
        theory.block_efficiency(parse_pair("paper:12"), Speculative(draft_length=3))
    )


def test_lossy_rules__are_named():
    found = plan(
        PAIR, costs="draft=0.1", algorithms=[get_rule("over-acceptance")(epsilon=0.1, draft_length=2)]
    )
    assert "the output is not the target's" in " ".join(found.warnings)


def test_batches__change_the_choice():
    clock = Clock(draft=0.05, token=0.02, free=16)
    found = plan(
        PAIR, costs=clock, batch=[1, 8, 64], algorithms=[Speculative(draft_length=k) for k in (1, 2, 4, 6)]
    )
    lengths = [choice.row(choice.best).draft_length for choice in found.choices]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]
    assert found.break_even_batch is not None
    only = [Speculative(draft_length=k) for k in (1, 2, 4, 6)]
    assert plan(PAIR, costs=clock, batch=found.break_even_batch, algorithms=only).best.label == "plain"
    assert plan(PAIR, costs=clock, batch=found.break_even_batch - 1, algorithms=only).best.label != "plain"
    most = plan(PAIR, costs=clock, batch=[1, 8, 64], objective="throughput")
    assert most.choice.batch == 64


def test_break_even_cost__is_where_nothing_pays():
    only = [Speculative(draft_length=2)]
    found = plan(PAIR, costs="draft=0.1", algorithms=only)
    beyond = plan(PAIR, costs=Clock(draft=found.break_even_draft * 1.001), algorithms=only)
    assert beyond.best.label == "plain"
    assert found.break_even_draft == pytest.approx((found.best.tokens - 1) / 2, rel=1e-6)


def test_emitted_configurations__are_read_back():
    clock = Clock(draft=0.05, token=0.02, free=16)
    only = [Speculative(draft_length=k) for k in (1, 2, 4, 6)]
    found = plan(PAIR, costs=clock, batch=[1, 8, 1024], algorithms=only)
    text = found.emit("vllm")
    (config_text,) = re.findall(r"'(.*)'", text)
    config = json.loads(config_text)
    table = config["num_speculative_tokens_per_batch_size"]
    assert table[0][0] == 1
    assert table[-1][1:] == [1024, 0]
    assert config["num_speculative_tokens"] == max(row[2] for row in table)
    assert "draft_len_schedule: {1: " in found.emit("trtllm")
    (steps_text,) = re.findall(r"adaptive.json: (.*)", found.emit("sglang"))
    steps = json.loads(steps_text)["candidate_steps"]
    assert steps == sorted({row[2] for row in table} - {0})
    block = plan(PAIR, costs="draft=0.1", algorithms=[BlockVerification(draft_length=3)])
    assert '"rejection_sample_method": "block"' in block.emit("vllm")
    assert "leave speculation off" in plan(PAIR, costs="draft=5").emit("vllm")
    with pytest.raises(InputError, match="engine is 'x'"):
        found.emit("x")


def setting(hist, **more):
    hist = np.array(hist, dtype=float)
    reached = tuple(hist[::-1].cumsum()[::-1][1:])
    rounds = int(hist.sum())
    return Setting(
        draft_length=len(hist) - 1, rounds=rounds, reached=reached, mean=sum(reached) / rounds, **more
    )


@pytest.mark.parametrize("hist", [[0, 0, 60, 40, 0], [0, 100, 0, 0], [0, 0, 70, 30], [20, 80, 0, 0]])
def test_synthetic_logs__are_refused(hist):
    with pytest.raises(InputError, match="synthetic"):
        plan(log_of(setting(hist)), costs="draft=0.1")


@pytest.mark.parametrize("hist", [[98, 2, 0, 0], [5, 5, 0, 0], [40, 60], [30, 30, 20, 20]])
def test_plain_logs__are_not_taken_for_synthetic(hist):
    plan(log_of(setting(hist)), costs="draft=0.1")


def test_copied_text__is_warned_of():
    found = plan(log_of(setting([0, 0, 0, 90])), costs="draft=0.1")
    assert "every drafted token was accepted" in " ".join(found.warnings)


def test_conditional_positions__are_refused():
    wrong = Setting(draft_length=3, rounds=1000, reached=(700.0, 600.0, 800.0), mean=2.1)
    with pytest.raises(InputError, match="never increase"):
        plan(log_of(wrong), costs="draft=0.1")
    rounded = Setting(draft_length=3, rounds=1000, reached=(700.0, 500.0, 501.0), mean=1.701)
    found = plan(log_of(rounded), costs="draft=0.1")
    assert found.survivals == pytest.approx((0.7, 0.5005, 0.5005))
    assert "evened out" in " ".join(found.warnings)


def test_rates_that_depend_on_the_length__are_kept_apart():
    found = plan(log_of(setting([300, 700]), setting([500, 300, 200])), costs="draft=0.1")
    assert "depends on the draft length" in " ".join(found.warnings)
    assert [row.tokens for row in found.choice.rows] == pytest.approx([1, 1.7, 1.7])
    same = plan(log_of(setting([300, 700]), setting([300, 350, 350])), costs="draft=0.1")
    assert same.choice.rows[2].tokens == pytest.approx(1 + 0.7 + 0.35)


def test_one_mean__decides_nothing_but_itself():
    found = plan(log_of(Setting(draft_length=4, mean=1.5, error=0.05)), costs="draft=0.1")
    assert [row.label for row in found.choice.rows] == ["plain", "draft_length=4"]
    assert "says nothing of other lengths" in " ".join(found.warnings)
    assert found.best.low < found.best.speed_up < found.best.high


def test_huge_counts__do_not_overflow():
    big = 2**61
    found = estimate(log_of(Setting(draft_length=2, rounds=big, reached=(big / 2, big / 4), mean=0.75)))
    assert found.tokens == pytest.approx([1.5, 1.75])


def test_isotonic_and_means():
    assert isotonic(np.array([3.0, 1.0, 2.0, 2.0])).tolist() == pytest.approx([3, 5 / 3, 5 / 3, 5 / 3])
    lengths = np.array([1, 2, 3, 5, 7])
    law = np.array([0.4863, 0.7413, 0.8658, 0.9883, 1.0291])
    assert fit_means(lengths, law) == pytest.approx(law, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"objective": "speed"}, "objective is 'speed'"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": [1, 1]}, "different batch sizes"),
        ({"level": 2}, "level is 2"),
        ({"costs": "drat=1"}, "did you mean draft"),
        ({"format": "vllm-log"}, "are for logs"),
        ({"algorithms": []}, "algorithms is empty"),
        ({"algorithms": [Speculative()]}, "finite draft_length"),
    ],
)
def test_bad_requests__are_refused(options, word):
    with pytest.raises(InputError, match=word):
        plan(PAIR, **options)


def test_a_log__cannot_compare_rules(tmp_path):
    with pytest.raises(InputError, match="a log cannot compare rules"):
        plan(write(tmp_path, FIXED_K), algorithms=[Speculative(draft_length=1)])


SCRIPT = """
const fs = require("fs"), html = fs.readFileSync(process.argv[2], "utf8");
const script = html.match(/<script>([\\s\\S]*?)<\\/script>/)[1];
const page = new Function(script + "; return {DATA, results, initialState, bestOf, picture};")();
const state = page.initialState(page.DATA), change = JSON.parse(process.argv[3]);
Object.assign(state.costs || {}, change.costs || {});
if (change.batch) state.batch = change.batch;
if (change.acceptance) state.acceptance = change.acceptance;
if (page.DATA.tables) state.table = page.DATA.tables[state.batch];
const rows = page.results(page.DATA, state);
console.log(JSON.stringify({rows, best: page.bestOf(rows).label, picture: page.picture(rows, state)}));
"""


def in_browser(folder, found, **change):
    """Run the page's own functions."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, to run the page's functions")
    page, script = write(folder, found.html(), "page.html"), write(folder, SCRIPT, "run.js")
    done = subprocess.run(
        [node, str(script), str(page), json.dumps(change)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def assert_same(shown, choice):
    assert shown["best"] == choice.best
    for row, known in zip(shown["rows"], choice.rows, strict=True):
        assert row["label"] == known.label
        assert row["tokens"] == pytest.approx(known.tokens, rel=1e-12)
        assert row["time"] == pytest.approx(known.time, rel=1e-12)
        assert row["speedUp"] == pytest.approx(known.speed_up, rel=1e-12)
        assert row["low"] == pytest.approx(known.low, rel=1e-9)
        assert row["high"] == pytest.approx(known.high, rel=1e-9)
        if row["constant"] is not None:
            assert row["constant"] == pytest.approx(known.constant, rel=1e-12)


def test_the_page__has_the_same_numbers(tmp_path):
    clock = Clock(draft=0.07, overhead=0.03, token=0.01, free=8)
    found = plan(PAIR, costs=clock, batch=[1, 16])
    shown = in_browser(tmp_path, found)
    assert_same(shown, found.choices[0])
    assert shown["picture"].startswith("<svg")
    assert_same(in_browser(tmp_path, found, batch=16), found.choices[1])
    dearer = plan(PAIR, costs=Clock(draft=0.2, overhead=0.03, token=0.01, free=8))
    assert_same(in_browser(tmp_path, found, costs={"draft": 0.2}), dearer.choices[0])
    log = plan(write(tmp_path, FIXED_K))
    assert_same(in_browser(tmp_path, log), log.choices[0])


def test_the_page__scales_conditional_acceptances(tmp_path):
    found = plan(log_of(setting([200, 240, 224, 336])), costs="draft=0.1")
    shown = in_browser(tmp_path, found, acceptance=0.4)
    # 0.8, 0.7, 0.6 become 0.4, 0.35, 0.3.
    assert [row["tokens"] for row in shown["rows"]] == pytest.approx([1, 1.4, 1.54, 1.582])
    trees = in_browser(tmp_path, plan(PAIR, costs="draft=0.1"), acceptance=0.4)
    assert {row["label"].split(":")[0] for row in trees["rows"] if row["speedUp"] is None} == {
        "batch",
        "recursive",
    }


def test_the_page__is_self_contained(tmp_path):
    table = write(
        tmp_path, "kind,batch,width,time\nround,1,0,10\nround,1,8,15\nround,4,0,11\nround,4,8,19\n", "c.csv"
    )
    found = plan(write(tmp_path, FIXED_K), costs=str(table), batch=[1, 4])
    html = found.html()
    assert not re.search(r"https?://|src=|@import|fetch\(", html)
    assert 'name="viewport"' in html
    assert html.count("<label") == html.count("</label>") == html.count('type="range"') == 6
    assert page_data(found)["costs"] is None
    assert found.break_even_draft is None
    assert_same(in_browser(tmp_path, found, batch=4), found.choices[1])
    wicked = plan(
        random_pair(contexts=2, horizon=5, seed=1, family="uniform", stationary=True), costs="draft=0.1"
    )
    assert "</script>" not in json.dumps(page_data(wicked)).replace("<", "\\u003c")
