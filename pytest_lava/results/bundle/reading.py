"""A bundle out of a file that may hold anything: every way in which it can be wrong is one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.bundle.schema import validate

__all__ = ["read_bundle", "standard_input"]

Bundle = dict[str, Any]
_STDIN = Path("-")


def standard_input(path: Path) -> bool:
    """Whether the file ``-`` is meant."""
    return path == _STDIN


def read_bundle(path: Path, *, exact: bool = False) -> Bundle:
    """The bundle in a file (``-``: standard input), valid for its version.

    ``exact``: it will be written again, so a number with more digits than a float holds is refused and not rounded.
    Raises ``ConfigurationError`` with the place of the first mistake.
    """
    name = "standard input" if standard_input(path) else str(path)
    try:
        data = sys.stdin.buffer.read() if standard_input(path) else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from error
    document = _parsed(name, data, _exact if exact else _number)
    validate(document, source=name)
    assert isinstance(document, dict)
    return document


def _parsed(name: str, data: bytes, number: Callable[[str], float]) -> object:
    try:
        text = data.decode("utf-8")
        return json.loads(text, parse_float=number, parse_constant=_constant, object_pairs_hook=_pairs)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name} is no JSON: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{name} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except _Wrong as error:
        raise ConfigurationError(f"{name} is no valid dashboard bundle: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{name} is no valid dashboard bundle: it is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigurationError(f"{name} is no valid dashboard bundle: {error}") from None


class _Wrong(Exception):
    """Good JSON, or nearly so, that no bundle may hold."""


def _constant(word: str) -> object:
    raise _Wrong(f"{word} is no number in JSON")


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Wrong(f"the key {twice!r} is twice in one object, and readers do not agree which counts")
    return found


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _Wrong(f"{text} is too large a number")
    return number


def _exact(text: str) -> float:
    number = _number(text)
    try:
        same = Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        same = False
    if not same:
        raise _Wrong(f"{text} has more digits than can be kept; the dashboard keeps 10 behind the point")
    return number
