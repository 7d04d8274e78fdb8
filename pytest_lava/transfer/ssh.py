"""Files over the user's own ssh client, to a host that the board file names: ``[transfer] ssh = "root@host"``."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import NetworkError, OperationFailed, Timeout
from pytest_lava.transfer.api import Contents, Network
from pytest_lava.transfer.boardside import BoardSide, quote

__all__ = ["Ssh"]

_CHUNK = 1 << 18
_CONNECT = 10  # seconds
_PROBE = 20.0


class Ssh:
    """A carrier for boards that run an ssh server. Keys and the like are the business of the user's configuration."""

    name = "ssh"
    rate = 10e6  # a guess: much more than a serial line

    def __init__(self, board: BoardSide, network: Network) -> None:
        assert network.ssh is not None
        self._board = board
        self._network = network
        self._host = network.ssh
        self._is_up = False

    def ready(self, deadline: Deadline) -> None:
        """Bring the network up and log in once. ``NetworkError`` if that does not work."""
        if self._is_up:
            return
        if self._network.up:
            self._board.define("net.sh", deadline)
            self._board.ask(f"__xnet {quote(self._network.up)}", "the network", deadline, None)
        with self._running("true", deadline.at_most(_PROBE)) as process:
            process.stdin.close()  # type: ignore[union-attr]
        self._is_up = True

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        link = self._link(deadline)
        # it is that link only on the machine whose serial line this is
        with self._running(f"[ -L {link} ] && cat >>{link}", deadline) as process:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as out:
                at = begin
                while at < contents.size and (chunk := contents.read(at, min(_CHUNK, contents.size - at))):
                    out.write(chunk)
                    at += len(chunk)
                    progress(at, contents.size)

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        link, at = self._link(deadline), begin
        with self._running(f"[ -L {link} ] && tail -c +{begin + 1} {link}", deadline) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            while at < size and (chunk := process.stdout.read(min(_CHUNK, size - at))):
                write(chunk)
                at += len(chunk)
                progress(at, size)
        if at < size:
            raise NetworkError(f"ssh {self._host} ended in the middle of a file")
        self._board.ask("__xclean; echo lava-ok", "the network", deadline)

    def _link(self, deadline: Deadline) -> str:
        return quote(self._board.ask('echo lava-ok "$__f.p"', "the network", deadline)[0])

    @contextmanager
    def _running(self, command: str, deadline: Deadline) -> Iterator[subprocess.Popen[bytes]]:
        """ssh with both streams ours; in the end it has to be over well. It is killed at the deadline."""
        argv = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT}", *self._network.ssh_options]
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    [*argv, self._host, command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise NetworkError(
                    f"cannot start ssh: {error.strerror}: install it, or use --transfer=serial"
                ) from error
            timer = threading.Timer(deadline.remaining(), process.kill)
            timer.daemon = True
            timer.start()
            try:
                yield process
                status = process.wait()
            finally:
                timer.cancel()
                process.kill()
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with suppress(BrokenPipeError):
                            stream.close()
            if deadline.expired:
                raise Timeout("no time is left for the file that goes by ssh")
            if status != 0:
                raise self._failed(status, said)

    def _failed(self, status: int, said: IO[bytes]) -> NetworkError | OperationFailed:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        why = lines[-1].strip() if lines else f"status {status}"
        if "No space left" in why:
            return OperationFailed("no space left on the board for the file")
        if status == 1 and not lines:
            why = "the files of this board's shell are not there: is it another machine?"
        return NetworkError(f"ssh {self._host}: {why}")
