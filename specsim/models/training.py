"""A small draft and a larger target, GPT-NeoX models of bytes, trained on a text by transformers' `Trainer`.

``transformers.AutoModelForCausalLM`` and ``AutoTokenizer`` load both folders without network. Weights are
float32. The same text, size, steps, seed, threads and versions give the same weights as a rule; the bits are
not promised, least of all after an interruption.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.errors import InputError
from specsim.models.requirements import require
from specsim.support.checks import whole
from specsim.support.files import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Trainer


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Width, layers and attention heads of a GPT-NeoX, and the peak learning rate of AdamW."""

    hidden: int
    layers: int
    heads: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class Size:
    """The two models, bytes of a sequence, sequences of a batch, and batches unless others are asked for."""

    draft: Architecture
    target: Architecture
    context: int
    batch: int
    steps: int


#: Sizes by name: `tiny` takes seconds and serves tests, `small` takes minutes.
SIZES = {
    "tiny": Size(
        draft=Architecture(hidden=16, layers=1, heads=2, rate=1e-2),
        target=Architecture(hidden=48, layers=2, heads=4, rate=6e-3),
        context=64,
        batch=8,
        steps=60,
    ),
    "small": Size(
        draft=Architecture(hidden=64, layers=1, heads=2, rate=6e-3),
        target=Architecture(hidden=96, layers=6, heads=4, rate=3e-3),
        context=256,
        batch=8,
        steps=600,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training did.

    Attributes
    ----------
    size, steps, seed, text_sha256
        The settings, and the SHA-256 of the text.
    draft_parameters, target_parameters
        Number of weights.
    draft_loss, target_loss
        Mean over held-out bytes of -ln of the probability of the byte, in nats.

    Examples
    --------
    >>> from specsim.models import train_pair
    >>> trained = train_pair("text.txt", "pair", size="tiny")  # doctest: +SKIP
    >>> trained.draft_parameters  # doctest: +SKIP
    11536
    """

    size: str
    steps: int
    seed: int
    text_sha256: str
    draft_parameters: int
    target_parameters: int
    draft_loss: float
    target_loss: float


def train_pair(
    text: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: str = "small",
    steps: int | None = None,
    seed: int = 0,
    resume: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train a draft and a target on a text and write them as ``out/draft`` and ``out/target``.

    Training is on the CPU, offline. The last tenth of the text is held out. Sets the random states of torch,
    NumPy and Python, as `Trainer` does.

    Parameters
    ----------
    text
        A file; bytes that are no UTF-8 are read as U+FFFD.
    out
        The folder to make; new or empty. It appears when all is done, and not before.
    size
        ``"tiny"`` (seconds; 13 and 82 thousand weights) or ``"small"`` (minutes; 0.1 and 0.7 million).
    steps
        Batches to learn from. Defaults to None, the number that belongs to the size.
    seed
        0 to 2^32 - 1.
    resume
        A folder for the checkpoints of `Trainer`; a training that was cut short goes on from there. Defaults
        to None: it is lost.
    progress
        Called after every step with the number of steps done, those of both models together.

    Raises
    ------
    InputError
        A text that cannot be read or is too short; an unknown size; a number out of range; a folder that
        holds something, cannot be written, or has checkpoints of another training; no accelerate; or a loss
        that is not finite.

    Examples
    --------
    >>> from specsim.models import train_pair
    >>> train_pair("text.txt", "pair", size="tiny").steps  # doctest: +SKIP
    60
    """
    steps = check_training(text, out, size=size, steps=steps, seed=seed)
    plan, data = SIZES[size], Path(text).read_bytes()
    settings: dict[str, Any] = {
        "size": size,
        "steps": steps,
        "seed": seed,
        "text_sha256": sha256(data).hexdigest(),
    }
    require("accelerate")
    with _new_folder(Path(out)) as made:
        checkpoints = None if resume is None else _checkpoints(Path(resume), settings)
        found: dict[str, Any] = {}
        for number, name in enumerate(("draft", "target")):

            def report(done: int, before: int = number * steps) -> None:
                if progress is not None:
                    progress(before + done)

            trainer = _train(
                getattr(plan, name), plan, data, steps, seed, checkpoints and checkpoints / name, report
            )
            loss = float(trainer.evaluate()["eval_loss"])
            if not math.isfinite(loss):
                raise InputError(f"the loss of the {name} is {loss} after {steps} steps; give another seed")
            trainer.model.save_pretrained(made / name)
            byte_tokenizer(plan.context).save_pretrained(made / name)
            found |= {f"{name}_parameters": trainer.model.num_parameters(), f"{name}_loss": loss}
        trained = Trained(**settings, **found)
        (made / "training.json").write_text(json.dumps(asdict(trained), indent=2) + "\n", encoding="utf-8")
    return trained


def check_training(
    text: str | os.PathLike[str], out: str | os.PathLike[str], *, size: str, steps: int | None, seed: int
) -> int:
    """Return the steps of each model; raise as `train_pair` does for its arguments. Imports no torch."""
    if size not in SIZES:
        raise InputError(f"size is {size!r}; give one of {', '.join(SIZES)}")
    whole("seed", seed, 0, 2**32 - 1)
    steps = SIZES[size].steps if steps is None else whole("steps", steps, 1, 10**7)
    path, least = Path(out), 10 * SIZES[size].context
    try:
        with open(text, "rb") as file:
            length = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"cannot read {text}: {error.strerror or error}; give a file of text") from None
    if length < least:
        raise InputError(f"{text} has {length} bytes, and size {size} needs {least}; give a longer text")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} exists and is not an empty folder; give a new one")
    return steps


