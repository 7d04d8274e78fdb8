"""The board files that a run sees, with the drivers and patterns of its plugins and conftest files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import board_folders
from pytest_lava.hookspecs import hookimpl
from pytest_lava.registry import Registry, plugin_manager

__all__ = ["board_files", "registry"]


def board_files(config: pytest.Config) -> BoardFiles:
    """Those of the project, the user and ours, nearest first."""
    roots = [Path(config.invocation_params.dir), config.rootpath]
    folders = list(dict.fromkeys(folder for root in roots for folder in board_folders(root)))
    folders.sort(key=lambda folder: folder.parent not in roots)  # stable: projects before user before shipped
    return BoardFiles(folders, registry(config))


def registry(config: pytest.Config) -> Registry:
    """Drivers and patterns: ours, those of plugins, and those of conftest files."""
    manager = plugin_manager()
    for plugin in config.pluginmanager.get_plugins():
        hooks = [hook for name in ("lava_register", "lava_watch") if (hook := getattr(plugin, name, None))]
        if not hooks or manager.is_registered(plugin):
            continue
        for hook in hooks:
            if not hasattr(hook, "pytest_lava_impl"):
                hookimpl(hook)  # in a conftest pytest's own hooks need no marker either
        manager.register(plugin)
    return Registry(manager)
