"""``pytest-lava bundle validate|upgrade|merge|show``: what can be done with bundle files, whoever wrote them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lava.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_verbs", "merge_command", "show_command", "upgrade_command", "validate_command"]


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the four; ``args.func(args)`` runs the chosen one and returns the exit status."""
    from pytest_lava.results.bundle.schema import DEFAULT_VERSION, KNOWN_VERSIONS

    validate = verbs.add_parser("validate", help="check bundle files of any version, 1.0 to 1.7, and say what is wrong")
    validate.set_defaults(func=validate_command)
    show = verbs.add_parser("show", help="show bundle files as tables")
    show.add_argument("--failed", action="store_true", help="only results that neither passed nor were skipped")
    show.set_defaults(func=show_command)
    upgrade = verbs.add_parser("upgrade", help="write a bundle in a newer version of the format")
    upgrade.set_defaults(func=upgrade_command)
    merge = verbs.add_parser("merge", help="write several bundles as one")
    merge.set_defaults(func=merge_command)
    for parser in (upgrade, merge):
        default = DEFAULT_VERSION if parser is upgrade else "the newest of theirs"
        parser.add_argument("--format", choices=KNOWN_VERSIONS, help=f"version of what is written (default: {default})")
        parser.add_argument("--output", type=Path, metavar="PATH", default=Path("-"), help="default: standard output")
    for parser in (validate, show, upgrade, merge):
        count = None if parser is upgrade else "+"
        parser.add_argument("files", nargs=count, type=Path, metavar="FILE", help="a bundle; - for standard input")


def validate_command(args: argparse.Namespace) -> int:
    """Say of each file whether it is valid, and where not. Raises ``ConfigurationError`` with the mistakes."""
    from pytest_lava.results.bundle.reading import read_bundle
    from pytest_lava.results.bundle.table import sizes

    wrong = []
    for path in args.files:
        try:
            document = read_bundle(path)
        except ConfigurationError as error:
            wrong.append(str(error))
            continue
        print(f"{path}: valid {document['format']}, {sizes(document)}")
        for note in _notes(document):
            print(f"{path}: note: {note}")
    if wrong:
        sys.stdout.flush()
        raise ConfigurationError("\npytest-lava: ".join(wrong))
    return 0


def show_command(args: argparse.Namespace) -> int:
    """Print each as a table. Raises ``ConfigurationError``."""
    from pytest_lava.results.bundle.reading import read_bundle
    from pytest_lava.results.bundle.table import table

    for number, path in enumerate(args.files):
        document = read_bundle(path)
        if len(args.files) > 1:
            print(f"{'' if not number else chr(10)}{path}")
        for line in table(document, failed=args.failed):
            print(line)
    return 0


def upgrade_command(args: argparse.Namespace) -> int:
    """Write ``args.files``, which is one. Raises ``ConfigurationError``, ``InfrastructureError``."""
    from pytest_lava.results.bundle.reading import read_bundle
    from pytest_lava.results.bundle.schema import DEFAULT_VERSION, KNOWN_VERSIONS, version_of
    from pytest_lava.results.bundle.upgrade import upgrade

    document = read_bundle(args.files, exact=True)
    own = version_of(document)
    if not args.format and own >= DEFAULT_VERSION:
        newer = [version for version in KNOWN_VERSIONS if version > own]
        more = f"; for a newer one give --format {' or '.join(newer)}" if newer else ", and there is no newer one"
        raise ConfigurationError(f"{args.files} is of version {own} already{more}")
    _write(upgrade(document, args.format or DEFAULT_VERSION), args.output)
    return 0


def merge_command(args: argparse.Namespace) -> int:
    """Write ``args.files`` as one. Raises ``ConfigurationError``, ``InfrastructureError``."""
    from pytest_lava.results.bundle.reading import read_bundle
    from pytest_lava.results.bundle.upgrade import merge

    named = [(str(path), read_bundle(path, exact=True)) for path in args.files]
    _write(merge(named, args.format or ""), args.output)
    return 0


def _write(document: dict[str, Any], output: Path) -> None:
    from pytest_lava.results.bundle.encoding import dump_bundle, write_bundle
    from pytest_lava.results.bundle.reading import standard_input
    from pytest_lava.results.bundle.schema import validate
    from pytest_lava.results.bundle.table import sizes

    validate(document, source="what would be written")
    if standard_input(output):
        sys.stdout.write(dump_bundle(document))
    else:
        write_bundle(output, document)
        print(f"{output}: {document['format']}, {sizes(document)}")


def _notes(document: dict[str, Any]) -> Iterator[str]:
    """What is valid, and yet not what somebody wanted."""
    from pytest_lava.results.bundle.schema import DEFAULT_VERSION, version_of

    runs = document.get("test_runs", [])
    nameless = [
        f"test_runs[{number}].test_results[{index}]"
        for number, run in enumerate(runs)
        for index, result in enumerate(run["test_results"])
        if "test_case_id" not in result
    ]
    if nameless:
        yield f"a dashboard drops results without test_case_id, such as {nameless[0]} ({len(nameless)} in all)"
    if version_of(document) > DEFAULT_VERSION:
        yield f"many dashboards import no version above {DEFAULT_VERSION}"
