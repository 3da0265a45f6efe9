"""The grammar: what it spells, that labels come back, and what every mistake is told."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from specsim.algorithms import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    Speculative,
    catalogue,
    get_rule,
    tree,
)
from specsim.algorithms.rule import aliases
from specsim.errors import InputError
from specsim.grammar import ALGORITHMS, PAIRS, parse_algorithm, parse_pair
from specsim.pairs.derived import blended_draft, cache_favouring_draft, restricted_vocabulary
from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
from specsim.pairs.ngrams import from_ngrams
from specsim.pairs.row_families import ROW_FAMILIES


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("autoregressive", Autoregressive()),
        ("speculative", Speculative()),
        ("speculative:draft_length=4,bonus=no", Speculative(draft_length=4, bonus=False)),
        ("speculative:draft_length=none", Speculative()),
        (" batch : drafts = 4 ".replace(" :", ":"), Batch(drafts=4)),
        ("batch:drafts=inf", Batch(drafts=math.inf)),
        ("over-acceptance:epsilon=0.1,residual=draft", OverAcceptance(epsilon=0.1, residual="draft")),
        ("over-acceptance:epsilon=1/10", OverAcceptance(epsilon=Fraction(1, 10))),
        ("over-acceptance:epsilon=0", OverAcceptance(epsilon=0)),
        ("over-acceptance:epsilon=1e-3", OverAcceptance(epsilon=0.001)),
        ("batch-as-printed:drafts=2,slip=inside-loop", BatchAsPrinted(drafts=2, slip="inside-loop")),
        ("block-verification:draft_length=3", BlockVerification(draft_length=3)),
        ("k-seq:drafts=3,draft_length=2", get_rule("k-seq")(drafts=3, draft_length=2)),
        ("traversal:tree=2-2-1,bonus=no", get_rule("traversal")(tree=(2, 2, 1), bonus=False)),
        ("traversal:tree=0.0.1", get_rule("traversal")(tree=tree((-1, 0, 0, 1)))),
        ("match:tree=3,drawn=greedy", get_rule("match")(drafts=3, draft_length=1, drawn="greedy")),
        ("gumbel-match:draft_length=2", get_rule("gumbel")(draft_length=2)),
        ("optimal-transport:drafts=2", get_rule("transport")(drafts=2)),
        ("over-acceptance:epsilon=1,drawn=independent",
         get_rule("over-acceptance")(epsilon=1, drawn="independent")),
    ],
)  # fmt: skip
def test_parse_algorithm(text, algorithm):
    assert parse_algorithm(text) == algorithm


def test_parse_algorithm__one_tenth_is_exact_and_0_1_is_a_float():
    assert isinstance(parse_algorithm("over-acceptance:epsilon=1/10").epsilon, Fraction)
    assert parse_algorithm("over-acceptance:epsilon=0.1").epsilon != Fraction(1, 10)


lengths = st.one_of(st.none(), st.integers(1, 99))
rounds = {"draft_length": lengths, "bonus": st.booleans()}
epsilons = st.one_of(
    st.fractions(0, 3), st.floats(0, 1e300, allow_nan=False), st.integers(0, 10**30), st.just(5e-324)
)
named = st.one_of(
    st.just(Autoregressive()),
    st.builds(Speculative, **rounds),
    st.builds(BlockVerification, **rounds),
    st.builds(Batch, drafts=st.one_of(st.integers(1, 10**6), st.just(math.inf)), **rounds),
    st.builds(
        OverAcceptance, epsilon=epsilons, residual=st.sampled_from(["optimal", "target", "draft"]), **rounds
    ),
    st.builds(
        BatchAsPrinted, drafts=st.integers(1, 99), slip=st.sampled_from(["inside-loop", "extra-subtraction"])
    ),
)


@st.composite
def parents_of(draw):
    """Draw parents in breadth-first order, which never fall."""
    found = [-1, 0]
    for node in range(2, draw(st.integers(2, 9))):
        found.append(draw(st.integers(found[-1], node - 1)))
    return tree(found)


@st.composite
def rules(draw):
    """Draw a rule of the catalogue with a structure, a drawing and parameters that it serves."""
    rule = draw(st.sampled_from([rule for rule in catalogue().values() if "table" not in kinds(rule)]))
    options = {"bonus": draw(st.booleans()), "drawn": draw(st.sampled_from([None, *rule.drawings]))}
    shape = draw(st.sampled_from(rule.structures))
    if shape == "tree":
        options["tree"] = draw(
            st.one_of(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple), parents_of())
        )
    else:
        options["draft_length"] = draw(lengths)
    if shape == "paths":
        options["drafts"] = draw(st.integers(1, 9))
    for name, parameter in rule.parameters.items():
        options[name] = draw(
            st.sampled_from(parameter.choices)
            if parameter.kind == "choice"
            else st.integers(1, 9)
            if parameter.kind == "whole"
            else st.one_of(
                st.fractions(0, min(parameter.most, 3)), st.floats(0, min(float(parameter.most), 1e299))
            )
        )
    return rule(**options)


def kinds(rule):
    return {parameter.kind for parameter in rule.parameters.values()}


@settings(deadline=None, max_examples=400)
@given(rules())
def test_label__of_a_rule_of_the_catalogue_comes_back(algorithm):
    again = parse_algorithm(algorithm.label)
    assert again.rule is algorithm.rule
    assert again.drawing == algorithm.drawing
    assert again.whole_bonus == algorithm.whole_bonus
    assert again.parameters == algorithm.parameters
    assert all(again.structure(limit) == algorithm.structure(limit) for limit in (1, 2, 5, 120))
    # A descriptor with a class of its own is built where the rule has one.
    assert again == algorithm or type(again) is not type(algorithm)


@pytest.mark.parametrize("largest", [1e300, Fraction(1e300), int(1e300)])
def test_label__of_the_largest_number_comes_back(largest):
    # The float nearest to 10^300 is above it.
    algorithm = OverAcceptance(epsilon=largest)
    assert parse_algorithm(algorithm.label) == algorithm
    with pytest.raises(InputError, match="epsilon is"):
        OverAcceptance(epsilon=largest * 2)


@settings(deadline=None, max_examples=200)
@given(named)
def test_label__comes_back(algorithm):
    assert parse_algorithm(algorithm.label) == algorithm


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown algorithm ''; known: autoregressive, speculative,"),
        ("spec", "unknown algorithm 'spec'; did you mean speculative"),
        ("spekulative", "did you mean speculative"),
        ("Batch(drafts=4)", r"unknown algorithm 'Batch\(drafts=4\)'"),
        ("batch", "drafts is missing; write batch:drafts=..."),
        ("batch:", "an item is empty; write key=value"),
        ("batch:drafts", "'drafts' has no key; write batch:drafts="),
        ("batch:drafts=", "drafts has no value"),
        ("batch:drafts=4,", "an item is empty"),
        ("batch:draft=4", "has no key 'draft'; did you mean drafts"),
        ("batch:zzz=4", "has no key 'zzz'; known: drafts, draft_length, bonus"),
        ("batch:drafts=4,drafts=4", "drafts is given twice"),
        ("batch:drafts=four", "drafts is 'four'; give a whole number, or inf"),
        ("batch:drafts=4.0", "drafts is '4.0'"),
        ("batch:drafts=1_000", "drafts is '1_000'"),
        ("batch:drafts=٤", "drafts is '٤'"),
        ("batch:drafts=0", "drafts is 0; give a whole number of at least 1"),
        ("batch:drafts=4,bonus=maybe", "bonus is 'maybe'; give yes or no"),
        ("batch:drafts=__import__('os')", "drafts is"),
        ("batch-as-printed:drafts=2,slip=both", "slip is 'both'; give one of inside-loop, extra-subtraction"),
        ("over-acceptance:epsilon=1/0", "epsilon is '1/0'; give a number such as 0.1 or 1/10"),
        ("over-acceptance:epsilon=-1", "epsilon is -1; give a finite number, at least 0"),
        ("over-acceptance:epsilon=nan", "epsilon is nan"),
        ("over-acceptance:epsilon=1e", "epsilon is '1e'"),
        ("autoregressive:draft_length=3", "has no key 'draft_length'; known: none"),
        ("rejection-based", r"build it in Python with specsim.get_rule\('rejection-based'\)"),
        ('batch:drafts="4', "cannot read"),
        ("traversal:tree=2-0", r"widths\[1\] is 0; give a whole number of at least 1"),
        ("traversal:tree=0.5", r"parents\[2\] is 5; give an earlier node"),
        ("traversal:tree=2x2", "tree is '2x2'; give the children of a node at each depth"),
        ("traversal:tree=2-2,drafts=2", "tree is given with draft_length or drafts"),
        ("traversal:drawn=distinct", "drawn is 'distinct'; give one of independent"),
        ("block:drafts=2", "block has no key 'drafts'"),
        ("travrsal", "did you mean traversal\\? 'specsim rules' lists all$"),
    ],
)
def test_parse_algorithm__mistakes_get_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_algorithm(text)
    assert "\n" not in str(caught.value)


def test_parse_pair__constructors():
    assert parse_pair("paper:50") == parse_pair("paper:horizon=50") == paper_pair(50)
    assert parse_pair("random:contexts=7,horizon=50,family=uniform,seed=3") == random_pair(
        contexts=7, horizon=50, seed=3
    )
    assert parse_pair(
        "random:contexts=3,tokens=4,horizon=5,seed=1,stationary=yes,initial=random,family=sparse,density=.3"
    ) == random_pair(
        contexts=3,
        tokens=4,
        horizon=5,
        seed=1,
        stationary=True,
        initial="random",
        family="sparse",
        density=0.3,
    )
    assert parse_pair("prefix:tokens=2,horizon=3,family=uniform,seed=1") == random_prefix_pair(
        tokens=2, horizon=3, seed=1
    )


@pytest.mark.parametrize(
    "pair",
    [
        paper_pair(3),
        *(random_pair(contexts=3, horizon=2, seed=1, family=family) for family in ROW_FAMILIES),
        random_pair(contexts=3, tokens=2, horizon=2, seed=1, stationary=True, initial="point"),
        random_pair(contexts=3, horizon=2, seed=1, family="perturbed", tv=1 / 3),
        random_pair(contexts=3, horizon=2, seed=1, family="dirichlet", concentration=1e-3),
        random_prefix_pair(tokens=2, horizon=3, seed=1, family="sparse", density=0.7),
        restricted_vocabulary(paper_pair(3), size=2),
        restricted_vocabulary(paper_pair(3), size=2, by="global", noise=1e-7, seed=4),
        cache_favouring_draft(paper_pair(3), size=2, factor=1 / 3),
        blended_draft(restricted_vocabulary(random_pair(contexts=3, horizon=2, seed=1), size=2), 1 / 3),
    ],
    ids=lambda pair: pair.name,
)
def test_name__of_a_constructed_pair_comes_back(pair):
    assert parse_pair(pair.name) == pair
    assert parse_pair(pair.name).name == pair.name


def test_parse_pair__derived_pairs(tmp_path):
    base = random_pair(contexts=3, horizon=2, seed=1)
    spelled = "random:contexts=3,horizon=2,seed=1"
    narrow = restricted_vocabulary(base, size=2)
    assert parse_pair(f"restricted:size=2,of={spelled}") == narrow
    assert parse_pair(f' restricted: size = 2 , of = "{spelled}" ') == narrow
    assert parse_pair(f"blended:target_share=.5,of=restricted:size=2,of={spelled}") == blended_draft(
        narrow, 0.5
    )
    base.to_file(tmp_path / "a, of=b.nc")
    assert parse_pair(f"restricted:size=2,of={tmp_path / 'a, of=b.nc'}") == narrow


def test_parse_pair__ngrams_and_files(tmp_path):
    text = tmp_path / "a, b.txt"
    text.write_text("to be or not to be")
    pair = parse_pair(f'ngrams:file="{text}",horizon=4,target_order=1,draft_order=0,smoothing=0.5')
    assert pair == from_ngrams(text, horizon=4, target_order=1, draft_order=0, smoothing=0.5)
    assert parse_pair(pair.name) == pair
    pair.to_file(tmp_path / "pair.nc")
    assert parse_pair(str(tmp_path / "pair.nc")) == pair


def test_parse_pair__a_file_may_have_the_name_of_a_constructor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paper_pair(2).to_file("random")
    assert parse_pair("random") == paper_pair(2)
    paper_pair(3).to_file("paper:50")
    assert parse_pair("./paper:50") == paper_pair(3)
    assert parse_pair("paper:50") == paper_pair(50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "papr:50",
            "pair 'papr:50' is unknown and no file has this name; did you mean paper",
        ),
        ("none.nc", "pair 'none.nc' is unknown and no file"),
        ("", "pair '' is unknown and no file"),
        ("a\0b", "is unknown and no file has this name"),
        ("x" * 5000, "is unknown and no file has this name"),
        ("paper", "horizon is missing; write paper:horizon=..."),
        ("paper:fifty", "horizon is 'fifty'; give a whole number"),
        ("paper:50,60", "'60' has no key"),
        ("paper:50,horizon=60", "horizon is given twice"),
        ("paper:0", "horizon is 0"),
        ("paper:99999999999999999999", "horizon is '99999999999999999999'"),
        ("random:contexts=3,horizon=2", "seed is missing; write random:contexts=...,horizon=...,seed=..."),
        ("random:contexts=3,horizon=2,seed=1,family=x", "family is 'x'; give one of uniform, dirichlet"),
        ("random:contexts=3,horizon=2,seed=1,tv=.1", "tv is 0.1, but family uniform does not take it"),
        ("random:7", "'7' has no key; write random:contexts="),
        ("ngrams:horizon=3", "file is missing"),
        ("ngrams:file=none.txt,horizon=3", "cannot read none.txt"),
        ("restricted:of=paper:5", "size is missing; write restricted:size=...,of=..."),
        ("restricted:size=2", "of is missing; write restricted:size=...,of=..."),
        ("restricted:size=2,of=", "of has no value"),
        ("restricted:size=9,of=paper:5", "size is 9; give a whole number from 1 to 7"),
        ("restricted:size=2,of=paper:5,by=global", "pair paper has no key 'by'"),
        ("restricted:size=2,of=papr:5", "did you mean paper"),
        ("cache-favouring:size=2,factor=2,of=paper:5", "factor is 2.0; give a number from 0 to 1"),
        ("blended:target_share=2,of=paper:5", "target_share is 2.0; give a number from 0 to 1"),
        ("restricted:size=2," + "of=restricted:size=2," * 2000 + "of=paper:5", "derived more than 20 times"),
    ],
)
def test_parse_pair__mistakes_get_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_pair(text)
    assert "\n" not in str(caught.value)


def test_tables__every_keyword_is_explained():
    for table in (ALGORITHMS, PAIRS):
        for keyword, entry in table.items():
            assert entry.help.endswith(".")
            assert set(entry.required) <= set(entry.keys)
            assert entry.usage(keyword).startswith(keyword)
            assert all(kind.description for kind in entry.keys.values())


def test_tables__every_rule_and_alias_is_a_keyword():
    assert {*catalogue(), *aliases()} <= ALGORITHMS.keys()
    for alias, name in aliases().items():
        assert get_rule(alias) is get_rule(name)
