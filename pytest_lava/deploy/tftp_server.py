"""A TFTP server for a handful of files: read only, one socket, one thread.

RFC 1350 with options as RFC 2347 has them: ``blksize`` (RFC 2348), ``timeout`` and ``tsize`` (RFC 2349) and
``windowsize`` (RFC 7440), by which several blocks need one acknowledgement. Transfers go on at the port where they were
asked for, as with dnsmasq's ``--tftp-single-port``, so firewalls need one rule only.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_lava.deadline import monotonic
from pytest_lava.errors import InfrastructureError

__all__ = ["TftpServer"]

_RRQ, _WRQ, _DATA, _ACK, _ERROR, _OACK = range(1, 7)
_BLOCK = 512  # bytes, where no size is agreed
_LEAST, _MOST = 8, 65464  # RFC 2348
_WINDOW = 16  # blocks, at most: U-Boot's drivers have few more buffers, and what is lost costs a time-out
_RESEND = 1.0  # seconds, where none are agreed
_PATIENCE = 30.0  # seconds that a client may be silent, at least three times its own time-out
_CLIENTS = 64  # at a time: a board needs one

_Address = tuple[Any, ...]
Report = Callable[[str], object]


@dataclass
class _Transfer:
    """One file on its way. Block 0 is the answer to options; ``block_size`` and the others are as agreed."""

    name: str
    fd: int
    size: int
    block_size: int = _BLOCK
    window: int = 1
    resend: float = _RESEND
    answer: bytes = b""
    acknowledged: int = 0
    sent: int = 0
    repeated: bool = False
    due: float = 0.0
    heard: float = field(default_factory=monotonic)
    began: float = field(default_factory=monotonic)

    @property
    def last(self) -> int:
        """The number of the last block, which is shorter than the others."""
        return self.size // self.block_size + 1

    def packets(self) -> Iterator[bytes]:
        """What comes after that which was acknowledged."""
        if self.answer:
            yield self.answer
            return
        first, self.sent = self.acknowledged + 1, min(self.acknowledged + self.window, self.last)
        for block in range(first, self.sent + 1):
            data = os.pread(self.fd, self.block_size, (block - 1) * self.block_size)
            yield struct.pack(">HH", _DATA, block & 0xFFFF) + data  # the number starts again at 0

    def hears(self, number: int) -> bool:
        """An acknowledgement; whether something is to be sent now."""
        self.heard = monotonic()
        new = (number - self.acknowledged) & 0xFFFF
        if self.answer:
            self.answer = b"" if number == 0 else self.answer
            return not self.answer
        if 0 < new <= self.sent - self.acknowledged:
            self.acknowledged, self.repeated = self.acknowledged + new, False
            return True
        # Of a block that was answered already: to answer twice would double all that follows. But in a window it says
        # that the first block of it was lost.
        again, self.repeated = new == 0 and self.window > 1 and not self.repeated, True
        return again


class TftpServer:
    """Serves ``files`` (name as it is asked for -> file) until it is closed.

    ::

        with TftpServer({"Image": path}, "192.168.1.1") as server:
            print(server.port)

    ``port`` 0 takes a free one. ``report`` is called, from another thread, with a sentence for each transfer that
    ended. Raises ``InfrastructureError`` if the address cannot be used.
    """

    def __init__(
        self, files: Mapping[str, Path], listen: str = "", port: int = 0, *, report: Report = lambda text: None
    ) -> None:
        self._files = {name.lstrip("/"): path for name, path in files.items()}
        self._report = report
        self._transfers: dict[_Address, _Transfer] = {}
        self._socket = _bound(listen, port)
        #: where it listens
        self.port: int = self._socket.getsockname()[1]
        self._bell, self._rope = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="lava-tftp", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once; transfers that are under way stay unfinished."""
        if self._rope < 0:
            return
        os.close(self._rope)
        self._rope = -1
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        try:
            while not any(fd == self._bell for fd, _ in poll.poll(self._rest())):
                self._receive()
                self._send_again()
        finally:
            for transfer in self._transfers.values():
                os.close(transfer.fd)
            self._socket.close()
            os.close(self._bell)

    def _rest(self) -> float | None:
        """Milliseconds until something has to be sent again."""
        if not self._transfers:
            return None
        return max(0.0, min(transfer.due for transfer in self._transfers.values()) - monotonic()) * 1000 + 1

    def _receive(self) -> None:
        while True:
            try:
                packet, client = self._socket.recvfrom(4096)
            except OSError:  # nothing there; or the network tells of an earlier packet of ours
                return
            if len(packet) < 4:
                continue
            kind, number = struct.unpack_from(">HH", packet)
            if kind == _RRQ:
                self._begin(client, packet)
            elif kind == _WRQ:
                self._refuse(client, 2, "this server is read only")
            elif kind == _ACK:
                self._acknowledged(client, number)
            elif kind == _ERROR:
                self._end(client, f"the client gave up: {_text(packet[4:].split(bytes(1))[0])}")
            else:
                self._refuse(client, 4, "illegal operation")

    def _begin(self, client: _Address, packet: bytes) -> None:
        words = [_text(word) for word in packet[2:].split(b"\0")]
        name, mode, *rest = [*words, "", ""]
        self._end(client)  # asked again: what we sent was lost
        if mode.lower() != "octet":
            return self._refuse(client, 0, "only binary (octet) transfers are served")
        if len(self._transfers) >= _CLIENTS:
            return self._refuse(client, 0, "too many clients")
        path = self._files.get(name.lstrip("/"))
        if path is None:
            self._report(f"TFTP: {client[0]} asked for {name!r}, which is not served")
            return self._refuse(client, 1, "File not found")
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._report(f"TFTP: {path} cannot be read: {error.strerror}")
            return self._refuse(client, 2, f"{name} cannot be read")
        transfer = self._transfers[client] = _Transfer(name, fd, os.fstat(fd).st_size)
        agreed = _agree(transfer, dict(zip(map(str.lower, rest[::2]), rest[1::2], strict=False)))
        if agreed:
            words = [word for option in agreed.items() for word in option]
            transfer.answer = struct.pack(">H", _OACK) + "".join(f"{word}\0" for word in words).encode()
        return self._send(client, transfer)

    def _acknowledged(self, client: _Address, number: int) -> None:
        transfer = self._transfers.get(client)
        if transfer is None or not transfer.hears(number):
            return
        if transfer.acknowledged < transfer.last:
            self._send(client, transfer)
        else:
            seconds = monotonic() - transfer.began
            self._end(client, f"{transfer.size} bytes in {seconds:.2f} s, blocks of {transfer.block_size}")

    def _send_again(self) -> None:
        now = monotonic()
        for client, transfer in list(self._transfers.items()):
            if now < transfer.due:
                continue
            if now - transfer.heard > max(_PATIENCE, 3 * transfer.resend):
                self._end(client, "the client fell silent")
            else:
                self._send(client, transfer)

    def _send(self, client: _Address, transfer: _Transfer) -> None:
        transfer.due = monotonic() + transfer.resend
        for packet in transfer.packets():
            with suppress(OSError):  # as good as lost: it is sent again
                self._socket.sendto(packet, client)

    def _refuse(self, client: _Address, code: int, why: str) -> None:
        with suppress(OSError):
            self._socket.sendto(struct.pack(">HH", _ERROR, code) + why.encode() + b"\0", client)

    def _end(self, client: _Address, how: str = "") -> None:
        transfer = self._transfers.pop(client, None)
        if transfer is None:
            return
        os.close(transfer.fd)
        if how:
            self._report(f"TFTP: {transfer.name} to {client[0]}: {how}")


