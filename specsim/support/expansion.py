"""Lists and ranges in texts: ``batch:drafts={1,2,4}`` is three texts, ``{1..8}`` is eight values.

::

    text   =  {character  |  "{" list "}"}
    list   =  item {"," item}
    item   =  value  |  whole ".." whole [".." step]

Braces in double quotes are ordinary characters. Several lists give every combination, the last one fastest.
"""

import re
from itertools import product

from specsim.errors import InputError

_PART = re.compile(r'"[^"]*"?|\{[^{}]*\}|[{}]|[^"{}]+')
_RANGE = re.compile(r"([+-]?[0-9]{1,18})\.\.([+-]?[0-9]{1,18})(?:\.\.([0-9]{1,18}))?")
_MOST = 100_000


def expand(text: str) -> list[str]:
    """Return the texts that `text` stands for.

    text: such as ``batch:drafts={1,2,4..8},draft_length={none,5}``. A range includes both ends; a third
        number is its step.
    InputError: a brace without its partner, a brace within braces, an empty item, a range that runs
        backwards, or more than 100000 texts.

    Examples
    --------
    >>> expand("batch:drafts={1,4..6}")
    ['batch:drafts=1', 'batch:drafts=4', 'batch:drafts=5', 'batch:drafts=6']
    """
    choices: list[list[str]] = []
    count = 1
    for part in _PART.findall(text):
        if part in ("{", "}"):
            raise InputError(f"{text!r} has a {part} without its partner; write a list as {{1,2,4}}")
        values = _values(text, part[1:-1], count) if part.startswith("{") else [part]
        count *= len(values)
        choices.append(values)
    return ["".join(combination) for combination in product(*choices)]


def _values(text: str, inside: str, count: int) -> list[str]:
    values: list[str] = []
    for item in map(str.strip, inside.split(",")):
        if item == "":
            raise InputError(f"{text!r} has an empty item in {{{inside}}}; write a list as {{1,2,4}}")
        match = _RANGE.fullmatch(item)
        found = range(1)
        if match:
            low, high, step = int(match[1]), int(match[2]), int(match[3] or "1")
            if step == 0 or high < low:
                raise InputError(
                    f"{text!r} has the empty range {item}; write it from low to high as {{1..8}}"
                )
            found = range(low, high + 1, step)
        if count * (len(values) + len(found)) > _MOST:
            raise InputError(f"{text!r} stands for more than {_MOST} texts; give shorter lists")
        values += map(str, found) if match else [item]
    return values
