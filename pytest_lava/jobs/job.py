"""A LAVA job as data: what is deployed, how it is booted, and what then runs, in stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lava.jobs.qemu_arguments import QemuSettings
from pytest_lava.jobs.runs import Goal
from pytest_lava.suites.api import Suite

__all__ = ["Booted", "Deployed", "Job", "Login", "Stage", "stage_key"]


@dataclass(frozen=True)
class Deployed:
    """Artefacts as :class:`~pytest_lava.images.artefact.Artefact` reads them; ``""`` for what there is not.

    ``images`` are by the names of their parts, ``overlays`` pairs of an option (``--overlay``, ``--file``) and what it
    says. ``limit`` is in seconds.
    """

    kernel: str = ""
    initrd: str = ""
    dtb: str = ""
    modules: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    overlays: tuple[tuple[str, str], ...] = ()
    append: str = ""
    qemu: QemuSettings = field(default_factory=QemuSettings)
    limit: float | None = None
    tries: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is brought to the board."""
        return not (self.kernel or self.initrd or self.dtb or self.modules or self.images)


@dataclass(frozen=True)
class Login:
    """``None`` for what the board file says. Prompts are regular expressions."""

    prompts: tuple[str, ...] = ()
    login_prompt: str | None = None
    user: str | None = None
    password_prompt: str | None = None
    password: str | None = field(default=None, repr=False)
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Booted:
    """How far a board boots: to a shell, to its boot loader, or only so far that its kernel runs. ``limit``: seconds.

    ``direct``: QEMU starts the kernel itself.
    """

    goal: Goal = "shell"
    direct: bool = False
    login: Login = field(default_factory=Login)
    limit: float | None = None
    tries: int | None = None


@dataclass(frozen=True)
class Stage:
    """What is deployed once, how it is booted, and what runs then. ``key`` names it in the whole run."""

    key: str
    deployed: Deployed
    booted: Booted
    suites: tuple[Suite, ...] = ()


@dataclass(frozen=True)
class Job:
    """A job, valid. ``limit`` is in seconds, of all of it; ``remarks`` are what a person should know of it."""

    name: str
    path: Path
    device_type: str
    stages: tuple[Stage, ...]
    arch: str = ""
    limit: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def suites(self) -> tuple[Suite, ...]:
        """All that runs, in order."""
        return tuple(suite for stage in self.stages for suite in stage.suites)


def stage_key(path: Path, number: int) -> str:
    """The name of a job's stage; the first is 1."""
    return f"{path}#{number}"
