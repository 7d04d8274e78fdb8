"""A QEMU that is not ours, with its console on a pty or a TCP port, as somebody else may have started it."""

from __future__ import annotations

import re
import subprocess
import threading
from typing import IO

from pytest_lava.images.cache import cache_dir

__all__ = ["Outside", "linux"]

_PLACE = re.compile(r"filename=(?:disconnected:)?(pty|tcp|telnet):([^,\s]+)")
_SCHEMES = {"pty": "", "tcp": "socket://", "telnet": "telnet://"}


class Outside:
    """Starts as many as are asked for; :meth:`end` kills them."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *argv: str, serial: str) -> str:
        """Start one; the URL of its console."""
        process = subprocess.Popen(
            [*argv, "-nodefaults", "-display", "none", "-monitor", "stdio", "-chardev", f"{serial},id=c", "-serial",
             "chardev:c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._running.append(process)
        assert process.stdin
        assert process.stdout
        process.stdin.write("info chardev\n")
        process.stdin.flush()
        for line in process.stdout:
            if found := _PLACE.search(line):
                threading.Thread(target=_drain, args=[process.stdout], daemon=True).start()
                return _SCHEMES[found[1]] + found[2]
        raise AssertionError("QEMU did not say where its console is")

    def end(self) -> None:
        """Kill them all."""
        for process in self._running:
            process.kill()
            process.wait()


def linux(words: str = "") -> list[str]:
    """A command line for a small PC with our kernel and initramfs, but no console yet."""
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    return ["qemu-system-x86_64", "-M", "q35", "-m", "256", "-accel", "tcg", "-kernel", str(folder / "vmlinuz"),
            "-initrd", str(initrd), "-append", f"console=ttyS0,115200 quiet {words}"]  # fmt: skip


def _drain(stream: IO[str]) -> None:
    while stream.read(4096):
        pass
