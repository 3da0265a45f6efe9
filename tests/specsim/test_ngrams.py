"""N-gram pairs against the formula of the docstring, written down plainly over whole histories."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError, TooLargeError
from specsim.pairs import ngrams
from specsim.pairs.ngrams import UNKNOWN, from_ngrams

TEXT = "abracadabra, abracadabra! a cab; a crab, a bar.\nabacus abra cad."


def plain_row(text, history, alphabet, order, smoothing):
    """P_order(. | last tokens of history), by recursion on the definition."""
    if order < 0:
        return [Fraction(1, len(alphabet))] * len(alphabet)
    context = history[len(history) - order :] if order else ""
    below = plain_row(text, history, alphabet, order - 1, smoothing)
    counts = [
        sum(text[i : i + order] == context and text[i + order] == x for i in range(len(text) - order))
        for x in alphabet
    ]
    total = sum(counts)
    if total + smoothing == 0:
        return below
    return [
        (count + smoothing * under) / Fraction(total + smoothing)
        for count, under in zip(counts, below, strict=True)
    ]


def walk(pair, history):
    """The context of the pair after `history`, whose first tokens are one of its longest contexts."""
    context, start = CONTEXTS[id(pair)]
    position = context[history[:start]]
    for token in history[start:]:
        position = int(pair.next_context[position, pair.token_names.index(token)])
    return position


CONTEXTS: dict[int, tuple[dict[str, int], int]] = {}


def with_contexts(text, order, **options):
    """The pair, and the number of the context of every string of `order` tokens that it begins with."""
    pair = from_ngrams(text, **options)
    table = ngrams._Contexts(*encoded(text), order=order)
    places = {text[i - order : i]: int(table.at[order][i]) for i in range(order, len(text))}
    CONTEXTS[id(pair)] = (places, order)
    return pair


def encoded(text):
    alphabet = sorted(set(text))
    return np.array([alphabet.index(x) for x in text], dtype=np.int64), len(alphabet)


@pytest.mark.parametrize(
    ("target_order", "draft_order", "smoothing"),
    [(2, 1, 1), (1, 0, 1), (3, 1, 2), (0, 2, 1), (2, 2, 0), (1, 0, 0), (0, 0, 1), (3, 2, 0)],
)
def test_rows__follow_the_formula_after_every_history(target_order, draft_order, smoothing):
    text = "abcabbacaabcacba"
    order = max(target_order, draft_order)
    pair = with_contexts(
        text,
        order,
        horizon=4,
        target_order=target_order,
        draft_order=draft_order,
        smoothing=smoothing,
    )
    starts = sorted(CONTEXTS[id(pair)][0])
    for start in starts:
        for further in itertools.product("abc", repeat=2):
            history = start + "".join(further)
            context = walk(pair, history)
            for rows, which in ((pair.target, target_order), (pair.draft, draft_order)):
                expected = plain_row(text, history, "abc", which, smoothing)
                assert rows[0, context] == pytest.approx([float(x) for x in expected], abs=2.0**-31)


@settings(deadline=None, max_examples=40)
@given(
    st.text("ab", min_size=5, max_size=30), st.integers(0, 4), st.integers(0, 4), st.text("ab", max_size=5)
)
def test_rows__follow_the_formula_for_any_text(text, target_order, draft_order, further):
    if len(set(text)) < 2:
        text += "ab"
    order = max(target_order, draft_order)
    pair = with_contexts(
        text, order, horizon=4, target_order=target_order, draft_order=draft_order, smoothing=1.0
    )
    for start in CONTEXTS[id(pair)][0]:
        history = start + further
        context = walk(pair, history)
        for rows, which in ((pair.target, target_order), (pair.draft, draft_order)):
            expected = plain_row(text, history, "ab", which, 1)
            assert rows[0, context] == pytest.approx([float(x) for x in expected], abs=2.0**-31)


def test_initial__is_the_empirical_law_of_the_contexts():
    pair = with_contexts("abab" + "b", 1, horizon=2, target_order=1, draft_order=0)
    places, _ = CONTEXTS[id(pair)]
    # Of the 4 places with a token before and after them, 2 come after a and 2 after b.
    assert pair.initial[places["a"]] == 0.5
    assert pair.initial[places["b"]] == 0.5
    assert pair.initial[0] == 0.0


def test_orders__draft_and_target_agree_exactly_where_the_orders_do():
    pair = from_ngrams(TEXT, horizon=3, target_order=2, draft_order=2)
    assert (pair.target_weights == pair.draft_weights).all()
    pair = from_ngrams(TEXT, horizon=3, target_order=2, draft_order=1)
    assert (pair.target_weights != pair.draft_weights).any()
    zero = from_ngrams(TEXT, horizon=3, target_order=0, draft_order=0)
    assert zero.contexts == 1


def test_smoothing__none_gives_zeros_and_much_gives_uniform_rows():
    assert (from_ngrams(TEXT, horizon=3, smoothing=0.0).target == 0).any()
    smooth = from_ngrams(TEXT, horizon=3, smoothing=1e12)
    assert smooth.target == pytest.approx(np.full(smooth.target.shape, 1 / smooth.tokens), abs=1e-8)


def test_levels__words_and_bytes():
    words = from_ngrams("the cat the dog the cat", horizon=2, level="word")
    assert words.token_names == ("cat", "dog", "the")
    data = from_ngrams("aé", horizon=2, level="byte", target_order=1, draft_order=0)
    assert data.token_names == ("61", "a9", "c3")
    characters = from_ngrams("aé\n\0é a", horizon=2, target_order=1, draft_order=0)
    assert characters.token_names == ("\\x00", "\\n", " ", "a", "é")


def test_vocabulary__keeps_the_most_frequent_and_maps_the_others_to_unknown():
    pair = from_ngrams("aaabbccd", horizon=2, vocabulary=2, target_order=0, draft_order=0, smoothing=0.0)
    # b and c are equally frequent: the first in the order of the tokens is kept.
    assert pair.token_names == ("a", "b", UNKNOWN)
    assert pair.target[0, 0].tolist() == [3 / 8, 2 / 8, 3 / 8]
    assert UNKNOWN not in from_ngrams("aab", horizon=2, vocabulary=2).token_names
    clash = from_ngrams(f"{UNKNOWN} {UNKNOWN} a b", horizon=1, vocabulary=1, level="word")
    assert clash.token_names == (UNKNOWN, f"<{UNKNOWN}>")


def test_file__gives_what_the_text_gives(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode())
    assert from_ngrams(path, horizon=5) == from_ngrams(TEXT, horizon=5)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("", {}, "the text has no characters; give a text that is not empty"),
        (" \n", {"level": "word"}, "the text has no words"),
        ("ab", {}, "the text has 2 tokens, too few for order 2; give at least 3 tokens or lower the orders"),
        ("abc", {"level": "letter"}, "level is 'letter'; give 'character', 'word' or 'byte'"),
        ("abc", {"horizon": 0}, "horizon is 0"),
        ("abc", {"target_order": -1}, "target_order is -1"),
        ("abc", {"draft_order": 1.0}, "draft_order is 1.0"),
        ("abc", {"smoothing": -1}, "smoothing is -1; give a finite number, at least 0"),
        ("abc", {"smoothing": "a lot"}, "smoothing is 'a lot'"),
        ("abc", {"smoothing": np.nan}, "smoothing is nan"),
        ("abc", {"vocabulary": 0}, "vocabulary is 0"),
        ("book.txt", {}, r"looks like the name of a file .*; give pathlib.Path\('book.txt'\)"),
        ("a\ud800c", {}, r"the text is not UTF-8 \(byte 1\)"),
    ],
)
def test_from_ngrams__refuses_in_one_line(source, options, message):
    with pytest.raises(InputError, match=message) as caught:
        from_ngrams(source, **{"horizon": 2, **options})
    assert "\n" not in str(caught.value)


def test_from_ngrams__files_that_cannot_be_used(tmp_path):
    with pytest.raises(
        InputError, match=r"cannot read .*none.txt: No such file or directory; give a text or"
    ):
        from_ngrams(tmp_path / "none.txt", horizon=2)
    with pytest.raises(InputError, match=r"cannot read .*: it is a folder"):
        from_ngrams(tmp_path, horizon=2)
    (tmp_path / "latin").write_bytes("déjà vu".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin is not UTF-8 \(byte 1\); convert it, or use level='byte'"):
        from_ngrams(tmp_path / "latin", horizon=2)
    assert from_ngrams(tmp_path / "latin", horizon=2, level="byte").tokens == 7
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty has no characters"):
        from_ngrams(tmp_path / "empty", horizon=2)


def test_from_ngrams__too_many_contexts_are_refused_with_the_bytes():
    letters = "".join(chr(0x4E00 + i) for i in range(20000))
    with pytest.raises(TooLargeError, match=r"take 9600000000 bytes, more than"):
        from_ngrams(letters, horizon=2, target_order=1, draft_order=0)


def test_source__a_file_name_is_not_taken_for_the_text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    with pytest.raises(InputError, match="looks like the name of a file"):
        from_ngrams(str(file), horizon=3)
    assert from_ngrams(file, horizon=3) == from_ngrams(TEXT, horizon=3)
