"""Many small commands as one request of the agent: what is sent (see ``agent_many.sh``), and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_lava.console.answers import Answer
from pytest_lava.console.requests import quoted
from pytest_lava.console.shell import CommandResult
from pytest_lava.errors import InfrastructureError

__all__ = ["groups_of", "results_of", "text_of"]

_COMMANDS, _BYTES = 64, 8192  # in one request


def groups_of(commands: Sequence[str]) -> Iterator[list[str]]:
    """As many as go into one request."""
    group: list[str] = []
    size = 0
    for command in commands:
        if group and (len(group) >= _COMMANDS or size + len(command) > _BYTES):
            yield group
            group, size = [], 0
        group.append(command)
        size += len(command)
    if group:
        yield group


def text_of(commands: Sequence[str]) -> bytes:
    """The command that runs them all."""
    lines = [b"__a="]
    lines += [b"__one %d %s" % (number, quoted(command)) for number, command in enumerate(commands)]
    return b"\n".join([*lines, b"__all"])


def results_of(
    commands: Sequence[str], answer: Answer, where: tuple[int, int], seconds: float, limit: int
) -> list[CommandResult]:
    """Their results, from the answer to all; ``seconds`` is how long one took where the board has no clock."""
    table, found, rest = answer.streams[0].partition(b"\n\n")
    rows = [row.split(";") for row in table.decode(errors="replace").splitlines()]
    if not found or len(rows) != len(commands) or any(len(row) != 4 for row in rows):
        said = b"".join(answer.streams).decode(errors="replace")
        raise InfrastructureError("the board did not carry out a batch of commands: run them one by one", evidence=said)
    written = [[stream in row[3] for stream in "oe"] for row in rows]
    count = sum(map(sum, written))
    lines = rest.split(b"\n", count + 1) if count else []
    sizes = iter([int(line.split()[0]) for line in lines[:count]])
    data = lines[count + 1] if len(lines) > count + 1 else b""
    results, at = [], 0
    for command, row, streams in zip(commands, rows, written, strict=True):
        texts = []
        cut = False
        for has in streams:
            size = next(sizes) if has else 0
            text = data[at : at + size]
            cut = cut or len(text) < size or size > limit
            texts.append(text[:limit])
            at += size
        device = float(row[2]) - float(row[1]) if row[1] and row[2] else None
        took = seconds if device is None else device
        results.append(CommandResult(command, int(row[0]), texts[0], texts[1], took, where, cut, device))
    return results
