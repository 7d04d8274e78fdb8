"""A board as a state machine: off, bootloader, kernel, shell, or lost; ``reach`` walks forward, only recovery back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from pytest_lava.board.blame import blamed
from pytest_lava.board.line import BoardLine
from pytest_lava.board.record import BootRecord
from pytest_lava.board.snapshots import snapshots_of
from pytest_lava.boot.api import Boot, BootContext, Bootloader
from pytest_lava.config.boards import BoardConfig
from pytest_lava.console.console import Console
from pytest_lava.console.files import Files, TakesFiles
from pytest_lava.console.shell import Shell
from pytest_lava.console.watch import FindingKind, Watch
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.deploy.api import Deploy, DeployContext, Deployment
from pytest_lava.errors import (
    BootFailed,
    ConfigurationError,
    ConsoleLost,
    Hang,
    InfrastructureError,
    KernelCrash,
    LavaError,
    OperationFailed,
    PowerError,
    Timeout,
    WrongKernel,
)
from pytest_lava.events import EventLog
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.shelf import Shelf
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import Guard, Power, PowerContext
from pytest_lava.transfer.api import Network, TransferPolicy

__all__ = ["Board", "BootRecord", "State"]

#: tells whether the kernel would answer SysRq: its silence then proves something. No fork; some shells read one byte
#: at a time, of which this file has only the first to give.
_SYSRQ = 'q=; { read -r q </proc/sys/kernel/sysrq; } 2>/dev/null; echo "$q"'
_PROBE = 5.0  # seconds that a shell has to show that it is alive
_LEAVE = 1.0  # seconds that a line has to take our farewell


class State(StrEnum):
    """Where a board is."""

    OFF = "off"
    BOOTLOADER = "bootloader"
    KERNEL = "kernel"
    SHELL = "shell"
    LOST = "lost"


class Board:
    """One board and all it takes to use it.

    ::

        board.deploy(kernel, None)
        board.reach(State.SHELL)
        board.shell.run("uname -a")
        board.close()
    """

    def __init__(
        self,
        config: BoardConfig,
        *,
        log: Path,
        guard: Guard,
        events: EventLog,
        transfer: TransferPolicy | None = None,
        shelf: Shelf | None = None,
        snapshots: bool = False,
    ) -> None:
        self.config = config
        self.name = config.name
        self.state = State.OFF
        self.boot_id = 0
        self.deployment = Deployment()
        self.last_boot: BootRecord | None = None
        self.events = events.bound(config.name, lambda: self.console.end)
        self._transfer = transfer or TransferPolicy()
        self._shell: Shell | None = None
        self._bootloader: Bootloader | None = None
        self._on_boot: list[Callable[[Board], None]] = []
        self._powered_at = monotonic()
        self._never_switched = True
        self._anew = False
        shelf = shelf or Shelf(cache_dir())
        base, url = config.path.parent, config.model.console.url
        self._power: Power = config.power.driver(
            config.power.options, PowerContext(config.name, base, guard, self.events)
        )
        self._deploy: Deploy = config.deploy.driver(
            config.deploy.options,
            DeployContext(config.name, base, self._power, self.events, guard, url, lambda: self.bootloader, shelf),
        )
        self.console = Console(log, watch=Watch(config.watch))
        self._line = BoardLine(config.name, config.model.console, self.console, self._power, guard)
        self.snapshots = snapshots_of(config, self._power, shelf, self.events) if snapshots else None
        self.console.on_mark = lambda text: self.events.emit(text, level="input")
        self._boot: Boot = config.boot.driver(
            config.boot.options,
            BootContext(config.name, self.console, config.model.login, self.events, config.model.timeouts.command),
        )

    # -- forward ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What can be seen without touching the board. ``ConfigurationError``."""
        self._power.check()

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None) -> None:
        """Bring kernel and image to the board, which is switched off for it.

        ``DeployFailed``, or an ``InfrastructureError``.
        """
        limit = Deadline.after(self.config.model.timeouts.deploy)
        if self.state is not State.OFF:
            self.power_off()
        with self.events.phase("deploy"):
            try:
                self.deployment = self._deploy.deploy(kernel, image, limit)
            except OSError as error:  # a file went, the disk is full
                raise InfrastructureError(f"cannot prepare what {self.name} is to boot: {error}") from error
            finally:
                if self.state is not State.OFF:  # it was needed in its boot loader
                    self.power_off()

    def reach(self, state: State) -> None:
        """Walk forward to ``bootloader`` or ``shell``. ``BootFailed`` or an ``InfrastructureError`` if it cannot."""
        try:
            if state is State.BOOTLOADER:
                self._reach_bootloader()
            elif state is State.SHELL:
                self._reach_shell()
            else:
                raise ValueError(f"cannot walk to {state}")
        except BaseException:  # an interrupt or a time limit leaves the board somewhere as well
            self.state, self._shell, self._bootloader = State.LOST, None, None
            raise

    @property
    def shell(self) -> Shell:
        """The command line of the booted board, for fixtures of wider scope."""
        if self._shell is None:
            self.reach(State.SHELL)
        assert self._shell is not None
        return self._shell

    @property
    def bootloader(self) -> Bootloader:
        """The boot loader's prompt."""
        if self._bootloader is None:
            self.reach(State.BOOTLOADER)
        assert self._bootloader is not None
        return self._bootloader

    def on_boot(self, callback: Callable[[Board], None]) -> Callable[[Board], None]:
        """Call ``callback(board)`` after each boot, also after recovery: for mounts and modules.

        A boot whose callback cannot do its work is a ``BootFailed``.
        """
        self._on_boot.append(callback)
        if self.state is State.SHELL:
            callback(self)
        return callback

    # -- health -------------------------------------------------------------------------------------------------

    @property
    def at_ease(self) -> bool:
        """Whether nothing speaks against the shell: its line is there, it does not hang, the watch found nothing."""
        return self.console.attached and self.console.hang is None and self.console.finding is None

    def answers(self) -> bool:
        """Whether the shell answers now; one command."""
        if self._shell is None or not self.console.attached:
            return False
        try:
            return self._shell.run("true", timeout=_PROBE).returncode == 0
        except Hang as hang:
            self.events.emit(f"the shell hangs: {hang}", level="warning", **hang.facts)
            return False
        except (Timeout, ConsoleLost, KernelCrash):
            return False

    def lose(self, why: str) -> None:
        """The board cannot be trusted any more: :meth:`recover` it before it is used again."""
        self.state = State.LOST
        self._shell = self._bootloader = None
        self.events.emit(f"board lost: {why}", level="warning")

    def recover(self, *, anew: bool = False) -> None:
        """Bring a lost board back: off, and on at the next ``reach``; ``anew``: by a boot, not by a snapshot."""
        self._anew = anew
        with self.events.phase("recovery"):
            if self._boot.attaches:
                self.state = State.OFF  # not ours to switch: ask again what is there
            else:
                self.power_off()

    # -- the end ------------------------------------------------------------------------------------------------

    def power_off(self) -> None:
        """Switch off; a board that is not ours to switch gets its line back. ``PowerError`` leaves the board lost."""
        shell, self._shell, self._bootloader = self._shell, None, None
        self.console.arm()
        if self._boot.attaches:
            if shell is not None:
                with contextlib.suppress(LavaError):
                    shell.leave(Deadline.after(_LEAVE))
            self.state = State.OFF
            return
        self.state = State.LOST
        if self._line.own:
            self._line.drop()
        if not self._line.is_process:
            self._power.off(Deadline.after(self.config.model.timeouts.power))
        self.console.mark_boundary()
        self.state = State.OFF

    def close(self) -> None:
        """Off, and the console closed. The power goes even if the console makes trouble, and the other way round."""
        with contextlib.ExitStack() as last:  # from its end to its beginning, each whatever became of the others
            last.callback(self.console.close)
            last.callback(self._line.drop)
            last.callback(self._deploy.close)
            if not self._never_switched:
                last.callback(self.power_off)

    # -- inside -------------------------------------------------------------------------------------------------

    def _reach_bootloader(self) -> None:
        if not self._boot.has_bootloader:
            raise ConfigurationError(f"board {self.name!r} has no boot loader to stop at; use the fixture 'shell'")
        if self.state is State.BOOTLOADER:
            return
        if self.state is not State.OFF:
            self.power_off()
        self._switch_on()
        with self.events.phase("boot.bootloader"):
            self._bootloader = self._boot.bootloader(Deadline.after(self.config.model.timeouts.bootloader))
        self.state = State.BOOTLOADER

    def _reach_shell(self) -> None:
        if self.state is State.SHELL:
            return
        if self.state is State.LOST:
            self.power_off()
        from_off = self.state is State.OFF
        start = self.console.end
        if from_off and self._resume():
            return
        if self._boot.has_bootloader and not self._boot.attaches:
            self._reach_bootloader()
        elif self.state is State.OFF:
            self._switch_on()
        limits = self.config.model.timeouts
        self.console.arm(FindingKind.FATAL)
        with self.events.phase("boot.kernel"), blamed(self.config, self.deployment, self.console):
            self._boot.kernel(self._bootloader, self.deployment, Deadline.after(limits.kernel))
        self.state, self._bootloader = State.KERNEL, None
        with self.events.phase("boot.login"), blamed(self.config, self.deployment, self.console):
            self._shell = self._boot.shell(Deadline.after(limits.kernel + limits.login))
            self._give_files(self._shell)
            record = self._record(self._shell, start)
        self._check_release(record)
        if from_off and self.snapshots:
            self.snapshots.keep(self._shell)
        self._arrive(self._shell, record)

    def _arrive(self, shell: Shell, record: BootRecord) -> None:
        self.console.arm(FindingKind.FATAL, FindingKind.BOOT)
        self._shell, self.state, self.last_boot, self._anew = shell, State.SHELL, record, False
        for callback in self._on_boot:
            self._prepare(callback)

    def _resume(self) -> bool:
        """Switch on in the state right after boot, if that was kept; else, or if it cannot be used, the board boots."""
        snapshots = self.snapshots
        snapshot = snapshots.find(self.deployment) if snapshots else None
        if snapshots is None or snapshot is None or self._anew:
            return False
        start, folder = self.console.end, snapshot.folder
        try:
            self._switch_on(lambda limit: snapshots.machine.restore(folder, limit))
            shell = snapshots.take_up(snapshot, self.console)
            self._give_files(shell)
            record = self._record(shell, start, snapshot.saved, snapshots.freshening(snapshot))
            self._check_release(record)
        except (LavaError, OSError) as error:
            snapshots.discard(folder, str(error))
            self.power_off()
            return False
        self.events.emit(f"resumed, not booted: the state of {record.resumed}", snapshot=folder.name)
        self._arrive(shell, record)
        return True

    def _give_files(self, shell: Shell) -> None:
        """Have ``put``, ``get`` and so on work. A shell that has files of its own keeps them."""

        def make() -> Files:
            from pytest_lava.transfer.shells import files_of  # many modules, and most runs move no file

            network = Network(**self.config.model.transfer.model_dump())
            return files_of(shell, self.console, network, self._transfer, self.events)

        if isinstance(shell, TakesFiles):
            shell.carry_files_by(make)

    def _prepare(self, callback: Callable[[Board], None]) -> None:
        try:
            callback(self)
        except (Hang, KernelCrash, OperationFailed, Timeout) as error:
            what = getattr(callback, "__name__", "callback")
            raise BootFailed(
                f"{what}, called after each boot of {self.name}, failed: {error}",
                evidence=error.evidence,
                responsiveness=error.responsiveness,
            ) from error

    def _record(self, shell: Shell, start: int, resumed: str = "", before: str = "") -> BootRecord:
        self.boot_id += 1
        # one fork; only the version has spaces
        done = shell.run(f"{before}uname -rvm; {_SYSRQ}", timeout=_PROBE * 4)
        if before and done.stderr:
            self.events.emit(f"clock or random numbers are those of {resumed}: {done.stderr.strip()}", level="warning")
        names, _, self.console.sysrq = done.stdout.strip().partition("\n")
        release, _, rest = names.partition(" ")
        version, _, machine = rest.rpartition(" ")
        seconds = monotonic() - self._powered_at
        return BootRecord(self.boot_id, seconds, release, version, machine, (start, self.console.end), resumed)

    def _check_release(self, record: BootRecord) -> None:
        kernel = self.deployment.kernel
        # the build tells apart two kernels of one release
        told = ((record.release, kernel.file.release), (record.version, kernel.file.build)) if kernel else ()
        for booted, deployed in told:
            if deployed and deployed != booted:
                raise WrongKernel(f"{self.name} booted another kernel than the one deployed: {booted}, not {deployed}")

    def _switch_on(self, restore: Callable[[Deadline], None] | None = None) -> None:
        limit = Deadline.after(self.config.model.timeouts.power)
        self.console.arm(FindingKind.FATAL)
        with self.events.phase("power"):
            if not self._line.own:
                self._line.attach_early()
            self.console.mark_boundary()
            self._powered_at = monotonic()
            first, self._never_switched = self._never_switched, False  # before: an interrupt may come in between
            if self._boot.attaches or self._line.is_process:
                pass  # nothing to switch: it runs already, or opening its line starts it
            elif restore is not None:
                restore(limit)
            elif first:
                self._first_power_on(limit)
            else:
                self._power.cycle(limit)
            if not self.console.attached:
                # nothing is switched on that could bring the line up later
                self._line.attach(Deadline.after(0) if self._boot.attaches else limit)

    def _first_power_on(self, limit: Deadline) -> None:
        """A board may have been left on: off first. That may fail where nothing is to be switched off."""
        try:
            self._power.off(limit)
        except PowerError as error:
            self.events.emit(f"could not switch off before the first power-on: {error}", level="warning")
            self._power.on(limit)
        else:
            self.console.mark_boundary()  # what the board said until now is no answer to us
            self._powered_at = monotonic()
            self._power.cycle(limit)
