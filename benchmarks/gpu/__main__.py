"""Measure on one CUDA device everything about it that was never measured, in under 8 minutes.

    python -m benchmarks.gpu --json gpu.json             on a machine with a GPU (sizes for one H200)
    python -m benchmarks.gpu --json dry.json --dry       every part in tiny sizes on the processor

Parts: `engine` (the torch engine against lockstep: the same bits, and time), `law` (the decoder on the device
against exact theory), `decode` (the decoding loop, by part), `verify` (a rule's time beside a target forward,
at 128,256 tokens), `samplers` (samplers of others that run on the device, under the oracle).

The file is written anew after every part. A part that cannot run says why; the others go on. Exit code 0
when every part that ran found what it should, 1 when one did not, 2 for bad input or no device.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import DRY, FULL, PARTS, Sizes
from specsim.errors import InputError
from specsim.support.files import write_text

#: Seconds after which no part is begun; the longest one takes less than two minutes.
BUDGET = 360


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--dry", action="store_true", help="tiny sizes, on the processor")
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="default %(default)s")
    asked = parser.parse_args(arguments)
    try:
        names = _known(asked.parts)
        device, found = _device(asked.dry)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return measure(names, device, DRY if asked.dry else FULL, found, asked.json, asked.budget)


def measure(
    names: list[str], device: str, sizes: Sizes, found: dict[str, Any], file: Path, budget: float
) -> int:
    """Run parts one after the other and write what is known after each; return the exit code.

    names: of `PARTS`.
    device, sizes: where, and how large.
    found: what is written beside the parts.
    budget: seconds after which none is begun.
    """
    begin = time.perf_counter()
    results: dict[str, Any] = {**found, "parts": {}}
    for name in names:
        if time.perf_counter() - begin > budget:
            part = {"status": "not run", "reason": f"{budget:g} s were over; ask for this part alone"}
        else:
            part = _part(PARTS[name], device, sizes)
        results["parts"][name] = part
        write_text(file, json.dumps(results, indent=1) + "\n")
        print(f"{name}: {part['status']}{': ' + part['reason'] if 'reason' in part else ''}", flush=True)
    results["seconds"] = time.perf_counter() - begin
    write_text(file, json.dumps(results, indent=1) + "\n")
    statuses = {part["status"] for part in results["parts"].values()}
    return 1 if statuses & {"wrong", "failed"} else 0


def _part(run: Callable[[str, Sizes], dict[str, Any]], device: str, sizes: Sizes) -> dict[str, Any]:
    """Return what a part found, with its status and seconds; one that breaks does not end the others."""
    begin = time.perf_counter()
    try:
        found = run(device, sizes)
        status = "right" if found["right"] else "wrong"
    except Exception as error:
        found, status = {"reason": f"{type(error).__name__}: {error}".splitlines()[0]}, "failed"
    return {"status": status, **found, "seconds": time.perf_counter() - begin}


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in PARTS:
            raise InputError(f"part {name!r} is unknown; give some of {', '.join(PARTS)}")
    return names or list(PARTS)


def _device(dry: bool) -> tuple[str, dict[str, Any]]:
    """Return the device and what the file says of it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise InputError("torch is not installed; pip install 'specsim-decoding[torch]'") from None
    import platform

    from specsim import __version__

    versions = {"specsim": __version__, "torch": torch.__version__, "python": platform.python_version()}
    if dry:
        return "cpu", {"device": "the processor, in tiny sizes: no figure of it means anything", **versions}
    if not torch.cuda.is_available():
        raise InputError(
            "torch finds no CUDA device; run this where there is one that torch is built for, or give --dry "
            "to run every part in tiny sizes on the processor"
        )
    return "cuda", {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda, **versions}


if __name__ == "__main__":
    sys.exit(main())
