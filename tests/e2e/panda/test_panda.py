"""``pytest --board=panda`` with a user's board file: power commands outside the harness, console a pty or a socket."""

from __future__ import annotations

import getpass
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from lava_desk import SOAK, Desk, Session, bench_board, free_port, until

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
    desk.assert_clean()
    assert desk.switches(name)[-1][0] == "off"


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


TERMINAL_SERVER = """\
# RFC 2217 on one side, the board's own socket on the other; it stays while the board is off
import socket, sys, threading, time, types
import serial, serial.rfc2217
ours, board = int(sys.argv[1]), ("127.0.0.1", int(sys.argv[2]))
port = types.SimpleNamespace(
    baudrate=115200, bytesize=8, parity="N", stopbits=1, xonxoff=False, rtscts=False, dtr=True, rts=True, cts=True,
    dsr=True, ri=False, cd=True, break_condition=False, reset_input_buffer=lambda: 0, reset_output_buffer=lambda: 0,
)
listener = socket.create_server(("127.0.0.1", ours))
while True:
    client, _ = listener.accept()
    writer = types.SimpleNamespace(write=client.sendall)
    manager = serial.rfc2217.PortManager(port, writer)
    line = None

    def from_board():
        global line
        while client.fileno() >= 0:
            try:
                line = socket.create_connection(board)
                while data := line.recv(4096):
                    client.sendall(b"".join(manager.escape(data)))
            except OSError:
                pass
            line = None
            time.sleep(0.02)

    threading.Thread(target=from_board, daemon=True).start()
    while data := client.recv(4096):
        data = b"".join(manager.filter(data))
        if line is not None and data:
            line.sendall(data)
    client.close()
    if line is not None:
        line.shutdown(socket.SHUT_RDWR)
"""


def test_through_a_terminal_server(desk: Desk, panda: Panda) -> None:
    """RFC 2217. (ser2net is no use here: it refuses the control lines of a pty, which has none.)"""
    board_port, port = panda("panda-01", "tcp"), free_port()
    board = desk.folder / "boards" / "panda-01.toml"
    board.write_text(board.read_text().replace(f"socket://127.0.0.1:{board_port}", f"rfc2217://127.0.0.1:{port}"))
    script = desk.write("server.py", TERMINAL_SERVER)
    server = subprocess.Popen([sys.executable, str(script), str(port), str(board_port)])
    try:
        passes(desk)
    finally:
        server.kill()
        server.wait()
    assert_off(desk)


@pytest.mark.parametrize("console", ["pty", "tcp"] if SOAK else ["tcp"])
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
    text = switch.read_text() + '[ "$2" = on ] && (exec tail -f "$state.tty" >/dev/null 2>&1 &)\nsleep 0.2\n'
    switch.write_text(text.replace("rm -f", 'pkill -f "tail -f $state.tty"; rm -f'))
    desk.write("test_it.py", HANG)
    status, session = desk.run("--board=panda", "test_it.py")
    assert status == 69, session.output
    assert re.search(r"panda-01\.tty is held by tail -f \S+ \(pid \d+\)", session.output), session.output
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
arch = "arm64"
power = "none"
boot = "attach"
console = "{console}"
[login]
password = "lava"
"""
USED = """
    def test_one(shell):
        assert shell.run("uname -m").stdout == "aarch64\\n"
"""


def switch_on(desk: Desk, panda: Panda) -> socket.socket:
    """A panda that somebody switched on by hand, at its boot loader's prompt; a hand on its console."""
    port = panda("panda-01", "tcp")
    console = f"socket://127.0.0.1:{port}"
    desk.write("boards/desk.toml", ATTACH.format(console=console))
    subprocess.run(["./pdu", "panda-01", "on"], cwd=desk.folder / "boards", env=desk.env, check=True)
    hand = socket.create_connection(("127.0.0.1", port))
    see(hand, "stop autoboot")
    hand.sendall(b" ")
    see(hand, "=> ")
    return hand


def see(hand: socket.socket, text: str) -> None:
    hand.settimeout(20)
    seen = b""
    while text.encode() not in seen:
        data = hand.recv(4096)
        assert data, seen
        seen += data


