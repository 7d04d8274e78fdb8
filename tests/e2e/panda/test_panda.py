"""``pytest --board=panda`` with a user's board file: power commands outside the harness, console a pty or a socket."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from lava_desk import Desk, Session, until

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

Panda = Callable[..., int]
TEST = """
    import pathlib, time

    def test_kernel(shell, board):
        assert board.name == "panda-01"
        assert shell.run("uname -m").stdout == "aarch64\\n"

    def test_bootloader(bootloader):
        assert "arch" in bootloader.run("bdinfo") or True
        assert "U-Boot" in bootloader.run("version")

    def test_again(shell):
        assert "quiet" in shell.run("cat /proc/cmdline").stdout
"""
HANG = "def test_hang(shell):\n    shell.run('sleep 600', timeout=600)\n"


def assert_off(desk: Desk, name: str = "panda-01") -> None:
    assert desk.switches(name)[-1][0] == "off"
    desk.assert_clean()


def passes(desk: Desk) -> Session:
    desk.write("test_it.py", TEST)
    status, session = desk.run("--board=panda", "test_it.py", "--command=uname -r", "--command=exit 3")
    assert status == 1, session.output
    assert "4 passed" in session.output
    assert "1 failed" in session.output
    found = session.bundle()
    assert [found[f"test_{name}[panda]"] for name in ("kernel", "bootloader", "again")] == ["pass"] * 3
    content = json.loads((session.folder / "bundle.json").read_text())
    assert {"uname -r", "exit 3"} <= {(run.get("attributes") or {}).get("command") for run in content["test_runs"]}
    assert (session.folder / "report.html").exists()
    assert "Starting kernel" in (session.folder / "console.log").read_text(errors="replace")
    return session


@pytest.mark.parametrize("console", ["pty", "tcp"])
def test_boots_tests_and_goes_off(desk: Desk, panda: Panda, console: str) -> None:
    panda("panda-01", console)
    passes(desk)
    assert_off(desk)


def test_through_a_terminal_server(desk: Desk, panda: Panda) -> None:
    """RFC 2217, as ser2net speaks it, between the board's pty and us."""
    if shutil.which("ser2net", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        pytest.skip("not installed: ser2net")
    port = panda("panda-01", "pty")
    state = desk.folder / "state" / "panda-01"
    desk.write(
        "ser2net.yaml",
        f"connection: &con\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{state}.tty,115200n81,local\n",
    )
    board = desk.folder / "boards" / "panda-01.toml"
    board.write_text(board.read_text().replace(f"{state}.tty", f"rfc2217://127.0.0.1:{port}"))
    server = subprocess.Popen(
        ["ser2net", "-n", "-d", "-c", "ser2net.yaml"],
        cwd=desk.folder, env=desk.env | {"PATH": desk.env["PATH"] + ":/usr/sbin"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        passes(desk)
    finally:
        server.kill()
        server.wait()
    assert_off(desk)


@pytest.mark.parametrize("console", ["pty", "tcp"])
def test_goes_off_after_kill(desk: Desk, panda: Panda, console: str) -> None:
    panda("panda-01", console)
    desk.write("test_it.py", HANG)
    session = desk.start("--board=panda", "test_it.py")
    session.reach("boot.login done")
    session.process.kill()
    session.wait()
    assert_off(desk)
    assert session.rebuilt()["test_hang[panda]"] == "the run ended while this test was running"


def test_goes_off_at_once_after_ctrl_c_in_the_boot_loader(desk: Desk, panda: Panda) -> None:
    panda("panda-01", "tcp")
    desk.write("test_it.py", HANG)
    session = desk.start("--board=panda-01", "test_it.py")
    session.reach("boot.bootloader begins")
    sent = session.signal(signal.SIGINT, group=True)
    assert session.wait() == 2
    assert_off(desk)
    assert desk.switches("panda-01")[-1][1] - sent < 3


def test_serial_port_held_by_another_program(desk: Desk, panda: Panda) -> None:
    panda("panda-01", "pty")
    switch = desk.folder / "boards" / "pdu"
    text = switch.read_text() + f'[ "$2" = on ] && (exec tail -f "$state.tty" >/dev/null 2>&1 &)\nsleep 0.2\n'
    switch.write_text(text.replace("rm -f", 'pkill -f "tail -f $state.tty"; rm -f'))
    desk.write("test_it.py", HANG)
    status, session = desk.run("--board=panda", "test_it.py")
    assert status == 69, session.output
    assert "panda-01.tty is held by tail (pid " in session.output
    assert session.output.count("Traceback") == 0
    subprocess.run(["pkill", "-f", f"tail -f {desk.folder}"], check=False)
    assert_off(desk)


@pytest.mark.parametrize("command", ["on", "both"])
def test_power_command_fails(desk: Desk, panda: Panda, command: str) -> None:
    panda("panda-01", "pty")
    board = desk.folder / "boards" / "panda-01.toml"
    text = board.read_text().replace("./pdu $LAVA_BOARD on", "echo no such outlet >&2; false")
    if command == "both":
        text = text.replace("./pdu $LAVA_BOARD off", "echo no such outlet >&2; false")
    board.write_text(text)
    desk.write("test_it.py", HANG + "def test_other(shell): pass\n")
    status, session = desk.run("--board=panda", "test_it.py")
    assert status == 69, session.output
    sentence = "the power command for panda-01 failed (exit status 1): `echo no such outlet >&2; false`: no such outlet"
    assert sentence in session.output
    assert "Traceback" not in session.output
    assert "2 skipped, 1 error" in session.output
    desk.assert_clean()


# -- a board that runs already ------------------------------------------------------------------------------------

ATTACH = """\
extends = "panda-01"
power = "none"
console = "{console}"
[boot]
method = "attach"
[login]
password = "lava"
[timeouts]
kernel = 20
login = 10
"""


@pytest.fixture
def running(desk: Desk, panda: Panda) -> Callable[[str], None]:
    """Switch a panda on by hand, and take it as it is."""

    def start(append: str) -> None:
        port = panda("panda-01", "tcp", append=append)
        text = (desk.folder / "boards" / "panda-01.toml").read_text()
        desk.write("boards/panda-02.toml", 'arch = "arm64"\npower = "none"\nboot = "attach"\nlogin.password = "lava"\n'
                   f'console = "socket://127.0.0.1:{port}"\n')  # fmt: skip
        desk.write("boards/panda-01.toml", text)
        desk.write("test_first.py", HANG.replace("sleep 600", "true"))
        subprocess.run(
            ["./pdu", "panda-01", "on"], cwd=desk.folder / "boards", env=desk.env, check=True, stdin=subprocess.DEVNULL
        )

    return start


def alive(desk: Desk) -> bool:
    return any("qemu-system-aarch64" in command for _, command in desk.processes())
