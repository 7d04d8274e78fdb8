"""LAVA jobs in a plan: on which board each stage runs, with which files, and how its board is to boot them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pytest_lava.boot.login import LoginBoot
from pytest_lava.config.boards import BoardConfig, BoardFiles, DriverChoice
from pytest_lava.config.model import Defaults
from pytest_lava.deploy.drives import Drive
from pytest_lava.errors import ConfigurationError
from pytest_lava.jobs.job import Deployed, Job, Login, Stage
from pytest_lava.plan import OfJob, Target

if TYPE_CHECKING:
    from pytest_lava.planning.mistakes import Mistakes
    from pytest_lava.planning.planner import Options

__all__ = ["Want", "distinct", "wanted"]

#: the parts of a boot, none of which may take longer than the whole
_STEPS = ("bootloader", "kernel", "login", "boot")


def _as_it_is(board: BoardConfig) -> BoardConfig:
    return board


@dataclass(frozen=True)
class Want:
    """Targets that are wanted: what options say, or what a stage of a job says in their place. ``fit`` makes of a board
    file what the job needs; ``additions`` are the job's own."""

    options: Options
    job: OfJob | None = None
    fit: Callable[[BoardConfig], BoardConfig] = _as_it_is
    additions: tuple[tuple[str, str], ...] = ()


def wanted(options: Options, jobs: Sequence[Job], files: BoardFiles, mistakes: Mistakes, *, plain: bool) -> list[Want]:
    """Of all stages of all jobs, and ``plain`` ones for whatever else is to run."""
    found = [Want(options)] if plain else []
    for job in jobs:
        boards = options.boards or mistakes.collect(_boards_for, job, files) or ()
        for stage in job.stages if boards else ():
            found.append(
                Want(
                    _options(options, boards, stage.deployed),
                    OfJob(stage.key, job.path, job.attributes),
                    _Fitting(stage),
                    stage.deployed.overlays,
                )
            )
    return found


