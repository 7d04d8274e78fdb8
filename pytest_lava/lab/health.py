"""Is a board fit for use: known-good files deployed, booted, a shell, a reset, a network; each step timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lava.board.board import Board, State
from pytest_lava.config.boards import BoardConfig, BoardFiles
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ErrorInfo, InfrastructureError, LavaError, describe, first_line
from pytest_lava.events import EventLog, utc_now
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.lease import lease
from pytest_lava.lab.taking import resources
from pytest_lava.plan import Prepared, RunPlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.preparation import Preparation
from pytest_lava.transfer.api import Mode, TransferPolicy

__all__ = ["STEPS", "Checkup", "Health", "Step", "plan_checkup"]

STEPS = ("files", "deploy", "boot", "shell", "reset", "network")
_SHELL = 30.0  # seconds for a command that does nothing
_SIZE = 64 << 10  # bytes that go over the network
_PLACE = "/tmp/lava-health"


@dataclass(frozen=True)
class Step:
    """One step: ``outcome`` is passed, failed or skipped, ``told`` what there is to say in one line."""

    name: str
    outcome: str
    seconds: float = 0.0
    told: str = ""
    start: str = ""
    stop: str = ""
    console: tuple[int, int] = (0, 0)
    error: ErrorInfo | None = None


@dataclass(frozen=True)
class Health:
    """What a check came to. ``folder`` has its journal and console log."""

    board: str
    start: str
    seconds: float
    steps: tuple[Step, ...]
    folder: Path

    @property
    def failed(self) -> Step | None:
        """The step that failed; what would have come behind it was skipped."""
        return next((step for step in self.steps if step.outcome == "failed"), None)

    @property
    def healthy(self) -> bool:
        """Whether the board may be used."""
        return self.failed is None

    @property
    def why(self) -> str:
        """What is wrong, in one line."""
        return f"{self.failed.name}: {self.failed.told}" if self.failed else ""


class _Skipped(Exception):
    """There is nothing of this kind to check."""


def plan_checkup(board: BoardConfig, files: BoardFiles, folder: Path, guard: Guardian, assets: Path) -> RunPlan:
    """What is to be booted: what ``[health]`` of the board file names, else what the board boots by default.

    ``assets``: what ``{cache}`` is.

    ``ConfigurationError`` for what can be seen without the board.
    """
    health = board.model.health

    def place(text: str | None) -> str:
        text = (text or "").replace("{cache}", str(assets))
        return text if not text or "://" in text else str(board.path.parent / text)

    more = "".join(f",{key}={place(getattr(health, key))}" for key in ("initrd", "dtb") if getattr(health, key))
    options = Options(
        boards=(board.name,),
        kernels=(place(health.kernel) + more,) if health.kernel else (),
        images=(place(health.image),) if health.image else (),
        append=health.append,
        assets=assets,
    )
    return make_plan(options, files, folder, guard)


@dataclass
class Checkup:
    """Checks one board, which is leased for it: also one in quarantine. Whatever is found, it ends switched off.

    ::

        plan = plan_checkup(board, files, folder, guardian, cache_dir())
        health = Checkup(board, plan, guardian, events, on_step=print).run(Deadline.after(60))
    """

    board: BoardConfig
    plan: RunPlan
    guardian: Guardian
    events: EventLog
    on_step: Callable[[Step], None] = lambda step: None
    on_board: Callable[[Board], None] = lambda board: None
    on_prepared: Callable[[Prepared], None] = lambda prepared: None
    _steps: list[Step] = field(default_factory=list)

    def run(self, wait: Deadline) -> Health:
        """Raises ``BoardBusy`` if somebody has the board until ``wait``; else what is wrong is in the steps."""
        start, t0 = utc_now(), monotonic()
        folder, config, target = self.plan.run_folder, self.board, self.plan.targets[0]
        events = self.events
        with lease({config.name: resources(config)}, deadline=wait, run=folder, events=events) as held:
            preparation = Preparation(self.plan.targets, self.plan.cache, events)
            mode: Mode = "ssh" if config.model.transfer.ssh else "http"
            board = Board(
                config,
                log=folder / "console.log",
                guard=self.guardian.for_board(held.boards[0].lock_files),
                events=events,
                transfer=TransferPolicy(mode),
                shelf=preparation.shelf,
            )
            self.on_board(board)
            try:
                self._step(board, "files", lambda: self._files(preparation))
                self._step(board, "deploy", lambda: self._deploy(board, preparation))
                self._step(board, "boot", lambda: self._boot(board))
                self._step(board, "shell", lambda: self._shell(board))
                self._step(board, "reset", lambda: self._reset(board))
                self._step(board, "network", lambda: self._network(board, mode))
            finally:
                try:
                    board.close()
                except LavaError as error:
                    events.emit(f"could not switch off: {error}", level="error")
                    self._add(Step("off", "failed", told=first_line(error), start=utc_now(), error=describe(error)))
                preparation.close()
        assert target.request.name == config.name
        return Health(config.name, start, monotonic() - t0, tuple(self._steps), folder)

    # -- steps --------------------------------------------------------------------------------------------------

    def _files(self, preparation: Preparation) -> str:
        prepared = preparation.of(self.plan.targets[0])
        self.on_prepared(prepared)
        kernel = prepared.kernel
        return f"kernel {kernel.file.release or kernel.name}" if kernel else "the board has its own"

    def _deploy(self, board: Board, preparation: Preparation) -> str:
        prepared = preparation.of(self.plan.targets[0])
        board.deploy(prepared.kernel, prepared.image)
        return ""

    def _boot(self, board: Board) -> str:
        board.reach(State.SHELL)
        assert board.last_boot is not None
        return f"Linux {board.last_boot.release}"

    def _shell(self, board: Board) -> str:
        done = board.shell.run("echo out; echo err >&2; exit 3", timeout=_SHELL)
        if (done.stdout, done.stderr, done.returncode) != ("out\n", "err\n", 3):
            raise InfrastructureError(f"its shell does not do as it is told: {done}")
        return ""

    def _reset(self, board: Board) -> str:
        if not board.switched:
            raise _Skipped("it is not ours to switch")
        before = board.boot_id
        board.power_off()
        board.reach(State.SHELL)
        assert board.boot_id == before + 1
        return "off, on, and back at its shell"

    def _network(self, board: Board, mode: Mode) -> str:
        network = board.config.model.transfer
        if not (network.ssh or network.address or network.up):
            raise _Skipped("the board file names no network ([transfer])")
        data = os.urandom(_SIZE)
        board.shell.write_bytes(_PLACE, data)
        with suppress(LavaError):
            board.shell.run(f"rm -f {_PLACE}", timeout=_SHELL)
        return f"{_SIZE >> 10} KiB by {mode}"

    # -- inside -------------------------------------------------------------------------------------------------

    def _step(self, board: Board, name: str, step: Callable[[], str]) -> None:
        if any(done.outcome == "failed" for done in self._steps):
            self._add(Step(name, "skipped", told="not tried", start=utc_now(), stop=utc_now()))
            return
        start, t0, offset = utc_now(), monotonic(), board.console.end
        error = None
        try:
            outcome, told = "passed", step()
        except _Skipped as why:
            outcome, told = "skipped", str(why)
        except LavaError as caught:
            outcome, told, error = "failed", first_line(caught, type(caught).__name__), describe(caught)
        console = (offset, board.console.end)
        self._add(Step(name, outcome, monotonic() - t0, told, start, utc_now(), console, error))

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        self.on_step(step)
