"""The claims: each module here lists some in ``CLAIMS``; `specsim.validation.registry` collects them all."""

if __name__ != "specsim.validation.claims":
    raise ImportError(f"import this package as specsim.validation.claims, not as {__name__}")

#: Modules in the order in which a report shows them; others follow by name.
READING_ORDER = (
    "theorem_1",
    "theorem_2",
    "theorem_3",
    "batch_examples",
    "proposition_1",
    "trade_off",
    "sequence_front",
    "calls",
    "batch_as_printed",
    "figures",
    "laws",
    "engines",
    "times",
    "draft_policies",
    "pearl",
    "polybasic",
    "ssd",
    "ssd_cache",
)
