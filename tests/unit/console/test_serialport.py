"""Real ports: ptys as devices, TCP servers, pyserial's own RFC 2217 server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial.rfc2217
from support.lines import end_board, open_shell, soon
from support.rfc2217 import PtyPort, Rfc2217Server, ser2net

from pytest_lava.console.console import Console
from pytest_lava.console.holders import holders
from pytest_lava.console.lines import open_line, open_line_when_there
from pytest_lava.console.pumped import PumpedPort
from pytest_lava.console.serialport import open_serial
from pytest_lava.console.settings import LineSettings
from pytest_lava.console.tcpline import open_tcp
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, ConsoleLost, NetworkError, PortMissing, Timeout

SHELL = ["dash", "-i"]


@pytest.fixture
def port_with_shell() -> Iterator[str]:
    """A serial port (/dev/pts/N) with a shell at its other end, through two ptys and a wire between them."""
    near, near_end = pty.openpty()
    far, far_end = pty.openpty()
    tty.setraw(near_end)
    shell = subprocess.Popen(SHELL, stdin=far_end, stdout=far_end, stderr=far_end, start_new_session=True)
    wires = [threading.Thread(target=carry, args=pair, daemon=True) for pair in ((near, far), (far, near))]
    for wire in wires:
        wire.start()
    yield os.ttyname(near_end)  # kept open: unlike hardware, a pty hangs up while nobody has it open
    end_board(shell)
    for fd in (near_end, far_end):
        os.close(fd)
    for wire in wires:
        wire.join(5)
    os.close(near)
    os.close(far)


def carry(source: int, target: int) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(source, 4096):
            os.write(target, data)


@pytest.fixture
def server_with_shell() -> Iterator[str]:
    """HOST:PORT of a TCP server that serves a shell, as ser2net and QEMU do."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            line, _ = listener.accept()
            with line:
                subprocess.run(SHELL, stdin=line, stdout=line, stderr=line, check=False)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    server.join(5)


@pytest.fixture
def rfc2217(port_with_shell: str) -> Iterator[Rfc2217Server]:
    server = Rfc2217Server(PtyPort(port_with_shell, timeout=0.05))
    yield server
    server.close()


def test_device(port_with_shell: str, tmp_path: Path) -> None:
    with open_shell(tmp_path, line=open_line(port_with_shell, LineSettings())[0]) as shell:
        assert shell.run("echo out; echo err >&2; exit 3").stderr == "err\n"
        with pytest.raises(ConsoleLost, match="cannot send a BREAK: it is a pseudo terminal"):
            shell._console.send_break()
        assert shell.run("head -c 100000 /dev/zero").stdout_bytes == bytes(100_000)


def test_tcp(server_with_shell: str, tmp_path: Path) -> None:
    with open_shell(tmp_path, line=open_tcp(f"socket://{server_with_shell}", LineSettings())) as shell:
        assert shell.run("echo out; exit 3").returncode == 3
        with pytest.raises(ConsoleLost, match="cannot send a BREAK"):
            shell._console.send_break()
        shell.send("exit\n")
        with pytest.raises(ConsoleLost, match="the other side closed the line"):
            shell.run("true")


def test_closing_a_tcp_line_takes_no_time(server_with_shell: str) -> None:
    line = open_tcp(f"socket://{server_with_shell}", LineSettings())
    start = time.monotonic()
    line.close()
    assert time.monotonic() - start < 0.1


def test_rfc2217(rfc2217: Rfc2217Server, tmp_path: Path) -> None:
    with open_shell(tmp_path, line=open_tcp(rfc2217.url, LineSettings())) as shell:
        assert shell.run("echo out; echo err >&2; exit 3").returncode == 3
        data = bytes(range(256)) * 20
        assert shell.run("cat", input=data).stdout_bytes == data
        shell._console.send_break()
        assert rfc2217.breaks == 1


