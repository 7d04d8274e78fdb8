"""Each report gets its facts (board, kernel, console range, error) and is in the journal before pytest goes on."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.errors import Blame, ErrorInfo, LavaError, describe
from pytest_lava.lab.manager import Failure
from pytest_lava.plan import Target
from pytest_lava.plugin.child import emit_child
from pytest_lava.plugin.collection import COMMAND, CommandRun, command_of, target_of
from pytest_lava.results.console_slice import excerpt, write_slice

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.session import Run

__all__ = ["FACTS", "Reporting"]

#: the attribute of a report that holds what we know of it: plain JSON, as it travels between xdist's processes
FACTS = "lava"
_PACKAGE = Path(__file__).parent.parent
_EXCERPT = 25  # console lines in a report; the rest is in the file beside it


class Reporting:
    """Watches items run and reports go by."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._item: pytest.Item | None = None
        self._begin = 0
        self._count = 0

    @property
    def current_target(self) -> Target | None:
        """The target of the item that runs now."""
        return target_of(self._item) if self._item else None

    # -- items --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note that an item began: one that never ends leaves no report."""
        run = self._run
        if run.journal is None:
            return (yield)
        self._item = item
        self._count += 1
        target = target_of(item)
        board = self._board(target)
        self._begin = board.console.end if board else 0
        run.journal.write("start", nodeid=item.nodeid, target=target.id if target else "", **_names(item))
        if board:
            board.events.emit(f"{item.nodeid} begins")
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """An item that has a target needs it, also if it asks only for the kernel."""
        yield
        target = target_of(item)
        if target is not None and self._run.boards is not None:
            self._run.boards.skip_if_unavailable(target)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the facts on the report."""
        report = yield
        if self._run.journal is None:
            return report
        error = call.excinfo.value if call.excinfo else None
        target = target_of(item)
        facts = self._facts(item, report, target, error)
        setattr(report, FACTS, facts)
        command = item.stash.get(COMMAND, None)
        if isinstance(error, LavaError):
            if command is not None or report.when != "call":
                report.longrepr = str(error)  # the sentence says it; our own frames would not help
            if error.evidence and command is None:
                report.sections.append((f"{type(error).__name__} evidence", error.evidence[-16384:]))
        if command is not None and report.when == "call":
            report.sections += [
                (f"Command {name}", text.decode(errors="replace"))
                for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
                if text
            ]
        self._attach_console(item, report, target)
        if target is not None and report.when == "call" and self._run.boards is not None:
            self._run.boards.note_end(target, error)
        return report

    def _facts(
        self, item: pytest.Item, report: pytest.TestReport, target: Target | None, error: BaseException | None
    ) -> dict[str, Any]:
        board = self._board(target)
        facts: dict[str, Any] = {"target": target.id if target else "", "board": board.name if board else ""}
        facts |= _names(item)
        if board is not None:
            facts["console"] = [self._begin, board.console.end]
            facts["console_log"] = self._run.log_name(board.console.log)
            if board.last_boot is not None:
                facts["boot_seconds"] = round(board.last_boot.seconds, 3)
                facts["release"] = board.last_boot.release
        command = item.stash.get(COMMAND, None)
        if command is not None and report.when == "call":
            facts |= _command_facts(command)
        if report.outcome == "failed" and error is not None:
            facts["error"] = asdict(_blamed(error, report))
        return facts

    def _attach_console(self, item: pytest.Item, report: pytest.TestReport, target: Target | None) -> None:
        board = self._board(target)
        if board is None or report.when == "teardown":
            if board is not None and (name := getattr(item, "lava_slice", None)):
                write_slice(board.console.log, self._begin, board.console.end, self._run.folder / name)
            return
        if report.when == "setup":
            item.user_properties += self._properties(board, target)
        if report.when == "setup" and report.outcome == "passed":
            return
        name = self._slice_name(item)
        item.lava_slice = name  # type: ignore[attr-defined]
        getattr(report, FACTS)["slice"] = name
        write_slice(board.console.log, self._begin, board.console.end, self._run.folder / name)
        if text := _readable(board, self._begin):
            report.sections.append((f"Console of {board.name}", text))

    def _properties(self, board: Board, target: Target | None) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = [("board", board.name)]
        if board.last_boot:
            found += [("kernel", board.last_boot.release), ("boot_seconds", round(board.last_boot.seconds, 3))]
        if target and target.image:
            found.append(("image", f"{target.image.name} sha256:{target.image.sha256}"))
        found.append(("console_log", str(board.console.log)))
        return found

    def _slice_name(self, item: pytest.Item) -> str:
        worker = f"{self._run.worker}-" if self._run.is_worker else ""
        name = re.sub(r"[^\w.-]+", "-", item.nodeid.rpartition("/")[2]).strip("-")[:80]
        (self._run.folder / "console").mkdir(exist_ok=True)
        return f"console/{worker}{self._count:04d}-{name}.log"

    def _board(self, target: Target | None) -> Board | None:
        return self._run.boards.board(target) if self._run.boards else None

    # -- reports ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Into the journal of the process that saw it; a controller adds only the crash of a worker."""
        run = self._run
        if run.journal is None or (hasattr(report, "node") and str(report.when) != "???"):
            return
        facts = dict(getattr(report, FACTS, {}))
        run.journal.write(
            "outcome",
            board=facts.pop("board", ""),
            durable=report.outcome == "failed",
            nodeid=facts.pop("nodeid", report.nodeid),
            when=report.when,
            outcome=report.outcome,
            seconds=round(report.duration, 6),
            start=_iso(getattr(report, "start", None)),
            stop=_iso(getattr(report, "stop", None)),
            message=_message(report, facts),
            longrepr=report.longreprtext,
            sections=report.sections,
            properties=report.user_properties,
            **({"wasxfail": report.wasxfail} if hasattr(report, "wasxfail") else {}),
            **facts,
        )

    def report_failure(self, failure: Failure) -> None:
        """The one failing report of a target that cannot be deployed or booted; its items are skipped."""
        run, item = self._run, self._item
        if item is None or not self._first(failure):
            return
        error = failure.error
        facts = {
            "suite": "lava",
            "case": f"{failure.stage}::{failure.target.id}",
            "target": failure.target.id,
            "board": failure.target.request.name,
            "error": asdict(error),
            "console": list(failure.console),
            "console_log": failure.console_log or None,
            "parent": item.nodeid,
        }
        text = error.message
        if tail := error.evidence.replace("\r", "").strip().splitlines()[-_EXCERPT:]:
            text += "\n\nlast lines of the console:\n  " + "\n  ".join(tail)
        emit_child(
            item,
            name=f"{failure.stage}::{failure.target.id}",
            # a broken lab is an error, what the submitter supplied is a failure
            when="call" if error.blame is Blame.JOB else "setup",
            reason=text,
            seconds=failure.seconds,
            facts=facts,
        )
        if run.journal is not None:
            run.events.emit(failure.reason, level="error")

    def _first(self, failure: Failure) -> bool:
        """Whether this process is the first to report it: two workers may meet the same failure."""
        name = re.sub(r"[^\w.-]", "_", f".{failure.stage}-{failure.target.id}.failed")
        try:
            Path(self._run.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _names(item: pytest.Item) -> dict[str, Any]:
    if command := command_of(item):
        return {"suite": command, "case": _without_target(item, item.name), "command": command}
    path, _, rest = item.nodeid.partition("::")
    return {"suite": path, "case": _without_target(item, rest or path)}


def _without_target(item: pytest.Item, name: str) -> str:
    """The name a dashboard compares between boards: the target is told beside it."""
    target = target_of(item)
    if target is None:
        return name
    return name.replace(f"[{target.id}]", "").replace(f"[{target.id}-", "[").replace(f"-{target.id}]", "]")


def _command_facts(run: CommandRun) -> dict[str, Any]:
    return {
        "status": run.status,
        "stdout_b64": base64.b64encode(run.stdout).decode(),
        "stderr_b64": base64.b64encode(run.stderr).decode(),
    }


def _blamed(error: BaseException, report: pytest.TestReport) -> ErrorInfo:
    """A failing assertion is the test's own, what our code did not expect is a bug of ours."""
    found = describe(error)
    if isinstance(error, LavaError) or _raised_by_us(error):
        return found
    result = "fail" if report.when == "call" else "unknown"
    return ErrorInfo(found.type, found.message, Blame.TEST, found.effect, result)


def _raised_by_us(error: BaseException) -> bool:
    """Whether it came from inside the package; a refused argument is still the caller's mistake."""
    if isinstance(error, (ValueError, TypeError, pytest.fail.Exception)):
        return False
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and Path(frame.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)


def _message(report: pytest.TestReport, facts: dict[str, Any]) -> str:
    if error := facts.get("error"):
        return str(error["message"]).split("\n", 1)[0] or str(error["type"])
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext.strip().split("\n", 1)[0] if report.longrepr else ""


def _readable(board: Board, start: int) -> str:
    """The end of the console with the commands that were typed, without the frames of the command protocol."""
    console = board.console
    end = console.end
    lines: list[str] = []
    for offset, text in [*console.marks(start, end), (end, "")]:
        said = excerpt(console.log, start, offset, lines=4 * _EXCERPT)
        lines += [line for line in said.splitlines() if line and not re.match(r"@[0-9a-f]+[+-]", line)]
        lines += [text] if text else []
        start = offset
    return "\n".join(lines[-_EXCERPT:])


def _iso(moment: float | None) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds") if moment else None
