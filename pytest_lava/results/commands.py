"""``pytest-lava bundle`` and ``pytest-lava junit``: result files made again from journals."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.journal import Line, journals, read
from pytest_lava.results.run_folders import LATEST

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parsers", "bundle_command", "junit_command", "spelled_out"]

_VERBS = ("write", "validate", "upgrade", "merge", "show")
_AGAIN = "Write the {} of a run again, from its journal and logs: after a kill -9, or in another version."


def spelled_out(words: Sequence[str]) -> list[str]:
    """``bundle RUN`` means ``bundle write RUN``; argparse itself knows no command that may be left out.

    >>> spelled_out(["bundle", "lava-runs/latest"]), spelled_out(["bundle", "show", "b.json"])
    (['bundle', 'write', 'lava-runs/latest'], ['bundle', 'show', 'b.json'])
    """
    if words[:1] == ["bundle"] and words[1:2] not in [[word] for word in (*_VERBS, "-h", "--help")]:
        return ["bundle", "write", *words[1:]]
    return list(words)


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands; ``args.func(args)`` runs the chosen one and returns the exit status."""
    from pytest_lava.results.bundle.commands import add_verbs
    from pytest_lava.results.bundle.schema import VERSIONS
    from pytest_lava.results.junit_links import DIALECTS

    text = "write the result bundle of a run again; check, upgrade, merge or show bundles"
    verbs = subparsers.add_parser(
        "bundle", help=text, description="Result bundles. What is no command means: write, of this run."
    ).add_subparsers(metavar="COMMAND", required=True)
    bundle = verbs.add_parser(
        "write", help="write the bundle of a run again, from its journal", description=_AGAIN.format("bundle")
    )
    bundle.add_argument("--format", choices=VERSIONS, help="bundle format (default: what the run asked for, else 1.5)")
    bundle.set_defaults(func=bundle_command)
    add_verbs(verbs)
    junit = subparsers.add_parser(
        "junit", help="write the JUnit XML of a run again, from its journal", description=_AGAIN.format("JUnit XML")
    )
    junit.add_argument(
        "--attachments", choices=DIALECTS, metavar="DIALECT",
        help=f"link the files of each test as this viewer has it: {', '.join(DIALECTS)} (default: as the run asked)",
    )  # fmt: skip
    junit.set_defaults(func=junit_command)
    for parser, name in ((bundle, "bundle.json"), (junit, "junit.xml")):
        parser.add_argument(
            "journal", nargs="*", type=Path, metavar="JOURNAL", default=[LATEST],
            help=f"journal file or run folder (default: {LATEST})",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, metavar="PATH", help=f"default: {name} beside it; - for stdout")


def bundle_command(args: argparse.Namespace) -> int:
    """Write the bundle of ``args.journal``. Raises ``ConfigurationError``, ``InfrastructureError``."""
    from pytest_lava.results.bundle.building import build_bundle
    from pytest_lava.results.bundle.encoding import dump_bundle, write_bundle
    from pytest_lava.results.bundle.schema import DEFAULT_VERSION, validate

    lines, folder = _lines(args.journal)
    asked = next((str(line["format"]) for line in lines if line["kind"] == "run" and line.get("format")), "")
    bundle = build_bundle(lines, version=args.format or asked or DEFAULT_VERSION, folder=folder)
    validate(bundle)
    output = args.output or folder / "bundle.json"
    if str(output) == "-":
        sys.stdout.write(dump_bundle(bundle))
        return 0
    write_bundle(output, bundle)
    print(f"{output}: {bundle['format']}, {_count(bundle['test_runs'])}")
    return 0


def junit_command(args: argparse.Namespace) -> int:
    """Write the JUnit XML of ``args.journal``. Raises ``ConfigurationError``, ``InfrastructureError``."""
    from pytest_lava.results.junit import document, write
    from pytest_lava.results.junit_links import Links

    lines, folder = _lines(args.journal)
    output = args.output or folder / "junit.xml"
    base = Path(os.environ.get("CI_PROJECT_DIR") or ".").absolute()
    links = Links(args.attachments, base) if args.attachments else None
    if links and not links.reach(folder):
        raise ConfigurationError(f"GitLab takes files from below the project folder {base} only, {folder} is elsewhere")
    if str(output) == "-":
        # UTF-8, as its first line says
        sys.stdout.buffer.write(document(lines, folder=folder, links=links))
        return 0
    write(lines, output, folder=folder, links=links)
    print(output)
    return 0


def _lines(paths: list[Path]) -> tuple[list[Line], Path]:
    files = journals(paths)
    lines = read(files)
    if not lines:
        raise ConfigurationError(f"the journal {files[0]} is empty: the run ended before its first result")
    return lines, files[0].parent


def _count(runs: list[dict[str, list[object]]]) -> str:
    results = sum(len(run["test_results"]) for run in runs)
    return f"{len(runs)} test run{'s' * (len(runs) != 1)}, {results} result{'s' * (results != 1)}"
