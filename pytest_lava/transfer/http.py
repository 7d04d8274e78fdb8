"""Files over a network that the board has up: its curl, wget or nc fetches from a small server here, or sends to it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, NetworkError, OperationFailed, Timeout
from pytest_lava.transfer.api import Contents, Network
from pytest_lava.transfer.boardside import BoardSide, quote
from pytest_lava.transfer.server import FileServer, serving

__all__ = ["Http"]

_PROBE = 6.0  # seconds in which a network shows that it works
_LOOK = 1.0  # seconds without news from the board's program after which it is asked how it is
_STALL = 30.0  # seconds without a byte after which a network is dead
_END = 10  # seconds that the board's program may take to end
_FAREWELL = 5.0
_PUTS = ("curl", "wget1", "wget", "nc")  # best first
_GETS = ("curl", "nc", "wget1")


class Http:
    """A carrier for boards with a network; whether there is one is seen at the first file."""

    name = "http"
    rate = 10e6  # a guess: much more than a serial line

    def __init__(self, board: BoardSide, network: Network) -> None:
        self._board = board
        self._network = network
        self._host = ""
        self._failure = ""
        self._puts: list[str] = []
        self._gets: list[str] = []

    def ready(self, deadline: Deadline) -> None:
        """Find out by what program and at which address the board reaches this machine. ``NetworkError`` if by none."""
        if self._failure:
            raise NetworkError(self._failure)
        try:
            if not self._host:
                self._host = self._found(deadline)
        except NetworkError as error:
            self._failure = str(error)
            raise

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        self._move("put", self._puts[0], FileServer(contents.size, begin, contents=contents), progress, deadline)

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        if not self._gets:
            raise NetworkError("the board has no program that sends any bytes: curl, nc, or GNU's wget")
        self._move("get", self._gets[0], FileServer(size, begin, write=write), progress, deadline)

    # -- inside -------------------------------------------------------------------------------------------------

    def _found(self, deadline: Deadline) -> str:
        self._board.define("net.sh", deadline)
        words = self._board.ask(f"__xnet {quote(self._network.up or '')}", "the network", deadline, None)
        programs, has = words[1].split(","), [one for one in words[2:] if not one.startswith("127.")]
        self._puts = [way for way in _PUTS if way in programs]
        self._gets = [way for way in _GETS if way in programs]
        if not self._puts:
            raise NetworkError("the board has none of curl, wget and nc")
        hosts = [self._network.address] if self._network.address else _hosts_towards(has)
        if not hosts:
            raise NetworkError("the board has no network address, and [transfer] address is not set")
        limit = deadline.at_most(_PROBE * len(hosts))
        for host in hosts:
            if self._reaches(host, limit.at_most(_PROBE)):
                return host
        raise NetworkError(f"the board does not reach this machine at {' or '.join(hosts)}: see [transfer] address")

    def _reaches(self, host: str, deadline: Deadline) -> bool:
        token = secrets.token_hex(16).encode()
        while self._puts and not deadline.expired:
            served = FileServer(len(token), 0, contents=Contents(BytesIO(token), len(token)))
            with suppress(NetworkError, Timeout, OperationFailed), self._running("try", self._puts[0], host, served):
                while (said := self._board.ask("__xstands 1", "the network", deadline))[0] == "busy":
                    pass
                if said[1:] == [token.decode()]:
                    return True
            if len(self._puts) == 1:
                break
            self._puts.pop(0)
        return False

    def _move(self, verb: str, way: str, served: FileServer, progress: Progress, deadline: Deadline) -> None:
        try:
            with self._running(verb, way, self._host, served):
                self._attend(served, progress, deadline)
        finally:
            with suppress(ConsoleLost, NetworkError, OperationFailed, Timeout):
                self._board.ask("__xclean; echo lava-ok", "the network", Deadline.after(_FAREWELL))

    def _attend(self, served: FileServer, progress: Progress, deadline: Deadline) -> None:
        """Until all is through and the board's program has ended well."""
        seen, quiet_since = served.at, monotonic()
        while not served.done:
            if served.await_more(seen, deadline.at_most(_LOOK)):
                seen, quiet_since = served.at, monotonic()
                progress(seen, served.size)
                continue
            if deadline.expired:
                raise Timeout("no time is left for the file that goes over the network")
            if self._stands(0, deadline) == "ended" and not served.done:
                raise NetworkError("the connection to the board ended in the middle of a file")
            if monotonic() - quiet_since > _STALL:
                raise NetworkError(f"the network stood still for {_STALL:g} s")
        if self._stands(_END, deadline) != "ended":
            raise NetworkError("the program on the board does not end, though the file is through")

    def _stands(self, seconds: int, deadline: Deadline) -> str:
        return self._board.ask(f"__xstands {seconds}", "the file", deadline)[0]

    @contextmanager
    def _running(self, verb: str, way: str, host: str, served: FileServer) -> Iterator[None]:
        """The server here and the program there, both gone in the end."""
        limit = Deadline.after(_PROBE + _FAREWELL)
        with serving(served, self._listen(host)):
            url = f"http://{host}:{served.port}{served.path}"
            words = f"{verb} {way} {url} {host} {served.port} {served.path} {served.at} {served.size}"
            self._board.ask(f"__xgo {words}", "the network", limit)
            try:
                yield
            finally:
                with suppress(ConsoleLost, NetworkError, OperationFailed, Timeout):
                    self._board.ask("__xstop", "the network", Deadline.after(_FAREWELL))

    def _listen(self, host: str) -> str:
        """Only the address that the board knows, if it is one of ours: nobody else needs to see the server."""
        if self._network.listen is not None:
            return self._network.listen
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, 0))
            except OSError:
                return ""  # translated on the way: any of ours may be meant
        return host


def _hosts_towards(addresses: list[str]) -> list[str]:
    """Our own addresses from which the board's are reached, likeliest first."""
    found: dict[str, None] = {}
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.connect((address, 9))  # sends nothing: only a look into the routing table
            found[probe.getsockname()[0]] = None
    return list(found)[:3]
