"""The agent protocol: length-framed commands, checksummed answers, exact whatever the kernel prints in between.

After login a small POSIX sh loop (``agent.sh``) reads the tty without echo, line editing or translation. A command is
one round trip and, when it writes nothing, one fork. Streams go to files on the board and come back with sizes and
sums; kernel records that landed in the middle are taken out, and what is then still damaged is asked for again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pytest_lava.console.answers import Answer, Answers, Refused
from pytest_lava.console.batch import groups_of, results_of, text_of
from pytest_lava.console.console import Console
from pytest_lava.console.interactive import Interactive
from pytest_lava.console.requests import command_text, request, script_of
from pytest_lava.console.shell import DEFAULT_TIMEOUT, CommandResult
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import CommandTimeout, ConsoleLost, InfrastructureError, KernelCrash, LavaError, Timeout

__all__ = ["AgentShell", "AgentUnfit", "script_of"]

# Ctrl-C, twice as the first may come before a command that just begins can take it, and Ctrl-\, with the seconds that a
# command has to die of it
_INTERRUPTS = ((b"\x03", 0.5), (b"\x03", 1.5), (b"\x1c", 2.0))
_EVIDENCE = 65536  # bytes of each stream that are fetched when a command was interrupted
_ATTEMPTS = 3  # for what may be damaged on its way to the board
_PING = 1.0
_AT_PROMPT = 2.0  # seconds a shell at its prompt has to answer
_UPLOAD = 5.0
_PAUSE = 0.2
_KEEP_FILES = 20  # commands whose files stay on the board; removing them costs a process
_KEEP_BYTES = 1 << 20
_MANY = 64 << 20  # bytes that all commands of a batch may write

_UNFIT = {
    "-": "its tty cannot be set: there is no stty, or it is no tty",
    "!": "no folder can be written, or there is no space left (/dev/shm, /run, /tmp)",
    "?": "it lacks cat, head or wc",
}


class AgentUnfit(InfrastructureError):
    """The agent cannot live in this shell; the message says what it lacks."""


@dataclass(frozen=True)
class _Job:
    """What the agent is to do."""

    name: str
    text: bytes
    data: bytes | None
    timeout: float
    limit: int
    on_output: Callable[[bytes], None] | None


class AgentShell(Interactive):
    """A shell whose answers are proven; see :class:`pytest_lava.console.shell.Shell`."""

    def __init__(self, console: Console, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        super().__init__(console)
        self._timeout = timeout
        self.prompt = f"lava-{secrets.token_hex(3)}# "
        self._nonce = secrets.token_hex(2)
        self._count = 0
        self._defined: set[str] = set()
        self._answers = Answers(console, lambda deadline: self.define("agent_encoded.sh", deadline))
        self._files = self._bytes = 0
        self._typing = False
        #: how the board computes sums: c (cksum), m (md5sum) or w (it cannot)
        self.sums = "w"

    # -- taking over --------------------------------------------------------------------------------------------

    def take_over(self, deadline: Deadline) -> None:
        """Turn the shell that is at its prompt into ours. ``Timeout`` if it does not answer, ``AgentUnfit``."""
        for _ in range(_ATTEMPTS):
            facts = self._upload(deadline)
            if facts != "~":
                break
        else:
            raise AgentUnfit("what is sent to the board arrives damaged")
        if facts[1:] != "+":
            self.leave(deadline)
            raise AgentUnfit(_UNFIT.get(facts[1:], f"it answered {facts!r}"))
        self.sums = facts[0]
        self._files = self._bytes = 0
        self._typing = False
        self._defined.clear()

    def leave(self, deadline: Deadline) -> None:
        """Give the line back to the shell that it was taken from, for the people who use it after us."""
        with suppress(Timeout):
            self._tell("Q", deadline, "agent that leaves")

    def _tell(self, verb: str, deadline: Deadline, what: str) -> None:
        """A request that is answered by its letter."""
        token, start = self._next(), self._console.end
        self._console.write(f"\n{verb} {token}\n".encode(), deadline)
        answer = re.compile(f"~{verb}{token}\\.\r?\n".encode())
        self._answers.await_match(answer, start, deadline, what)

    def define(self, script: str, deadline: Deadline) -> None:
        """Give the agent the functions of a script of this package, once a boot."""
        if script in self._defined:
            return
        text = script_of(script) + "\n"
        for _ in range(_ATTEMPTS):
            token, start = self._next(), self._console.end
            self._console.write(f"X {token} {len(text)}\n{text}.\n".encode(), deadline)
            answer = re.compile(rb"~X%s([.!])" % token.encode())
            if self._answers.await_match(answer, start, deadline, f"agent that takes {script}")[1] == b".":
                self._defined.add(script)
                return
        raise ConsoleLost("what is sent to the board arrives damaged: check cable, speed and flow control")

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface; the tty is then as interactive programs expect it, until the next command."""
        spawn = super().spawn
        if not self._typing:
            self._tell("I", Deadline.after(_UPLOAD), "agent that lets people type")
            self._typing = True
            self._skip_output()
        return spawn

    # -- is it there? -------------------------------------------------------------------------------------------

    def ping(self, deadline: Deadline) -> bool:
        """Whether the agent answers by ``deadline``; False while a command runs, too."""
        return self._answers.pong(self._next(), self._console.end, deadline)

    def alive(self, deadline: Deadline) -> bool:
        """Whether the agent answers; heals a tty that lost its settings."""
        return self._heal(deadline)

    def resync(self, deadline: Deadline) -> bool:
        """Get the shell back: ping, then Ctrl-C, then a prompt and the agent sent anew. Whether it is usable again."""
        try:
            if self._heal(deadline.at_most(_PING)):
                return True
            for key in (b"\x03", b"\x1c"):
                self._console.write(key, deadline)
                if self._heal(deadline.at_most(_PING)):
                    return True
            while not deadline.expired:
                # a shell at its prompt may throw away what comes together with Ctrl-C
                self._console.write(b"\x03", deadline)
                self._pause(deadline)
                with suppress(Timeout):
                    self._send_marked("\necho @{marker}\n", deadline.at_most(_AT_PROMPT))
                    self.take_over(deadline.at_most(_UPLOAD))
                    return self.ping(deadline.at_most(_PING))
        except LavaError:
            pass
        return False

    # -- commands -----------------------------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        max_output: int = 16 << 20,
        on_output: Callable[[bytes], None] | None = None,
    ) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.run`. ``on_output`` gets all output live, as the line says it."""
        text = command_text(command, cwd, env)
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, got {max_output}")
        timeout = self._timeout if timeout is None else timeout
        deadline = Deadline.after(timeout)
        self._console.mark(f"$ {command}")
        data = input.encode() if isinstance(input, str) else input
        begin, t0 = self._console.end, monotonic()
        answer = self._carry_out(_Job(command, text, data, timeout, max_output, on_output), deadline)
        return CommandResult(
            command=command,
            returncode=answer.header.status,
            stdout_bytes=answer.streams[0],
            stderr_bytes=answer.streams[1],
            duration=monotonic() - t0,
            console=(begin, answer.end),
            truncated="t" in answer.header.flags,
            device_seconds=answer.header.seconds,
        )

    def run_many(
        self,
        commands: Sequence[str],
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        max_output: int = 16 << 20,
    ) -> list[CommandResult]:
        """Many small commands, each in its own subshell, in one request: less time on the line and fewer processes.

        ``timeout`` is for all together. Where the board has a clock, ``duration`` is its word.
        """
        surroundings = command_text("", cwd, env)
        for command in commands:
            command_text(command, None, None)
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, got {max_output}")
        timeout = self._timeout if timeout is None else timeout
        deadline = Deadline.after(timeout)
        results: list[CommandResult] = []
        for group in groups_of(commands):
            self.define("agent_many.sh", deadline)
            self._console.mark("\n".join(f"$ {command}" for command in group))
            begin, t0 = self._console.end, monotonic()
            what = f"{len(group)} commands, the first being {group[0]!r}"
            job = _Job(what, surroundings + text_of(group), None, timeout, _MANY, None)
            answer = self._carry_out(job, deadline)
            seconds = (monotonic() - t0) / len(group)
            results += results_of(group, answer, (begin, answer.end), seconds, max_output)
        return results

    def _carry_out(self, job: _Job, deadline: Deadline) -> Answer:
        self._settle(deadline)
        try:
            answer = self._ask(job, deadline)
        finally:
            self._skip_output()
        if answer.crooked:
            self._heal(Deadline.after(_AT_PROMPT))
        self._bytes += sum(answer.header.sizes)
        if "f" in answer.header.flags:
            self._bytes = _KEEP_BYTES  # so that they go before the next command
            raise InfrastructureError(f"no space left on the board for the output of: {job.name}")
        return answer

    def _ask(self, job: _Job, deadline: Deadline) -> Answer:
        verb = "D" if job.on_output is None else "V"
        frame = ""
        try:
            if self._typing and not self._heal(deadline):
                raise Timeout("what was typed has not ended")
            self._typing = False
            if job.on_output is not None:
                self.define("agent_live.sh", deadline)
            for _ in range(_ATTEMPTS):
                self._tidy(deadline)
                frame, start = self._next(), self._console.end
                try:
                    for piece in request(verb, frame, job.text, job.data, job.limit):
                        self._console.write(piece, deadline)
                    return self._answers.receive(frame, start, job.limit, deadline, job.on_output)
                except Refused:
                    self._heal(deadline.at_most(_PING))
        except Timeout:
            said = self._interrupt(frame)
            raise CommandTimeout(
                f"the command did not end within {job.timeout:g} s: {job.name}", evidence=said.decode(errors="replace")
            ) from None
        raise ConsoleLost("what is sent to the board arrives damaged: check cable, speed and flow control")

    # -- inside -------------------------------------------------------------------------------------------------

    def _next(self) -> str:
        self._count += 1
        return f"{self._nonce}{self._count:x}"

    def _upload(self, deadline: Deadline) -> str:
        """Send the agent; what it found out about the board, or ``~`` if it did not arrive whole."""
        body = (
            f"{script_of('agent.sh')}\n__p='{self.prompt}'; __tty && __x=+ || __x=-; [ -s \"$__f.x\" ] || __x='!'\n"
            "[ $( (echo abc | cat | head -c 2 | wc -c) 2>/dev/null)x = 2x ] || __x='?'; echo @{marker}$__m$__x\n"
        )
        left, right = self._next(), secrets.token_hex(2)
        body = body.replace("{marker}", f'{left}""{right}')
        # one line, so that a loop of ours that an earlier run left behind takes it as well
        loader = (
            "\\unalias -a; \\stty -echo -opost 2>/dev/null; echo @{marker}; __a=; "
            "__n=$(\\printf '\\nx'); __n=${__n%x}; "
            'while IFS= read -r __i && [ "$__i" != . ]; do __a="$__a$__i$__n"; done; '
            f'if [ ${{#__a}} = {len(body)} ]; then eval "$__a"; __loop; else echo @{left}""{right}"~"; fi\n'
        )
        self._send_marked(loader, deadline)
        start = self._console.end
        self._console.write(f"{body}.\n".encode(), deadline)
        answer = re.compile(rb"@%s%s([^\r\n]*)\r?\n" % (left.encode(), right.encode()))
        return self._answers.await_match(answer, start, deadline, "answer of the shell")[1].decode(errors="replace")

    def _send_marked(self, line: str, deadline: Deadline) -> None:
        """Send a line that prints a marker, split so that its echo does not match, and wait for that."""
        left, right = self._next(), secrets.token_hex(2)
        start = self._console.end
        self._console.write(line.replace("{marker}", f'{left}""{right}').encode(), deadline)
        marker = re.compile(rb"@%s%s" % (left.encode(), right.encode()))
        self._answers.await_match(marker, start, deadline, "answer of the shell")

    def _pause(self, deadline: Deadline) -> None:
        """Until the line says something, or a moment."""
        seen, console = self._console.end, self._console
        with suppress(Timeout):
            console.wait(lambda: console.end > seen or None, deadline.at_most(_PAUSE), what="prompt", watched=False)

    def _settle(self, deadline: Deadline) -> None:
        """A finding that nobody has told of yet: output of an interactive program, or a dead kernel?"""
        finding = self._console.finding
        if finding is not None and not self.ping(deadline.at_most(_PING)):
            raise self._console.crash(finding)

    def _tidy(self, deadline: Deadline) -> None:
        self._files += 1
        if self._files > _KEEP_FILES or self._bytes >= _KEEP_BYTES:
            self._files = self._bytes = 0
            self._console.write(b"K\n", deadline)

    def _heal(self, deadline: Deadline) -> bool:
        """Set the tty again, as a command or we ourselves did otherwise; whether the agent answers."""
        start = self._console.end
        try:
            self._console.write(b"\nT\n", deadline)
        except (Timeout, ConsoleLost):
            return False
        return self._answers.pong(self._next(), start, deadline)

    def _interrupt(self, frame: str) -> bytes:
        """Ctrl-C, then Ctrl-\\, until the agent answers; the beginning of what the command wrote.

        Nothing if the agent does not answer: that leaves the shell to :meth:`resync`.
        """
        for key, seconds in _INTERRUPTS:
            deadline, start = Deadline.after(seconds), self._console.end
            try:
                self._console.write(key, deadline)
                if not self._answers.pong(self._next(), start, deadline):
                    continue
                if not frame:
                    return b""
                start, deadline = self._console.end, Deadline.after(_UPLOAD)
                self._console.write(b"A %s %d\n" % (frame.encode(), _EVIDENCE), deadline)
                return b"".join(self._answers.receive(frame, start, _EVIDENCE, deadline).streams)
            except (Timeout, ConsoleLost, KernelCrash, Refused):
                break
        return b""
