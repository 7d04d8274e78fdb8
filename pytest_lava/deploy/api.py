"""The seam between an image or kernel and a board: ``Deploy``, and what boot methods learn from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import Guard, Power

__all__ = ["Deploy", "DeployContext", "Deployment", "Prompt"]


class Prompt(Protocol):
    """What a deploy driver may do at the prompt of a boot loader."""

    def run(self, command: str, *, timeout: float = 30.0) -> str:
        """Run a command and return what it printed. ``OperationFailed`` or ``Timeout``."""

    def start(self, command: str) -> None:
        """Run a command that does not come back by itself, such as ``ums 0 mmc 0``."""


def _no_prompt() -> Prompt:
    raise ConfigurationError("this board has no boot loader to stop at")


@dataclass(frozen=True)
class DeployContext:
    """What a deploy driver is given: names, the folder its relative paths start from, and what it may use.

    ``shelf`` keeps what is made once. ``console`` is the URL of the serial line. ``prompt`` switches the board on and
    stops it in its boot loader; the board is switched off again after the deployment.
    """

    board: str
    folder: Path
    power: Power
    events: EventLog
    guard: Guard
    shelf: Shelf
    console: str = ""
    prompt: Callable[[], Prompt] = _no_prompt


@dataclass(frozen=True)
class Deployment:
    """What was deployed. ``files`` are the placeholders of boot scripts: ``{kernel}``, ``{initrd}``, ``{append}``..."""

    kernel: KernelPlan | None = None
    image: ImagePlan | None = None
    files: Mapping[str, str] = field(default_factory=dict)


class Deploy(Protocol):
    """Brings kernel and image to a board that is switched off.

    A driver is made with its options and a :class:`DeployContext`, which must not change anything. Its class says by
    ``takes_kernel`` and ``takes_image`` whether ``--kernel`` and ``--image`` can be honoured.
    """

    def check(self, kernel: bool, images: Collection[str]) -> None:
        """Whether what the user gave can be deployed, seen without it and without touching the board.

        ``kernel``: whether there is one; ``images``: names of the images (``""`` for one without). Raises
        ``ConfigurationError``, also for what is missing on this machine.
        """

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Raises ``DeployFailed``, or an ``InfrastructureError`` if the lab is at fault. May be called again."""

    def close(self) -> None:
        """The board is not used any more: take away what was put up for it. May be called again."""
