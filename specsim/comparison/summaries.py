"""`specsim.summary`: the results of a simulation or a sweep and theory, as the commands print them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from specsim.algorithms import Algorithm
from specsim.comparison.beside_theory import Extreme, Line, add_theory, compare
from specsim.errors import InputError
from specsim.grammar import as_algorithm, as_pair, parse_algorithm
from specsim.pairs import ModelPair
from specsim.scale.sweeps import Algorithms, Pairs, by_name
from specsim.support.showing import as_html, columns, rendered, table

if TYPE_CHECKING:
    import xarray
    from pandas import DataFrame

#: What the table of a sweep shows: heading, observed, expected, sigma.
_COLUMNS = (
    ("rejections", "mean_rejections", "expected_rejections", "rejections_sigma"),
    ("target calls", "mean_target_calls", "expected_target_calls", "target_calls_sigma"),
)
#: From this width on a sweep has one table for each pair.
_WIDE = 128


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """A simulation compared with theory; print it for the tables of ``specsim simulate``.

    Attributes
    ----------
    title
        What was simulated.
    lines
        Means per run: observed, standard error, theory's value, distance in standard errors.
    extremes
        The largest deviations of many numbers at once.
    silence
        Why theory cannot compute all of it; None if it can.
    provenance
        Runs, seed and engine.

    Examples
    --------
    >>> import specsim
    >>> result = specsim.simulate("paper:6", "speculative", runs=1000, seed=1)
    >>> found = specsim.summary(result, "paper:6")
    >>> found.lines[0].quantity, round(found.lines[0].expected, 4)
    ('rejections per run', 2.1315)
    """

    title: str
    lines: tuple[Line, ...]
    extremes: tuple[Extreme, ...]
    silence: str | None
    provenance: str

    def renderables(self) -> list[Any]:
        """Return what to print with rich."""
        rows = [
            (
                line.quantity,
                f"{line.observed:.6g}",
                "" if line.standard_error is None else f"{line.standard_error:.2g}",
                "" if line.expected is None else f"{line.expected:.6g}",
                "" if line.sigma is None else f"{line.sigma:+.2f}",
            )
            for line in self.lines
        ]
        found: list[Any] = [table(self.title, ("per run",), ("observed", "s.e.", "theory", "sigma"), rows)]
        if self.extremes:
            largest = [
                (extreme.quantity, extreme.cells, f"{extreme.sigma:.2f}", f"{extreme.typical:.2f}")
                for extreme in self.extremes
            ]
            headings = ("cells", "largest, in sigmas", "largest expected")
            found.append(table("Largest deviations", ("compared",), headings, largest))
        if self.silence:
            found.append(f"No exact values: {self.silence}")
        return [*found, self.provenance]

    def __str__(self) -> str:
        return rendered(*self.renderables()).rstrip("\n")

    def _repr_html_(self) -> str:
        silence = [f"No exact values: {self.silence}"] if self.silence else []
        return as_html(self.title, self.to_dataframe(), *silence, self.provenance)

    def to_dataframe(self) -> DataFrame:
        """Return the means as a table: quantity, observed, standard_error, expected, sigma."""
        import pandas

        return pandas.DataFrame([asdict(line) for line in self.lines])


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A sweep compared with theory; print it for the tables of ``specsim sweep``.

    Attributes
    ----------
    data
        The result of the sweep; where pairs were given, with theory's means and the distances from them.
    silence
        Why theory cannot compute a combination, for those that it cannot.

    Examples
    --------
    >>> import specsim
    >>> found = specsim.sweep("paper:6", "speculative", draft_lengths=[1, 2], runs=1000, seed=1)
    >>> table = specsim.summary(found, "paper:6").to_dataframe()
    >>> table[["algorithm", "expected_target_calls"]].round(3).values.tolist()
    [['speculative:draft_length=1,bonus=yes', 3.9], ['speculative:draft_length=2,bonus=yes', 3.259]]
    """

    data: xarray.Dataset
    silence: dict[str, str]

    @property
    def provenance(self) -> str:
        """Combinations, runs, seed and engines in a line."""
        cells = self.data.sizes["pair"] * self.data.sizes["algorithm"]
        engines = ", ".join(sorted({str(name) for name in self.data["engine"].values.flat}))
        attributes = self.data.attrs
        return (
            f"{cells} combinations, {attributes['runs']} runs each, seed {attributes['sweep_seed']}, "
            f"engine {engines}"
        )

    def renderables(self) -> list[Any]:
        """Return what to print with rich."""
        known = "expected_rejections" in self.data
        shown = [column for column in _COLUMNS if column[1] in self.data]
        parts = ("", "s.e.", "theory", "sigma") if known else ("", "s.e.")
        # Each quantity has a table of its own where there is little room.
        groups = [shown] if columns() >= _WIDE else [[each] for each in shown]
        tables: list[Any] = []
        for pair in range(self.data.sizes["pair"]):
            row = self.data.isel(pair=pair)
            title = f"{row['pair'].item()}, horizon {int(row['horizon'])}"
            for group in groups:
                tables.append(self._table(row, title, group, parts))
                title = ""
        silence = [f"No exact values of {name}: {reason}" for name, reason in self.silence.items()]
        return [*tables, *silence, self.provenance]

    def _table(self, row: xarray.Dataset, title: str, group: list[Any], parts: Iterable[str]) -> Any:
        """Return the table of some quantities on one pair, with tokens per target call next to calls."""
        rows = []
        with_tokens = any(mean == "mean_target_calls" for _, mean, *_ in group)
        for algorithm in range(row.sizes["algorithm"]):
            cell = row.isel(algorithm=algorithm)
            texts = [cell["algorithm"].item()]
            for _, mean, expected, sigma in group:
                forms = {mean: ".6g", f"{mean}_error": ".2g", expected: ".6g", sigma: "+.2f"}
                texts += [_number(cell[name], form) for name, form in forms.items() if name in cell]
            if with_tokens:
                texts.append(_number(cell["block_efficiency"], ".4g"))
            rows.append(texts)
        headings = [part or heading for heading, *_ in group for part in parts]
        return table(title, ("algorithm",), [*headings, *["tokens/call"] * with_tokens], rows)

    def __str__(self) -> str:
        return rendered(*self.renderables()).rstrip("\n")

    def _repr_html_(self) -> str:
        silence = [f"No exact values of {name}: {reason}" for name, reason in self.silence.items()]
        return as_html("Sweep", self.to_dataframe(), *silence, self.provenance)

    def to_dataframe(self) -> DataFrame:
        """Return a row for each combination: pair, horizon, algorithm, and its means."""
        names = [name for name, item in self.data.data_vars.items() if item.dims == ("pair", "algorithm")]
        frame = self.data[names].to_dataframe().reset_index()
        return frame[["pair", "horizon", "algorithm", *names]]


