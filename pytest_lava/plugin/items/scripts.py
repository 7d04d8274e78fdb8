"""The face of scripts: a file that is named on the command line becomes an item that sends it and runs it."""

from __future__ import annotations

import shlex
import types
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.commands.script import Script, is_script, run_script, take_script
from pytest_lava.errors import CommandTimeout, ConfigurationError, TestTimeout
from pytest_lava.plugin.collecting.collection import COMMAND, CommandRun, slug, take_result, target_of
from pytest_lava.plugin.collecting.functions import as_command, made_function

if TYPE_CHECKING:
    from pytest_lava.lab.guardian import Guardian
    from pytest_lava.plugin.run import Run

__all__ = ["Scripts"]

_FACE = pytest.StashKey["Scripts"]()


class Scripts:
    """Collects scripts named on the command line, or that ``lava_files`` matches, and runs them."""

    def __init__(self, run: Run, guardian: Guardian) -> None:
        self._run, self._guardian = run, guardian
        self._patterns = [str(one) for one in run.config.getini("lava_files")]
        self._arches = tuple(dict.fromkeys(target.request.arch for target in run.plan.targets))
        run.config.stash[_FACE] = self
        self._check_arguments(run.config)

    def _check_arguments(self, config: pytest.Config) -> None:
        """What is wrong in a script that was named is told now, before a board is touched."""
        wrong = []
        for argument in config.args:
            path = config.invocation_params.dir / argument.partition("::")[0]
            if path.is_file() and is_script(path):
                try:
                    self.take(path)
                except ConfigurationError as error:
                    wrong.append(str(error))
        if wrong:
            raise pytest.UsageError("\n".join(dict.fromkeys(wrong)))

    def take(self, path: Path) -> Script:
        """A script, fit for the boards of this run. ``ConfigurationError``."""
        return take_script(path, self._arches)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """No other scripts: a kernel tree has hundreds."""
        if parent.session.isinitpath(file_path) or self._matches(file_path):
            return ScriptFile.from_parent(parent, path=file_path) if is_script(file_path) else None
        return None

    def _matches(self, path: Path) -> bool:
        root = self._run.config.rootpath
        return path.is_relative_to(root) and any(
            fnmatch(str(path.relative_to(root)), pattern) for pattern in self._patterns
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """What ``--script-args`` says."""
        return self._run.plan.out_of_tree.script_args

    def execute(self, item: pytest.Item, script: Script, shell: Any) -> None:
        """Run it on the item's board."""
        __tracebackhide__ = True
        run, target = self._run, target_of(item)
        assert run.boards is not None
        assert target is not None
        command = item.stash[COMMAND] = CommandRun(shlex.join([script.name, *self.arguments]))
        board = run.boards.ready(target)
        try:
            result = run_script(
                shell,
                script,
                self.arguments,
                run.plan.command_timeout,
                local=board.config.model.console.url.startswith("exec:"),
                guard=self._guardian.command,
                quiet=board.console.typed.aside,
            )
        except (CommandTimeout, TestTimeout) as error:
            command.stdout = error.evidence.encode(errors="surrogateescape")
            raise
        take_result(command, result)


class ScriptFile(pytest.Module):
    """A script with the one function that runs it."""

    def _getobj(self) -> types.ModuleType:
        face = self.config.stash[_FACE]
        try:
            script = face.take(self.path)
        except ConfigurationError as error:
            raise self.CollectError(str(error)) from None
        module = types.ModuleType(self.path.stem)
        module.__file__ = str(self.path)
        name = slug(self.path.stem)
        command = shlex.join([script.name, *face.arguments])
        setattr(module, name, as_command(made_function(_body(script), name, str(self.path)), command, script.name))
        return module


def _body(script: Script) -> Callable[..., None]:
    def body(request: pytest.FixtureRequest, shell: Any) -> None:
        __tracebackhide__ = True
        request.node.config.stash[_FACE].execute(request.node, script, shell)

    return body
