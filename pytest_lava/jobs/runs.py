"""What a job runs, one by one: a suite, where in the job it stands; and definitions that come from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pytest_lava.errors import Bug, ConfigurationError, FetchFailed, LavaError
from pytest_lava.jobs.checkouts import Wanted
from pytest_lava.suites.api import Report, Suite, Surroundings
from pytest_lava.suites.definition import Definition, is_definition, take_definition
from pytest_lava.suites.running import DefinitionSuite
from pytest_lava.suites.yamlfile import read_yaml

__all__ = ["INSTALLED", "Block", "BootSuite", "Changes", "Goal", "JobSuite", "Place", "SourcedDefinition"]


#: how far a board boots: to a shell, to its boot loader, or only so far that its kernel runs
Goal = Literal["shell", "bootloader", "kernel"]


@dataclass(frozen=True)
class Block:
    """A ``test`` action. ``limit`` is in seconds, of all that it runs; ``goes_on``: what follows it runs also if that
    is over."""

    key: str
    limit: float | None = None
    goes_on: bool = False


@dataclass(frozen=True)
class Changes:
    """What a job says of a definition that it does not write itself."""

    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    expected: tuple[str, ...] = ()
    skip_install: frozenset[str] = frozenset()
    kmsg: bool = False

    def applied(self, definition: Definition) -> DefinitionSuite:
        """The definition as the job wants it."""
        skip = self.skip_install
        everything = "all" in skip
        left: dict[str, object] = {}
        for word, keys in INSTALLED.items():
            if everything or word in skip:
                left |= keys
        changed = replace(
            definition,
            name=self.name,
            params={**definition.params, **self.params},
            expected=self.expected or definition.expected,
            **left,  # type: ignore[arg-type]  # names and types stand in one table
        )
        return DefinitionSuite(changed, kmsg=self.kmsg)


#: LAVA's words of skip_install -> what is then empty
INSTALLED: Mapping[str, Mapping[str, object]] = {
    "keys": {"keys": ()},
    "sources": {"sources": ()},
    "deps": {"deps": (), "distro_deps": {}},
    "steps": {"install_steps": ()},
    "git-repos": {"repositories": ()},
}


class SourcedDefinition:
    """A definition of a git repository or an archive, which has to be :meth:`located` before it is run."""

    def __init__(self, source: Path, line: int, wanted: Wanted, changes: Changes) -> None:
        self.name = changes.name
        self.source = source
        self.expected = changes.expected
        self.metadata: Mapping[str, str] = {"name": changes.name, "url": wanted.url}
        self.wanted = wanted
        self._line, self._changes = line, changes

    def located(self, root: Path) -> Suite:
        """The same, from what was fetched. ``FetchFailed`` if there is no such definition."""
        path = root / self.wanted.path
        where = f"{self.source}:{self._line}"
        if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
            raise FetchFailed(f"{where}: {self.wanted.url} has no file {self.wanted.path}: correct 'path'")
        try:
            file = read_yaml(path)
            if not is_definition(file.data):
                raise FetchFailed(f"{where}: {self.wanted.path} of {self.wanted.url} is no test definition")
            definition = take_definition(file)
        except ConfigurationError as error:
            said = str(error).replace(f"{root}/", "")
            raise FetchFailed(f"{where}: {self.wanted.url}: {said}") from None
        return self._changes.applied(replace(definition, root=root))

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """Not this one."""
        raise Bug(f"{self.name} was not fetched")


class BootSuite:
    """A boot that nothing follows: it has passed when the board is where it was to go."""

    def __init__(self, source: Path) -> None:
        self.name = "boot"
        self.source = source
        self.expected: tuple[str, ...] = ()
        self.metadata: Mapping[str, str] = {"name": "boot"}

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """There is nothing left to do."""


@dataclass(frozen=True)
class Place:
    """Where in a job a suite stands: the key of its stage, its block, and how far the board has booted there."""

    stage: str
    block: Block
    goal: Goal = "shell"


class JobSuite:
    """See :class:`pytest_lava.suites.api.Suite`; ``name`` differs from those of all others of the job.

    After a run, ``broke`` is what ended it early.
    """

    def __init__(self, suite: Suite, name: str, place: Place, environment: Mapping[str, str]) -> None:
        self.name, self.place = name, place
        #: the job's file, also for what comes from elsewhere
        self.source = suite.source
        self.broke: LavaError | None = None
        self._environment = environment
        self.become(suite)

    def become(self, suite: Suite) -> None:
        """What it runs, once that is known."""
        self.suite = suite
        self.expected = suite.expected
        self.metadata = suite.metadata

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """Run it with the job's environment."""
        environment = {**surroundings.environment, **self._environment}
        self.broke = None
        try:
            self.suite.run(replace(surroundings, environment=environment), report)
        except LavaError as error:
            self.broke = error
            raise
