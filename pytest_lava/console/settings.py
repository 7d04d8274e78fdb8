"""What a serial line is set to, and how gently a board is typed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LineSettings", "Parity"]

Parity = Literal["none", "even", "odd", "mark", "space"]


@dataclass(frozen=True)
class LineSettings:
    """``speed`` in bits per second; all but ``txdelay`` and ``txchunk`` are for serial devices and RFC 2217 alone.

    A board that loses input gets ``txchunk`` bytes at once, and ``txdelay`` seconds to digest them.
    """

    speed: int = 115200
    parity: Parity = "none"
    stopbits: int = 1
    xonxoff: bool = False
    rtscts: bool = False
    txdelay: float = 0.0
    txchunk: int = 1
