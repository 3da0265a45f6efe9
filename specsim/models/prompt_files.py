"""Prompts from files: lines of text, JSON, or JSON Lines."""

import json
import os
from pathlib import Path
from typing import Any

from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.support.files import read_file

#: Where the text of a prompt stands in a JSON object; the first that is there.
FIELDS = ("prompt", "instruction", "text", "question")


def read_prompts(path: str | os.PathLike[str], *, limit: int | None = None) -> list[str | list[int]]:
    """Read prompts from a file.

    A JSON file holds a list, JSON Lines one value per line; a value is a text, a list of token ids, or an
    object with one of `FIELDS`. Any other file has one prompt per line; blank lines are skipped.

    Parameters
    ----------
    path
        The file, UTF-8.
    limit
        Number of prompts to take, from the first. Defaults to None (all).

    Raises
    ------
    InputError
        The file cannot be read, has no prompts, or a value is of no known kind.
    """
    place = Path(path)
    if limit is not None:
        whole("limit", limit, 1)
    try:
        text = read_file(place, "give a file of prompts").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {place}: not UTF-8 (byte {error.start}); give a text file") from None
    if place.suffix in (".json", ".jsonl"):
        values = _values(place, text)
        prompts = [_prompt(place, number, value) for number, value in enumerate(values, start=1)]
    else:
        prompts = [line for line in text.splitlines() if line.strip()]
    if not prompts:
        raise InputError(f"{place} has no prompts; give at least one")
    return prompts[:limit]


def encode(models: Any, prompts: list[str | list[int]]) -> list[list[int]]:
    """Return the token ids of prompts.

    Parameters
    ----------
    models
        The pair, with its tokenizer.
    prompts
        Texts, or lists of token ids.

    Raises
    ------
    InputError
        A text where the pair has no tokenizer, or a prompt without tokens.
    """
    out = []
    for number, prompt in enumerate(prompts, start=1):
        if isinstance(prompt, str):
            if models.tokenizer is None:
                raise InputError(
                    f"prompt {number} is a text, but the models have no tokenizer; give token ids in JSON"
                )
            ids = list(models.tokenizer(prompt)["input_ids"])
        else:
            ids = list(prompt)
        if not ids:
            raise InputError(f"prompt {number} has no tokens; give at least one")
        out.append(ids)
    return out


def _values(place: Path, text: str) -> list[Any]:
    # A line of JSON Lines counts as a document of one line; the line of an error is counted from its own.
    parts = [(1, text)] if place.suffix == ".json" else list(enumerate(text.splitlines(), start=1))
    found = []
    for first, part in parts:
        if part.strip() or place.suffix == ".json":
            try:
                found.append(json.loads(part))
            except json.JSONDecodeError as error:
                line = first + error.lineno - 1
                raise InputError(f"cannot read {place}: line {line}: {error.msg}; repair the JSON") from None
            except (RecursionError, ValueError) as error:
                raise InputError(
                    f"cannot read {place}: line {first}: {error}; give texts or lists of token ids"
                ) from None
    values = found[0] if place.suffix == ".json" else found
    if not isinstance(values, list):
        raise InputError(f"{place} holds no list; give a list of prompts")
    return values


def _prompt(place: Path, number: int, value: Any) -> str | list[int]:
    if isinstance(value, dict):
        known = [field for field in FIELDS if field in value]
        if not known:
            raise InputError(
                f"{place}, prompt {number}: no {', no '.join(FIELDS)}; give the text under one of these names"
            )
        text = value[known[0]]
        more = value.get("input") if known[0] == "instruction" else None
        value = f"{text}\n{more}" if isinstance(more, str) and more and isinstance(text, str) else text
    if isinstance(value, str) and value:
        return value
    if value in ("", []):
        raise InputError(f"{place}, prompt {number} is empty; give at least one token")
    if isinstance(value, list) and all(type(token) is int for token in value):
        return list(value)
    raise InputError(f"{place}, prompt {number}: {str(value)[:40]!r} is not a text or token ids")
