"""An emulated board: QEMU as power switch, drive bay and serial line in one."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, PowerError
from pytest_lava.power import _qemu_state
from pytest_lava.power._qemu_inputs import digest_of
from pytest_lava.power._qemu_process import CONSOLE, QemuProcess
from pytest_lava.power.api import PowerContext
from pytest_lava.power.qmp import Qmp

__all__ = ["QemuMachine", "kvm_usable"]

_PACKAGES = {
    "aarch64": "qemu-system-arm",
    "arm": "qemu-system-arm",
    "i386": "qemu-system-x86",
    "mips": "qemu-system-mips",
    "mipsel": "qemu-system-mips",
    "ppc": "qemu-system-ppc",
    "ppc64": "qemu-system-ppc",
    "riscv32": "qemu-system-misc",
    "riscv64": "qemu-system-misc",
    "s390x": "qemu-system-misc",
    "x86_64": "qemu-system-x86",
}
#: what this machine calls itself -> the emulators that KVM can serve here
_NATIVE = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}


class QemuMachine:
    """Implements ``Power``, ``ProvidesConsole``, ``TakesMedia`` and ``KeepsState`` of :mod:`pytest_lava.power.api`.

    QEMU runs in a session of its own, so Ctrl-C does not reach it, and dies with us: by PDEATHSIG and by the guardian.
    Relative paths in its arguments start at the folder of the board file.
    """

    class Options(BaseModel):
        """The ``[power]`` table of an emulated board.

        ``binary`` is a name on the PATH or a path; ``machine`` is QEMU's ``-M``; ``cpu`` serves emulation (KVM on ARM
        always takes ``host``); ``memory`` is ``-m``; ``arguments`` are added as they are; those of ``accel`` that
        can work here are tried in turn; ``bios`` is firmware, a path or a name that QEMU knows; ``console`` are the
        arguments that put the character device ``console`` to use, ``network`` those that give it a network;
        ``snapshot = false`` says that the machine's state cannot be kept (not all of QEMU's can).
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        binary: str = Field(default="qemu-system-aarch64", min_length=1)
        machine: str = Field(min_length=1)
        cpu: str | None = None
        memory: str = "512M"
        smp: int = Field(default=1, ge=1)
        arguments: tuple[str, ...] = ()
        accel: tuple[str, ...] = Field(default=("kvm", "tcg"), min_length=1)
        bios: str | None = None
        console: tuple[str, ...] = ("-serial", f"chardev:{CONSOLE}")
        network: tuple[str, ...] = ()
        snapshot: bool = True

    def __init__(self, options: Options, context: PowerContext) -> None:
        self._options = options
        self._context = context
        self._media: tuple[str, ...] = ()
        self._running: QemuProcess | None = None
        self._argv: Sequence[str] = ()

    def check(self) -> None:
        """``ConfigurationError`` if QEMU or the firmware is not installed, or nothing of ``accel`` can work here."""
        self._binary()
        bios = self._options.bios
        if bios and "/" in bios and not (self._context.folder / bios).is_file():
            hint = "; on Debian: apt-get install u-boot-qemu" if bios.startswith("/usr/lib/u-boot/qemu") else ""
            raise ConfigurationError(f"the firmware of board {self._context.board} is missing: {bios}{hint}")
        if not self.accelerators():
            raise ConfigurationError(
                f"nothing of power.accel = {list(self._options.accel)} works on this machine for board "
                f'{self._context.board}: add "tcg"'
            )

    def accelerators(self) -> tuple[str, ...]:
        """Those of ``accel`` that can work on this machine, in order."""
        binary = self._options.binary
        return tuple(name for name in self._options.accel if name.split(",")[0] != "kvm" or kvm_usable(binary))

    def insert(self, arguments: Sequence[str]) -> None:
        """Use these arguments (drives, kernel) from the next power-on, in place of those given before."""
        self._media = tuple(arguments)

    def on(self, deadline: Deadline) -> None:
        """Start QEMU, unless it runs. Returns when the process is there; its console tells how it goes on."""
        if self._running is not None:
            if self._running.alive:
                return
            self._running.end(deadline)
        self._start(self._command_line())

    def off(self, deadline: Deadline) -> None:
        """Kill QEMU: as sudden for the guest as a cut of the power."""
        if self._running is not None:
            running = self._running
            running.end(deadline)
            self._running = None
            self._context.events.emit("power off", pid=running.pid)

    def cycle(self, deadline: Deadline) -> None:
        """Off and on: a new process with a new console."""
        self.off(deadline)
        self.on(deadline)

    def console(self) -> Transport:
        """The line of the running board; whoever asks closes it. ``PowerError`` if the board is off."""
        return self._machine().console()

    @property
    def keeps_state(self) -> bool:
        """Whether the board file lets the machine's state be kept."""
        return self._options.snapshot

    def identity(self, cache: Path) -> str:
        """A hash of QEMU, its arguments and all files that they name."""
        return digest_of(self._command_line(), self._context.folder, cache)

    def keep(self, folder: Path, deadline: Deadline) -> None:
        """Write the state of the running machine into ``folder``."""
        _qemu_state.keep(self.qmp, self._argv, folder, deadline)

    def restore(self, folder: Path, deadline: Deadline) -> None:
        """Start QEMU with that state: always a new process, as one whose console was closed ends."""
        self.off(deadline)
        self._start(_qemu_state.arguments_for(self._command_line(), folder))
        _qemu_state.load(self.qmp, folder, deadline)

    @property
    def qmp(self) -> Qmp:
        """The monitor of the running board; ``PowerError`` if it is off."""
        return self._machine().qmp

    @property
    def pid(self) -> int | None:
        """The process id of QEMU; None while the board is off."""
        return self._running.pid if self._running else None

    def reset(self, deadline: Deadline) -> None:
        """Press the reset button; process and console stay."""
        self.qmp.reset(deadline)

    def pause(self, deadline: Deadline) -> None:
        """Freeze the board: a perfect hang."""
        self.qmp.pause(deadline)

    def resume(self, deadline: Deadline) -> None:
        """End a :meth:`pause`."""
        self.qmp.resume(deadline)

    def _start(self, argv: Sequence[str]) -> None:
        context = self._context
        self._running = QemuProcess(argv, board=context.board, folder=context.folder, guard=context.guard)
        self._argv = argv
        context.events.emit("power on", pid=self._running.pid, command=shlex.join(argv))

    def _machine(self) -> QemuProcess:
        if self._running is None:
            raise PowerError(f"board {self._context.board} is off: switch it on first")
        return self._running

    def _binary(self) -> str:
        binary = self._options.binary
        found = shutil.which(str(self._context.folder / binary) if "/" in binary else binary)
        if found is None:
            package = _PACKAGES.get(_target(binary), "qemu-system")
            raise ConfigurationError(
                f"QEMU is not installed: {binary} was not found; on Debian: apt-get install {package}"
            )
        return found

    def _command_line(self) -> list[str]:
        options, accelerators, cpu = self._options, self.accelerators(), self._options.cpu
        if accelerators[:1] == ("kvm",) and platform.machine() == "aarch64":
            cpu, accelerators = "host", accelerators[:1]  # KVM on ARM knows no other, and TCG does not know this one
        argv = [self._binary(), "-name", f"lava-{self._context.board}", "-M", options.machine]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-m", options.memory, "-smp", str(options.smp)]
        argv += ["-cpu", cpu] if cpu else []
        for name in accelerators:
            argv += ["-accel", name]
        if options.bios:
            local = self._context.folder / options.bios
            argv += ["-bios", str(local) if local.is_file() else options.bios]
        return [*argv, *options.console, *options.network, *options.arguments, *self._media]


def kvm_usable(binary: str) -> bool:
    """Whether KVM can run what ``binary`` emulates: same architecture, ``/dev/kvm`` open to us, hardware support.

    QEMU's own fallback (``-accel kvm -accel tcg``) sees only whether KVM can be opened. Virtualisation in software
    (kvm-pvm in a cloud machine without nested virtualisation) lets QEMU start and the guest then hangs before its
    first byte; there the processor shows neither ``vmx`` nor ``svm``.
    """
    machine = platform.machine()
    if _target(binary) not in _NATIVE.get(machine, ()):
        return False
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    if machine == "x86_64":
        with contextlib.suppress(OSError), Path("/proc/cpuinfo").open("rb") as file:
            for line in file:
                if line.startswith(b"flags"):
                    return bool({b"vmx", b"svm"} & set(line.split()))
        return False
    return True


def _target(binary: str) -> str:
    return Path(binary).name.removeprefix("qemu-system-")