def _number(value: xarray.DataArray, form: str) -> str:
    number = float(value)
    return "" if number != number else format(number, form)


def summary(
    result: xarray.Dataset,
    pair: Pairs | None = None,
    algorithm: Algorithms | None = None,
) -> SimulationSummary | SweepSummary:
    """Compare the result of `specsim.simulate` or `specsim.sweep` with theory.

    Parameters
    ----------
    result
        What one of them returned.
    pair
        The pair that was simulated, or all pairs of a sweep, as they were given. Defaults to None, which is
        for a sweep: its means are shown without theory.
    algorithm
        What was simulated. Defaults to None: it is read from `result`, which has the spelling of every
        algorithm but those with tables or rules of one's own.

    Returns
    -------
    SimulationSummary or SweepSummary
        Prints as the commands ``specsim simulate`` and ``specsim sweep`` do, shows as a table in notebooks,
        and has ``.to_dataframe()``.

    Raises
    ------
    InputError
        `result` is neither, or is of another pair or algorithm.

    Examples
    --------
    >>> import specsim
    >>> result = specsim.simulate("paper:6", "speculative", runs=1000, seed=1)
    >>> specsim.summary(result, "paper:6").to_dataframe()["quantity"].tolist()[:2]
    ['rejections per run', 'target calls per run']
    """
    if {"pair", "algorithm"} <= set(getattr(result, "dims", ())):
        return _of_sweep(result, pair, algorithm)
    if not {"pair_identity", "runs", "horizon"} <= set(getattr(result, "attrs", {})):
        raise InputError("result is no result of specsim.simulate or specsim.sweep; give one")
    if not isinstance(pair, ModelPair | str):
        raise InputError(f"pair is {pair!r}; give the pair that was simulated, or its spelling")
    model = as_pair(pair)
    if algorithm is None:
        algorithm = _spelled(str(result.attrs["algorithm"]))
        if algorithm is None:
            raise InputError(
                f"algorithm is missing: {result.attrs['algorithm']!r} cannot be read back; give what was "
                "simulated"
            )
    if not isinstance(algorithm, Algorithm | str):
        raise InputError(f"algorithm is {algorithm!r}; give the one that was simulated, or its spelling")
    decoder = as_algorithm(algorithm)
    check_simulation("result", result, model, decoder)
    horizon, attributes = int(result.attrs["horizon"]), result.attrs
    lines, extremes, silence = compare(result, model, decoder, horizon)
    return SimulationSummary(
        title=f"{decoder.label} on {model.name}, horizon {horizon}",
        lines=tuple(lines),
        extremes=tuple(extremes),
        silence=silence,
        provenance=f"{attributes['runs']} runs, seed {attributes['seed']}, engine {attributes['engine']}",
    )


