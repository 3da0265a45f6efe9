"""Seeded attacks on the Python interface: arguments of wrong types and values end in an `InputError`."""

import inspect
import math
import random
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import specsim
from specsim import theory
from specsim.algorithms import Algorithm
from specsim.errors import InputError
from specsim.theory import CertificateError

PAIR = specsim.paper_pair(2)
TREE = specsim.random_prefix_pair(tokens=2, horizon=2, seed=1)
ALGORITHM = specsim.Speculative(draft_length=2)

FLAGS = ("full_drafts", "exact", "outcomes", "per_run", "first_round", "support_term")
GIVEN = ("progress", "cluster")
#: Values that are right for some parameter.
RIGHT = {
    "pair": (PAIR, TREE),
    "algorithm": (ALGORITHM, specsim.Batch(drafts=2), specsim.BlockVerification(draft_length=2)),
    "horizon": (None, 1, 2),
    "runs": (10,),
    "seed": (1,),
    "drafts": (1, 2, math.inf),
    # Python's flags take anything that is true or false.
    **dict.fromkeys(FLAGS, (True, False)),
    # Called or connected to, and not data.
    **dict.fromkeys(GIVEN, (None,)),
}
WRONG = (
    None, True, -1, 0, 1.5, math.nan, math.inf, "x", "", b"x", [], [1], ["literal"], {}, set(), (), object(),
    3 + 4j, Fraction(1, 3), np.float32(0.5), np.int64(3), np.array([1.0, 2.0]), np.array([[1j]]), np.zeros(0),
    2**70, 10**400, -(2**63), PAIR, ALGORITHM, int, len, [Fraction(1, 2), np.float32(0.5)], [[0.5, 0.5]],
)  # fmt: skip

#: Takes functions or opens what it is given; nothing here is its input.
LEFT_OUT = {
    "sweep", "theory", "validation", "rule", "check_rule", "stop_law",
    "read_trace", "theorem_1_of_trace", "read_acceptance_log", "acceptance_estimates",
}  # fmt: skip


#: What functions that pass their options on need.
LOOSE: dict[Any, dict[str, Any]] = {
    specsim.ModelPair.from_logits: {"initial": [1.0]},
    specsim.ModelPair.from_ngrams: {"horizon": 2},
}


def functions():
    """Yield (name, function) of the public interface."""
    for module in (specsim, theory):
        for name in module.__all__:
            found = getattr(module, name)
            result = isinstance(found, type) and not issubclass(found, Algorithm)
            if name not in LEFT_OUT and callable(found) and not result:
                yield f"{module.__name__}.{name}", found
    for name in ("from_probabilities", "from_logits", "from_ngrams"):
        yield f"ModelPair.{name}", getattr(specsim.ModelPair, name)


def call(rng, function):
    """Call with arguments of which one or two are wrong; return them and what came of it."""
    arguments: dict[str, Any] = {}
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and (parameter.default is parameter.empty or rng.random() < 0.3)
    ]
    if function in LOOSE:
        arguments |= LOOSE[function]
    wrong = set(rng.sample(names, min(len(names), rng.choice((1, 1, 2)))))
    for name in names:
        good = name in (*FLAGS, *GIVEN) or (name in RIGHT and name not in wrong)
        arguments[name] = rng.choice(RIGHT[name] if good else WRONG)
    positional = [
        arguments.pop(name)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_ONLY and name in arguments
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(*positional, **arguments)
    except (InputError, CertificateError) as error:
        return arguments, None if str(error) and "\n" not in str(error) else error
    except Exception as error:
        return arguments, error
    return arguments, None


def attack(seed, rounds):
    rng = random.Random(seed)
    failures = []
    for name, function in functions():
        for _ in range(rounds):
            arguments, error = call(rng, function)
            if error is not None:
                shown = {key: repr(value)[:60] for key, value in arguments.items()}
                failures.append(f"{name}({shown}): {type(error).__name__}: {str(error)[:150]}")
    return failures


def test_wrong_arguments__end_in_an_input_error():
    failures = attack(1, 3)
    assert not failures, "\n".join(failures[:20]) + f"\n{len(failures)} in all"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_wrong_arguments__end_in_an_input_error_many_times(seed):
    failures = attack(seed, 40)
    assert not failures, "\n".join(failures[:20]) + f"\n{len(failures)} in all"
