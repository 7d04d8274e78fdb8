"""Functions of our own making that pytest collects, as if they stood in a file: so all else is pytest's own."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, cast

__all__ = ["as_command", "made_function"]


def made_function(body: Callable[..., None], name: str, file: str, line: int = 1) -> Any:
    """The same function under another name, at a line of a file that is no Python, or is not there.

    Its signature decides its fixtures; reports show the place.
    """
    made = cast(types.FunctionType, body)
    code = made.__code__.replace(co_filename=file, co_firstlineno=line, co_name=name)
    function: Any = types.FunctionType(code, made.__globals__, name, made.__defaults__, made.__closure__)
    function.__test__ = True  # any name is collected
    return function


def as_command(function: Any, command: str, name: str) -> Any:
    """Marked as what runs a command, whose results are called ``name``."""
    function.lava_command, function.lava_name = command, name
    return function
