"""Short requests to the agent, answered by a word: pings, modes of the tty, and functions that it does not have yet."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.ladder import STRANGER
from pytest_lava.console.requests import script_of
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["ATTEMPTS", "DAMAGED", "Asking"]

ATTEMPTS = 3  # for what may be damaged on its way to the board
DAMAGED = "what is sent to the board arrives damaged: check cable, speed and flow control"

_CARRIED = 2048  # bytes looked at again: an answer, and a kernel message in it that has not ended yet
_PAUSE = 0.2
_LOST = 10.0  # seconds after which a request has not arrived


class Asking:
    """One agent on one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._nonce = secrets.token_hex(2)
        self._count = 0
        self._defined: set[str] = set()
        #: lines of a request that the agent may still wait for, as a time limit or Ctrl-C cut it short
        self.unread = 0

    @property
    def end_of_line(self) -> bytes:
        """What comes before a request, so that it is one whatever was sent before it."""
        return b"\n" * (self.unread + 1)

    def token(self) -> str:
        """A word that was never used on this line."""
        self._count += 1
        return f"{self._nonce}{self._count:x}"

    def await_match(
        self, pattern: re.Pattern[bytes], start: int, deadline: Deadline, what: str, *, watched: bool = True
    ) -> re.Match[bytes]:
        """Wait for a short answer, also if kernel messages tear it apart."""
        seen, carried = start, b""

        def look() -> re.Match[bytes] | None:
            nonlocal seen, carried
            new = self._console.read(seen)
            seen += len(new)
            carried = excise(carried + new)[-max(len(new), _CARRIED) :]
            return pattern.search(carried)

        return self._console.wait(look, deadline, what=what, watched=watched)

    def await_marker(self, line: str, deadline: Deadline) -> None:
        """Send a line in which ``@{marker}`` is printed, split so that its echo does not match, and wait for that."""
        left, right = self.token(), secrets.token_hex(2)
        start = self._console.end
        self._console.write(line.replace("{marker}", f'{left}""{right}').encode(), deadline)
        self.await_match(re.compile(f"@{left}{right}".encode()), start, deadline, "answer of the shell")

    def pong(self, start: int, deadline: Deadline) -> bool:
        """Whether the agent answers a ping; then no finding before that was the end of the kernel."""
        token = self.token().encode()
        try:
            self._console.write(b"%sP %s\n" % (self.end_of_line, token), deadline)
            self.await_match(re.compile(rb"~P%s\." % token), start, deadline, "ping", watched=False)
        except (Timeout, ConsoleLost):
            return False
        self.unread = 0
        self._console.kernel_lives()
        return True

    def stranger(self, deadline: Deadline) -> bool:
        """Whether another shell has taken the agent's place: to it a ping is no command of its own."""
        token, start = self.token().encode(), self._console.end
        try:
            self._console.write(b"\nP %s\n" % token, deadline)
            answer = re.compile(rb"~P%s\.|%s" % (token, STRANGER.pattern))
            return not self.await_match(answer, start, deadline, "ping", watched=False)[0].startswith(b"~")
        except (Timeout, ConsoleLost):
            return False

    def tell(self, verb: str, deadline: Deadline, what: str) -> None:
        """A request that is answered by its letter."""
        token, start = self.token(), self._console.end
        self._console.write(f"\n{verb} {token}\n".encode(), deadline)
        self.await_match(re.compile(f"~{verb}{token}\\.\r?\n".encode()), start, deadline, what)

    def pause(self, deadline: Deadline) -> None:
        """Until the line says something, or a moment."""
        seen, console = self._console.end, self._console
        with suppress(Timeout):
            console.wait(lambda: console.end > seen or None, deadline.at_most(_PAUSE), what="prompt", watched=False)

    # -- more functions -----------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Another agent is there now."""
        self._defined.clear()

    def knows(self, script: str) -> bool:
        """Whether the agent was given it."""
        return script in self._defined

    def define(self, script: str, deadline: Deadline, more: str = "") -> None:
        """Give the agent the functions of a script of this package, and a line ``more``; once for each agent.

        What the watch finds meanwhile may be output of programs, so it does not count here.
        """
        if script in self._defined:
            return
        text = script_of(script) + more
        for _ in range(ATTEMPTS):
            token, start = self.token(), self._console.end
            size = f"{len(text)} {text.count(chr(10)) + 1}"
            self.unread = text.count("\n") + 1
            head = f'\n\\__get {token} {size} && {{ command eval "$__c"; __e X{token}; }}\n'
            self._console.write(f"{head}{text}\n".encode(), deadline)
            answer, what = re.compile(rb"~(X?)%s[.!]" % token.encode()), f"agent that takes {script}"
            with suppress(Timeout):
                if self.await_match(answer, start, deadline.at_most(_LOST), what, watched=False)[1]:
                    self.unread = 0
                    self._defined.add(script)
                    return
            if deadline.expired:
                raise Timeout(f"no {what} in time")
        raise ConsoleLost(DAMAGED)
