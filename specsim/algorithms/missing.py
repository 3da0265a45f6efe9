"""Rules that were published and are not in the catalogue, and why: nobody shall look for them in vain."""

from typing import NamedTuple


class Missing(NamedTuple):
    """A rule that the catalogue does not have: where it was published, and why it is not here."""

    source: str
    reason: str


#: By the name under which it was published.
MISSING: dict[str, Missing] = {
    "SpecTr-GBV": Missing(
        "2604.25925", "only its abstract could be read: optimal transport over whole blocks of several drafts"
    ),
    "UniVer": Missing(
        "2605.04543",
        "only its abstract could be read: transport at every node, conditional on the prefix above it",
    ),
    "Global Resolution": Missing(
        "2511.15898",
        "its law depends on the tolerance of a convex solver; transport is its limit",
    ),
    "ERSD": Missing(
        "2504.15475",
        "its race with importance weights is known from summaries alone; gumbel is the race without them",
    ),
    "EARS": Missing(
        "2512.13194",
        "only its abstract could be read: a tolerance of the test proportional to 1 - max of the target",
    ),
    "MARS": Missing(
        "lossy, by a margin between target tokens", "its steps are not public; near-best is one such rule"
    ),
    "ASD": Missing("lossy, by a window of regret", "its steps are not public; window-override has a window"),
}
