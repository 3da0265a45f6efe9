"""Traces: exact round trips, one line for every damaged file, and what each reading keeps exactly."""

import numpy as np
import pytest
import xarray

from specsim import Batch, ModelPair, Speculative, parse_pair, random_pair, simulate, theory
from specsim.errors import InputError
from specsim.pairs.trace_pairs import from_trace
from specsim.records.trace_files import (
    OUTCOMES,
    check_trace,
    make_trace,
    read_trace,
    rows_of,
    top_rows,
    write_trace,
)

PAIR = random_pair(contexts=4, horizon=5, seed=3, stationary=True)
ACCEPTED, REJECTED = OUTCOMES["accepted"], OUTCOMES["rejected"]


def every_path(pair, horizon):
    """Return all sequences of a Markov pair after prompt 0, and their target probabilities."""
    paths = np.indices((pair.tokens,) * horizon).reshape(horizon, -1).T
    before = np.concatenate([np.zeros((len(paths), 1), dtype=np.int64), paths[:, :-1]], axis=1)
    return paths, before, pair.target[0][before, paths].prod(axis=1)


def trace_of(pair, paths, before, *, top=None, lengths=None):
    """A trace of given sequences, as if all tokens had been accepted in one round."""
    count, horizon = paths.shape
    lengths = np.full(count, horizon) if lengths is None else np.asarray(lengths)
    kept = np.arange(horizon) < lengths[:, None]
    target, draft = pair.target[0][before[kept]], pair.draft[0][before[kept]]
    token = paths[kept]
    every = np.arange(len(token))
    rows = {"target_row": target, "draft_row": draft} if top is None else top_rows(target, draft, top)
    return make_trace(
        {
            "sequence": np.nonzero(kept)[0],
            "step": np.nonzero(kept)[1] + 1,
            "token": token,
            "outcome": np.full(len(token), ACCEPTED),
            "total_variation": 0.5 * np.abs(target - draft).sum(axis=1),
            "target_of_token": target[every, token],
            "draft_of_token": draft[every, token],
            "round_sequence": np.arange(count),
            "round_step": np.ones(count),
            "round_drafted": lengths,
            "round_accepted": lengths,
            "prompt_sequence": np.arange(count),
            "prompt_token": before[:, 0],
            **rows,
        },
        {
            "vocabulary": pair.tokens,
            "sequences": count,
            "algorithm": "speculative",
            "target": "table",
            "draft": "table",
            "sampling": "none",
            "seed": "1",
        },
    )


@pytest.fixture
def trace():
    paths, before, _ = every_path(PAIR, 3)
    return trace_of(PAIR, paths[::5], before[::5], lengths=[1, 2, 3] * 4 + [3])


@pytest.fixture
def path(trace, tmp_path):
    write_trace(trace, tmp_path / "run.nc")
    return tmp_path / "run.nc"


def test_round_trip__keeps_everything(trace, path):
    copy = read_trace(path)
    xarray.testing.assert_identical(copy, trace)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("top", [0, 1, 3])
def test_top_rows__keep_the_total_variation(top):
    rng = np.random.default_rng(1)
    target, draft = rng.dirichlet(np.full(7, 0.3), size=(2, 50))
    parts = top_rows(target, draft, top)
    assert parts["top_token"].shape == (50, top)
    lumped = [
        np.concatenate([parts[f"{side}_top"], parts[f"{side}_rest"]], axis=1) for side in ("target", "draft")
    ]
    for rows in lumped:
        assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    wanted = 0.5 * np.abs(target - draft).sum(axis=1)
    assert np.abs(0.5 * np.abs(lumped[0] - lumped[1]).sum(axis=1) - wanted).max() < 1e-12


def test_top_rows__keep_at_least_one_token_out():
    with pytest.raises(InputError, match="top is 3; give a number from 0 to 2"):
        top_rows(np.full((1, 3), 1 / 3), np.full((1, 3), 1 / 3), 3)


