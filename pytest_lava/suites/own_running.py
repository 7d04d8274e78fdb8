"""Runs a suite of our own on a board: its tests in their order, each a command, and what it comes to as cases."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TypeVar

from pytest_lava.deadline import Deadline
from pytest_lava.errors import CommandTimeout, LavaError, OperationFailed, TestError, first_line
from pytest_lava.programs import run
from pytest_lava.suites.api import Case, Report, Surroundings
from pytest_lava.suites.kselftest import KselftestTree, list_command
from pytest_lava.suites.ktap import KtapParser
from pytest_lava.suites.kunit import kunit_command
from pytest_lava.suites.ltp import LtpParser
from pytest_lava.suites.own_judging import Judgement, judge
from pytest_lava.suites.own_log import SuiteLog
from pytest_lava.suites.own_model import Parse, SuiteModel, TestModel
from pytest_lava.suites.own_needs import BoardFacts
from pytest_lava.suites.parsed import ParsedRun
from pytest_lava.suites.parsing import LineParser, PatternParser, Told

__all__ = ["OwnRunning"]

T = TypeVar("T")

_SHORT = 60.0  # seconds for what is small
_GRACE = 15.0  # seconds that kselftest's runner has to end a program and tell it
_MOST = 64 << 20  # bytes of output with results in it
#: descriptors beyond the third are the agent's own, which waits for their end
_QUIET = "2>&1 3>&- 4>&- 5>&-"
_END_ALL = (
    "for s_ in TERM KILL; do for p_ in $(grep -ls {mark} /proc/[0-9]*/environ); do "
    "p_=${{p_#/proc/}}; kill -$s_ ${{p_%/environ}}; done; done 2>/dev/null"
)


class OwnRunning:
    """One run of one suite on one board."""

    def __init__(self, model: SuiteModel, surroundings: Surroundings, report: Report) -> None:
        self._model, self._report = model, report
        self._deadline = Deadline.after(surroundings.timeout)
        self._mark = f"LAVA_SUITE_RUN={secrets.token_hex(8)}"
        self._log = SuiteLog(surroundings.folder)
        self._go_on_in(surroundings)
        self._left = list(model.tests)
        self._began = self._given_up = False
        self._forget: Callable[[], object] = lambda: None

    def _go_on_in(self, surroundings: Surroundings) -> None:
        self._around, self._shell = surroundings, surroundings.shell
        name, _, value = self._mark.partition("=")
        self._environment = {
            **surroundings.environment, **dict(self._model.params), **surroundings.params, name: value,
        }  # fmt: skip
        self._facts = BoardFacts(surroundings.shell, surroundings.arch, surroundings.features)

    def run(self) -> None:
        """All of it. Raises the ``LavaError`` that ended it before its end; the tests that were left are skipped.

        A board that dies under a test is brought back for those behind it, and the suite's setup runs once more.
        """
        with self._log, ExitStack() as ending:
            if self._around.local:  # nothing may stay on this machine, however this ends
                self._forget = self._around.guard(_END_ALL.format(mark=self._mark))
                ending.callback(self._end_here)
            try:
                self._all()
            except LavaError as error:
                self._skip_rest(f"it was not run: {first_line(error)}")
                if not error.recovers:
                    self._end(error)
                raise
            self._end(None)

    def _all(self) -> None:
        if why := self._facts.lacks(self._model.requires):
            self._skip_rest(why)
            return
        self._began = True
        self._set_up()
        while self._left:
            try:
                self._one(self._left[0])
            except LavaError as error:
                if self._given_up or not (error.recovers and self._left):
                    raise
                self._go_on_after(error)
            else:
                self._left.pop(0)

    def _go_on_after(self, death: LavaError) -> None:
        """The board died under a test that was told: bring it back, in time that is not the suite's."""
        if self._around.revive is None:
            raise death
        left = self._deadline.remaining()
        self._go_on_in(self._around.revive(death))
        self._deadline = Deadline.after(left)
        self._set_up()

    def _set_up(self) -> None:
        command = self._model.setup
        if command is None:
            return
        done = self._shell.run(self._script(command), timeout=self._limit(self._model.timeout), env=self._environment)
        self._log.add("setup", command, done.stdout_bytes)
        if done.returncode:
            last = done.stdout.rstrip().rpartition("\n")[2]
            raise OperationFailed(f"the suite's setup returned {done.returncode}: {last or command}")

    def _end(self, error: LavaError | None) -> None:
        """What comes last, whatever became of the tests; nothing of them keeps running."""
        try:
            if self._model.teardown is not None and self._began:
                done = self._shell.run(self._script(self._model.teardown), timeout=_SHORT, env=self._environment)
                self._log.add("teardown", self._model.teardown, done.stdout_bytes)
                if done.returncode and error is None:
                    raise OperationFailed(f"the suite's teardown returned {done.returncode}: {self._model.teardown}")
        except LavaError:
            if error is None:
                raise
        finally:
            with suppress(LavaError):  # a board that dies here does so for the next test, too
                self._shell.run(_END_ALL.format(mark=self._mark), timeout=_SHORT)

    def _skip_rest(self, why: str) -> None:
        now = time.time()
        for test in self._left:
            self._report(Case(test.name, "skip", now, now, why))
        self._left.clear()

    def _end_here(self) -> None:
        run(["sh", "-c", _END_ALL.format(mark=self._mark)], Deadline.after(_SHORT), cwd=self._around.folder)
        self._forget()

    # -- one test -----------------------------------------------------------------------------------------------

    def _one(self, test: TestModel) -> None:
        start = time.time()
        if why := self._asked(test, lambda: self._facts.lacks(test.requires)):
            self._report(Case(test.name, "skip", start, time.time(), why))
        elif test.kselftest is not None:
            self._kselftest(test, test.kselftest)
        elif test.kunit is not None:
            self._whole(test, kunit_command(test.kunit, test.modules), KtapParser)
        elif test.parse is not None:
            self._whole(test, test.run or "", _parser(test.parse))
        else:
            self._plain(test, test.run or "")

    def _plain(self, test: TestModel, command: str) -> None:
        start, limit = time.time(), self._limit(self._seconds(test))
        try:
            done = self._shell.run(self._script(command), timeout=limit, env=self._environment)
        except CommandTimeout as error:
            line = self._log.add(test.name, command, error.evidence.encode(errors="replace"))
            told = Case(test.name, "fail", start, time.time(), self._over(limit), line=line, output=error.evidence)
            self._report(told)
            return
        except LavaError as error:
            raise self._died(test, command, start, error) from None
        line = self._log.add(test.name, command, done.stdout_bytes)
        verdict = judge(test, done.returncode, done.stdout)
        self._tell(test, verdict, start, line, done.stdout)

    def _tell(self, test: TestModel, verdict: Judgement, start: float, line: int, output: str) -> None:
        """The test, and before it those of its measurements that have a name."""
        stop = time.time()
        for one in verdict.measured:
            if one.name and verdict.result != "skip":
                self._report(
                    Case(
                        one.name, one.result, start, stop, one.reason, one.value, one.units, one.low, one.high,
                        set_name=test.name, line=line,
                    )
                )  # fmt: skip
        own = next((one for one in verdict.measured if not one.name), None)
        told = Case(test.name, verdict.result, start, stop, verdict.reason, line=line, output=output)
        if own is not None and own.value is not None and verdict.result != "skip":
            told = Case(
                test.name, verdict.result, start, stop, verdict.reason, own.value, own.units, own.low, own.high,
                line=line, output=output,
            )  # fmt: skip
        self._report(told)

    def _died(self, test: TestModel, command: str, start: float, error: LavaError) -> LavaError:
        """The board went with this test; what it went with."""
        evidence, death = error.evidence, _death(error)
        line = self._log.add(test.name, command, evidence.encode(errors="replace"))
        told = Case(
            test.name, "fail", start, time.time(), first_line(error), line=line, output=evidence, error=death
        )  # fmt: skip
        self._report(told)
        self._left.pop(0)
        return error

    def _asked(self, test: TestModel, question: Callable[[], T]) -> T:
        """Something small that the board is asked for a test; if it dies by that, it has died under this test."""
        start = time.time()
        try:
            return question()
        except LavaError as error:
            raise self._died(test, "what it needs", start, error) from None

    # -- results in what it writes ------------------------------------------------------------------------------

    def _whole(self, test: TestModel, command: str, make: Callable[[Told], LineParser]) -> None:
        reading, error = self._parsed(test, command, make, self._seconds(test))
        reading.close()
        if error is not None:
            self._left.pop(0)
            raise error

    def _parsed(
        self,
        test: TestModel,
        command: str,
        make: Callable[[Told], LineParser],
        seconds: float | None,
        part: tuple[str, ...] = (),
    ) -> tuple[ParsedRun, LavaError | None]:
        """Run a command whose output holds results; those of them that can be told are told at once.

        Also what ended it before its end; its own time limit is not that.
        """
        limit = self._limit(seconds)
        reading = ParsedRun(test, make, self._report, self._log.begin(test.name, command), part)
        broken: LavaError | None = None
        try:
            done = self._shell.run(
                self._script(command),
                timeout=limit,
                env=self._environment,
                on_output=reading.hear,
                max_output=_MOST,
            )
        except CommandTimeout as error:
            self._log.end(reading.cut(self._over(limit)) or error.evidence.encode(errors="replace"))
        except LavaError as error:
            broken = error
            self._log.end(reading.cut(first_line(error), _death(error)))
        else:
            self._log.end(done.stdout_bytes)
            reading.ended(done.returncode, done.stdout_bytes, truncated=done.truncated)
        for remark in reading.remarks:
            self._around.tell(f"{self._model.suite}: {test.name}: {remark}")
        return reading, broken

    def _kselftest(self, test: TestModel, folder: str) -> None:
        """Each of its programs is a command with a limit of its own: one that hangs or kills the board costs itself."""
        start = time.time()
        listed = self._asked(test, lambda: self._shell.run(list_command(folder), timeout=_SHORT))
        tree = KselftestTree.read(folder, listed.stdout)
        names, why = tree.chosen(test.collections, test.tests, test.skip)
        if why:
            self._report(Case(test.name, "fail", start, time.time(), why, output=listed.stdout[-4096:]))
            return
        failed, left, ended = 0, list(names), None
        while left and ended is None:
            name = left.pop(0)
            reading, ended = self._program(test, tree, name)
            failed += not reading.close_part()
            if ended is not None and ended.recovers and left:
                ended = self._brought_back(ended)
        reason = f"{failed} of {len(names)} programs failed" if failed else ""
        if ended is not None and left:
            reason += f", and {len(left)} were not run: {first_line(ended)}"
        self._report(Case(test.name, "fail" if failed else "pass", start, time.time(), reason))
        if ended is not None:
            self._left.pop(0)
            raise ended

    def _program(self, test: TestModel, tree: KselftestTree, name: str) -> tuple[ParsedRun, LavaError | None]:
        """One of them. kselftest's runner ends it at its limit; ours is for what does not end even then."""
        given = test.timeout or (self._model.timeout if "timeout" in self._model.model_fields_set else None)
        seconds = tree.seconds(name) if given is None else given
        if seconds is not None and (given is None or tree.takes_limit):
            seconds += _GRACE
        return self._parsed(test, tree.command(name, given), KtapParser, seconds, tuple(name.split(":", 1)))

    def _brought_back(self, death: LavaError) -> LavaError | None:
        """Whether that failed: what then ends the suite."""
        try:
            self._go_on_after(death)
        except LavaError as error:
            self._given_up = True
            return error
        return None

    # -- commands -----------------------------------------------------------------------------------------------

    def _script(self, command: str) -> str:
        return f"sh -e -c {shlex.quote(command)} {_QUIET}"

    def _limit(self, seconds: float | None) -> float:
        """Seconds that a command may take; None is as many as the suite."""
        if self._deadline.expired:
            raise TestError(f"the suite is over its limit of {self._around.timeout:g} s (--suite-timeout)")
        left = self._deadline.remaining()
        return left if seconds is None else min(seconds, left)

    def _seconds(self, test: TestModel) -> float:
        return test.timeout or self._model.timeout

    def _over(self, limit: float) -> str:
        if self._deadline.expired:
            return f"the suite is over its limit of {self._around.timeout:g} s (--suite-timeout)"
        return f"it is over its limit of {limit:g} s (timeout)"


def _death(error: LavaError) -> LavaError | None:
    """The same, if the board died of it."""
    return error if error.recovers else None


def _parser(parse: Parse) -> Callable[[Told], LineParser]:
    pattern = parse.compiled
    if pattern is not None:
        return lambda tell: PatternParser(pattern, tell)
    return LtpParser if parse.format == "ltp" else KtapParser
