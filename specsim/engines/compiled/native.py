"""Compiled kernels without Numba: machine code from the cache, loaded by llvmlite, called through ctypes.

A stored kernel is a line of JSON (symbol, kinds of the arguments, what is returned, SHA-256 of the rest) and
an object file. Its entry point takes one pointer, to 64-bit words: the result, then the arguments, an array
being its address and its lengths.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import operator
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from specsim.engines.compiled.cache import cache_folder
from specsim.errors import InputError
from specsim.support.files import replacing

PACKAGE = "specsim.engines"
_ARRAY = re.compile(r"(\w+)\[(\d+)\]")
_WORD = 2**64 - 1
_lock = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class MachineCode:
    """A compiled kernel.

    Attributes
    ----------
    symbol
        Name of its entry point.
    kinds
        Of the arguments: a scalar's NumPy dtype, or dtype and number of dimensions of an array in C order,
        such as ``uint32[2]``.
    result
        Whether it returns an int64.
    code
        The object file.
    """

    symbol: str
    kinds: tuple[str, ...]
    result: bool
    code: bytes

    def store(self, path: Path) -> None:
        """Write it to a file."""
        head = {
            "symbol": self.symbol,
            "kinds": self.kinds,
            "result": self.result,
            "sha256": hashlib.sha256(self.code).hexdigest(),
        }
        with replacing(path) as temporary:
            temporary.write_bytes(json.dumps(head).encode() + b"\n" + self.code)

    @classmethod
    def read(cls, path: Path) -> MachineCode | None:
        """Read what `store` wrote; None where there is no such file or it is damaged."""
        try:
            line, _, code = path.read_bytes().partition(b"\n")
            head = json.loads(line)
            if head["sha256"] != hashlib.sha256(code).hexdigest():
                return None
            return cls(symbol=head["symbol"], kinds=tuple(head["kinds"]), result=head["result"], code=code)
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Kernel:
    """A kernel, looked for in the cache or compiled when it is first called.

    Parameters
    ----------
    module, name
        Where its source is.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        #: What compiles it, once its module has been imported: its machine code, or itself in plain Numba.
        self.compile: Callable[[], MachineCode | Callable[..., Any]] | None = None
        self._call: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it; returns an int or None."""
        call = self._call
        if call is None:
            call = self.load()
        return call(*arguments)

    @property
    def path(self) -> Path | None:
        """Its file in the cache; None where there is no cache or its source is not part of the key."""
        folder = cache_folder() if self.module.startswith(f"{PACKAGE}.") else None
        return None if folder is None else folder / f"{self.module.removeprefix(f'{PACKAGE}.')}.{self.name}.o"

    def load(self) -> Callable[..., Any]:
        """Make it ready to run and return what runs it."""
        with _lock:
            if self._call is None:
                path = self.path
                found: Any = None if path is None else MachineCode.read(path)
                if found is None:
                    found = self._compiled(path)
                self._call = _caller(found) if isinstance(found, MachineCode) else found
            return self._call

    def _compiled(self, path: Path | None) -> MachineCode | Callable[..., Any]:
        import_module(self.module)
        if self.compile is None:
            raise RuntimeError(f"{self.module} has no kernel {self.name}")
        made = self.compile()
        if path is not None and isinstance(made, MachineCode):
            # A full disk must not stop a simulation.
            with contextlib.suppress(OSError, InputError):
                made.store(path)
        return made


@cache
def kernel_of(module: str, name: str) -> Kernel:
    """Return the one `Kernel` of that name and module."""
    return Kernel(module, name)


def kernel(module: str, name: str) -> Kernel:
    """Return a kernel of a module, given by its name within `specsim.engines`."""
    return kernel_of(f"{PACKAGE}.{module}", name)


def space(rows: int, columns: int) -> np.ndarray:
    """Return zeros, uint32, that begin at a cache line, so that no vector of them spans two."""
    room = np.zeros(rows * columns + 16, np.uint32)
    skip = -room.__array_interface__["data"][0] % 64 // 4
    return room[skip : skip + rows * columns].reshape(rows, columns)


@cache
def _engine() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine()
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def _caller(made: MachineCode) -> Callable[..., Any]:
    """Load machine code and return what calls it."""
    from llvmlite import binding

    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(made.code))
    engine.finalize_object()
    # Calls through ctypes release the interpreter's lock.
    entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(engine.get_function_address(made.symbol))
    converters = [_converter(kind) for kind in made.kinds]

    def call(*arguments: Any) -> int | None:
        words = [0]
        try:
            for convert, argument in zip(converters, arguments, strict=True):
                words += convert(argument)
        except ValueError:
            raise TypeError(
                f"{made.symbol} takes {len(converters)} arguments, not {len(arguments)}"
            ) from None
        memory = (ctypes.c_uint64 * len(words))(*words)
        if entry(ctypes.addressof(memory)):
            raise RuntimeError(f"{made.symbol} raised an error")
        return ctypes.c_int64(memory[0]).value if made.result else None

    return call


def _converter(kind: str) -> Callable[[Any], Iterable[int]]:
    """Return what turns an argument of a kind into 64-bit words, or raises `TypeError`."""
    array = _ARRAY.fullmatch(kind)
    if array is None:
        limits = np.iinfo(kind) if kind != "bool" else None
        low, high = (0, 1) if limits is None else (int(limits.min), int(limits.max))

        def of_number(argument: Any) -> tuple[int]:
            number = int(argument) if isinstance(argument, np.bool_) else operator.index(argument)
            if not low <= number <= high:
                raise TypeError(f"{number} is no {kind}")
            return (number & _WORD,)

        return of_number
    dtype, dimensions = np.dtype(array[1]), int(array[2])

    def of_array(argument: Any) -> tuple[int, ...]:
        if not (
            isinstance(argument, np.ndarray)
            and argument.dtype == dtype
            and argument.ndim == dimensions
            and argument.flags.carray
        ):
            raise TypeError(f"an argument is no writable {dtype} array of {dimensions} dimensions in C order")
        return (argument.__array_interface__["data"][0], *argument.shape)

    return of_array
