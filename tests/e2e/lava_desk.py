"""A user's desk: starts pytest as processes of their own, as a user would, and sees all that they leave behind.

Every process that comes from a desk carries its tag in the environment (as ``LC_...``, which shells on a pty keep too).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lava.results.bundle.schema import validate

__all__ = ["SOAK", "Desk", "Session", "bench_board", "free_port", "missing", "until"]

SOAK = bool(os.environ.get("LAVA_SOAK"))
_BIN = Path(sys.executable).parent
_TAG = "LC_LAVA_DESK"

#: a real board's power switch: the board is a shell on a pty; each switch is noted with its time
_BENCH = """\
#!/bin/sh
state=$PWD/../state/$LAVA_BOARD
mkdir -p "$PWD/../state"
off() {
    [ -f "$state.pid" ] && kill -9 $(cat "$state.pid") 2>/dev/null
    # a board's memory goes with its power
    if [ -f "$state.shell" ]; then
        shell=$(cat "$state.shell")
        pkill -9 -s $shell
        # what is killed may make one file more; a zombie does not
        for try in 1 2 3 4 5 6 7 8 9; do pgrep -s $shell -r R,S,D >/dev/null || break; sleep 0.02; done
        rm -f /dev/shm/.lava$shell /dev/shm/.lava$shell.*
    fi
    rm -f "$state.pid" "$state.line" "$state.shell"
}
case $1 in
on) off
    env --default-signal=INT,QUIT PYTHON -S bench_board.py "$state" </dev/null >/dev/null 2>&1 &
    echo $! >"$state.pid" ;;
off) off ;;
*) exit 1 ;;
esac
echo "$1 $(date +%s.%N)" >>"$state.log"
"""
#: that board: a shell behind a pty whose other end nobody has open
_BENCH_BOARD = """\
import os, pty, select, sys, time, tty
os.setsid()
shell, line = pty.fork()
if shell == 0:
    os.execvp("sh", ["sh", "-c", "sleep 0.3; exec sh -i"])
outer, inner = os.openpty()
tty.setraw(inner)
with open(sys.argv[1] + ".shell", "w") as file:
    print(shell, file=file)
os.symlink(os.ttyname(inner), sys.argv[1] + ".line")
os.close(inner)
while True:
    poll = select.poll()
    poll.register(line, select.POLLIN)
    poll.register(outer, select.POLLIN)
    for fd, event in poll.poll():
        try:
            data = os.read(fd, 65536)
            os.write(outer if fd == line else line, data)
        except OSError:  # nobody has the other end open
            if fd == line:
                sys.exit()
            time.sleep(0.005)
"""
_BENCH_TOML = """\
description = "a shell that lives outside of pytest"
arch = "host"
abstract = false
console = "{folder}/state/{name}.line"
boot = "login"
[power]
method = "command"
on = "./bench on"
off = "./bench off"
settle = 0.0
[timeouts]
power = 10
kernel = 10
login = 10
"""


def until(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until ``check`` gives something true."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"no {what} within {seconds:g} s"
        time.sleep(0.005)
    return found


@dataclass
class Session:
    """One pytest that runs, or ran."""

    process: subprocess.Popen[bytes]
    desk: Desk
    folder: Path
    log: Path

    @property
    def output(self) -> str:
        """What it printed so far, both streams."""
        return self.log.read_text(errors="replace")

    def reach(self, mark: str, seconds: float = 30.0) -> None:
        """Wait for a file that a test made, or for words of its event log."""
        events = self.folder / "events.jsonl"

        def there() -> bool:
            assert self.process.poll() is None, f"pytest ended before it came to {mark!r}:\n{self.output}"
            return (self.desk.folder / mark).exists() or (events.exists() and mark in events.read_text())

        until(there, seconds, f"{mark!r}")

    def signal(self, number: int, *, group: bool = False) -> float:
        """Send a signal to pytest, or to all of its process group, as a terminal does; when."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return time.time()

    def wait(self, seconds: float = 40.0) -> int:
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pytest does not end:\n{self.output}\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of its events and console logs."""
        files = [*self.folder.glob("events*.jsonl"), *self.folder.glob("console*.log")]
        return "\n".join(f"{file}:\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def bundle(self) -> dict[str, str]:
        """The results of its bundle, which must be valid: ``suite case`` (target in brackets) -> result, or message."""
        content = json.loads((self.folder / "bundle.json").read_text())
        validate(content)
        return results(content)

    def rebuilt(self) -> dict[str, str]:
        """The same of the bundle that ``pytest-lava bundle`` makes from the journal."""
        (self.folder / "bundle.json").unlink(missing_ok=True)
        done = self.desk.cli("bundle", str(self.folder))
        assert done.returncode == 0, done.stdout + done.stderr
        return self.bundle()

    def seen(self) -> dict[str, str]:
        """What the user's own conftest.py saw end: ``test[target]`` -> outcome of the call."""
        path = self.desk.folder / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        pairs = (line.rsplit(" ", 1) for line in lines)
        return {re.sub(r"\[(localhost|bench|qemu-x86_64)-(.*)\]$", r"[\2][\1]", name): how for name, how in pairs}