def test_ser2net(port_with_shell: str, tmp_path: Path) -> None:
    with ser2net(tmp_path, "telnet(rfc2217)", f"serialdev,{port_with_shell},9600n81,local") as address:
        line, _ = open_line_when_there(f"rfc2217://{address}", LineSettings(speed=57600), soon())
        with open_shell(tmp_path, line=line) as shell:
            data = bytes(range(256)) * 20
            result = shell.run("cat; echo err >&2; exit 3", input=data)
            assert (result.stdout_bytes, result.stderr, result.returncode) == (data, "err\n", 3)
            shell._console.send_break()
            assert shell.run("echo on").stdout == "on\n"
            with Path(port_with_shell).open() as port:
                assert termios.tcgetattr(port)[4:6] == [termios.B57600] * 2


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
def test_pyserials_own_rfc2217_has_no_descriptor_but_is_pumped(rfc2217: Rfc2217Server, tmp_path: Path) -> None:
    port = serial.rfc2217.Serial(rfc2217.url)
    line = PumpedPort(port, rfc2217.url, send_break=port.send_break, on_close=port.close)
    with open_shell(tmp_path, line=line) as shell:
        data = bytes(range(256)) * 20
        result = shell.run("cat; echo err >&2; exit 3", input=data)
        assert (result.stdout_bytes, result.stderr, result.returncode) == (data, "err\n", 3)
        shell._console.send_break()
        assert rfc2217.breaks == 1
        threading.Timer(0.1, rfc2217.hang_up).start()
        with pytest.raises(ConsoleLost, match=re.escape(rfc2217.url)):
            shell.run("sleep 20", timeout=20)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pump")]


