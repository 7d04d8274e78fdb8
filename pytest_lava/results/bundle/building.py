"""The result bundle: a pure function of the journal, so that building it twice gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from pytest_lava.results.bundle.lava import lava_run
from pytest_lava.results.bundle.parts import Bundle
from pytest_lava.results.bundle.schema import DEFAULT_VERSION, BundleFormat, bundle_format
from pytest_lava.results.bundle.source import Source
from pytest_lava.results.bundle.tests import groups, suite_run
from pytest_lava.results.journal import Line
from pytest_lava.results.record import LAVA, collect
from pytest_lava.results.slug import TEST_ID_LIMIT, Namer, slug
from pytest_lava.results.uncollected import uncollected

__all__ = ["build_bundle"]


def build_bundle(lines: Iterable[Line], *, version: str = DEFAULT_VERSION, folder: Path) -> Bundle:
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


def _namespace(run: str) -> UUID:
    try:
        return UUID(run)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"pytest-lava:{run}".encode("utf-8", "backslashreplace").decode())
