"""From a run's journal to a verdict on one commit: good, bad, to be skipped, or an end to the whole bisection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import Blame, ExitStatus, first_line
from pytest_lava.results.journal import Line
from pytest_lava.results.record import LAVA, Case, Record, collect
from pytest_lava.results.summary import fault, first_fault

__all__ = ["ABORT", "BAD", "GOOD", "SKIP", "Build", "Verdict", "abort", "bad", "good", "judge", "sentence", "skip"]

#: statuses that ``git bisect run`` knows; from ABORT on it ends
GOOD, BAD, SKIP, ABORT = 0, 1, 125, 128

_PASSES = {ExitStatus.TESTS_FAILED, ExitStatus.LAB_FAULT, 0}
#: pytest's own words, by its exit status
_PYTEST = {
    2: "pytest was interrupted, or a test file cannot be imported",
    3: "pytest met an internal error",
    4: "pytest was called wrongly (see above)",
    5: "pytest found no tests: check PYTEST-ARGS",
    6: "there were more warnings than --max-warnings allows, which is no verdict on a kernel",
}
_SEEN = 1 << 20  # bytes of a boot's console
_LONGEST = 200  # characters of a reason
#: what only a kernel says, or a boot loader that has handed over to it
_HANDED_OVER = re.compile(
    rb"Starting kernel|Linux version \d|Booting (?:Linux|kernel)|Uncompressing Linux|EFI stub: |Kernel panic"
    rb"|^\[ *\d+\.\d{6}\] ",
    re.MULTILINE,
)
_COMMIT = re.compile(r"-g([0-9a-f]{7,40})(?:-dirty)?$")


@dataclass(frozen=True)
class Verdict:
    """What git is told, and why in one line."""

    status: int
    why: str

    @property
    def word(self) -> str:
        """What git makes of it."""
        return {GOOD: "good", BAD: "bad", SKIP: "skip"}.get(self.status, "abort")


@dataclass(frozen=True)
class Build:
    """What a kernel has to be to be the one that was just built. ``uname`` is what release or version has to hold."""

    commit: str = ""
    uname: str = ""


def good(why: str) -> Verdict:
    """This commit is not to blame."""
    return Verdict(GOOD, why)


def bad(why: str) -> Verdict:
    """This commit has the fault."""
    return Verdict(BAD, why)


def skip(why: str) -> Verdict:
    """This commit cannot be tested."""
    return Verdict(SKIP, why)


def abort(status: int, why: str) -> Verdict:
    """No commit could be tested like this. ``status`` is pytest's, or the number of a signal."""
    return Verdict(max(ABORT, min(ABORT + status if status < ABORT else status, 255)), why)


def judge(lines: Sequence[Line], status: int, build: Build, *, folder: Path, skip_boot: bool = False) -> Verdict:
    """The verdict of a run that ended with ``status`` and left ``lines``.

    ``skip_boot``: a kernel that does not boot cannot be tested, instead of being bad.
    """
    if status not in _PASSES:
        return abort(abs(status), _PYTEST.get(status, f"pytest ended with {status}"))
    record = collect(lines)
    if lines and record.end is None:
        return abort(3, "pytest broke off before its end (see above): what it says is no verdict")
    return (
        _not_this_build(record, build)
        or _of_tests(record)
        or _of_boot(record, folder, skip_boot=skip_boot)
        or _of_others(record)
        or _of_passes(record, status)
    )


def _not_this_build(record: Record, build: Build) -> Verdict | None:
    """What speaks against that the kernel of this build was tested."""
    for case in record.cases:
        if case.verdict.error.get("type") == "WrongKernel":
            return skip(sentence(case.verdict.message))
    kernels = [target.get("kernel") or {} for target in record.targets.values()]
    if record.targets and not build.uname and not any(kernel.get("given") for kernel in kernels):
        return abort(
            ExitStatus.USAGE,
            "no kernel of yours was under test: add --kernel or --kernel-tree behind --, or say by --uname what it is",
        )
    for kernel in kernels:
        built_from = _COMMIT.search(str(kernel.get("release") or ""))
        if build.commit and built_from and not build.commit.startswith(built_from[1]):
            return skip(f"the kernel {kernel['release']} is not of this commit: the build made no new one")
    if record.resumes:
        return skip("the board was resumed and not booted")
    for boot in record.boots:
        if why := _is_another(boot, record, build):
            return skip(why)
    return None


