"""Lines behind a TCP port: ``socket://`` (raw), ``telnet://`` and ``rfc2217://`` (telnet that can set the port)."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.settings import LineSettings
from pytest_lava.console.telnet import BREAK, COM_PORT, NEGOTIATES, Telnet, TelnetTransport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, ConsoleLost, NetworkError

__all__ = ["SCHEMES", "open_tcp"]

_CONNECT = 5.0  # seconds that a server has to accept a connection
_AGREE = 5.0  # seconds that it has to set its port
_NO_PATH = 4  # keep-alive probes, 5 s apart, that a server may leave unanswered

# RFC 2217; the server answers each with the same number plus 100 and what it has set
_BAUDRATE, _DATASIZE, _PARITY, _STOPSIZE, _CONTROL = 1, 2, 3, 4, 5
_ANSWERED = 100
_PARITIES = {"none": 1, "odd": 2, "even": 3, "mark": 4, "space": 5}
_FLOW_NONE, _FLOW_XONXOFF, _FLOW_HARDWARE, _BREAK_ON, _BREAK_OFF, _DTR_ON, _RTS_ON = 1, 2, 3, 5, 6, 8, 11
_NAMES = {_BAUDRATE: "speed", _DATASIZE: "8 data bits", _PARITY: "parity", _STOPSIZE: "stopbits"}


def open_tcp(url: str, settings: LineSettings) -> FdTransport:
    """Connect. ``ConfigurationError`` for a malformed URL, ``NetworkError`` if the server does not answer,
    ``ConsoleLost`` if it does not speak what the URL says."""
    scheme, _, _ = url.partition("://")
    line = _connect(url)
    try:
        return SCHEMES[scheme](line, url, settings)
    except BaseException:
        line.close()
        raise


class _RawLine(FdTransport):
    """A raw line that notices a telnet server at its other end, whose negotiation would else be taken for output."""

    _fresh = True

    def read(self) -> bytes:
        """See :class:`FdTransport`; a telnet server is the end of the line."""
        data = super().read()
        if self._fresh and data:
            self._fresh = False
            if NEGOTIATES.match(data):
                self._why_closed = lambda: (
                    f"its server speaks telnet: write {self.name.replace('socket://', 'telnet://')} in the board file"
                    " (or rfc2217:// if it can set the serial port)"
                )
                return b""
        return data


def _connect(url: str) -> socket.socket:
    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError as error:
        scheme = url.partition("://")[0]
        raise ConfigurationError(f"console url {url!r}: {error}; write {scheme}://HOST:PORT") from None
    if not host or number is None:
        raise ConfigurationError(f"console url {url!r}: write {parts.scheme}://HOST:PORT")
    try:
        line = socket.create_connection((host, number), timeout=_CONNECT)
    except OSError as error:
        raise NetworkError(f"cannot connect to {url}: {error.strerror or error}: does its server run?") from error
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a server that lost its power is noticed in 30 s
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _NO_PATH)
    return line


def _raw(line: socket.socket, url: str, settings: LineSettings) -> FdTransport:
    return _RawLine(line, url)


def _telnet(line: socket.socket, url: str, settings: LineSettings) -> FdTransport:
    def send_break(seconds: float) -> None:
        transport.send_command(BREAK, Deadline.after(_AGREE))

    transport = TelnetTransport(line, url, Telnet(), send_break=send_break)
    try:
        transport.write(b"", Deadline.after(_CONNECT))  # our wishes
    except BaseException:
        transport.close()
        raise
    return transport


def _rfc2217(line: socket.socket, url: str, settings: LineSettings) -> FdTransport:
    telnet, deadline, ended = Telnet(COM_PORT), Deadline.after(_AGREE), threading.Event()
    wanted = _wanted(settings)
    found: dict[int, bytes] = {}

    def answer(parameters: bytes) -> None:
        if parameters[:1] == bytes([COM_PORT]) and len(parameters) > 2 and parameters[1] >= _ANSWERED:
            found[parameters[1] - _ANSWERED] = parameters[2:]

    def control(value: int) -> None:
        transport.send_parameters(COM_PORT, bytes([_CONTROL, value]), Deadline.after(_AGREE))

    def send_break(seconds: float) -> None:
        control(_BREAK_ON)
        try:
            ended.wait(seconds)
        finally:
            control(_BREAK_OFF)

    telnet.on_parameters = answer
    transport = TelnetTransport(line, url, telnet, send_break=send_break, on_close=ended.set)
    try:
        transport.write(b"", deadline)  # our wishes
        _receive(transport, lambda: COM_PORT in telnet.agreed | telnet.refused, deadline)
        if COM_PORT not in telnet.agreed:
            spoken = "speaks telnet but cannot set a serial port" if telnet.heard else "does not speak telnet"
            scheme = "telnet" if telnet.heard else "socket"
            raise ConsoleLost(f"the server of {url} {spoken}: write {scheme}:// instead of rfc2217://")
        for command, value in wanted.items():
            transport.send_parameters(COM_PORT, bytes([command]) + value, deadline)
        for signal in (_flow(settings), _DTR_ON, _RTS_ON):
            control(signal)
        _receive(transport, lambda: wanted.keys() <= found.keys(), deadline)
        for command, value in wanted.items():
            if found.get(command) != value:
                what = _NAMES[command]
                raise ConsoleLost(f"the server of {url} did not set its port as asked: check [console] {what}")
    except BaseException:
        transport.close()
        raise
    return transport


def _wanted(settings: LineSettings) -> dict[int, bytes]:
    return {
        _BAUDRATE: struct.pack(">I", settings.speed),
        _DATASIZE: b"\x08",
        _PARITY: bytes([_PARITIES[settings.parity]]),
        _STOPSIZE: bytes([settings.stopbits]),
    }


def _flow(settings: LineSettings) -> int:
    if settings.rtscts:
        return _FLOW_HARDWARE
    return _FLOW_XONXOFF if settings.xonxoff else _FLOW_NONE


def _receive(transport: TelnetTransport, enough: Callable[[], bool], deadline: Deadline) -> None:
    """Read until there is enough or the time is over; what the board says meanwhile is kept."""
    poll = select.poll()
    poll.register(transport.fileno(), select.POLLIN)
    while not enough() and poll.poll(deadline.remaining() * 1000):
        try:
            data = transport.receive()
        except BlockingIOError:
            continue
        except OSError as error:
            raise NetworkError(f"the server of {transport.name} hung up: {error.strerror or error}") from error
        if not data:
            raise NetworkError(f"the server of {transport.name} hung up: does somebody else use the port?")
        transport.keep(data)


#: what opens a line of these kinds on a connected socket
SCHEMES: dict[str, Callable[[socket.socket, str, LineSettings], FdTransport]] = {
    "socket": _raw,
    "telnet": _telnet,
    "rfc2217": _rfc2217,
}
