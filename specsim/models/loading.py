"""Loading a draft and a target that share a vocabulary, with clear errors before anything large is read."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from specsim.engines.running.memory import available_bytes
from specsim.errors import InputError, TooLargeError
from specsim.models.caches import check_model
from specsim.models.sources import Source, check_whole, first_line, source

_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, kw_only=True)
class LoadedPair:
    """Two causal language models over one vocabulary, ready to decode.

    Parameters
    ----------
    target, draft
        transformers causal language models, in evaluation mode, on `device`.
    tokenizer
        The shared tokenizer. Defaults to None: prompts are lists of token ids.
    device
        Where they are. Defaults to None, where the target is.
    names
        What they are called in reports, target first.

    Raises
    ------
    InputError
        The vocabularies differ, the models are on different devices, or their caches cannot be rolled back.

    Examples
    --------
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> pair.vocabulary
    3
    """

    target: Any
    draft: Any
    tokenizer: Any = None
    device: Any = None
    names: tuple[str, str] = ("target", "draft")

    def __post_init__(self) -> None:
        for role, model in (("target", self.target), ("draft", self.draft)):
            check_model(model, role)
            model.eval()
        sizes = [vocabulary_size(model) for model in (self.target, self.draft)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"draft has {sizes[1]} tokens and target {sizes[0]}; give models that share a vocabulary"
            )
        places = {_numbered(model.device) for model in (self.target, self.draft)}
        wanted = _numbered(self.target.device) if self.device is None else _device(self.device)
        object.__setattr__(self, "device", wanted)
        if places != {wanted}:
            names = " and ".join(sorted(map(str, places)))
            raise InputError(f"the models are on {names}, wanted on {wanted}; move both to one device")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return vocabulary_size(self.target)

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights of both take."""
        models = {id(model): model for model in (self.target, self.draft)}
        return sum(int(model.get_memory_footprint()) for model in models.values())


def vocabulary_size(model: Any) -> int:
    """Return how many logits a model has per token."""
    return int(model.config.get_text_config().vocab_size)


def load_pair(
    target: str | Path,
    draft: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> LoadedPair:
    """Load two checkpoints, by hub id or local folder.

    Parameters
    ----------
    target, draft
        Folders, or ids on the hub.
    device
        Defaults to None, a GPU when there is one.
    dtype
        What the weights are kept in. Defaults to None, float32 on a CPU and the checkpoint's on a GPU.
        Rows are computed and compared in float32 at least, whatever this is.

    Raises
    ------
    InputError
        A folder or file is missing or damaged, weights are missing, an id is unknown or the hub cannot be
        reached, the vocabularies or tokenizers differ, or the kind of model cannot be decoded.
    TooLargeError
        The weights do not fit in memory; found out before they are read.

    Examples
    --------
    >>> import tempfile
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target.save_pretrained(f"{folder}/target")
    ...     draft.save_pretrained(f"{folder}/draft")
    ...     models.load_pair(f"{folder}/target", f"{folder}/draft").vocabulary
    3
    """
    import specsim.models.table_model  # noqa: F401  its kind of folder becomes known to transformers

    place = _device(device)
    kind = _dtype(dtype, place)
    names = (str(target), str(draft))
    origins = [source(name, role) for name, role in zip(names, ("target", "draft"), strict=True)]
    configs = [_config(origin) for origin in origins]
    _check_vocabularies(configs)
    tokenizer = _shared_tokenizer(origins)
    _check_fit(configs, kind, place, origins)
    models = [_model(origin, config, kind, place) for origin, config in zip(origins, configs, strict=True)]
    return LoadedPair(target=models[0], draft=models[1], tokenizer=tokenizer, device=place, names=names)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = _numbered(torch.device(device))
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device is {device!r}, which is not available: {first_line(error)}; try cpu"
        ) from None
    return place


def _numbered(device: Any) -> torch.device:
    """Return a device by the name that its tensors give it: a GPU has a number, the CPU has none."""
    place = torch.device(device)
    if place.type == "cpu":
        return torch.device("cpu")
    if place.type == "cuda" and place.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return place


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype | str:
    if dtype is None:
        return torch.float32 if device.type == "cpu" else "auto"
    if isinstance(dtype, str):
        if dtype not in _DTYPES:
            raise InputError(f"dtype is {dtype!r}; give one of {', '.join(_DTYPES)}")
        return _DTYPES[dtype]
    if dtype not in _DTYPES.values():
        raise InputError(f"dtype is {dtype}; give one of {', '.join(_DTYPES)}")
    return dtype


def _config(origin: Source) -> Any:
    from transformers import AutoConfig

    return origin.ask(lambda: AutoConfig.from_pretrained(origin.place, **origin.options), "configuration")


def _check_vocabularies(configs: list[Any]) -> None:
    sizes = [int(config.get_text_config().vocab_size) for config in configs]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"draft has {sizes[1]} tokens and target {sizes[0]}; give models that share a vocabulary"
        )


def _shared_tokenizer(origins: list[Source]) -> Any:
    """Return the tokenizer, or None where neither checkpoint brings one."""
    from transformers import AutoTokenizer

    files = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")
    found = [
        origin.ask(partial(AutoTokenizer.from_pretrained, origin.place, **origin.options), "tokenizer")
        for origin in origins
        if origin.has_any(*files)
    ]
    if len(found) == 2 and found[0].get_vocab() != found[1].get_vocab():
        raise InputError(
            f"the tokenizers of {origins[0].name} and {origins[1].name} differ; give models that share a "
            "tokenizer"
        )
    return found[0] if found else None


def _check_fit(
    configs: list[Any], dtype: torch.dtype | str, device: torch.device, origins: list[Source]
) -> None:
    """Raise unless the weights fit; they are counted on a model without memory."""
    from transformers import AutoModelForCausalLM

    size = 0
    for config, origin in zip(configs, origins, strict=True):
        kind = dtype if isinstance(dtype, torch.dtype) else (getattr(config, "dtype", None) or torch.float32)
        with torch.device("meta"):
            model = origin.ask(partial(AutoModelForCausalLM.from_config, config), "model")
        parts = [*model.parameters(), *model.buffers()]
        width = torch.empty(0, dtype=kind).element_size()
        size += sum(
            part.numel() * (width if part.is_floating_point() else part.element_size()) for part in parts
        )
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    if size > free:
        raise TooLargeError(
            f"the weights of {origins[0].name} and {origins[1].name} take {size} bytes and {free} are free "
            f"on {device}; give smaller models or a smaller dtype"
        )


def _model(origin: Source, config: Any, dtype: torch.dtype | str, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM

    def load() -> Any:
        # Weights of another shape are reported below, by name; transformers would only point to its log.
        return AutoModelForCausalLM.from_pretrained(
            origin.place,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **origin.options,
        )

    role, name = origin.role, origin.name
    model, report = origin.ask(load, "weights")
    check_whole(origin, report)
    check_model(model, role)
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise TooLargeError(f"{role} {name} does not fit on {device}: {first_line(error)}") from None
