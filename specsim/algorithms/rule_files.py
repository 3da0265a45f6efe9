"""A researcher's own rules, read from a Python file: ``my_rules.py:damped:draft_length=4``."""

import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path

from specsim.algorithms.rule import Rule
from specsim.errors import InputError

# A drive letter may stand before the file, and options after the rule.
_SPELLING = re.compile(r"(?P<file>.+?\.py):(?P<rule>[^:]*)(?::(?P<options>.*))?", re.DOTALL)
_read: dict[tuple[Path, str], dict[str, Rule]] = {}


def split_rule(text: str) -> tuple[str, str, str | None] | None:
    """Return file, rule and options of ``FILE.py:RULE[:OPTIONS]``; None for any other text.

    Examples
    --------
    >>> split_rule("my_rules.py:damped:draft_length=4")
    ('my_rules.py', 'damped', 'draft_length=4')
    >>> split_rule("block:draft_length=4") is None
    True
    """
    match = _SPELLING.fullmatch(text.strip())
    return (match["file"], match["rule"].strip(), match["options"]) if match else None


def read_rules(file: str | Path) -> dict[str, Rule]:
    """Run a Python file and return the rules that it makes with `specsim.rule`, by name.

    InputError: the file does not exist, an error arises in it, or it makes two rules of one name.
    """
    path = Path(file).resolve()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"rule file {file} cannot be read ({error.strerror}); give its path") from None
    digest = hashlib.sha256(text).hexdigest()
    if (path, digest) not in _read:
        name = f"specsim_rule_file_{path.stem}_{digest[:16]}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Known by name, so that Numba and pickle find it again; its folder first, as for a script.
        sys.modules[name] = module
        sys.path.insert(0, str(path.parent))
        try:
            spec.loader.exec_module(module)
        # A file that ends the process is as wrong as one that fails.
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise InputError(f"rule file {file}{_line(error, path)}: {_words(error)}") from error
        finally:
            sys.path.remove(str(path.parent))
        found: dict[str, Rule] = {}
        own = [item for item in vars(module).values() if isinstance(item, Rule) and item.own is not None]
        for rule in own:
            if found.setdefault(rule.name, rule) is not rule:
                raise InputError(f"rule file {file} makes two rules {rule.name!r}; rename one")
        _read[path, digest] = found
    return _read[path, digest]


def read_rule(file: str | Path, name: str) -> Rule:
    """Return the rule of this name that a Python file makes with `specsim.rule`.

    InputError: as for `read_rules`; or the file makes no rule of this name.
    """
    rules = read_rules(file)
    if name not in rules:
        there = f"it makes {', '.join(rules)}" if rules else "it makes none; write @specsim.rule(...) in it"
        raise InputError(f"rule file {file} makes no rule {name!r}; {there}")
    return rules[name]


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""


def _words(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}; mend the file"