def weighted(pair, weights):
    """The same pair with another law of the prompt: each sequence as often as the target writes it."""
    return ModelPair.from_probabilities(
        pair.target, pair.draft, initial=weights, next_context=pair.next_context, horizon=pair.horizon
    )


@pytest.mark.parametrize("top", [None, 0, 2])
def test_rows__give_theorem_1_of_the_models(top):
    """Over all sequences of the target, weighted as it writes them, the reading has the models' Theorem 1."""
    paths, before, weights = every_path(PAIR, 4)
    start = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=[1, 0, 0, 0], horizon=4)
    wanted = theory.expected_rejections(start, Speculative())
    pair = weighted(from_trace(trace_of(PAIR, paths, before, top=top)), weights)
    assert pair.horizon == 4
    assert abs(theory.expected_rejections(pair, Speculative()) - wanted) < 1e-6
    by_step = theory.rejections_by_step(start, Speculative())
    assert np.abs(theory.rejections_by_step(pair, Speculative()) - by_step).max() < 1e-6


@pytest.mark.parametrize(
    "algorithm", [Speculative(), Speculative(draft_length=2), Speculative(draft_length=2, bonus=False)]
)
def test_path__gives_every_law_of_the_models(algorithm):
    paths, before, weights = every_path(PAIR, 5)
    start = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=[1, 0, 0, 0], horizon=5)
    pair = weighted(from_trace(trace_of(PAIR, paths, before), reading="path"), weights)
    for law in (
        theory.rejection_law,
        theory.target_call_law,
        theory.accepted_length_counts,
        theory.rejections_by_step,
    ):
        assert np.abs(law(pair, algorithm) - law(start, algorithm)).max() < 1e-6


def test_rows__are_not_the_whole_truth_about_laws():
    """What the documentation says is lost: were it kept, "path" would not be needed."""
    paths, before, weights = every_path(PAIR, 5)
    start = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=[1, 0, 0, 0], horizon=5)
    pair = weighted(from_trace(trace_of(PAIR, paths, before)), weights)
    law = theory.rejection_law(pair, Speculative())
    assert np.abs(law - theory.rejection_law(start, Speculative())).max() > 1e-4


def test_markov__is_the_chain_where_the_models_are_one():
    paths, before, _ = every_path(PAIR, 3)
    pair = from_trace(trace_of(PAIR, paths, before), reading="markov", horizon=9)
    assert pair.is_markov
    assert pair.horizon == 9
    assert np.abs(pair.target - PAIR.target).max() < 1e-6
    assert np.abs(pair.draft - PAIR.draft).max() < 1e-6
    assert pair.initial.tolist() == [1, 0, 0, 0]


def test_sequences_that_end_early__are_never_rejected_afterwards(trace):
    pair = from_trace(trace)
    short = np.bincount(trace["sequence"].values) == 1
    distance = 0.5 * np.abs(pair.target - pair.draft).sum(axis=-1)
    assert (distance[1:, short] == 0).all()
    assert abs(distance.mean(axis=1).sum() - trace["total_variation"].values.sum() / 13) < 1e-6


def test_engines_and_grammar__work_on_a_trace(path):
    pair = parse_pair(f"trace:file={path},reading=rows,horizon=2")
    assert pair == ModelPair.from_trace(path, horizon=2)
    for algorithm in (Speculative(draft_length=1), Batch(drafts=2)):
        result = simulate(pair, algorithm, runs=20_000, seed=1)
        mean = result["rejections_by_step"].values.sum() / 20_000
        # Six standard errors of a mean in [0, 2]: false alarms below 1e-8.
        assert abs(mean - theory.expected_rejections(pair, algorithm)) < 6 / np.sqrt(20_000)


