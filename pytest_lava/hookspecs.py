"""What a third party may add. A distribution offers drivers by an entry point in the group ``pytest_lava``::

    [project.entry-points.pytest_lava]
    myrelays = "myrelays.lava"

whose module implements the hooks below with ``hookimpl = pluggy.HookimplMarker("pytest_lava")``.
A ``conftest.py`` may implement them too; pytest's face forwards them to the same manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pytest_lava.console.watch_pattern import PatternTable
    from pytest_lava.registry import Registry

__all__ = ["hookimpl", "hookspec", "lava_register", "lava_watch"]

hookspec = pluggy.HookspecMarker("pytest_lava")
hookimpl = pluggy.HookimplMarker("pytest_lava")


@hookspec
def lava_register(registry: Registry) -> None:
    """Add drivers, named the way board files name them: ``registry.add("power", "myrelay", MyRelay)``.

    Called once, when the first driver is looked up. Kinds are ``power``, ``boot``, ``deploy`` and ``sink``.
    A driver may be given as the string ``"module:attribute"``, which is imported only when a board uses it.
    A name that is taken raises :class:`pytest_lava.errors.ConfigurationError`.
    """


@hookspec
def lava_watch(table: PatternTable) -> None:
    """Add what the watch looks for on every console: ``table.add("myip", "warn", r"myip: timeout", source="myip.c")``.

    Called once, when the first board file is read. Classes are ``fatal`` (ends a wait with
    :class:`pytest_lava.errors.KernelCrash`), ``crash``, ``stall``, ``warn`` and ``boot`` (a board that starts; at a
    shell it ends a wait with :class:`pytest_lava.errors.UnexpectedReset`). The expression is searched in each line that
    holds the longest literal text in it. A board file switches one off by its name, with ``[watch] ignore``.
    A name that is taken, an unknown class or a wrong expression raises :class:`pytest_lava.errors.ConfigurationError`.
    """
