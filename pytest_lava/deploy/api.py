"""The seam between an image or kernel and a board: ``Deploy``, and what boot methods learn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import Power

__all__ = ["Deploy", "DeployContext", "Deployment"]


@dataclass(frozen=True)
class DeployContext:
    """What a deploy driver is given."""

    board: str
    folder: Path
    power: Power
    events: EventLog


@dataclass(frozen=True)
class Deployment:
    """What was deployed. ``files`` are the placeholders of boot scripts: ``{kernel}``, ``{initrd}``, ``{append}``..."""

    kernel: KernelPlan | None = None
    image: ImagePlan | None = None
    files: Mapping[str, str] = field(default_factory=dict)


class Deploy(Protocol):
    """Brings kernel and image to a board that is switched off."""

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Raises ``DeployFailed``, or an ``InfrastructureError`` if the lab is at fault."""
