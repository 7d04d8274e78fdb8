"""The LAVA job in a file, of whichever kind."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.jobs.job import Job
from pytest_lava.jobs.json_jobs import is_json_job, take_json_job
from pytest_lava.jobs.reading import take_job
from pytest_lava.suites.load import is_job
from pytest_lava.suites.yamlfile import read_json, read_yaml

__all__ = ["load_job"]


def load_job(path: Path) -> Job | None:
    """The job, or nothing if the file holds none. ``ConfigurationError`` with its line for what is wrong."""
    file = read_json(path) if path.suffix == ".json" else read_yaml(path)
    if is_json_job(file.data):
        return take_json_job(file)
    return take_job(file) if is_job(file.data) else None