def test_rfc2217_server_that_goes_away(rfc2217: Rfc2217Server, tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with open_shell(tmp_path, line=open_tcp(rfc2217.url, LineSettings())) as shell:
        threading.Timer(0.1, rfc2217.hang_up).start()
        with pytest.raises(ConsoleLost, match=re.escape(rfc2217.url)):
            shell.run("sleep 20", timeout=20)
    assert not {name for name in {thread.name for thread in threading.enumerate()} - before if name.startswith("pump")}


def test_port_that_is_not_there() -> None:
    with pytest.raises(PortMissing, match="the serial port /dev/ttyNONE is not there: is the adapter plugged in"):
        open_serial("/dev/ttyNONE", LineSettings())


def test_port_that_another_program_holds(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    program = (
        "import sys, time; port = open(sys.argv[1], 'rb+', buffering=0); print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, name], stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    try:
        with pytest.raises(
            ConsoleLost, match=rf"{name} is held by \S*python[\d.]* -c .*\(pid {holder.pid}\): end that program"
        ):
            open_serial(name, LineSettings())
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert list(holders(Path(name))) == []
    open_serial(name, LineSettings()).close()
    os.close(master)
    os.close(slave)


def test_what_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConsoleLost, match="cannot open the serial port"):
        open_serial(str(tmp_path / "file"), LineSettings())
    with pytest.raises(ConsoleLost, match="cannot open the serial port"):
        open_serial(str(tmp_path), LineSettings())


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_connection_refused(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NetworkError, match=rf"^cannot connect to {url}: Connection refused"):
        open_line(url, LineSettings())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_host_that_has_no_address() -> None:
    with pytest.raises(NetworkError, match=r"cannot connect to socket://no-such-host\.invalid:1: [A-Z]\w+"):
        open_tcp("socket://no-such-host.invalid:1", LineSettings())


@pytest.mark.parametrize(
    "url", ["nonsense://x", "socket://", "socket://host", "socket://host:notaport", "socket://h:99999"]
)
def test_url_that_is_wrong(url: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(repr(url))):
        open_line(url, LineSettings())


def test_line_that_comes_up_with_the_power(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    url = f"socket://127.0.0.1:{address[1]}"
    servers: list[socket.socket] = []
    threading.Timer(0.2, lambda: servers.append(socket.create_server(address))).start()
    line, process = open_line_when_there(url, LineSettings(), soon())
    assert process is None
    line.close()
    servers[0].close()
    start = time.monotonic()
    with pytest.raises(NetworkError, match="Connection refused"):
        open_line_when_there(url, LineSettings(), Deadline.after(0.15))
    with pytest.raises(PortMissing):
        open_line_when_there("/dev/ttyNONE", LineSettings(), Deadline.after(0.15))
    assert 0.3 <= time.monotonic() - start < 1.5


def test_device_that_comes_late_and_is_nobodys_at_first(port_with_shell: str, tmp_path: Path) -> None:
    """As udev does it: there, not yet ours, ours."""
    link = tmp_path / "ttyLATE"

    def come() -> None:
        with Path(port_with_shell).open() as other:
            link.symlink_to(port_with_shell)
            fcntl.flock(other, fcntl.LOCK_EX)
            gone.wait(0.5)

    gone = threading.Event()
    coming = threading.Timer(0.2, come)
    coming.start()
    start = time.monotonic()
    line, _ = open_line_when_there(str(link), LineSettings(), soon())
    assert 0.6 < time.monotonic() - start < 3
    coming.join()
    line.close()
    with Path(port_with_shell).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConsoleLost, match="is held by this very run"):
            open_line_when_there(str(link), LineSettings(), Deadline.after(0.2))


@pytest.mark.parametrize("form", ["spy://{}?file=/dev/null", "alt://{}?class=PosixPollSerial"])
def test_url_of_a_device_is_for_us_alone_too(form: str, port_with_shell: str, tmp_path: Path) -> None:
    url = form.format(port_with_shell)
    with open_shell(tmp_path, line=open_line(url, LineSettings())[0]) as shell:
        assert shell.run("echo out").stdout == "out\n"
        with pytest.raises(ConsoleLost, match=rf"{re.escape(url)} is held by this very run"):
            open_line(url, LineSettings())
    with pytest.raises(PortMissing, match="is not there"):
        open_line(form.format("/dev/ttyNONE"), LineSettings())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-program -x", "the program 'no-such-program' was not found"),
        ("", "needs a command"),
        ("sh -c 'unfinished", "no valid command line: No closing quotation"),
    ],
)
def test_process_that_cannot_be(command: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_line(f"exec:{command}", LineSettings())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("sh -c 'exit 3'", "sh exited with status 3"),
        ("sh -c 'kill -KILL $$'", "sh was killed by SIGKILL"),
        ("true", "true exited with status 0"),
    ],
)
def test_process_that_ends(command: str, why: str, tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    console.attach(open_line(f"exec:{command}", LineSettings())[0])
    with pytest.raises(ConsoleLost, match=re.escape(why)):
        console.expect([re.compile(b"never")], deadline=soon())
    console.close()


def test_process_that_ignores_the_hangup_is_killed(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    line, pid = open_line("""exec:sh -c 'trap "" HUP; echo ready; while :; do sleep 1; done'""", LineSettings())
    console.attach(line)
    console.expect([re.compile(b"ready")], deadline=soon())
    console.close()
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def test_port_without_a_descriptor(tmp_path: Path) -> None:
    """pyserial's loop:// says what it is told, all 256 values of it, and ends at once."""
    console = Console(tmp_path / "console.log")
    console.attach(open_line("loop://", LineSettings())[0])
    data = bytes(range(256)) * 15  # loop:// takes 4096
    console.write(data, soon())
    assert console.expect([re.compile(re.escape(data))], deadline=soon()).start == 0
    console.send_break()
    start = time.monotonic()
    console.close()
    assert time.monotonic() - start < 0.5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pump")]


def test_port_without_a_descriptor_that_is_full() -> None:
    line = open_line("loop://", LineSettings(speed=300))[0]
    start = time.monotonic()
    with pytest.raises(Timeout, match=r"the console loop:// did not take \d+ bytes in time"):
        line.write(bytes(3000), Deadline.after(0.2))  # 100 s at 300 baud
    assert time.monotonic() - start < 1
    line.close()
    with pytest.raises(ConsoleLost, match="loop:// is gone"):
        line.write(b"x", soon())
