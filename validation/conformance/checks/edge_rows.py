"""The check of whole decoders and of trees on rows that break careless code."""

from specsim.validation.conformance.checks.base import Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.edge_rows import EdgeTexts, EdgeTrees
from specsim.validation.conformance.laboratory import Laboratory

#: Texts of a decoder for each tree: a text has several times its tokens.
TEXTS = 0.3


@check(
    "edge-rows",
    "rows with zeros, of one token, nearly certain, nearly equal, in texts and trees",
    protocols=("decoder", "tree"),
    rows_by_text=False,
    why_not=lossless_only,
    catches="drafts that are not tested, or replaced from the draft's own tokens, where a model is sure",
)
def _edge_rows(lab: Laboratory) -> Statistical:
    caller, rng, seed = lab.caller("edge rows"), lab.rng("edge rows"), lab.instance_seed
    tree = lab.subject.protocol == "tree"
    probe = (EdgeTrees if tree else EdgeTexts)(caller, rng, seed=seed)
    looks = probe.looks(lab.tolerance)
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.side_samples if tree else int(TEXTS * lab.side_samples),
        picture=lambda: law_picture(f"ranks of emitted tokens, {looks[0].place}", looks[0]),
    )


CHECKS = (_edge_rows,)
