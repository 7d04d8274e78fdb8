"""What a file holds: the one place that knows all kinds of suites."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.suites.api import Suite
from pytest_lava.suites.definition import is_definition, take_definition
from pytest_lava.suites.job import Job
from pytest_lava.suites.job_json import is_json_job, take_json_job
from pytest_lava.suites.job_reading import is_job, take_job
from pytest_lava.suites.own import is_own_suite, take_own_suite
from pytest_lava.suites.running import DefinitionSuite
from pytest_lava.suites.yamlfile import read_json, read_yaml

__all__ = ["load", "load_job"]


def load_job(path: Path) -> Job | None:
    """The LAVA job in a file, or nothing if that is none. ``ConfigurationError`` with its line for what is wrong."""
    file = read_json(path) if path.suffix == ".json" else read_yaml(path)
    if is_json_job(file.data):
        return take_json_job(file)
    return take_job(file) if is_job(file.data) else None


def load(path: Path) -> tuple[Suite, ...]:
    """The suites in a file, at least one. ``ConfigurationError`` with file and line for what is wrong in it."""
    file = read_yaml(path)
    if is_own_suite(file.data):
        return (take_own_suite(file),)
    if is_definition(file.data):
        return (DefinitionSuite(take_definition(file)),)
    if is_job(file.data):
        raise file.wrong("a LAVA job is run if it is named on the command line, not by lava_files", "actions")
    raise file.wrong(
        "this is no test: a suite has 'suite:' and 'tests:', a LAVA test definition 'metadata: format: Lava-Test Test "
        "Definition 1.0' and 'run: steps:'"
    )
