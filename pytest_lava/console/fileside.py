"""The board's side of file transfer: its scripts, what it can do, and commands whose answers are understood."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_lava.console import compression
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.checksum import cksum, md5
from pytest_lava.console.console import Console
from pytest_lava.console.pace import Line
from pytest_lava.console.requests import script_of
from pytest_lava.console.transfer import Blocks
from pytest_lava.deadline import Deadline
from pytest_lava.errors import CommandTimeout, ConsoleLost, OperationFailed

__all__ = ["BoardSide", "Facts", "quote"]

_COMMAND = 15.0  # seconds for a command, besides the time that sums take
_SUMS = 1e6  # bytes a second that a board reads and sums
_TRIES = 3
_WHY = {
    "directory": "it is a directory",
    "folder": "its folder is not there",
    "missing": "there is no such file",
    "special": "it is no regular file; read it with a command",
}


@dataclass(frozen=True)
class Facts:
    """What a board has: a program for sums of whole files (``-``: none), programs that undo and make compression."""

    sums: str
    undoes: tuple[str, ...]
    makes: tuple[str, ...]


class BoardSide:
    """Talks to ``files.sh`` and ``transfer.sh``; one for each shell."""

    def __init__(self, shell: AgentShell, console: Console) -> None:
        self._shell = shell
        self._console = console
        self._facts: Facts | None = None
        #: what is known of the line
        self.line = Line()

    def blocks(self, deadline: Deadline) -> Blocks:
        """For the file that the last command chose."""
        return Blocks(self._shell, self._console, deadline, self.line)

    def facts(self, deadline: Deadline) -> Facts:
        """Once a session: give the board its scripts, ask what it has, try the line."""
        self.blocks(deadline).recover()
        if self._facts is None:
            script = "".join(f"{script_of(name)}\n" for name in ("transfer.sh", "files.sh"))
            samples = " ".join(f"{name} '{_octal(compression.SAMPLES[name])}'" for name in compression.known_here())
            upload = f"cat >\"$__f.t\" <<'LAVA'\n{script}LAVA\n"
            if program := {"c": "cksum", "m": "md5sum"}.get(self._shell.sums):
                upload += f'set -- $({program} <"$__f.t"); [ $1 = {self.sum(script.encode())} ] && '
            sums, undoes, makes = self._run(f'{upload}. "$__f.t" && __xfacts {samples}', "it", deadline, 0)[1:4]
            self._facts = Facts(sums, tuple(undoes.split(",")[1:]), tuple(makes.split(",")[1:]))
        if not self.line.probed:
            self.ask(': >"$__f.q"; ln -sf "$__f.q" "$__f.p"; echo lava-ok', "it", deadline)
            self.blocks(deadline).probe()
        return self._facts

    def ask(self, command: str, name: str, deadline: Deadline, size: int | None = 0) -> list[str]:
        """The words of the answer; ``OperationFailed`` says what is wrong with the file ``name``.

        The command goes with a sum, as a flipped bit in a file's name would do harm. ``size`` bytes may be read in it,
        ``None`` if nobody knows.
        """
        return self._run(f'. "$__f.t"; __xchecked {self.sum(command.encode())} {quote(command)}', name, deadline, size)

    def sum(self, data: bytes) -> str:
        """The sum that the agent knows."""
        kind = self._shell.sums
        return str(cksum([data])) if kind == "c" else md5([data]) if kind == "m" else "-"

    def _run(self, command: str, name: str, deadline: Deadline, size: int | None) -> list[str]:
        said = ""
        for _ in range(_TRIES):
            try:
                limit = deadline if size is None else deadline.at_most(_COMMAND + size / _SUMS)
                result = self._shell.run(command, timeout=limit.remaining())
            except CommandTimeout:
                if deadline.expired or size is None:
                    raise
                continue
            said = f"{result.stdout}{result.stderr}".strip()
            state, _, rest = result.stdout.strip().partition(" ")
            if state == "lava-ok":
                return rest.split() or [""]
            word, _, why = rest.partition(" ")
            if state == "lava-no" and word in {"sum", "unpack"} and "space" not in why.lower():
                return [word]
            if state == "lava-no" and word != "damaged":
                raise OperationFailed(f"cannot use {name} on the board: {_WHY.get(word) or _reason(why, word)}")
        raise ConsoleLost(f"the board does not understand what is asked of it for {name}: {said or 'no answer'}")


def quote(text: str) -> str:
    """One word for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _octal(data: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in data)


def _reason(why: str, word: str) -> str:
    """``Read-only file system`` of ``sh: 5: cannot create /x: Read-only file system``."""
    return why.strip().splitlines()[0].rsplit(": ", 1)[-1] if why.strip() else word