def _is_another(boot: Line, record: Record, build: Build) -> str:
    """Why a boot is not known to be of this build's kernel; empty if it is."""
    uname = boot.get("uname") or {}
    booted = f"{uname.get('release')} {uname.get('version')}"
    if build.uname:
        return "" if build.uname in booted else f"{booted} was booted, but --uname says {build.uname}"
    kernel = record.target(str(boot.get("target"))).get("kernel") or {}
    if not kernel.get("given"):
        return ""
    told = [(kernel.get("release"), uname.get("release")), (kernel.get("build"), uname.get("version"))]
    known = [(deployed, found) for deployed, found in told if deployed]
    if not known:
        return f"the file {kernel.get('path')} does not tell which kernel it is: give --uname CMD"
    return next((f"{booted} was booted, not {deployed}" for deployed, found in known if deployed != found), "")


def _failed_tests(record: Record, *blames: Blame) -> Iterator[Case]:
    """Tests that failed by one of ``blames``; a failure without a classified error is the test's own."""
    for case in record.cases:
        if case.suite == LAVA and not case.command:
            continue
        if case.verdict.outcome in ("failed", "error") and _blame(case) in blames:
            yield case


def _of_tests(record: Record) -> Verdict | None:
    """A test that failed decides, whatever else went wrong; but not one that met no kernel."""
    failed = next(_failed_tests(record, Blame.TEST, Blame.JOB), None)
    return bad(f"{failed.nodeid}: {sentence(failed.verdict.message)}") if failed and record.boots else None


def _of_boot(record: Record, folder: Path, *, skip_boot: bool) -> Verdict | None:
    for case in record.cases:
        if not _is_report(case, "boot") or _blame(case) != Blame.JOB:
            continue
        why = sentence(case.verdict.message)
        if not _handed_over(case, record, folder):
            return skip(f"it came to no kernel: {why}")
        return skip(f"it does not boot: {why}") if skip_boot else bad(f"it does not boot: {why}")
    return None


def _of_others(record: Record) -> Verdict | None:
    """The lab's faults, and ours."""
    if problem := first_fault(record):
        if problem.error.get("blame") == Blame.CONFIGURATION:
            return abort(ExitStatus.USAGE, fault(problem))
        return skip(fault(problem))
    if broken := next(_failed_tests(record, Blame.BUG), None):
        return abort(3, f"a bug of pytest-lava: {broken.nodeid}: {sentence(broken.verdict.message)}")
    if not record.boots:
        return abort(ExitStatus.USAGE, "no kernel was booted: no test of PYTEST-ARGS asks for a shell")
    return None


def _of_passes(record: Record, status: int) -> Verdict:
    if status == ExitStatus.TESTS_FAILED:
        return abort(3, "pytest says that a test failed, but no result says so")
    passed = sum(case.verdict.result == "pass" for case in record.cases if case.suite != LAVA or case.command)
    if not passed:
        return skip("no test passed and none failed: all were skipped")
    return good(f"{passed} test{'s' * (passed != 1)} passed")


def _handed_over(case: Case, record: Record, folder: Path) -> bool:
    """Whether the kernel had its turn: by the phases of a chain with a boot loader, else by what the console says."""
    phases = [line for line in record.phases if line.get("target") == case.target]
    names = [str(line["name"]) for line in phases]
    last = max((number for number, name in enumerate(names) if name == "power"), default=0)
    begun = [line for line in phases[last:] if str(line["name"]).startswith("boot.")]
    if any(line["name"] == "boot.bootloader" for line in begun):
        return any(line["name"] == "boot.kernel" and not line.get("error") for line in begun)
    line = case.verdict.line or {}
    return _HANDED_OVER.search(_said(line, folder).replace(b"\r", b"")) is not None


def _said(line: Line, folder: Path) -> bytes:
    if not line.get("console") or not line.get("console_log"):
        return b""
    start, end = line["console"]
    try:
        with (folder / str(line["console_log"])).open("rb") as log:
            log.seek(start)
            return log.read(int(min(end - start, _SEEN)))
    except OSError:
        return b""


def _is_report(case: Case, name: str) -> bool:
    return case.suite == LAVA and not case.command and case.name == name and case.verdict.outcome != "passed"


def _blame(case: Case) -> str:
    return str(case.verdict.error.get("blame") or Blame.TEST)


def sentence(said: str) -> str:
    """The first line, as long as one of a log may be."""
    return first_line(said)[:_LONGEST]
