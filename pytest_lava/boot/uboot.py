"""U-Boot: stop its countdown, talk at its prompt, run the board file's script, notice what it complains of."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from pytest_lava.boot.api import BootContext, Bootloader
from pytest_lava.boot.loadx import Loadx
from pytest_lava.boot.login import log_in
from pytest_lava.boot.script import Script, fill
from pytest_lava.boot.uboot_faults import boot_error, complaint
from pytest_lava.config.model import Regex, Strict
from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.console.search import Found
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import (
    BootFailed,
    ConfigurationError,
    InfrastructureError,
    LavaError,
    OperationFailed,
    Timeout,
)

__all__ = ["UBoot", "UBootBoot"]

_STARTS = re.compile(rb"Starting kernel \.\.\.|EFI stub: |Booting Linux on |Linux version \d")
_ENDS = ("", "its prompt came back", "it reset")  # of a command that should have started the kernel
_BANNER = r"(?:^|[\r\n])U-Boot (?:SPL |TPL )?20\d\d"
_RESETS = re.compile(_BANNER.encode())
#: it tries again for minutes, or for ever (netretry=yes), and no byte came from the server: net/tftp.c, net/net.c
_IN_VAIN = re.compile(rb"Loading: \*\x08(?:T ){3}|[^\r\n]*[Rr]etry (?:count|time) exceeded; starting again")
_CTRL_C = b"\x03"
_KEY = 1.0  # seconds until a key is sent again
_KEYS = 10
_COMES_BACK = 3.0  # seconds that a prompt has to come after Ctrl-C


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
        found = self._ending(command, ending, start, deadline)
        self._console.expect([self._prompt], start=found.end, deadline=deadline, what="boot loader prompt")
        said = self._said(start, found.start)
        if found.match[1] != b"0":
            raise OperationFailed(
                f"U-Boot: {command} failed{_why(said, f' with status {found.match[1].decode()}')}", evidence=said
            )
        return said

    def start(self, command: str) -> None:
        """Run a command line that does not come back by itself."""
        self._console.write(f"{command}\n".encode(), Deadline.after(30.0))

    def interrupt(self) -> None:
        """Ctrl-C: end what runs, or drop what was typed. The prompt comes, or it does not."""
        start = self._console.end
        with suppress(LavaError):
            self._console.write(_CTRL_C, Deadline.after(_COMES_BACK))
            self._console.expect([self._prompt], start=start, deadline=Deadline.after(_COMES_BACK), what="prompt")

    def _ending(self, command: str, ending: re.Pattern[bytes], start: int, deadline: Deadline) -> Found:
        """Where the status is. What goes on in vain is ended."""
        expect, what = self._console.expect, f"end of {command!r}"
        try:
            found = expect([ending, _RESETS, _IN_VAIN], start=start, deadline=deadline, what=what)
            if found.index:
                with suppress(Timeout):  # its last words, or what `version` prints?
                    return expect([ending], start=found.end, deadline=deadline.at_most(_KEY), what=what)
        except Timeout:
            self.interrupt()
            raise
        if found.index == 0:
            return found
        said = self._said(start, self._console.end)
        if found.index == 1:
            raise OperationFailed(f"U-Boot: the board reset itself during {command!r}", evidence=said)
        self.interrupt()
        raise OperationFailed(f"U-Boot: {command} goes on in vain{_why(said, '')}", evidence=said)

    def _said(self, start: int, end: int | None) -> str:
        """The output of a command, without its echo."""
        _echo, _, output = self._console.read(start, end).replace(b"\r", b"").partition(b"\n")
        return output.decode(errors="replace")

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
                [_STARTS, self._prompt, _RESETS], start=start, deadline=deadline, what="kernel"
            )
        except Timeout:
            found = None
        if found is None or found.index > 0:
            said = self._said(start, found.end if found else None)
            what = "no kernel started in time" if found is None else _ENDS[found.index]
            why = _why(said[: said.rfind("\n") + 1], f": {what} after {command!r}")
            raise boot_error(f"U-Boot could not start the kernel{why}", said)


def _why(said: str, otherwise: str) -> str:
    """The line that says why, or else the last one, or else what is given."""
    if found := complaint(said):
        return f": {found[0]}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else otherwise


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
        commands: Script

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
        countdown, begun = re.compile(self._options.autoboot.encode()), monotonic()
        try:
            found = console.expect([countdown, self._prompt], deadline=deadline, what="boot loader")
            if found.index == 0:
                self._stop(found.end, deadline)
        except Timeout as error:
            seen = console.end > console.boundary
            advice = "check [boot] prompt and autoboot" if seen else "nothing came over the serial line at all"
            waited = f"waited {monotonic() - begun:.1f} s ([timeouts] bootloader, or --boot-timeout)"
            message = f"the boot loader's prompt never came on {self._context.board}: {advice}; {waited}"
            raise InfrastructureError(message, evidence=error.evidence) from error
        return UBoot(console, self._prompt)

    def _stop(self, start: int, deadline: Deadline) -> None:
        """Type the key until there is a prompt: a UART that is being set up loses the first one."""
        console = self._context.console
        for sent in range(1, _KEYS + 1):
            console.write(self._options.interrupt.encode(), deadline)
            limit = deadline if sent == _KEYS else deadline.at_most(_KEY)
            try:
                found = console.expect([self._prompt, _STARTS], start=start, deadline=limit, what="boot loader prompt")
            except Timeout:
                if deadline.expired or sent == _KEYS:
                    raise
                continue
            if found.index == 1:
                raise InfrastructureError(
                    f"{self._context.board} booted by itself before its boot loader took the key: raise its bootdelay, "
                    "or set [boot] interrupt and autoboot to what it wants and says",
                    evidence=console.text(start),
                )
            if sent > 1:
                UBoot(console, self._prompt).interrupt()  # a key too many would stand before the first command
            return

    def kernel(self, bootloader: Bootloader | None, deployment: Deployment, deadline: Deadline) -> None:
        """Run the script; only its last line may not come back."""
        if not isinstance(bootloader, UBoot):
            raise ConfigurationError(f"board {self._context.board!r}: the boot loader is not at its prompt")
        *script, start = fill(self._options.commands, _values(deployment))
        for command in script:
            try:
                bootloader.run(command, timeout=max(1.0, deadline.remaining()))
            except OperationFailed as error:
                raise boot_error(str(error), error.evidence) from error
            except Timeout as error:
                raise BootFailed(f"U-Boot did not finish {command!r}: {error}", evidence=error.evidence) from error
        self._kernel_from = self._context.console.end
        bootloader.launch(start, deadline)

    def shell(self, deadline: Deadline) -> Shell:
        """Log in."""
        reset = BootFailed(f"the kernel reset {self._context.board} while it booted: U-Boot came back")
        return log_in(self._context, deadline, start=self._kernel_from, not_a_shell={_BANNER: reset})


def _values(deployment: Deployment) -> dict[str, str]:
    """All placeholders."""
    files = dict(deployment.files)
    values = {"append": ""} | files
    values["ramdisk"] = "${ramdisk_addr_r}:${filesize}" if "initrd" in files else "-"
    values["fdt"] = "${fdt_addr_r}" if "dtb" in files else "${fdtcontroladdr}"
    return values
