"""Checks of what depends on the text: processing, filters of decoders, and where texts end."""

from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import (
    Check,
    Look,
    Statistical,
    check,
    law_picture,
    lossless_only,
    needs_option,
    together,
)
from specsim.validation.conformance.checks.decoder import ending_prompts
from specsim.validation.conformance.checks.options import VALUES, distinct_rows
from specsim.validation.conformance.checks.step import STEPS, output_looks, step_probe
from specsim.validation.conformance.evidence import samples_for_bound
from specsim.validation.conformance.instances import Instance, chain_instance, padded
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models, Preceded
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.text_probes import TextProbe

#: Drafted tokens per round, so that several rounds are seen in a short text.
DRAFT_LENGTH = 2
#: Tokens of a text.
NEW_TOKENS = 8
#: Rows of the calls in which any id is the end of a text, and drafted tokens of the long ones.
END_ROWS, LONG_DRAFT = 48, 16


def text_instance(lab: Laboratory, seed: int = 0) -> Instance:
    """Return a chain of order 2 with short drafts."""
    length = min(DRAFT_LENGTH, lab.subject.max_draft_length or DRAFT_LENGTH)
    return chain_instance(lab.instance_seed + seed, vocabulary=lab.vocabulary, draft_length=length)


def text_probe(lab: Laboratory, label: str, instance: Instance, **more: Any) -> TextProbe:
    """Return an experiment on texts after two prompts, of this name."""
    prompts = more.pop("prompts", None)
    if prompts is None:
        prompts = ending_prompts(lab, instance)
    return TextProbe(
        lab.caller(label), lab.rng(label), instance, prompts, **{"new_tokens": NEW_TOKENS, **more}
    )


@check(
    "processing",
    f"law of texts of {NEW_TOKENS} tokens whose rows the declared processing changes",
    protocols=("decoder",),
    why_not=lambda subject: (
        "it declares no processing" if subject.process is None else lossless_only(subject)
    ),
    catches="processing that is missing at drafted, replaced or bonus tokens; rejected tokens that count",
    weight=8.0,
)
def _processing(lab: Laboratory) -> Statistical:
    probe = text_probe(lab, "processing", text_instance(lab))
    looks = probe.looks(tolerance=lab.tolerance, more={"no processing": lambda n: _plain(probe, n)})
    law = looks[0].evidence.null.ravel() / len(probe.prompts)

    def certificate() -> list[tuple[Integers, Floats]]:
        return [(probe.texts.ravel(), law)]

    return Statistical(
        probe=probe,
        looks=looks,
        planned=max(lab.least_samples, samples_for_bound(law.size, lab.eps, lab.delta)),
        certificate=certificate,
        picture=lambda: law_picture("joint law of the first tokens, one prompt", looks[0]),
    )


def _plain(probe: TextProbe, prompt: int) -> Floats:
    """Return the law of texts without processing and options."""
    other = TextProbe(
        type(probe.caller)(subject=probe.caller.subject.replace(process=None), seed=0),
        probe.rng,
        probe.instance,
        probe.prompts,
        new_tokens=probe.new_tokens,
    )
    return other.law(prompt)


def _filter_check(option: str) -> Check:
    def make(lab: Laboratory) -> Statistical:
        instance = distinct_rows(option, lambda seed: text_instance(lab, 300 + seed))
        probes: list[TextProbe] = []
        looks: list[Look] = []
        for value in VALUES[option]:
            probe = text_probe(lab, f"{option} {value:g}", instance, options={option: value})
            more = {"the option ignored": lambda n, probe=probe: _plain(probe, n)}
            looks += probe.looks(tolerance=lab.tolerance, more=more, prefix=f"{option} {value:g}: ")
            probes.append(probe)
        return together(probes, looks, lab.side_samples)

    def why_not(subject: Subject) -> str:
        few = "the vocabulary has fewer than 3 tokens" if (subject.max_vocabulary or 4) < 3 else ""
        return needs_option(subject, option) or few or lossless_only(subject)

    made = check(
        option.replace("_", "-"),
        f"texts with the option {option}",
        protocols=("decoder",),
        why_not=why_not,
        catches="parameters ignored or applied twice, at drafted, replaced or bonus tokens",
    )
    return made(make)


def _no_ends(subject: Subject) -> str:
    names = ("eos", "stop") if subject.protocol == "decoder" else ("eos",)
    return needs_option(subject, *names)


