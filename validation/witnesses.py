"""The three witnesses, and the one object through which every check uses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Overlay:
    """A namespace that is `base` with some attributes replaced.

    base: a module or any object.
    replaced: the attributes that differ.
    """

    def __init__(self, base: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self.__dict__["_base"] = base

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_base"], name)


class Memory(Overlay):
    """A namespace whose functions are called once for each set of arguments.

    Arguments that cannot be hashed are passed on without being remembered.
    """

    def __init__(self, base: Any) -> None:
        super().__init__(base)
        self.__dict__["_known"] = {}

    def __getattr__(self, name: str) -> Any:
        function = super().__getattr__(name)
        if not callable(function) or isinstance(function, type):
            return function
        known = self.__dict__["_known"]

        def remembered(*arguments: Any, **options: Any) -> Any:
            key = (name, arguments, tuple(sorted(options.items())))
            try:
                hash(key)
            except TypeError:
                return function(*arguments, **options)
            if key not in known:
                known[key] = function(*arguments, **options)
            return known[key]

        return remembered


def _kernel_text(*arguments: Any) -> Any:
    from specsim.validation.kernel_text.catalogue import kernel_text_of

    return kernel_text_of(*arguments)


def _simulate_pearl(*arguments: Any, **options: Any) -> Any:
    from specsim.engines.systems.pearl import simulate_pearl

    return simulate_pearl(*arguments, **options)


def _simulate_polybasic(*arguments: Any, **options: Any) -> Any:
    from specsim.engines.systems.polybasic import simulate_polybasic

    return simulate_polybasic(*arguments, **options)


def _simulate_ssd(*arguments: Any, **options: Any) -> Any:
    from specsim.engines.systems.ssd import simulate_ssd

    return simulate_ssd(*arguments, **options)


@dataclass(frozen=True, kw_only=True)
class Witnesses:
    """What checks may call. A mutant is the same object with one attribute replaced by a wrong one.

    Attributes
    ----------
    simulate
        `specsim.simulate`: runs the algorithm literally, returns tallies.
    theory
        The namespace `specsim.theory`: exact laws.
    enumerate_outcomes
        `specsim.theory.enumerate_outcomes`: brute force in rationals.
    kernel_text
        `specsim.validation.kernel_text.catalogue.kernel_text_of`: the text of a rule's kernel.
    simulate_pearl
        `specsim.engines.systems.pearl.simulate_pearl`.
    simulate_polybasic
        `specsim.engines.systems.polybasic.simulate_polybasic`.
    simulate_ssd
        `specsim.engines.systems.ssd.simulate_ssd`.
    name
        ``"as built"``, or the mutant's name.

    Examples
    --------
    >>> from specsim.validation import as_built
    >>> as_built().replace(name="a mutant").name
    'a mutant'
    """

    simulate: Callable[..., Any]
    theory: Any
    enumerate_outcomes: Callable[..., Any]
    kernel_text: Callable[..., Any] = _kernel_text
    simulate_pearl: Callable[..., Any] = _simulate_pearl
    simulate_polybasic: Callable[..., Any] = _simulate_polybasic
    simulate_ssd: Callable[..., Any] = _simulate_ssd
    name: str = "as built"

    def replace(self, **changes: Any) -> Witnesses:
        """Return a copy with the given attributes replaced."""
        return dataclasses.replace(self, **changes)

    def with_memory(self) -> Witnesses:
        """Return the same witnesses with a theory that computes nothing twice."""
        return self.replace(theory=Memory(self.theory))

    def replace_theory(self, **functions: Callable[..., Any]) -> Witnesses:
        """Return a copy whose theory has the given functions replaced.

        `enumerate_outcomes` is a separate witness: replacing it in the theory replaces the attribute too.
        """
        changed = self.replace(theory=Overlay(self.theory, **functions))
        if "enumerate_outcomes" in functions:
            changed = changed.replace(enumerate_outcomes=functions["enumerate_outcomes"])
        return changed


def as_built() -> Witnesses:
    """Return the project's own engines and theory.

    Examples
    --------
    >>> from specsim import paper_pair
    >>> from specsim.validation import as_built
    >>> round(as_built().theory.optimal_rejections(paper_pair(50)), 4)
    16.4049
    """
    import specsim
    import specsim.theory as theory

    return Witnesses(
        simulate=specsim.simulate,
        theory=theory,
        enumerate_outcomes=theory.enumerate_outcomes,
    )
