"""Files that belong to a test: brought from its board, or from here, into the run folder, and attached to its result.

Journal, bundle, JUnit and HTML take them from the reports. They come over the serial line if there is nothing else, so
a board needs no network.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from pytest_lava.board.board import Board, State
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.errors import LavaError, OperationFailed, of_this_machine
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.reporting.crash import ATTACHMENTS
from pytest_lava.plugin.reporting.facts import FACTS
from pytest_lava.results.mime import mime_of
from pytest_lava.transfer.globs import Found, find_files

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["MARK", "Attaching", "RecordFile"]

#: ``@pytest.mark.collect_files("/var/log/messages", "/tmp/*.log")``
MARK = "collect_files"
_ENOUGH = 600.0  # seconds for all files of one test that are collected after it
_MOST = 100  # files that one test collects
#: pytest shows a failed test's sections of its teardown only if they are called so
_TROUBLE = "Not collected at teardown"
_NAME = 120  # characters of a file's name here


@dataclass
class _Attached:
    """What an item has so far: files that no report has yet, all names, and what went wrong."""

    fresh: list[dict[str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    trouble: list[str] = field(default_factory=list)
    #: it did not run, so there is nothing to collect
    skipped: bool = False


_ATTACHED = pytest.StashKey[_Attached]()


class RecordFile:
    """The fixture ``record_file``: makes a file part of the test's result.

    ::

        def test_trace(shell, record_file):
            shell.check("perf record -o /tmp/perf.data -a sleep 1")
            here = record_file("/tmp/perf.data")  # in the run folder, and in bundle, JUnit and HTML
    """

    def __init__(self, attaching: Attaching, item: pytest.Item) -> None:
        self._attaching, self._item = attaching, item

    def __repr__(self) -> str:
        return f"<record_file of {self._item.name}>"

    def __call__(self, remote: str, name: str = "", *, timeout: float | None = None) -> Path:
        """Bring a file from the board; where it is here. Raises as ``shell.get`` does."""
        return self._attaching.bring(self._item, remote, name, timeout=timeout)

    def here(self, path: str | Path, name: str = "") -> Path:
        """A file of this machine; it is copied. ``OperationFailed`` if it cannot be read."""
        return self._attaching.copy(self._item, Path(path), name)

    def content(self, name: str, content: str | bytes) -> Path:
        """Bytes or a text that the test made itself, as a file of that name."""
        return self._attaching.write(self._item, name, content)


class Attaching:
    """Keeps what tests attach, and collects what they are marked for once they have ended, however they did.

    It has to be registered behind ``Reporting``, whose facts it adds to.
    """

    key = pytest.StashKey["Attaching"]()

    def __init__(self, run: Run) -> None:
        self._run = run
        run.config.stash[self.key] = self

    # -- for tests ----------------------------------------------------------------------------------------------

    def bring(self, item: pytest.Item, remote: str, name: str = "", *, timeout: float | None = None) -> Path:
        """A file of the item's board."""
        target = target_of(item)
        assert target is not None
        assert self._run.boards is not None
        return self._get(item, self._run.boards.shell(target), remote, name, timeout)

    def copy(self, item: pytest.Item, path: Path, name: str = "") -> Path:
        """A file of this machine."""
        name, local = self._place(item, name or path.name)
        try:
            shutil.copyfile(path, local)
        except OSError as error:
            local.unlink(missing_ok=True)
            if error.filename == str(path):
                raise OperationFailed(f"cannot attach {path}: {error.strerror}") from None
            raise of_this_machine(f"cannot attach {path}: {error}", error) from error
        return self._add(item, name, local)

    def write(self, item: pytest.Item, name: str, content: str | bytes) -> Path:
        """A content that is in memory."""
        name, local = self._place(item, name)
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        try:
            local.write_bytes(data)
        except OSError as error:
            raise of_this_machine(f"cannot attach {name}: {error}", error) from error
        return self._add(item, name, local)

    # -- after tests --------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """What an earlier round of the same item left is told; this one begins with nothing."""
        if _ATTACHED in item.stash:
            del item.stash[_ATTACHED]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Before its fixtures are torn down, which may remove what is to be collected."""
        patterns = [str(pattern) for mark in item.iter_markers(MARK) for pattern in mark.args]
        target, attached = target_of(item), item.stash.get(_ATTACHED, _Attached())
        if patterns and not attached.skipped and target is not None and self._run.boards is not None:
            with self._run.boards.uncounted():
                self._collect(item, target, list(dict.fromkeys(patterns)))
        yield

    def _collect(self, item: pytest.Item, target: Target, patterns: list[str]) -> None:
        """Whatever is in the way is told, and is no failure of the test."""
        assert self._run.boards is not None
        board = self._run.boards.board(target)
        if board is None or board.state is not State.SHELL or not board.at_ease:
            self._missed(item, board, f"nothing was collected, as there is no shell any more: {', '.join(patterns)}")
            return
        limit = Deadline.after(_ENOUGH)
        try:
            with board.console.typed.aside():
                found = find_files(board.shell, patterns, limit.remaining(), most=_MOST)
            self._collect_found(item, board, found, limit)
        except LavaError as error:
            self._missed(item, board, f"collecting ended early: {error}")
            self._run.boards.note_end(target, error)  # the board is looked at before its next test

    def _collect_found(self, item: pytest.Item, board: Board, found: Found, limit: Deadline) -> None:
        for trouble in found.trouble:
            self._missed(item, board, trouble)
        for number, remote in enumerate(found.files):
            if limit.expired:
                left = len(found.files) - number
                self._missed(item, board, f"{left} files were not collected in {_ENOUGH:g} s, from {remote} on")
                return
            try:
                self._get(item, board.shell, remote, "", max(limit.remaining(), 1.0))
            except OperationFailed as error:
                self._missed(item, board, str(error))

    def _missed(self, item: pytest.Item, board: Board | None, what: str) -> None:
        (board.events if board else self._run.events).emit(f"{item.nodeid}: {what}", level="warning")
        item.stash.setdefault(_ATTACHED, _Attached()).trouble.append(what)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """What was attached since the last report of the item goes to this one."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            item.stash.setdefault(_ATTACHED, _Attached()).skipped = True
        attached, facts = item.stash.get(_ATTACHED, None), getattr(report, FACTS, None)
        if attached is None or facts is None:
            return report
        if attached.fresh:
            facts[ATTACHMENTS] = [*(facts.get(ATTACHMENTS) or ()), *attached.fresh]
            attached.fresh = []
        if attached.trouble:
            report.sections.append((_TROUBLE, "\n".join(attached.trouble)))
            attached.trouble = []
        return report

    # -- inside -------------------------------------------------------------------------------------------------

    def _get(self, item: pytest.Item, shell: Shell, remote: str, name: str, timeout: float | None) -> Path:
        name, local = self._place(item, name or PurePosixPath(remote).name or "file", remote)
        return self._add(item, name, shell.get(remote, local, timeout=timeout))

    def _place(self, item: pytest.Item, name: str, longer: str = "") -> tuple[str, Path]:
        """A name that no other file of the item has, and where the file is to be; ``longer`` tells two apart."""
        if not name or "\0" in name:
            raise ValueError(f"{name!r} is no name of a file")
        taken = item.stash.setdefault(_ATTACHED, _Attached()).names
        choices = [name, longer.strip("/")] if longer else [name]
        unique = next((choice for choice in choices if choice and choice not in taken), "")
        number = 2
        while not unique:
            stem, dot, suffix = name.partition(".")
            candidate = f"{stem}-{number}{dot}{suffix}"
            unique, number = "" if candidate in taken else candidate, number + 1
        taken.add(unique)
        folder = self._run.folder / "files" / PurePosixPath(self._run.slices.name(item.nodeid)).stem
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise of_this_machine(f"cannot attach {name}: {error}", error) from error
        return unique, folder / _plain(unique, folder)

    def _add(self, item: pytest.Item, name: str, local: Path) -> Path:
        about = {"name": name, "path": str(local.relative_to(self._run.folder)), "mime": mime_of(local, name)}
        item.stash[_ATTACHED].fresh.append(about)
        return local


def _plain(name: str, folder: Path) -> str:
    """A name for this machine's file system, that no file of ``folder`` has."""
    plain = re.sub(r"[^\w.+@-]+", "_", name)[-_NAME:].lstrip(".-") or "file"
    number = 2
    while (folder / plain).exists():
        plain, number = f"{number}-{plain}", number + 1
    return plain
