"""A stand-in for ``triton`` and ``triton.language`` that runs kernels on the CPU with NumPy.

Programs of a launch grid run one after the other. A kernel is its own source: method calls ``x.to(type)``
become function calls and ``a op= b`` becomes ``a = a op b`` (blocks are values in Triton), nothing else is
changed. Only what sampling kernels use is here; anything else raises AttributeError. The Philox generator
follows the documented one (Salmon et al. 2011) with Triton's layout of key and counter.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from specsim.errors import InputError

_program = [0, 0, 0]
_grid = [1, 1, 1]
_most_lanes = [2**62]


@contextlib.contextmanager
def lanes(most: int) -> Iterator[None]:
    """Make blocks of at most `most` lanes.

    Valid when lanes from `most` on are masked out anyway, that is for `most` at least the vocabulary and the
    draft length; blocks of 8192 lanes over a vocabulary of 8 are then affordable.
    """
    kept = _most_lanes[0]
    _most_lanes[0] = most
    try:
        yield
    finally:
        _most_lanes[0] = kept


class _Type:
    """An element type, by Triton's name."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self.kind = np.dtype(kind)

    def __repr__(self) -> str:
        return f"tl.{self.name}"


class _PointerType:
    def __init__(self, kind: np.dtype[Any]) -> None:
        self.element_ty = _Type(kind.name, kind)


class Pointer:
    """A position (or a block of positions) in a flat array."""

    __slots__ = ("array", "offset")

    def __init__(self, array: Any, offset: Any = 0) -> None:
        self.array = array
        self.offset = offset

    def __add__(self, offset: Any) -> Pointer:
        return Pointer(self.array, self.offset + offset)

    __radd__ = __add__

    def __sub__(self, offset: Any) -> Pointer:
        return Pointer(self.array, self.offset - offset)

    @property
    def dtype(self) -> _PointerType:
        """Type of the pointer; ``dtype.element_ty`` is that of its elements."""
        return _PointerType(self.array.dtype)


def _load(pointer: Pointer, mask: Any = None, other: Any = None, **ignored: Any) -> Any:
    array, offset = pointer.array, pointer.offset
    if mask is not None:
        mask, offset = _together(mask, offset)
        if mask is False:
            return array.dtype.type(0 if other is None else other)
        if mask is not True:
            used = offset[mask]
            _check(array, used)
            found = np.full(offset.shape, 0 if other is None else other, array.dtype)
            found[mask] = array[used]
            return found
    _check(array, offset)
    return array[offset]


def _store(pointer: Pointer, value: Any, mask: Any = None, **ignored: Any) -> None:
    array, offset = pointer.array, pointer.offset
    if mask is not None:
        mask, offset = _together(mask, offset)
        if mask is False:
            return
        if mask is not True:
            offset, value = offset[mask], np.broadcast_to(value, mask.shape)[mask]
    _check(array, offset)
    array[offset] = value


def _together(mask: Any, offset: Any) -> tuple[Any, Any]:
    """Return mask and offsets of one shape; a mask that lets everything through, or no scalar, as a bool."""
    if not isinstance(mask, np.ndarray):
        if not isinstance(offset, np.ndarray):
            return bool(mask), offset
        mask = np.full(offset.shape, mask)
    elif not isinstance(offset, np.ndarray) or offset.shape != mask.shape:
        mask, offset = np.broadcast_arrays(mask, offset)
    return (True, offset) if mask.all() else (mask, offset)


def _check(array: Any, offset: Any) -> None:
    """Refuse what a GPU would read or write past the end of its memory."""
    if isinstance(offset, np.ndarray):
        if offset.size == 0:
            return
        least, most = offset.min(), offset.max()
    else:
        least = most = offset
    if least < 0 or most >= array.size:
        raise IndexError(f"kernel addresses elements {least} to {most} of {array.size}")


