"""What is known of an item and its end, as plain JSON: it goes to the journal and over xdist's wire."""

from __future__ import annotations

import base64
import sysconfig
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import pytest_lava
from pytest_lava.errors import Blame, ErrorInfo, LavaError, describe
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import CommandRun, command_of, target_of

__all__ = [
    "FACTS",
    "behind_pexpect",
    "blamed",
    "command_facts",
    "error_facts",
    "iso",
    "message",
    "names",
    "release_of",
    "shorten_report",
    "shorten_traceback",
]

#: the attribute of a report that holds them
FACTS = "lava"
_PACKAGE = Path(pytest_lava.__file__).parent
_LIBRARIES = (*{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}, "<frozen ")


def names(item: pytest.Item) -> dict[str, Any]:
    """Suite and case as a bundle calls them."""
    if command := command_of(item):
        name = getattr(getattr(item, "function", None), "lava_name", command)
        return {"suite": name, "case": _without_target(item, item.name), "command": command}
    if own := getattr(getattr(item, "function", None), "lava_names", None):
        return dict(own)
    path, _, rest = item.nodeid.partition("::")
    return {"suite": path, "case": _without_target(item, rest or path)}


def _without_target(item: pytest.Item, name: str) -> str:
    """The name a dashboard compares between boards: the target is told beside it."""
    target = target_of(item)
    if target is None:
        return name
    return name.replace(f"[{target.id}]", "").replace(f"[{target.id}-", "[").replace(f"-{target.id}]", "]")


def release_of(target: Target) -> str | None:
    """Of the kernel that is to boot, as its file tells."""
    return target.kernel.release or None if target.kernel else None


def command_facts(run: CommandRun) -> dict[str, Any]:
    """Exit status and both streams of an out-of-tree command."""
    return {
        "status": run.status,
        "stdout_b64": base64.b64encode(run.stdout).decode(),
        "stderr_b64": base64.b64encode(run.stderr).decode(),
    }


def error_facts(error: ErrorInfo) -> dict[str, Any]:
    """A classified error; exactly ``str``, because xdist sends no subclass of it."""
    return {name: value if name == "facts" else str(value) for name, value in asdict(error).items()}


def blamed(error: BaseException, when: str) -> ErrorInfo:
    """A failing assertion is the test's own, what our code did not expect is a bug of ours."""
    error = behind_pexpect(error)
    found = describe(error)
    if isinstance(error, LavaError) or _raised_by_us(error):
        return found
    result = "fail" if when == "call" else "unknown"
    return ErrorInfo(found.type, found.message, Blame.TEST, found.effect, result)


def behind_pexpect(error: BaseException) -> BaseException:
    """Our own error if pexpect says TIMEOUT or EOF for it: a shell's ``expect`` is pexpect's, what ends it is ours."""
    found: BaseException | None = error
    while found is not None and type(found).__module__.partition(".")[0] == "pexpect":
        found = found.__cause__ or found.__context__  # pexpect leaves only the latter
    return found if isinstance(found, LavaError) else error


def _raised_by_us(error: BaseException) -> bool:
    """Whether it came from inside the package; a refused argument is still the caller's mistake."""
    if isinstance(error, (ValueError, TypeError, pytest.fail.Exception)):
        return False
    ours, frame = False, error.__traceback__
    while frame is not None:
        if _is_ours(frame):
            ours = True
        elif not _is_library(frame):
            ours = False  # the test itself, or what it gave us to call
        frame = frame.tb_next
    return ours


def shorten_traceback(error: BaseException) -> None:
    """Leave out our own frames behind the test's: the error's sentence says what they would."""
    if last := _last_of_test(error):
        last.tb_next = None


def shorten_report(report: pytest.TestReport, error: LavaError, *, whole: bool) -> None:
    """The sentence instead of class names with dots.

    As the ``whole`` report (also if no line of the test's own was involved), or in pytest's one-line summary.
    """
    crash = getattr(report.longrepr, "reprcrash", None)
    if whole or _last_of_test(error) is None:
        report.longrepr = str(error)
    elif crash is not None:
        crash.message = str(error)


def _last_of_test(error: BaseException) -> TracebackType | None:
    """The innermost frame that is neither ours nor a library's."""
    frame, last = error.__traceback__, None
    while frame is not None:
        if not _is_ours(frame) and not _is_library(frame):
            last = frame
        frame = frame.tb_next
    return last


def _is_ours(frame: TracebackType) -> bool:
    return Path(frame.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)


def _is_library(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_LIBRARIES)


def message(report: pytest.TestReport, facts: dict[str, Any]) -> str:
    """The outcome in one line."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    if error := facts.get("error"):
        return str(error["message"]).split("\n", 1)[0] or str(error["type"])
    if report.skipped and (reason := str(getattr(report, "wasxfail", "")).removeprefix("reason: ")):
        return reason.split("\n", 1)[0]
    if crash := getattr(report.longrepr, "reprcrash", None):  # the text begins with arguments and source
        return str(crash.message).split("\n", 1)[0]
    # a string is xdist's word on a dead worker; longreprtext would put "[gw0] linux -- Python" before it
    text = report.longrepr if isinstance(report.longrepr, str) else report.longreprtext
    return text.strip().split("\n", 1)[0] if report.longrepr else ""


def iso(moment: float | None) -> str | None:
    """Seconds of the wall clock as the journal writes them."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds") if moment else None
