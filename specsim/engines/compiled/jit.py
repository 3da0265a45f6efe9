"""The one place with Numba options: how kernels and their helpers are compiled.

A kernel is compiled to an object file that `specsim.engines.compiled.native` stores and loads without
Numba. Its
helpers are only translated to LLVM's language; they are optimised once, as part of the kernel, and have no
entry points of their own. None of them allocates memory, so that the machine code needs no runtime library.

Parts of this are semi-public in Numba. Where they have changed, everything is compiled in the usual way
instead, in every process, with equal results.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numba

from specsim.engines.compiled import native
from specsim.engines.compiled.native import Kernel, MachineCode

#: Options of every compiled function. Without fastmath, so that floats mean the same on every machine.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}


def _parts() -> Any:
    """Return classes of compilers for helpers, whose array arguments may or must not overlap."""
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.runtime import rtsys

    class Codegen:
        """The usual code generator, which must not look for a helper in memory."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

        def set_env(self, name: str, env: Any) -> None:
            """Do nothing; helpers have no environment in memory."""

    class Part(JITCodeLibrary):
        """A helper in LLVM's language, to be linked into kernels; nothing is optimised or loaded."""

        def _optimize_final_module(self) -> None:
            pass

        def _finalize_final_module(self) -> None:
            self._finalized = True

        def add_linking_library(self, library: Any) -> None:
            """Link a helper, but not the runtime library."""
            if library is not rtsys.library:
                super().add_linking_library(library)

        def get_pointer_to_function(self, name: str) -> int:
            """Return what raises `TypeError` when somebody calls the helper from Python."""
            return ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value or 0

        @property
        def codegen(self) -> Any:
            """The code generator."""
            return Codegen(self._codegen)

    class Whole(Part):
        """A kernel with all its helpers: optimised, but not loaded either."""

        def _optimize_final_module(self) -> None:
            JITCodeLibrary._optimize_final_module(self)

    class Helpers(CompilerBase):
        """The usual pipeline, into a library that is only a part."""

        distinct = False

        def define_pipelines(self) -> list[Any]:
            if self.state.library is None:
                name = self.state.func_id.func_qualname
                self.state.library = Part(self.state.targetctx.codegen(), name)
                self.state.library.enable_object_caching()
            self.state.flags.noalias = self.distinct
            return [DefaultPassBuilder.define_nopython_pipeline(self.state)]

    class DistinctHelpers(Helpers):
        """The same, for functions whose array arguments never overlap."""

        distinct = True

    return Helpers, DistinctHelpers, Whole


class _Way:
    """How things are compiled: by our pipelines, or, when they fail, plainly by Numba."""

    def __init__(self) -> None:
        self.parts: Any = None
        self.plain = False
        try:
            self.parts = _parts()
        except (ImportError, AttributeError, TypeError):
            self.plain = True


_way = _Way()
_ONLY_COMPILED: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}


def _helper(function: Callable[..., Any], *, distinct: bool, inline: bool) -> Any:
    options = dict(OPTIONS)
    if inline:
        options["forceinline"] = True
    if not _way.plain:
        options |= {**_ONLY_COMPILED, "pipeline_class": _way.parts[distinct]}
    return numba.njit(**options)(function)


def device(function: Callable[..., Any]) -> Any:
    """Mark a helper that kernels call, and whose array arguments may overlap."""
    return _helper(function, distinct=False, inline=False)


def inlined(function: Callable[..., Any]) -> Any:
    """Mark a helper whose body must stand in its caller, such as in a loop that is to be vectorised."""
    return _helper(function, distinct=False, inline=True)


def lockstep(function: Callable[..., Any]) -> Any:
    """Mark a helper of which no two array arguments ever overlap, so that LLVM may use gathers."""
    return _helper(function, distinct=True, inline=False)


def kernel(signature: Any, *, distinct: bool = False) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a kernel: a function that is called from Python, with exactly one signature.

    Parameters
    ----------
    signature
        The Numba signature: integers, booleans and arrays in C order; returns int64 or nothing.
    distinct
        Whether the caller promises that no two array arguments overlap.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Callable[..., Any]) -> Kernel:
        made = native.kernel_of(function.__module__, function.__name__)
        made.compile = lambda: _compile(made, function, signature, distinct)
        return made

    return decorate


