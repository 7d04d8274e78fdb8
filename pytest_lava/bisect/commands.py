"""``pytest-lava bisect``: build this commit, run pytest on its kernel, and tell ``git bisect run`` what came of it."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lava.arguments import count, limit
from pytest_lava.bisect.processes import Processes
from pytest_lava.bisect.verdict import ABORT, SKIP, Build, Verdict, abort, judge, sentence, skip
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, ExitStatus, LavaError
from pytest_lava.results.run_folders import RUNS, claimed

__all__ = ["USAGE", "add_parsers", "bisect"]

#: a mistake in the call
USAGE = ABORT + ExitStatus.USAGE

_OURS = ("--lava-dir", "--snapshot", "--no-snapshot", "--collect-only", "--co", "--setup-plan", "--setup-only")
#: pytest's options that name what the build has yet to make
_BUILT = (
    "--kernel", "--kernel-tree", "--modules", "--dtb", "--initrd", "--vmlinux", "--image", "--deb", "--overlay",
    "--file",
)  # fmt: skip
_SHELL_CANNOT = (126, 127)  # sh: not executable, not found
_LINES = 20  # of a failed build
_ASK = 60.0  # seconds for git, and for --uname
_EPILOG = """\
exit status, as `git bisect run` reads it:
  0      good: tests passed on the kernel of this commit
  1      bad: a test failed, or the kernel does not boot after the boot loader handed over to it
  125    skip: it does not build, the lab was at fault, no kernel came, or not the one of this build
  128+   abort: interrupted (130), a mistake in the call (132), no tests (133)

example:
  git bisect start v6.8 v6.7
  git bisect run pytest-lava bisect --build 'make -j8 bzImage' -- --board=qemu-x86_64 --kernel-tree=. ~/t/test_mm.py
"""


@dataclass(frozen=True)
class Commit:
    """What is checked out."""

    sha: str = ""
    subject: str = ""

    @property
    def short(self) -> str:
        """For names and people."""
        return self.sha[:12] or "worktree"


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bisect``; ``args.func(args)`` runs it and returns the exit status."""
    parser = subparsers.add_parser(
        "bisect",
        help="build, test and judge one commit, for `git bisect run`",
        description="Build the kernel that is checked out, run pytest on it, and end with the status that "
        "`git bisect run` wants. Each commit keeps its run folder.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="pytest-lava bisect --build CMD [OPTIONS] -- PYTEST-ARGS",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--build", required=True, metavar="CMD", help="shell command that builds the kernel in the current folder")
    add("--build-timeout", type=limit, default=21600.0, metavar="SECONDS", help="its limit (default: 21600, 6 hours)")
    add(
        "--boot", choices=["fail", "skip"], default="fail",
        help="a kernel that does not boot is bad (fail, the default) or cannot be tested (skip)",
    )  # fmt: skip
    add(
        "--uname", metavar="CMD",
        help="shell command that prints what `uname -rv` has to hold, where the kernel's file does not tell",
    )  # fmt: skip
    add(
        "--lab-retries", type=count, default=1, metavar="N",
        help="run pytest so many times again if the lab was at fault (default: 1)",
    )  # fmt: skip
    add("--runs", type=Path, default=RUNS, metavar="DIR", help=f"where runs go (default: {RUNS})")
    add("pytest_args", nargs="+", metavar="PYTEST-ARGS", help="behind --: board, kernel and tests, as for pytest")
    parser.set_defaults(func=bisect)


def bisect(arguments: argparse.Namespace) -> int:
    """Judge the commit that is checked out. Whatever goes wrong ends the bisection: git takes 1 to 124 for "bad"."""
    try:
        return _bisect(arguments)
    except LavaError as error:
        print(f"pytest-lava bisect: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return ABORT + 2
    except Exception:
        traceback.print_exc()
        return ABORT + 3


def _bisect(arguments: argparse.Namespace) -> int:
    for argument in arguments.pytest_args:
        if argument.partition("=")[0] in _OURS:
            raise ConfigurationError(
                f"leave out {argument} behind --: bisect decides that itself (where runs go: --runs DIR)"
            )
    if refused := _refused(arguments.pytest_args):
        raise ConfigurationError(f"pytest does not take what is behind --: {refused}")
    commit = _commit()
    processes = Processes()
    begun = monotonic()
    with processes.signals():
        verdict, folder = _Bisection(arguments, commit, processes).verdict()
        if processes.interrupted:
            verdict = abort(processes.interrupted, "interrupted")
    told = f"{commit.short} {verdict.word} ({verdict.status}): {verdict.why}"
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"bisect: {told} [{shown}]", flush=True)
    with suppress(OSError), (arguments.runs / "bisect.log").open("a") as log:
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {monotonic() - begun:7.1f} s  {told} [{folder.name}]\n")
    return verdict.status