@check(
    "ends",
    "texts end with the token eos, or with a stop sequence, wherever in a draft it falls",
    protocols=(*STEPS, "decoder"),
    why_not=lambda subject: _no_ends(subject) or lossless_only(subject),
    catches="tokens after an accepted end, ends that are missed, ends of id 0, stop sequences across rounds",
)
def _ends(lab: Laboratory) -> Statistical:
    probes: list[Any] = []
    looks: list[Look] = []
    if lab.subject.protocol != "decoder":
        instance = lab.main_instance
        eos = _frequent(instance)
        probe = step_probe(lab, "ends", [instance], min(instance.draft_length + 1, 3), options={"eos": eos})
        looks += output_looks(lab, probe, 0, probe.length, known=False, prefix=f"eos {eos}: ")
        probes.append(probe)
    else:
        instance = text_instance(lab)
        prompts = ending_prompts(lab, instance)
        first, second = _frequent(instance), int(np.argsort(instance.target.sum(axis=0))[-2])
        options: list[dict[str, Any]] = [{"eos": first}, {"stop": ((first, second), (second, second, first))}]
        for chosen in options:
            if set(chosen) <= lab.subject.options:
                words = f"{next(iter(chosen))} {next(iter(chosen.values()))}"
                # A sequence that begins in the prompt is none: no prompt ends with a token that begins one.
                ends = np.concatenate([prompts, _other_tokens(lab, first, second, len(prompts))], axis=1)
                if "eos" in chosen:
                    # In a prompt it ends nothing: in the middle of the first, at the end of the second.
                    ends[0, 2] = ends[1, -1] = first
                text = text_probe(lab, f"ends {words}", instance, options=chosen, prompts=ends)
                more = {"no end": lambda n, text=text: _plain(text, n)}
                looks += text.looks(tolerance=lab.tolerance, more=more, prefix=f"{words}: ")
                probes.append(text)
    made = together(probes, looks, max(lab.effort.least_side, lab.side_samples // 2))
    made.probe = Preceded(lambda: _ends_of_any_id(lab), made.probe)
    return made


def _ends_of_any_id(lab: Laboratory) -> None:
    """Look for rows that go on after an end: any id, drafts of up to 16 tokens, other options.

    The caller raises an exception for such a row.
    """
    caller, rng = lab.caller("ends of any id"), lab.rng("ends of any id")
    if "eos" not in lab.subject.options:
        return
    size = max(1, min(lab.subject.max_batch or END_ROWS, END_ROWS))
    ids = dict.fromkeys((0, 1, lab.vocabulary - 1))
    if lab.subject.protocol == "decoder":
        from specsim.validation.conformance.checks.decoder import DecoderModels

        models = DecoderModels(caller, text_instance(lab))
        for eos in ids:
            prompts = rng.integers(0, lab.vocabulary, size=(size, 3))
            prompts[:, -1] = (eos + 1) % lab.vocabulary
            caller.decode(models, prompts, NEW_TOKENS, options={"eos": eos})
        return
    limit = lab.subject.max_draft_length or LONG_DRAFT
    for eos in ids:
        for length in sorted({min(3, limit), min(LONG_DRAFT, limit)}):
            for more in _with_ends(lab, size, length, rng):
                _end_early(lab, caller, rng, length, size, {"eos": eos, **more})


def _with_ends(lab: Laboratory, size: int, length: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return what is given together with an end of text: nothing, each of the other options, all of them."""
    taken = lab.subject.options
    each: dict[str, Any] = {name: values[0] for name, values in VALUES.items() if name in taken}
    if "temperatures" in taken:
        each["temperatures"] = np.resize([0.7, 1.0, 1.5], size)
    if "seeds" in taken:
        each["seeds"] = None
    if "draft_lengths" in taken and lab.subject.protocol == "step":
        each["draft_lengths"] = rng.integers(0, length + 1, size)
    if "d2t" in taken and lab.vocabulary >= 4 and lab.subject.draft != "never":
        each["d2t"] = np.arange(1, lab.vocabulary, 2)
    return [{}, *({name: value} for name, value in each.items()), *([each] if len(each) > 1 else [])]


def _end_early(
    lab: Laboratory,
    caller: Caller,
    rng: np.random.Generator,
    length: int,
    size: int,
    options: dict[str, Any],
) -> None:
    """Verify drafts most of which are accepted, and some of which hold an end."""
    row = np.full(lab.vocabulary, 1.0)
    row[options["eos"]] = 0.3
    draft = row.copy()
    if "d2t" in options:
        draft[[token for token in range(lab.vocabulary) if token not in options["d2t"]]] = 0.0
        row[draft == 0] = 0.1
    rows = [weights[None] / weights.sum() for weights in (row, draft)]
    instance = Instance(
        name="ends",
        target=rows[0],
        draft=rows[1],
        next_context=np.zeros(rows[0].shape, dtype=np.int64),
        start=0,
        draft_length=length,
    )
    if options.get("seeds", 0) is None:
        options["seeds"] = caller.row_seeds(size)
    if lab.subject.protocol != "step":
        models = Models(caller, [instance], np.zeros(size, dtype=np.int64), options.get("d2t"))
        caller.draft_and_verify(models, options=options)
        return
    drafted = instance.draw_drafted(rng, size)
    target, read = instance.rows(drafted)
    if "draft_lengths" in options:
        drafted, target, read = padded(options["draft_lengths"], drafted, target, read)
    if "d2t" in options:
        read = read[..., options["d2t"]]
    caller.step(target, None if lab.subject.draft == "never" else read, drafted, options=options)


def _frequent(instance: Instance) -> int:
    """Return the token that the target emits most."""
    return int(instance.target.sum(axis=0).argmax())


def _other_tokens(lab: Laboratory, first: int, second: int, count: int) -> Integers:
    others = [token for token in range(lab.vocabulary) if token not in (first, second)]
    return np.resize(np.array(others or [second], dtype=np.int64), (count, 1))


CHECKS = (
    _processing,
    *(_filter_check(option) for option in VALUES),
    _ends,
)
