"""Suites of our own: small YAML files of commands, what they have to say, and what is measured in it.

Such a file is told from LAVA's by its shape: it has the keys ``suite`` and ``tests``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_lava.config.mistakes import did_you_mean
from pytest_lava.errors import ConfigurationError
from pytest_lava.suites.api import Report, Surroundings
from pytest_lava.suites.own_model import Measure, Parse, Requires, SuiteModel, TestModel
from pytest_lava.suites.own_running import OwnRunning
from pytest_lava.suites.yamlfile import YamlFile

__all__ = ["OwnSuite", "is_own_suite", "take_own_suite"]

#: pydantic's words, in ours
_WORDS = {
    "string_type": "this has to be a text: put it into quotes",
    "float_type": "write a number", "float_parsing": "write a number", "int_type": "write a whole number",
    "int_parsing": "write a whole number", "int_from_float": "write a whole number", "bool_type": "write true or false",
    "bool_parsing": "write true or false", "finite_number": "write a number that is finite",
    "model_type": "this has to be a mapping of keys to values", "model_attributes_type": "this has to be a mapping of "
    "keys to values", "mapping_type": "this has to be a mapping of keys to values",
    "tuple_type": "this has to be a list", "too_short": "there has to be one at least",
    "greater_than": "write a number above {gt:g}", "less_than_equal": "write a number of at most {le:g}",
    "greater_than_equal": "write a number of at least {ge:g}",
}  # fmt: skip
#: the model of a key's value
_MODELS: Mapping[str, type[BaseModel]] = {
    "requires": Requires, "tests": TestModel, "measure": Measure, "parse": Parse,
}  # fmt: skip


def is_own_suite(data: object) -> bool:
    """Whether YAML is meant to be one: it has ``suite``, or ``tests`` that are a list, and nothing of LAVA's."""
    if not isinstance(data, dict) or {"metadata", "run", "actions", "job_name"} & data.keys():
        return False
    return "suite" in data or isinstance(data.get("tests"), list)


def take_own_suite(file: YamlFile) -> OwnSuite:
    """The suite in a file that is meant to be one. ``ConfigurationError`` with all that is wrong, a line each."""
    if file.repeated:
        twice = (
            f"{file.path}:{line}: the key {key!r} stands there twice: leave one out" for key, line in file.repeated
        )
        raise ConfigurationError("\n".join(twice))
    try:
        return OwnSuite(SuiteModel.model_validate(file.data), file.path)
    except ValidationError as error:
        problems = error.errors()
        deeper = {one["loc"][0] for one in problems if len(one["loc"]) > 1}
        told = (_told(file, one) for one in problems if len(one["loc"]) != 1 or one["loc"][0] not in deeper)
        raise ConfigurationError("\n".join(dict.fromkeys(told))) from None


def _told(file: YamlFile, problem: Any) -> str:
    """One mistake as a sentence, with its place."""
    keys: tuple[Any, ...] = problem["loc"]
    shown = ".".join(str(key + 1) if isinstance(key, int) else str(key) for key in keys)
    where = f"{file.path}:{file.line(*keys)}: "
    if problem["type"] == "extra_forbidden":
        return f"{where}there is no key {keys[-1]!r}{did_you_mean(str(keys[-1]), _model(keys).model_fields)}"
    if problem["type"] == "missing":
        return f"{where}the key {shown!r} is missing"
    said = _WORDS.get(problem["type"])
    if said is not None:
        return f"{where}{shown}: {said.format(**problem.get('ctx', {}))}, got {problem['input']!r}"
    wrong = problem["msg"].removeprefix("Value error, ")
    return f"{where}{shown + ': ' if shown else ''}{wrong[:1].lower() + wrong[1:]}"


def _model(keys: tuple[Any, ...]) -> type[BaseModel]:
    """Whose key the last one is."""
    names = [key for key in keys[:-1] if isinstance(key, str)]
    return _MODELS.get(names[-1], SuiteModel) if names else SuiteModel


class OwnSuite:
    """A :class:`~pytest_lava.suites.api.Suite`."""

    def __init__(self, model: SuiteModel, path: Path) -> None:
        self.model = model
        self.name = model.suite
        self.source = path
        #: a suite tells by itself what did not run
        self.expected: tuple[str, ...] = ()
        self.metadata: Mapping[str, str] = {
            "name": model.suite, "description": model.description, "format": "pytest-lava suite",
        }  # fmt: skip

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """See :meth:`pytest_lava.suites.api.Suite.run`."""
        OwnRunning(self.model, surroundings, report).run()
