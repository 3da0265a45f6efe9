"""The kernels of the rules, one file each, found by the name of the rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specsim.algorithms.rule import Rule


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The functions of a rule, as Python functions.

    verify, prepare, propose: see `specsim.engines.literal`; the last two may be None.
    own: whether it is a user's, which is compiled with checks.
    """

    verify: Callable[..., Any]
    prepare: Callable[..., Any] | None = None
    propose: Callable[..., Any] | None = None
    own: bool = False

    def calls(self, name: str) -> bool:
        """Whether `verify` mentions a name: of a helper, or of a field of the step."""
        return name in self.verify.__code__.co_names


def kernel_of(rule: Rule) -> Kernel:
    """Return the kernel of a rule: from the file of its name, or the function of a rule of one's own.

    UnsupportedError: there is none; the reason stands in the facts of the rule.
    """
    if rule.own is not None:
        return Kernel(verify=rule.own, prepare=rule.own_prepare, own=True)
    functions = vars(rule.text("kernel"))
    return Kernel(
        verify=functions["verify"], prepare=functions.get("prepare"), propose=functions.get("propose")
    )
