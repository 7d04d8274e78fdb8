"""Who else talks to a shell over a line: labgrid through two of its drivers, plain pexpect, and a bare loop."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pexpect.fdpexpect

from benchmarks import venvs
from pytest_lava.images.cache import cache_dir

__all__ = ["Bare", "Labgrid", "Pexpect", "QemuOnPty", "Relay", "Run", "arm64_direct", "labgrid_qemu", "labgrid_serial"]

_LABGRID = """\
import json, sys, time
from labgrid import Environment
from pexpect import TIMEOUT
target = Environment("environment.yaml").get_target("main")
if sys.argv[1] == "qemu":
    target.get_driver("QEMUDriver").on()
shell = target.get_driver("ShellDriver")
print("ready", flush=True)
for line in sys.stdin:
    command, count, limit = json.loads(line)
    seconds, cpu, out = [], time.process_time(), []
    for _ in range(count):
        began = time.perf_counter()
        try:
            out, err, status = shell.run(command, timeout=limit)
        except TIMEOUT:
            status = 0 if limit < 300 else -1
        seconds.append(time.perf_counter() - began)
        assert status == 0
    print(json.dumps([seconds, time.process_time() - cpu, sum(map(len, out)) + len(out)]), flush=True)
target.cleanup()
"""

_RELAY = """\
import os, pty, select, sys, time
rate, piece = float(sys.argv[1]), int(sys.argv[2])
outer, port = pty.openpty()
print(os.ttyname(port), flush=True)
os.close(port)
poll = select.poll()
poll.register(outer, select.POLLIN)
while any(what & select.POLLHUP for _, what in poll.poll(0)):
    time.sleep(0.02)
time.sleep(0.3)  # whoever has opened it now sets it: until then it would echo what dash says
pid, inner = pty.fork()
if pid == 0:
    os.environ["PS1"] = "board:~# "
    os.execvp("dash", ["dash", "-i"])
due = 0.0
while True:
    for fd in select.select([outer, inner], [], [])[0]:
        data = memoryview(os.read(fd, 65536))
        while data:
            size = len(data)
            if rate and fd == inner:
                time.sleep(max(0.0, due - time.monotonic()))
                due, size = max(due, time.monotonic() - 0.01) + piece / rate, piece
            data = data[os.write(inner if fd == outer else outer, data[:size]):]
"""

_SHELL = """\
      ShellDriver:
        prompt: '{prompt}'
        login_prompt: 'login: '
        username: root
        login_timeout: 60
"""

_FAREWELL = 10  # seconds that labgrid has to clean up

#: seconds of each command, processor seconds of all
Run = tuple[list[float], float]


class Relay:
    """A null-modem cable: a port to open like a serial one, and dash behind it.

    With a ``rate`` in bytes a second what dash says comes in pieces of 8 bytes, as a UART hands it over.
    """

    def __init__(self, rate: float = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RELAY, str(rate), "8"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self.port = self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def arm64_direct() -> tuple[list[str], str, str]:
    """A command line for the machine of boards/qemu-arm64.toml without its boot loader; kernel and initrd."""
    folder = cache_dir() / "debian-arm64"
    kernel, initrd = str(folder / "vmlinuz"), str(next(folder.glob("initrd-*.img")))
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512M", "-nodefaults", "-no-reboot"]
    command += [
        "-display",
        "none",
        "-kernel",
        kernel,
        "-initrd",
        initrd,
        "-append",
        "console=ttyAMA0 loglevel=5 sysrq_always_enabled",
    ]
    return command, kernel, initrd


class QemuOnPty:
    """That machine, its serial line on a pty to open like a port."""

    def __init__(self) -> None:
        command = [*arm64_direct()[0], "-chardev", "pty,id=c", "-serial", "chardev:c"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self._process.stdout
        found = re.search(r"/dev/pts/\d+", self._process.stdout.readline())
        assert found
        self.port = found[0]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def labgrid_serial(folder: Path, port: str, prompt: str) -> Labgrid:
    """labgrid's SerialDriver on a port."""
    text = f"targets:\n  main:\n    resources:\n      RawSerialPort:\n        port: {port}\n        speed: 115200\n"
    return Labgrid(folder, "serial", text + "    drivers:\n      SerialDriver: {}\n" + _SHELL.format(prompt=prompt))


def labgrid_qemu(folder: Path) -> Labgrid:
    """labgrid's QEMUDriver with the machine of :func:`arm64_direct`."""
    _, kernel, initrd = arm64_direct()
    text = (
        "targets:\n  main:\n    drivers:\n      QEMUDriver:\n        qemu_bin: qemu\n        machine: virt\n"
        "        cpu: cortex-a57\n        memory: 512M\n        kernel: kernel\n"
        "        boot_args: 'loglevel=5 sysrq_always_enabled'\n"
        f"        extra_args: '-nodefaults -initrd {initrd}'\n"
    )
    tools = f"tools:\n  qemu: /usr/bin/qemu-system-aarch64\nimages:\n  kernel: {kernel}\n"
    return Labgrid(folder, "qemu", text + _SHELL.format(prompt="~ # ") + tools)