def _cast(value: Any, kind: Any, bitcast: bool = False, **ignored: Any) -> Any:
    kind = kind.kind if isinstance(kind, _Type) else np.dtype(kind)
    value = np.asarray(value)
    value = value.view(kind) if bitcast and value.dtype.itemsize == kind.itemsize else value.astype(kind)
    return value[()]


@functools.cache
def _arange(start: int, stop: int) -> Any:
    block = np.arange(start, stop, dtype=np.int32)
    block.flags.writeable = False
    return block


def _maximum(left: Any, right: Any, **ignored: Any) -> Any:
    # A GPU's maximum drops a NaN, and so does fmax.
    return np.fmax(left, right)


def _minimum(left: Any, right: Any, **ignored: Any) -> Any:
    return np.fmin(left, right)


def _reduced_max(block: Any, axis: int | None = None, return_indices: bool = False, **ignored: Any) -> Any:
    if return_indices:
        index = _argmax(block)
        return block[index], index
    return np.fmax.reduce(np.ravel(block))


def _argmax(block: Any, axis: int | None = None, **ignored: Any) -> Any:
    values = np.ravel(block)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -np.inf, values)
    return np.int32(np.argmax(values))


def _sum(block: Any, axis: int | None = None, **ignored: Any) -> Any:
    return np.sum(
        np.ravel(block), dtype=np.asarray(block).dtype if np.asarray(block).dtype.kind == "f" else None
    )


def _where(condition: Any, left: Any, right: Any) -> Any:
    return np.where(condition, left, right)[()]


def _full(shape: Any, value: Any, dtype: Any) -> Any:
    kind = dtype.kind if isinstance(dtype, _Type) else np.dtype(dtype)
    return kind.type(value) if len(shape) == 0 else np.full(tuple(shape), value, kind)


_WORD = 0xFFFFFFFF


def _philox(seed: int, low: int, high: int, rounds: int = 10) -> tuple[int, int, int, int]:
    """Return the words of Philox4x32 for key `seed` and counter (low, high, 0, 0)."""
    c0, c1, c2, c3 = low, high, 0, 0
    k0, k1 = seed & _WORD, (seed >> 32) & _WORD
    for _ in range(rounds):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second & _WORD, (first >> 32) ^ c3 ^ k1, first & _WORD
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def _randint4x(seed: Any, offset: Any, **ignored: Any) -> tuple[Any, ...]:
    """Return four words per offset, uint32."""
    key = int(seed) & (2**64 - 1)
    places = [int(entry) for entry in np.ravel(offset)]
    words = np.array([_philox(key, place & _WORD, (place >> 32) & _WORD) for place in places], np.uint32)
    return tuple(word.reshape(np.shape(offset))[()] for word in words.T)


def _randint(seed: Any, offset: Any, **ignored: Any) -> Any:
    return _randint4x(seed, offset)[0]


def _rand(seed: Any, offset: Any, **ignored: Any) -> Any:
    """Return uniforms in [0, 1), float32, as ``tl.rand`` does."""
    signed = _cast(_randint(seed, offset), np.int32, bitcast=True)
    return np.where(signed < 0, ~signed, signed).astype(np.float32)[()] * np.float32(4.6566127342e-10)


