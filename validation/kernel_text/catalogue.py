"""The texts of the catalogue's kernels, and why some cannot be enumerated."""

from collections.abc import Callable
from typing import Any

from specsim.algorithms import Rule, catalogue
from specsim.validation.kernel_text.enumeration import KernelText

#: Kernels that cannot be enumerated, and why.
NOT_ENUMERABLE = {
    "block-product-coins": "its kernel multiplies coins",
    "gumbel": "its kernel races tokens by continuous noise",
    "minhash": "its kernel looks at random points until one lies below a row",
}


def enumerable_rules() -> list[Rule]:
    """Return the rules of the catalogue with a kernel whose text can be enumerated."""
    return [
        rule for rule in catalogue().values() if "kernel" in rule.texts and rule.name not in NOT_ENUMERABLE
    ]


def kernel_text_of(rule: Rule, prepare: Callable[..., Any] | None = None) -> KernelText:
    """Return the text of a rule's kernel, with another `prepare` than its own if one is given."""
    kernel = vars(rule.text("kernel"))
    return KernelText(kernel["verify"], rule.name, prepare or kernel.get("prepare"))
