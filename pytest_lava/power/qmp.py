"""A small client of QEMU's machine protocol (QMP): one JSON object a line over a connected socket."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import PowerError

__all__ = ["Qmp"]

_EVENTS = 100  # the newest are kept


class Qmp:
    """Commands one QEMU; owns ``line``. The greeting is awaited at the first command, so making one costs nothing.

    Any thread may call. Every method raises ``PowerError`` if QEMU is gone, refuses, or does not answer in time.
    Events that QEMU sends in between are kept for :meth:`await_event`.
    https://www.qemu.org/docs/master/interop/qmp-spec.html
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._pending = b""
        self._greeted = False
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)

    def execute(self, command: str, deadline: Deadline, **arguments: Any) -> Any:
        """Run a QMP command and return its answer; underscores in argument names stand for hyphens."""
        with self._lock:
            if not self._greeted:
                for message in self._messages("its greeting", deadline):
                    if "QMP" in message:
                        break
                self._call("qmp_capabilities", {}, deadline)
                self._greeted = True
            return self._call(command, {key.replace("_", "-"): value for key, value in arguments.items()}, deadline)

    def await_event(self, wanted: Callable[[dict[str, Any]], bool], what: str, deadline: Deadline) -> dict[str, Any]:
        """The first event that is ``wanted``, also one that came before; those before it are dropped."""
        with self._lock:
            while self._events:
                if wanted(event := self._events.popleft()):
                    return event
            for message in self._messages(what, deadline):
                if "event" in message and wanted(message):
                    return message
            raise AssertionError("endless")

    def hand_over(self, name: str, fd: int, deadline: Deadline) -> None:
        """Give QEMU a copy of the descriptor ``fd``, which commands name as ``fd:NAME``."""
        self.execute("query-name", deadline)  # greeted by now
        with self._lock:
            number = next(self._numbers)
            request = json.dumps({"execute": "getfd", "arguments": {"fdname": name}, "id": number}).encode() + b"\n"
            try:
                self._line.settimeout(deadline.remaining() or 0.001)
                socket.send_fds(self._line, [request], [fd])
            except OSError as error:
                raise _gone("getfd") from error
            self._answer("getfd", number, deadline)

    def reset(self, deadline: Deadline) -> None:
        """Press the reset button."""
        self.execute("system_reset", deadline)

    def pause(self, deadline: Deadline) -> None:
        """Stop all virtual processors: a perfect hang."""
        self.execute("stop", deadline)

    def resume(self, deadline: Deadline) -> None:
        """Let them go on."""
        self.execute("cont", deadline)

    def send_break(self, chardev: str, deadline: Deadline) -> None:
        """Send BREAK on the serial line that ``chardev`` feeds."""
        self.execute("chardev-send-break", deadline, id=chardev)

    def close(self) -> None:
        """Hang up; QEMU does not mind."""
        self._line.close()

    def _call(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> Any:
        number = next(self._numbers)
        request = {"execute": command, "arguments": arguments, "id": number}
        try:
            self._line.settimeout(deadline.remaining() or 0.001)
            self._line.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise _silent(command) from error
        except OSError as error:
            raise _gone(command) from error
        return self._answer(command, number, deadline)

    def _answer(self, command: str, number: int, deadline: Deadline) -> Any:
        for message in self._messages(repr(command), deadline):
            if "event" in message:
                self._events.append(message)
            if message.get("id") != number:
                continue  # or the late answer to a command that we gave up
            if "error" in message:
                raise PowerError(f"QEMU refused {command!r}: {message['error'].get('desc', message['error'])}")
            return message.get("return")
        raise AssertionError("endless")

    def _messages(self, what: str, deadline: Deadline) -> Iterator[dict[str, Any]]:
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                yield json.loads(line)
                continue
            try:
                self._line.settimeout(deadline.remaining() or 0.001)
                data = self._line.recv(65536)
            except TimeoutError as error:
                raise _silent(what) from error
            except OSError as error:
                raise _gone(what) from error
            if not data:
                raise _gone(what)
            self._pending += data


def _silent(what: str) -> PowerError:
    return PowerError(f"QEMU did not answer {what} in time: it hangs or this machine is overloaded")


def _gone(what: str) -> PowerError:
    return PowerError(f"QEMU has ended before it answered {what}")
