"""What helps to understand a crash: lines of source, and what the kernel stored for its next boot."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from pytest_lava.board.pstore import FOLDER, collect
from pytest_lava.board.record import BootRecord
from pytest_lava.console.readable import without_frames
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, ErrorInfo, Hang, KernelCrash, LavaError
from pytest_lava.images.kernel_tree import TreeSource
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.reporting.facts import FACTS
from pytest_lava.results.kernel_messages import KERNEL_MESSAGES
from pytest_lava.results.text import both_ends, plain, tail
from pytest_lava.symbols.symbolizer import Booted, Symbolizer, unusable

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["ATTACHMENTS", "CrashEvidence", "Sourced", "readable_evidence"]

#: the fact of a report that names files of the run folder to attach
ATTACHMENTS = "attachments"
_SECONDS = 60.0  # for one trace; the first one of a large vmlinux takes longest
_LINES, _CHARACTERS = 200, 16384  # of each end of a trace in a report; the file has it whole
_STORED = 16384  # characters of each stored file in a report; the file beside it is whole
_BINARY = "application/octet-stream"
_BANNER = 1 << 20  # bytes of a boot in which the kernel says its version


@dataclass(frozen=True)
class Sourced:
    """A trace with lines of source: as a report shows it, and the file of the run folder that has it whole."""

    text: str
    attachments: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class _Victim:
    """A test under which a board died, and the console slice of it."""

    nodeid: str
    target: str
    slice: str


class CrashEvidence:
    """Watches reports go by. It has to be registered behind those that put errors and kernel messages on them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._symbolizers: dict[str, Symbolizer | None] = {}
        self._victims: dict[str, _Victim] = {}
        self._stores: set[str] = set()  # boards whose kernel has somewhere to store its last words

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put lines of source to the traces of a report."""
        report = yield
        target, facts = target_of(item), getattr(report, FACTS, None)
        board = self._run.boards.board(target) if target and self._run.boards else None
        if target is None or board is None or facts is None:
            return report
        error = call.excinfo.value if call.excinfo and report.failed else None
        if isinstance(error, (KernelCrash, Hang, ConsoleLost)) and (file := facts.get("slice")):
            self._victims[board.name] = _Victim(item.nodeid, target.id, file)
        said = [readable_evidence(error)] if isinstance(error, LavaError) else []
        traces = [str(one.get("trace") or "") for one in facts.get(KERNEL_MESSAGES) or ()]
        said += [trace for trace in traces if not any(trace in text for text in said)]
        name = facts.get("slice") or f"console/{report.when}-{target.id}.log"
        sourced = self.sourced(board, target, "\n\n".join(filter(None, said)), name, board.console.boundary)
        if sourced is not None:
            report.sections.append((f"Call traces of {board.name} with lines of source", sourced.text))
            facts.setdefault(ATTACHMENTS, []).extend(sourced.attachments)
        return report

    def sourced(self, board: Board, target: Target, said: str, name: str, boot: int) -> Sourced | None:
        """``said`` with lines of source, or why there are none; None if there is nothing to tell.

        ``name`` of the console slice that it belongs to, ``boot``: where its log was as the board was started.
        """
        symbolizer = self._symbolizer(target)
        if symbolizer is None or not said:
            return None
        found = symbolizer.explain(said, _booted(board, boot), Deadline.after(_SECONDS))
        for note in found.notes:
            board.events.emit(note, level="warning")
        notes = "\n".join(found.notes)
        if not found.text:
            return Sourced(notes) if notes else None
        path = PurePosixPath(name).with_suffix(".trace.txt")
        text = plain(found.text)
        (self._run.folder / path).parent.mkdir(exist_ok=True)
        (self._run.folder / path).write_text(f"{text}\n", errors="backslashreplace")
        shown = both_ends(text, _LINES, _CHARACTERS, f"{path} has it whole")
        attached = {"name": "call-traces.txt", "path": str(path), "mime": "text/plain"}
        return Sourced("\n\n".join(filter(None, [shown, notes])), (attached,))

    def awaits_boot(self, board: Board) -> bool:
        """Whether a kernel that stores its last words died under a test, and the board was not booted since."""
        return board.name in self._victims and board.name in self._stores

    def died_under(self, board: Board, target: Target, nodeid: str, slice_name: str) -> None:
        """A board died under a part of an item: what its kernel stored belongs to that part."""
        self._victims[board.name] = _Victim(nodeid, target.id, slice_name)

    # -- after the next boot ------------------------------------------------------------------------------------

    def after_boot(self, board: Board, record: BootRecord) -> None:
        """Bring home what the kernel stored before it was restarted: it belongs to the test under which it died."""
        if record.resumed:
            return  # by a state that was kept earlier
        victim = self._victims.pop(board.name, None)
        try:
            with board.console.typed.aside():
                stored = collect(board.shell)
        except LavaError as error:
            board.events.emit(f"what is in {FOLDER} could not be collected: {error}", level="warning")
            return
        for trouble in stored.trouble:
            board.events.emit(f"{FOLDER}: {trouble}", level="warning")
        (self._stores.add if stored.place else self._stores.discard)(board.name)
        if not stored.files:
            return
        place = victim.slice if victim else f"console/before-{board.name}-{record.boot_id}.log"
        folder = PurePosixPath(place).with_suffix(".pstore")
        (self._run.folder / folder).mkdir(parents=True, exist_ok=True)
        for name, content in stored.files.items():
            (self._run.folder / folder / name).write_bytes(content)
        whose = f"of the crash in {victim.nodeid}" if victim else "of a crash before this run, or that no test met"
        board.events.emit(f"{FOLDER} held {len(stored.files)} files {whose}: {folder}", level="warning")
        if victim is not None:
            self._tell(board, victim, folder, stored.files)

    def _tell(self, board: Board, victim: _Victim, folder: PurePosixPath, files: Mapping[str, bytes]) -> None:
        """One line more in the journal about a test that is over."""
        assert self._run.journal is not None
        texts = {name: tail(plain(content.decode(errors="replace")), _STORED) for name, content in files.items()}
        self._run.journal.write(
            "evidence",
            board=board.name,
            durable=True,
            nodeid=victim.nodeid,
            target=victim.target,
            sections=[[f"{name} of {board.name}, as its kernel stored it", text] for name, text in texts.items()],
            attachments=[
                {"name": name, "path": str(folder / name), "mime": "text/plain" if _is_text(content) else _BINARY}
                for name, content in files.items()
            ],
        )

    # -- inside -------------------------------------------------------------------------------------------------

    def _symbolizer(self, target: Target) -> Symbolizer | None:
        """For the files that were given, and for the vmlinux of the target's kernel tree."""
        if target.id not in self._symbolizers:
            paths = self._run.plan.vmlinux
            source = target.kernel.source if target.kernel else None
            if isinstance(source, TreeSource):
                paths = (*paths, *self._of_tree(source.folder / "vmlinux"))
            self._symbolizers[target.id] = Symbolizer(paths) if paths else None
        return self._symbolizers[target.id]

    def _of_tree(self, path: Path) -> tuple[Path, ...]:
        """Nobody asked for it, so there is no word of what is missing but in the event log."""
        why = unusable(path)
        if why is not None:
            self._run.events.emit(f"no lines of source in traces: {path} {why}")
        return () if why else (path,)


def readable_evidence(error: LavaError | ErrorInfo | None) -> str:
    """What the console showed, without the frames of our protocols."""
    return without_frames(error.evidence.replace("\r", "")).strip() if error else ""


def _is_text(content: bytes) -> bool:
    return b"\0" not in content


def _booted(board: Board, boot: int) -> Booted:
    """The kernel that ran: as it says at its boot, as its shell told, or else the one that was deployed."""
    said = Booted.of(board.console.text(boot, boot + _BANNER).replace("\r", ""))
    if said:
        return said
    record, kernel = board.last_boot, board.deployment.kernel
    if record is not None and record.console[1] >= boot:  # of this boot, not of an earlier kernel
        return Booted(record.release, record.version)
    return Booted(kernel.file.release or "", kernel.file.build or "") if kernel else Booted()
