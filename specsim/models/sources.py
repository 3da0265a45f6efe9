"""Where a checkpoint comes from, a folder or the hub; one clear line where it cannot be had."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from specsim.errors import InputError

T = TypeVar("T")

#: Seconds before the hub is asked a second and last time.
_PAUSE = 1.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """A checkpoint by folder or by id on the hub.

    name: as given.
    role: what it is for, in messages.
    is_local: whether it is a folder.
    unreachable: why the hub cannot be reached, in words; None where it can or is not needed.
    """

    name: str
    role: str
    is_local: bool
    unreachable: str | None = None

    @property
    def place(self) -> str:
        """What transformers is given."""
        return str(Path(self.name).expanduser()) if self.is_local else self.name

    @property
    def options(self) -> dict[str, Any]:
        """Options for every ``from_pretrained``: without a network, what is in the cache."""
        return {"local_files_only": True} if self.unreachable else {}

    def has_any(self, *files: str) -> bool:
        """Whether one of these files is there; taken for granted on the hub."""
        return not self.is_local or any((Path(self.place) / file).is_file() for file in files)

    def ask(self, action: Callable[[], T], what: str) -> T:
        """Run a call of transformers; whatever it says of a bad checkpoint becomes one line.

        action: the call.
        what: what it reads, in words.
        InputError: it fails.
        """
        import pickle

        from safetensors import SafetensorError

        try:
            return action()
        except (
            OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, EOFError,
            pickle.UnpicklingError, json.JSONDecodeError, SafetensorError,
        ) as error:  # fmt: skip
            if self.unreachable and isinstance(error, OSError):
                raise InputError(
                    f"{self.role} {self.name} is not a folder here, the hub's cache has no {what} of it, and "
                    f"the hub cannot be reached ({self.unreachable}); give a folder, or try with a network"
                ) from None
            remedy = "check the folder's files" if self.is_local else "check the id, or give a local folder"
            raise InputError(
                f"{self.role} {self.name}: the {what} cannot be read: {first_line(error)}; {remedy}"
            ) from None


def source(name: str, role: str) -> Source:
    """Find out what a name means, and for an id whether the hub answers.

    Without a network huggingface_hub tries again for half a minute before it fails; here it is asked twice.

    name: folder, or id on the hub.
    role: what it is for, in messages.
    InputError: the name is empty, or a folder that is not there or holds no checkpoint.
    """
    if not name:
        raise InputError(f"{role} is empty; give a folder or an id on the hub")
    folder = Path(name).expanduser()
    # What cannot be an id is meant as a folder.
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        if not folder.is_dir():
            raise InputError(
                f"{role} is {name!r}, which is not a folder here; give a folder or an id on the hub"
            )
        if not (folder / "config.json").is_file():
            raise InputError(f"{role} folder {name} has no config.json; give the folder of a checkpoint")
        return Source(name=name, role=role, is_local=True)
    return Source(name=name, role=role, is_local=False, unreachable=_unreachable(name))


def check_whole(origin: Source, report: dict[str, Any]) -> None:
    """Refuse a checkpoint of which weights are missing or do not fit.

    transformers draws those at random, with a warning only.

    origin: where the weights come from.
    report: what ``from_pretrained`` returns with ``output_loading_info``.
    InputError: a weight is missing or has another shape.
    """
    if missing := sorted(map(str, report.get("missing_keys") or ())):
        raise InputError(
            f"{origin.role} {origin.name} lacks weights ({missing[0]}); the checkpoint is damaged or of "
            "another kind"
        )
    if unfit := sorted(report.get("mismatched_keys") or (), key=str):
        key, *shapes = unfit[0] if isinstance(unfit[0], tuple) else (unfit[0],)
        found = " for ".join(str(tuple(shape)) for shape in shapes)
        raise InputError(
            f"{origin.role} {origin.name} has weights in another shape ({key}{': ' if found else ''}{found})"
            "; the checkpoint is damaged or of another kind"
        )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]


def _unreachable(name: str) -> str | None:
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    reason = None
    for pause in (0.0, _PAUSE):
        time.sleep(pause)
        try:
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(name, "config.json"))
        except Exception as error:
            # Answers of any kind, of unknown ids too, are for transformers to report. The names are those of
            # httpx and of requests, of which one is there, by release of huggingface_hub.
            kinds = {kind.__name__ for kind in type(error).__mro__}
            if "HfHubHTTPError" in kinds or not kinds & {"TransportError", "ConnectionError", "Timeout"}:
                return None
            reason = first_line(error)
        else:
            return None
    return reason