def check_simulation(field: str, result: xarray.Dataset, pair: ModelPair, algorithm: Algorithm) -> None:
    """Refuse a simulation of something else.

    field: how the caller names `result`.
    result: a result of `specsim.simulate`.
    pair, algorithm: what it should be of.
    """
    attributes = getattr(result, "attrs", {})
    if not {"pair_identity", "runs", "horizon"} <= set(attributes):
        raise InputError(f"{field} is not a result of specsim.simulate; give one")
    for name, wanted in (("pair_identity", pair.identity), ("algorithm", algorithm.label)):
        if attributes.get(name) != wanted:
            raise InputError(
                f"{field} has the {name.replace('_', ' ')} {attributes.get(name)!r}, not {wanted!r}; give "
                "the pair and the algorithm that were simulated"
            )


def _of_sweep(result: xarray.Dataset, pair: Pairs | None, algorithm: Algorithms | None) -> SweepSummary:
    if not {"pair_identity", "algorithm_identity", "horizon"} <= set(result.coords):
        raise InputError("result is no result of specsim.simulate or specsim.sweep; give one")
    if pair is None:
        return SweepSummary(data=result, silence={})
    names = [str(name) for name in result["algorithm"].values]
    if algorithm is None:
        spelled: Iterable[Algorithm | None] = [_spelled(name) for name in names]
    else:
        spelled = by_name("algorithm", algorithm, Algorithm, lambda item: str(item.label)).values()
    pairs = by_name("pair", pair, ModelPair, lambda item: str(item.name)).values()
    models = _by_identity("pair", result, pairs)
    # Names that cannot be read back stay without theory.
    decoders = _by_identity("algorithm", result, [item for item in spelled if item is not None])
    data, silence = add_theory(result, models, decoders)
    return SweepSummary(data=data, silence=silence)


def _by_identity(field: str, result: xarray.Dataset, items: Iterable[Any]) -> dict[str, Any]:
    """Return things by the names that they have in the result."""
    names = dict(zip(result[f"{field}_identity"].values.tolist(), result[field].values.tolist(), strict=True))
    found = {}
    for item in items:
        if item.identity not in names:
            called = item.name if isinstance(item, ModelPair) else item.label
            raise InputError(f"{field} is {called}, which is not in result; give what was simulated")
        found[str(names[item.identity])] = item
    return found


def _spelled(label: str) -> Algorithm | None:
    try:
        return parse_algorithm(label)
    except InputError:
        return None