def _agree(transfer: _Transfer, options: Mapping[str, str]) -> dict[str, str]:
    """Take what a client asks for as far as we do that; what was taken is what it is told."""
    agreed = {}
    limits = (("blksize", _LEAST, 1 << 31), ("timeout", 1, 255), ("tsize", 0, 1 << 63), ("windowsize", 1, 65535))
    for name, low, high in limits:
        value = options.get(name, "")
        if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
            continue
        if name == "blksize":
            transfer.block_size = min(int(value), _MOST)
            agreed[name] = str(transfer.block_size)
        elif name == "windowsize":
            transfer.window = min(int(value), _WINDOW)
            agreed[name] = str(transfer.window)
        elif name == "timeout":
            transfer.resend = float(value)
            agreed[name] = value
        elif transfer.size:  # curl takes 0 for an error
            agreed[name] = str(transfer.size)
    return agreed


def _bound(listen: str, port: int) -> socket.socket:
    with ExitStack() as undo:
        try:
            (family, _, _, _, address), *_ = socket.getaddrinfo(listen or "0.0.0.0", port, type=socket.SOCK_DGRAM)
            found = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            found.setblocking(False)
            found.bind(address)
        except PermissionError:
            raise InfrastructureError(
                f"port {port} is for root only: give another [deploy] port that the board can be told, or "
                "allow it: sysctl net.ipv4.ip_unprivileged_port_start=69"
            ) from None
        except OSError as error:
            where = f"{listen or 'this machine'} port {port}"
            raise InfrastructureError(f"cannot serve TFTP at {where}: {error.strerror or error}") from error
        undo.pop_all()
    return found


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
