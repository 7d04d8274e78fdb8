"""A script of this machine that runs on the board: checked here, sent, run by the interpreter that it names."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.shell import CommandResult, Shell
from pytest_lava.errors import ConfigurationError, LavaError, OperationFailed

__all__ = ["Script", "is_script", "run_script", "take_script"]

_HEAD = 4096  # bytes that tell what a file is
_SHORT = 120.0  # seconds for what is small
_ELF = b"\x7fELF"
#: e_machine of an ELF file -> the board's word for it (elf(5))
_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "arm64", 243: "riscv64"}
#: a folder with room; also where programs can be run, for what is no script
_PLACE = (
    'umask 077; for d in "${TMPDIR:-/tmp}" /tmp /var/tmp /run /dev/shm /data/local/tmp /root; do %s t=$d/%s; '
    'mkdir "$t" 2>/dev/null || continue; '
    '{ printf \'#!/bin/sh\\nexit 0\\n\' >"$t/x" && chmod 755 "$t/x"; } 2>/dev/null || { rm -rf "$t"; continue; }; '
    '%s && { rm "$t/x"; echo "$t"; exit 0; }; rm -rf "$t"; done; exit 1'
)


@dataclass(frozen=True)
class Script:
    """``words`` are the interpreter and its argument, none for a program; ``machine`` is the one that it is for."""

    path: Path
    words: tuple[str, ...] = ()
    machine: str = ""

    @property
    def name(self) -> str:
        """That of its results."""
        return self.path.name

    @property
    def needs(self) -> str:
        """The program that has to be on the board: ``env`` finds one by its name."""
        if len(self.words) > 1 and self.words[0].rsplit("/", 1)[-1] == "env":
            rest = [word for word in " ".join(self.words[1:]).split() if not word.startswith("-") and "=" not in word]
            return rest[0] if rest else self.words[0]
        return self.words[0] if self.words else ""


def is_script(path: Path) -> bool:
    """Whether a file is meant to run on a board: by its suffix, its first line, or as a program."""
    if path.suffix == ".py":  # pytest's own
        return False
    return path.suffix in (".sh", ".bash") or _head(path).startswith((b"#!", _ELF))


def take_script(path: Path, arches: tuple[str, ...] = ()) -> Script:
    """A script, fit to be sent to boards of ``arches``. ``ConfigurationError`` says what has to be changed in it."""
    head = _head(path)
    if not head:
        raise ConfigurationError(f"{path}: this script is empty")
    if head.startswith(_ELF):
        machine = _MACHINES.get(int.from_bytes(head[18:20], "big" if head[5:6] == b"\x02" else "little"), "")
        other = [arch for arch in arches if machine and arch != machine]
        if other:
            raise ConfigurationError(f"{path}: this program is for {machine}, and the board is {other[0]}")
        return Script(path, machine=machine)
    first, _, _ = head.partition(b"\n")
    if first.endswith(b"\r"):
        raise ConfigurationError(
            f"{path}:1: it has line ends of DOS (CRLF), which no interpreter takes: sed -i 's/\\r$//' {path.name}"
        )
    if b"\0" in head:
        raise ConfigurationError(f"{path}: this is no script: there are NUL characters in it")
    if not first.startswith(b"#!"):
        return Script(path, ("sh",))
    # as the kernel: an interpreter and all the rest of the line as one argument (execve(2))
    line = first[2:].decode(errors="replace").strip()
    interpreter, _, argument = line.partition(" ")
    if not interpreter:
        raise ConfigurationError(f"{path}:1: '#!' names no interpreter: write #!/bin/sh")
    return Script(path, (interpreter, *([argument.strip()] if argument.strip() else [])))


def run_script(
    shell: Shell,
    script: Script,
    arguments: tuple[str, ...],
    timeout: float,
    *,
    local: bool = False,
    guard: Callable[[str], Callable[[], object]] = lambda _: lambda: None,
    quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> CommandResult:
    """Send it to a folder of its own, run it there, and remove that. Streams and status are the script's.

    ``timeout`` in seconds is that of the run. ``local`` says that the board is this machine, where the folder goes
    whatever happens; ``guard`` takes a command that sees to that if this process dies, and returns what revokes it;
    ``quiet`` surrounds what is not the script's own on the console.
    Raises ``OperationFailed`` if the board has no place for it or lacks its interpreter, and what
    :meth:`~pytest_lava.console.shell.Shell.run` does.
    """
    with quiet():
        folder = _place(shell, script, old=not local)
    forget = guard(f"rm -rf {shlex.quote(folder)}") if local else lambda: None
    over = False
    try:
        file = f"{folder}/{script.name}"
        with quiet():
            _need(shell, script)
            shell.put(script.path, file, mode=0o755)
        result = shell.run(_line(script, file, arguments), cwd=folder, timeout=timeout)
        over = True
        return result
    except LavaError as error:
        over = not error.recovers
        raise
    finally:
        if local:
            shutil.rmtree(folder, ignore_errors=True)
            forget()
        elif over:
            with suppress(LavaError), quiet():  # the outcome of the script stands
                shell.run(f"cd / && rm -rf {shlex.quote(folder)}", timeout=_SHORT)


def _place(shell: Shell, script: Script, *, old: bool) -> str:
    """A new folder on the board; ``old`` ones go, as a board that died under a script may still have its folder."""
    name, runs = f"lava-script-{secrets.token_hex(6)}", not script.words
    remove = f'rm -rf "$d"/lava-script-{"?" * 12};' if old else ""
    found = shell.run(_PLACE % (remove, name, '"$t/x" 2>/dev/null' if runs else ":"), timeout=_SHORT)
    if found.returncode:
        raise OperationFailed(
            f"no folder of the board takes {script.name}: mount a tmpfs on /tmp{' without noexec' * runs}"
        )
    return found.stdout.rstrip("\n")


def _line(script: Script, file: str, arguments: tuple[str, ...]) -> str:
    words = script.words
    if len(words) == 2 and words[0].rsplit("/", 1)[-1] == "env" and words[1].startswith("-S"):
        words = (words[0], *shlex.split(words[1][2:]))  # busybox's env knows no -S
    return shlex.join([*words, file, *arguments])


def _need(shell: Shell, script: Script) -> None:
    needs = script.needs
    if needs and shell.run(f"command -v {shlex.quote(needs)} >/dev/null", timeout=_SHORT).returncode:
        raise OperationFailed(
            f"the board has no {needs}, which the first line of {script.name} asks for: put it into the image "
            "(--deb, --file), or name another interpreter"
        )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
