"""Checks of what each row of a batch may ask for itself: a seed, a temperature, several samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import SEED_RANGE, Caller, ContractError
from specsim.validation.conformance.checks.base import (
    Exact,
    Look,
    Statistical,
    check,
    law_picture,
    lossless_only,
    needs_option,
)
from specsim.validation.conformance.checks.batches import (
    COMPARED,
    SAME,
    Pairs,
    blanked,
    constant_rows,
    telling_path,
    text_tokens,
)
from specsim.validation.conformance.checks.options import clear_instance, distinct_rows, mistakes
from specsim.validation.conformance.checks.step import STEPS, output_looks, step_probe
from specsim.validation.conformance.checks.texts import text_instance, text_probe
from specsim.validation.conformance.filters import tempered
from specsim.validation.conformance.instances import Instance, dyadic
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import SEED_CALLS, Models, PairProbe
from specsim.validation.conformance.subjects import Subject

#: Temperatures that are mixed in a batch. The first draft of a greedy row is always accepted or
#: always rejected; hence two of them.
TEMPERATURES = (0.0, 0.0, 0.2, 0.7, 1.0, 1.5, 2.0)
#: Mass of tokens that greedy drafts do not have.
HARDLY = 1e-12
#: Texts per prompt.
SAMPLES = 3
#: Rows of a call of the exact check, and how often it is repeated.
ROWS, REPETITIONS = 12, 5

_WRITERS = (*STEPS, "decoder")


def _takes(option: str, *, rows: bool = True) -> Callable[[Subject], str]:
    def why_not(subject: Subject) -> str:
        one = "the sampler takes one row at a time" if rows and subject.max_batch == 1 else ""
        return needs_option(subject, option) or one

    return why_not


def rows_call(
    lab: Laboratory,
    caller: Caller,
    rng: np.random.Generator,
    size: int,
    *,
    equal: bool = False,
    temperatures: Floats | None = None,
    eos: int | None = None,
) -> Callable[[int, Integers | None, Integers], Integers]:
    """Return a function of (seed, seeds of the rows if they have any, chosen rows) on inputs fixed now.

    It returns what each chosen row emitted, -1 after its end. With `equal` all rows have the same input.
    """

    def options(seeds: Integers | None, rows: Integers) -> dict[str, Any]:
        given: dict[str, Any] = {} if seeds is None else {"seeds": seeds}
        if eos is not None:
            given["eos"] = eos
        return given if temperatures is None else {**given, "temperatures": temperatures[rows]}

    protocol, instance = lab.subject.protocol, lab.main_instance
    if protocol == "step":
        drafted = lab.lawful(instance).draw_drafted(rng, size)
        if equal:
            drafted = np.repeat(telling_path(lab)[None, :], size, axis=0)
        target, draft = instance.rows(drafted)

        def of_step(seed: int, seeds: Integers | None, rows: Integers) -> Integers:
            given = None if lab.subject.draft == "never" else draft[rows]
            tokens, lengths = caller.step(
                target[rows], given, drafted[rows], seed=seed, options=options(seeds, rows)
            )
            return blanked(tokens, lengths)

        return of_step
    if protocol == "draft-and-verify":

        def of_draft(seed: int, seeds: Integers | None, rows: Integers) -> Integers:
            models = Models(caller, [instance], np.zeros(len(rows), dtype=np.int64))
            _, tokens, lengths = caller.draft_and_verify(models, seed=seed, options=options(seeds, rows))
            return blanked(tokens, lengths)

        return of_draft
    from specsim.validation.conformance.checks.decoder import DecoderModels

    models = DecoderModels(caller, instance)
    prompts = rng.integers(0, instance.vocabulary, size=(size, 3))
    if equal:
        # The same in every call: pairs of calls with several prompts would be dependent by their prompt.
        prompts[:] = lab.rng("one prompt").integers(0, instance.vocabulary, size=3)

    def of_text(seed: int, seeds: Integers | None, rows: Integers) -> Integers:
        # Where texts end, the others go on for some rounds.
        length = instance.draft_length + 3 if eos is None else 3 * instance.draft_length + 6
        return caller.decode(models, prompts[rows], length, seed=seed, options=options(seeds, rows))[0]

    return of_text


@check(
    "request-seeds",
    "with a seed per row, what a row emits does not depend on other rows, their order, or the call's seed",
    kind="contract",
    protocols=_WRITERS,
    why_not=_takes("seeds"),
    catches="seeds of other rows, streams of a batch or of equal seeds, a row's index used in its seed",
)
def _request_seeds(lab: Laboratory) -> Exact:
    def run() -> int:
        caller, rng = lab.caller("request seeds"), lab.rng("request seeds")
        size = min(lab.subject.max_batch or ROWS, ROWS)
        everything = np.arange(size)
        temperatures = np.resize(TEMPERATURES, size) if "temperatures" in lab.subject.options else None
        ends = int(lab.main_instance.target.sum(axis=0).argmax()) if "eos" in lab.subject.options else None
        for repetition in range(REPETITIONS):
            call = rows_call(
                lab,
                caller,
                rng,
                size,
                temperatures=temperatures if repetition % 2 else None,
                eos=ends if repetition % 3 == 2 else None,
            )
            seeds = caller.row_seeds(size)
            first, second = (int(seed) for seed in rng.integers(SEED_RANGE, size=2))
            found = call(first, seeds, everything)
            order = rng.permutation(size)
            for words, seed, rows in (
                ("under another seed of the call", second, everything),
                ("in another order", first, order),
                ("without half of the others", first, order[: max(1, size // 2)]),
                ("beside a row with the same seed and input", first, np.repeat(order[: size // 2], 2)),
            ):
                again = call(seed, seeds[rows], rows)
                wrong = (again != found[rows]).any(axis=1)
                if wrong.any():
                    place = int(np.flatnonzero(wrong)[0])
                    row = int(rows[place])
                    raise ContractError(
                        f"row {row} with seed {int(seeds[row])} emits {found[row].tolist()}, and {words}"
                        f" {again[place].tolist()}; its own seed has to decide"
                    )
        return 4 * REPETITIONS

    return Exact(run=run)


@check(
    "request-law",
    "law of what rows emit that have a seed each, neighbouring ones",
    protocols=_WRITERS,
    why_not=lambda subject: _takes("seeds")(subject) or lossless_only(subject),
    catches="seeds that are truncated, or used again in the next round",
)
def _request_law(lab: Laboratory) -> Statistical:
    options = {"seeds": None}  # the experiment fills them in
    looks: list[Look]
    if lab.subject.protocol == "decoder":
        text = text_probe(lab, "request law", text_instance(lab), options=options)
        looks = text.looks(tolerance=lab.tolerance)
        return Statistical(probe=text, looks=looks, planned=max(lab.effort.least_side, lab.side_samples // 2))
    probe = step_probe(lab, "request law", [lab.main_instance], min(lab.draft_length + 1, 3), options=options)
    looks = output_looks(lab, probe, 0, probe.length)
    return Statistical(probe=probe, looks=looks, planned=max(lab.effort.least_side, lab.side_samples // 2))


@check(
    "request-independence",
    "rows with neighbouring seeds of their own are independent",
    kind="independence",
    protocols=_WRITERS,
    why_not=_takes("seeds"),
    catches="seeds that are truncated, one seed for all rows",
)
def _request_independence(lab: Laboratory) -> Statistical:
    caller, rng = lab.caller("request pairs"), lab.rng("request pairs")

    places: tuple[tuple[int, int], ...] = ((0, 0), (1, 0), (0, 1))
    if lab.subject.protocol == "decoder":
        places = (*places, (4, 4), (5, 1), (1, 5))

    def outcomes(size: int) -> Callable[[int], Integers]:
        if lab.subject.protocol == "decoder":
            return text_tokens(lab, caller, size, seeds=True)
        call = rows_call(lab, caller, rng, size, equal=True)
        return lambda seed: call(seed, caller.row_seeds(size), np.arange(size))

    probe = PairProbe(caller=caller, outcomes=outcomes, apart="rows", cells=lab.vocabulary, places=places)
    return Pairs(probe=probe, looks=(), planned=lab.side_samples)


def _apart(instance: Instance, shift: int) -> Floats:
    """Return the draft rows, rolled until the likeliest tokens at the start are `shift` ids apart."""
    begin = instance.target[instance.start].argmax() - instance.draft[instance.start].argmax()
    return np.roll(instance.draft, begin + shift, axis=1)


@check(
    "mixed-temperatures",
    "rows of a batch with temperatures of their own, greedy ones among them",
    protocols=_WRITERS,
    why_not=lambda subject: _takes("temperatures")(subject) or lossless_only(subject),
    catches="one temperature for all rows, greedy rows that are sampled, sampled ones that are greedy",
)
def _mixed_temperatures(lab: Laboratory) -> Statistical:
    rows = {"temperatures": TEMPERATURES}
    looks: list[Look] = []
    planned = lab.side_samples
    if lab.subject.protocol == "decoder":
        instance = distinct_rows("temperature", lambda seed: text_instance(lab, 300 + seed))
        prompts = np.resize(lab.rng("mixed").integers(0, lab.vocabulary, (2, 3)), (len(TEMPERATURES), 3))
        text = text_probe(lab, "mixed", instance, prompts=prompts, row_options=rows)
        looks = text.looks(tolerance=lab.tolerance, prefix="by temperature: ")
        return Statistical(probe=text, looks=looks, planned=planned)
    instance = clear_instance(lab)
    instances = [replace(instance, name=f"temperature {value:g}") for value in TEMPERATURES]
    # At low temperatures rows of one likely token are hardly random: these are more even.
    instances = [
        item.mapped(lambda rows: dyadic(np.sqrt(rows)), item.name) if 0 < value < 0.5 else item
        for item, value in zip(instances, TEMPERATURES, strict=True)
    ]
    for row, (words, shift) in enumerate((("accepted", 0), ("rejected", 1))):
        instances[row] = replace(
            instance, name=f"temperature 0, first draft {words}", draft=_apart(instance, shift)
        )
    size = min(lab.subject.max_batch or 400, 400)
    probe = step_probe(lab, "mixed", instances, instance.draft_length + 1, batch=size, row_options=rows)
    for index, item in enumerate(instances):
        temperature = TEMPERATURES[index]
        others = {"the temperature of the row before": TEMPERATURES[index - 1]}
        if temperature > 0:
            others["temperature 0"] = 0.0
        # Rules divide by the mass of drafted tokens, which must not be 0.
        whole = 1 + item.vocabulary * HARDLY
        rows_of = {
            words: (tempered(item.target, other), (tempered(item.draft, other) + HARDLY) / whole)
            for words, other in others.items()
        }
        known = {
            words: replace(probe.effective[index], target=target).target_law(probe.length)
            for words, (target, _) in rows_of.items()
        }
        if temperature not in (0.0, 1.0):
            verified = {f"{words}, in verification": rows for words, rows in rows_of.items()}
            known |= mistakes(lab, probe, index, {"temperature": temperature}, verified)
        looks += output_looks(
            lab,
            probe,
            index,
            probe.length,
            known=False,
            prefix=f"{item.name}: ",
            more=known,
        )
    return Statistical(
        probe=probe,
        looks=looks,
        planned=planned,
        picture=lambda: law_picture("joint law, one temperature of a mixed batch", looks[-1]),
    )


@check(
    "samples",
    f"law of {SAMPLES} texts for each prompt",
    protocols=("decoder",),
    why_not=lambda subject: _takes("samples", rows=False)(subject) or lossless_only(subject),
    catches="samples of another prompt, a first sample that is greedy",
)
def _samples(lab: Laboratory) -> Statistical:
    options: dict[str, Any] = {"samples": SAMPLES}
    text = text_probe(lab, "samples", text_instance(lab), options=options)
    looks = text.looks(tolerance=lab.tolerance)
    return Statistical(probe=text, looks=looks, planned=max(lab.effort.least_side, lab.side_samples // 2))


@check(
    "sample-independence",
    "texts for one prompt are independent of each other, and of those of the next seed",
    kind="independence",
    protocols=("decoder",),
    why_not=_takes("samples", rows=False),
    catches="samples that are copies; sample i of seed s that is a sample of seed s + i",
)
def _sample_independence(lab: Laboratory) -> Statistical:
    return Pairs(probe=SampleProbe(lab), looks=(), planned=lab.side_samples)


class SampleProbe(PairProbe):
    """Pairs of samples: of one prompt, and, with a seed for each row, of prompts of neighbouring seeds."""

    WAYS = ("neighbouring samples", "samples 2 apart", "sample 1 of a seed and sample 0 of the next")

    def __init__(self, lab: Laboratory) -> None:
        from specsim.validation.conformance.checks.decoder import DecoderModels

        self.seeded = "seeds" in lab.subject.options
        super().__init__(
            caller=lab.caller("sample pairs"), outcomes=lambda size: lambda seed: np.zeros((size, 1), int),
            apart="samples", cells=lab.vocabulary, places=SAME,
        )  # fmt: skip
        self.models = DecoderModels(self.caller, constant_rows(lab.main_instance))
        self.size = max(1, min(lab.subject.max_batch or 64, 64) // 2 * 2)

    def _ways(self, limit: int) -> list[str]:
        return list(self.WAYS[: 2 + self.seeded])

    def sample(self, count: int) -> None:
        """Observe about `count` more pairs."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            calls = [self._call() for _ in range(SEED_CALLS)]
            self._paired(self.WAYS[0], [(found[:, 0], found[:, 1]) for found in calls], 0)
            self._paired(self.WAYS[1], [(found[:, 0], found[:, 2]) for found in calls], 0)
            if self.seeded and self.size > 1:
                self._paired(self.WAYS[2], [(found[:-1, 1], found[1:, 0]) for found in calls], 0)
            self.total += SEED_CALLS * self.size

    def _call(self) -> Integers:
        """Return what is compared of each sample of each prompt, ``(prompts, samples, tokens)``."""
        prompts = np.ones((self.size, 3), dtype=np.int64)
        options: dict[str, Any] = {"samples": SAMPLES}
        if self.seeded:
            options["seeds"] = self.caller.row_seeds(self.size)
        tokens, _ = self.caller.decode(
            self.models, prompts, COMPARED, seed=self.caller.next_seed(), options=options
        )
        return tokens.reshape(self.size, SAMPLES, COMPARED)


CHECKS = (
    _request_seeds,
    _request_law,
    _request_independence,
    _mixed_temperatures,
    _samples,
    _sample_independence,
)
