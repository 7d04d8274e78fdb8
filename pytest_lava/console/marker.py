"""The marker protocol: one round trip a command on any POSIX shell, both streams apart, exact.

After login the interactive shell is taken over by a loop of its own that reads plain lines: no echo, no line editing,
no prompt. A command runs in a subshell with its streams going to files on the board, and comes back as ::

    \\n@TAG+STATUS,SIZE_OUT,SIZE_ERR+\\n<stdout><stderr>\\n@TAG-STATUS@TAG-STATUS\\n

TAG is new for each command, the end marker is doubled so that a damaged status is noticed, and sizes tell whether a
kernel message landed in the middle: then it is taken out, and if sizes still differ the files are asked for again.
Each command writes to files of its own, so that what an earlier one left in the background cannot spoil them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from pytest_lava.console.console import Console
from pytest_lava.console.frames import readings
from pytest_lava.console.interactive import AT_PROMPT, Interactive
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.ladder import Ladder, refuse_if_hung
from pytest_lava.console.limits import EVIDENCE, KEEP_BYTES, KEEP_FILES
from pytest_lava.console.requests import command_text, quoted, refuse_a_text
from pytest_lava.console.shell import DEFAULT_OUTPUT, DEFAULT_TIMEOUT, CommandResult, OnOutput
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.console.watch import Finding
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, ConsoleLost, KernelCrash, TestTimeout, Timeout

__all__ = ["MarkerShell"]

_INLINE = 900  # a longer command goes through a file: a canonical tty cuts lines at 4095 characters
_PIECE = 240  # bytes of a command or of input per line
_ASK_AGAIN = 8
_WINDOW = 4096
_SILENCE = 1.0  # seconds without a byte after which an answer that began will not end
_NOT_LIVE = "silence= needs live output, which this board's shell has not: use timeout= instead"
_PLAIN = frozenset(b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;/_+-=@~(){}<>|&*?!#"$^[]')

# Read by the loader line below; each line is one piece of the script, joined by newlines. In place of @ comes the tag
# of a line of this machine (leavings.py), or nothing. A read that fails may be a Ctrl-C (busybox gives no other status
# than for an end of file), so only several in a row are the end. Lines of ours
# end with " #": one that a Ctrl-C cut short is dropped, as a syntax error in eval would throw dash and busybox out of
# the loop.
_AGENT = r"""
set +m 2>/dev/null; unset HISTFILE; trap : INT QUIT
for __d in /dev/shm /run /tmp /var/tmp . ; do ( : >"$__d/.lava@$$" ) 2>/dev/null && break; done
__f="$__d/.lava@$$"
trap 'rm -f "$__f" "$__f".*' EXIT; trap exit HUP
__s() {
 __o=0; __e=0
 [ -s "$__f.$4.o" ] && __o=$(wc -c <"$__f.$4.o")
 [ -s "$__f.$4.e" ] && __e=$(wc -c <"$__f.$4.e")
 __o=$((__o)); __e=$((__e))
 printf '\n@%s+%s,%s,%s+\n' $1 $2 $__o $__e
 [ $__o = 0 ] || head -c $((__o < $3 ? __o : $3)) "$__f.$4.o"
 [ $__e = 0 ] || head -c $((__e < $3 ? __e : $3)) "$__f.$4.e"
 printf '\n@%s-%s@%s-%s\n' $1 $2 $1 $2
}
__r() { ( eval "$4" ) >"$__f.$1.o" 2>"$__f.$1.e" <"$3"; __z=$?; __s $1 $__z $2 $1; }
__w() { printf %b "$2" >>"$__f.$1"; }
__d() { rm -f "$__f".*.?; }
__l() {
 __q=0
 while :; do
  IFS= read -r __i || { __q=$((__q + 1)); [ $__q -lt 9 ] && continue; exit 1; }
  __q=0
  case $__i in
   '__'[drsw]' '*' #') eval "$__i";;
   '__'[drsw]' '*) ;;
   __q) trap - INT QUIT HUP EXIT; rm -f "$__f" "$__f".*; stty sane 2>/dev/null; return;;
   *) eval "$__i"; printf '\n%s' "$__p";;
  esac
 done
}
"""


@dataclass(frozen=True)
class _Frame:
    """One complete answer."""

    status: int
    stdout: bytes
    stderr: bytes
    truncated: bool
    end: int = 0


class MarkerShell(Interactive):
    """A shell spoken to by markers; the :class:`~pytest_lava.console.shell.Shell` of boards without an agent."""

    def __init__(self, console: Console, *, timeout: float = DEFAULT_TIMEOUT, tag: str = "") -> None:
        self._names = tag
        self.prompt = f"lava-{secrets.token_hex(3)}# "
        super().__init__(console)
        self._timeout = timeout
        self._count = 0
        self._nonce = secrets.token_hex(3)
        self._files, self._bytes = 0, 0
        self._typing = False

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface, until the next command."""
        self._typing = True
        return super().spawn

    # -- taking over --------------------------------------------------------------------------------------------

    def take_over(self, deadline: Deadline) -> None:
        """Turn the interactive shell that is at its prompt now into ours. ``Timeout`` if it does not answer."""
        left, right = self._tag(), secrets.token_hex(2)
        start = self._console.end
        # One line, so that a loop of ours that an earlier run left behind takes it as well. The script ends with a line
        # of its own: a Ctrl-D would need a tty (a shell behind a bare TCP port has none) and one in canonical mode.
        loader = (
            f"\\unalias -a;\\stty -echo -opost icanon 2>&-;\\printf %s%s\\\\n @{left} {right};"
            "eval \"$(\\sed -n '/^\\.$/q;p')\";__l\n"
        )
        self._console.write(loader.encode(), deadline)
        self._await_text(f"@{left}{right}", start, deadline)
        start = self._console.end
        ready = self._tag()
        script = _AGENT.strip().replace("@$$", f"{self._names}$$")
        body = f"{script}\n__p='{self.prompt}'\nprintf '%s%s\\n' @{ready} {right}\n.\n"
        ahead = "__d .\n"  # busybox's sed reads one line too many; for whom it does not, the loop drops this one
        self._console.write((body + ahead).encode(), deadline)
        self._await_text(f"@{ready}{right}", start, deadline)

    def _await_text(self, text: str, start: int, deadline: Deadline) -> None:
        sought, console = text.encode(), self._console
        console.wait(lambda: sought in excise(console.read(start)) or None, deadline, what="answer of the shell")

    def leave(self, deadline: Deadline) -> None:
        """Give the line back to the shell that it was taken from, for the people who use it after us."""
        self._console.write(b"\n__q\n", deadline)

    # -- commands -----------------------------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        max_output: int = DEFAULT_OUTPUT,
        on_output: OnOutput | None = None,
        silence: float | None = None,
    ) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.run`."""
        if silence is not None:
            raise ConfigurationError(_NOT_LIVE)
        script = command_text(command, cwd, env)
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, got {max_output}")
        timeout = self._timeout if timeout is None else timeout
        deadline = Deadline.after(timeout)
        refuse_if_hung(self._console, lambda _, limit: self.alive(limit))
        if (finding := self._console.finding) is not None and self._console.certain(finding):
            raise self._console.crash(finding)  # it came while nobody waited
        self._console.mark(f"$ {command}")
        tag, start, t0 = self._tag(), self._console.end, monotonic()
        data = input.encode() if isinstance(input, str) else input
        try:
            with self._carrying_out(command):
                self._end_typing(deadline)
                for line in self._lines(tag, script, data, max_output):
                    self._console.write(line, deadline)
                frame = self._receive(tag, start, max_output, deadline)
        except (TestTimeout, Timeout) as error:
            ladder = Ladder(self._console)
            said = self._interrupt(ladder, tag, start, max_output)
            cut = error if isinstance(error, TestTimeout) else None
            raise ladder.give_up(command, timeout, said, cut, typed=self._typing) from None
        finally:
            self._skip_output()
        if on_output is not None and (written := frame.stdout + frame.stderr):
            on_output(written)
        return CommandResult(
            command=command,
            returncode=frame.status,
            stdout_bytes=frame.stdout,
            stderr_bytes=frame.stderr,
            duration=monotonic() - t0,
            console=(start, frame.end),
            truncated=frame.truncated,
        )

    def run_many(
        self,
        commands: Sequence[str],
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        max_output: int = DEFAULT_OUTPUT,
    ) -> list[CommandResult]:
        """See :meth:`pytest_lava.console.shell.Shell.run_many`: one by one."""
        refuse_a_text(commands)
        deadline = Deadline.after(self._timeout if timeout is None else timeout)
        return [
            self.run(command, timeout=deadline.remaining(), cwd=cwd, env=env, max_output=max_output)
            for command in commands
        ]

    def alive(self, deadline: Deadline) -> bool:
        """Whether the loop answers; heals a tty that was left busy by Ctrl-C first."""
        tag, start = self._tag(), self._console.end
        try:
            self._console.write(b"\n__s %s 0 0 - #\n" % tag.encode(), deadline)
            self._receive(tag, start, 0, deadline)
        except (Timeout, ConsoleLost, KernelCrash):
            return False
        return True

    # -- inside -------------------------------------------------------------------------------------------------

    def _end_typing(self, deadline: Deadline) -> None:
        if self._typing and not self.alive(deadline.at_most(AT_PROMPT)):
            raise Timeout("what was typed has not ended")
        self._typing = False

    def _tag(self) -> str:
        self._count += 1
        return f"{self._nonce}{self._count:x}"

    def _lines(self, tag: str, script: bytes, data: bytes | None, limit: int) -> Iterator[bytes]:
        """What is typed for a command: the last line runs it."""
        if self._files >= KEEP_FILES or self._bytes >= KEEP_BYTES:
            self._files = self._bytes = 0
            yield b"__d all #\n"
        self._files += 1
        source = b"/dev/null"
        if data is not None:
            yield from _file(f"{tag}.i", data)
            source = b'"$__f.%s.i"' % tag.encode()
        if len(script) > _INLINE or not _typeable(script):
            yield from _file(f"{tag}.c", script)
            script = b'. "$__f.%s.c"' % tag.encode()
        yield b"__r %s %d %s %s #\n" % (tag.encode(), limit, source, quoted(script.decode()))

    def _receive(self, tag: str, start: int, limit: int, deadline: Deadline, *, again: int | None = None) -> _Frame:
        """The frame of ``tag``, asked for again (at most ``again`` bytes) as long as kernel messages damage it."""
        wanted, begin = tag, start
        for asked in range(_ASK_AGAIN):
            if (ending := self._await_end(wanted, start, deadline, heeding=again is None)) is not None:
                status, end = ending
                frame = _parse(wanted, status, self._console.read(start, end), limit)
                if frame is not None:
                    self._console.proven(begin, end, frame.stdout, frame.stderr, exact=not asked)
                    self._bytes += len(frame.stdout) + len(frame.stderr)
                    return replace(frame, end=end)
            limit = limit if again is None else min(limit, again)
            wanted, start = self._tag(), self._console.end
            self._console.write(f"__s {wanted} $__z {limit} {tag} #\n".encode(), deadline)
        raise ConsoleLost("the console is too noisy: eight answers in a row were damaged; lower the kernel's log level")

    def _await_end(self, tag: str, start: int, deadline: Deadline, *, heeding: bool = False) -> tuple[int, int] | None:
        """Status and offset behind the doubled end marker; ``None`` if the answer began and broke off.

        What comes before an answer is the kernel's own word: a finding there counts. One within the output may be
        a program's: it counts when output has ceased to come.
        """
        marker = re.compile(rb"@%s-(\d{1,3})@%s-\1\r?\n" % (tag.encode(), tag.encode()))
        seen = start

        def look() -> tuple[int, int] | None:
            nonlocal seen
            base = max(start, seen - _WINDOW)
            window = self._console.read(base)
            seen = base + len(window)
            if match := marker.search(window):
                return int(match[1]), base + match.end()
            if match := marker.search(excise(window)):
                return int(match[1]), seen
            return None

        def look_for_either() -> tuple[tuple[int, int] | None, Finding | None] | None:
            if found := look():
                return found, None
            finding = self._console.finding
            early = finding and start <= finding.offset < seen and not self._has_begun(tag, start, finding.offset)
            return (None, finding) if early else None

        while True:
            try:
                ending, early = self._console.wait(look_for_either, deadline, what="end", watched=False, quiet=_SILENCE)
            except Timeout:
                if deadline.expired:
                    raise
                if (finding := self._console.finding) is not None:
                    raise self._console.crash(finding) from None
                if self._has_begun(tag, start):
                    return None
                if heeding:
                    self._console.cut.heed("no end of the command by then")
                continue
            error = self._console.crash(early) if early else None
            ending = ending or look()  # it may have come while the trace was waited for
            if ending is None and error is not None:
                raise error
            return ending

    def _has_begun(self, tag: str, start: int, end: int | None = None) -> bool:
        """Whether the header of an answer came by ``end``: what follows may be a part of the streams."""
        return b"\n@%s+" % tag.encode() in excise(self._console.read(start, end))

    def _interrupt(self, ladder: Ladder, tag: str, start: int, limit: int) -> str:
        """Ctrl-C and Ctrl-\\ until the loop answers; what the command had written, if it began."""

        def ask(key: bytes, deadline: Deadline) -> bool:
            probe = self._tag()
            self._console.write(b"%s\n__s %s 0 0 - #\n" % (key, probe.encode()), deadline)
            return self._await_end(probe, start, deadline) is not None

        if ladder.interrupt(ask):
            with suppress(Timeout, ConsoleLost):
                frame = self._receive(tag, start, limit, Deadline.after(0), again=EVIDENCE)
                return (frame.stdout + frame.stderr).decode(errors="replace")
        return ""


def _header(tag: str) -> re.Pattern[bytes]:
    return re.compile(rb"\n@%s\+(\d{1,3}),(\d+),(\d+)\+\r?\n" % tag.encode())


def _parse(tag: str, status: int, data: bytes, limit: int) -> _Frame | None:
    """The streams between header and end marker, or ``None`` if kernel messages left no way to be exact.

    Where the tty could not be told to leave newlines alone (no ``stty``), each has got a carriage return before it.
    """
    trailer = b"\n@%s-%d@%s-%d" % (tag.encode(), status, tag.encode(), status)
    for text in chain([data], readings(data)):
        match = _header(tag).search(text)
        last = text.rfind(trailer)
        if not match or last < 0 or int(match[1]) != status:
            continue
        out, err = (min(int(size), limit) for size in match.group(2, 3))
        payload = text[match.end() : last]
        if len(payload) == out + err:
            cut = max(int(match[2]), int(match[3])) > limit
            return _Frame(status, payload[:out], payload[out:], cut)
    return None


def _file(name: str, data: bytes) -> Iterator[bytes]:
    """Lines that make a file on the board."""
    for at in range(0, max(len(data), 1), _PIECE):
        yield b"__w %s '%s' #\n" % (name.encode(), _escape(data[at : at + _PIECE]))


def _typeable(script: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in script)


def _escape(data: bytes) -> bytes:
    """For ``printf %b`` inside single quotes: what a tty, a shell or printf might touch becomes ``\\0ooo``."""
    return b"".join(bytes([byte]) if byte in _PLAIN else b"\\0%03o" % byte for byte in data)
