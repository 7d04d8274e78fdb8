"""KTAP and TAP, read line by line: each result with its path, as soon as its name is known.

Subtests come before the line of the test that they belong to. Where that test's name was announced (``# Subtest:``,
kselftest's ``# selftests:``) they are told at once, else when it is known. Other lines may stand anywhere: programs and
the kernel write what they like, so these are kept as output of the next result and decide nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from pytest_lava.suites.ktap_lines import STAMPED, KtapLine, all_good, named, read_line, verdict
from pytest_lava.suites.parsing import ParsedCase, Told
from pytest_lava.suites.tail import Tail

__all__ = ["KtapParser"]

_KEPT = 1 << 16  # characters of output of one result
_HELD = 16 << 20  # characters of results that wait for a name
_HELD_EACH = 4096  # characters of output of one of them
_MISSING = 1_000  # tests that did not run, told one by one
_NUMBERS = 100_000  # numbers that are remembered of one level
_DEEP = 32  # levels
_REMARKS = 20
_YAML_LINES, _YAML_LINE = 1_000, 1_000  # lines of a block, characters of a line
_LONGEST = 1 << 16  # characters of a line that are looked at
_COLOUR = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@dataclass
class _Level:
    """Tests of one indentation. ``name`` is that of the test they belong to, ``next_name`` that of the next of them."""

    width: int
    name: tuple[str, ...] = ()
    version: str = ""
    plan: int | None = None
    count: int = 0
    #: how many went well by what its program counted
    good: int = 0
    seen: set[int] = field(default_factory=set)
    next_name: tuple[str, ...] = ()
    bail: str = ""
    #: whether its lines are diagnostic ones of the level above, as kselftest has it
    marked: bool = False
    #: whether a level below ended since its last result
    ended: bool = False
    #: its results that wait for its name, and those of a level below that ended
    held: list[ParsedCase] = field(default_factory=list)
    orphans: list[ParsedCase] = field(default_factory=list)
    output: Tail = field(default_factory=lambda: Tail(_KEPT))

    @property
    def untouched(self) -> bool:
        return not self.count and self.plan is None

    @property
    def complete(self) -> bool:
        return self.plan is not None and self.count >= self.plan


class KtapParser:
    """A :class:`~pytest_lava.suites.parsing.LineParser` of one stream; ``report`` gets each result.

    ``remarks`` are what does not fit, such as a wrong count; ``bailed`` is what ``Bail out!`` said at the outermost
    level, ``skipped`` the reason of a plan ``1..0 # SKIP``.
    """

    def __init__(self, report: Told) -> None:
        self._report = report
        self._levels = [_Level(0)]
        self._line = 0
        self._stamped = False
        #: a result of TAP, behind which a YAML block may stand, and the block
        self._last: tuple[int, ParsedCase] | None = None
        self._yaml: list[str] | None = None
        self._waiting = 0
        self.cases = 0
        self.failed = 0
        self.said = False
        self.bailed: str | None = None
        self.skipped: str | None = None
        self.remarks: list[str] = []

    # -- lines --------------------------------------------------------------------------------------------------

    def feed(self, line: str) -> None:
        """The next line, with its end or without."""
        self._line += 1
        line = line.rstrip("\r\n")[:_LONGEST]
        if "\x1b" in line:
            line = _COLOUR.sub("", line)
        stamp = STAMPED.match(line) if line.startswith(("[", "<")) else None
        if stamp is not None:
            text = line[stamp.end() :]
            self._stamped = self._stamped or read_line(text).kind == "version"
            if self._stamped:
                line = text
        elif self._stamped:
            return  # a program's, beside the kernel's log
        if self._last is not None and self._takes_yaml(line):
            return
        self._take(read_line(line), line)

    def _takes_yaml(self, line: str) -> bool:
        """Whether it belongs to a YAML block behind the last result; if not, that one is told."""
        assert self._last is not None
        found, width = read_line(line), self._levels[self._last[0]].width
        if self._yaml is None:
            if found.kind == "yaml" and found.width > width:
                self._yaml = [line[:_YAML_LINE]]
                return True
        elif found.kind not in ("result", "version", "plan", "bail") or found.width > width:
            self._yaml.append(line[:_YAML_LINE])
            if line.strip(" \t#") != "..." and len(self._yaml) < _YAML_LINES:
                return True
            self._tell_last()
            return True
        self._tell_last()
        return False

    def _tell_last(self) -> None:
        if self._last is None:
            return
        (at, case), block, self._last, self._yaml = self._last, self._yaml, None, None
        if block:
            case = replace(case, output="\n".join(part for part in (case.output, *block) if part)[-_KEPT:])
        self._tell(at, case)

    def _take(self, found: KtapLine, line: str) -> None:
        if found.kind in ("text", "comment", "yaml") or (found.kind == "result" and self._is_prose(found)):
            level = self._level_of(found)
            level.output.keep(line)
            level.good = all_good(line) or level.good
            return
        self.said = True
        if found.kind == "subtest":
            self._announce(found, line)
        elif found.kind == "bail":
            self._bail(found)
        else:
            self._frame(found, line)

    def _frame(self, found: KtapLine, line: str) -> None:
        level = self._at(found.width, line)
        if level is None:
            return
        if found.kind == "version":
            self._version(level, found, line)
        elif found.kind == "plan":
            self._plan(level, found)
        else:
            self._result(level, found)

    def _is_prose(self, found: KtapLine) -> bool:
        """``ok`` without a number counts in TAP only; else it is the beginning of some sentence."""
        level = self._level_of(found)
        return found.number is None and (level.version == "KTAP" or (not level.version and level.plan is None))

    def _level_of(self, found: KtapLine) -> _Level:
        """Where a line that decides nothing belongs: to the test whose indentation it has."""
        top = self._levels[-1]
        if found.kind == "text" or top.width == 0 or (top.marked and not found.width):
            return top
        fitting = [level for level in self._levels if level.width <= found.width]
        return fitting[-1]

    def _at(self, width: int, line: str) -> _Level | None:
        """The level of a line: deeper ones end, and a new one begins where it is deeper than all."""
        while self._levels[-1].width > width:
            self._close()
        if self._levels[-1].width < width:
            if len(self._levels) >= _DEEP:
                self._levels[-1].output.keep(line)
                return None
            above = self._levels[-1]
            if above.ended:
                self._unfinished(len(self._levels) - 1)
            self._levels.append(_Level(width, above.next_name, marked="#" in line[:width]))
        return self._levels[-1]

    def _announce(self, found: KtapLine, line: str) -> None:
        """A name: of the level that it opens or that just began, as KUnit has it, or of the next one, as TAP has it."""
        name = named(found.text)
        level = self._at(found.width, line)
        if level is None or not name:
            return
        if level.name and level.complete:  # the line of the test before it was lost
            self._close()
            level = self._at(found.width, line)
            assert level is not None
        if level is not self._levels[0] and not level.name and level.untouched:
            level.name = name
            return
        if level.ended or level.next_name:
            self._unfinished(len(self._levels) - 1)
        level.next_name = name

    def _bail(self, found: KtapLine) -> None:
        self._tell_last()
        while len(self._levels) > 1 and self._levels[-1].width > found.width:
            self._close()
        level = self._levels[-1]
        if level is self._levels[0]:
            self.bailed = found.text
        level.bail = f"Bail out! {found.text}".strip()

    # -- levels -------------------------------------------------------------------------------------------------

    def _version(self, level: _Level, found: KtapLine, line: str) -> None:
        if level is self._levels[0] or level.untouched:
            self._begin(level)
            if not level.next_name:
                level.output.clear()  # what came before is about no test
        elif level.marked and level.name:  # kselftest's scripts run several programs, which print one after another
            self._begin(level)
        else:  # the line of the test before it was lost
            self._close()
            level = self._at(found.width, line) or level
        level.version = found.word

    def _begin(self, level: _Level) -> None:
        """Where a level began already, another program's output follows."""
        if level.untouched and not level.ended and not level.next_name:
            return
        if level.next_name and not level.ended and level.untouched:
            return  # announced, as kselftest does before everything else
        self._complete(len(self._levels) - 1)
        level.plan, level.count, level.good, level.bail = None, 0, 0, ""
        level.seen.clear()

    def _plan(self, level: _Level, found: KtapLine) -> None:
        if level.plan is not None and level.count:
            self._begin(level)
        level.plan = found.number
        if found.number == 0 and level is self._levels[0]:
            self.skipped = found.text
        elif found.number == 0 and found.text:
            level.output.keep(found.text)  # the line of the test above has no reason

    def _result(self, level: _Level, found: KtapLine) -> None:
        at = len(self._levels) - 1
        level.count += 1
        number = level.count if found.number is None else found.number
        if number != level.count:
            self._remark(f"line {self._line}: test number {number} where {level.count} was due")
        if len(level.seen) < _NUMBERS:
            level.seen.add(number)
        name, result, directive, reason = verdict(found.word, found.text)
        name = name or level.next_name or (f"test-{number}",)
        self._adopt(at, name)
        level.next_name, level.ended = (), False
        case = ParsedCase(name, result, reason, directive, level.output.take(), self._line)
        if level.version == "KTAP":
            self._tell(at, case)
        else:
            self._last = at, case

    def _adopt(self, at: int, name: tuple[str, ...]) -> None:
        """The results of the level below a test, now that the name of the test is known."""
        level = self._levels[at]
        orphans, level.orphans = level.orphans, []
        for one in orphans:
            self._waiting -= _cost(one)
            self._tell(at, replace(one, path=(*name, *one.path)))

    def _close(self) -> None:
        """The deepest level ends. What it left goes to the test above it, whose line may follow."""
        self._tell_last()
        self._complete(len(self._levels) - 1)
        level = self._levels.pop()
        above = self._levels[-1]
        above.orphans += level.held
        above.next_name, above.ended = level.name or above.next_name, True
        for line in level.output.lines:
            above.output.keep(line)

    def _complete(self, at: int) -> None:
        """No further result of a level follows: what was begun or planned and did not come has failed."""
        self._tell_last()
        level = self._levels[at]
        ending = f": {level.bail}" if level.bail else ""
        if level.next_name or level.ended:
            self._unfinished(at)
        if level.plan is None or level.count == level.plan:
            return
        if level.count > level.plan:
            self._remark(f"{_where(level)}: {level.count} results where {level.plan} were planned")
            return
        self._tell_missing(at, level, ending)

    def _unfinished(self, at: int) -> None:
        """What was announced, or had subtests, and has no line of its own."""
        level = self._levels[at]
        name, whole = level.next_name, at == 0 and level.untouched and not level.version
        if not name and whole:  # everything was indented
            self._adopt(at, ())
        else:
            level.count += 1
            level.seen.add(level.count)
            name = name or (f"test-{level.count}",)
            self._adopt(at, name)
            why = "it began, and gave no result" + (f": {level.bail}" if level.bail else "")
            self._tell(at, ParsedCase(name, "fail", why, output=level.output.take()))
        level.next_name, level.ended = (), False

    def _tell_missing(self, at: int, level: _Level, ending: str) -> None:
        assert level.plan is not None
        short = level.plan - level.count
        self._remark(f"{_where(level)}: {level.count} results where {level.plan} were planned")
        if level.good >= level.plan:
            return
        why = f"it did not run: {level.plan} tests were planned, and {level.count} came{ending}"
        told, number = 0, 0
        while told < min(short, _MISSING):
            number += 1
            if number not in level.seen:
                told += 1
                self._tell(at, ParsedCase((f"test-{number}",), "fail", why))
        if short > told:
            self._tell(at, ParsedCase(("further-tests",), "fail", f"{short - told} more did not run{ending}"))

    # -- telling ------------------------------------------------------------------------------------------------

    def _tell(self, at: int, case: ParsedCase) -> None:
        """Up through the levels whose names are known."""
        while at > 0:
            level = self._levels[at]
            if not level.name:
                case = replace(case, output=case.output[-_HELD_EACH:])
                if self._waiting < _HELD:
                    self._waiting += _cost(case)
                    level.held.append(case)
                    return
                self._name_unknown(at, level)
            case = replace(case, path=(*level.name, *case.path))
            at -= 1
        self.cases += 1
        self.failed += case.result == "fail"
        self._report(case)

    def _name_unknown(self, at: int, level: _Level) -> None:
        """Too much waits for a name: it gets one."""
        level.name = (f"test-{self._levels[at - 1].count + 1}",)
        self._remark(f"{_where(level)}: its name did not come in time for its subtests")
        held, level.held = level.held, []
        for one in held:
            self._waiting -= _cost(one)
            self._tell(at, one)

    def finish(self, why: str = "") -> None:
        """There are no more lines: what was begun or planned and has no result has failed."""
        for level in self._levels:
            level.bail = level.bail or why
        while len(self._levels) > 1:
            self._close()
        self._complete(0)

    def _remark(self, text: str) -> None:
        if len(self.remarks) < _REMARKS:
            self.remarks.append(text)


def _cost(case: ParsedCase) -> int:
    return 256 + len(case.output)


def _where(level: _Level) -> str:
    return ": ".join(level.name) or "the outermost tests"