def boot_by_hand(hand: socket.socket, more: str, prompt: str) -> None:
    for line in (
        f"setenv bootargs 'console=ttyAMA0 quiet {more}'",
        "load virtio 0 ${kernel_addr_r} Image",
        "load virtio 0 ${ramdisk_addr_r} initrd.img",
        "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}",
    ):
        hand.sendall(line.encode() + b"\n")
        see(hand, "=> " if "booti" not in line else prompt)
    hand.close()


def alive(desk: Desk) -> bool:
    return any("qemu-system-aarch64" in command for _, command in desk.processes())


@pytest.mark.parametrize("place", ["shell", "login"] if SOAK else ["login"])
def test_a_running_board_is_used_and_left_running(desk: Desk, panda: Panda, place: str) -> None:
    """Twice: the first run leaves it so that the second can use it again."""
    hand = switch_on(desk, panda)
    boot_by_hand(hand, "lava.login" if place == "login" else "", "login:" if place == "login" else "~ # ")
    desk.write("test_it.py", USED)
    for number in range(2):
        status, session = desk.run("--board=desk", "test_it.py", run=f"run{number}")
        assert status == 0, session.output + session.tail()
        assert session.bundle()["test_one[desk]"] == "pass"
    assert alive(desk)
    assert [what for what, _ in desk.switches("panda-01")] == ["on"]


def test_a_running_board_is_used_at_its_boot_loader(desk: Desk, panda: Panda) -> None:
    switch_on(desk, panda).close()
    desk.write("test_it.py", "def test_one(bootloader):\n    assert 'U-Boot' in bootloader.run('version')\n")
    status, session = desk.run("--board=desk", "test_it.py")
    assert status == 0, session.output + session.tail()
    assert alive(desk)
    assert [what for what, _ in desk.switches("panda-01")] == ["on"]


# -- a lab with two boards -----------------------------------------------------------------------------------------


def test_two_boards_for_three_runs(desk: Desk) -> None:
    """Each run gets a board of its own; the third is told who has them, or waits for one."""
    for name in ("panda-01", "panda-02"):
        bench_board(desk, name, ['extends = "panda"'])
    desk.write("test_it.py", "import pathlib, time\ndef test_it(shell):\n    shell.run('echo used')\n"
               "    while not pathlib.Path('done').exists(): time.sleep(0.01)\n")  # fmt: skip
    first = desk.start("--board=panda", "test_it.py", run="first")
    second = desk.start("--board=panda", "test_it.py", run="second")
    for session in (first, second):
        session.reach("$ echo used")
    status, third = desk.run("--board=panda", "test_it.py", run="third")
    assert status == 69, third.output
    said = f"board panda-01 is used by {getpass.getuser()} (pid "
    assert said in third.output
    assert f"{desk.folder}/first" in third.output or f"{desk.folder}/second" in third.output
    assert "--board-wait" in third.output
    status, named = desk.run("--board=panda-02", "test_it.py", run="named")
    assert status == 69
    assert "board panda-02 is used by" in named.output
    waiting = desk.start("--board=panda", "--board-wait=30", "test_it.py", run="waiting")
    waiting.reach("waiting: board panda-01 is used by")
    (desk.folder / "done").touch()
    assert [session.wait() for session in (first, second, waiting)] == [0, 0, 0]
    desk.assert_clean()
    used = {path.name for session in (first, second) for path in session.folder.glob("console*.log")}
    events = [(session.folder / "events.jsonl").read_text() for session in (first, second)]
    assert sum('"board": "panda-01"' in text for text in events) == 1, used
    assert sum('"board": "panda-02"' in text for text in events) == 1, used
    assert {desk.switches(name)[-1][0] for name in ("panda-01", "panda-02")} == {"off"}


def test_waiting_in_vain(desk: Desk) -> None:
    bench_board(desk, "panda-01", ['extends = "panda"'])
    desk.write("test_it.py", HANG)
    first = desk.start("--board=panda", "test_it.py", run="first")
    first.reach("sleep 600")
    status, second = desk.run("--board=panda", "--board-wait=0.5", "test_it.py", run="second")
    assert status == 69
    assert "is used by" in second.output
    assert "Traceback" not in second.output
    second.folder.joinpath("bundle.json").stat()
    first.process.kill()
    first.wait()
    until(lambda: desk.switches("panda-01")[-1][0] == "off", 2, "power-off")
    desk.assert_clean()
    desk.write("test_it.py", "def test_it(shell): pass\n")
    status, third = desk.run("--board=panda", "test_it.py", run="third")
    assert status == 0, third.output
