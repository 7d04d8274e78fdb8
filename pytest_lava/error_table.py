"""Whose fault an error is and what comes of it, as one table: made from the classes, for people to read."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_lava import errors
from pytest_lava.errors import Blame, Bug, Effect, ExitStatus, LavaError

__all__ = ["Row", "as_markdown", "as_text", "rows"]

_BEFORE = {Effect.CASE: "-", Effect.BOARD: "one report, its tests skipped", Effect.RUN: "usage error"}
_STATUS = {
    Blame.INFRASTRUCTURE: ExitStatus.LAB_FAULT,
    Blame.CONFIGURATION: ExitStatus.USAGE,
    Blame.JOB: ExitStatus.TESTS_FAILED,
    Blame.TEST: ExitStatus.TESTS_FAILED,
    Blame.BUG: ExitStatus.TESTS_FAILED,
}
_HEAD = ("error", "when", "blame", "in a test", "before one", "tried again", "recovery", "bundle", "exit status")


@dataclass(frozen=True)
class Row:
    """One kind of error. ``depth`` is how deep its class is below :class:`LavaError`; ``test`` what it makes of the
    test that meets it, ``before`` what comes of it while a board is made ready."""

    name: str
    meaning: str
    blame: str
    test: str
    before: str
    retried: bool
    recovers: bool
    result: str
    status: str
    depth: int = 0

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the columns."""
        yes = {True: "yes", False: "no"}
        told = yes[self.retried], yes[self.recovers], self.result, self.status
        return self.name, self.meaning, self.blame, self.test, self.before, *told


def rows() -> list[Row]:
    """Every class of the tree, each below its base; then what is none of ours."""
    return [*_tree(LavaError, 0), *_others()]


def as_text() -> str:
    """For a terminal: without what each means."""
    cells = [_without_meaning(_HEAD)] + [
        _without_meaning((f"{'  ' * row.depth}{row.name}", *row.cells[1:])) for row in rows()
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The table of docs/errors.md."""
    lines = [_HEAD, tuple("---" for _ in _HEAD)]
    lines += [(f"`{row.name}`" if row.name.isidentifier() else row.name, *row.cells[1:]) for row in rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _without_meaning(cells: tuple[str, ...]) -> tuple[str, ...]:
    return (cells[0], *cells[2:])


def _tree(kind: type[LavaError], depth: int) -> Iterator[Row]:
    for sub in kind.__subclasses__():
        # others are details of one room; who has two bases stands below the first
        if sub.__module__ == errors.__name__ and sub.__bases__[0] is kind:
            yield _row(sub, depth)
            yield from _tree(sub, depth + 1)


def _row(kind: type[LavaError], depth: int) -> Row:
    meaning = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ").partition(";")[0]
    return Row(
        name=kind.__name__,
        meaning=meaning.replace("``", "`").replace("|", "\\|").rstrip("."),
        blame=kind.blame,
        test="failed" if kind.blame in (Blame.TEST, Blame.JOB) else "error",
        before=_BEFORE[kind.effect],
        retried=kind.retried,
        recovers=kind.recovers,
        result=kind.result,
        status=str(int(_STATUS[kind.blame])),
        depth=depth,
    )


def _others() -> Iterator[Row]:
    test, bug, failed = str(Blame.TEST), str(Bug.blame), str(int(ExitStatus.TESTS_FAILED))
    theirs = "the test's own, or an exception that its code raised"
    yield Row("a failed assertion", theirs, test, "failed", "-", False, False, "fail", failed)
    ours = "raised by pytest-lava itself, `RuntimeError` too: a bug of ours"
    yield Row("any other exception", ours, bug, "error", "error", False, False, "unknown", failed)
    yield Row("an interrupt", "Ctrl-C", "nobody", "ends the run", "ends the run", False, False, "unknown", "2")
    yield Row("a termination", "SIGTERM", "nobody", "ends the run", "ends the run", False, False, "unknown", "143")
    hung_up = "SIGHUP: its terminal was closed"
    yield Row("a hang-up", hung_up, "nobody", "ends the run", "ends the run", False, False, "unknown", "129")
