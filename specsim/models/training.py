"""A pair trained here: a small draft and a larger target, GPT-NeoX models of bytes, from one text.

The folder that `train_pair` makes::

    OUT/draft/          config.json, generation_config.json, model.safetensors,
                        tokenizer.json, tokenizer_config.json
    OUT/target/         the same files; the tokenizers are equal
    OUT/training.json   what was trained, on what, and what came of it; see `Trained`

``transformers.AutoModelForCausalLM`` and ``AutoTokenizer`` load both folders without network. Token b is byte
b of the text; token 256 ends a text, and as first token begins one of whose past nothing is known. Weights
are float32.

Reproducible: the batch of a step is a function of the seed and of the number of the step, the first weights
of the seed. The same text, size, number of steps, seed and number of threads give the same bytes of weights,
also when the training was cut short and resumed, with the same versions of torch and transformers on the same
kind of processor. Other threads, versions or processors change last bits, which training amplifies.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.models.byte_tokenizer import END_OF_TEXT, byte_tokenizer
from specsim.models.folders import new_folder
from specsim.models.training_checkpoints import Checkpoint
from specsim.models.training_sizes import SIZES, Size
from specsim.models.training_state import WARM_UP, Learner
from specsim.support.checks import whole
from specsim.support.files import write_text

if TYPE_CHECKING:
    from torch import Tensor

Bytes = NDArray[np.uint8]

FORMAT = "specsim trained pair 1"
#: What is in the folder of a trained pair.
ENTRIES = ("draft", "target", "training.json")
_SECONDS_BETWEEN_CHECKPOINTS = 15.0
_HELD_OUT_SEQUENCES = 64
_MOST_STEPS = 10**7
_MOST_MINUTES = 10**5
_MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training did, as in ``training.json``.

    Attributes
    ----------
    size, seed, steps, threads
        The settings; with the text they determine the weights.
    text, text_bytes, text_sha256
        Name of the file, its length, and the SHA-256 of what is in it.
    held_out_bytes
        Bytes at the end of the text that were not trained on.
    draft_parameters, target_parameters
        Number of weights.
    draft_loss, target_loss
        Mean over held-out bytes of -ln of the probability of the byte, in nats.
    frequency_loss
        The same for the law of single bytes in the part trained on: what a model that learns no context gets.
    total_variation, total_variation_error
        Mean over the same bytes of the total variation between the two models' laws of the byte, and its
        standard error, in which each sequence counts as one observation; nan if there is only one, and null
        in the file.
    versions
        Of torch and transformers.
    """

    size: str
    seed: int
    steps: int
    threads: int
    text: str
    text_bytes: int
    text_sha256: str
    held_out_bytes: int
    draft_parameters: int
    target_parameters: int
    draft_loss: float
    target_loss: float
    frequency_loss: float
    total_variation: float
    total_variation_error: float
    versions: dict[str, str]


#: Called with the steps done, all steps (None while that is being measured), and the last losses of draft and
#: target in nats per byte.
Progress = Callable[[int, int | None, float, float], object]