def results(bundle: dict[str, Any]) -> dict[str, str]:
    """``case[target]`` -> the result's message if the result is unknown, else the result."""
    found = {}
    for run in bundle["test_runs"]:
        target = (run.get("attributes") or {}).get("target", "")
        for result in run["test_results"]:
            attributes = result.get("attributes") or {}
            name = f"{result['test_case_id']}[{attributes.get('target', target)}]"
            known = result["result"] != "unknown"
            found[name] = result["result"] if known else result.get("message", "unknown")
    return found


class Desk:
    """A folder with tests and boards, and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = uuid.uuid4().hex
        self.locks = folder / "locks"
        for name in ("boards", "locks", "tmp"):
            (folder / name).mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        self.env = os.environ | {
            _TAG: self.tag, "PYTEST_LAVA_LOCKS": str(self.locks), "TMPDIR": str(folder / "tmp"), "COLUMNS": "200",
            "XDG_STATE_HOME": str(folder / "xdg-state"),
        }  # fmt: skip
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
            self.env.pop(name, None)
        self.sessions: list[Session] = []

    def write(self, name: str, text: str) -> Path:
        """Put a file on the desk."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a pytest."""
        # a background job of a script has INT ignored, and passes that on
        return ["env", "--default-signal=INT,TERM,QUIT", str(_BIN / "pytest"), *arguments]

    def start(self, *arguments: str, run: str = "run", env: dict[str, str] | None = None) -> Session:
        """Start pytest in a session of its own, as a terminal would; its run folder is ``run``."""
        log = self.folder / f"{run}.out"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.command(f"--lava-dir={run}", "-p", "no:cacheprovider", "--no-snapshot", *arguments),
                cwd=self.folder, env=self.env | (env or {}), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        session = Session(process, self, self.folder / run, log)
        self.sessions.append(session)
        return session

    def run(self, *arguments: str, run: str = "run") -> tuple[int, Session]:
        """Start pytest and wait for its end."""
        session = self.start(*arguments, run=run)
        return session.wait(), session

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``pytest-lava``."""
        return subprocess.run(
            [str(_BIN / "pytest-lava"), *arguments],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    # -- what is left -------------------------------------------------------------------------------------------

    def processes(self) -> Iterator[tuple[int, str]]:
        """Living processes that came from this desk: pid and command line."""
        wanted = f"{_TAG}={self.tag}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError):
                if not entry.name.isdigit() or wanted not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                if (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    yield int(entry.name), command[:200]

    def left(self) -> list[str]:
        """All that should not be there when nothing runs any more."""
        found = [f"process {pid}: {command}" for pid, command in self.processes()]
        found += [f"held lock {path.name}" for path in self.locks.glob("*.lock") if not _free(path)]
        found += [f"file {path}" for path in self.locks.glob(".new-*")]
        found += [f"file {path}" for path in (self.folder / "tmp").iterdir() if "pytest-of-" not in path.name]
        return found

    def assert_clean(self, seconds: float = 2.0) -> None:
        """Nothing is left, ``seconds`` from now at the latest."""
        end = time.monotonic() + seconds
        while found := self.left():
            if time.monotonic() > end:
                said = "\n".join(session.output[-3000:] for session in self.sessions)
                raise AssertionError("left behind:\n  " + "\n  ".join(found) + "\n" + said)
            time.sleep(0.01)

    def switches(self, board: str) -> list[tuple[str, float]]:
        """What the power switch of a bench board was told, and when."""
        log = self.folder / "state" / f"{board}.log"
        if not log.exists():
            return []
        return [(words[0], float(words[1])) for line in log.read_text().splitlines() if (words := line.split())]

    def clear(self) -> None:
        """End what a failed test left."""
        for pid, _ in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for session in self.sessions:
            session.process.wait(10)
        for shell in (self.folder / "state").glob("*.shell"):  # of a bench that was not switched off
            for path in Path("/dev/shm").glob(f".lava{shell.read_text().strip()}*"):
                path.unlink(missing_ok=True)


def bench_board(desk: Desk, name: str, more: Sequence[str] = ()) -> None:
    """A board of its own right: a shell on a pty outside of pytest, switched by a script, with locks."""
    if not (desk.folder / "boards" / "bench").exists():
        desk.write("boards/bench", _BENCH.replace("PYTHON", sys.executable)).chmod(0o755)
        desk.write("boards/bench_board.py", _BENCH_BOARD)
    desk.write(f"boards/{name}.toml", "\n".join([*more, _BENCH_TOML.format(folder=desk.folder, name=name)]))


def missing(*programs: str) -> str:
    """Those of ``programs`` that are not installed."""
    return ", ".join(name for name in programs if shutil.which(name) is None)


def _free(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