class _Bisection:
    """One commit's build and runs."""

    def __init__(self, arguments: argparse.Namespace, commit: Commit, processes: Processes) -> None:
        self._arguments = arguments
        self._commit = commit
        self._processes = processes
        self._unchanged = False

    def verdict(self) -> tuple[Verdict, Path]:
        """What came of it, and the folder that tells more."""
        folder = self._folder()
        if failed := self._build(folder):
            return failed, folder
        uname = ""
        if self._arguments.uname:
            uname = _output(["/bin/sh", "-c", self._arguments.uname])
            if not uname:
                return abort(ExitStatus.USAGE, "--uname printed nothing: give a command that does"), folder
        build = Build(self._commit.sha, uname)
        for left in range(self._arguments.lab_retries, -1, -1):
            verdict, lab_fault = self._run(folder, build)
            if not lab_fault or not left or self._processes.interrupted:
                break
            print(f"bisect: {self._commit.short} again, as the lab was at fault: {verdict.why}", flush=True)
            folder = self._folder()
        if self._unchanged:  # right for a commit that changes no code; else a build that builds something else
            verdict = replace(verdict, why=f"{verdict.why} (the build left the kernel as it was)")
        return verdict, folder

    def _folder(self) -> Path:
        """A new run folder, named after the commit."""
        parent: Path = self._arguments.runs.absolute()
        try:
            return claimed(parent, f"bisect-{self._commit.short}")
        except OSError as error:
            raise ConfigurationError(
                f"cannot make {error.filename}: {error.strerror}; give another place with --runs"
            ) from None

    def _build(self, folder: Path) -> Verdict | None:
        """The verdict if there is nothing to test."""
        command, log = self._arguments.build, folder / "build.log"
        before = _stamps(self._arguments.pytest_args)
        print(f"bisect: {self._commit.short} {self._commit.subject!r}: {command}", flush=True)
        begun = monotonic()
        ended = self._processes.build(command, log, Deadline.after(self._arguments.build_timeout))
        if ended.timed_out:
            why = f"the build was not done after {self._arguments.build_timeout:g} s"
        elif ended.status:
            why = f"it does not build (status {ended.status})"
        else:
            self._unchanged = before != [] and before == _stamps(self._arguments.pytest_args)
            print(f"bisect: {self._commit.short} built in {monotonic() - begun:.1f} s", flush=True)
            return skip(why) if (why := _no_kernel(self._arguments.pytest_args)) else None
        for line in log.read_text(errors="replace").splitlines()[-_LINES:]:
            print(f"  {line}", flush=True)
        if ended.status in _SHELL_CANNOT:
            return abort(ExitStatus.USAGE, f"the shell cannot run --build {command!r} (status {ended.status})")
        return skip(why)

    def _run(self, folder: Path, build: Build) -> tuple[Verdict, bool]:
        """Run pytest once; whether it was the lab's fault stands beside the verdict."""
        from pytest_lava.results.journal import read

        # -P: what lies in the kernel's tree is no Python module
        argv = [sys.executable, "-P", "-m", "pytest", *self._arguments.pytest_args, "--no-snapshot"]
        status = self._processes.run([*argv, f"--lava-dir={folder}"]).status
        lines = read(folder) if next(folder.glob("journal*.jsonl"), None) else []
        verdict = judge(lines, status, build, folder=folder, skip_boot=self._arguments.boot == "skip")
        return verdict, verdict.status == SKIP and status == ExitStatus.LAB_FAULT


def _refused(arguments: Sequence[str]) -> str:
    """Why pytest cannot run with these arguments, as far as it can be told before the build, which may take an hour."""
    left, names_built = [], False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if not names_built and option not in _BUILT:
            left.append(argument)
        names_built = option in _BUILT and not equals
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest", *left, "--collect-only", "-q", "-p", "no:cacheprovider"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_ASK, check=False,
        )  # fmt: skip
        if done.returncode == ExitStatus.USAGE:
            lines = (line.strip() for line in (done.stderr or done.stdout).splitlines())
            said = [line for line in lines if re.search(r"[Ee]rror: |ERROR", line) and "usage: " not in line]
            return "; ".join(line.partition(": ")[2] or line for line in said) or "it says nothing about why"
    return ""


def _no_kernel(arguments: Sequence[str]) -> str:
    """Why what the build left is nothing that can be booted; empty if it may be, or is not there at all."""
    from pytest_lava.images.cache import cache_dir
    from pytest_lava.images.kernel_sources import parse_kernel, parse_tree

    for option, text in _kernels(arguments):
        place = text.split(",")[0]
        if "://" in place or not Path(place.partition("#")[0]).exists():
            continue  # pytest tells that better
        try:
            parse_tree(place) if option == "--kernel-tree" else parse_kernel(place, cache_dir())
        except ConfigurationError as error:
            return f"the build left no kernel: {sentence(str(error))}"
    return ""


def _stamps(arguments: Sequence[str]) -> list[tuple[str, int, int]]:
    """The files of local kernels, with what changes when they are written."""
    from pytest_lava.images.kernel_sources import parse_tree
    from pytest_lava.images.kernel_tree import TreeSource

    files = []
    for option, text in _kernels(arguments):
        path = Path(text.split(",")[0].partition("#")[0])
        with suppress(LavaError, OSError):
            if option == "--kernel-tree" and isinstance(tree := parse_tree(str(path)), TreeSource):
                path = tree.folder / tree.image
            status = path.stat()
            files.append((str(path), status.st_ino, status.st_mtime_ns))
    return files


def _kernels(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--kernel X`` and ``--kernel=X``, and so for trees."""
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--kernel", "--kernel-tree"):
            yield option, value if equals else next(iter(arguments[number + 1 :]), "")


def _commit() -> Commit:
    """What is checked out here, nothing outside of git."""
    sha = _output(["git", "rev-parse", "HEAD"])
    return Commit(sha, _output(["git", "log", "-1", "--format=%s"])) if sha else Commit()


def _output(command: Sequence[str]) -> str:
    """What a short command prints, nothing if it fails."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace", timeout=_ASK, check=False,
        )  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
