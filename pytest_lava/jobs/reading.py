"""LAVA v2 job files: read, checked whole, and taken apart into stages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.jobs.boot import read_boot
from pytest_lava.jobs.deploy import Deploying
from pytest_lava.jobs.job import Booted, Deployed, Job, Stage, stage_key
from pytest_lava.jobs.keys import PLACES
from pytest_lava.jobs.qemu_arguments import BadArgument, QemuSettings, read_arguments
from pytest_lava.jobs.runs import Block, BootSuite, JobSuite, Place
from pytest_lava.jobs.table import Table
from pytest_lava.jobs.tests import read_test
from pytest_lava.suites.api import Suite
from pytest_lava.suites.yamlfile import YamlFile

__all__ = ["take_job"]

_KINDS = ("deploy", "boot", "test")
#: LAVA's words for architectures -> ours
_ARCHES = {
    "amd64": "x86_64", "x86_64": "x86_64", "i386": "x86", "x86": "x86", "arm64": "arm64", "aarch64": "arm64",
    "arm": "arm", "armhf": "arm", "armv7": "arm", "riscv64": "riscv64",
}  # fmt: skip
#: names of LAVA's steps in ``timeouts: actions`` that limit a test
_STEPS = ("lava-test-shell", "lava-test-retry", "lava-test-monitor", "lava-test-interactive")


def take_job(file: YamlFile) -> Job:
    """The job in a file that is meant to be one; ``ConfigurationError`` has a line for each mistake."""
    return _Reader(file).job()


@dataclass
class _Growing:
    """A stage that is being read."""

    deployed: Deployed = field(default_factory=Deployed)
    booted: Booted | None = None
    suites: list[Suite] = field(default_factory=list)


class _Reader:
    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._table = Table(file, file.data)
        self._wrong: list[str] = []
        self._names: Counter[str] = Counter()
        self._stages: list[Stage] = []
        self._growing = _Growing()
        self._namespace = ""
        #: how the boot before was logged in to
        self._login: Booted | None = None

    def job(self) -> Job:
        table = self._table
        self._try(table.known, "job", PLACES["job"])
        name, device_type = self._try(table.needed, "job_name"), self._try(table.needed, "device_type")
        timeouts = self._try(table.table, "timeouts") or Table(self._file, {})
        limit, action = self._try(timeouts.seconds, "job"), self._try(timeouts.seconds, "action")
        steps = self._try(timeouts.table, "actions") or Table(self._file, {})
        test = next((found for step in _STEPS if (found := self._try(steps.seconds, step))), None) or action
        environment = self._try(table.strings, "environment") or {}
        context = self._try(table.table, "context") or Table(self._file, {})
        settings, append, extra = self._try(self._context, context) or (QemuSettings(), "", ())
        deploying = Deploying(extra)
        for kind, one in self._actions():
            self._try(self._check_namespace, one)
            if kind == "deploy":
                self._try(self._deploy, deploying, one, action)
            elif kind == "boot":
                self._try(self._boot, one, action)
            else:
                self._try(self._test, one, test, environment)
        self._close()
        if self._wrong:
            raise ConfigurationError("\n".join(dict.fromkeys(self._wrong)))
        if not self._stages:
            raise table.wrong("nothing of it runs on a board: there is no 'boot'", "actions")
        stages = [_completed(stage, settings, append) for stage in self._stages]
        return Job(
            name=name or "",
            path=self._file.path,
            device_type=device_type or "",
            stages=tuple(stages),
            arch=_ARCHES.get(context.text("arch"), ""),
            limit=limit,
            environment=environment,
            attributes=self._attributes(),
            remarks=tuple(self._remarks()),
        )

    def _try(self, step: Any, *arguments: object) -> Any:
        """What a step gives, or None and one mistake more."""
        try:
            return step(*arguments)
        except ConfigurationError as error:
            self._wrong += str(error).splitlines()
            return None

    # -- actions ------------------------------------------------------------------------------------------------

    def _actions(self) -> Iterator[tuple[str, Table]]:
        for entry in self._try(lambda: list(self._table.tables("actions"))) or ():
            kinds = [str(kind) for kind in entry.data]
            if len(kinds) != 1 or kinds[0] not in _KINDS:
                what = "'command' runs programs of a LAVA server" if kinds == ["command"] else f"it has {kinds}"
                self._wrong.append(str(entry.wrong(f"an action is one of deploy, boot, test: {what}", *kinds[:1])))
                continue
            if (table := self._try(entry.table, kinds[0])) is not None:
                yield kinds[0], table

    def _check_namespace(self, table: Table) -> None:
        name = table.text("namespace")
        if self._namespace and name and name != self._namespace:
            raise table.wrong(
                f"a second namespace {name!r} beside {self._namespace!r}: a job has one board", "namespace"
            )
        self._namespace = self._namespace or name

    def _deploy(self, deploying: Deploying, table: Table, limit: float | None) -> None:
        if self._growing.booted is not None:
            self._close()
            self._growing = _Growing()
        self._growing.deployed = deploying.read(table, self._growing.deployed, limit)

    def _boot(self, table: Table, limit: float | None) -> None:
        if self._growing.booted is not None:
            deployed = self._growing.deployed
            self._close()
            self._growing = _Growing(deployed)
        self._growing.booted = Booted()  # also if it is a wrong one
        self._growing.booted = self._login = read_boot(table, limit, self._login)

    def _test(self, table: Table, limit: float | None, environment: dict[str, str]) -> None:
        growing = self._growing
        goal = growing.booted.goal if growing.booted is not None else "shell"
        suites = read_test(table, bootloader=goal == "bootloader")
        if growing.booted is None:
            raise table.wrong("there is no 'boot' before this 'test'")
        wanted = {"kernel": "monitors", "bootloader": "interactive"}.get(goal, "")
        if wanted and wanted not in table:
            what = "the boot loader" if goal == "bootloader" else "its kernel, without 'prompts' in 'boot'"
            raise table.wrong(f"the board boots to {what}, so only {wanted!r} can follow")
        skip = table.table("timeout").flag("skip")
        block = Block(f"{self._file.path}:{table.line()}", table.seconds("timeout") or limit, skip)
        place = Place(self._key, block, goal)
        for _ in range(table.number("repeat") or 1):
            growing.suites += [JobSuite(suite, self._free(suite.name), place, environment) for suite in suites]

    @property
    def _key(self) -> str:
        return stage_key(self._file.path, len(self._stages) + 1)

    def _free(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}-{self._names[name]}"

    def _close(self) -> None:
        """A stage ends; one without tests has booted."""
        growing = self._growing
        if growing.booted is not None:
            if not growing.suites:
                place = Place(self._key, Block(self._key), growing.booted.goal)
                boot = BootSuite(self._file.path)
                growing.suites.append(JobSuite(boot, self._free(boot.name), place, {}))
            self._stages.append(Stage(self._key, growing.deployed, growing.booted, tuple(growing.suites)))

    # -- the rest -----------------------------------------------------------------------------------------------

    def _context(self, table: Table) -> tuple[QemuSettings, str, tuple[str, ...]]:
        """Settings of QEMU, kernel arguments, and more arguments of QEMU that belong to images."""
        if (arch := table.text("arch")) and arch not in _ARCHES:
            raise table.wrong(f"the architecture {arch!r} is none of {', '.join(_ARCHES)}", "arch")
        memory = table.text("memory").upper()
        if memory and not re.fullmatch(r"\d+[KMGT]?", memory):
            raise table.wrong(f"{memory!r} is no size of a memory", "memory")
        extra = table.texts("extra_options")
        try:
            read_arguments(extra, alone=True)
        except BadArgument as error:
            raise table.wrong(f"'extra_options' are not supported: {error}", "extra_options") from None
        words = [*table.texts("extra_kernel_args"), *table.texts("custom_kernel_args")]
        if level := table.text("kernel_loglevel"):
            words.append(f"loglevel={level}")
        settings = QemuSettings(
            memory=memory or None,
            cpu=table.text("cpu") or None,
            machine=table.text("machine") or None,
            emulate=table.text("no_kvm").lower() == "true",
        )
        return settings, " ".join(words), extra

    def _attributes(self) -> dict[str, str]:
        """Metadata that is text, and what job it was."""
        found = {}
        for name, value in self._table.table("metadata").data.items():
            if value is not None and not isinstance(value, (dict, list)):
                found[f"job.{name}"] = str(value)
        return {**found, "job_name": self._table.text("job_name"), "job_device_type": self._table.text("device_type")}

    def _remarks(self) -> Iterator[str]:
        if "secrets" in self._table:
            yield f"{self._file.path.name}: the secrets of the job are not sent to the board"
        if any("docker" in entry.table("boot") for entry in self._table.tables("actions")):
            yield f"{self._file.path.name}: the QEMU of this machine is started, not that of the job's container"


def _completed(stage: Stage, settings: QemuSettings, append: str) -> Stage:
    """With what the context says, where nothing of the deployed files says otherwise."""
    deployed, own = stage.deployed, stage.deployed.qemu
    qemu = replace(
        own,
        memory=own.memory or settings.memory,
        cpu=own.cpu or settings.cpu,
        machine=own.machine or settings.machine,
        emulate=own.emulate or settings.emulate,
    )
    words = " ".join(filter(None, [deployed.append, append]))
    return replace(stage, deployed=replace(deployed, append=words, qemu=qemu))
