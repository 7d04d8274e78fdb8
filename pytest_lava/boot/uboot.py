"""U-Boot: stop its countdown, talk at its prompt, run the board file's script, notice what it complains of."""

from __future__ import annotations

import difflib
import os
import re
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pytest_lava.boot.api import BootContext, Bootloader
from pytest_lava.boot.loadx import Loadx
from pytest_lava.boot.login import log_in
from pytest_lava.config.model import Regex, Strict
from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import BootFailed, ConfigurationError, InfrastructureError, OperationFailed, Timeout

__all__ = ["UBoot", "UBootBoot"]

#: what U-Boot prints when it gives up though its prompt comes back (cmd/, boot/ and fs/ of its source)
_COMPLAINTS = re.compile(
    rb"(?m)^(?:##? Error[^\r\n]*|\*\* [^\r\n]*\*\*|Bad Linux [^\r\n]*|Wrong [Ii]mage [^\r\n]*|Unknown command[^\r\n]*"
    rb"|[^\r\n]*not a valid (?:image|Image)[^\r\n]*|ERROR: [^\r\n]*|Failed to load[^\r\n]*|T(?:FTP)? error[^\r\n]*"
    rb"|Retry count exceeded[^\r\n]*|Could not find a valid device tree[^\r\n]*|[^\r\n]*resetting \.\.\.[^\r\n]*)"
)
_STARTS = re.compile(rb"Starting kernel \.\.\.|EFI stub: |Booting Linux on |Linux version \d")
_ENDS = ("", "its prompt came back", "it reset")  # of a command that should have started the kernel
_BANNER = r"(?:^|[\r\n])U-Boot (?:SPL |TPL )?20\d\d"
_PLACEHOLDER = re.compile(r"(?<!\$)\{(\w+)\}")
_PLACEHOLDERS = ("kernel", "initrd", "dtb", "append", "ramdisk", "fdt")


