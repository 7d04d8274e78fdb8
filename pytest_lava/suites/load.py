"""What a file holds: the one place that knows all kinds of suites, and a LAVA job when it sees one."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.suites.api import Suite
from pytest_lava.suites.definition import is_definition, take_definition
from pytest_lava.suites.own import is_own_suite, take_own_suite
from pytest_lava.suites.running import DefinitionSuite
from pytest_lava.suites.yamlfile import read_yaml

__all__ = ["is_job", "load"]


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


def is_job(data: object) -> bool:
    """Whether YAML is meant to be a LAVA job, which is no suite."""
    return isinstance(data, dict) and {"job_name", "actions"} <= data.keys()