class _Rewrite(ast.NodeTransformer):
    """``x.to(type)`` to ``__cast(x, type)``, and augmented assignments to plain ones."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            name = ast.Name("__standin_cast", ast.Load())
            return ast.copy_location(ast.Call(name, [node.func.value, *node.args], node.keywords), node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.target, ast.Name):
            return node
        read = ast.Name(node.target.id, ast.Load())
        value = ast.BinOp(read, node.op, node.value)
        return ast.copy_location(ast.Assign([node.target], ast.copy_location(value, node)), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)


class Kernel:
    """A kernel, or a device function: call it, or launch it with ``kernel[grid](...)``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.fn = function
        self.arg_names = tuple(inspect.signature(function).parameters)
        functools.update_wrapper(self, function, updated=())

    @functools.cached_property
    def run(self) -> Callable[..., Any]:
        """The rewritten function."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.fn)))
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        for argument in ast.walk(definition.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        definition.returns = None
        tree = ast.fix_missing_locations(_Rewrite().visit(tree))
        scope: dict[str, Any] = {}
        namespace = self.fn.__globals__
        namespace["__standin_cast"] = _cast
        exec(compile(tree, inspect.getfile(self.fn), "exec"), namespace, scope)
        made: Callable[..., Any] = scope[self.fn.__name__]
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call as a device function."""
        return self.run(*args, **kwargs)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        """Return the launcher for a grid."""

        def launch(*args: Any, **kwargs: Any) -> None:
            bound = dict(zip(self.arg_names, args, strict=False))
            bound.update({key: value for key, value in kwargs.items() if key in self.arg_names})
            run = self.run
            given = {key: _argument(value) for key, value in bound.items()}
            sizes = tuple(int(size) for size in (grid(given) if callable(grid) else grid))
            kept = _program[:], _grid[:]
            _grid[:] = [*sizes, 1, 1, 1][:3]
            try:
                with np.errstate(all="ignore"):
                    for place in itertools.product(*(range(size) for size in sizes)):
                        _program[: len(place)] = place
                        run(**given)
            finally:
                _program[:], _grid[:] = kept

        return launch


def _argument(value: Any) -> Any:
    """Return a pointer for a tensor or array that shares its memory, and anything else as it is."""
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise InputError("array argument of a kernel is not contiguous; copy it first")
        return Pointer(value.reshape(-1))
    if hasattr(value, "as_strided"):
        size = value.untyped_storage().nbytes() // value.element_size() - value.storage_offset()
        return Pointer(value.detach().as_strided((size,), (1,)).numpy())
    return value


def _jit(function: Any = None, **ignored: Any) -> Any:
    return Kernel(function) if function is not None else _jit


def next_power_of_2(number: int) -> int:
    """Return the least power of two that is at least `number`."""
    return 1 << max(int(number) - 1, 0).bit_length()


def _module(name: str, **names: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module


@functools.cache
def modules() -> dict[str, types.ModuleType]:
    """Return the stand-ins by the dotted names to import them under."""
    kinds = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64")
    libdevice = _module("triton.language.extra.libdevice", log1p=np.log1p, exp=np.exp, log=np.log)
    extra = _module("triton.language.extra", libdevice=libdevice)
    language = _module(
        "triton.language",
        constexpr=lambda value: value,
        program_id=lambda axis: np.int32(_program[axis]),
        num_programs=lambda axis: np.int32(_grid[axis]),
        arange=lambda start, stop: _arange(start, min(stop, start + _most_lanes[0])),
        load=_load,
        store=_store,
        cast=_cast,
        where=_where,
        maximum=_maximum,
        minimum=_minimum,
        max=_reduced_max,
        argmax=_argmax,
        sum=_sum,
        cumsum=lambda block, axis=0, **ignored: np.cumsum(block, dtype=np.asarray(block).dtype),
        exp=np.exp,
        log=np.log,
        full=_full,
        zeros=lambda shape, dtype: _full(shape, 0, dtype),
        rand=_rand,
        randint=_randint,
        randint4x=_randint4x,
        range=range,
        static_range=range,
        int1=_Type("int1", np.bool_),
        extra=extra,
        **{kind: _Type(kind, kind) for kind in kinds},
    )
    triton = _module(
        "triton",
        jit=_jit,
        language=language,
        next_power_of_2=next_power_of_2,
        cdiv=lambda number, size: -(-number // size),
        __version__="NumPy stand-in",
    )
    return {
        "triton": triton,
        "triton.language": language,
        "triton.language.extra": extra,
        "triton.language.extra.libdevice": libdevice,
    }
