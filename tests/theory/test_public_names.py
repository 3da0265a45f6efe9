"""The lazy packages: every name of a stub loads, is documented, and no module has the same name."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

PACKAGES = ("", ".theory", ".validation", ".models", ".testing", ".paper_figures")


def package(name):
    if name == ".models":
        pytest.importorskip("torch", reason="torch is not installed")
        pytest.importorskip("transformers", reason="transformers is not installed")
    return importlib.import_module(f"specsim{name}")


@pytest.mark.parametrize("name", PACKAGES)
def test_names__load_and_are_documented(name):
    module = package(name)
    assert len(module.__all__) > 5
    for public in module.__all__:
        value = getattr(module, public)
        assert public in dir(module)
        assert not callable(value) or value.__doc__


@pytest.mark.parametrize("name", PACKAGES)
def test_names__have_an_example_in_their_docstring(name):
    module = package(name)
    values = {public: getattr(module, public) for public in module.__all__}
    functions = {public for public, value in values.items() if inspect.isclass(value) or callable(value)}
    # The union of two classes has no docstring of its own.
    assert {public for public in functions - {"Pair"} if ">>>" not in values[public].__doc__} == set()


@pytest.mark.parametrize("name", PACKAGES)
def test_names__are_those_of_the_stub(name):
    module = package(name)
    assert set(re.findall(r"(\w+) as \1\b", _stub(module))) | {"__version__"} == {
        *module.__all__,
        "__version__",
    }


@pytest.mark.parametrize("name", PACKAGES[1:])
def test_names__are_no_modules(name):
    module = package(name)
    homes = re.findall(rf"^from specsim{re.escape(name)}\.(\S+) import", _stub(module), re.MULTILINE)
    assert not set(homes) & set(module.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_unknown_names__are_refused(name):
    with pytest.raises(AttributeError, match="no_such_name"):
        package(name).no_such_name  # noqa: B018


def _stub(module):
    return Path(module.__file__).with_suffix(".pyi").read_text()
