"""Fixtures are views: what is expensive lives in the board's manager, outside pytest's fixture cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_lava.boot.api import Bootloader
    from pytest_lava.console.shell import Shell
    from pytest_lava.plan import ImagePlan, KernelPlan, Target
    from pytest_lava.plugin.boards.boards import BoardView
    from pytest_lava.plugin.reporting.attaching import RecordFile
    from pytest_lava.plugin.reporting.measuring import RecordMeasurement

__all__ = [
    "board",
    "bootloader",
    "image",
    "kernel",
    "lava_booting",
    "lava_shell",
    "lava_target",
    "record_file",
    "record_measurement",
    "shell",
]


@pytest.fixture(scope="session")
def lava_target(request: pytest.FixtureRequest) -> Target:
    """The (board, kernel, image) that this item runs on; the one parameter by which items are grouped."""
    target: Target | None = getattr(request, "param", None)
    if target is None:
        pytest.fail(
            "request.getfixturevalue() comes too late to choose a board: put 'board' or 'shell' into the "
            "test's parameters",
            pytrace=False,
        )
    return target


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest, lava_target: Target) -> BoardView:
    """The board: leased, and deployed with the kernel and image of this run.

    ``board.shell`` and ``board.bootloader`` serve fixtures of wider scope; ``board.on_boot`` registers what must be
    done after each boot, recovery included. A board that cannot be had skips its items with the root cause.
    """
    from pytest_lava.plugin.boards.boards import Boards

    return request.config.stash[Boards.key].view(lava_target)


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest, lava_target: Target) -> KernelPlan | None:
    """The kernel under test: ``kernel.name``, ``kernel.file.release``; None if the board boots its own."""
    from pytest_lava.plugin.boards.boards import Boards

    return request.config.stash[Boards.key].prepared(lava_target).kernel


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, lava_target: Target) -> ImagePlan | None:
    """The deployed image: ``image.name``, ``image.sha256``; None if there is none."""
    from pytest_lava.plugin.boards.boards import Boards

    return request.config.stash[Boards.key].prepared(lava_target).image


@pytest.fixture
def shell(request: pytest.FixtureRequest, board: BoardView, lava_target: Target) -> Shell:
    """A live command line on the booted board; if the board died, it is recovered first."""
    from pytest_lava.plugin.boards.boards import Boards

    return request.config.stash[Boards.key].shell(lava_target)


@pytest.fixture
def lava_shell(shell: Shell) -> Shell:
    """``shell`` under a name that no other plugin has."""
    return shell


@pytest.fixture
def bootloader(request: pytest.FixtureRequest, board: BoardView, lava_target: Target) -> Bootloader:
    """The boot loader's prompt; the board is restarted to get there."""
    from pytest_lava.plugin.boards.boards import Boards

    return request.config.stash[Boards.key].bootloader(lava_target)


@pytest.fixture
def record_file(request: pytest.FixtureRequest, shell: Shell) -> RecordFile:
    """Make a file part of the test's result: ``record_file("/tmp/trace.dat")`` brings it from the board.

    ``record_file.here(path)`` takes one of this machine, ``record_file.content(name, text)`` what the test made itself.
    """
    from pytest_lava.plugin.reporting.attaching import Attaching, RecordFile

    return RecordFile(request.config.stash[Attaching.key], request.node)


@pytest.fixture
def lava_booting(request: pytest.FixtureRequest, board: BoardView, lava_target: Target) -> None:
    """A board whose kernel was started and that nobody logs in to, for the monitors of LAVA jobs."""
    from pytest_lava.plugin.boards.boards import Boards

    request.config.stash[Boards.key].kernel(lava_target)


@pytest.fixture
def record_measurement(request: pytest.FixtureRequest) -> RecordMeasurement:
    """Record a number: ``record_measurement("boot", 2.5, "s", high=10)``; out of bounds it fails the test at its end.

    Each is a result of its own in the bundle, ``TEST.NAME``, and a property in JUnit. It needs no board.
    """
    from pytest_lava.plugin.reporting.measuring import measuring

    return measuring(request.node)
