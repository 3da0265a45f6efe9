"""Lists and ranges in texts."""

from itertools import product

import pytest
from hypothesis import given, settings, strategies as st

from specsim import InputError
from specsim.support.expansion import expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("speculative", ["speculative"]),
        ("", [""]),
        ("a={1}", ["a=1"]),
        ("a={1,2, 4}", ["a=1", "a=2", "a=4"]),
        ("a={1..4}", ["a=1", "a=2", "a=3", "a=4"]),
        ("a={-1..5..3,9}", ["a=-1", "a=2", "a=5", "a=9"]),
        ("a={1,2},b={x,y}", ["a=1,b=x", "a=1,b=y", "a=2,b=x", "a=2,b=y"]),
        ("e={0.1,1/10,1e-3}", ["e=0.1", "e=1/10", "e=1e-3"]),
        ('file="a{1,2}.txt",n={3,4}', ['file="a{1,2}.txt",n=3', 'file="a{1,2}.txt",n=4']),
        ("{paper:50,paper:100}", ["paper:50", "paper:100"]),
    ],
)
def test_expand(text, expected):
    assert expand(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a={1,2", "has a { without its partner"),
        ("a=1}", "has a } without its partner"),
        ("a={1,{2}}", "without its partner"),
        ("a={}", "empty item"),
        ("a={1,,2}", "empty item"),
        ("a={5..1}", "empty range 5..1"),
        ("a={1..5..0}", "empty range"),
        ("a={1..200000}", "more than 100000"),
        ("a={1..1000},b={1..1000}", "more than 100000"),
        ("a={1..999999999999999999}", "more than 100000"),
    ],
)
def test_bad_lists__are_named_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        expand(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


@given(
    st.lists(
        st.lists(
            st.text("abc=:.", min_size=1, max_size=3).filter(lambda s: ".." not in s), min_size=1, max_size=3
        ),
        max_size=4,
    )
)
@settings(max_examples=100, deadline=None)
def test_expand__is_the_product_in_order(lists):
    text = "x".join("{" + ",".join(items) + "}" for items in lists)
    assert expand(text) == ["x".join(choice) for choice in product(*lists)]
