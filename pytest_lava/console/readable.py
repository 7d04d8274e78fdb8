"""A console as people want to read it: without the frames that our protocols put around what commands say."""

from __future__ import annotations

import re

__all__ = ["one_line", "without_frames"]

_COMMAND = 200  # characters of one in a message

# Whole lines: heads of answers and short answers of the agent (see frames.py), markers (see marker.py, stress/load.py).
_LINES = re.compile(
    r"^(?:# |~[0-9a-f]+;\d{1,3};[^~\n]*~|~[0-9a-f]+[!;][0-9a-z?]*\.|~[PXIQ][0-9a-f]+[.!]\d*\.?|"
    r"~H[0-9a-f]+;[\d.]*;[\d .]*\.|~S[0-9a-f]+;(?:begin|end);[^~\n]*~|@[0-9a-f]+[+-].*|"
    # tables of a batch (see agent_many.sh): status, times, streams; then the sizes of its files, and their sum
    r"\d{1,3};[\d.]*;[\d.]*;-?[oe.]*| *\d+ /\S*/\.lava[0-9a-f-]+\.[0-9a-f]+\.\d+\.[oe](?:\n *\d+ total$)?)\n?",
    re.MULTILINE,
)
# behind output that did not end its line, and behind the prompt that a shell was taken over at
_TAILS = re.compile(r"(?<=.)~[0-9a-f]{5,};\d{1,3}\.$|(?:^|(?<=[#$>] ))@[0-9a-f]{9,}$", re.MULTILINE)


def without_frames(text: str) -> str:
    """``text`` without them, and without the empty lines that they begin with."""
    return re.sub(r"\n{2,}", "\n", _TAILS.sub("", _LINES.sub("", text))).lstrip("\n")


def one_line(command: str) -> str:
    """A command for a message: its first line, not endless."""
    first, more, _ = command.strip().partition("\n")
    return f"{first[:_COMMAND]} ..." if more or len(first) > _COMMAND else first
