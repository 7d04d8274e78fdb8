"""What is collected and in which order: targets as one parameter, commands as functions, the fewest deployments."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_lava.commands.plan import Command
from pytest_lava.config.paths import shipped
from pytest_lava.console.shell import CommandResult
from pytest_lava.errors import CommandTimeout, OperationFailed, TestTimeout
from pytest_lava.plan import RunPlan, Target
from pytest_lava.plugin.collecting.functions import as_command, made_function
from pytest_lava.plugin.collecting.job_targets import job_targets
from pytest_lava.plugin.collecting.wishes import read_wishes, refused

__all__ = [
    "COMMAND",
    "Collection",
    "CommandRun",
    "command_body",
    "command_of",
    "made_items",
    "slug",
    "take_result",
    "target_of",
]

_SLUG = 60


class CommandRun:
    """An out-of-tree command of an item, and what it gave once it ran; ``seconds`` are its own."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.status: int | None = None
        self.stdout = b""
        self.stderr = b""
        self.seconds: float | None = None


COMMAND = pytest.StashKey[CommandRun]()


def command_of(item: pytest.Item) -> str | None:
    """The out-of-tree command that an item runs, if it is one."""
    return getattr(getattr(item, "function", None), "lava_command", None)


def target_of(item: pytest.Item) -> Target | None:
    """The target an item runs on, if it runs on one."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("lava_target") if callspec else None
    return found if isinstance(found, Target) else None


class Collection:
    """Collection hooks of a run that uses boards."""

    def __init__(self, config: pytest.Config, plan: RunPlan) -> None:
        self._plan = plan
        named = config.args_source is config.ArgsSource.ARGS
        made = bool(plan.commands or plan.stress.commands or plan.out_of_tree.given)
        self._commands_only = made and not named
        if not made and config.args_source is config.ArgsSource.INVOCATION_DIR:
            config.args[:] = [str(shipped("testsuites") / "smoke")]

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """With --command and no path, only the commands run."""
        return True if self._commands_only else None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One hidden parameter carries board, kernel and image, so that grouping by it is least."""
        if "lava_target" in metafunc.fixturenames:
            wishes = read_wishes(metafunc.definition)
            # one that fits none is collected for each, so that it is skipped with the reasons
            own = job_targets(metafunc.function, self._plan.targets)
            targets = [one for one in own if not refused(wishes, one)] or own
            metafunc.parametrize("lava_target", targets, ids=[t.id for t in targets], indirect=True, scope="session")

    @pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
    def pytest_lava_add_commands(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Before -k, --deselect and pytest's own reordering look at the items."""
        if self._plan.commands:
            limit = self._plan.command_timeout
            items.extend(made_items(session, "command", self._plan.commands, lambda one: command_body(one, limit)))

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_collection_modifyitems")
    def pytest_lava_regroup(self, items: list[pytest.Item]) -> Iterator[None]:
        """Other plugins may shuffle: items of one target stay together, in the order of their first one."""
        yield
        order: dict[str, int] = {}
        names = [target.id if (target := target_of(item)) else "" for item in items]
        for name in names:
            order.setdefault(name, len(order))
        ranks = dict(zip(map(id, items), map(order.__getitem__, names), strict=True))
        items.sort(key=lambda item: ranks[id(item)])


def made_items(
    session: pytest.Session, file: str, commands: Sequence[Command | str], make: Callable[[str], Callable[..., None]]
) -> Iterator[pytest.Item]:
    """Items below the node ``file``, one for each command; ``make`` gives what runs it."""
    collector = _Commands.from_parent(session, name=file, path=session.config.rootpath / file, nodeid=file)
    collector.make = make
    collector.commands = [
        Command(one, one, number) if isinstance(one, str) else one for number, one in enumerate(commands, 1)
    ]
    for one in session.genitems(collector):
        assert isinstance(one, pytest.Item)
        yield one


class _Commands(pytest.Module):
    """A module without a file, whose functions run the commands: so parametrisation and grouping are pytest's own."""

    commands: Sequence[Command]
    make: Callable[[str], Callable[..., None]]

    def _getobj(self) -> types.ModuleType:
        module = types.ModuleType(self.name)
        module.__file__ = str(self.path)  # other plugins ask for it
        taken: dict[str, int] = {}
        for command in self.commands:
            name = slug(command.name)
            taken[name] = taken.get(name, 0) + 1
            name = name if taken[name] == 1 else f"{name}#{taken[name]}"
            body = made_function(self.make(command.text), name, self.name, command.line)
            setattr(module, name, as_command(body, command.text, command.name))
        return module


def slug(command: str) -> str:
    """A name for node ids: one line, without what pytest gives a meaning to."""
    name = re.sub(r"::+", ":", re.sub(r"[\[\]\x00-\x1f\x7f]+|\s+", " ", command)).strip()
    return name if len(name) <= _SLUG else name[: _SLUG - 3] + "..."


def command_body(command: str, timeout: float) -> Callable[..., None]:
    """What runs a command on the item's board, within so many seconds."""

    def body(request: pytest.FixtureRequest, shell: Any) -> None:
        __tracebackhide__ = True
        run = request.node.stash[COMMAND] = CommandRun(command)
        try:
            result = shell.run(command, timeout=timeout)
        except (CommandTimeout, TestTimeout) as error:
            run.stdout = error.evidence.encode(errors="surrogateescape")
            raise
        take_result(run, result)

    return body


def take_result(run: CommandRun, result: CommandResult) -> None:
    """What a command gave; ``OperationFailed`` if that is a failure."""
    run.status, run.stdout, run.stderr = result.returncode, result.stdout_bytes, result.stderr_bytes
    run.seconds = result.duration
    if result.returncode:
        raise OperationFailed(f"the command returned {result.returncode}: {run.command}")
