"""A rule's own Python text, made to run on rationals and coins.

The text is parsed and compiled again with three changes: decimal numbers become rationals, ``/`` divides
exactly, and ``while`` counts its rounds. Nothing else is touched, so that what is run is what was written.
"""

import ast
import builtins
import inspect
import linecache
import math
import textwrap
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from flint import fmpq

from specsim.validation.kernel_text.coins import CannotEnumerate, Coin, TextError

#: NumPy functions that work on rationals as they are.
_SOUND = (
    "abs", "absolute", "all", "any", "append", "arange", "argmax", "argmin", "clip", "concatenate", "copy",
    "cumsum", "dot", "flip", "max", "maximum", "min", "minimum", "prod", "shape", "sum", "where",
)  # fmt: skip
_MADE = {"zeros": 0, "ones": 1, "empty": None, "zeros_like": 0, "ones_like": 1, "empty_like": None}
_REMEDY = "use + - * /, comparisons, min and max on rows and coins"


def exact(value: Any) -> Any:
    """Return a number, or all numbers of a container, as exact rationals; whole numbers stay ``int``."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise CannotEnumerate(f"uses the number {value}", _REMEDY)
        return fmpq(*float(value).as_integer_ratio())
    if isinstance(value, Fraction):
        return fmpq(value.numerator, value.denominator)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iub":
            return value
        return objects(value.shape, [exact(item) for item in value.ravel()])
    if isinstance(value, tuple | list):
        return type(value)(exact(item) for item in value)
    return value


def objects(shape: Any, values: Any) -> np.ndarray:
    """Return an array of objects, filled with one value or with the values of a list."""
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[:] = values
    return array


def divide(left: Any, right: Any) -> Any:
    """Return ``left / right`` of numbers, coins or arrays, without rounding."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.frompyfunc(divide, 2, 1)(left, right)
    if not isinstance(right, Coin) and right == 0:
        raise TextError("divides by 0", "test the divisor first")
    return fmpq(int(left)) / right if isinstance(left, int | np.integer) else left / right


def _whole(value: Any) -> int:
    if isinstance(value, Coin):
        return int(value)
    return int(Fraction(int(value.p), int(value.q))) if isinstance(value, fmpq) else int(value)


class _Numpy:
    """What a text may use of NumPy, on rationals."""

    def __init__(self) -> None:
        self.float64 = self.float32 = exact
        self.int64 = self.int32 = self.uint32 = self.uint64 = self.uint16 = _whole
        self.bool_ = bool

    def __getattr__(self, name: str) -> Any:
        if name in _SOUND:
            return getattr(np, name)
        if name in _MADE:

            def make(shape: Any, dtype: Any = None) -> np.ndarray:
                size = shape.shape if isinstance(shape, np.ndarray) else shape
                return objects(size, _MADE[name])

            return make
        if name == "full":
            return lambda shape, value, dtype=None: objects(shape, exact(value))
        raise CannotEnumerate(f"uses np.{name}", _REMEDY)


