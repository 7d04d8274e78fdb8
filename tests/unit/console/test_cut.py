"""A console call that is ended from another thread: at once where it only waits, never within a frame."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.lines import open_agent, open_shell, soon

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.deadline import Deadline
from pytest_lava.errors import TestTimeout

WHY = "the test is over its time limit of 1 s"
Shell = AgentShell | MarkerShell


@pytest.fixture(params=[open_agent, open_shell], ids=["agent", "marker"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    with request.param(tmp_path) as shell:
        yield shell


@contextmanager
def cut_after(seconds: float, console: Console) -> Iterator[None]:
    """Another thread ends what is called then."""
    timer = threading.Timer(seconds, console.cut.begin, [WHY])
    timer.start()
    yield
    timer.join()


def test_a_command_is_interrupted_and_the_shell_lives_on(shell: Shell) -> None:
    console = shell._console
    began = time.monotonic()
    with cut_after(0.3, console), pytest.raises(TestTimeout) as caught:
        shell.run("echo before; sleep 600", timeout=600)
    assert time.monotonic() - began < 5
    said = f"{WHY}; no end of the command by then: echo before; sleep 600"
    assert (str(caught.value), caught.value.evidence) == (said, "before\n")
    assert not console.cut.busy
    with pytest.raises(TestTimeout, match=rf"^{WHY}$"):
        shell.run("echo refused")
    console.cut.end()
    assert shell.run("echo after").stdout == "after\n"
    assert "refused" not in console.text(0)


def test_one_that_ends_meanwhile_is_over_the_limit_too(tmp_path: Path) -> None:
    """The answer is on its way: it is taken to its end, and no Ctrl-C hits what comes next."""
    with open_agent(tmp_path) as shell:
        console = shell._console
        begun = console.end + 100_000

        def cut_within_the_frame() -> None:
            console.wait(lambda: console.end > begun or None, soon(), what="payload", watched=False)
            console.cut.begin(WHY)

        thread = threading.Thread(target=cut_within_the_frame)
        thread.start()
        with pytest.raises(TestTimeout, match="the command ended only now"):
            shell.run("head -c 8000000 /dev/zero | tr '\\0' a", timeout=60)
        thread.join()
        assert b"\x03" not in console.read(0)
        assert not [text for _, text in console.typed.between(0, console.end) if "Ctrl" in text]
        console.cut.end()
        assert shell.run("echo after").stdout == "after\n"


@pytest.mark.parametrize("command", ["while :; do echo much; done", "sleep 600"])
def test_live_output(tmp_path: Path, command: str) -> None:
    """Also where the line never falls silent."""
    with open_agent(tmp_path) as shell:
        console, came = shell._console, threading.Event()
        began = time.monotonic()
        with cut_after(0.3, console), pytest.raises(TestTimeout):
            shell.run(command, timeout=600, on_output=lambda _: came.set())
        assert time.monotonic() - began < 8
        console.cut.end()
        assert shell.run("echo after").stdout == "after\n"
        assert came.is_set() == ("much" in command)


def test_a_shell_that_ignores_ctrl_c(shell: Shell) -> None:
    with cut_after(0.3, shell._console), pytest.raises(TestTimeout):
        shell.run("trap '' INT; while :; do :; done", timeout=600)
    shell._console.cut.end()
    assert shell.run("echo after").stdout == "after\n"


def test_pexpect(shell: Shell) -> None:
    """No ``pexpect.TIMEOUT``: a test may wait for that, and means its own."""
    shell.sendline("sleep 600")
    with cut_after(0.3, shell._console), pytest.raises(TestTimeout, match="no output by then"):
        shell.expect("never", timeout=60)
    shell.sendcontrol("c")
    with pytest.raises(TestTimeout):
        shell.expect(re.escape(shell.prompt))
    shell._console.cut.end()
    shell.expect(re.escape(shell.prompt), timeout=10)


@pytest.mark.parametrize(
    "wait",
    [
        lambda console, limit: console.expect([re.compile(b"never")], deadline=limit),
        lambda console, limit: console.wait(lambda: None, limit, what="sign of life", quiet=5.0),
    ],
)
def test_a_bare_wait(shell: Shell, wait: Callable[[Console, Deadline], object]) -> None:
    began = time.monotonic()
    with cut_after(0.2, shell._console), pytest.raises(TestTimeout):
        wait(shell._console, soon(60))
    assert time.monotonic() - began < 2


def test_what_belongs_to_a_frame_is_not_cut(shell: Shell) -> None:
    console = shell._console
    console.cut.begin(WHY)
    with pytest.raises(Exception, match="no rest in time"):
        console.wait(lambda: None, Deadline.after(0.3), what="rest", watched=False)


def test_busy(shell: Shell) -> None:
    """As the thread sees it that decides whether somebody is in the middle of a call."""
    console = shell._console
    assert not console.cut.busy
    seen: list[bool] = []
    timer = threading.Timer(0.3, lambda: seen.append(console.cut.busy))
    timer.start()
    shell.run("sleep 1")
    timer.join()
    assert (seen, console.cut.busy) == ([True], False)
