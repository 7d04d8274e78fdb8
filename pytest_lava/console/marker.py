"""The marker protocol: one round trip a command on any POSIX shell, both streams apart, exact.

After login the interactive shell is taken over by a loop of its own that reads plain lines: no echo, no line editing,
no prompt. A command runs in a subshell with its streams going to files on the board, and comes back as ::

    \\n@TAG+STATUS,SIZE_OUT,SIZE_ERR+\\n<stdout><stderr>\\n@TAG-STATUS@TAG-STATUS\\n

TAG is new for each command, the end marker is doubled so that a damaged status is noticed, and sizes tell whether a
kernel message landed in the middle: then it is taken out, and if sizes still differ the files are asked for again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.shell import DEFAULT_TIMEOUT, CommandResult
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import CommandTimeout, ConsoleLost, KernelCrash, OperationFailed, Timeout

__all__ = ["MarkerShell"]

_INLINE = 900  # a longer command goes through a file: a canonical tty cuts lines at 4095 characters
_PIECE = 240  # bytes of a command or of input per line
_ASK_AGAIN = 8
_WINDOW = 4096
_AFTER_INTERRUPT = 2.0  # seconds a command has to die of Ctrl-C, then of Ctrl-\
_PLAIN = frozenset(b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;/_+-=@~(){}<>|&*?!#"$^[]')

# Read by the loader line below; each line is one piece of the script, joined by newlines.
_AGENT = r"""
set +m 2>/dev/null; unset HISTFILE; trap : INT QUIT
for __d in /dev/shm /run /tmp /var/tmp . ; do ( : >"$__d/.lava$$" ) 2>/dev/null && break; done
__f="$__d/.lava$$"
__s() {
 __o=0; __e=0
 [ -s "$__f.o" ] && __o=$(wc -c <"$__f.o")
 [ -s "$__f.e" ] && __e=$(wc -c <"$__f.e")
 __o=$((__o)); __e=$((__e)); __x=; __y=
 [ $__o -gt $3 ] && __o=$3 && __x="head -c $3"
 [ $__e -gt $3 ] && __e=$3 && __y="head -c $3"
 printf '\n@%s+%s,%s,%s+\n' $1 $2 $__o $__e
 [ $__o = 0 ] || ${__x:-cat} "$__f.o"
 [ $__e = 0 ] || ${__y:-cat} "$__f.e"
 printf '\n@%s-%s@%s-%s\n' $1 $2 $1 $2
}
__r() { ( eval "$4" ) >"$__f.o" 2>"$__f.e" <"$3"; __s $1 $? $2; }
__w() { printf %b "$2" >>"$__f.$1"; }
__l() {
 while :; do
  IFS= read -r __i; __q=$?
  if [ $__q -ne 0 ]; then [ $__q -gt 128 ] && continue; exit 1; fi
  case $__i in
   '__'[rswt]' '*) eval "$__i";;
   *) eval "$__i"; printf '\n%s' "$__p";;
  esac
 done
}
__t() { for __k in "$@"; do : >"$__f.$__k"; done; }
"""


@dataclass(frozen=True)
class _Frame:
    """One complete answer."""

    status: int
    stdout: bytes
    stderr: bytes
    end: int


class MarkerShell:
    """A shell spoken to by markers; the :class:`~pytest_lava.console.shell.Shell` of boards without an agent."""

    def __init__(self, console: Console) -> None:
        self.prompt = f"lava-{secrets.token_hex(3)}# "
        self._console = console
        self._count = 0
        self._nonce = secrets.token_hex(3)
        self._spawn: ConsoleSpawn | None = None

    # -- taking over --------------------------------------------------------------------------------------------

    def take_over(self, deadline: Deadline) -> None:
        """Turn the interactive shell that is at its prompt now into ours. ``Timeout`` if it does not answer."""
        left, right = self._tag(), secrets.token_hex(2)
        start = self._console.end
        loader = (
            f"stty -echo -opost 2>/dev/null; printf '%s%s\\n' @{left} {right}; __a=; __n='"
            "\n"
            '\'; while IFS= read -r __i && [ "$__i" != . ]; do __a="$__a$__i$__n"; done; eval "$__a"; __l\n'
        )
        self._console.write(loader.encode(), deadline)
        marker = re.compile(re.escape(f"@{left}{right}".encode()))
        self._console.expect([marker], start=start, deadline=deadline, what="answer of the shell")
        start = self._console.end
        ready = self._tag()
        body = f"{_AGENT.strip()}\n__p='{self.prompt}'\nprintf '%s%s\\n' @{ready} {right}\n.\n"
        self._console.write(body.encode(), deadline)
        marker = re.compile(re.escape(f"@{ready}{right}".encode()))
        self._console.expect([marker], start=start, deadline=deadline, what="answer of the shell")

    # -- commands -----------------------------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        max_output: int = 16 << 20,
    ) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.run`."""
        if "\0" in command:
            raise ValueError("a command cannot hold a NUL character")
        deadline = Deadline.after(timeout)
        script = _script(command, cwd, env)
        self._console.mark(f"$ {command}")
        tag, start, t0 = self._tag(), self._console.end, monotonic()
        lines = []
        source = "/dev/null"
        if input is not None:
            lines += self._file("i", input.encode() if isinstance(input, str) else input)
            source = '"$__f.i"'
        if len(script) > _INLINE or not _typeable(script):
            lines += self._file("c", script)
            script = b'. "$__f.c"'
        lines.append(b"__r %s %d %s %s\n" % (tag.encode(), max_output, source.encode(), _quote(script)))
        try:
            for line in lines:
                self._console.write(line, deadline)
            frame = self._receive(tag, start, max_output, deadline)
        except Timeout:
            partial = self._interrupt(tag, start)
            raise CommandTimeout(
                f"the command did not end within {timeout:g} s: {command}",
                evidence=(partial.stdout + partial.stderr).decode(errors="replace") if partial else "",
            ) from None
        return CommandResult(
            command=command,
            returncode=frame.status,
            stdout_bytes=frame.stdout,
            stderr_bytes=frame.stderr,
            duration=monotonic() - t0,
            console=(start, frame.end),
            truncated=max_output in (len(frame.stdout), len(frame.stderr)),
        )

    def check(self, command: str, **options: Any) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.check`."""
        result = self.run(command, **options)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()
            last = f": {said[-1]}" if said else ""
            raise OperationFailed(
                f"the command returned {result.returncode}: {command}{last}", evidence=result.stdout + result.stderr
            )
        return result

    def alive(self, deadline: Deadline) -> bool:
        """Whether the loop answers; heals a tty that was left busy by Ctrl-C first."""
        tag, start = self._tag(), self._console.end
        try:
            self._console.write(b"\n__s %s 0 0\n" % tag.encode(), deadline)
            self._receive(tag, start, 0, deadline)
        except (Timeout, ConsoleLost, KernelCrash):
            return False
        return True

    # -- interactive programs -----------------------------------------------------------------------------------

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface, made at its first use."""
        if self._spawn is None:
            self._spawn = ConsoleSpawn(self._console)
        return self._spawn

    def send(self, text: str) -> int:
        """Type text."""
        return self.spawn.send(text)

    def sendline(self, text: str = "") -> int:
        """Type a line; when it ends the shell prints ``prompt``."""
        return self.spawn.sendline(text)

    def sendcontrol(self, char: str) -> int:
        """Type a control character."""
        return self.spawn.sendcontrol(char)

    def expect(self, pattern: Any, timeout: float = -1) -> int:
        """Wait for output; as pexpect's ``expect``."""
        return int(self.spawn.expect(pattern, timeout=timeout))

    # -- inside -------------------------------------------------------------------------------------------------

    def _tag(self) -> str:
        self._count += 1
        return f"{self._nonce}{self._count:x}"

    @staticmethod
    def _file(name: str, data: bytes) -> list[bytes]:
        lines = [b"__t %s\n" % name.encode()]
        for at in range(0, len(data), _PIECE):
            lines.append(b"__w %s '%s'\n" % (name.encode(), _escape(data[at : at + _PIECE])))
        return lines

    def _receive(self, tag: str, start: int, limit: int, deadline: Deadline) -> _Frame:
        """The frame of ``tag``, asked for again as long as kernel messages damage it."""
        for _ in range(_ASK_AGAIN):
            status, header_start, end = self._await_end(tag, start, deadline)
            frame = _parse(tag, status, self._console.read(header_start, end))
            if frame is not None:
                self._console.dismiss_findings()  # an exact answer after it: program output, or the kernel lives
                return replace(frame, end=end)
            tag, start = self._tag(), self._console.end
            self._console.write(b"__s %s %d %d\n" % (tag.encode(), status, limit), deadline)
        raise ConsoleLost("the console is too noisy: eight answers in a row were damaged; lower the kernel's log level")

    def _await_end(self, tag: str, start: int, deadline: Deadline) -> tuple[int, int, int]:
        """Status, start of the frame and offset behind the doubled end marker."""
        marker = re.compile(rb"@%s-(\d{1,3})@%s-\1\r?\n" % (tag.encode(), tag.encode()))
        seen = start
        findings_grace: Deadline | None = None

        def look() -> tuple[int, int, int] | None:
            nonlocal seen, findings_grace
            base = max(start, seen - _WINDOW)
            window = self._console.read(base)
            seen = base + len(window)
            match = marker.search(window)
            if match:
                return int(match[1]), start, base + match.end()
            if b"@" + tag.encode() in window or b"[" in window:
                match = marker.search(excise(window))
                if match:
                    return int(match[1]), start, seen
            if self._console.finding is not None:
                findings_grace = findings_grace or Deadline.after(0.5)
                if findings_grace.expired:
                    raise self._console.crash(self._console.finding)
            return None

        while True:
            until = findings_grace.at_most(3600) if findings_grace else deadline
            try:
                return self._console.wait(look, min(until, deadline, key=lambda d: d.at), what="end", watched=False)
            except Timeout:
                if findings_grace is None or (deadline.expired and not findings_grace.expired):
                    raise

    def _interrupt(self, tag: str, start: int) -> _Frame | None:
        """Ctrl-C, then Ctrl-\\, until the command's own frame comes. ``None`` leaves the shell to recovery."""
        for key in (b"\x03", b"\x1c"):
            deadline = Deadline.after(_AFTER_INTERRUPT)
            try:
                self._console.write(key, deadline)
                return self._receive(tag, start, 16 << 20, deadline)
            except (Timeout, ConsoleLost):
                continue
        return None


def _parse(tag: str, status: int, data: bytes) -> _Frame | None:
    """The streams between header and end marker, or ``None`` if kernel messages left no way to be exact."""
    header = re.compile(rb"\n@%s\+(\d{1,3}),(\d+),(\d+)\+\r?\n" % tag.encode())
    trailer = b"\n@%s-%d@%s-%d" % (tag.encode(), status, tag.encode(), status)
    for text in (data, excise(data)):
        match = header.search(text)
        last = text.rfind(trailer)
        if not match or last < 0 or int(match[1]) != status:
            continue
        out, err = int(match[2]), int(match[3])
        payload = text[match.end() : last]
        if len(payload) == out + err:
            return _Frame(status, payload[:out], payload[out:], 0)
    return None


def _script(command: str, cwd: str | None, env: Mapping[str, str] | None) -> bytes:
    lines = []
    if cwd is not None:
        lines.append(b"cd %s || exit 1" % _quote(cwd.encode()))
    for name, value in (env or {}).items():
        lines.append(b"export %s=%s" % (name.encode(), _quote(value.encode())))
    return b"\n".join([*lines, command.encode()])


def _typeable(script: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in script)


def _quote(text: bytes) -> bytes:
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def _escape(data: bytes) -> bytes:
    """For ``printf %b`` inside single quotes: what a tty, a shell or printf might touch becomes ``\\0ooo``."""
    return b"".join(bytes([byte]) if byte in _PLAIN else b"\\0%03o" % byte for byte in data)
