"""What earlier runs left in the spool, sent beside a run in a thread: within bounds, and nobody waits for it."""

from __future__ import annotations

import sys
import threading

from pytest_lava.deadline import Deadline
from pytest_lava.errors import LavaError
from pytest_lava.spool.sending import Outcome, Sender
from pytest_lava.spool.store import Spool
from pytest_lava.spool.telling import command

__all__ = ["OlderRuns"]

_LIMIT = 30.0  # seconds that all of them may take


class OlderRuns:
    """``told`` says what came of it, once it has ended."""

    def __init__(self, spool: Spool, sender: Sender) -> None:
        self._spool, self._sender = spool, sender
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._outcomes: list[Outcome] = []
        self._damaged = 0
        self.told = ""

    def begin(self) -> None:
        """Start, if anything is due."""
        try:
            items = [one for one in self._spool.items() if one.damage or one.next_try(self._spool.now()) == 0.0]
        except OSError:  # told when there is something to be kept
            return
        if items:
            self._sender.load(entry.kind for item in items for entry in item.entries)
            self._thread = threading.Thread(target=self._send, name="lava submit older runs", daemon=True)
            self._thread.start()

    def end(self) -> str:
        """Stop behind what is in progress, and say what was done."""
        self._ended.set()
        if self._thread is None:
            return ""
        outcomes = list(self._outcomes)
        counts = {how: sum(one.status == how for one in outcomes) for how in ("sent", "waiting", "failed")}
        words = [f"{count} {how}" for how, count in {**counts, "damaged": self._damaged}.items() if count]
        if words and words != [f"{counts['sent']} sent"]:
            words.append(f"see: {command('spool', self._spool.folder)}")
        self.told = ", ".join(words)
        return self.told

    def _send(self) -> None:
        deadline = Deadline.after(_LIMIT)
        for item in self._spool.items():
            if self._ended.is_set() or deadline.expired:
                return
            waiting = [entry.name for entry, state in item.states() if state.status == "waiting"]
            try:
                outcomes = self._sender.send(item, deadline)
                self._damaged += bool(item.damage)
                self._outcomes += [outcome for outcome in outcomes if outcome.sink in waiting]
            except (LavaError, OSError) as error:
                print(f"pytest-lava: older runs could not be sent: {error}", file=sys.stderr)
                return