class UBoot:
    """The prompt of U-Boot.

    ::

        def test_memory(bootloader):
            assert "DRAM" in bootloader.run("bdinfo")
    """

    def __init__(self, console: Console, prompt: re.Pattern[bytes]) -> None:
        self._console = console
        self._prompt = prompt

    def run(self, command: str, *, timeout: float = 30.0) -> str:
        """Run a command line; what it printed, without its echo. ``OperationFailed`` unless its status is 0."""
        if "\n" in command or "\0" in command:
            raise ValueError("a boot loader command is one line")
        tag = secrets.token_hex(3)
        start = self._console.end
        deadline = Deadline.after(timeout)
        self._console.write(f"{command}; echo {tag}=$?\n".encode(), deadline)
        ending = re.compile(rf"{tag}=(\d+)\r?\n".encode())
        found = self._console.expect([ending], start=start, deadline=deadline, what=f"end of {command!r}")
        self._console.expect([self._prompt], start=found.end, deadline=deadline, what="boot loader prompt")
        text = self._console.read(start, found.start).replace(b"\r", b"")
        _echo, _, output = text.partition(b"\n")
        said = output.decode(errors="replace")
        if found.match[1] != b"0":
            last = said.strip().splitlines()
            raise OperationFailed(
                f"U-Boot: {command} failed{': ' + last[-1] if last else f' with status {found.match[1].decode()}'}",
                evidence=said,
            )
        return said

    def load(
        self,
        file: str | os.PathLike[str],
        address: int | str = "${loadaddr}",
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> int:
        """See :meth:`pytest_lava.boot.api.Bootloader.load`; done by ``loadx`` and ``crc32``, in pieces of 1 MB."""
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise OperationFailed(f"cannot read {file}: {error.strerror}") from error
        loadx = Loadx(self, self._console, self._prompt)
        return loadx.load(data, address, timeout=timeout, progress=progress)

    def launch(self, command: str, deadline: Deadline) -> None:
        """Run the command that starts the kernel. ``BootFailed`` if anything else comes of it."""
        start = self._console.end
        self._console.write(command.encode() + b"\n", deadline)
        try:
            found = self._console.expect(
                [_STARTS, self._prompt, re.compile(_BANNER.encode())], start=start, deadline=deadline, what="kernel"
            )
        except Timeout:
            found = None
        if found is None or found.index > 0:
            said = self._console.read(start, found.end if found else None)
            what = "no kernel started in time" if found is None else _ENDS[found.index]
            why = _complaint(said[: said.rfind(b"\n") + 1]) or f"{what} after {command!r}"
            raise BootFailed(f"U-Boot could not start the kernel: {why}", evidence=said.decode(errors="replace"))


def _complaint(said: bytes) -> str:
    """The line that says why, or else the last one; what is said begins with the echo of a command."""
    said = said.replace(b"\r", b"")
    if match := _COMPLAINTS.search(said):
        return match[0].decode(errors="replace")
    output = [line for line in said.split(b"\n")[1:] if line.strip()]
    return output[-1].decode(errors="replace").strip() if output else ""


def _known_placeholders(command: str) -> str:
    for name in _PLACEHOLDER.findall(command):
        # a deploy driver may have placeholders of its own, so only what looks like a slip of the finger is refused
        if name not in _PLACEHOLDERS and (near := difflib.get_close_matches(name, _PLACEHOLDERS, n=1)):
            raise ValueError(f"there is no placeholder {{{name}}}; did you mean {{{near[0]}}}?")
    return command


class UBootBoot:
    """The chain power-on, U-Boot, kernel, login."""

    class Options(Strict):
        """Keys of ``[boot]``. ``commands`` run at the prompt, the last one starts the kernel.

        Placeholders: ``{kernel}``, ``{initrd}``, ``{dtb}`` are file names on the boot medium; a line that names a file
        which this run does not have is left out. ``{append}`` are the kernel's arguments; ``{ramdisk}`` and ``{fdt}``
        are what ``booti`` and its sisters want for what was loaded.
        """

        prompt: Regex = r"=> $"
        autoboot: Regex = r"Hit any key to stop autoboot"
        interrupt: str = " "
        commands: tuple[Annotated[str, AfterValidator(_known_placeholders)], ...]

    has_bootloader = True
    attaches = False

    def __init__(self, options: Options, context: BootContext) -> None:
        self._options = options
        self._context = context
        self._prompt = re.compile(rb"(?:^|[\r\n])" + options.prompt.encode())
        self._kernel_from = 0

    def bootloader(self, deadline: Deadline) -> UBoot:
        """Interrupt the countdown; a key is sent only once it is on the screen, so no other program gets it."""
        console = self._context.console
        countdown = re.compile(self._options.autoboot.encode())
        try:
            found = console.expect([countdown, self._prompt], deadline=deadline, what="boot loader")
            if found.index == 0:
                console.write(self._options.interrupt.encode(), deadline)
                console.expect([self._prompt], start=found.end, deadline=deadline, what="boot loader prompt")
        except Timeout as error:
            seen = console.end > console.boundary
            advice = "check [boot] prompt and autoboot" if seen else "nothing came over the serial line at all"
            raise InfrastructureError(
                f"the boot loader's prompt never came on {self._context.board}: {advice}", evidence=error.evidence
            ) from error
        return UBoot(console, self._prompt)

    def kernel(self, bootloader: Bootloader | None, deployment: Deployment, deadline: Deadline) -> None:
        """Run the script; only its last line may not come back."""
        if not isinstance(bootloader, UBoot):
            raise ConfigurationError(f"board {self._context.board!r}: the boot loader is not at its prompt")
        *script, start = _fill(self._options.commands, deployment)
        for command in script:
            try:
                bootloader.run(command, timeout=max(1.0, deadline.remaining()))
            except OperationFailed as error:
                raise BootFailed(str(error), evidence=error.evidence) from error
            except Timeout as error:
                raise BootFailed(f"U-Boot did not finish {command!r}: {error}", evidence=error.evidence) from error
        self._kernel_from = self._context.console.end
        bootloader.launch(start, deadline)

    def shell(self, deadline: Deadline) -> Shell:
        """Log in."""
        reset = BootFailed(f"the kernel reset {self._context.board} while it booted: U-Boot came back")
        return log_in(self._context, deadline, start=self._kernel_from, not_a_shell={_BANNER: reset})


def _fill(commands: tuple[str, ...], deployment: Deployment) -> list[str]:
    files = dict(deployment.files)
    values = {"append": ""} | files
    values["ramdisk"] = "${ramdisk_addr_r}:${filesize}" if "initrd" in files else "-"
    values["fdt"] = "${fdt_addr_r}" if "dtb" in files else "${fdtcontroladdr}"
    filled = []
    for command in commands:
        if any(name not in values for name in _PLACEHOLDER.findall(command)):
            continue
        filled.append(_PLACEHOLDER.sub(lambda match: values[match[1]], command))
    if not filled:
        raise ConfigurationError("[boot] commands are empty for what this run deploys: no kernel was given")
    return filled