def distinct(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The same with ids that differ: stages of jobs run on the same board one after the other."""
    seen: set[str] = set()
    found = []
    for target in targets:
        name, number = target.id, 2
        while name in seen:
            name, number = f"{target.id}-{number}", number + 1
        seen.add(name)
        found.append(replace(target, id=name))
    return tuple(found)


def _boards_for(job: Job, files: BoardFiles) -> tuple[str, ...]:
    """The board of a job for which none was named."""
    where, name = job.path, job.device_type
    if not name:
        raise ConfigurationError(f"{where}: the job names no 'device_type', so add --board=NAME")
    if name in files.names():
        return (name,)
    serving = files.serving(name)
    fitting = [board for board in serving if not job.arch or files.load(board).arch == job.arch]
    if not fitting:
        arch = f" of architecture {job.arch}" if serving else ""
        raise ConfigurationError(
            f"{where}: no board file{arch} serves device type {name!r}: add --board=NAME, or lava_device_types = "
            f'["{name}"] to a board file'
        )
    if len(fitting) > 1:
        raise ConfigurationError(
            f"{where}: {', '.join(fitting)} all serve device type {name!r}: choose one with --board=NAME"
        )
    return (fitting[0],)


def _options(options: Options, boards: tuple[str, ...], deployed: Deployed) -> Options:
    """The job's files where the command line names none: *my kernel in that job* is one option."""
    own = bool(options.kernels or options.kernel_trees)
    initrd, dtb = options.initrd or deployed.initrd, options.dtb or deployed.dtb
    modules = options.modules or ("" if own else deployed.modules)
    kernels = options.kernels
    if not own:
        kernels = (deployed.kernel,) if deployed.kernel else ()
    elif len(options.kernels) + len(options.kernel_trees) > 1:
        # what goes with each of several is written behind each
        more = "".join(f",{key}={value}" for key, value in (("initrd", initrd), ("dtb", dtb)) if value)
        kernels = tuple(text if ",initrd=" in text else f"{text}{more}" for text in kernels)
        initrd = dtb = ""
    images = options.images or tuple(f"{part}={text}" for part, text in deployed.images.items())
    return replace(
        options,
        boards=boards,
        kernels=kernels,
        images=images,
        initrd=initrd or None,
        dtb=dtb or None,
        modules=modules or None,
        append=" ".join(filter(None, [deployed.append, options.append])),
    )


class _Fitting:
    """Makes a board file what a stage needs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __call__(self, board: BoardConfig) -> BoardConfig:
        """The board with the job's login, limits and tries; as QEMU's machine, also with what the job says of that."""
        stage, model = self._stage, board.model
        booted, deployed = stage.booted, stage.deployed
        changes: dict[str, Any] = {
            "login": model.login.model_copy(update=_login(booted.login, model.login.shell_prompt)),
            "timeouts": model.timeouts.model_copy(update=_limits(stage)),
            "retry": model.retry.model_copy(update=_tries(stage)),
        }
        if not booted.direct or board.power.method != "qemu" or board.deploy.method != "qemu":
            return replace(board, model=model.model_copy(update=changes))
        if not deployed.empty:
            changes |= {"defaults": Defaults(), "kernels": ()}
        board = replace(board, model=model.model_copy(update=changes))
        board = replace(board, power=_power(board, deployed))
        return board if deployed.empty else _direct(board, deployed)


def _login(login: Login, prompt: str) -> dict[str, Any]:
    """``prompt`` is the board's own, which counts too: a job may be run with other files than its own."""
    found: dict[str, Any] = {
        "login_prompt": login.login_prompt,
        "user": login.user,
        "password_prompt": login.password_prompt,
        "password": login.password,
    }
    found = {key: value for key, value in found.items() if value is not None}
    if login.prompts:
        # LAVA's are looked for anywhere, and many a '#' is in the words of a kernel: only the last line is a prompt
        own = "|".join(f"(?:{one})" for one in login.prompts)
        found["shell_prompt"] = rf"(?:{own})[^\r\n]*\Z|(?:{prompt})"
    return {**found, **({"commands": login.commands} if login.commands else {})}


def _limits(stage: Stage) -> dict[str, float]:
    found: dict[str, float] = {}
    if limit := stage.deployed.limit:
        found |= {"deploy": limit, "fetch": limit}
    if limit := stage.booted.limit:
        found |= dict.fromkeys(_STEPS, limit)
    return found


def _tries(stage: Stage) -> dict[str, int]:
    found = {"deploy": stage.deployed.tries, "boot": stage.booted.tries}
    return {key: value for key, value in found.items() if value}


def _power(board: BoardConfig, deployed: Deployed) -> DriverChoice:
    """QEMU with the memory and the processors of the job."""
    options, qemu = board.power.options, deployed.qemu
    changes: dict[str, Any] = {"cpu": qemu.cpu, "machine": qemu.machine, "smp": qemu.smp}
    changes["memory"] = _memory(qemu.memory)
    changes = {key: value for key, value in changes.items() if value is not None}
    if changes.get("cpu") == "host":
        del changes["cpu"]  # only of KVM, which the board's own serves where it is
    if qemu.emulate:
        changes["accel"] = tuple(name for name in options.accel if not name.startswith("kvm")) or ("tcg",)
    if qemu.arguments:
        changes["arguments"] = (*options.arguments, *qemu.arguments)
    return replace(board.power, options=options.model_copy(update=changes))


def _memory(text: str | None) -> str | None:
    """QEMU's own unit is the megabyte."""
    return f"{text}M" if text and text.isdecimal() else text


def _direct(board: BoardConfig, deployed: Deployed) -> BoardConfig:
    """QEMU starts the kernel itself, or what is on its drives; its firmware is that of the machine."""
    drives = {part: _drive(board, deployed.qemu.drives.get(part, "")) for part in deployed.images}
    words = board.deploy.options.append.split()
    if "console=" in deployed.append:  # the job says how much its kernel is to say, and where
        words = [word for word in words if not word.startswith(("loglevel=", "quiet"))]
    options = board.deploy.options.model_copy(update={"kernel": "direct", "append": " ".join(words), "drives": drives})
    firmware = "-bios" in deployed.qemu.arguments or "bios" in deployed.qemu.drives.values()
    power = board.power.options.model_copy(update={"bios": None} if deployed.kernel or firmware else {})
    return replace(
        board,
        deploy=replace(board.deploy, options=options),
        power=replace(board.power, options=power),
        boot=DriverChoice("login", LoginBoot, LoginBoot.Options()),
    )


def _drive(board: BoardConfig, device: str) -> Drive:
    """Without a device it is the one that QEMU's machine takes by itself: a disk of a PC, virtio elsewhere."""
    own: Drive = board.deploy.options.drive
    if device == "virtio" or (not device and board.arch not in ("x86", "x86_64")):
        return own
    try:
        return Drive(device=device or "ide")
    except ValidationError:
        raise ConfigurationError(f"the drive {device!r} of the job is none that QEMU is given here") from None
