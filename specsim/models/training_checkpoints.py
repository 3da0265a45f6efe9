"""Checkpoints of a training, from which it goes on to the same bytes of weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.errors import InputError
from specsim.models.training_state import Learner
from specsim.support.files import check_writable_folder, replacing

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint:
    """A file with the state of a training, in safetensors, and what it is the state of.

    Parameters
    ----------
    path
        The file, or None to keep nothing.
    settings
        What must be equal for a training to go on.
    learners
        What is saved and restored.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, settings: dict[str, Any], learners: list[Learner]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._settings = settings
        self._learners = learners

    def load(self) -> tuple[int, int | None]:
        """Restore the learners; returns the steps done and all steps, 0 and None if there is no file.

        Raises
        ------
        InputError
            The file is damaged, belongs to another training, or could not be written.
        """
        if self._path is None:
            return 0, None
        if not self._path.exists():
            # Found out now and not when the first checkpoint is due.
            check_writable_folder(self._path.parent)
            return 0, None
        from safetensors import SafetensorError, safe_open

        remedy = f"remove {self._path} or give another file"
        try:
            with safe_open(self._path, framework="pt") as file:
                found = json.loads((file.metadata() or {})["specsim"])
                number, steps = int(found["done"]), int(found["steps"])
                for name, value in self._settings.items():
                    if found["settings"].get(name) != value:
                        raise InputError(
                            f"the checkpoint has {name} {found['settings'].get(name)}, not {value}; {remedy}"
                        )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            for learner in self._learners:
                learner.restore(tensors, number)
        except InputError:
            raise
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"{self._path} is no checkpoint of a training ({error}); {remedy}") from None
        return number, steps

    def save(self, number: int, steps: int) -> None:
        """Write the state after `number` of `steps` steps."""
        if self._path is None:
            return
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        for learner in self._learners:
            tensors |= learner.tensors()
        about = {"settings": self._settings, "done": number, "steps": steps}
        with replacing(self._path) as temporary:
            save_file(tensors, temporary, metadata={"specsim": json.dumps(about)})

    def remove(self) -> None:
        """Remove the file, which nobody needs any more."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
