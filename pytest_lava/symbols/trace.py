"""Where a kernel's words name code: ``function+offset/size [module]`` in call traces, registers and warnings.

The kernel prints it with ``%pS`` and ``%pB`` (``kernel/kallsyms.c``, ``__sprint_symbol``). Symbol and offset stay true
wherever the kernel was loaded, so its address space layout may be as random as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Frame", "Reference", "annotated", "references"]

_REFERENCE = re.compile(
    r"(?<![\w.$])(?P<name>[A-Za-z_$.][\w$.]*)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)"
    r"(?:\s?\[(?P<module>[\w-]+)(?: (?P<id>[0-9a-f]{8,64}))?\])?"
)
# the instruction itself: x86, arm64, riscv and mips, arm, powerpc; and the place of a warning
_EXACT = re.compile(
    r"(?:[RE]IP: .*|\be?pc ?: .*|\bepc +: [0-9a-f]+ |PC is at |NIP \[\w+\] |"
    r"WARNING: (?:CPU: \d+ PID: \d+ at )?\S+:\d+ (?:at )?)$"
)
_MOST = 1000  # references of one text


@dataclass(frozen=True)
class Reference:
    """A place in code as the kernel names it.

    ``exact`` for an instruction; else it is where a call returns to, and the call stands before it: if it never returns
    (``panic``) that may be in the function before. ``build_id`` of a module if the kernel prints it.
    """

    symbol: str
    offset: int
    size: int
    module: str = ""
    exact: bool = False
    build_id: str = ""

    @property
    def spot(self) -> int:
        """The offset of a byte that belongs to the instruction meant."""
        return self.offset if self.exact else self.offset - 1

    @property
    def before(self) -> bool:
        """Whether it is the function before that is meant."""
        return self.spot < 0


@dataclass(frozen=True)
class Frame:
    """A function and its line of source, as the debug information says."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def references(text: str) -> list[list[Reference]]:
    """For each line of a trace what code it names. An address that is a program counter's is so in the trace too."""
    found, exact = [], set[tuple[str, str, int]]()
    left = _MOST
    for line in text.splitlines():
        here = []
        for match in _REFERENCE.finditer(line) if left > 0 else ():
            one = Reference(
                match["name"],
                int(match["offset"], 16),
                int(match["size"], 16),
                match["module"] or "",
                exact=_EXACT.search(line, 0, match.start()) is not None,
                build_id=match["id"] or "",
            )
            if one.exact:
                exact.add(_key(one))
            here.append(one)
            left -= 1
        found.append(here)
    return [[_as_exact(one) if _key(one) in exact else one for one in line] for line in found]


def annotated(text: str, frames: Mapping[Reference, Sequence[Frame]]) -> str:
    """The trace with ``(file:line)`` behind each place that is known; callers that were inlined have lines below.

    As the kernel's own ``scripts/decode_stacktrace.sh`` shows it; what the kernel said stays as it is.
    """
    lines = []
    for line, here in zip(text.splitlines(), references(text), strict=True):
        asked = [one for one in here if frames.get(one)]
        known = [frames[one] for one in asked]
        places = ", ".join(
            f"({found[-1].function}, {found[0]})" if one.before else f"({found[0]})"
            for one, found in zip(asked, known, strict=True)
        )
        lines.append(f"{line} {places}" if places else line)
        if len(known) == 1:
            lines += _inlined(known[0], len(line) - len(line.lstrip()))
    return "\n".join(lines)


def _inlined(frames: Sequence[Frame], indent: int) -> Iterable[str]:
    """``frames`` go outwards: each but the last is a function whose code was put into the next one's."""
    for inner, outer in pairwise(frames):
        yield f"{' ' * (indent + 4)}{inner.function} inlined into {outer.function} ({outer})"


def _key(one: Reference) -> tuple[str, str, int]:
    return one.symbol, one.module, one.offset


def _as_exact(one: Reference) -> Reference:
    return Reference(one.symbol, one.offset, one.size, one.module, exact=True, build_id=one.build_id)
