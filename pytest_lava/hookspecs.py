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
    from pytest_lava.registry import Registry

__all__ = ["hookimpl", "hookspec", "lava_register"]

hookspec = pluggy.HookspecMarker("pytest_lava")
hookimpl = pluggy.HookimplMarker("pytest_lava")


@hookspec
def lava_register(registry: Registry) -> None:
    """Add drivers, named the way board files name them: ``registry.add("power", "myrelay", MyRelay)``.

    Called once, when the first driver is looked up. Kinds are ``power``, ``boot`` and ``deploy``.
    A driver may be given as the string ``"module:attribute"``, which is imported only when a board uses it.
    A name that is taken raises :class:`pytest_lava.errors.ConfigurationError`.
    """