class _Math:
    """`math` on whole numbers and constants only."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(math, name)
        if not callable(value):
            return exact(value)

        def call(*arguments: Any) -> Any:
            if not all(isinstance(argument, int) for argument in arguments):
                raise CannotEnumerate(f"uses math.{name} of a row or a coin", _REMEDY)
            return exact(value(*arguments))

        return call


class _Edit(ast.NodeTransformer):
    """Decimals become names of rationals, ``/`` a call, ``while`` counts, ``return`` notes its line."""

    def __init__(self, bound: dict[str, Any]) -> None:
        self.bound = bound
        self.inside = 0

    def _call(self, node: ast.AST, name: str, *arguments: ast.expr) -> Any:
        call = ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, float):
            return node
        name = f"_number_{len(self.bound)}"
        self.bound[name] = exact(node.value)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        return self._call(node, "_divide", node.left, node.right) if isinstance(node.op, ast.Div) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        read = ast.parse(ast.unparse(node.target), mode="eval").body
        assigned = ast.Assign([node.target], self._call(node, "_divide", read, node.value))
        return ast.fix_missing_locations(ast.copy_location(assigned, node))

    def visit_While(self, node: ast.While) -> Any:
        self.generic_visit(node)
        tick = ast.Expr(self._call(node, "_tick"))
        node.body.insert(0, ast.fix_missing_locations(ast.copy_location(tick, node)))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.inside += 1
        node.decorator_list, node.returns = [], None
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
        self.generic_visit(node)
        self.inside -= 1
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Return(self, node: ast.Return) -> Any:
        self.generic_visit(node)
        if self.inside != 1 or node.value is None:
            return node
        line = ast.copy_location(ast.Constant(node.lineno), node)
        return ast.copy_location(ast.Return(self._call(node, "_leave", line, node.value)), node)


def plain(function: Any) -> FunctionType | None:
    """Return the Python function of a compiled or decorated one; None if there is none."""
    for name in ("py_func", "_pyfunc", "__wrapped__"):
        if not isinstance(function, FunctionType) and hasattr(function, name):
            return plain(getattr(function, name))
    return function if isinstance(function, FunctionType) else None


class Text:
    """A Python function read from its own text, for runs on rationals and coins.

    function: the function, compiled by Numba or not.
    name: the rule, for errors.
    helpers: exact functions that stand for helpers of these names of the literal engine.
    tick: called in each round of a ``while``.
    """

    def __init__(
        self, function: Any, name: str, helpers: Mapping[str, Callable[..., Any]], tick: Callable[[], None]
    ) -> None:
        found = plain(function)
        if found is None:
            raise TextError(f"is {function!r}", "give a Python function")
        self.plain = found
        self.name = name
        self.file = found.__code__.co_filename
        self.line = found.__code__.co_firstlineno
        self._tick = tick
        self._helpers = helpers
        self._known: dict[Any, Any] = {}
        self.run: Callable[..., Any] = self._read(found)

    def _read(self, function: FunctionType) -> Any:
        if function in self._known:
            return self._known[function]
        try:
            lines, first = inspect.getsourcelines(function)
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except (OSError, TypeError, SyntaxError):
            raise CannotEnumerate(
                f"the text of {function.__name__} cannot be found",
                "write it as a def in a file and import it from there",
            ) from None
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise CannotEnumerate(f"{function.__name__} is not a def", "write it as a def")
        bound: dict[str, Any] = {"_divide": divide, "_tick": self._tick, "_leave": self._leave}
        rule = function is self.plain
        editor = _Edit(bound)
        editor.inside = 0 if rule else 1
        ast.increment_lineno(tree, first - 1)
        tree = editor.visit(tree)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(bound)
        exec(compile(tree, function.__code__.co_filename, "exec"), bound)
        run = bound[definition.name]
        self._known[function] = run
        seen = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        for used in names - {definition.name}:
            if used in seen:
                bound[used] = self._bind(used, seen[used])
        bound.setdefault("float", exact)
        bound.setdefault("int", _whole)
        return run

    def _bind(self, name: str, value: Any) -> Any:
        if value is np:
            return _Numpy()
        if value is math:
            return _Math()
        function = plain(value)
        if function is not None:
            if function.__name__ in self._helpers and function.__module__.startswith("specsim."):
                return self._helpers[function.__name__]
            return self._read(function)
        if isinstance(value, ModuleType) or (callable(value) and not hasattr(builtins, name)):
            return _Unusable(name)
        return exact(value)

    def _leave(self, line: int, result: Any) -> Any:
        self.line = line
        return result

    def place(self, error: BaseException | None = None) -> str:
        """Return ``rule NAME, FILE, line N (text)``: where it failed, or else where it last returned."""
        line = self.line
        trace = error.__traceback__ if error is not None else None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                line = trace.tb_lineno
            trace = trace.tb_next
        text = linecache.getline(self.file, line).strip()
        return f"rule {self.name}, {self.file}, line {line}" + (f" ({text})" if text else "")


class _Unusable:
    """A module or an object that a text names and that cannot be followed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        raise CannotEnumerate(f"uses {self._name}.{name}", _REMEDY)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise CannotEnumerate(f"calls {self._name}", _REMEDY)
