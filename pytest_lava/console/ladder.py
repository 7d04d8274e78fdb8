"""The hang ladder: what still answers when a shell does not? Rungs are data, each has a deadline of its own.

First the tty: Ctrl-C and Ctrl-\\ until the shell answers. A ping before them would tell nothing, as the shell reads it
only when its command has ended; it is the rung for a shell that was silent before. Then the kernel: BREAK and a letter
are its SysRq keys, which it takes in the interrupt handler of the UART, so they work when no process runs any more
(``drivers/tty/sysrq.c``, Documentation/admin-guide/sysrq.rst; the letter must follow within 5 s). If it answers, it is
asked for what it knows. The rungs and their limits are also a table in docs/boards.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import RECORD
from pytest_lava.console.readable import one_line
from pytest_lava.console.search import Found
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import CommandTimeout, ConsoleLost, Hang, LavaError, PowerError, TestTimeout, Timeout
from pytest_lava.responsiveness import Responsiveness, Step, Verdict

__all__ = ["RUNGS", "STRANGER", "Ask", "Dump", "Ladder", "Rung", "Rungs", "refuse_if_hung", "replaced"]

#: sends these keys and asks the shell; whether it answered by the deadline
Ask = Callable[[bytes, Deadline], bool]


@dataclass(frozen=True)
class Rung:
    """What is sent, how many seconds an answer may take, and what one proves."""

    name: str
    keys: bytes
    limit: float
    proves: Verdict


@dataclass(frozen=True)
class Dump:
    """A SysRq key, the title of what the kernel then writes (``action_msg``), and the seconds this may take."""

    key: str
    title: str
    limit: float


_END = Dump("h", "HELP", 0.0)  # help answers any letter that is no key; here it ends the last dump
_TITLE = 1.0  # seconds from a key to its title on an idle line


@dataclass(frozen=True)
class Rungs:
    """What is tried, in order. A real board at 115200 baud fits into the limits; a dump that does not is cut off."""

    #: for a shell that was silent before
    ping: Rung = Rung("ping", b"", 1.0, Verdict.SLOW)
    #: Ctrl-C twice, as the first may come before a command that just begins can take it
    interrupts: tuple[Rung, ...] = (
        Rung("Ctrl-C", b"\x03", 0.5, Verdict.INTERRUPTED),
        Rung("Ctrl-C again", b"\x03", 1.5, Verdict.INTERRUPTED),
        Rung("Ctrl-\\", b"\x1c", 2.0, Verdict.KILLED),
    )
    #: twice, as a BREAK behind one that no letter followed ends SysRq instead of beginning it
    kernel: tuple[Rung, ...] = (
        Rung("BREAK h", b"h", 1.0, Verdict.KERNEL_ALIVE),
        Rung("BREAK h again", b"h", 2.0, Verdict.KERNEL_ALIVE),
    )
    #: what a kernel that lives is asked for, the shortest first; 7 lets the others reach a console that is ``quiet``
    dumps: tuple[Dump, ...] = (
        Dump("7", "Changing Loglevel", 1.0),
        Dump("w", "Show Blocked State", 5.0),
        Dump("l", "Show backtrace of all active CPUs", 5.0),
        Dump("m", "Show Memory", 3.0),
        Dump("t", "Show State", 15.0),
    )

    @property
    def seconds(self) -> float:
        """What all but the ping take at most."""
        return sum(rung.limit for rung in (*self.interrupts, *self.kernel)) + _TITLE + sum(d.limit for d in self.dumps)


RUNGS = Rungs()
_STAMP = 64  # no time stamp is longer
_KEPT = 65536  # bytes of dumps in an error; the console log has all
#: what a shell says that is not the one we talk to: a ping is no command of its own
STRANGER = re.compile(rb"\bP: [ a-z]*not found")
#: for a command before which somebody typed
TYPED = "end what was typed before (sendcontrol('c')) and expect(shell.prompt): a program of it still runs"
_REPLACED = "its shell has ended, and another one is at the prompt"
_REFUSED = "refused by kernel.sysrq: boot the kernel with sysrq_always_enabled"


class _NoBreak(Exception):
    """The line cannot send one, or it could not be sent."""


class Ladder:
    """One climb on one console; ``verdict`` and ``result`` tell how far up an answer came.

    ::

        ladder = Ladder(console)
        if not ladder.interrupt(ask):
            ladder.ask_kernel()
        print(ladder.result)

    Every method raises ``ConsoleLost`` if the line ends meanwhile.
    """

    def __init__(self, console: Console, rungs: Rungs = RUNGS) -> None:
        self._console = console
        self._rungs = rungs
        self._begun = monotonic()
        self._start = console.end
        self._steps: list[Step] = []
        self._dumps = (console.end, console.end)
        self.verdict = Verdict.UNKNOWN
        #: the machine's own tool did not answer: then it is not the kernel that hangs
        self._broken: PowerError | None = None

    # -- rungs --------------------------------------------------------------------------------------------------

    def ping(self, ask: Ask) -> bool:
        """Whether a shell that was silent before answers now."""
        return self._try(self._rungs.ping, ask)

    def interrupt(self, ask: Ask) -> bool:
        """Ctrl-C, Ctrl-C, Ctrl-\\: whether the shell answers."""
        return any(self._try(rung, ask) for rung in self._rungs.interrupts)

    def ask_kernel(self) -> bool:
        """BREAK and h, and its dumps if the kernel answers; whether it lives."""
        begin = self._console.end
        try:
            if any(self._try(rung, self._help) for rung in self._rungs.kernel):
                self._collect()
            else:
                self._judge_silence(begin)
        except _NoBreak as error:
            self._steps.append(Step(self._rungs.kernel[0].name, 0.0, skipped=str(error)))
        finally:  # while a kernel writes a dump, it does nothing else, and complains of that
            self._console.dismiss_findings(begin, complaints_only=True)
        return self.verdict is Verdict.KERNEL_ALIVE

    # -- what came of it ----------------------------------------------------------------------------------------

    @property
    def result(self) -> Responsiveness:
        """The evidence so far."""
        start, end = self._dumps
        text = self._console.text(start, min(end, start + _KEPT)).replace("\r", "")
        if end - start > _KEPT:
            text += f"\n[{end - start - _KEPT} more bytes stand in the console log from {start + _KEPT} on]\n"
        return Responsiveness(self.verdict, tuple(self._steps), monotonic() - self._begun, text, self._dumps)

    def give_up(
        self,
        command: str,
        timeout: float,
        said: str,
        cut: TestTimeout | None = None,
        *,
        typed: bool = False,
        silence: float = 0.0,
    ) -> LavaError:
        """The error for a command that was over its time of ``timeout`` seconds; ``said`` is what it wrote by then.

        ``typed``: it has not begun, as what was typed before has not ended. ``silence``: it wrote nothing for so long.

        ``CommandTimeout`` if :meth:`interrupt` brought the shell back; with ``cut`` it was not the command's time that
        is over, and that is the error. If it did not, the rest of the ladder is climbed, and it is a ``Hang``, the
        ``KernelCrash`` that the watch saw, or ``ConsoleLost`` if the machine that emulates the board hangs itself.
        """
        late = (
            f"the command wrote nothing for {silence:g} s"
            if silence
            else f"the command did not end within {timeout:g} s"
        )
        over = str(cut) if cut else TYPED if typed else late
        if self.verdict.shell_is_back:
            kind = TestTimeout if cut else CommandTimeout
            return kind(f"{over}: {one_line(command)}", evidence=said, responsiveness=self.result)
        replaced = STRANGER.search(self._console.read(self._start)) is not None
        if self._console.finding is None:
            self.ask_kernel()
        if (finding := self._console.finding) is not None:
            return self._console.crash(finding)
        self._console.hang = found = self.result
        what = f"{over}, nor by Ctrl-C and Ctrl-\\; {_REPLACED if replaced else self._what()}: {one_line(command)}"
        if self._broken:
            what = f"{self._broken}; {what}"
        return (ConsoleLost if self._broken else Hang)(what, evidence=f"{found}\n{found.sysrq}", responsiveness=found)

    def _what(self) -> str:
        if self.verdict is Verdict.KERNEL_ALIVE:
            return "the kernel is alive, but the shell does not come back"
        if self.verdict is Verdict.DEAD:
            return "nothing answers any more, not even the kernel to SysRq"
        last = self._steps[-1]
        return f"the shell does not come back; whether the kernel lives is not known: {last.skipped or last.answer}"

    # -- inside -------------------------------------------------------------------------------------------------

    def _try(self, rung: Rung, ask: Ask) -> bool:
        start = monotonic()
        if rung.keys:
            self._console.mark(rung.name)
        answered = False
        try:
            answered = ask(rung.keys, Deadline.after(rung.limit))
        except (Timeout, ConsoleLost):
            if not self._console.attached:
                raise
        self._steps.append(Step(rung.name, monotonic() - start, "answered" if answered else ""))
        if answered:
            self.verdict = rung.proves
        return answered

    def _help(self, key: bytes, deadline: Deadline) -> bool:
        self._press(key, _END.title, deadline)
        return True

    def _press(self, key: bytes, title: str, deadline: Deadline) -> Found:
        """A SysRq key by BREAK, and the title that the kernel answers with. ``Timeout``, ``_NoBreak``."""
        console, start = self._console, self._console.end
        try:
            console.send_break()
        except (ConsoleLost, PowerError) as error:
            if not console.attached:
                raise
            self._broken = error if isinstance(error, PowerError) else None
            raise _NoBreak(str(error)) from error
        console.write(key, deadline)
        answer = re.compile(rb"(?i)sysrq ?: (?:%s|(This sysrq operation is disabled))" % re.escape(title.encode()))
        return console.expect([answer], start=start, deadline=deadline, what="answer to SysRq", watched=False)

    def _judge_silence(self, begin: int) -> None:
        """No answer to SysRq: a kernel may still be heard, or be one that would not answer (``kernel.sysrq = 0``)."""
        said, allowed = self._console.read(begin), self._console.sysrq
        if records := RECORD.findall(said):
            self.verdict = Verdict.KERNEL_ALIVE
            self._steps.append(Step("kernel messages", 0.0, records[-1].decode(errors="replace").strip()))
        elif said:
            self._steps.append(Step("output", 0.0, "output still comes, but no answer to SysRq"))
        elif allowed in ("", "0"):
            why = "it is 0" if allowed else "no shell has told its value"
            self._steps.append(Step("kernel.sysrq", 0.0, skipped=f"{why}, so silence proves nothing"))
        else:
            self.verdict = Verdict.DEAD

    def _collect(self) -> None:
        """Each dump in turn, as far as it comes in time: the kernel serves keys in order, so a title ends a dump."""
        begin = at = self._console.end
        dump: Dump | None = None
        since, refused = monotonic(), False
        for key in (*self._rungs.dumps, _END):
            self._console.mark(f"BREAK {key.key}")
            limit = Deadline.after(dump.limit if dump and not refused else _TITLE)
            try:
                title = self._press(key.key.encode(), key.title, limit)
            except (Timeout, ConsoleLost, _NoBreak):
                self._note(dump, since, f"cut off at {self._console.end - at} bytes")
                break
            start = self._line_of(title.start)
            self._note(dump, since, _REFUSED if refused else f"{start - at} bytes")
            begin = begin if dump else start  # not the rest of the answer to h
            dump, at, since, refused = key, start, monotonic(), title.match[1] is not None
        self._dumps = (begin, at if dump is _END else self._console.end)

    def _line_of(self, offset: int) -> int:
        """Where the line begins in which this offset is."""
        before = self._console.read(max(0, offset - _STAMP), offset)
        return offset - len(before) + before.rfind(b"\n") + 1

    def _note(self, dump: Dump | None, since: float, answer: str) -> None:
        if dump is not None:
            self._steps.append(Step(f"BREAK {dump.key}", monotonic() - since, answer))


def refuse_if_hung(console: Console, ask: Ask) -> None:
    """A shell that hung before gets a ping, not another time limit. ``Hang`` if it does not answer even now.

    ``TestTimeout`` if the test's own limit is over already.
    """
    console.cut.heed()
    before = console.hang
    if before is None:
        return
    ladder = Ladder(console)
    if not ladder.ping(ask):
        what = f"the shell has not answered since an earlier command hung ({before.verdict}): recover the board"
        raise Hang(what, evidence=str(before), responsiveness=before)
    console.hang = None


def replaced(console: Console, command: str) -> Hang:
    """The error for a shell that ended in a command, seen before the command was over its time."""
    console.hang = found = Responsiveness(Verdict.KERNEL_ALIVE, (Step("ping", 0.0, _REPLACED),), 0.0)
    return Hang(f"{_REPLACED}: {one_line(command)}", evidence=str(found), responsiveness=found)