class Labgrid:
    """A process of labgrid's, kept for all rounds; its CPU time is its own. What it leaves behind is removed."""

    def __init__(self, folder: Path, kind: str, environment: str) -> None:
        folder.mkdir(parents=True)
        (folder / "environment.yaml").write_text(environment)
        command = [str(venvs.labgrid() / "python"), "-c", _LABGRID, kind]
        with (folder / "errors").open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder)},  # its sockets for QEMU stay when it is killed
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # its QEMU is in the group
            )
        self._errors = folder / "errors"
        try:
            self._line("ready")
        except BaseException:
            self.close()
            raise

    def run(self, command: str, count: int) -> Run:
        return self._ask(command, count, 300)

    def gives_up(self, command: str, limit: float) -> float:
        """Seconds until the error for a command that does not end within ``limit``."""
        return self._ask(command, 1, limit)[0][0]

    def _ask(self, command: str, count: int, limit: float) -> Run:
        assert self._process.stdin
        print(json.dumps([command, count, limit]), file=self._process.stdin, flush=True)
        seconds, cpu, _ = json.loads(self._line("["))
        return seconds, cpu

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def _line(self, start: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise RuntimeError(f"labgrid ended: {self._errors.read_text()[-2000:]}")


class Pexpect:
    """A prompt of its own, and ``echo $?`` behind each command; nothing is checked. Set as well as pexpect can be.

    As it comes, pexpect waits 50 ms before each send, reads 2000 bytes and sleeps 0.1 ms after, and searches all that
    came so far each time.
    """

    def __init__(self, port: str = "", prompt: str = "") -> None:
        self._fd = -1
        if port:
            self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._fd)
            self._child: Any = pexpect.fdpexpect.fdspawn(self._fd)
        else:
            self._child = pexpect.spawn("dash", ["-i"], echo=False)
        self._child.delaybeforesend = self._child.delayafterread = None
        self._child.maxread = 65536
        self._child.searchwindowsize = 2000
        self._child.timeout = 300
        if prompt:
            self._child.expect_exact(prompt)
        self._child.sendline("stty -echo; PS1='PEX''PECT> '")
        self._child.expect_exact("PEXPECT> ")

    def run(self, command: str, count: int) -> Run:
        seconds, cpu = [], time.process_time()
        for _ in range(count):
            began = time.perf_counter()
            self._child.sendline(f"{command}; echo st''atus $?")
            self._child.expect(rb"status (\d+)\r?\n")
            assert isinstance(self._child.match, re.Match)
            assert self._child.match[1] == b"0"
            self._child.expect_exact("PEXPECT> ")
            seconds.append(time.perf_counter() - began)
        return seconds, time.process_time() - cpu

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        else:
            self._child.close()


class Bare:
    """The floor: ``os.write``, ``os.read`` and ``find`` in the last bytes, on a loop that reads plain lines."""

    def __init__(
        self,
        send: Callable[[bytes], object],
        fd: int,
        end: Callable[[], object],
        *,
        subshell: bool = False,
        folder: Path = Path("/tmp"),
    ) -> None:
        self._send, self._fd, self._end = send, fd, end
        self._form = f"( {{}} ) >{folder}/bench-out 2>{folder}/bench-err </dev/null" if subshell else "{}"
        send(b'stty -echo -opost; echo rea\'\'dy; while read -r l; do eval "$l"; echo "@$?@"; done\n')
        self._until(b"ready")

    @classmethod
    def dash(cls, folder: Path, *, subshell: bool = False) -> Bare:
        """On a pty of its own."""
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(["dash"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)

        def end() -> None:
            shell.kill()
            shell.wait()
            os.close(ours)

        return cls(lambda data: os.write(ours, data), ours, end, subshell=subshell, folder=folder)

    @classmethod
    def port(cls, path: str) -> Bare:
        """On somebody's port."""
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd)
        return cls(lambda data: os.write(fd, data), fd, lambda: os.close(fd))

    def run(self, command: str, count: int) -> Run:
        seconds, cpu = [], time.process_time()
        for _ in range(count):
            began = time.perf_counter()
            self._send(self._form.format(command).encode() + b"\n")
            self._until(b"@0@")
            seconds.append(time.perf_counter() - began)
        return seconds, time.process_time() - cpu

    def close(self) -> None:
        self._end()

    def _until(self, word: bytes) -> None:
        kept, last = [], b""
        while word not in last:
            if not select.select([self._fd], [], [], 300)[0]:
                raise RuntimeError("silence")
            data = os.read(self._fd, 65536)
            kept.append(data)
            last = last[-16:] + data
        b"".join(kept)
