"""The result bundle: a pure function of the journal, so that building it twice gives the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from pytest_lava.errors import InfrastructureError
from pytest_lava.results.bundle_lava import lava_run
from pytest_lava.results.bundle_parts import Bundle
from pytest_lava.results.bundle_schema import DEFAULT_VERSION, bundle_format, validate
from pytest_lava.results.bundle_source import Source
from pytest_lava.results.bundle_tests import groups, suite_run
from pytest_lava.results.journal import Line
from pytest_lava.results.record import LAVA, collect
from pytest_lava.results.slug import TEST_ID_LIMIT, Namer, slug

__all__ = ["build", "dump", "validate", "write", "write_atomically"]


def build(lines: Iterable[Line], *, version: str = DEFAULT_VERSION, folder: Path) -> Bundle:
    """The bundle of one run: a test run for each suite and command on each target, then the run ``lava``.

    ``folder`` is where the console logs and attachments that the journal names are read from; what is missing there
    is left out. Raises ``ConfigurationError`` for an unknown version or lines of several runs.
    """
    form, record = bundle_format(version), collect(lines)
    source = Source.of(record, form, folder, _namespace(record.run))
    names = Namer(slug, TEST_ID_LIMIT)
    own = names.unique(LAVA)  # first, so that no suite of that name takes it
    runs = [suite_run(source, group, names) for group in groups(record)]
    return {"format": form.name, "test_runs": [*runs, lava_run(source, own)]}


def dump(bundle: Bundle) -> str:
    """The bundle as ASCII text (other characters make the dashboard's ``put`` fail), indented by 2."""
    return json.dumps(bundle, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def write(path: Path, bundle: Bundle) -> str:
    """Write the bundle so that ``path`` is either whole or untouched; returns the text. ``InfrastructureError``."""
    text = dump(bundle)
    write_atomically(path, text.encode("ascii"))
    return text


def write_atomically(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder. Raises ``InfrastructureError``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InfrastructureError(
            f"{path} cannot be written ({error.strerror}): make room, or choose another place"
        ) from error


def _namespace(run: str) -> UUID:
    try:
        return UUID(run)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"pytest-lava:{run}".encode("utf-8", "backslashreplace").decode())
