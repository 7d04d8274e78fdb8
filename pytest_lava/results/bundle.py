"""The result bundle: a pure function of the journal, so that building it twice gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from pytest_lava.durably import place_file
from pytest_lava.errors import InfrastructureError
from pytest_lava.results.bundle_lava import lava_run
from pytest_lava.results.bundle_parts import Bundle
from pytest_lava.results.bundle_schema import DEFAULT_VERSION, BundleFormat, bundle_format, validate
from pytest_lava.results.bundle_source import Source
from pytest_lava.results.bundle_tests import groups, suite_run
from pytest_lava.results.journal import Line
from pytest_lava.results.record import LAVA, collect
from pytest_lava.results.slug import TEST_ID_LIMIT, Namer, slug
from pytest_lava.results.uncollected import uncollected

__all__ = ["build", "dump", "validate", "write", "write_atomically"]

_PIECE = 1 << 20  # characters


def build(lines: Iterable[Line], *, version: str = DEFAULT_VERSION, folder: Path) -> Bundle:
    """The bundle of one run: a test run for each suite and command on each target, then the run ``lava``.

    ``folder`` is where the console logs and attachments that the journal names are read from; what is missing there
    is left out. Raises ``ConfigurationError`` for an unknown version or lines of several runs.
    """
    with uncollected():
        return _build(bundle_format(version), lines, folder)


def _build(form: BundleFormat, lines: Iterable[Line], folder: Path) -> Bundle:
    record = collect(lines)
    source = Source.of(record, form, folder, _namespace(record.run))
    names = Namer(slug, TEST_ID_LIMIT)
    own = names.unique(LAVA)  # first, so that no suite of that name takes it
    runs = [suite_run(source, group, names) for group in groups(record)]
    return {"format": form.name, "test_runs": [*runs, lava_run(source, own)]}


def dump(bundle: Bundle) -> str:
    """The bundle as ASCII text (other characters make the dashboard's ``put`` fail), each result a line of its own."""
    return "".join(_pieces(bundle))


def write(path: Path, bundle: Bundle) -> None:
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


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Whole and on the disk, or untouched. Raises ``InfrastructureError``."""
    try:
        place_file(path, data)
    except OSError as error:
        raise InfrastructureError(
            f"{path} cannot be written ({error.strerror}): make room, or choose another place"
        ) from error


def _namespace(run: str) -> UUID:
    try:
        return UUID(run)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"pytest-lava:{run}".encode("utf-8", "backslashreplace").decode())
