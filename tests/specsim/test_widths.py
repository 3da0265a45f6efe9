"""Tables fit every width: no heading and no number is cut or folded."""

import pytest

from specsim.support.showing import rendered, table

NUMBERS = ("12345.678", "0.000123", "1.5e-07", "17.88 .. 19.96", "-", "1,000,000")
HEADINGS = ("rejections", "s.e.", "p (Holm)", "95 % interval", "tokens per target call", "runs")


@pytest.mark.parametrize("width", [40, 60, 80, 110, 200])
@pytest.mark.parametrize("count", [1, 3, 6, 18])
def test_tables__cut_no_number_and_no_heading(width, count):
    headings, numbers = (HEADINGS * 3)[:count], (NUMBERS * 3)[:count]
    name = "random:contexts=7,horizon=50,seed=1,family=uniform"
    text = rendered(table("Title", ("pair",), headings, [(name, *numbers)]), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    cells = [cell.strip() for line in text.splitlines() for cell in line.replace("┃", "│").split("│")]
    assert [cells.count(number) for number in NUMBERS] == [numbers.count(number) for number in NUMBERS]
    words = " ".join(cells).split()
    assert all(words.count(word) >= 1 for heading in headings for word in heading.split())


def test_tables__without_headings_stay_without():
    made = table("Title", ("name", "meaning"), (), [("draft_length", "drafted tokens " * 9)])
    made.show_header = False
    assert "meaning" not in rendered(made, width=40)