def train_pair(
    text: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: str = "small",
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    threads: int = 1,
    resume: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train a draft and a target on a text and write them as two folders.

    Training is on the processor. Both see the same batches in the same order. The last tenth of the text is
    held out, for the losses and the total variation that are returned.

    Parameters
    ----------
    text
        A file; any bytes will do.
    out
        The folder to make. It appears when all is done, and not before.
    size
        ``"tiny"`` (seconds; draft 12 thousand and target 80 thousand weights) or ``"small"`` (minutes; 0.1
        and 0.7 million).
    steps
        Batches to learn from. Defaults to None, the number that belongs to the size.
    minutes
        Instead of `steps`: so many as take about this time (draft and target together), going by the speed of
        the first ones. The number is part of what is returned; given as `steps` it makes the same weights.
    seed
        0 to 2^64 - 1.
    threads
        Of torch. Models as small as these gain little from more, and lose much where cores are shared.
    resume
        A file for checkpoints, written every 15 seconds or so and removed at the end: if it is there, the
        training that left it goes on. Defaults to None: a training cut short is lost.
    overwrite
        Whether `out` may be replaced if it was made by this function.
    progress
        Called in the calling thread after every step.

    Raises
    ------
    InputError
        No torch or transformers; a text that cannot be read or is too short; an unknown size; numbers out of
        range; a folder that holds something or cannot be written; a checkpoint that is damaged or belongs to
        another training.
    """
    plan, steps, minutes, seed, threads = _settings(size, steps, minutes, seed, threads)
    if resume is not None and Path(out).resolve() in Path(resume).resolve().parents:
        raise InputError(f"resume is {resume}, a file in {out}, which is made at the end; give another place")
    data = _read(Path(text), size, plan)
    digest = hashlib.sha256(data.data).hexdigest()
    with new_folder(out, entries=ENTRIES, overwrite=overwrite) as folder, _reproducible(seed, threads):
        learners = [
            Learner("draft", plan.draft, plan.context),
            Learner("target", plan.target, plan.context),
        ]
        versions = {name: version(name) for name in ("torch", "transformers")}
        settings = {"format": FORMAT, "size": size, "seed": seed, "threads": threads, "text": digest}
        checkpoint = Checkpoint(resume, {**settings, **versions}, learners)
        learned = data[: len(data) - len(data) // 10]
        held_out = data[len(learned) :]
        done = _learn(learners, plan, learned, seed, steps, minutes, checkpoint, progress)
        losses, distance, error = _compare(learners, plan, held_out)
        trained = Trained(
            size=size,
            seed=seed,
            steps=done,
            threads=threads,
            text=Path(text).name,
            text_bytes=len(data),
            text_sha256=digest,
            held_out_bytes=len(held_out),
            draft_parameters=learners[0].parameters,
            target_parameters=learners[1].parameters,
            draft_loss=losses[0],
            target_loss=losses[1],
            frequency_loss=_frequency_loss(learned, held_out),
            total_variation=distance,
            total_variation_error=error,
            versions=versions,
        )
        for learner in learners:
            learner.save(folder / learner.name)
            byte_tokenizer(plan.context).save_pretrained(folder / learner.name)
        write_text(folder / "training.json", _report(trained))
    checkpoint.remove()
    return trained


def _report(trained: Trained) -> str:
    """Return what stands in ``training.json``; JSON has no nan."""
    plain = {name: None if value != value else value for name, value in asdict(trained).items()}
    return json.dumps({"format": FORMAT, **plain}, indent=2, allow_nan=False) + "\n"


def _settings(
    size: str, steps: int | None, minutes: float | None, seed: int, threads: int
) -> tuple[Size, int | None, float | None, int, int]:
    """Check the settings."""
    if size not in SIZES:
        raise InputError(f"size is {size!r}; give one of {', '.join(SIZES)}")
    plan = SIZES[size]
    if steps is not None and minutes is not None:
        raise InputError(f"steps is {steps} and minutes is {minutes}; give one of them")
    if steps is not None:
        steps = whole("steps", steps, 1, _MOST_STEPS)
    elif minutes is not None and (
        isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= _MOST_MINUTES
    ):
        raise InputError(f"minutes is {minutes!r}; give a number above 0, at most {_MOST_MINUTES}")
    seed = whole("seed", seed, 0, 2**64 - 1)
    threads = whole("threads", threads, 1, _MOST_THREADS)
    return plan, steps, minutes, seed, threads


def _read(path: Path, size: str, plan: Size) -> Bytes:
    """Return the bytes of a text, mapped into memory."""
    try:
        length = path.stat().st_size
        if not path.is_file():
            raise InputError(f"text is {path}, which is no file; give a file of text")
        # An empty file cannot be mapped.
        data = np.memmap(path, np.uint8, mode="r") if length else np.zeros(0, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give a file of text") from error
    if len(data) < plan.least_bytes:
        shorter = " or size tiny" if size != "tiny" else ""
        raise InputError(
            f"{path} has {len(data)} bytes, and size {size} needs {plan.least_bytes} at least; "
            f"give a longer text{shorter}"
        )
    return data


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Fix what weights depend on within the block: torch's threads, precision, algorithms, random numbers."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_default_dtype()
    try:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(True)
        with torch.random.fork_rng(devices=[]):
            # Seeds of torch are signed.
            torch.manual_seed(seed - 2**64 if seed >= 2**63 else seed)
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_default_dtype(precision)
        torch.use_deterministic_algorithms(before[1], warn_only=warns)


def _learn(
    learners: list[Learner],
    plan: Size,
    data: Bytes,
    seed: int,
    steps: int | None,
    minutes: float | None,
    checkpoint: Checkpoint,
    progress: Progress | None,
) -> int:
    """Take all steps and return how many they were, those of an earlier part included."""
    number, planned = checkpoint.load()
    if planned is not None:
        if steps not in (None, planned):
            raise InputError(
                f"steps is {steps}, but the checkpoint is of {planned} steps; leave steps out or give that"
            )
        steps = planned
    elif steps is None and minutes is None:
        steps = plan.steps
    begin = saved = time.perf_counter()
    while steps is None or number < steps:
        batch = _batch(data, plan, seed, number)
        # Until the number of steps is known, all is as it is for every number of steps.
        draft_loss, target_loss = (
            learner.step(batch, number, steps if steps is not None else WARM_UP) for learner in learners
        )
        number += 1
        now = time.perf_counter()
        if steps is None and number == WARM_UP:
            assert minutes is not None
            per_step = (now - begin) / number
            steps = max(WARM_UP, min(_MOST_STEPS, int(60 * minutes / per_step)))
        if steps is not None and number < steps and now - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(number, steps)
            saved = now
        if not math.isfinite(draft_loss + target_loss):
            raise InputError(f"the loss is not finite after {number} steps; give another seed")
        if progress is not None:
            progress(number, steps, draft_loss, target_loss)
    return steps


def _batch(data: Bytes, plan: Size, seed: int, number: int) -> Tensor:
    """Return the sequences of a step, int64 of shape ``(batch, context + 1)``.

    The first one begins with the end of a text instead of its first byte, so that a context without a past is
    among what is learned.
    """
    import torch

    words = np.random.Philox(key=seed, counter=[0, 0, 0, number]).random_raw(plan.batch)
    starts = (words % np.uint64(len(data) - plan.context)).astype(np.int64)
    rows = data[starts[:, None] + np.arange(plan.context + 1)].astype(np.int64)
    rows[0, 0] = END_OF_TEXT
    return torch.from_numpy(rows)


def _compare(learners: list[Learner], plan: Size, held_out: Bytes) -> tuple[list[float], float, float]:
    """Losses, mean total variation and its standard error, on sequences spread over the held-out bytes."""
    import torch

    available = (len(held_out) - 1) // plan.context
    count = min(available, _HELD_OUT_SEQUENCES)
    starts = np.arange(count) * available // count * plan.context
    rows = torch.from_numpy(held_out[starts[:, None] + np.arange(plan.context + 1)].astype(np.int64))
    losses: list[list[float]] = [[], []]
    distances = []
    with torch.inference_mode():
        for row in rows:
            laws = []
            for learner, loss in zip(learners, losses, strict=True):
                logits = learner.model(input_ids=row[None, :-1], use_cache=False).logits[0].double()
                logs = torch.log_softmax(logits, dim=-1)
                loss.append(float(-logs.gather(1, row[1:, None]).mean()))
                laws.append(logs.exp())
            distances.append(float((laws[0] - laws[1]).abs().sum(dim=-1).mean()) / 2)
    error = float(np.std(distances, ddof=1) / math.sqrt(count)) if count > 1 else math.nan
    return [float(np.mean(loss)) for loss in losses], float(np.mean(distances)), error


def _frequency_loss(learned: Bytes, held_out: Bytes) -> float:
    """Loss on held-out bytes of the frequencies of bytes, each counted once more than it was seen."""
    counts = np.bincount(learned, minlength=256) + 1.0
    logs: NDArray[np.float64] = np.log(counts / counts.sum())
    return float(-logs[held_out].mean())