def test_from_trace__refuses(trace, path):
    for options, message in (
        ({"reading": "tokens"}, "reading is 'tokens'; give 'rows', 'path' or 'markov'"),
        ({"horizon": 4}, "horizon is 4 but the longest recorded continuation has 3 tokens"),
        ({"horizon": 0}, "horizon is 0; give a whole number of at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            ModelPair.from_trace(path, **options)
    paths, before, _ = every_path(PAIR, 1)
    with pytest.raises(InputError, match="needs full rows"):
        from_trace(trace_of(PAIR, paths, before, top=1), reading="markov")
    impossible = trace.copy(deep=True)
    rows = impossible["target_row"].values
    rows[0] = np.eye(4)[(int(impossible["token"][0]) + 1) % 4]
    impossible["target_of_token"].values[0] = 0
    impossible["total_variation"].values[0] = 0.5 * np.abs(rows[0] - impossible["draft_row"].values[0]).sum()
    with pytest.raises(InputError, match="position 0 of the trace has a token that its target never emits"):
        from_trace(impossible, reading="path")
    assert from_trace(impossible, reading="rows").horizon == 3


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95, 0.999])
def test_read_trace__a_truncated_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cannot read .*; record it again") as caught:
        read_trace(path)
    assert "\n" not in str(caught.value)


def test_read_trace__not_a_trace(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_trace(tmp_path / "none.nc")
    with pytest.raises(InputError, match="it is a folder"):
        read_trace(tmp_path)
    PAIR.to_file(tmp_path / "pair.nc")
    with pytest.raises(InputError, match="its format attribute is specsim-pair 1, not specsim-trace 1"):
        read_trace(tmp_path / "pair.nc")


def put(name, index, value):
    def edit(trace):
        trace[name].values[index] = value
        return trace

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("token", 0, 4), r"token has a value outside 0..3"),
        (put("token", 0, 3), "target_of_token does not agree with the rows"),
        (put("step", 1, 2), "step must count up from 1"),
        (put("sequence", 0, 12), "sequence must count up"),
        (put("outcome", 0, 7), "outcome has a value outside"),
        (put("outcome", 0, REJECTED), "rounds accepted 27 tokens, but outcome says 26"),
        (put("round_accepted", 0, 3), "a round accepts more tokens than it drafts"),
        (put("round_sequence", 0, 99), "round_sequence has a value outside"),
        (put("target_row", (0, 0), np.nan), "a target row has an entry that is not a probability"),
        (put("draft_row", (0, 0), 0.9), "the draft row of position 0 does not sum to 1"),
        (put("total_variation", 2, 0.9), "total_variation of position 2 is not its rows'"),
        (put("prompt_token", 0, 2), "its contents have changed since it was written"),
        (lambda trace: trace.drop_vars("draft_row"), "draft_row"),
        (lambda trace: trace.drop_vars("round_step"), "no variable round_step"),
        (lambda trace: trace.assign(step=trace["step"] * 1.0), "step is float64"),
        (lambda trace: trace.assign(more=trace["step"]), "unknown variable more"),
        (
            lambda trace: trace.assign_attrs(format="specsim-trace 9"),
            "its format attribute is specsim-trace 9",
        ),
        (lambda trace: trace.assign_attrs(vocabulary="many"), "an attribute or index is wrong"),
        (lambda trace: trace.assign_attrs(sequences=2), "sequence must count up"),
    ],
)
def test_read_trace__a_file_that_was_changed(trace, tmp_path, edit, message):
    edit(trace).to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=message) as caught:
        read_trace(tmp_path / "run.nc")
    assert "\n" not in str(caught.value)


def test_write_trace__refuses_what_it_could_not_read(trace, tmp_path):
    trace["total_variation"].values[0] += 0.5
    with pytest.raises(InputError, match="total_variation of position 0"):
        write_trace(trace, tmp_path / "run.nc")
    assert list(tmp_path.iterdir()) == []


def test_rows_of__returns_what_was_given():
    paths, before, _ = every_path(PAIR, 2)
    target, draft = rows_of(trace_of(PAIR, paths, before))
    assert np.abs(target - PAIR.target[0][before.ravel()]).max() < 1e-7
    assert np.abs(draft - PAIR.draft[0][before.ravel()]).max() < 1e-7
    check_trace(trace_of(PAIR, paths, before, top=2), "the trace")
