"""``interactive`` of a LAVA job: commands typed at a prompt, of a boot loader or a shell, and what they have to say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.console import Console
from pytest_lava.console.search import Found
from pytest_lava.deadline import Deadline
from pytest_lava.errors import Bug, InfrastructureError, JobError, LavaError, TestError, Timeout
from pytest_lava.jobs.expecting import Expecting
from pytest_lava.suites.api import Case, Report, Surroundings

__all__ = ["EXCEPTIONS", "Failure", "Line", "Talk", "TalkSuite"]

#: what ``exception`` of a failure may be
EXCEPTIONS: Mapping[str, type[LavaError]] = {
    "InfrastructureError": InfrastructureError,
    "JobError": JobError,
    "TestError": TestError,
}
_PROMPT = 20.0  # seconds that a shell has to show its prompt
_LEAVE = 10.0  # seconds that it has to end
_SHELL = "stty echo 2>/dev/null; cd; ${SHELL:-sh} -i; stty -echo 2>/dev/null"


@dataclass(frozen=True)
class Failure:
    """What must not be said; ``exception`` (of :data:`EXCEPTIONS`) ends the script."""

    message: str
    exception: str = ""
    error: str = ""


@dataclass(frozen=True)
class Line:
    """A command, or ``delay`` seconds of waiting. ``command`` None: nothing is typed. A named one is a case."""

    command: str | None = None
    name: str = ""
    successes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    wait_for_prompt: bool = True
    delay: float = 0.0


@dataclass(frozen=True)
class Talk:
    """A script. All messages and ``prompts`` are regular expressions."""

    name: str
    prompts: tuple[str, ...]
    lines: tuple[Line, ...]
    discard_echo: bool = False
    expected: tuple[str, ...] = ()
    #: whether it is a boot loader that is talked to
    bootloader: bool = False


class TalkSuite:
    """A :class:`~pytest_lava.suites.api.Suite` that types."""

    def __init__(self, talk: Talk, source: Path) -> None:
        self.talk = talk
        self.name = talk.name
        self.source = source
        self.expected = talk.expected
        self.metadata: Mapping[str, str] = {"name": talk.name}

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """See :meth:`pytest_lava.suites.api.Suite.run`. ``Timeout`` if no prompt comes, and what a failure raises."""
        if surroundings.console is None:
            raise Bug("a script was given no console")
        talking = _Talking(self.talk, surroundings.console, surroundings)
        around = talking.at_bootloader if self.talk.bootloader else talking.at_shell
        with Expecting(self.expected, report) as expecting, around():
            talking.run(expecting.report)


class _Talking:
    """One run of one script."""

    def __init__(self, talk: Talk, console: Console, around: Surroundings) -> None:
        self._talk, self._console, self._around = talk, console, around
        self._deadline = Deadline.after(around.timeout)
        self._prompts = [_regex(text) for text in talk.prompts]
        self._at = console.end
        self._type: Callable[[bytes], object] = lambda data: console.write(data, self._deadline)
        environment = around.environment
        self._placeholders = {
            "{SERVER_IP}": environment.get("LAVA_DISPATCHER_IP", ""),
            "{JOB_ID}": environment.get("LAVA_JOB_ID", ""),
        }

    # -- where it talks -----------------------------------------------------------------------------------------

    @contextmanager
    def at_bootloader(self) -> Iterator[None]:
        """It is at its prompt."""
        yield

    @contextmanager
    def at_shell(self) -> Iterator[None]:
        """In a shell of its own, which shows a prompt as after a login; it has ended behind."""
        shell, console = self._around.shell, self._console
        self._at = console.end
        shell.sendline(_SHELL)
        self._type = lambda data: shell.send(data.decode(errors="surrogateescape"))
        limit = self._deadline.at_most(_PROMPT)
        try:
            self._at = self._expect(self._prompts, limit, "prompt").end
        except Timeout as error:
            seen = console.text(self._at).strip().splitlines()[-1:]
            prompts = ", ".join(map(repr, self._talk.prompts))
            what = (
                f"none of the prompts {prompts} came: correct 'prompts'; the shell shows {''.join(seen) or 'nothing'!r}"
            )
            raise TestError(what, evidence=error.evidence) from None
        yield
        # an exception leaves it as it is: a board that was talked to in vain is looked at before it is used again
        start, ended = console.end, re.compile(re.escape(shell.prompt).encode())
        shell.sendline("exit")
        console.expect([ended], start=start, deadline=Deadline.after(_LEAVE), what="end of the shell")

    # -- what it says -------------------------------------------------------------------------------------------

    def run(self, report: Report) -> None:
        for line in self._talk.lines:
            if line.delay:
                self._pause(line.delay)
            else:
                self._line(line, report)

    def _pause(self, seconds: float) -> None:
        """Nothing is awaited, but a crash ends it, and so does the limit."""
        with suppress(Timeout):
            self._console.wait(lambda: None, self._deadline.at_most(seconds), what="end of a delay")

    def _line(self, line: Line, report: Report) -> None:
        command = line.command if line.command is None else self._filled(line.command)
        start, begin = time.time(), self._at
        result, why = "fail", ""
        try:
            if command is not None:
                self._type(command.encode() + b"\n")
                if self._talk.discard_echo:
                    self._at = self._expect([re.compile(rb"\n")], self._deadline, "echo of the command").end
            why = self._answer(line)
            result = "fail" if why else "pass"
            if why and not line.name:
                raise TestError(f"{_shown(command)} failed: {why}", evidence=self._console.text(begin)[-2000:])
        except LavaError as error:
            why = why or str(error).splitlines()[0]
            raise
        finally:
            if line.name:
                said = self._console.text(begin, self._at)
                report(Case(line.name, result, start, time.time(), why, output=said))

    def _answer(self, line: Line) -> str:
        """Why it failed, or nothing."""
        prompts, failures = self._prompts, [_regex(one.message) for one in line.failures]
        patterns = [*prompts, *failures, *map(_regex, line.successes)]
        found = self._expect(patterns, self._deadline, f"answer to {_shown(line.command)}")
        self._at = found.end
        number = found.index - len(prompts)
        if number < 0:
            return f"its prompt came, and none of {', '.join(map(repr, line.successes))}" if line.successes else ""
        why = ""
        if number < len(failures):
            failure = line.failures[number]
            why = failure.error or f"it said {failure.message!r}"
            if failure.exception:
                raise EXCEPTIONS[failure.exception](why, evidence=self._console.text(found.start))
        else:
            groups = found.match.groupdict().items()
            self._placeholders |= {f"{{{name}}}": (value or b"").decode(errors="replace") for name, value in groups}
        if line.wait_for_prompt:
            self._at = self._expect(prompts, self._deadline, "prompt").end
        return why

    def _expect(self, patterns: list[re.Pattern[bytes]], deadline: Deadline, what: str) -> Found:
        return self._console.expect(patterns, start=self._at, deadline=deadline, what=what)

    def _filled(self, command: str) -> str:
        for name, value in self._placeholders.items():
            command = command.replace(name, value)
        return command


def _regex(text: str) -> re.Pattern[bytes]:
    """As pexpect compiles: a dot is a line's end too."""
    return re.compile(text.encode(), re.DOTALL)


def _shown(command: str | None) -> str:
    return "nothing that was typed" if command is None else repr(command)
