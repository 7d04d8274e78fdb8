"""Deploys by commands: whatever flashes the board from this machine's command line."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, Self

from pydantic import Field, model_validator

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.deploy.api import DeployContext, Deployment
from pytest_lava.deploy.parts import NAMES, KernelParts, kernel_parts
from pytest_lava.deploy.templates import Commands, fill, named_images, names_in
from pytest_lava.errors import (
    ConfigurationError,
    DeployFailed,
    InfrastructureError,
    LavaError,
    OperationFailed,
    Timeout,
)
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power._process import how_it_ended, kill_group, undisturbed, wait_exit

__all__ = ["CommandDeploy"]

_TAIL = 16384  # bytes of what a program said that are kept
_LINES = 5  # of them, in the error


class CommandDeploy:
    """Programs run one after the other, without a shell, in the folder of the board file. Their output goes to the
    event log. A command that names something which this run does not have is left out.
    """

    class Options(Strict):
        """Keys of ``[deploy]``."""

        commands: Commands
        when: Literal["off", "on", "bootloader"] = Field(default="off", description="the state of the board for it")
        setup: tuple[str, ...] = Field(default=(), description="bootloader: typed at its prompt before")
        serve: str | None = Field(default=None, description="bootloader: typed last, and not waited for: ums 0 mmc 0")
        timeout: float = Field(default=600.0, gt=0, description="seconds for one command")
        serial: str | None = Field(default=None, description="the board's serial number, for {serial}")
        append: str = ""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            """What would be set in vain, or is missing, is a mistake."""
            if (self.setup or self.serve) and self.when != "bootloader":
                raise ValueError('setup and serve have no effect: they are for when = "bootloader"')
            if self.serial is None and any("serial" in names_in(command) for command in self.commands):
                raise ValueError("a command names {serial}: set serial to the board's serial number")
            return self

    takes_kernel = True
    takes_image = True

    def __init__(self, options: Options, context: DeployContext) -> None:
        self._options = options
        self._context = context

    def check(self, kernel: bool, images: Collection[str]) -> None:
        """``ConfigurationError`` for a program that is missing, and for what no command would use."""
        commands, board = self._options.commands, self._context.board
        for command in commands:
            if not names_in(command[:1]) and self._program(command[0]) is None:
                raise ConfigurationError(
                    f"the program {command[0]!r}, which deploys to board {board!r}, is not on this machine: "
                    "install it, or correct [deploy] commands"
                )
        if kernel and not any("kernel" in names_in(command) for command in commands):
            raise ConfigurationError(f"no [deploy] command of board {board!r} uses {{kernel}}: leave out --kernel")
        known = named_images(commands)
        for name in images:
            if name not in known:
                option = f"--image {name}=" if name else "--image without a name"
                there = ", ".join(f"{part}=" if part else "one without a name" for part in known) or "none"
                raise ConfigurationError(f"no [deploy] command of board {board!r} uses {option}: it takes {there}")

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Run the commands, the board being as they need it."""
        at_fault = DeployFailed if (kernel and kernel.given) or image else InfrastructureError
        parts = kernel_parts(kernel, self._options.append)
        values = self._values(parts, kernel, image)
        filled = [words for command in self._options.commands if (words := fill(command, values)) is not None]
        if filled:
            with self._ready(deadline):
                for words in filled:
                    self._run(words, deadline, at_fault)
        files = {part: NAMES[part] for part in parts.files} | ({"append": parts.append} if kernel else {})
        return Deployment(kernel, image, files)

    def close(self) -> None:
        """What was flashed stays."""

    def _values(self, parts: KernelParts, kernel: KernelPlan | None, image: ImagePlan | None) -> dict[str, str]:
        values = {"board": self._context.board, "console": self._context.console}
        values |= {part: str(path.absolute()) for part, path in parts.files.items()}
        if kernel is not None:
            values["append"] = parts.append
        if self._options.serial is not None:
            values["serial"] = self._options.serial
        for name, path in (image.parts if image else {}).items():
            values[f"image.{name}" if name else "image"] = str(path.absolute())
        return values

    @contextmanager
    def _ready(self, deadline: Deadline) -> Iterator[None]:
        """The board off, on, or in its boot loader; off again afterwards, which for the last one its owner sees to."""
        options, power = self._options, self._context.power
        if options.when == "bootloader":
            try:
                prompt = self._context.prompt()
                for command in options.setup:
                    prompt.run(command, timeout=max(1.0, deadline.remaining()))
                if options.serve:
                    prompt.start(options.serve)
            except (OperationFailed, Timeout) as error:
                raise InfrastructureError(
                    f"the boot loader of {self._context.board} is not ready to be deployed to: {error}",
                    evidence=error.evidence,
                ) from error
            yield
        elif options.when == "on":
            try:
                power.on(deadline)
                yield
            finally:
                power.off(Deadline.after(60.0) if deadline.expired else deadline)
        else:
            yield

    def _run(self, words: Sequence[str], deadline: Deadline, at_fault: type[LavaError]) -> None:
        begin, limit = monotonic(), deadline.at_most(self._options.timeout)
        seconds = limit.remaining()
        with tempfile.TemporaryFile() as output:  # a pipe would not end before what is left in the background does
            process = forget = None
            try:
                with undisturbed():
                    process = self._start(words, output.fileno())
                    forget = self._context.guard.process(process.pid)
                ended = wait_exit(process, limit)
            finally:
                if process is not None and process.poll() is None:
                    kill_group(process)
                if forget is not None:
                    forget()
            size = output.seek(0, os.SEEK_END)
            said = os.pread(output.fileno(), _TAIL, max(0, size - _TAIL)).decode(errors="replace")
        good = ended and process.returncode == 0
        command = shlex.join(words)
        self._context.events.emit(
            f"deploy command {'done' if good else 'failed'}", level="info" if good else "error", command=command,
            seconds=round(monotonic() - begin, 6), status=process.returncode, output=said,
        )  # fmt: skip
        if not good:
            how = how_it_ended(process.returncode) if ended else f"was not done after {seconds:.3g} s and was ended"
            lines = [line.strip() for line in said.replace("\r", "\n").splitlines() if line.strip()]
            last = ": " + " | ".join(lines[-_LINES:]) if lines else ""
            raise at_fault(f"`{command}` {how}{last}", evidence=said)

    def _start(self, words: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        program = self._program(words[0])
        try:
            return subprocess.Popen(
                [program or words[0], *words[1:]], cwd=self._context.folder, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InfrastructureError(f"`{shlex.join(words)}` cannot be started: {error.strerror}") from error

    def _environment(self) -> Mapping[str, str]:
        return os.environ | {"LAVA_BOARD": self._context.board}

    def _program(self, name: str) -> str | None:
        return shutil.which(str(self._context.folder / name) if "/" in name else name)
