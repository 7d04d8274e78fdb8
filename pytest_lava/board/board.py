"""A board as a state machine: off, bootloader, kernel, shell, or lost; ``reach`` walks forward, only recovery back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from pytest_lava.board.blame import blamed, in_a_hurry
from pytest_lava.board.carrying import give_files
from pytest_lava.board.line import BoardLine
from pytest_lava.board.record import Booted, BootRecord, Resumed, check_release, record_boot
from pytest_lava.board.revival import answers, await_restart, may_reset, own_restart, reset_by_kernel, shell_again
from pytest_lava.board.snapshots import snapshots_of
from pytest_lava.board.switching import Switch
from pytest_lava.boot.api import Boot, BootContext, Bootloader
from pytest_lava.config.boards import BoardConfig
from pytest_lava.console.console import Console
from pytest_lava.console.shell import Shell
from pytest_lava.console.watch import FindingKind, Watch
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.deploy.api import Deploy, DeployContext, Deployment
from pytest_lava.errors import (
    BootFailed,
    ConfigurationError,
    Hang,
    KernelCrash,
    LavaError,
    OperationFailed,
    Timeout,
    of_this_machine,
)
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import Guard, Power, PowerContext
from pytest_lava.transfer.api import TransferPolicy

__all__ = ["Board", "BootRecord", "State"]

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
        shelf: Shelf,
        transfer: TransferPolicy | None = None,
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
        #: whether the next way to a shell has to be a boot, which no snapshot stands for
        self.anew = False
        self._lost_shell: Shell | None = None
        #: no step takes longer than this, whatever limit it has of its own
        self.total: Deadline | None = None
        base, url = config.path.parent, config.model.console.url
        self._power: Power = config.power.driver(
            config.power.options, PowerContext(config.name, base, guard, self.events)
        )
        self._deploy: Deploy = config.deploy.driver(
            config.deploy.options,
            DeployContext(config.name, base, self._power, self.events, guard, shelf, url, lambda: self.bootloader),
        )
        self.console = Console(log, watch=Watch(config.watch))
        self._line = BoardLine(config.name, config.model.console, self.console, self._power, guard)
        self.snapshots = snapshots_of(config, self._power, shelf, self.events) if snapshots else None
        self.console.on_mark = lambda text: self.events.emit(text, level="input")
        login, limits = config.model.login, config.model.timeouts
        self._boot_context = BootContext(
            config.name, self.console, login, self.events, limits.command, self._line.tag, limits.silence
        )
        self._boot: Boot = config.boot.driver(config.boot.options, self._boot_context)
        self._switch = Switch(self._power, self._line, self.console, self.events, attaches=self._boot.attaches)

    # -- forward ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What can be seen without touching the board. ``ConfigurationError``."""
        self._power.check()

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None) -> None:
        """Bring kernel and image to the board, which is switched off for it.

        ``DeployFailed``, or an ``InfrastructureError``.
        """
        limit = self._limit(self.config.model.timeouts.deploy)
        if self.state is not State.OFF:
            self.power_off()
        with self.events.phase("deploy"):
            try:
                self.deployment = self._deploy.deploy(kernel, image, limit)
            except OSError as error:  # a file went, the disk is full
                raise of_this_machine(f"cannot prepare what {self.name} is to boot: {error}", error) from error
            finally:
                if self.state is not State.OFF:  # it was needed in its boot loader
                    self.power_off()

    def reach(self, state: State) -> None:
        """Walk forward to ``bootloader``, ``kernel`` or ``shell``. ``BootFailed`` or an ``InfrastructureError``."""
        with self._lost_if_it_fails():
            self._reach_bootloader() if state is State.BOOTLOADER else self._reach_kernel(state)

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
        """Whether the shell answers now, and each time; a few commands."""
        return self._shell is not None and answers(self._shell, self.console, self.events)

    def lose(self, why: str) -> None:
        """The board cannot be trusted any more: :meth:`recover` it before it is used again."""
        self.state, self._lost_shell = State.LOST, self._shell or self._lost_shell
        self._shell = self._bootloader = None
        self.events.emit(f"board lost: {why}", level="warning")

    def recover(self, *, anew: bool = False) -> None:
        """Bring a lost board back: off, and on at the next ``reach``; ``anew``: by a boot, not by a snapshot."""
        self.anew = anew
        with self.events.phase("recovery"):
            if self._boot.attaches:
                self.state = State.OFF  # not ours to switch: ask again what is there
            else:
                self.power_off()

    def resync(self, limit: Deadline) -> None:
        """Get the shell of a lost board back without a boot. Any ``LavaError`` says that this did not work."""
        self.console.arm(FindingKind.FATAL)
        shell = shell_again(self._boot_context, self._lost_shell, limit)
        self.console.hang = None
        self.console.arm(FindingKind.FATAL, FindingKind.BOOT)
        if not answers(shell, self.console, self.events):
            raise Timeout("the shell answers only now and then, as if another program read from its line too")
        if shell is not self._lost_shell:
            self._give_files(shell)
        self._shell, self.state, self._lost_shell = shell, State.SHELL, None

    @property
    def had_shell(self) -> bool:
        """Whether a shell was there when the board was lost."""
        return self._lost_shell is not None

    @property
    def switched(self) -> bool:
        """Whether its power is ours to switch."""
        return not self._boot.attaches

    @property
    def may_reset(self) -> bool:
        """Whether the kernel that ran last would restart the board when asked over its line."""
        return self.console.attached and not self._line.is_process and may_reset(self.console.sysrq)

    def reset(self) -> None:
        """Have the kernel restart a lost board, and walk to its shell. What its memory holds stays there."""
        limit = self._limit(self.config.model.timeouts.power)
        self._restarted(lambda: reset_by_kernel(self.console, limit))

    @property
    def restarts_in(self) -> float | None:
        """The seconds until it restarts by itself, as it has said since its last boot; None if it does not."""
        if not self.console.attached or self._line.is_process or self._boot.attaches:
            return None
        restart = own_restart(self.console, self._since)
        return restart.seconds if restart else None

    def await_restart(self) -> None:
        """Walk a lost board that restarts by itself to its shell. What its memory holds stays there."""
        since = self._since
        self._restarted(lambda: await_restart(self.console, since))

    @property
    def _since(self) -> int:
        """Where in the log the last boot ended."""
        return max(self.last_boot.console[1] if self.last_boot else 0, self.console.boundary)

    def _restarted(self, restart: Callable[[], None]) -> None:
        self.state, self._shell, self._lost_shell = State.LOST, None, None
        with self._lost_if_it_fails():
            with self.events.phase("power"):
                self._powered_at = monotonic()
                restart()
            start = self.console.boundary
            if self._boot.has_bootloader and not self._boot.attaches:
                self._stop_at_bootloader()
            self._boot_on(start)

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
        self._switch.off(Deadline.after(self.config.model.timeouts.power))
        self.state = State.OFF

    def close(self) -> None:
        """Off, and the console closed. The power goes even if the console makes trouble, and the other way round."""
        with contextlib.ExitStack() as last:  # from its end to its beginning, each whatever became of the others
            last.callback(self.console.close)
            last.callback(self._line.drop)
            last.callback(self._deploy.close)
            if self._switch.used:
                last.callback(self.power_off)

    # -- inside -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lost_if_it_fails(self) -> Iterator[None]:
        before, boot = self.total, self.config.model.timeouts.boot
        self.total = self._limit(boot) if boot else before
        try:
            with in_a_hurry(self.config, self.total):
                yield
        except BaseException:  # an interrupt or a time limit leaves the board somewhere as well
            self.state, self._shell, self._bootloader = State.LOST, None, None
            raise
        finally:
            self.total = before

    def _limit(self, seconds: float) -> Deadline:
        return self.total.at_most(seconds) if self.total else Deadline.after(seconds)

    def _reach_bootloader(self) -> None:
        if not self._boot.has_bootloader:
            raise ConfigurationError(f"board {self.name!r} has no boot loader to stop at; use the fixture 'shell'")
        if self.state is State.BOOTLOADER:
            return
        if self.state is not State.OFF:
            self.power_off()
        self._switch_on()
        self._stop_at_bootloader()

    def _stop_at_bootloader(self) -> None:
        with self.events.phase("boot.bootloader"):
            self._bootloader = self._boot.bootloader(self._limit(self.config.model.timeouts.bootloader))
        self.state = State.BOOTLOADER

    def _reach_kernel(self, goal: State) -> None:
        if self.state in (goal, State.SHELL):
            return
        if self.state is State.LOST:
            self.power_off()
        from_off = self.state is State.OFF
        start = self.console.end
        if from_off and goal is State.SHELL and self._resume():
            return
        if self._boot.has_bootloader and not self._boot.attaches:
            self._reach_bootloader()
        elif self.state is State.OFF:
            self._switch_on()
        self._boot_on(start, goal, keep=from_off)

    def _boot_on(self, start: int, goal: State = State.SHELL, *, keep: bool = False) -> None:
        """From the boot loader, or where there is none from power-on, to the kernel or on to the shell."""
        limits = self.config.model.timeouts
        self.console.arm(FindingKind.FATAL)
        with self.events.phase("boot.kernel"), blamed(self.config, self.deployment, self.console):
            self._boot.kernel(self._bootloader, self.deployment, self._limit(limits.kernel))
        self.state, self._bootloader = State.KERNEL, None
        if goal is State.KERNEL:
            return
        with self.events.phase("boot.login"), blamed(self.config, self.deployment, self.console):
            self._shell = self._boot.shell(self._limit(limits.kernel + limits.login))
            self._give_files(self._shell)
            record = self._record(self._shell, start)
        check_release(self.name, record, self.deployment.kernel)
        if keep and self.snapshots:
            with self.console.typed.aside():
                self.snapshots.keep(self._shell, record.inventory)
        self._arrive(self._shell, record)

    def _arrive(self, shell: Shell, record: BootRecord) -> None:
        self.console.arm(FindingKind.FATAL, FindingKind.BOOT)
        self._shell, self.state, self.last_boot, self.anew = shell, State.SHELL, record, False
        self._lost_shell = None
        for callback in self._on_boot:
            self._prepare(callback)

    def _resume(self) -> bool:
        """Switch on in the state right after boot, if that was kept; else, or if it cannot be used, the board boots."""
        snapshots = self.snapshots
        snapshot = snapshots.find(self.deployment) if snapshots else None
        if snapshots is None or snapshot is None or self.anew:
            return False
        start, folder = self.console.end, snapshot.folder
        try:
            self._switch_on(lambda limit: snapshots.machine.restore(folder, limit))
            shell = snapshots.take_up(snapshot, self.console)
            self._give_files(shell)
            record = self._record(shell, start, snapshots.resumed(snapshot))
            check_release(self.name, record, self.deployment.kernel)
        except (LavaError, OSError) as error:
            snapshots.discard(folder, str(error))
            self.power_off()
            return False
        self.events.emit(f"resumed, not booted: the state of {record.resumed}", snapshot=folder.name)
        self._arrive(shell, record)
        return True

    def _give_files(self, shell: Shell) -> None:
        give_files(shell, self.console, self.config, self._transfer, self.events)

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

    def _record(self, shell: Shell, start: int, resumed: Resumed | None = None) -> BootRecord:
        self.boot_id += 1
        booted = Booted(self.boot_id, self._powered_at, start, self.deployment, resumed)
        return record_boot(shell, self.console, booted, self.events, self.last_boot)

    def _switch_on(self, restore: Callable[[Deadline], None] | None = None) -> None:
        limit = self._limit(self.config.model.timeouts.power)
        self.console.arm(FindingKind.FATAL)
        with self.events.phase("power"):
            self._powered_at = self._switch.on(limit, restore)
