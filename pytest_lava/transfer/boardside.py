"""The board's side of file transfer: its scripts, what it can do, and commands whose answers are understood."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_lava.console.checksum import cksum, md5
from pytest_lava.console.requests import script_of
from pytest_lava.console.shell import CommandResult
from pytest_lava.deadline import Deadline
from pytest_lava.errors import CommandTimeout, ConsoleLost, NetworkError, OperationFailed, Timeout
from pytest_lava.transfer import compression
from pytest_lava.transfer.sums import block_sum

__all__ = ["BoardSide", "Facts", "Runs", "quote"]

_COMMAND = 15.0  # seconds for a command, besides the time that sums take
_SUMS = 1e6  # bytes a second that a board reads and sums
_TRIES = 3
_WHY = {
    "directory": "it is a directory",
    "folder": "its folder is not there",
    "missing": "there is no such file",
    "special": "it is no regular file; read it with a command",
}


class Runs(Protocol):
    """What is needed of a shell. While it lives, ``$__f`` is a name on the board that begins those of its files."""

    def run(self, command: str, *, timeout: float | None = None, input: str | bytes | None = None) -> CommandResult:
        """See :class:`pytest_lava.console.shell.Shell`."""


@dataclass(frozen=True)
class Facts:
    """What a board has.

    How it sums blocks (see :mod:`~pytest_lava.transfer.sums`), a program for sums of whole files (``-``: none),
    programs that undo and make compression.
    """

    blocks: str
    sums: str
    undoes: tuple[str, ...]
    makes: tuple[str, ...]


class BoardSide:
    """Talks to ``files.sh`` and the scripts of carriers; one for each shell."""

    def __init__(self, shell: Runs, *scripts: str) -> None:
        self._shell = shell
        self._scripts = ["files.sh", *scripts]
        self._facts: Facts | None = None

    def facts(self, deadline: Deadline) -> Facts:
        """What the board has; at the first call it gets its scripts."""
        if self._facts is None:
            self._facts = self._introduce(deadline)
        return self._facts

    def define(self, script: str, deadline: Deadline) -> None:
        """Give the board one more script, once."""
        self.facts(deadline)
        if script not in self._scripts:
            self._run(lambda: _upload([script], ">>", "echo lava-ok"), "the transfer", deadline, 0, None)
            self._scripts.append(script)

    def ask(
        self, command: str, name: str, deadline: Deadline, size: int | None = 0, data: bytes | None = None
    ) -> list[str]:
        """The words of the answer; ``OperationFailed`` says what is wrong with the file ``name``.

        The command goes with a sum, as a flipped bit in a file's name would do harm. ``size`` bytes may be read in it,
        ``None`` if nobody knows. ``data`` is its input.
        """
        return self.converse(command, name, deadline, size, data)[0]

    def converse(
        self, command: str, name: str, deadline: Deadline, size: int | None = 0, data: bytes | None = None
    ) -> tuple[list[str], bytes]:
        """The same for a command that answers on standard error if it writes something else to standard output."""

        def checked() -> str:
            return f'. "$__f.t"; __xchecked {self.sum([command.encode()], deadline)} {quote(command)}'

        def guarded() -> str:
            # the shell may have been started anew, and forgotten what it was given
            return f'if [ -s "$__f.t" ]; then {checked()}; else echo lava-no gone; fi'

        return self._run(guarded, name, deadline, size, data)

    def sum(self, chunks: Iterable[bytes], deadline: Deadline) -> str:
        """The sum of a block, as the board knows it."""
        return block_sum(self.facts(deadline).blocks, chunks)

    def _introduce(self, deadline: Deadline) -> Facts:
        samples = " ".join(f"{name} '{_octal(compression.SAMPLES[name])}'" for name in compression.known_here())
        upload = _upload(self._scripts, ">", f'. "$__f.t"; __xfacts {samples}')
        words, _ = self._run(lambda: upload, "the transfer", deadline, 0, None)
        _, blocks, sums, undoes, makes = words
        return Facts(blocks, sums, tuple(undoes.split(",")[1:]), tuple(makes.split(",")[1:]))

    def _run(
        self, command: Callable[[], str], name: str, deadline: Deadline, size: int | None, data: bytes | None
    ) -> tuple[list[str], bytes]:
        said = ""
        for _ in range(_TRIES):
            try:
                limit = deadline if size is None else deadline.at_most(_COMMAND + size / _SUMS)
                result = self._shell.run(command(), timeout=limit.remaining(), input=data)
            except CommandTimeout as error:
                if deadline.expired or size is None:
                    raise Timeout(
                        f"no time is left for {name} on the board: give it a longer timeout", evidence=error.evidence
                    ) from error
                continue
            said = f"{result.stdout}{result.stderr}".strip()
            apart = result.stderr.startswith("lava-ok")
            state, _, rest = (result.stderr if apart else result.stdout).strip().partition(" ")
            if state == "lava-ok":
                return rest.split() or [""], result.stdout_bytes
            word, _, why = rest.partition(" ")
            if state == "lava-no" and word == "gone":
                self._facts = None
                continue
            if state == "lava-no" and "no space" in why.lower():
                raise OperationFailed(f"no space left on the board for {name}")
            if state == "lava-no" and word in {"sum", "unpack"}:
                return [word], b""
            if state == "lava-no" and word == "network":
                raise NetworkError(f"the board's program failed: {' '.join(why.split())}")
            if state == "lava-no" and word != "damaged":
                raise OperationFailed(f"cannot use {name} on the board: {_WHY.get(word) or _reason(why, word)}")
        raise ConsoleLost(f"the board does not understand what is asked of it for {name}: {said or 'no answer'}")


def quote(text: str) -> str:
    """One word for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _upload(scripts: Sequence[str], where: str, then: str) -> str:
    """The command that brings scripts whole to the board, and then does something."""
    text = "".join(f"{script_of(name, Path(__file__).parent)}\n" for name in scripts)
    c, m = cksum([text.encode()]), md5([text.encode()])
    return (
        f"cat >\"$__f.b\" <<'LAVA'\n{text}LAVA\n"
        'set -- $( (cksum <"$__f.b") 2>/dev/null) -; s=$1; set -- $( (md5sum <"$__f.b") 2>/dev/null) -\n'
        f'case $s/$1 in {c}/*|-/{m}|-/-) cat "$__f.b" {where}"$__f.t" && {{ {then}; }};; *) echo lava-no damaged;; esac'
    )


def _octal(data: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in data)


def _reason(why: str, word: str) -> str:
    """``Read-only file system`` of ``sh: 5: cannot create /x: Read-only file system``."""
    return why.strip().splitlines()[0].rsplit(": ", 1)[-1] if why.strip() else word
