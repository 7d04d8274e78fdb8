"""The agent protocol: length-framed commands, checksummed answers, exact whatever the kernel prints in between.

After login a small POSIX sh loop (``agent.sh``) reads the tty without echo, line editing or translation. A command is
one round trip and, when it writes nothing, one fork. Streams go to files on the board and come back with sizes and
sums; kernel records that landed in the middle are taken out, and what is then still damaged is asked for again.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pytest_lava.console.answers import Answer, Answers, Refused, Replaced
from pytest_lava.console.asking import ATTEMPTS, DAMAGED, Asking
from pytest_lava.console.batch import groups_of, results_of, text_of
from pytest_lava.console.console import Console
from pytest_lava.console.heartbeat import Heartbeat
from pytest_lava.console.interactive import AT_PROMPT, Interactive
from pytest_lava.console.ladder import Ladder, refuse_if_hung, replaced
from pytest_lava.console.limits import EVIDENCE, KEEP_BYTES, KEEP_FILES
from pytest_lava.console.requests import by_file, command_text, refuse_a_text, request, script_of
from pytest_lava.console.shell import DEFAULT_OUTPUT, DEFAULT_TIMEOUT, CommandResult, OnOutput
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, InfrastructureError, KernelCrash, LavaError, TestTimeout, Timeout

__all__ = ["AgentShell", "AgentUnfit", "script_of"]

_PING = 1.0
_UPLOAD = 30.0  # seconds that the agent takes at most on a line that is slow or has to be spoken to slowly
_HEAL = 2.0
_DEFINE = 5.0
_MANY = 64 << 20  # bytes that all commands of a batch may write

_TTY = "raw -echo isig"
# what stands in the way: aliases, zsh's own language, an IFS, and functions that a profile has put in place of tools
_PLAIN = '\\unalias -a;[ "${ZSH_VERSION-}" ]&&emulate sh;\\unset IFS;\\unset -f stty sed echo printf;'
# how a shell takes all lines up to a dot: by a program that reads many bytes at a time, or where there is none, itself
_BY_SED = "__a=$(\\sed -n '/^\\.$/q;p')"
_BY_SHELL = '__a= __n="$(\\printf "\\nx")";while IFS= read -r __i&&[ "$__i" != . ];do __a=$__a${__a:+${__n%x}}$__i;done'
_UNFIT = {
    "-": "its tty cannot be set: there is no stty, or it is no tty",
    "!": "no folder can be written, or there is no space left (/dev/shm, /run, /tmp): mount a tmpfs on /run",
    "?": "there is no head in its PATH, or it is a restricted shell",
}


class AgentUnfit(InfrastructureError):
    """The agent cannot live in this shell; the message says what it lacks.

    ``markers`` says whether :class:`~pytest_lava.console.marker.MarkerShell` can do without that.
    """

    def __init__(self, message: str, *, markers: bool = False) -> None:
        super().__init__(message)
        self.markers = markers


@dataclass(frozen=True)
class _Job:
    """What the agent is to do."""

    name: str
    text: bytes
    data: bytes | None
    timeout: float
    limit: int
    on_output: OnOutput | None
    #: more functions that it takes
    script: str = ""
    #: seconds that may pass without output, where it is live
    silence: float = math.inf

    @property
    def scripts(self) -> list[str]:
        """All functions that it takes."""
        needed = [self.script] if self.script else []
        if self.on_output is not None:
            needed.append("agent_live.sh")
        if self.data is not None or by_file(self.text):
            needed.append("agent_given.sh")
        return needed


def _unheard(data: bytes) -> None:
    """Takes live output of which only the coming matters."""


class AgentShell(Interactive):
    """A shell whose answers are proven; see :class:`pytest_lava.console.shell.Shell`."""

    def __init__(
        self, console: Console, *, timeout: float = DEFAULT_TIMEOUT, silence: float | None = None, tag: str = ""
    ) -> None:
        super().__init__(console)
        self._tag, self._silence = tag, silence
        self._timeout = timeout
        self.prompt = f"lava-{secrets.token_hex(3)}# "
        self._asking = Asking(console)
        self._answers = Answers(console, self._asking)
        self._files = self._bytes = 0
        self._typing = False
        self._homeless = False  # its folder on the board cannot be used any more; there may be another one

    # -- taking over --------------------------------------------------------------------------------------------

    def take_over(self, deadline: Deadline) -> None:
        """Turn the shell that is at its prompt into ours. ``Timeout`` if there is none, ``AgentUnfit``."""
        for reader in (_BY_SED, _BY_SED, _BY_SHELL):
            facts = self._upload(reader, deadline)
            if facts != "~":
                break
        else:
            raise AgentUnfit(DAMAGED)
        self._asking.forget()
        self._asking.unread = 0
        if facts != "+":
            self.leave(deadline)
            raise AgentUnfit(_UNFIT.get(facts, f"it answered {facts!r}"), markers=facts == "-")
        self._files = self._bytes = 0
        self._typing = self._homeless = False

    def leave(self, deadline: Deadline) -> None:
        """Give the line back to the shell that it was taken from, for the people who use it after us."""
        if not self._heal(deadline):
            return
        with suppress(Timeout):
            self._asking.define("agent_left.sh", deadline)
            self._asking.tell("Q", deadline, "agent that leaves")

    def _upload(self, reader: str, deadline: Deadline) -> str:
        """Send the agent; what it found out about the board, or ``~`` if it did not arrive whole."""
        left, right = self._asking.token(), secrets.token_hex(2)
        script = script_of("agent.sh").replace("@$$", f"{self._tag}$$")
        body = f'{script}\necho @{left}""{right}$__x'
        # One line, so that a loop of ours that an earlier run left behind takes it as well. The script ends with a line
        # of its own: a Ctrl-D would need a tty in canonical mode. After && the loop's commands could not use set -e.
        loader = (
            f"{_PLAIN}__o='{_TTY}';\\stty $__o 2>&-&&__x=+||__x=-;\\echo @{{marker}};{reader};"
            f'if [ ${{#__a}} = {len(body)} ];then \\eval "$__a";__loop;else \\echo @{left}""{right}"~";fi\n'
        )
        start = self._console.end
        self._asking.await_marker(loader, deadline.at_most(AT_PROMPT))
        limit = deadline.at_most(_UPLOAD)
        answer = re.compile(rb"@%s%s([^\r\n]*)\r?\n" % (left.encode(), right.encode()))
        # busybox's sed reads one line too many; for whom it does not, the loop drops this one
        self._console.write(f"{body}\n.\n.\n".encode(), limit)
        try:
            return self._asking.await_match(answer, start, limit, "agent")[1].decode(errors="replace")
        except Timeout as error:
            self._console.write(b"\x03\nstty sane\n", Deadline.after(_HEAL))
            raise AgentUnfit("the shell does not understand it", markers=True) from error

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface; the tty is then as interactive programs expect it, until the next command."""
        spawn = super().spawn
        if not self._typing:
            limit = Deadline.after(_DEFINE)
            self._asking.define("agent_typed.sh", limit, f"\n__p='{self.prompt}'")
            self._asking.tell("I", limit, "agent that lets people type")
            self._typing = True
            self._skip_output()
        return spawn

    # -- is it there? -------------------------------------------------------------------------------------------

    def ping(self, deadline: Deadline) -> bool:
        """Whether the agent answers by ``deadline``; False while a command runs, too."""
        return self._asking.pong(self._console.end, deadline)

    def alive(self, deadline: Deadline) -> bool:
        """Whether the agent answers; heals a tty that lost its settings."""
        return self._heal(deadline)

    def heartbeat(self, file: str, deadline: Deadline) -> Heartbeat:
        """What asks for signs of life and the first line of ``file`` on the board, while something runs there."""
        self._asking.define("agent_beat.sh", deadline)
        return Heartbeat(self._console, self._asking, file)

    def resync(self, deadline: Deadline) -> bool:
        """Get the shell back, as recovery's first rung: ping, Ctrl-C, Ctrl-\\, then a prompt and the agent sent anew.

        True: the next command may be run at once. False: no shell answers by ``deadline`` (a prompt that asks for a
        login is none), and the board needs another rung. Raises no ``LavaError`` and switches nothing; what was
        running, and variables of the old shell, are gone.
        """
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
                self._asking.pause(deadline)
                with suppress(Timeout):
                    self._asking.await_marker("\necho @{marker}\n", deadline.at_most(_HEAL))
                    self.take_over(deadline)
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
        max_output: int = DEFAULT_OUTPUT,
        on_output: OnOutput | None = None,
        silence: float | None = None,
    ) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.run`."""
        text = command_text(command, cwd, env)
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, got {max_output}")
        if silence is not None and not silence > 0:
            raise ValueError(f"silence must be greater than 0 s, got {silence:g}")
        timeout = self._timeout if timeout is None else timeout
        if silence is None and self._silence is not None and self._silence < timeout:
            silence = self._silence
        if silence is not None and on_output is None:
            on_output = _unheard
        deadline = Deadline.after(timeout)
        refuse_if_hung(self._console, lambda _, limit: self.alive(limit))
        self._console.mark(f"$ {command}")
        data = input.encode() if isinstance(input, str) else input
        begin, t0 = self._console.end, monotonic()
        job = _Job(command, text, data, timeout, max_output, on_output, silence=silence or math.inf)
        answer = self._carry_out(job, deadline)
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
        max_output: int = DEFAULT_OUTPUT,
    ) -> list[CommandResult]:
        """See :meth:`pytest_lava.console.shell.Shell.run_many`; ``duration`` is the word of the board's clock."""
        refuse_a_text(commands)
        surroundings = command_text("", cwd, env)
        for command in commands:
            command_text(command, None, None)
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, got {max_output}")
        timeout = self._timeout if timeout is None else timeout
        deadline = Deadline.after(timeout)
        refuse_if_hung(self._console, lambda _, limit: self.alive(limit))
        results: list[CommandResult] = []
        for group in groups_of(commands):
            self._console.mark("\n".join(f"$ {command}" for command in group))
            begin, t0 = self._console.end, monotonic()
            what = f"{len(group)} commands, the first being {group[0]!r}"
            job = _Job(what, surroundings + text_of(group), None, timeout, _MANY, None, "agent_many.sh")
            answer = self._carry_out(job, deadline)
            seconds = (monotonic() - t0) / len(group)
            results += results_of(group, answer, (begin, answer.end), seconds, max_output)
        return results

    def _carry_out(self, job: _Job, deadline: Deadline) -> Answer:
        try:
            with self._carrying_out(job.name):
                self._settle(deadline)
                answer = self._ask(job, deadline)
        finally:
            self._skip_output()
        self._console.cut.heed(f"the command ended only now: {job.name}")
        if answer.crooked:
            self._heal(Deadline.after(_HEAL))
        self._bytes += sum(answer.header.sizes)
        gone, full = "g" in answer.header.flags, "f" in answer.header.flags
        if gone or full:
            self._bytes = KEEP_BYTES  # so that they go before the next command
            self._homeless = gone and full
            if not gone:
                raise InfrastructureError(f"no space left on the board for the output of: {job.name}")
            raise InfrastructureError(
                f"the files for its output are gone, as if it removed them or mounted something over them: {job.name}"
            )
        return answer

    def _ask(self, job: _Job, deadline: Deadline) -> Answer:
        frame = ""
        try:
            if self._homeless:
                self.take_over(deadline)
            if self._typing and not self._heal(deadline.at_most(AT_PROMPT)):
                raise Timeout("what was typed has not ended")
            self._typing = False
            for script in job.scripts:
                self._asking.define(script, deadline)
            for _ in range(ATTEMPTS):
                self._tidy(deadline)
                frame, start = self._asking.token(), self._console.end
                if job.on_output is not None:
                    self._answers.expect_live()
                self._asking.unread = job.text.count(b"\n") + 1
                try:
                    for piece in request("D" if job.on_output is None else "V", frame, job.text, job.data, job.limit):
                        self._console.write(piece, deadline)
                    answer = self._answers.receive(
                        frame, start, job.limit, deadline, job.on_output, silence=job.silence
                    )
                    self._asking.unread = 0
                    return answer
                except Refused:
                    self._heal(deadline.at_most(_PING))
        except Replaced:
            raise replaced(self._console, job.name) from None
        except (TestTimeout, Timeout) as error:
            silence = 0.0 if deadline.expired or math.isinf(job.silence) else job.silence
            ladder = Ladder(self._console)
            with self._console.cut.spared():
                said = self._interrupt(ladder, frame).decode(errors="replace")
            cut = error if isinstance(error, TestTimeout) else None
            raise ladder.give_up(job.name, job.timeout, said, cut, typed=self._typing, silence=silence) from None
        raise ConsoleLost(DAMAGED)

    # -- inside -------------------------------------------------------------------------------------------------

    def _settle(self, deadline: Deadline) -> None:
        """A finding that nobody has told of yet: output of an interactive program, or a dead kernel?"""
        finding = self._console.finding
        if finding is None:
            return
        if self._console.certain(finding) or not self.ping(deadline.at_most(_PING)):
            raise self._console.crash(finding)

    def _tidy(self, deadline: Deadline) -> None:
        self._files += 1
        if self._files > KEEP_FILES or self._bytes >= KEEP_BYTES:
            self._files = self._bytes = 0
            self._console.write(b"K 0\n", deadline)

    def _heal(self, deadline: Deadline) -> bool:
        """Set the tty again, as a command or we ourselves did otherwise; whether the agent answers."""
        start = self._console.end
        try:
            self._console.write(b"%s\\__tty\n" % self._asking.end_of_line, deadline)
        except (Timeout, ConsoleLost):
            return False
        return self._asking.pong(start, deadline)

    def _interrupt(self, ladder: Ladder, frame: str) -> bytes:
        """Ctrl-C and Ctrl-\\ until the agent answers; the beginning of what the command wrote."""

        def ask(key: bytes, deadline: Deadline) -> bool:
            start = self._console.end
            self._console.write(key, deadline)
            return self._asking.pong(start, deadline)

        if not ladder.interrupt(ask) or not frame:
            return b""
        start, deadline = self._console.end, Deadline.after(_DEFINE)
        with suppress(Timeout, ConsoleLost, KernelCrash, Refused):
            self._console.write(b"A %s %d\n" % (frame.encode(), EVIDENCE), deadline)
            return b"".join(self._answers.receive(frame, start, EVIDENCE, deadline).streams)
        return b""
