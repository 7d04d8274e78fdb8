"""The journal: one JSON line for each thing that happened, on disk before pytest goes on.

Every result file (bundle, JUnit, HTML) is a pure function of it, so it can be made again after ``kill -9``.
Format 1: UTF-8, one object a line. Each line has ``v`` (1), ``run`` (uuid), ``board``, ``worker``, ``attempt``,
``time`` (UTC, ISO 8601, microseconds) and ``kind``. Seconds are floats; a ``console`` is ``[start, end]`` in bytes of
the board's console log. Times ``start`` and ``stop`` are ISO 8601. Fields marked ? may be missing or null.

======== ==========================================================================================================
kind     fields
======== ==========================================================================================================
run      first line: ``argv``, ``rootdir``, ``host``, ``pid``?,
         ``versions`` {"pytest-lava", "pytest", "python", "qemu"?},
         ``boards`` [name], ``format`` (bundle version asked for), ``attachment_limit``? (bytes of one file in the
         bundle), ``tags``? [tag], ``public_url``? (where the run folder can be found),
         ``junit_links``? {dialect, base}, ``sinks``? [{name, kind, options}] (where results are submitted to)
target   one for each (board, kernel, image) used: ``target`` (id), ``board``, ``device_type``, ``arch``,
         ``kernel``? {name, path, sha256, release?, build?, arch, kind, given (bool: by the user)},
         ``image``? {name, path, sha256}, ``emulated`` (bool), ``console_log``? (file name in the run folder),
         ``features``? [word], ``added``? [{kind, name, option, target, sha256, version}]
boot     ``target``, ``boot_id`` (int), ``seconds``, ``uname``? {release, version, machine}, ``console``,
         ``console_log``?, ``kernel_messages``? (as in outcome), ``inventory``? {model, vendor, version, firmware,
         compatible [text], cores [{id, model, part}], features, memory (bytes), usb [{bus, id, name, vendor, speed}],
         cmdline, system, packages [[name, version]]}, each only if it is known
resume   the same of a board that was switched on in a state kept earlier, and did not boot; ``resumed`` (ISO time)
phase    ``target``, ``name`` (events.PHASES), ``start``, ``seconds``,
         ``error``? {type, message, blame, effect, result, evidence, facts?}
recovery ``target``, ``cause``, ``death`` (shell, kernel, line), ``after`` and ``before`` (nodeid of the item that it
         died under, and of the one that waits), ``start``, ``seconds``, ``worked`` (bool), ``by`` (the rung that
         worked), ``rungs`` [{name, seconds, worked, why}], ``evidence``, ``console_log``?
attempt  a try that failed, of a phase that was tried again: ``target``, ``phase`` (lease, power, fetch, deploy, boot,
         submit), ``number``, ``of`` (how many there may be), ``last`` (bool: no other followed), ``error`` (as in
         phase), ``start``, ``seconds``, ``item`` (nodeid), ``what``? (what was fetched)
start    ``nodeid``, ``target``, ``suite``?, ``case``?, ``command``?: an item began
outcome  ``nodeid``, ``when`` (setup, call, teardown, ``???``), ``outcome`` (passed, failed, skipped), ``wasxfail``?,
         ``seconds``, ``start``, ``stop``, ``message`` (first line, or the reason), ``longrepr``,
         ``sections`` [[name, text]], ``suite`` (file; for a command the command; ``lava`` for deploy and boot
         reports), ``case``, ``target``, ``command``?, ``status``? (int), ``stdout_b64``?, ``stderr_b64``? (raw bytes
         in base64), ``console``?, ``console_log``? (file name in the run folder), ``error``? (as in phase),
         ``kernel_messages``? [{class, name, message, trace, time?, console, doubtful?}],
         ``properties`` [[name, value]], ``parent``? (nodeid, for child reports),
         ``attachments``? [{name, path (in the run folder), mime}], ``testdef``? (bundle 1.6 testdef_metadata),
         ``slice``? (file of the run folder with its part of the console)
limit    a test is over its time limit: ``nodeid``, ``target``, ``suite``, ``case``, ``command``?, ``limit`` (s),
         ``method`` (signal, thread), ``when``, ``message``, ``error``, ``console_log``?; its outcome if it has none
progress ``nodeid``, ``target``, ``text`` (one line for people), ``properties`` [[name, value]]: what a stress run has
         measured so far, the last one at its end
evidence ``nodeid``, ``target``, ``sections``, ``attachments``: what came to light after the outcome of a test
source   where a suite comes from: ``suite`` (as in outcome), ``vcs`` (git), ``project``, ``url``, ``revision``,
         ``changed`` (bool: its folder is not as in that revision), ``path`` (in the repository)
worker   ``pid``: an xdist worker began
note     ``text``: what the harness found
end      ``status`` (exit status), ``seconds``
======== ==========================================================================================================
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeGuard

from pytest_lava.deadline import monotonic
from pytest_lava.durably import sync_folder
from pytest_lava.errors import Bug, ConfigurationError, ErrorInfo, InfrastructureError, of_this_machine
from pytest_lava.events import utc_now
from pytest_lava.results.uncollected import uncollected

__all__ = ["VERSION", "Journal", "Line", "journals", "read"]

#: version of the line format
VERSION = 1
#: one line, as read
Line = dict[str, Any]

#: seconds that a crash of the host may cost
_SYNC_INTERVAL = 1.0
#: texts that are the same in many lines, so that one copy of each will do
_SHARED = ("run", "board", "worker", "kind", "nodeid", "suite", "case", "when", "outcome", "target", "console_log")
#: bytes that are parsed at once
_BATCH = 256 * 1024
#: how a line begins; inside a string its quotes would be escaped
_BEGIN = b'{"v":1,"run":'


class Journal:
    """Appends lines; a line is with the kernel when :meth:`write` returns, so that ``kill -9`` loses none.

    It takes no lock: a line is one ``write`` to an ``O_APPEND`` file, and a signal handler may write one too.
    """

    def __init__(self, path: Path, *, run: str, worker: str = "main", attempt: int = 1) -> None:
        self.path = path
        self._run, self._worker, self._attempt = run, worker, attempt
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _disk(path, error) from error
        self._torn = _ends_torn(self._fd)
        self._synced = monotonic()
        self._dirty = False
        self._named = False

    def write(self, kind: str, *, board: str = "", durable: bool = False, **fields: Any) -> None:
        """Append one line; ``durable`` waits until the disk has it. Raises ``InfrastructureError`` if it cannot."""
        if self._fd < 0:
            raise Bug(f"a {kind!r} line was written to the journal {self.path} after it was closed")
        line = {
            "v": VERSION, "run": self._run, "board": board, "worker": self._worker, "attempt": self._attempt,
            "time": utc_now(), "kind": kind, **fields,
        }  # fmt: skip
        data = _encode(line)
        try:
            self._append(b"\n" + data if self._torn else data)
            self._dirty = True
            if durable or monotonic() - self._synced > _SYNC_INTERVAL:
                self._sync()
        except OSError as error:
            raise _disk(self.path, error) from error

    def close(self) -> None:
        """Bring everything to the disk and close; a second call does nothing. Raises ``InfrastructureError``."""
        if self._fd < 0:
            return
        try:
            if self._dirty:
                self._sync()
        except OSError as error:
            raise _disk(self.path, error) from error
        finally:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        self._torn = True  # until all of it is written; the next line then begins on a line of its own
        while data:
            data = data[os.write(self._fd, data) :]  # a full disk takes a part first and refuses the rest
        self._torn = False

    def _sync(self) -> None:
        os.fdatasync(self._fd)
        if not self._named:
            sync_folder(self.path.parent)
            self._named = True
        self._synced = monotonic()
        self._dirty = False


def journals(paths: Iterable[Path]) -> list[Path]:
    """The journal files that ``paths`` mean: a run folder stands for all in it. ``ConfigurationError`` if none."""
    found: dict[Path, Path] = {}
    for path in paths:
        files = sorted(path.glob("journal*.jsonl")) if path.is_dir() else [path]
        if not files:
            raise ConfigurationError(f"there is no journal*.jsonl in {path}; give a run folder or a journal file")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read(paths: Path | Sequence[Path]) -> list[Line]:
    """The lines of one or several journals (or run folders) in the order of time.

    Torn lines are skipped. Lines of one file never change places, even if its clock was set back. Of outcomes told
    twice, the last counts. Raises ``ConfigurationError`` for a missing file or one that this version cannot read.
    """
    with uncollected():
        return _read_all(journals([paths] if isinstance(paths, Path) else paths))


def _read_all(paths: Iterable[Path]) -> list[Line]:
    found: list[tuple[str, Line]] = []
    sharing = _Sharing()
    for path in paths:
        moment = ""
        for line in _read(path):
            sharing.share(line)
            moment = max(moment, line["time"])
            found.append((moment, line))
    found.sort(key=lambda pair: pair[0])
    return _without_repeats([line for _, line in found])


def _read(path: Path) -> Iterator[Line]:
    empty, any_line = True, False
    try:
        with path.open("rb") as file:
            while batch := file.readlines(_BATCH):
                empty = empty and not b"".join(batch).strip(b"\0 \n")
                for line in _parse_batch(batch):
                    if line["v"] != VERSION:
                        raise ConfigurationError(
                            f"the journal {path} has format {line['v']}, but this pytest-lava reads {VERSION}: "
                            "update pytest-lava"
                        )
                    any_line = True
                    yield line
    except OSError as error:
        raise ConfigurationError(f"the journal {path} cannot be read: {error.strerror}") from error
    if not empty and not any_line:
        raise ConfigurationError(f"{path} is not a journal of pytest-lava: none of its lines can be read")


def _parse_batch(batch: list[bytes]) -> list[Line]:
    """All at once if all are whole: that takes half the time, and a key is there once and not once a line."""
    try:
        found = json.loads(b"[" + b",".join(batch) + b"]")
    except (ValueError, RecursionError):
        found = []
    if len(found) == len(batch) and all(map(_is_line, found)):
        return list(found)
    return [line for raw in batch if (line := _parse(raw)) is not None]


def _parse(raw: bytes) -> Line | None:
    # behind a line that lost its end, or behind the NULs of a crashed file system, there may be a whole one
    for begin in (0, raw.rfind(_BEGIN)):
        try:
            line = json.loads(raw[begin:]) if begin >= 0 else None
        except (ValueError, RecursionError):
            continue
        if _is_line(line):
            return line
    return None


def _is_line(line: Any) -> TypeGuard[Line]:
    return (
        isinstance(line, dict)
        and "v" in line
        and isinstance(line.get("run"), str)
        and isinstance(line.get("time"), str)
        and isinstance(line.get("kind"), str)
    )


class _Sharing:
    """One copy of what comes again: names, and what pytest repeats in later reports of a test."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._before: dict[str, object] = {}

    def share(self, line: Line) -> None:
        """Put the copies into a line."""
        texts = self._texts
        for key in _SHARED:
            text = line.get(key)
            if isinstance(text, str):
                line[key] = texts.setdefault(text, text)
        for key in ("sections", "properties"):
            pairs = line.get(key)
            if not isinstance(pairs, list):
                continue
            if pairs == self._before.get(key):
                line[key] = self._before[key]
                continue
            self._before[key] = pairs
            for pair in pairs:
                if isinstance(pair, list):
                    pair[:] = [texts.setdefault(text, text) if isinstance(text, str) else text for text in pair]


def _without_repeats(lines: list[Line]) -> list[Line]:
    names = [_identity(line) for line in lines]
    last = {name: number for number, name in enumerate(names) if name}
    return [
        line for number, (line, name) in enumerate(zip(lines, names, strict=True)) if last.get(name, number) == number
    ]


def _identity(line: Line) -> str:
    """What an outcome is of; empty for other lines."""
    if line["kind"] != "outcome":
        return ""
    worker, attempt, when, target = line.get("worker"), line.get("attempt"), line.get("when"), line.get("target")
    return f"{line['run']}\0{worker}\0{attempt}\0{line.get('nodeid')}\0{when}\0{target}"


def _encode(line: Line) -> bytes:
    """One line of JSON. Lone surrogates (undecodable file names) are escaped, other objects become their text."""
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        text = json.dumps(_finite(line), ensure_ascii=False, separators=(",", ":"), default=_plain)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(_finite(line), separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    return vars(value) if isinstance(value, ErrorInfo) else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _ends_torn(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _disk(path: Path, error: OSError) -> InfrastructureError:
    return of_this_machine(
        f"the journal {path} cannot be written ({error.strerror}): make room there, or choose another run folder", error
    )