def _compile(made: Kernel, function: Callable[..., Any], signature: Any, distinct: bool) -> Any:
    if not _way.plain:
        collecting = gc.isenabled()
        # Compiling makes millions of objects and few cycles; looking for those takes a tenth of the time.
        gc.disable()
        try:
            return _machine_code(function, signature, distinct)
        except numba.errors.NumbaError:
            raise
        except Exception:
            # Numba has changed. The helpers of the kernel belong to our pipeline: load plain ones instead.
            _way.plain = True
            for name in [name for name in sys.modules if name.startswith(native.PACKAGE)]:
                del sys.modules[name]
            sys.modules.pop("specsim.engines.compiled.philox", None)
            import_module(made.module)
            assert made.compile is not None
            return made.compile()
        finally:
            if collecting:
                gc.enable()
    return numba.njit(signature, **OPTIONS)(function)


def _machine_code(function: Callable[..., Any], signature: Any, distinct: bool) -> MachineCode:
    """Compile a kernel with all its helpers."""
    from llvmlite import ir
    from numba.core import compiler, sigutils
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    with global_compiler_lock:
        typing, target = cpu_target.typing_context, cpu_target.target_context
        typing.refresh()
        target.refresh()
        arguments, returned = sigutils.normalize_signature(signature)
        flags: Any = compiler.Flags()
        flags.nrt = False
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        flags.error_model = "numpy"
        library = _way.parts[2](target.codegen(), function.__qualname__)
        library.enable_object_caching()
        result = compiler.compile_extra(
            typing, target, function, arguments, returned, flags, {}, library, _way.parts[distinct]
        )
        symbol = f"specsim_{function.__module__.rpartition('.')[2]}_{function.__name__}"
        module = ir.Module(symbol)
        module.triple, module.data_layout = library._final_module.triple, library._final_module.data_layout
        _entry(module, symbol, target, result.fndesc, signature)
        library.add_ir_module(module)
        library.finalize()
        final = library._final_module
        missing = [f.name for f in final.functions if f.is_declaration and not f.name.startswith("llvm.")]
        if missing:
            raise RuntimeError(f"{symbol} needs {', '.join(missing)}, which a stored kernel cannot find")
        code = target.codegen()._tm.emit_object(final)
    kinds = tuple(_kind(kind) for kind in arguments)
    return MachineCode(symbol=symbol, kinds=kinds, result=returned is numba.int64, code=code)


def _entry(module: Any, symbol: str, target: Any, described: Any, signature: Any) -> None:
    """Add the entry point, which reads the arguments from 64-bit words; see `compiled.native`."""
    from llvmlite import ir
    from numba.core import types
    from numba.np.arrayobj import make_array, populate_array

    word = ir.IntType(64)
    entry = ir.Function(module, ir.FunctionType(word, [word.as_pointer()]), symbol)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    place = 0

    def read() -> Any:
        nonlocal place
        place += 1
        return builder.load(builder.gep(entry.args[0], [word(place)]))

    values = []
    for kind in described.argtypes:
        if not isinstance(kind, types.Array):
            small = target.get_value_type(kind)
            values.append(builder.trunc(read(), small) if small.width < 64 else read())
            continue
        array = make_array(kind)(target, builder)
        address = read()
        shape = [read() for _ in range(kind.ndim)]
        size = word(target.get_abi_sizeof(target.get_data_type(kind.dtype)))
        strides = [size]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(address, target.get_data_type(kind.dtype).as_pointer())
        populate_array(array, data, shape, strides, size, meminfo=None)
        values.append(array._getvalue())
    convention = target.call_conv
    body = ir.Function(
        module, convention.get_function_type(described.restype, described.argtypes), described.llvm_func_name
    )
    # A second copy of the kernel, in here, would double the time to compile.
    status, value = convention.call_function(
        builder, body, described.restype, described.argtypes, values, attrs=("noinline",)
    )
    if described.restype is types.int64:
        builder.store(value, entry.args[0])
    builder.ret(builder.zext(status.is_error, word))


def _kind(kind: Any) -> str:
    """Spell the kind of an argument as `specsim.engines.compiled.native` does."""
    from numba.core import types

    if isinstance(kind, types.Array):
        return f"{kind.dtype}[{kind.ndim}]"
    return str(kind)
