"""The grammar of the command line: pairs and algorithms as text, such as ``batch:drafts=4``.

::

    pair       =  path  |  keyword [":" [value ","] key "=" value {"," key "=" value}]
                  |  keyword ":" {key "=" value ","} "of=" pair
    algorithm  =  (keyword | file ".py:" rule) [":" key "=" value {"," key "=" value}]

A value with a comma in it stands in double quotes; the pair that another one is derived from takes the rest
of the text, and needs none. `PAIRS` and `ALGORITHMS` are the tables of keywords, keys
and their types; every rule of the catalogue is a keyword, with the keys that its facts call for. Nothing is
ever evaluated, but for a file with rules of one's own, which is run.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    Rule,
    Speculative,
    Structure,
    best_shape,
    catalogue,
    tree,
)
from specsim.algorithms.rule import REQUIRED, SYNONYMS, Parameter, aliases
from specsim.algorithms.rule_files import read_rule, split_rule
from specsim.clocks import Clock, CostModel, read_clock
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.pairs.derived import blended_draft, cache_favouring_draft, restricted_vocabulary
from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
from specsim.pairs.files import read_pair
from specsim.pairs.ngrams import from_ngrams
from specsim.pairs.row_families import ROW_FAMILIES
from specsim.pairs.trace_pairs import from_trace

_ITEM = re.compile(r'\s*(?:(?P<key>[A-Za-z_]\w*)\s*=)?\s*(?P<value>"[^"]*"|[^",]*?)\s*(?P<end>,|$)')


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of value.

    description: what to write, for help and errors.
    read: turns text into the value; raises `ValueError` for text that is none.
    """

    description: str
    read: Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One keyword of the grammar.

    build: called with the values by key.
    keys: the kind of each key, required ones first.
    required: keys that must be given.
    help: one sentence.
    first: the key that a leading value without a key stands for, if any.
    last: the key whose value is the rest of the text, commas included, if any.
    """

    build: Callable[..., Any]
    help: str
    keys: Mapping[str, Kind] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None

    def usage(self, keyword: str) -> str:
        """Return the keyword with the keys that must be given, then the names of the others."""
        text = keyword + "".join(
            f"{',' if position else ':'}{key}=..." for position, key in enumerate(self.required)
        )
        optional = [key for key in self.keys if key not in self.required]
        return text + (f" (optional: {', '.join(optional)})" if optional else "")

    def details(self) -> list[str]:
        """Return one line for each key: its name and what to write."""
        return [f"{key}: {kind.description}" for key, kind in self.keys.items()]


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float | Fraction:
    match = re.fullmatch(r"([+-]?[0-9]{1,4000})(?:/([0-9]{1,4000}))?", text)
    if match:
        return Fraction(int(match[1]), int(match[2] or "1"))
    return _decimal(text)


def _decimal(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)", text):
        raise ValueError(text)
    return float(text)


def _flag(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]


def _tree(text: str) -> tuple[int, ...] | Structure:
    if text.startswith("best:"):
        _, size, *acceptance = text.split(":")
        return best_shape([_number(value) for value in acceptance], _whole(size))
    if not re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9})*|[0-9]{1,9}(\.[0-9]{1,9})+", text):
        raise ValueError(text)
    if "." in text:
        return tree((-1, *map(int, text.split("."))))
    return tuple(map(int, text.split("-")))


def _choice(*choices: str) -> Kind:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return Kind(description="one of " + ", ".join(choices), read=read)


WHOLE = Kind(description="a whole number", read=_whole)
_WHOLE_OR_NONE = Kind(
    description="a whole number, or none for the horizon",
    read=lambda text: None if text.lower() == "none" else _whole(text),
)
_WHOLE_OR_INF = Kind(
    description="a whole number, or inf for the limit",
    read=lambda text: math.inf if text.lower() == "inf" else _whole(text),
)
_NUMBER = Kind(description="a number such as 0.1 or 1/10", read=_number)
_COST = Kind(description="a number such as 0.1 or 1/10, in target calls", read=_number)
DECIMAL = Kind(description="a number such as 0.1", read=_decimal)
_FLAG = Kind(description="yes or no", read=_flag)
_TEXT = Kind(description="text", read=str)

_TREE = Kind(
    description="the children of a node at each depth, such as 2-2-1, or the parent of each drafted token, "
    "such as 0.0.1, or best:SIZE:A1:A2:... for the tree of SIZE drafted tokens of which most are accepted "
    "when the first child of any node is accepted with probability A1, the second with A2 (Sequoia)",
    read=_tree,
)

_ROUND = {"draft_length": _WHOLE_OR_NONE, "bonus": _FLAG}
_ROWS = {
    "family": _choice(*ROW_FAMILIES),
    "concentration": DECIMAL,
    "tv": DECIMAL,
    "density": DECIMAL,
}


def _tables_needed(rule: str, **values: Any) -> Algorithm:
    raise InputError(
        f"{rule} needs tables of probabilities, which cannot be written here; build it in Python with "
        f"specsim.get_rule({rule!r})"
    )


def _rule_entry(rule: Rule) -> Entry:
    """Return what the facts of a rule allow to be written."""

    def kind_of(parameter: Parameter) -> Kind:
        if parameter.kind == "choice":
            return _choice(*parameter.choices)
        return WHOLE if parameter.kind == "whole" else _NUMBER

    spelled = {name: entry for name, entry in rule.parameters.items() if entry.kind != "table"}
    keys = {name: kind_of(entry) for name, entry in spelled.items()}
    if rule.structures != ("chain",):
        keys["drafts"] = WHOLE
    if "tree" in rule.structures:
        keys["tree"] = _TREE
    return Entry(
        build=rule if spelled.keys() == rule.parameters.keys() else partial(_tables_needed, rule.name),
        keys={**keys, **_ROUND, "drawn": _choice(*rule.drawings)},
        required=tuple(name for name, entry in spelled.items() if entry.default is REQUIRED),
        help=f"{rule.title[0].upper()}{rule.title[1:]}.",
    )


def _named_entry(rule: Rule, kind: type[Algorithm]) -> Entry:
    """Return the entry of a rule that has its own descriptor, which is built where it says enough."""
    own = {field.name: field.default is MISSING for field in fields(kind)}  # type: ignore[arg-type]

    def build(**values: Any) -> Algorithm:
        enough = own.keys() >= values.keys() >= {name for name, needed in own.items() if needed}
        return kind(**values) if enough else rule(**values)

    return replace(_rule_entry(rule), build=build)


def _ngrams(*, file: str, **values: Any) -> ModelPair:
    return from_ngrams(Path(file), **values)


def _trace(*, file: str, **values: Any) -> ModelPair:
    return from_trace(Path(file), **values)


def _restricted(*, of: ModelPair, **values: Any) -> ModelPair:
    return restricted_vocabulary(of, **values)


def _blended(*, of: ModelPair, target_share: float) -> ModelPair:
    return blended_draft(of, target_share)


def _cache_favouring(*, of: ModelPair, **values: Any) -> ModelPair:
    return cache_favouring_draft(of, **values)


#: Most pairs that one is derived from, one after the other.
_MOST_DERIVED = 20


def _derived_from(text: str) -> ModelPair:
    if len(re.findall(r"\bof\s*=", text)) >= _MOST_DERIVED:
        raise InputError(f"pair: derived more than {_MOST_DERIVED} times; write the pair to a file between")
    return parse_pair(text)


_PAIR = Kind(description="a pair", read=_derived_from)


def _algorithms() -> dict[str, Entry]:
    found = {
        Autoregressive.keyword: Entry(
            build=Autoregressive, help="Plain decoding from the target, one target call per token."
        ),
        Speculative.keyword: Entry(
            build=Speculative,
            keys=_ROUND,
            help="Speculative decoding; without draft_length the draft runs to the horizon.",
        ),
        Batch.keyword: Entry(
            build=Batch,
            keys={"drafts": _WHOLE_OR_INF, **_ROUND},
            required=("drafts",),
            help="Several drafts in one target call, tried in turn; drafts=inf is known to theory only.",
        ),
        BlockVerification.keyword: Entry(
            build=BlockVerification,
            keys=_ROUND,
            help="Block verification: accepts or rejects the draft as a whole block.",
        ),
    }
    own = {kind.keyword: kind for kind in (OverAcceptance, BatchAsPrinted)}
    for name, rule in catalogue().items():
        found[name] = _named_entry(rule, own[name]) if name in own else _rule_entry(rule)
    for alias, name in aliases().items():
        found[alias] = replace(found[name], help=f"Another name of {name}.")
    return found


#: Algorithms by keyword: the descriptors with their own classes, every rule of the catalogue, aliases.
ALGORITHMS: dict[str, Entry] = _algorithms()

#: Constructors of pairs by keyword.
PAIRS: dict[str, Entry] = {
    "paper": Entry(
        build=paper_pair,
        keys={"horizon": WHOLE},
        required=("horizon",),
        first="horizon",
        help="The instance of the figures of arXiv 2411.00841; the paper has horizons 50 and 100.",
    ),
    "random": Entry(
        build=random_pair,
        keys={
            "contexts": WHOLE,
            "horizon": WHOLE,
            "seed": WHOLE,
            "tokens": WHOLE,
            "stationary": _FLAG,
            "initial": _choice("uniform", "random", "point"),
            **_ROWS,
        },
        required=("contexts", "horizon", "seed"),
        help="Random rows; an order-1 Markov chain unless tokens differs from contexts.",
    ),
    "prefix": Entry(
        build=random_prefix_pair,
        keys={"tokens": WHOLE, "horizon": WHOLE, "seed": WHOLE, **_ROWS},
        required=("tokens", "horizon", "seed"),
        help="Random rows for every prefix: not a Markov chain.",
    ),
    "ngrams": Entry(
        build=_ngrams,
        keys={
            "file": _TEXT,
            "horizon": WHOLE,
            "target_order": WHOLE,
            "draft_order": WHOLE,
            "level": _choice("character", "word", "byte"),
            "smoothing": DECIMAL,
            "vocabulary": WHOLE,
        },
        required=("file", "horizon"),
        help="Estimated from a text file: n-gram models of two orders.",
    ),
    "trace": Entry(
        build=_trace,
        keys={"file": _TEXT, "reading": _choice("rows", "path", "markov"), "horizon": WHOLE},
        required=("file",),
        help="Rows of real models along recorded continuations (specsim models trace record).",
    ),
    "restricted": Entry(
        build=_restricted,
        keys={
            "size": WHOLE,
            "by": _choice("context", "global"),
            "noise": DECIMAL,
            "seed": WHOLE,
            "of": _PAIR,
        },
        required=("size", "of"),
        last="of",
        help="Another pair whose draft proposes its likeliest tokens only (speculative vocabulary).",
    ),
    "blended": Entry(
        build=_blended,
        keys={"target_share": DECIMAL, "of": _PAIR},
        required=("target_share", "of"),
        last="of",
        help="Another pair whose draft rows are mixed with the target's: a better drafter.",
    ),
    "cache-favouring": Entry(
        build=_cache_favouring,
        keys={"size": WHOLE, "factor": DECIMAL, "of": _PAIR},
        required=("size", "factor", "of"),
        last="of",
        help="Another pair whose draft proposes its likeliest tokens less, for a cache of guesses.",
    ),
}


def parse_algorithm(text: str) -> Algorithm:
    """Return the descriptor that `text` spells; the inverse of `Algorithm.label`.

    Parameters
    ----------
    text
        Such as ``speculative:draft_length=4,bonus=no``, ``over-acceptance:epsilon=1/10``, or
        ``my_rules.py:damped:draft_length=4`` for a rule that `specsim.rule` makes in a file.

    Raises
    ------
    InputError
        An unknown keyword or key (the message lists the known ones), a key given twice or missing, a value
        that is not of its kind or out of range, or a file that cannot be run or makes no such rule.

    Examples
    --------
    >>> parse_algorithm("batch:drafts=4")
    Batch(drafts=4, draft_length=None, bonus=True)
    """
    check_text("algorithm", text)
    own = split_rule(text)
    if own is not None:
        file, name, options = own
        own_rule = read_rule(file, name)
        return _build("algorithm", name, _rule_entry(own_rule), options)
    built: Algorithm = parse_entry("algorithm", text, ALGORITHMS)
    return built


def parse_entry(what: str, text: str, table: Mapping[str, Entry]) -> Any:
    """Return what a text builds by a table of keywords, such as `ALGORITHMS`.

    what: the table's noun, for errors.
    InputError: as in `parse_algorithm`.
    """
    keyword, colon, rest = text.strip().partition(":")
    if keyword not in table:
        raise InputError(f"unknown {what} {keyword!r}; {_known(keyword, table)}")
    return _build(what, keyword, table[keyword], rest if colon else None)


def parse_pair(text: str) -> ModelPair:
    """Return the pair that `text` spells: a constructor or the path of a netCDF file.

    A text that begins with a known keyword and a colon is a constructor; for a file of such a name write
    ``./paper:50``.

    Parameters
    ----------
    text
        Such as ``paper:50``, ``random:contexts=7,horizon=50,family=uniform,seed=3``,
        ``prefix:tokens=2,horizon=3,seed=1``, ``ngrams:file=book.txt,horizon=20`` or ``pair.nc``.

    Raises
    ------
    InputError
        As `parse_algorithm`; or the file does not exist or is not a pair.

    Examples
    --------
    >>> from specsim import parse_pair
    >>> parse_pair("random:contexts=3,horizon=5,seed=1").horizon
    5
    """
    check_text("pair", text)
    text = text.strip()
    keyword, colon, rest = text.partition(":")
    if keyword in PAIRS and (colon or not _exists(text)):
        return _build("pair", keyword, PAIRS[keyword], rest if colon else None)
    if _exists(text):
        return read_pair(text)
    raise InputError(f"pair {text!r} is unknown and no file has this name; {_known(keyword, PAIRS)}")


def as_pair(pair: object) -> ModelPair:
    """Return a pair as it is, or the one that a text spells.

    InputError: it is neither.
    """
    if isinstance(pair, str):
        return parse_pair(pair)
    if not isinstance(pair, ModelPair):
        raise InputError(f"pair is {pair!r}; give a specsim.ModelPair or its spelling, such as 'paper:50'")
    return pair


def as_algorithm(algorithm: object) -> Algorithm:
    """Return a descriptor as it is, or the one that a text spells.

    InputError: it is neither.
    """
    if isinstance(algorithm, str):
        return parse_algorithm(algorithm)
    if not isinstance(algorithm, Algorithm):
        raise InputError(
            f"algorithm is {algorithm!r}; give a descriptor such as specsim.Speculative() or its spelling, "
            "such as 'speculative:draft_length=4'"
        )
    return algorithm


#: The keys of a clock.
CLOCK = Entry(
    build=Clock,
    keys={
        "draft": _COST,
        "overhead": _COST,
        "token": _COST,
        "free": WHOLE,
        "context": _COST,
        "prompt": WHOLE,
    },
    help="Costs in units of one target call.",
)


def parse_clock(text: str) -> CostModel:
    """Return the clock that `text` spells: costs by name, or the path of a file with measured times.

    Parameters
    ----------
    text
        Such as ``draft=0.1,overhead=0.02``, with the keys of `specsim.Clock`, or ``costs.csv``, which
        `specsim.read_clock` reads.

    Raises
    ------
    InputError
        As `parse_algorithm`; or the file does not exist or is no table.

    Examples
    --------
    >>> from specsim import parse_clock
    >>> parse_clock("draft=0.1").label
    'draft=0.1'
    """
    check_text("costs", text)
    text = text.strip()
    if "=" in text and not _exists(text):
        built: CostModel = _build("option", "costs", CLOCK, text)
        return built
    if _exists(text):
        return read_clock(text)
    raise InputError(
        f"costs {text!r} is neither costs nor an existing file; give costs such as draft=0.1,overhead=0.02, "
        "or a file with measured times"
    )


def check_text(what: str, text: object) -> None:
    """Raise `InputError` unless `text` is a text."""
    if not isinstance(text, str):
        raise InputError(f"{what} is {text!r}; give a text such as those in 'specsim expect --help'")


def _build(what: str, keyword: str, entry: Entry, rest: str | None) -> Any:
    values: dict[str, Any] = {}
    for position, (given, value) in enumerate(_items(what, keyword, rest, entry.last)):
        key = given
        if key is None:
            if position > 0 or entry.first is None:
                raise InputError(f"{what} {keyword}: {value!r} has no key; write {entry.usage(keyword)}")
            key = entry.first
        if key not in entry.keys and "draft_length" in entry.keys:
            key = SYNONYMS.get(key, key)
        if key not in entry.keys:
            raise InputError(f"{what} {keyword} has no key {key!r}; {_known(key, entry.keys)}")
        if key in values:
            raise InputError(f"{what} {keyword}: {key} is given twice; give it once")
        try:
            values[key] = entry.keys[key].read(value)
        except InputError:
            raise
        except (ValueError, KeyError, ZeroDivisionError):
            raise InputError(
                f"{what} {keyword}: {key} is {value!r}; give {entry.keys[key].description}"
            ) from None
    missing = [key for key in entry.required if key not in values]
    if missing:
        raise InputError(f"{what} {keyword}: {missing[0]} is missing; write {entry.usage(keyword)}")
    return entry.build(**values)


def _items(what: str, keyword: str, rest: str | None, last: str | None) -> list[tuple[str | None, str]]:
    if rest is None:
        return []
    items: list[tuple[str | None, str]] = []
    ends = re.compile(rf"\s*{last}\s*=\s*(?P<value>.+)", re.DOTALL) if last else None
    position = 0
    while True:
        end = ends.match(rest, position) if ends else None
        if end is not None:
            items.append((last, end["value"].strip().strip('"')))
            return items
        match = _ITEM.match(rest, position)
        if match is None:
            raise InputError(f"{what} {keyword}: cannot read {rest[position:]!r}; write key=value,key=value")
        value = match["value"]
        if value == "":
            where = f"{match['key']} has no value" if match["key"] else "an item is empty"
            raise InputError(f"{what} {keyword}: {where}; write key=value,key=value")
        items.append((match["key"], value.strip('"')))
        position = match.end()
        if match["end"] == "":
            return items


#: Names that a message lists, if one of them is close to what was given.
_MOST_LISTED = 16


def _known(given: str, table: Mapping[str, Any]) -> str:
    close = [key for key in table if given and key.startswith(given)]
    close = close or difflib.get_close_matches(given, table, n=1)
    if close and len(table) > _MOST_LISTED:
        return f"did you mean {close[0]}? 'specsim rules' lists all"
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known: {', '.join(table) or 'none'}"


def _exists(text: str) -> bool:
    try:
        return text != "" and Path(text).exists()
    except (OSError, ValueError):
        return False
