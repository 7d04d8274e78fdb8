"""A TCP proxy in front of a real HTTP server that goes wrong on purpose: one fault a connection, then it is good.

    with web_server_of_yours() as server, fault_proxy(("127.0.0.1", server.port), "refuse", "lost answer") as proxy:
        url = proxy.url("/api/")      # the first connections go wrong in this order, all later ones are good
        proxy.plan("hang", "503")     # more of it, behind what is still planned
        proxy.met                     # what happened so far: ["refuse", "lost answer", "good", ...]

Each connection carries one request, and is closed behind its answer. ``FAULTS`` says what each fault is; after those in
``UNSEEN`` the server behind has not processed the request; ``CHEAP`` are those that cost a client no time-out. With
``certificate=(CERT, KEY)`` (:func:`certificate_for`) clients speak TLS with the proxy; the server behind always gets
plain HTTP.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CHEAP", "FAULTS", "UNSEEN", "FaultProxy", "certificate_for", "fault_proxy"]

FAULTS = {
    "good": "the request goes to the server, its answer comes back",
    "refuse": "nobody listens, for REFUSING seconds",
    "reset before": "reset before a byte was read",
    "reset after": "reset when the request was read; the server has not seen it",
    "half request": "the server gets half of the request, then both are reset",
    "lost answer": "the server has answered, the client is reset instead",
    "half answer": "the client gets half of the answer, then it is reset",
    "500": "an answer of 500, the server has not seen the request",
    "500 after": "the server has answered, the client is told 500",
    "502": "an answer of 502 with a page in HTML, the server has not seen the request",
    "503": "503 with Retry-After: 0",
    "429": "429 with Retry-After as a date",
    "hang": "the request is read and never answered",
    "hang after": "the server has answered, the client hears nothing",
    "drip": "the answer comes byte by byte, DRIP seconds apart, for ever",
    "tls": "the TLS handshake fails; without TLS, bytes that are no HTTP",
    "wrong type": "an answer of 200, but it is a page in HTML of something in between",
    "untold type": "the same page, and nothing says that it is HTML",
    "login page": "302 to a page of something in between, where people have to log in",
    "proxy login": "407: a proxy wants a user and a password",
}
#: faults that end at once
CHEAP = tuple(name for name in FAULTS if name not in ("good", "hang", "hang after", "drip"))
#: faults after which the server behind has not processed the request
UNSEEN = (
    "refuse",
    "reset before",
    "reset after",
    "half request",
    "500",
    "502",
    "503",
    "429",
    "hang",
    "tls",
    "wrong type",
    "untold type",
    "login page",
    "proxy login",
)
REFUSING = 0.15  # seconds
DRIP = 0.1  # seconds

_PAGE = b"<html><body><h1>Welcome to the hotel</h1>Accept our terms</body></html>"


class FaultProxy:
    """The proxy; made by :func:`fault_proxy`."""

    def __init__(
        self, upstream: tuple[str, int], faults: Sequence[str] = (), certificate: tuple[Path, Path] | None = None
    ) -> None:
        self._upstream = upstream
        self._plan: list[str] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        #: the faults that connections met, in order
        self.met: list[str] = []
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.plan(*faults)
        self._threads = [threading.Thread(target=self._accept, name="fault proxy", daemon=True)]
        self._threads[0].start()

    def url(self, path: str = "/") -> str:
        """Of a place behind it."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}{path}"

    def plan(self, *faults: str) -> None:
        """Go wrong in this order, behind what is planned already."""
        unknown = [fault for fault in faults if fault not in FAULTS]
        assert not unknown, f"there are no faults {unknown}; there are {list(FAULTS)}"
        with self._lock:
            self._plan += faults

    def heal(self) -> None:
        """Nothing more of what was planned."""
        with self._lock:
            self._plan.clear()

    @property
    def planned(self) -> list[str]:
        """What is still to come."""
        with self._lock:
            return list(self._plan)

    def close(self) -> None:
        """End it, and every connection."""
        self._stopped.set()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "the fault proxy does not end"
        self._listener.close()

    # -- inside -------------------------------------------------------------------------------------------------

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                refuses = self._plan[:1] == ["refuse"]
                if refuses:
                    self.met.append(self._plan.pop(0))
            if refuses:
                self._listener.close()
                self._stopped.wait(REFUSING)
                self._listener = self._listen(self.port)
                continue
            self._listener.settimeout(0.05)  # to notice what was planned meanwhile
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(60)
            with self._lock:
                fault = self._plan.pop(0) if self._plan and self._plan[0] != "refuse" else "good"
                self.met.append(fault)
                self._open.add(client)
            thread = threading.Thread(target=self._serve, args=(client, fault), name=f"fault {fault}", daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _serve(self, client: socket.socket, fault: str) -> None:
        raw = client
        try:
            if fault == "reset before":
                return _reset(client)
            if fault == "tls":
                client.recv(1)
                client.sendall(b"\x15\x03\x01\x00\x02\x02\x28")  # a TLS alert: handshake failure
                return None
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
                with self._lock:
                    self._open.add(client)
            self._answer(client, fault)
        except OSError:
            pass  # the client, or the server behind, went away: that is what this is for
        finally:
            with self._lock:
                self._open -= {client, raw}
            client.close()
            raw.close()
        return None

    def _answer(self, client: socket.socket, fault: str) -> None:
        request = _message(client)
        if fault == "reset after":
            return _reset(client)
        if fault == "half request":
            with socket.create_connection(self._upstream, timeout=60) as server:
                server.sendall(request[: max(1, len(request) // 2)])
                _reset(server)
            return _reset(client)
        if fault == "hang":
            return self._hang(client)
        if made := _made(fault):
            client.sendall(made)
            return None
        answer = self._forward(request)
        if fault == "lost answer":
            _reset(client)
        elif fault == "half answer":
            client.sendall(answer[: len(answer) // 2])
            _reset(client)
        elif fault == "500 after":
            client.sendall(_response("500 Internal Server Error", b"it broke in the middle", "text/plain"))
        elif fault == "hang after":
            self._hang(client)
        elif fault == "drip":
            for number in range(len(answer) - 1):  # the last byte never comes
                client.sendall(answer[number : number + 1])
                if self._stopped.wait(DRIP):
                    break
            self._hang(client)
        else:
            client.sendall(answer)
        return None

    def _forward(self, request: bytes) -> bytes:
        with socket.create_connection(self._upstream, timeout=60) as server:
            server.settimeout(300)
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            answer = bytearray()
            while data := server.recv(65536):
                answer += data
        return bytes(answer)

    def _hang(self, client: socket.socket) -> None:
        """Until the client goes away."""
        with contextlib.suppress(OSError):
            while not self._stopped.is_set() and client.recv(1024):
                pass


def _message(client: socket.socket) -> bytes:
    """One request, with all of its body (``Content-Length`` or chunks)."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += _received(client)
        if data.lower().find(b"expect: 100-continue") >= 0 and b"\r\n\r\n" in data:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        while not data.endswith(b"0\r\n\r\n"):
            data += _received(client)
    else:
        missing = int(fields.get(b"content-length", b"0")) - len(body)
        while missing > 0:
            piece = _received(client)
            data += piece
            missing -= len(piece)
    return bytes(data)


def _received(client: socket.socket) -> bytes:
    piece = client.recv(65536)
    if not piece:
        raise ConnectionResetError("the client went away")
    return piece


def _made(fault: str) -> bytes:
    """An answer of something that stands in front of the server; empty if this fault has none."""
    date = "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"
    gate = "Location: http://gate.hotel.example/login?from=here"
    made: dict[str, tuple[str, bytes, str, *tuple[str, ...]]] = {
        "500": ("500 Internal Server Error", b"<h1>Server Error (500)</h1>", "text/html"),
        "502": ("502 Bad Gateway", b"<html><h1>502 Bad Gateway</h1>nginx</html>", "text/html"),
        "503": ("503 Service Unavailable", b"maintenance", "text/plain", "Retry-After: 0"),
        "429": ("429 Too Many Requests", b"slower", "text/plain", date),
        "wrong type": ("200 OK", _PAGE, "text/html; charset=utf-8"),
        "untold type": ("200 OK", _PAGE, "application/octet-stream"),
        "login page": ("302 Found", _PAGE, "text/html", gate),
        "proxy login": ("407 Proxy Authentication Required", _PAGE, "text/html", "Proxy-Authenticate: Basic"),
    }
    return _response(*made[fault]) if fault in made else b""


def _response(status: str, body: bytes, kind: str, *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more, "Connection: close"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _reset(connection: socket.socket) -> None:
    """A reset, not an orderly end."""
    if isinstance(connection, ssl.SSLSocket):
        connection = socket.socket(fileno=connection.detach())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def fault_proxy(
    upstream: tuple[str, int], *faults: str, certificate: tuple[Path, Path] | None = None
) -> Iterator[FaultProxy]:
    """A proxy in threads, ended with the block."""
    proxy = FaultProxy(upstream, faults, certificate)
    try:
        yield proxy
    finally:
        proxy.close()


def certificate_for(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key. A client trusts it by ``REQUESTS_CA_BUNDLE=CERT``."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
         "-out", cert],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return cert, key
