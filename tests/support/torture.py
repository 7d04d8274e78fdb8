"""Commands that break consoles, with what they must say; the seed makes a run repeatable (``LAVA_SEED``)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_lava.console.shell import Shell
from pytest_lava.errors import LavaError

__all__ = ["Command", "commands", "count", "run_all", "seed"]


@dataclass(frozen=True)
class Command:
    """What is run, and what has to come back."""

    text: str
    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


def count(full: int) -> int:
    """All of them with ``make soak``, else a tenth."""
    return full if os.environ.get("LAVA_SOAK") else full // 10


def seed() -> int:
    """Told to the reader of a failure."""
    number = int(os.environ.get("LAVA_SEED", "0")) or random.randrange(1 << 32)
    print(f"LAVA_SEED={number}")
    return number


def commands(dice: random.Random, number: int) -> Iterator[Command]:
    """So many, each kind about equally often."""
    kinds = [_status, _streams, _no_newline, _prompts, _kernel, _two_thousand, _lines, _long, _all_bytes, _nothing]
    for _ in range(number):
        yield dice.choice(kinds)(dice)


def run_all(shell: Shell, dice: random.Random, number: int) -> list[str]:
    """Run so many and say what went wrong."""
    wrong = []
    for at, command in enumerate(commands(dice, number)):
        if at and at % 100 == 0:
            print(f"{at} of {number} commands, {len(wrong)} wrong", flush=True)
        try:
            result = shell.run(command.text, timeout=120)
        except LavaError as error:
            wrong.append(f"{at}: {command.text[:60]!r}: {error!r}")
            continue
        got = result.returncode, result.stdout_bytes, result.stderr_bytes
        if got != (command.status, command.stdout, command.stderr):
            wrong.append(f"{at}: {command.text[:60]!r}: {got!r:.300}")
    return wrong


def _status(dice: random.Random) -> Command:
    status = dice.randrange(256)
    return Command(f"exit {status}", status)


def _streams(dice: random.Random) -> Command:
    tag = f"{dice.randrange(1 << 32):x}"
    return Command(f"echo out {tag}; echo err {tag} >&2; exit 3", 3, f"out {tag}\n".encode(), f"err {tag}\n".encode())


def _no_newline(dice: random.Random) -> Command:
    return Command("printf no-newline", stdout=b"no-newline")


def _prompts(dice: random.Random) -> Command:
    return Command("printf '/ # '; echo 'login: '; printf '$ ' >&2", stdout=b"/ # login: \n", stderr=b"$ ")


def _kernel(dice: random.Random) -> Command:
    line = f"[{dice.uniform(0, 9999):12.6f}] usb 1-1: new high-speed USB device"
    return Command(f"echo '{line}'; echo '~0;0;1.0;1.0;0;-;0;-;~'", stdout=f"{line}\n~0;0;1.0;1.0;0;-;0;-;~\n".encode())


def _two_thousand(dice: random.Random) -> Command:
    text = "".join(dice.choices("abcdefgh[]~;.", k=20))
    return Command(  # by echo, which is no process in any shell; printf is a hundred of them in mksh
        f"for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6 7 8 9; do echo '{text}'; done; done",
        stdout=f"{text}\n".encode() * 100,
    )


def _lines(dice: random.Random) -> Command:
    number = dice.randrange(100)
    return Command(
        f"cat <<'END'\n\tfirst $x\n\n{number} # last\nEND\nfor i in a b\ndo\n echo $i\ndone",
        stdout=f"\tfirst $x\n\n{number} # last\na\nb\n".encode(),
    )


def _long(dice: random.Random) -> Command:
    text = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=dice.randrange(900, 4200)))
    return Command(f"echo {text}", stdout=f"{text}\n".encode())


def _all_bytes(dice: random.Random) -> Command:
    data = bytes(dice.sample(range(256), 256))
    return Command("printf '" + "".join(f"\\{byte:03o}" for byte in data) + "'", stdout=data)


def _nothing(dice: random.Random) -> Command:
    return Command("printf '\\t' | read x; true\t# tab")
