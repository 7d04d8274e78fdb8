"""What plugins add to what is ours: drivers by kind and name, imported only when used, and patterns of the watch."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import pluggy

from pytest_lava import hookspecs
from pytest_lava.console.patterns import PATTERNS
from pytest_lava.console.watch_pattern import PatternTable, WatchPattern
from pytest_lava.errors import ConfigurationError

__all__ = ["Registry", "plugin_manager"]

_BUILTIN = {
    "power": {
        "none": "pytest_lava.power.none:NoPower",
        "command": "pytest_lava.power.command:CommandPower",
        "qemu": "pytest_lava.power.qemu:QemuMachine",
    },
    "boot": {
        "login": "pytest_lava.boot.login:LoginBoot",
        "uboot": "pytest_lava.boot.uboot:UBootBoot",
        "attach": "pytest_lava.boot.attach:AttachBoot",
    },
    "deploy": {
        "none": "pytest_lava.deploy.none:NoDeploy",
        "qemu": "pytest_lava.deploy.qemu:QemuDeploy",
        "tftp": "pytest_lava.deploy.tftp:TftpDeploy",
        "command": "pytest_lava.deploy.command:CommandDeploy",
    },
    "sink": {
        "file": "pytest_lava.sinks.folder:FileSink",
        "junit": "pytest_lava.sinks.folder:JunitSink",
        "http": "pytest_lava.sinks.http:HttpSink",
        "squad": "pytest_lava.sinks.squad:SquadSink",
        "kcidb": "pytest_lava.sinks.kcidb:KcidbSink",
        "dashboard": "pytest_lava.sinks.dashboard:DashboardSink",
    },
}


def plugin_manager() -> pluggy.PluginManager:
    """A manager that knows our hooks and has loaded the entry points of the group ``pytest_lava``."""
    manager = pluggy.PluginManager("pytest_lava")
    manager.add_hookspecs(hookspecs)
    manager.load_setuptools_entrypoints("pytest_lava")
    return manager


class Registry:
    """Finds a driver by kind and name."""

    def __init__(self, manager: pluggy.PluginManager | None = None) -> None:
        self._drivers: dict[str, dict[str, Any]] = {kind: dict(found) for kind, found in _BUILTIN.items()}
        self._manager = manager
        self._asked = manager is None
        self._patterns: PatternTable | None = None

    def add(self, kind: str, name: str, driver: Any) -> None:
        """Add ``driver`` (an object, or ``"module:attribute"``) under ``name``."""
        if kind not in self._drivers:
            raise ConfigurationError(f"there are no drivers of kind {kind!r}; kinds are {', '.join(self._drivers)}")
        if name in self._drivers[kind]:
            raise ConfigurationError(f"the {kind} method {name!r} exists already; give yours another name")
        self._drivers[kind][name] = driver

    def names(self, kind: str) -> list[str]:
        """The names that a board file may use for ``kind``."""
        self._ask_plugins()
        return sorted(self._drivers[kind])

    def get(self, kind: str, name: str) -> Any:
        """The driver, imported. Raises ``ConfigurationError`` with the nearest known name."""
        self._ask_plugins()
        known = self._drivers[kind]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown {kind} method {name!r}; {hint}")
        if isinstance(known[name], str):
            module, _, attribute = known[name].partition(":")
            known[name] = getattr(importlib.import_module(module), attribute)
        return known[name]

    def patterns(self) -> tuple[WatchPattern, ...]:
        """What the watch looks for: ours, and what plugins add. ``ConfigurationError`` if one of theirs is wrong."""
        if self._patterns is None:
            table = PatternTable(PATTERNS)
            if self._manager is not None:
                self._manager.hook.lava_watch(table=table)
            self._patterns = table
        return tuple(self._patterns)

    def _ask_plugins(self) -> None:
        if not self._asked and self._manager is not None:
            self._asked = True
            self._manager.hook.lava_register(registry=self)
