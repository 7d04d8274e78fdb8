"""A bundle as a file: JSON that a dashboard and a person can read, made piece by piece, as logs in it are large."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_lava.results.bundle.parts import Bundle
from pytest_lava.results.run_files import write_atomically

__all__ = ["dump_bundle", "write_bundle"]

_PIECE = 1 << 20  # characters


def dump_bundle(bundle: Bundle) -> str:
    """The bundle as ASCII text (other characters make the dashboard's ``put`` fail), each result a line of its own."""
    return "".join(_pieces(bundle))


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write the bundle so that ``path`` is either whole or untouched. Raises ``InfrastructureError``."""
    write_atomically(path, (piece.encode("ascii") for piece in _pieces(bundle)))


def _pieces(bundle: Bundle) -> Iterator[str]:
    """The text piece by piece: as a whole it would be in memory three times. Results and attachments are a line each,
    the rest is indented by 2: for indented text Python's encoder takes five times as long."""
    head = {name: value for name, value in bundle.items() if name != "test_runs"}
    yield _indented(head, "")[:-2]  # without the closing brace
    if "test_runs" in bundle:
        yield ',\n  "test_runs": ['
        for number, run in enumerate(bundle["test_runs"]):
            yield ",\n    " if number else "\n    "
            yield from _run(run)
        yield "\n  ]" if bundle["test_runs"] else "]"
    yield "\n}\n"


def _run(run: Bundle) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode
    yield "{"
    for number, (name, value) in enumerate(run.items()):
        yield f"{',' if number else ''}\n      {encode(name)}: "
        if name == "test_results" and value:
            for index, result in enumerate(value):
                yield f"{',' if index else '['}\n        {encode(result)}"
            yield "\n      ]"
        elif name == "attachments" and value and isinstance(value, list):  # before 1.1 they are named lines
            for index, attachment in enumerate(value):
                yield ",\n        " if index else "[\n        "
                yield from _attachment(attachment, encode)
            yield "\n      ]"
        else:
            yield _indented(value, "      ")
    yield "\n    }"


def _attachment(attachment: Bundle, encode: Callable[[object], str]) -> Iterator[str]:
    """A log of megabytes in pieces, of which any can be encoded by itself."""
    for number, (name, value) in enumerate(attachment.items()):
        yield f"{', ' if number else '{'}{encode(name)}: "
        if isinstance(value, str):
            pieces = (value[at : at + _PIECE] for at in range(0, len(value), _PIECE))
            yield '"'
            yield from (encode(piece)[1:-1] for piece in pieces)
            yield '"'
        else:
            yield encode(value)
    yield "}"


def _indented(value: object, before: str) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False).replace("\n", "\n" + before)
