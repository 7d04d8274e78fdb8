"""Three kinds of boards in one run: a process on a pty, one with power switch and locks, and a QEMU, which is last."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest
from lava_desk import Desk, bench_board, missing

CONFTEST = """
    import os, pathlib, pytest
    HERE = pathlib.Path(__file__).parent

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(report):
        if report.when == "call" and not hasattr(report, "node"):
            fd = os.open(HERE / "seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(fd, f"{report.nodeid.partition('::')[2]} {report.outcome}\\n".encode())
            os.close(fd)

    @pytest.fixture
    def last_board(board):
        return board.name == "qemu-x86_64"
"""
TESTS = """
    import os, pathlib, signal, sys, time, pytest
    HERE = pathlib.Path(__file__).parent

    def reached():
        (HERE / f"reached-{os.getpid()}").touch()
        (HERE / "reached").touch()

    @pytest.mark.timeout(60)
    def test_first(shell):
        assert shell.run("echo first").stdout == "first\\n"
"""
HANGS = """
    def test_victim(shell, last_board):
        if last_board:
            reached()
            shell.run("sleep 600", timeout=600)

    def test_after(shell):
        assert shell.run("echo after").stdout == "after\\n"
"""


@pytest.fixture
def bench(desk: Desk) -> Desk:
    """A desk with tests on three boards; the test ``test_victim`` hangs on the last one."""
    if names := missing("qemu-system-x86_64"):
        pytest.skip(f"not installed: {names} (make test installs them)")
    bench_board(desk, "bench")
    desk.write("conftest.py", CONFTEST)
    desk.write("test_it.py", TESTS + HANGS)
    return desk


@pytest.fixture
def tests(bench: Desk) -> Callable[[str], None]:
    """Put other tests behind ``test_first``."""

    def write(body: str) -> None:
        bench.write("test_it.py", textwrap.dedent(TESTS) + textwrap.dedent(body))

    return write


@pytest.fixture(scope="session")
def boards() -> tuple[str, ...]:
    """The arguments that run these tests on all three."""
    return ("--board=localhost", "--board=bench", "--board=qemu-x86_64", "test_it.py")