def byte_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that `transformers.AutoTokenizer` can load: token b is byte b, 256 ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    inner = Tokenizer(models.BPE(vocab={name: byte for byte, name in bytes_to_unicode().items()}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        **dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>"),
    )


def _train(
    model: Architecture,
    plan: Size,
    data: bytes,
    steps: int,
    seed: int,
    checkpoints: Path | None,
    report: Callable[[int], None],
) -> Trainer:
    """Train a model on all but the last tenth of `data`, from its newest checkpoint on."""
    import transformers
    from transformers.trainer_utils import get_last_checkpoint

    class Report(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
            report(state.global_step)

    transformers.set_seed(seed)
    newest = get_last_checkpoint(checkpoints) if checkpoints is not None and checkpoints.is_dir() else None
    config = transformers.GPTNeoXConfig(
        vocab_size=257,
        hidden_size=model.hidden,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        intermediate_size=4 * model.hidden,
        max_position_embeddings=plan.context,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 256),
    )
    # Trainer itself leaves out weights that have another name in the file than in memory.
    start = transformers.GPTNeoXForCausalLM.from_pretrained(newest) if newest else None
    blocks = []
    learned = len(data) - len(data) // 10
    for part in (data[:learned], data[learned:]):
        pieces = [part[at : at + plan.context] for at in range(0, len(part) - plan.context + 1, plan.context)]
        blocks.append([{"input_ids": list(piece), "labels": list(piece)} for piece in pieces])
    trainer = transformers.Trainer(
        model=start or transformers.GPTNeoXForCausalLM(config).float(),
        args=transformers.TrainingArguments(
            output_dir=str(checkpoints or tempfile.gettempdir()),
            max_steps=steps,
            per_device_train_batch_size=plan.batch,
            learning_rate=model.rate,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            weight_decay=0.1,
            adam_beta2=0.95,
            seed=seed,
            use_cpu=True,
            save_strategy="no" if checkpoints is None else "steps",
            save_steps=max(1, steps // 10),
            save_total_limit=1,
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=blocks[0],
        eval_dataset=blocks[1],
        callbacks=[Report()],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    # Trainer would take one step more than all.
    if newest is None or not newest.endswith(f"-{steps}"):
        trainer.train(resume_from_checkpoint=newest)
    return trainer


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as temporary:
            made = Path(temporary) / path.name
            made.mkdir()
            yield made
            made.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose a writable folder"
        ) from error


def _checkpoints(folder: Path, settings: dict[str, Any]) -> Path:
    """Return the folder of checkpoints; refuse one of another training."""
    note, wanted = folder / "settings.json", json.dumps(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (note.is_file() and note.read_text(encoding="utf-8") == wanted):
            raise InputError(f"resume is {folder}, which holds something else; give another folder")
        write_text(note, wanted)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}; give another folder") from error
    return folder
