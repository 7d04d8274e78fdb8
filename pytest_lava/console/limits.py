"""How much our shells leave on a board, and fetch from it."""

from __future__ import annotations

__all__ = ["EVIDENCE", "KEEP_BYTES", "KEEP_FILES"]

#: commands whose files stay on the board; removing them costs a process
KEEP_FILES = 50
KEEP_BYTES = 1 << 20
#: bytes of each stream that are asked for when a command was interrupted
EVIDENCE = 65536
