"""Importing a few modules of a large library from an unpacked wheel, with the rest of it stubbed.

The folder comes from an environment variable, or from the installed package, whose top level is not imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsim.errors import InputError


@dataclass(frozen=True)
class Library:
    """A library on disk.

    Attributes
    ----------
    package
        Name of the import package, such as ``"vllm"``.
    folder
        Folder that holds the package's own folder.
    version
        As its metadata say.
    """

    package: str
    folder: Path
    version: str


def locate(
    package: str, distribution: str, variable: str, *, versions: str = "", variant: str | None = None
) -> Library:
    """Find a library's folder without importing it.

    Parameters
    ----------
    package, distribution
        Names for ``import`` and for pip.
    variable
        Environment variable that may name the folder of an unpacked wheel.
    versions
        What to download, such as ``"vllm==0.9.2"``; named in the remedy. Defaults to the distribution.
    variant
        A version that is wanted, as its first characters. Defaults to None: any.

    Raises
    ------
    InputError
        The variable names no such folder, or it is not set and the package is not installed.
    """
    wheel = versions or distribution
    remedy = f"unpack the wheel ('pip download --no-deps {wheel}', unzip) and set {variable} to its folder"
    named = os.environ.get(variable)
    if named:
        folder = Path(named)
        if not (folder / package).is_dir():
            raise InputError(f"{variable} is {named}, which holds no folder {package}; {remedy}")
    else:
        found = importlib.machinery.PathFinder.find_spec(package)
        if found is None or found.origin is None or not found.submodule_search_locations:
            raise InputError(f"{distribution} is not installed; {remedy}")
        folder = Path(next(iter(found.submodule_search_locations))).parent
    version = _version(folder, distribution)
    if variant is not None and not version.startswith(variant):
        raise InputError(f"{distribution} {version} found, {variant} wanted; {remedy}")
    return Library(package, folder, version)


def _version(folder: Path, distribution: str) -> str:
    stem = re.sub(r"[-_.]+", "_", distribution).lower()
    for metadata in sorted(folder.glob("*.dist-info/METADATA")):
        name, _, version = metadata.parent.name.removesuffix(".dist-info").partition("-")
        if re.sub(r"[-_.]+", "_", name).lower() == stem:
            return version
    return "of unknown version"


class _Stub:
    """Stands for anything that the modules under test import and do not use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A stub that decorates leaves the function as it is.
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type):
            return args[0]
        return _Stub()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return _Stub()

    def __getitem__(self, item: Any) -> Any:
        return _Stub()

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Any:
        return iter(())

    def __contains__(self, item: Any) -> bool:
        return False

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()


class _StubModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = _Stub()
        setattr(self, name, value)
        return value


class _Finder:
    """Finds wanted modules in the folder, given ones as they are, and stubs for the rest of the roots."""

    def __init__(
        self, library: Library, wanted: frozenset[str], given: Mapping[str, Any], roots: frozenset[str]
    ) -> None:
        self.library = library
        self.wanted = wanted
        self.given = given
        self.roots = roots

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in self.given or fullname.partition(".")[0] in self.roots:
            if fullname in self.wanted:
                return self._real(fullname)
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]
        return None

    def _real(self, fullname: str) -> importlib.machinery.ModuleSpec:
        base = self.library.folder.joinpath(*fullname.split("."))
        for file, package in ((base / "__init__.py", True), (base.with_suffix(".py"), False)):
            if file.is_file():
                spec = importlib.util.spec_from_file_location(
                    fullname, file, submodule_search_locations=[str(base)] if package else None
                )
                assert spec is not None
                return spec
        raise InputError(
            f"{self.library.package} {self.library.version} has no {fullname}; give another version"
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module: types.ModuleType = self.given.get(spec.name) or _StubModule(spec.name)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        if not hasattr(module, "__path__"):
            module.__path__ = []


def load(
    library: Library,
    name: str,
    *,
    real: Iterable[str] = (),
    given: Mapping[str, Any] | None = None,
    stubbed: Iterable[str] = (),
) -> types.ModuleType:
    """Import one module of the library, and as little else of it as possible.

    ``sys.modules`` is put back afterwards, so that two versions can be loaded one after the other and an
    installed library is not disturbed.

    Parameters
    ----------
    name
        Dotted name of the module.
    real
        Dotted names of further modules that are to be imported from the folder. All else of the package is a
        stub.
    given
        Modules to use under these dotted names.
    stubbed
        Other top-level packages to stub.
    """
    given = dict(given or {})
    wanted = frozenset({name, *real})
    roots = frozenset({library.package, *stubbed, *(key.partition(".")[0] for key in given)})
    finder = _Finder(library, wanted, given, roots)
    kept = {key: module for key, module in sys.modules.items() if key.partition(".")[0] in roots}
    for key in kept:
        del sys.modules[key]
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(finder)
        for key in [key for key in sys.modules if key.partition(".")[0] in roots]:
            del sys.modules[key]
        sys.modules.update(kept)
